//! Rooms and who takes part in them (page `reference/server/server-apis`, `RoomService`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use livekit_protocol as proto;
use voice_saas_core::provider::{ErrorKind, ProviderError, telephony::Removal};

use super::{LiveKit, token::Grant, twirp::Rpc};
use crate::http::Effect;

const CREATE: Rpc = Rpc::new("make a room", "RoomService/CreateRoom", Effect::Keyed);
/// Agents would come twice.
const CREATE_WITH_AGENTS: Rpc = Rpc::new("make a room", "RoomService/CreateRoom", Effect::Once);
const LIST: Rpc = Rpc::new("list rooms", "RoomService/ListRooms", Effect::Read);
const DELETE: Rpc = Rpc::new("delete a room", "RoomService/DeleteRoom", Effect::Read);
const LIST_PARTICIPANTS: Rpc = Rpc::new(
    "list a room's participants",
    "RoomService/ListParticipants",
    Effect::Read,
);
const GET_PARTICIPANT: Rpc = Rpc::new("get a participant", "RoomService/GetParticipant", Effect::Read);
const REMOVE_PARTICIPANT: Rpc = Rpc::new(
    "remove a participant",
    "RoomService/RemoveParticipant",
    Effect::Read,
);

/// A room to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomOrder {
    name: String,
    metadata: String,
    empty_seconds: u32,
    departure_seconds: u32,
    agents: Vec<(String, String)>,
}

impl RoomOrder {
    /// A room with LiveKit's own limits: it closes 300 s after it was made when nobody came, and 20 s after the last
    /// participant left who is neither an agent nor a recorder.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            metadata: String::new(),
            empty_seconds: 0,
            departure_seconds: 0,
            agents: Vec::new(),
        }
    }

    /// What every participant can read.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// It closes after so many seconds when nobody came.
    #[must_use]
    pub fn with_empty_seconds(mut self, seconds: u32) -> Self {
        self.empty_seconds = seconds;
        self
    }

    /// It closes so many seconds after the last one left.
    #[must_use]
    pub fn with_departure_seconds(mut self, seconds: u32) -> Self {
        self.departure_seconds = seconds;
        self
    }

    /// Sends this agent into it, when the room is not there yet.
    #[must_use]
    pub fn with_agent(mut self, agent_name: impl Into<String>, metadata: impl Into<String>) -> Self {
        self.agents.push((agent_name.into(), metadata.into()));
        self
    }
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Room {
    /// LiveKit's id, `RM_…`; another one each time that a room of this name is made.
    pub sid: String,
    /// Its name.
    pub name: String,
    /// What every participant can read.
    pub metadata: String,
    /// How many take part, as LiveKit counts them: late, and without agents.
    pub participants: u32,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// What a participant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParticipantKind {
    /// A person at a browser or an app, or whoever joins with a plain token.
    Standard,
    /// A telephone call.
    Sip,
    /// An agent.
    Agent,
    /// A stream that is recorded or brought in, or a kind that this library does not know.
    Other,
}

/// Who takes part in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// LiveKit's id, `PA_…`; another one each time that somebody joins under this identity.
    pub sid: String,
    /// The name that is unique within the room.
    pub identity: String,
    /// The name for people.
    pub name: String,
    /// What it is.
    pub kind: ParticipantKind,
    /// What it brought along, such as `sip.callStatus` and `sip.twilio.callSid`
    /// (page `reference/telephony/sip-participant`).
    pub attributes: BTreeMap<String, String>,
    /// What it was given.
    pub metadata: String,
    /// When it joined.
    pub joined_at: Option<Timestamp>,
}

impl LiveKit {
    /// Makes a room, or answers the one of this name that is there. Never for callers who come by a rule: its agents
    /// are sent only into rooms that the caller makes.
    ///
    /// # Errors
    /// `Invalid` when the name is empty.
    pub async fn create_room(&self, order: &RoomOrder) -> Result<Room, ProviderError> {
        let rpc = if order.agents.is_empty() {
            CREATE
        } else {
            CREATE_WITH_AGENTS
        };
        if order.name.is_empty() {
            return Err(rpc.error(ErrorKind::Invalid, "the room has no name"));
        }
        let agent = |(agent_name, metadata): &(String, String)| proto::RoomAgentDispatch {
            agent_name: agent_name.clone(),
            metadata: metadata.clone(),
            ..Default::default()
        };
        let message = proto::CreateRoomRequest {
            name: order.name.clone(),
            metadata: order.metadata.clone(),
            empty_timeout: order.empty_seconds,
            departure_timeout: order.departure_seconds,
            agents: order.agents.iter().map(agent).collect(),
            ..Default::default()
        };
        let room: proto::Room = self.twirp.call(rpc, Grant::RoomCreate, &message).await?;
        Ok(read(room))
    }

    /// The rooms of these names that are there; all rooms when none is named.
    ///
    /// # Errors
    /// Those of any request.
    pub async fn list_rooms(&self, names: &[String]) -> Result<Vec<Room>, ProviderError> {
        let message = proto::ListRoomsRequest {
            names: names.to_vec(),
        };
        let answer: proto::ListRoomsResponse = self.twirp.call(LIST, Grant::RoomList, &message).await?;
        Ok(answer.rooms.into_iter().map(read).collect())
    }

    /// Closes a room: all calls in it are hung up, and its agents leave.
    ///
    /// # Errors
    /// Those of any request.
    pub async fn delete_room(&self, name: &str) -> Result<Removal, ProviderError> {
        let message = proto::DeleteRoomRequest {
            room: name.to_owned(),
        };
        let answer: Result<proto::DeleteRoomResponse, _> =
            self.twirp.call(DELETE, Grant::RoomCreate, &message).await;
        removed(answer)
    }

    /// Who takes part in a room. Nobody does where there is no room.
    ///
    /// # Errors
    /// Those of any request.
    pub async fn list_participants(&self, room: &str) -> Result<Vec<Participant>, ProviderError> {
        let message = proto::ListParticipantsRequest {
            room: room.to_owned(),
        };
        let answer: Result<proto::ListParticipantsResponse, _> = self
            .twirp
            .call(LIST_PARTICIPANTS, Grant::RoomAdmin(room), &message)
            .await;
        match answer {
            Ok(answer) => Ok(answer.participants.into_iter().map(participant).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Who takes part under this identity, if anybody does.
    ///
    /// # Errors
    /// Those of any request.
    pub async fn get_participant(
        &self,
        room: &str,
        identity: &str,
    ) -> Result<Option<Participant>, ProviderError> {
        match self.participant(GET_PARTICIPANT, room, identity).await {
            Ok(found) => Ok(Some(participant(found))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes somebody out of a room. A call is hung up by that.
    ///
    /// # Errors
    /// Those of any request.
    pub async fn remove_participant(&self, room: &str, identity: &str) -> Result<Removal, ProviderError> {
        self.take_out(REMOVE_PARTICIPANT, room, identity).await
    }

    pub(super) async fn participant(
        &self,
        rpc: Rpc,
        room: &str,
        identity: &str,
    ) -> Result<proto::ParticipantInfo, ProviderError> {
        self.twirp
            .call(rpc, Grant::RoomAdmin(room), &whom(room, identity))
            .await
    }

    pub(super) async fn take_out(
        &self,
        rpc: Rpc,
        room: &str,
        identity: &str,
    ) -> Result<Removal, ProviderError> {
        let answer: Result<proto::RemoveParticipantResponse, _> = self
            .twirp
            .call(rpc, Grant::RoomAdmin(room), &whom(room, identity))
            .await;
        removed(answer)
    }
}

fn whom(room: &str, identity: &str) -> proto::RoomParticipantIdentity {
    proto::RoomParticipantIdentity {
        room: room.to_owned(),
        identity: identity.to_owned(),
        ..Default::default()
    }
}

/// What is not there is gone.
pub(super) fn removed<T>(answer: Result<T, ProviderError>) -> Result<Removal, ProviderError> {
    match answer {
        Ok(_) => Ok(Removal::Removed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Removal::AlreadyGone),
        Err(error) => Err(error),
    }
}

/// Older servers know seconds alone.
pub(super) fn moment(milliseconds: i64, seconds: i64) -> Option<Timestamp> {
    match (milliseconds, seconds) {
        (0, 0) => None,
        (0, seconds) => Timestamp::from_second(seconds).ok(),
        (milliseconds, _) => Timestamp::from_millisecond(milliseconds).ok(),
    }
}

fn read(room: proto::Room) -> Room {
    Room {
        sid: room.sid,
        name: room.name,
        metadata: room.metadata,
        participants: room.num_participants,
        created_at: moment(room.creation_time_ms, room.creation_time),
    }
}

fn participant(info: proto::ParticipantInfo) -> Participant {
    use proto::participant_info::Kind;
    let kind = match Kind::try_from(info.kind) {
        Ok(Kind::Standard) => ParticipantKind::Standard,
        Ok(Kind::Sip) => ParticipantKind::Sip,
        Ok(Kind::Agent) => ParticipantKind::Agent,
        _ => ParticipantKind::Other,
    };
    Participant {
        sid: info.sid,
        identity: info.identity,
        name: info.name,
        kind,
        attributes: info.attributes.into_iter().collect(),
        metadata: info.metadata,
        joined_at: moment(info.joined_at_ms, info.joined_at),
    }
}
