//! LiveKit: SIP trunks and rules, rooms, agents sent to them, calls in and out, signed webhooks.

mod dial;
mod inbound;
mod room;
mod sip;
#[cfg(test)]
mod tests;
mod token;
mod webhook;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as AxumState};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use livekit_protocol as proto;
use proto::DisconnectReason;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

pub use self::dial::DialScript;
pub use self::inbound::{SipLeg, SipRefusal};
use self::token::Claims;
use self::wire::{Format, TwirpError};
use super::fault::Operation;
use super::world::World;

const ROOT: &str = "/twirp/livekit.";

/// One project and everything in it.
#[derive(Debug)]
pub(crate) struct LiveKit {
    api_key: String,
    api_secret: SecretString,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    inbound: BTreeMap<String, proto::SipInboundTrunkInfo>,
    outbound: BTreeMap<String, proto::SipOutboundTrunkInfo>,
    rules: BTreeMap<String, proto::SipDispatchRuleInfo>,
    rooms: BTreeMap<String, room::OpenRoom>,
    /// What the next calls out come to.
    scripts: VecDeque<DialScript>,
    webhook_url: Option<Url>,
    /// Events that have not been sent.
    outbox: VecDeque<proto::WebhookEvent>,
    sending: bool,
    /// Events that wait until another one has been sent.
    held: Vec<proto::WebhookEvent>,
    deliveries: VecDeque<webhook::Delivery>,
}

impl LiveKit {
    pub(crate) fn new(api_key: String, api_secret: SecretString) -> Self {
        Self {
            api_key,
            api_secret,
            state: Mutex::default(),
        }
    }

    pub(crate) fn api_key(&self) -> &str {
        &self.api_key
    }

    pub(crate) fn api_secret(&self) -> &SecretString {
        &self.api_secret
    }

    fn state_lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_webhook_url(&self, url: Url) {
        self.state_lock().webhook_url = Some(url);
    }

    /// Decides what a call out comes to. False when too many are decided already.
    pub(crate) fn script(&self, script: DialScript) -> bool {
        const MOST: usize = 1_000;
        let mut state = self.state_lock();
        let room = state.scripts.len() < MOST;
        if room {
            state.scripts.push_back(script);
        }
        room
    }

    /// Forgets everything but credentials and where webhooks go.
    pub(crate) fn reset(&self) {
        let mut state = self.state_lock();
        *state = State {
            webhook_url: state.webhook_url.take(),
            sending: state.sending,
            ..State::default()
        };
    }

    pub(crate) fn state(&self) -> Value {
        let state = self.state_lock();
        let rooms = state.rooms.values().map(|room| {
            let mut info = wire::json(&room.info());
            info["participants"] = room.participants.values().map(wire::json).collect();
            info
        });
        let dispatches = state.rooms.values().flat_map(|room| room.dispatches.values());
        json!({
            "api_key": self.api_key,
            "api_secret": self.api_secret.expose_secret(),
            "webhook_url": state.webhook_url,
            "inbound_trunks": state.inbound.values().collect::<Vec<_>>(),
            "outbound_trunks": state.outbound.values().collect::<Vec<_>>(),
            "dispatch_rules": state.rules.values().collect::<Vec<_>>(),
            "rooms": rooms.collect::<Vec<_>>(),
            "dispatches": dispatches.collect::<Vec<_>>(),
            "webhook_deliveries": state.deliveries.iter().map(webhook::Delivery::json).collect::<Vec<_>>(),
        })
    }

    fn claims(&self, headers: &HeaderMap, now: i64) -> Result<Claims, &'static str> {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok());
        token::verify(header, &self.api_key, self.api_secret.expose_secret(), now)
    }

    /// Checks the token; what it allows, the methods check. Refuses in plain text.
    pub(crate) fn authorize(&self, headers: &HeaderMap, now: jiff::Timestamp) -> Result<(), Box<Response>> {
        match self.claims(headers, now.as_second()) {
            Ok(_) => Ok(()),
            Err(text) => Err(Box::new((StatusCode::UNAUTHORIZED, text).into_response())),
        }
    }
}

/// Somebody calls a number that a carrier sends to LiveKit.
pub(crate) fn ring(world: &Arc<World>, from: &str, to: &str) -> Result<SipLeg, SipRefusal> {
    let leg = world.livekit.state_lock().ring(from, to, world.clock.now());
    webhook::flush(world);
    leg
}

/// The telephone's side of a call hangs up. False when there is no such call.
pub(crate) fn hang_up(world: &Arc<World>, room: &str, identity: &str) -> bool {
    let reason = DisconnectReason::ClientInitiated;
    let left = world
        .livekit
        .state_lock()
        .leave(room, identity, reason, world.clock.now());
    webhook::flush(world);
    left.is_ok()
}

pub(crate) fn too_many_requests() -> Response {
    TwirpError::new("resource_exhausted", "rate limit exceeded").answer()
}

pub(crate) fn server_error() -> Response {
    TwirpError::new("internal", "an internal error occurred").answer()
}

/// The operation that faults know a request by.
pub(crate) fn operation(path: &str) -> Option<Operation> {
    Some(match path.strip_prefix(ROOT)? {
        "SIP/CreateSIPInboundTrunk" => Operation::CreateInboundTrunk,
        "SIP/ListSIPInboundTrunk" => Operation::ListInboundTrunks,
        "SIP/CreateSIPOutboundTrunk" => Operation::CreateOutboundTrunk,
        "SIP/ListSIPOutboundTrunk" => Operation::ListOutboundTrunks,
        "SIP/UpdateSIPInboundTrunk" | "SIP/UpdateSIPOutboundTrunk" => Operation::UpdateSipTrunk,
        "SIP/DeleteSIPTrunk" => Operation::DeleteSipTrunk,
        "SIP/CreateSIPDispatchRule" => Operation::CreateDispatchRule,
        "SIP/UpdateSIPDispatchRule" => Operation::UpdateDispatchRule,
        "SIP/ListSIPDispatchRule" => Operation::ListDispatchRules,
        "SIP/DeleteSIPDispatchRule" => Operation::DeleteDispatchRule,
        "SIP/CreateSIPParticipant" => Operation::Dial,
        "RoomService/CreateRoom" => Operation::CreateRoom,
        "RoomService/ListRooms" => Operation::ListRooms,
        "RoomService/DeleteRoom" => Operation::DeleteRoom,
        "RoomService/ListParticipants" => Operation::ListParticipants,
        "RoomService/GetParticipant" => Operation::GetParticipant,
        "RoomService/RemoveParticipant" => Operation::RemoveParticipant,
        "AgentDispatchService/CreateDispatch" => Operation::CreateDispatch,
        "AgentDispatchService/ListDispatch" => Operation::ListDispatches,
        "AgentDispatchService/DeleteDispatch" => Operation::DeleteDispatch,
        _ => return None,
    })
}

/// Everything below `/twirp`.
pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/twirp/{service}/{method}", post(handle))
        .with_state(world)
}

async fn handle(
    AxumState(world): AxumState<Arc<World>>,
    Path((service, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = answer(&world, &service, &method, &headers, &body).await;
    webhook::flush(&world);
    answer.unwrap_or_else(TwirpError::answer)
}

async fn answer(
    world: &Arc<World>,
    service: &str,
    method: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, TwirpError> {
    let claims = world
        .livekit
        .claims(headers, world.clock.now().as_second())
        .map_err(|text| TwirpError::new("unauthenticated", text))?;
    let format = Format::of(headers)?;
    match (service, method) {
        ("livekit.SIP", "CreateSIPParticipant") => {
            claims.sip_call()?;
            let info = dial::dial(world, format.read(body)?).await?;
            Ok(format.write(&info))
        }
        ("livekit.SIP", method) => {
            claims.sip_admin()?;
            sip_answer(&mut world.livekit.state_lock(), method, format, body)
        }
        ("livekit.RoomService" | "livekit.AgentDispatchService", method) => {
            let mut state = world.livekit.state_lock();
            room_answer(&mut state, &claims, method, format, body, world.clock.now())
        }
        _ => Err(no_route(method)),
    }
}

fn no_route(method: &str) -> TwirpError {
    TwirpError::new("bad_route", format!("no handler for path {method:?}"))
}

fn sip_answer(state: &mut State, method: &str, format: Format, body: &[u8]) -> Result<Response, TwirpError> {
    Ok(match method {
        "CreateSIPInboundTrunk" => format.write(&state.create_inbound(format.read(body)?)?),
        "UpdateSIPInboundTrunk" => format.write(&state.update_inbound(format.read(body)?)?),
        "ListSIPInboundTrunk" => format.write(&state.list_inbound(&format.read(body)?)),
        "GetSIPInboundTrunk" => {
            let request: proto::GetSipInboundTrunkRequest = format.read(body)?;
            let trunk = state.inbound.get(&request.sip_trunk_id).cloned();
            let missing = || TwirpError::not_found("requested sip trunk does not exist");
            format.write(&proto::GetSipInboundTrunkResponse {
                trunk: Some(trunk.ok_or_else(missing)?),
            })
        }
        "CreateSIPOutboundTrunk" => format.write(&state.create_outbound(format.read(body)?)?),
        "UpdateSIPOutboundTrunk" => format.write(&state.update_outbound(format.read(body)?)?),
        "ListSIPOutboundTrunk" => format.write(&state.list_outbound(&format.read(body)?)),
        "GetSIPOutboundTrunk" => {
            let request: proto::GetSipOutboundTrunkRequest = format.read(body)?;
            let trunk = state.outbound.get(&request.sip_trunk_id).cloned();
            let missing = || TwirpError::not_found("requested sip trunk does not exist");
            format.write(&proto::GetSipOutboundTrunkResponse {
                trunk: Some(trunk.ok_or_else(missing)?),
            })
        }
        "DeleteSIPTrunk" => format.write(&state.delete_trunk(format.read(body)?)),
        "CreateSIPDispatchRule" => format.write(&state.create_rule(format.read(body)?)?),
        "UpdateSIPDispatchRule" => format.write(&state.update_rule(format.read(body)?)?),
        "ListSIPDispatchRule" => format.write(&state.list_rules(&format.read(body)?)),
        "DeleteSIPDispatchRule" => format.write(&state.delete_rule(&format.read(body)?)?),
        _ => return Err(no_route(method)),
    })
}

fn room_answer(
    state: &mut State,
    claims: &Claims,
    method: &str,
    format: Format,
    body: &[u8],
    now: jiff::Timestamp,
) -> Result<Response, TwirpError> {
    Ok(match method {
        "CreateRoom" => {
            claims.room_create()?;
            format.write(&state.create_room(&format.read(body)?, now)?)
        }
        "ListRooms" => {
            claims.room_list()?;
            format.write(&state.list_rooms(&format.read(body)?))
        }
        "DeleteRoom" => {
            claims.room_create()?;
            format.write(&state.delete_room(&format.read(body)?, now)?)
        }
        "ListParticipants" => {
            let request: proto::ListParticipantsRequest = format.read(body)?;
            claims.room_admin(&request.room)?;
            format.write(&state.list_participants(&request)?)
        }
        "GetParticipant" => {
            let request: proto::RoomParticipantIdentity = format.read(body)?;
            claims.room_admin(&request.room)?;
            format.write(&state.participant(&request.room, &request.identity)?)
        }
        "RemoveParticipant" => {
            let request: proto::RoomParticipantIdentity = format.read(body)?;
            claims.room_admin(&request.room)?;
            let reason = DisconnectReason::ParticipantRemoved;
            state.leave(&request.room, &request.identity, reason, now)?;
            format.write(&proto::RemoveParticipantResponse {})
        }
        "CreateDispatch" => {
            let request: proto::CreateAgentDispatchRequest = format.read(body)?;
            claims.room_admin(&request.room)?;
            format.write(&state.dispatch(request, now)?)
        }
        "ListDispatch" => {
            let request: proto::ListAgentDispatchRequest = format.read(body)?;
            claims.room_admin(&request.room)?;
            format.write(&state.list_dispatches(&request)?)
        }
        "DeleteDispatch" => {
            let request: proto::DeleteAgentDispatchRequest = format.read(body)?;
            claims.room_admin(&request.room)?;
            format.write(&state.delete_dispatch(&request)?)
        }
        _ => return Err(no_route(method)),
    })
}
