//! The agent socket: `GET /v1/convai/conversation`, and the signed URLs that lead to it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Query, State as AxumState};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::brain::{Brain, Doing};
use super::conversation::Origin;
use super::initiation::{Refusal, Session, prepare};
use super::tool::{self, Outcome};
use super::wire::ApiError;
use super::{post_call, system_variables};
use crate::emulator::fault::{FaultKind, Operation};
use crate::emulator::id;
use crate::emulator::listener::Connection;
use crate::emulator::world::World;

const PING_EVERY: Duration = Duration::from_secs(2);
/// The service ends a conversation that brings no audio for this long.
const NO_INPUT: Duration = Duration::from_mins(1);
const FIRST_MESSAGE: Duration = Duration::from_secs(10);
const SEND: Duration = Duration::from_secs(10);
const LARGEST_MESSAGE: usize = 16 * 1024 * 1024;
const SIGNATURE_LIFE: i64 = 15 * 60;
const MOST_SIGNATURES: usize = 20_000;

const CLOSE_NORMAL: u16 = 1000;
const CLOSE_OPERATIONAL: u16 = 1002;
const CLOSE_CONTRACT: u16 = 1008;

/// A signed URL that was handed out.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    agent_id: String,
    /// Known in advance, and then good for one conversation only.
    conversation_id: Option<String>,
    expires: i64,
}

/// `GET get-signed-url`.
pub(super) fn signed_url(
    world: &World,
    query: &[(String, String)],
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let find = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let agent_id =
        find("agent_id").ok_or_else(|| ApiError::shape(&["query", "agent_id"], "Field required"))?;
    let with_id = find("include_conversation_id") == Some("true");
    let now = world.clock.now().as_second();
    let mut state = world.elevenlabs.state_lock();
    state
        .agent(agent_id)
        .ok_or_else(|| ApiError::not_found("agent_not_found", agent_id))?;
    state.tickets.retain(|_, ticket| ticket.expires > now);
    if state.tickets.len() >= MOST_SIGNATURES {
        return Err(ApiError::too_many_requests());
    }
    let signature = format!("cvtkn_{}", id::hex(40));
    let conversation_id = with_id.then(|| format!("conv_{}", id::hex(28)));
    let mut url = format!(
        "{}/v1/convai/conversation?agent_id={agent_id}&conversation_signature={signature}",
        super::socket_base(world, headers)
    );
    if let Some(conversation_id) = &conversation_id {
        url.push_str("&conversation_id=");
        url.push_str(conversation_id);
    }
    let ticket = Ticket {
        agent_id: agent_id.to_owned(),
        conversation_id,
        expires: now + SIGNATURE_LIFE,
    };
    state.tickets.insert(signature, ticket);
    Ok(axum::Json(json!({"signed_url": url})).into_response())
}

/// The query of the socket's URL.
#[derive(Debug, Deserialize)]
pub(super) struct SocketQuery {
    agent_id: Option<String>,
    conversation_signature: Option<String>,
}

/// Upgrades to the agent socket. Refusals come as a close frame, as the real service's do.
pub(super) async fn open(
    AxumState(world): AxumState<Arc<World>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    Query(query): Query<SocketQuery>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let admitted = admit(&world, &query, &headers);
    let tracker = world.tasks.clone();
    upgrade
        .max_message_size(LARGEST_MESSAGE)
        .protocols(["convai"])
        .on_upgrade(move |socket| {
            tracker.track_future(async move {
                let mut line = Line {
                    world,
                    socket,
                    connection,
                };
                match admitted {
                    Ok(admission) => line.serve(admission).await,
                    Err(refusal) => line.refuse(&refusal).await,
                }
            })
        })
}

/// A conversation that may begin.
struct Admission {
    agent: Value,
    conversation_id: String,
    authorization: &'static str,
}

fn admit(world: &World, query: &SocketQuery, headers: &HeaderMap) -> Result<Admission, Refusal> {
    let refuse = |message: &str| Refusal::new("authorization_error", message);
    let agent_id = query.agent_id.as_deref().unwrap_or_default();
    let agent = world.elevenlabs.find_agent(agent_id);
    let agent =
        agent.ok_or_else(|| Refusal::new("agent_not_found", format!("No agent with id {agent_id}")))?;
    if let Some(signature) = &query.conversation_signature {
        let now = world.clock.now().as_second();
        let mut state = world.elevenlabs.state_lock();
        let ticket = state
            .tickets
            .get(signature)
            .filter(|ticket| ticket.expires > now)
            .cloned();
        let ticket = ticket.filter(|ticket| ticket.agent_id == agent_id);
        let ticket = ticket.ok_or_else(|| refuse("The signed URL is not valid or has expired"))?;
        if ticket.conversation_id.is_some() {
            state.tickets.remove(signature);
        }
        let conversation_id = ticket
            .conversation_id
            .unwrap_or_else(|| format!("conv_{}", id::hex(28)));
        return Ok(Admission {
            agent,
            conversation_id,
            authorization: "signed_url",
        });
    }
    let conversation_id = format!("conv_{}", id::hex(28));
    let authorization = if world.elevenlabs.has_key(headers) {
        "authorization_header"
    } else if agent["platform_settings"]["auth"]["enable_auth"] == true {
        return Err(refuse("This agent requires a signed URL"));
    } else {
        "public"
    };
    Ok(Admission {
        agent,
        conversation_id,
        authorization,
    })
}

/// The far end is gone, or does not read.
struct Gone;

/// How a conversation ended.
struct End {
    code: u16,
    reason: &'static str,
}

struct Line {
    world: Arc<World>,
    socket: WebSocket,
    connection: Connection,
}

impl Line {
    async fn send(&mut self, body: &Value) -> Result<(), Gone> {
        match timeout(SEND, self.socket.send(Message::Text(body.to_string().into()))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code,
            reason: reason.to_owned().into(),
        };
        // The far end may be gone already, which ends the conversation just as well.
        let _ = timeout(SEND, self.socket.send(Message::Close(Some(frame)))).await;
    }

    /// An `error` event and a close frame with 1008.
    async fn refuse(&mut self, refusal: &Refusal) {
        let error = json!({"type": "error", "error_event": {
            "code": CLOSE_CONTRACT, "error_type": refusal.kind, "message": refusal.message, "reason": refusal.kind,
        }});
        if self.send(&error).await.is_ok() {
            // A close frame carries at most 123 bytes of reason.
            let reason: String = format!("{}: {}", refusal.kind, refusal.message)
                .chars()
                .take(120)
                .collect();
            self.close(CLOSE_CONTRACT, &reason).await;
        }
    }

    async fn serve(&mut self, admission: Admission) {
        let data = match self.first_message().await {
            Some(Ok(data)) => data,
            Some(Err(refusal)) => return self.refuse(&refusal).await,
            None => return,
        };
        let system = system_variables(&self.world, &admission.agent, &admission.conversation_id);
        let session = match prepare(&admission.agent, &data, &admission.conversation_id, system) {
            Ok(session) => session,
            Err(refusal) => return self.refuse(&refusal).await,
        };
        let source = "unknown";
        let origin = Origin {
            source,
            authorization: admission.authorization,
            phone_call: Value::Null,
        };
        let world = Arc::clone(&self.world);
        world
            .elevenlabs
            .open(&session, &origin, world.clock.now().as_second());
        let mut brain = Brain::new(&session, Instant::now());
        let end = self.converse(&session, &mut brain).await;
        let reason = end.as_ref().map_or("Client disconnected", |end| end.reason);
        if let Ok(end) = &end {
            self.close(end.code, end.reason).await;
        }
        world.elevenlabs.close(
            &session,
            &brain.into_turns(),
            reason,
            world.clock.now().as_second(),
        );
        post_call::start(&world, session);
    }

    /// The initiation data; `None` when the client went away.
    async fn first_message(&mut self) -> Option<Result<Map<String, Value>, Refusal>> {
        let refuse = |message: &str| Some(Err(Refusal::new("invalid_message", message)));
        let received = loop {
            match timeout(FIRST_MESSAGE, self.socket.recv()).await {
                Err(_) => return refuse("No conversation_initiation_client_data was sent"),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Ok(Some(Ok(message))) => break message,
                Ok(None | Some(Err(_))) => return None,
            }
        };
        let Message::Text(text) = received else {
            return refuse("The first message must be text");
        };
        match serde_json::from_str(&text) {
            Ok(Value::Object(data))
                if data
                    .get("type")
                    .is_some_and(|kind| kind == "conversation_initiation_client_data") =>
            {
                Some(Ok(data))
            }
            _ => refuse("The first message must be conversation_initiation_client_data"),
        }
    }

    async fn converse(&mut self, session: &Session, brain: &mut Brain) -> Result<End, Gone> {
        self.send(&json!({
            "type": "conversation_initiation_metadata",
            "conversation_initiation_metadata_event": {
                "conversation_id": session.conversation_id,
                "agent_output_audio_format": session.output_name,
                "user_input_audio_format": session.input_name,
            },
        }))
        .await?;
        // New event types appear without notice, and clients have to live with them.
        self.send(&json!({"type": "emulator_unknown_event", "emulator_unknown_event": {"event_id": 0}}))
            .await?;
        let mut tools = tool::Calls::new(&self.world, session);
        let doing = brain.begin(Instant::now());
        self.act(session, &mut tools, doing).await?;
        let running = self.world.running();
        let drop = self
            .world
            .faults
            .take(Operation::ConversationSocket, &[FaultKind::DropSocket]);
        let drop_at = drop.map(|fault| Instant::now() + fault.delay().unwrap_or(Duration::from_secs(1)));
        let longest = Instant::now() + Duration::from_secs(session.max_seconds);
        let mut last_input = Instant::now();
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ping = 0_u64;
        loop {
            let leaves_at = brain.leaves_at();
            tokio::select! {
                () = running.cancelled() => return Ok(End { code: CLOSE_NORMAL, reason: "The service is shutting down" }),
                () = at(drop_at) => {
                    self.connection.sever();
                    return Err(Gone);
                }
                () = at(leaves_at) => return Ok(End { code: CLOSE_NORMAL, reason: "end_call tool was called." }),
                () = sleep_until(longest) => return Ok(End { code: CLOSE_NORMAL, reason: "Max duration exceeded" }),
                () = sleep_until(last_input + NO_INPUT) => {
                    return Ok(End { code: CLOSE_OPERATIONAL, reason: "transport_receive_timeout" });
                }
                _ = pings.tick() => {
                    ping += 1;
                    if session.wants("ping") {
                        self.send(&json!({"type": "ping", "ping_event": {"event_id": ping, "ping_ms": null}})).await?;
                    }
                }
                Some(outcome) = tools.next() => {
                    let Outcome { id, result, is_error } = outcome;
                    let doing = brain.tool_result(&id, &result, is_error, Instant::now());
                    self.act(session, &mut tools, doing).await?;
                }
                received = self.socket.recv() => {
                    let text = match received {
                        None | Some(Err(_) | Ok(Message::Close(_))) => return Err(Gone),
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Binary(_))) => {
                            return Ok(End { code: CLOSE_CONTRACT, reason: "invalid_message" });
                        }
                        Some(Ok(_)) => continue,
                    };
                    last_input = Instant::now();
                    let Some(doing) = self.understand(session, brain, &text) else {
                        return Ok(End { code: CLOSE_CONTRACT, reason: "invalid_message" });
                    };
                    self.act(session, &mut tools, doing).await?;
                }
            }
        }
    }

    /// What the agent does about a message; `None` when the message breaks the contract.
    fn understand(&self, session: &Session, brain: &mut Brain, text: &str) -> Option<Vec<Doing>> {
        let now = Instant::now();
        let message: Value = serde_json::from_str(text).ok()?;
        if let Some(chunk) = message["user_audio_chunk"].as_str() {
            let audio = STANDARD.decode(chunk).ok()?;
            return Some(brain.hear(&session.input.decode(audio), now));
        }
        let nothing = Some(Vec::new());
        match message["type"].as_str()? {
            "pong" => {
                message["event_id"].as_u64()?;
                self.world.elevenlabs.count_pong(&session.conversation_id);
                nothing
            }
            "user_message" => Some(brain.answer(message["text"].as_str()?, now)),
            "client_tool_result" => {
                let id = message["tool_call_id"].as_str()?;
                let is_error = message["is_error"].as_bool().unwrap_or(false);
                Some(brain.tool_result(id, message["result"].as_str()?, is_error, now))
            }
            "contextual_update"
            | "user_activity"
            | "feedback"
            | "mcp_tool_approval_result"
            | "multimodal_message" => nothing,
            _ => None,
        }
    }

    async fn act(
        &mut self,
        session: &Session,
        tools: &mut tool::Calls,
        doing: Vec<Doing>,
    ) -> Result<(), Gone> {
        for doing in doing {
            let (event, body) = match doing {
                Doing::Says { text, event_id } => (
                    "agent_response",
                    json!({"agent_response_event": {"agent_response": text, "event_id": event_id}}),
                ),
                Doing::Audio { audio, event_id } => {
                    let audio = STANDARD.encode(session.output.encode(audio));
                    (
                        "audio",
                        json!({"audio_event": {"audio_base_64": audio, "event_id": event_id}}),
                    )
                }
                Doing::Heard { text, event_id } => {
                    let body = json!({"user_transcript": text, "event_id": event_id});
                    ("user_transcript", json!({"user_transcription_event": body}))
                }
                Doing::Interrupted { event_id } => (
                    "interruption",
                    json!({"interruption_event": {"event_id": event_id}}),
                ),
                Doing::Corrects {
                    original,
                    corrected,
                    event_id,
                } => {
                    let body = json!({
                        "original_agent_response": original, "corrected_agent_response": corrected, "event_id": event_id,
                    });
                    (
                        "agent_response_correction",
                        json!({"agent_response_correction_event": body}),
                    )
                }
                Doing::Calls(call) => {
                    if tools.runs_here(&call) {
                        tools.start(call);
                        continue;
                    }
                    let body = json!({
                        "tool_name": call.name, "tool_call_id": call.id, "parameters": call.parameters,
                        "event_id": call.event_id,
                    });
                    ("client_tool_call", json!({"client_tool_call": body}))
                }
            };
            if session.wants(event) {
                let mut body = body;
                body["type"] = json!(event);
                self.send(&body).await?;
            }
        }
        Ok(())
    }
}

/// Waits until an instant, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
