//! Register-call: TwiML that connects a call of ours to the agent's own media socket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State as AxumState};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use super::brain::{Brain, Doing};
use super::conversation::Origin;
use super::initiation::{Session, prepare};
use super::tool::{self, Outcome};
use super::wire::{ApiError, object, required};
use super::{post_call, system_variables};
use crate::emulator::audio::AudioFormat;
use crate::emulator::id;
use crate::emulator::world::World;

const SEND: Duration = Duration::from_secs(10);
const LIFE: i64 = 15 * 60;
const MOST_REGISTRATIONS: usize = 20_000;

/// A call that was registered and has not connected yet.
#[derive(Debug, Clone)]
pub(super) struct Registration {
    agent_id: String,
    from: String,
    to: String,
    direction: String,
    data: Map<String, Value>,
    expires: i64,
}

/// `POST twilio/register-call`.
pub(super) fn register(world: &World, headers: &HeaderMap, body: &[u8]) -> Result<Response, ApiError> {
    let body = object(body)?;
    let (agent_id, from, to) = (
        required(&body, "agent_id")?,
        required(&body, "from_number")?,
        required(&body, "to_number")?,
    );
    let direction = body.get("direction").and_then(Value::as_str).unwrap_or("inbound");
    if !matches!(direction, "inbound" | "outbound") {
        return Err(ApiError::shape(
            &["body", "direction"],
            "Input should be 'inbound' or 'outbound'",
        ));
    }
    let data = match body.get("conversation_initiation_client_data") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(data)) => data.clone(),
        Some(_) => {
            let location = ["body", "conversation_initiation_client_data"];
            return Err(ApiError::shape(&location, "Input should be a valid dictionary"));
        }
    };
    let now = world.clock.now().as_second();
    let mut state = world.elevenlabs.state_lock();
    let agent = state
        .agent(agent_id)
        .ok_or_else(|| ApiError::not_found("agent_not_found", agent_id))?;
    let config = &agent["conversation_config"];
    let formats = [
        &config["tts"]["agent_output_audio_format"],
        &config["asr"]["user_input_audio_format"],
    ];
    if formats
        .iter()
        .any(|format| format.as_str().and_then(AudioFormat::parse) != Some(AudioFormat::Ulaw))
    {
        return Err(ApiError::invalid(
            "The agent must use ulaw_8000 for input and output",
        ));
    }
    state
        .registrations
        .retain(|_, registration| registration.expires > now);
    if state.registrations.len() >= MOST_REGISTRATIONS {
        return Err(ApiError::too_many_requests());
    }
    let token = id::hex(40);
    let registration = Registration {
        agent_id: agent_id.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        direction: direction.to_owned(),
        data,
        expires: now + LIFE,
    };
    state.registrations.insert(token.clone(), registration);
    let twiml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect><Stream url=\"{}/v1/convai/twilio/stream/{token}\" />\
         </Connect></Response>",
        super::socket_base(world, headers)
    );
    Ok(([(CONTENT_TYPE, "text/html; charset=utf-8")], twiml).into_response())
}

/// The media socket behind the TwiML of [`register`]; its token is good once.
pub(super) async fn open(
    AxumState(world): AxumState<Arc<World>>,
    Path(token): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let now = world.clock.now().as_second();
    let registration = world.elevenlabs.state_lock().registrations.remove(&token);
    let Some(registration) = registration.filter(|registration| registration.expires > now) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tracker = world.tasks.clone();
    upgrade.on_upgrade(move |socket| tracker.track_future(serve(world, socket, registration)))
}

async fn serve(world: Arc<World>, mut socket: WebSocket, registration: Registration) {
    let Some(start) = started(&mut socket).await else {
        return;
    };
    let Some(agent) = world.elevenlabs.find_agent(&registration.agent_id) else {
        return;
    };
    let conversation_id = format!("conv_{}", id::hex(28));
    let mut system = system_variables(&world, &agent, &conversation_id);
    let (stream_sid, call_sid) = (start["streamSid"].clone(), start["callSid"].clone());
    system.insert("system__caller_id".into(), json!(registration.from));
    system.insert("system__called_number".into(), json!(registration.to));
    system.insert("system__call_sid".into(), call_sid.clone());
    // There is nobody to tell of a refusal but the call, which goes on with its TwiML when the socket closes.
    let Ok(session) = prepare(&agent, &registration.data, &conversation_id, system) else {
        return;
    };
    let inbound = registration.direction == "inbound";
    let (ours, theirs) = if inbound {
        (&registration.to, &registration.from)
    } else {
        (&registration.from, &registration.to)
    };
    let phone_call = json!({
        "type": "twilio", "direction": registration.direction, "phone_number_id": null, "agent_number": ours,
        "external_number": theirs, "call_sid": call_sid, "stream_sid": stream_sid,
    });
    let origin = Origin {
        source: "twilio",
        authorization: "authorization_header",
        phone_call,
    };
    world
        .elevenlabs
        .open(&session, &origin, world.clock.now().as_second());
    let mut brain = Brain::new(&session, Instant::now());
    let mut media = Media {
        socket,
        stream_sid,
        tools: tool::Calls::new(&world, &session),
    };
    let reason = media.converse(&world, &session, &mut brain).await;
    world.elevenlabs.close(
        &session,
        &brain.into_turns(),
        reason,
        world.clock.now().as_second(),
    );
    post_call::start(&world, session);
}

/// Reads up to the `start` message and answers what is in it.
async fn started(socket: &mut WebSocket) -> Option<Value> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let read = async {
        while let Some(Ok(message)) = socket.recv().await {
            let Message::Text(text) = message else { continue };
            let mut message: Value = serde_json::from_str(&text).ok()?;
            if message["event"] == "start" {
                return Some(message["start"].take());
            }
        }
        None
    };
    timeout(PATIENCE, read).await.ok().flatten()
}

/// The far side of a Media Stream.
struct Media {
    socket: WebSocket,
    stream_sid: Value,
    tools: tool::Calls,
}

const LINE_LOST: &str = "Call ended by remote party";

impl Media {
    async fn converse(&mut self, world: &Arc<World>, session: &Session, brain: &mut Brain) -> &'static str {
        let running = world.running();
        let longest = Instant::now() + Duration::from_secs(session.max_seconds);
        let mut doing = brain.begin(Instant::now());
        loop {
            if self.act(brain, std::mem::take(&mut doing)).await.is_err() {
                return LINE_LOST;
            }
            let leaves_at = brain.leaves_at();
            tokio::select! {
                () = running.cancelled() => return "The service is shutting down",
                () = sleep_until(longest) => return self.leave("Max duration exceeded").await,
                () = sleep_until(leaves_at.unwrap_or(longest)), if leaves_at.is_some() => {
                    return self.leave("end_call tool was called.").await;
                }
                Some(Outcome { id, result, is_error }) = self.tools.next() => {
                    doing = brain.tool_result(&id, &result, is_error, Instant::now());
                }
                received = self.socket.recv() => {
                    let text = match received {
                        None | Some(Err(_) | Ok(Message::Close(_))) => return LINE_LOST,
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(_)) => continue,
                    };
                    let message: Value = serde_json::from_str(&text).unwrap_or_default();
                    match message["event"].as_str() {
                        Some("media") => {
                            let payload = message["media"]["payload"].as_str().unwrap_or_default();
                            let audio = STANDARD.decode(payload).unwrap_or_default();
                            doing = brain.hear(&audio, Instant::now());
                        }
                        Some("stop") => return LINE_LOST,
                        _ => {}
                    }
                }
            }
        }
    }

    async fn leave(&mut self, reason: &'static str) -> &'static str {
        // The call goes on with its TwiML whether or not the close frame arrives.
        let _ = timeout(SEND, self.socket.send(Message::Close(None))).await;
        reason
    }

    async fn act(&mut self, brain: &mut Brain, doing: Vec<Doing>) -> Result<(), ()> {
        let mut waiting: std::collections::VecDeque<_> = doing.into();
        while let Some(doing) = waiting.pop_front() {
            match doing {
                Doing::Audio { audio, .. } => {
                    let payload = STANDARD.encode(audio);
                    self.send(json!({"event": "media", "media": {"payload": payload}}))
                        .await?;
                }
                Doing::Interrupted { .. } => self.send(json!({"event": "clear"})).await?,
                Doing::Calls(call) if self.tools.runs_here(&call) => self.tools.start(call),
                Doing::Calls(call) => {
                    // Client tools need a client, and a telephone is none.
                    let why = "this tool is not available on a telephone";
                    waiting.extend(brain.tool_result(&call.id, why, true, Instant::now()));
                }
                Doing::Says { .. } | Doing::Heard { .. } | Doing::Corrects { .. } => {}
            }
        }
        Ok(())
    }

    async fn send(&mut self, mut body: Value) -> Result<(), ()> {
        body["streamSid"] = self.stream_sid.clone();
        match timeout(SEND, self.socket.send(Message::Text(body.to_string().into()))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(()),
        }
    }
}
