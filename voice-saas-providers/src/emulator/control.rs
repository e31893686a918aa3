//! `/_control`: tests and demos place calls, look at the state, inject faults, and move the clock.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;

use super::app_store;
use super::clock;
use super::fault::{self, FaultError};
use super::gate;
use super::livekit::{self, DialScript};
use super::stripe;
use super::twilio::{self, Callee, CallerAudio, Script, ScriptError};
use super::world::World;

/// Two minutes of audio in base64, with room for the texts.
const LARGEST_BODY: usize = 2 * 1024 * 1024;
pub(super) const LONGEST_PARTY: usize = 64;

/// A call to be placed to a number that the account owns.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlaceCall {
    from: String,
    to: String,
    script: Script,
}

impl PlaceCall {
    /// A call that follows [`Script::new`].
    #[must_use]
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            script: Script::new(),
        }
    }

    /// What the caller does.
    #[must_use]
    pub fn with_script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }
}

/// Why a control request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The caller or the called number is empty or longer than 64 bytes.
    #[error("from and to must be 1 to 64 bytes long")]
    Party,
    /// A part of the script is out of its limits.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The fault is not possible.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// As many calls run as the emulator carries, or as many callees are known.
    #[error("too many calls or callees; reset, or wait until calls have ended")]
    TooMany,
    /// The body cannot be understood.
    #[error("{0}")]
    Body(String),
}

impl ControlError {
    fn answer(&self) -> Response {
        let status = match self {
            Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Party | Self::Script(_) | Self::Fault(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        (status, Json(json!({"error": self.to_string()}))).into_response()
    }
}

/// Places a call; answers its SID.
pub(super) fn place_call(world: &Arc<World>, call: PlaceCall) -> Result<String, ControlError> {
    if [&call.from, &call.to]
        .iter()
        .any(|party| party.is_empty() || party.len() > LONGEST_PARTY)
    {
        return Err(ControlError::Party);
    }
    call.script.validate()?;
    twilio::place(world, &call.from, &call.to, call.script).map_err(|_| ControlError::TooMany)
}

/// Decides what happens when a number is called.
pub(super) fn set_callee(world: &World, number: String, callee: Callee) -> Result<(), ControlError> {
    if let Callee::Answers(script) = &callee {
        script.validate()?;
    }
    if number.is_empty() || number.len() > LONGEST_PARTY {
        return Err(ControlError::Party);
    }
    if world.twilio.set_callee(number, callee) {
        Ok(())
    } else {
        Err(ControlError::TooMany)
    }
}

/// Decides what the next call out comes to.
pub(super) fn script_dial(world: &World, script: DialScript) -> Result<(), ControlError> {
    if world.livekit.script(script) {
        Ok(())
    } else {
        Err(ControlError::TooMany)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DialBody {
    outcome: DialEnd,
    sip_status: Option<u16>,
    #[serde(default)]
    phrase: String,
    #[serde(default)]
    ring_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DialEnd {
    Answers,
    Refuses,
    RingsOut,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingBody {
    from: String,
    to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LegBody {
    room: String,
    identity: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallBody {
    from: String,
    to: String,
    audio: Option<String>,
    seconds: Option<u32>,
    #[serde(default)]
    say: Vec<String>,
    dtmf: Option<String>,
    #[serde(default)]
    barge_in: bool,
    probe: Option<bool>,
    record: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CalleeBody {
    number: String,
    outcome: Outcome,
    audio: Option<String>,
    seconds: Option<u32>,
    #[serde(default)]
    say: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Answers,
    Busy,
    NoAnswer,
    Unreachable,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultBody {
    provider: String,
    operation: String,
    fault: String,
    times: Option<u32>,
    /// So many uses of the operation pass before.
    #[serde(default)]
    skip: u32,
    delay_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    advance_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PostCallBody {
    url: Url,
}

/// Reads a body; the message of an error names what is allowed.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| ControlError::Body(error.to_string()))
}

fn audio(name: &str) -> Result<CallerAudio, ControlError> {
    Ok(match name {
        "speech" => CallerAudio::Speech,
        "tone" => CallerAudio::Tone,
        "silence" => CallerAudio::Silence,
        encoded => CallerAudio::Ulaw(STANDARD.decode(encoded).map_err(|_| {
            ControlError::Body("audio must be \"speech\", \"tone\", \"silence\" or μ-law in base64".into())
        })?),
    })
}

fn script(name: Option<&str>, say: Vec<String>, seconds: Option<u32>) -> Result<Script, ControlError> {
    let mut script = Script::new();
    if let Some(name) = name {
        script = script.with_audio(audio(name)?);
    }
    if let Some(seconds) = seconds {
        script = script.with_seconds(seconds);
    }
    Ok(say.into_iter().fold(script, Script::with_say))
}

/// The control routes.
pub(super) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/_control/calls", post(calls))
        .route("/_control/calls/{call_sid}", get(call))
        .route("/_control/callees", post(callees))
        .route("/_control/state", get(state))
        .route(
            "/_control/faults",
            get(waiting_faults).post(faults).delete(clear_faults),
        )
        .route("/_control/faults/held", get(held).delete(release))
        .route("/_control/operations", get(operations))
        .route("/_control/clock", post(advance))
        .route("/_control/post_call_url", post(post_call_url))
        .route("/_control/livekit/dials", post(dials))
        .route("/_control/livekit/calls", post(ring).delete(hang_up))
        .route("/_control/livekit/webhook_url", post(livekit_webhook_url))
        .route("/_control/reset", post(reset))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(world)
}

async fn calls(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let placed = || {
        let body: CallBody = read(&body)?;
        let mut script = script(body.audio.as_deref(), body.say, body.seconds)?;
        if body.barge_in {
            script = script.with_barge_in();
        }
        if body.probe == Some(false) {
            script = script.without_probe();
        }
        if body.record == Some(false) {
            script = script.without_recording();
        }
        script = script.with_dtmf(body.dtmf.unwrap_or_default());
        place_call(
            &world,
            PlaceCall {
                from: body.from,
                to: body.to,
                script,
            },
        )
    };
    match placed() {
        Ok(call_sid) => (StatusCode::CREATED, Json(json!({"call_sid": call_sid}))).into_response(),
        Err(error) => error.answer(),
    }
}

async fn call(State(world): State<Arc<World>>, Path(call_sid): Path<String>) -> Response {
    match world.twilio.report(&call_sid) {
        Some(report) => Json(report).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({"error": "no such call"}))).into_response(),
    }
}

async fn callees(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let set = || {
        let body: CalleeBody = read(&body)?;
        let callee = match body.outcome {
            Outcome::Answers => Callee::Answers(script(body.audio.as_deref(), body.say, body.seconds)?),
            Outcome::Busy => Callee::Busy,
            Outcome::NoAnswer => Callee::NoAnswer,
            Outcome::Unreachable => Callee::Unreachable,
        };
        set_callee(&world, body.number, callee)
    };
    done(set())
}

async fn state(State(world): State<Arc<World>>) -> Response {
    Json(world.state()).into_response()
}

async fn faults(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let add = || {
        let body: FaultBody = read(&body)?;
        let mut fault = fault::parse(&body.provider, &body.operation, &body.fault)?;
        fault = fault.with_times(body.times.unwrap_or(1)).with_skip(body.skip);
        if let Some(delay) = body.delay_ms {
            fault = fault.with_delay(Duration::from_millis(delay));
        }
        Ok(world.faults.add(fault)?)
    };
    done(add())
}

/// How many faults have not happened yet, so that a test knows whether its own has.
async fn waiting_faults(State(world): State<Arc<World>>) -> Response {
    Json(json!({ "waiting": world.faults.waiting() })).into_response()
}

async fn clear_faults(State(world): State<Arc<World>>) -> StatusCode {
    world.faults.clear();
    StatusCode::NO_CONTENT
}

/// Which operations are held, and how many were in all, so that a test knows when to go on.
async fn held(State(world): State<Arc<World>>) -> Response {
    let (held, so_far) = (world.faults.held(), world.faults.held_so_far());
    let held: Vec<_> = held.iter().map(|operation| operation.name()).collect();
    Json(json!({ "held": held, "so_far": so_far })).into_response()
}

async fn release(State(world): State<Arc<World>>) -> StatusCode {
    world.faults.release();
    StatusCode::NO_CONTENT
}

/// What providers were asked for, oldest first, as far as faults know it.
async fn operations(State(world): State<Arc<World>>) -> Response {
    let requests = world.journal.requests();
    let operations = requests.iter().filter_map(gate::operation);
    let operations = operations.map(|it| json!({"provider": it.provider().name(), "operation": it.name()}));
    Json(json!({"operations": operations.collect::<Vec<_>>()})).into_response()
}

async fn advance(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let moved = || {
        let by = Duration::from_secs(read::<ClockBody>(&body)?.advance_seconds);
        if by > clock::FURTHEST {
            return Err(ControlError::Body(
                "advance_seconds must be at most ten years".into(),
            ));
        }
        world.clock.advance(by);
        app_store::settle(&world);
        stripe::catch_up(&world);
        Ok(())
    };
    done(moved())
}

async fn post_call_url(State(world): State<Arc<World>>, body: Bytes) -> Response {
    done(read::<PostCallBody>(&body).map(|body| world.elevenlabs.set_post_call_url(body.url)))
}

async fn dials(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let scripted = || {
        let body: DialBody = read(&body)?;
        let script = match (body.outcome, body.sip_status) {
            (DialEnd::Answers, _) => DialScript::answers(),
            (DialEnd::RingsOut, _) => DialScript::rings_out(),
            (DialEnd::Refuses, Some(status @ 300..700)) => DialScript::refuses(status, body.phrase),
            (DialEnd::Refuses, _) => {
                return Err(ControlError::Body("sip_status must be 300 to 699".into()));
            }
        };
        script_dial(&world, script.with_ringing(Duration::from_millis(body.ring_ms)))
    };
    done(scripted())
}

async fn ring(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let RingBody { from, to } = match read(&body) {
        Ok(body) => body,
        Err(error) => return error.answer(),
    };
    match livekit::ring(&world, &from, &to) {
        Ok(leg) => (StatusCode::CREATED, Json(leg)).into_response(),
        Err(refusal) => (
            StatusCode::CONFLICT,
            Json(json!({"error": refusal.to_string(), "sip_status": refusal.status})),
        )
            .into_response(),
    }
}

async fn hang_up(State(world): State<Arc<World>>, body: Bytes) -> Response {
    match read(&body) {
        Ok(LegBody { room, identity }) if livekit::hang_up(&world, &room, &identity) => {
            StatusCode::NO_CONTENT.into_response()
        }
        Ok(_) => (StatusCode::NOT_FOUND, Json(json!({"error": "no such call"}))).into_response(),
        Err(error) => error.answer(),
    }
}

async fn livekit_webhook_url(State(world): State<Arc<World>>, body: Bytes) -> Response {
    done(read::<PostCallBody>(&body).map(|body| world.livekit.set_webhook_url(body.url)))
}

async fn reset(State(world): State<Arc<World>>) -> StatusCode {
    world.reset();
    StatusCode::NO_CONTENT
}

pub(super) fn done(result: Result<(), ControlError>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error.answer(),
    }
}
