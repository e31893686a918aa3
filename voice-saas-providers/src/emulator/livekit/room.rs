//! Rooms, participants, and agents sent to them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use livekit_protocol as proto;
use proto::DisconnectReason;
use proto::participant_info::{Kind, State as Joined};

use super::State;
use super::wire::TwirpError;
use crate::emulator::id;

const MOST_ROOMS: usize = 10_000;
const MOST_PARTICIPANTS: usize = 1_000;

/// A room that is open. It stays open until it is deleted: the emulator has no time-outs for empty rooms.
#[derive(Debug, Clone)]
pub(super) struct OpenRoom {
    pub(super) info: proto::Room,
    pub(super) participants: BTreeMap<String, proto::ParticipantInfo>,
    pub(super) dispatches: BTreeMap<String, proto::AgentDispatch>,
}

impl OpenRoom {
    pub(super) fn info(&self) -> proto::Room {
        proto::Room {
            num_participants: u32::try_from(self.participants.len()).unwrap_or(u32::MAX),
            ..self.info.clone()
        }
    }
}

fn no_room() -> TwirpError {
    TwirpError::not_found("requested room does not exist")
}

fn no_participant() -> TwirpError {
    TwirpError::not_found("participant does not exist")
}

impl State {
    pub(super) fn event(&mut self, event: &str, now: Timestamp, about: proto::WebhookEvent) {
        self.outbox.push_back(proto::WebhookEvent {
            event: event.to_owned(),
            id: format!("EV_{}", id::hex(12)),
            created_at: now.as_second(),
            ..about
        });
    }

    /// The room of this name, made when it is not there.
    pub(super) fn open(
        &mut self,
        request: &proto::CreateRoomRequest,
        now: Timestamp,
    ) -> Result<&mut OpenRoom, TwirpError> {
        if request.name.is_empty() {
            return Err(TwirpError::invalid("room name is required"));
        }
        if !self.rooms.contains_key(&request.name) {
            if self.rooms.len() >= MOST_ROOMS {
                return Err(TwirpError::new("resource_exhausted", "too many rooms"));
            }
            let or = |given, default| if given == 0 { default } else { given };
            let info = proto::Room {
                sid: format!("RM_{}", id::hex(12)),
                name: request.name.clone(),
                empty_timeout: or(request.empty_timeout, 300),
                departure_timeout: or(request.departure_timeout, 20),
                max_participants: request.max_participants,
                creation_time: now.as_second(),
                creation_time_ms: now.as_millisecond(),
                metadata: request.metadata.clone(),
                ..Default::default()
            };
            let started = proto::WebhookEvent {
                room: Some(info.clone()),
                ..Default::default()
            };
            self.event("room_started", now, started);
            let room = OpenRoom {
                info,
                participants: BTreeMap::new(),
                dispatches: BTreeMap::new(),
            };
            self.rooms.insert(request.name.clone(), room);
            // Agents come only with the room.
            for agent in &request.agents {
                let order = proto::CreateAgentDispatchRequest {
                    agent_name: agent.agent_name.clone(),
                    room: request.name.clone(),
                    metadata: agent.metadata.clone(),
                    ..Default::default()
                };
                self.dispatch(order, now)?;
            }
        }
        self.rooms.get_mut(&request.name).ok_or_else(no_room)
    }

    pub(super) fn create_room(
        &mut self,
        request: &proto::CreateRoomRequest,
        now: Timestamp,
    ) -> Result<proto::Room, TwirpError> {
        self.open(request, now).map(|room| room.info())
    }

    pub(super) fn list_rooms(&self, request: &proto::ListRoomsRequest) -> proto::ListRoomsResponse {
        let wanted = |room: &&OpenRoom| request.names.is_empty() || request.names.contains(&room.info.name);
        proto::ListRoomsResponse {
            rooms: self.rooms.values().filter(wanted).map(OpenRoom::info).collect(),
        }
    }

    pub(super) fn delete_room(
        &mut self,
        request: &proto::DeleteRoomRequest,
        now: Timestamp,
    ) -> Result<proto::DeleteRoomResponse, TwirpError> {
        let identities: Vec<String> = self.room(&request.room)?.participants.keys().cloned().collect();
        for identity in identities {
            self.leave(&request.room, &identity, DisconnectReason::RoomDeleted, now)?;
        }
        let room = self.rooms.remove(&request.room).ok_or_else(no_room)?;
        let finished = proto::WebhookEvent {
            room: Some(room.info()),
            room_end_reason: proto::RoomEndReason::RoomEndApiDelete as i32,
            ..Default::default()
        };
        self.event("room_finished", now, finished);
        Ok(proto::DeleteRoomResponse {})
    }

    pub(super) fn room(&self, name: &str) -> Result<&OpenRoom, TwirpError> {
        self.rooms.get(name).ok_or_else(no_room)
    }

    fn room_mut(&mut self, name: &str) -> Result<&mut OpenRoom, TwirpError> {
        self.rooms.get_mut(name).ok_or_else(no_room)
    }

    pub(super) fn list_participants(
        &self,
        request: &proto::ListParticipantsRequest,
    ) -> Result<proto::ListParticipantsResponse, TwirpError> {
        let room = self.room(&request.room)?;
        Ok(proto::ListParticipantsResponse {
            participants: room.participants.values().cloned().collect(),
        })
    }

    pub(super) fn participant(
        &self,
        room: &str,
        identity: &str,
    ) -> Result<proto::ParticipantInfo, TwirpError> {
        let found = self.room(room)?.participants.get(identity);
        found.cloned().ok_or_else(no_participant)
    }

    /// A call joins. Whoever was there under its identity has to go.
    pub(super) fn join(
        &mut self,
        room: &str,
        mut call: proto::ParticipantInfo,
        now: Timestamp,
    ) -> Result<proto::ParticipantInfo, TwirpError> {
        if self.participant(room, &call.identity).is_ok() {
            self.leave(room, &call.identity, DisconnectReason::DuplicateIdentity, now)?;
        }
        call.sid = format!("PA_{}", id::hex(12));
        call.kind = Kind::Sip as i32;
        call.state = Joined::Active as i32;
        call.joined_at = now.as_second();
        call.joined_at_ms = now.as_millisecond();
        let room = self.room_mut(room)?;
        if room.participants.len() >= MOST_PARTICIPANTS {
            return Err(TwirpError::new("resource_exhausted", "too many participants"));
        }
        room.participants.insert(call.identity.clone(), call.clone());
        let joined = proto::WebhookEvent {
            room: Some(room.info()),
            participant: Some(call.clone()),
            ..Default::default()
        };
        self.event("participant_joined", now, joined);
        Ok(call)
    }

    pub(super) fn set_status(&mut self, room: &str, identity: &str, sid: &str, status: &str) -> bool {
        let found = self
            .rooms
            .get_mut(room)
            .and_then(|room| room.participants.get_mut(identity))
            .filter(|found| found.sid == sid);
        let Some(found) = found else { return false };
        found
            .attributes
            .insert("sip.callStatus".to_owned(), status.to_owned());
        true
    }

    pub(super) fn leave(
        &mut self,
        room: &str,
        identity: &str,
        reason: DisconnectReason,
        now: Timestamp,
    ) -> Result<(), TwirpError> {
        let room = self.room_mut(room)?;
        let mut gone = room.participants.remove(identity).ok_or_else(no_participant)?;
        gone.state = Joined::Disconnected as i32;
        gone.disconnect_reason = reason as i32;
        let ending = [
            DisconnectReason::ClientInitiated,
            DisconnectReason::RoomDeleted,
            DisconnectReason::ParticipantRemoved,
        ];
        let status = gone.attributes.get_mut("sip.callStatus");
        // A call that failed keeps the last word.
        if let Some(status) = status
            && status == "active"
            && ending.contains(&reason)
        {
            "hangup".clone_into(status);
        }
        let left = proto::WebhookEvent {
            room: Some(room.info()),
            participant: Some(gone),
            ..Default::default()
        };
        self.event("participant_left", now, left);
        Ok(())
    }

    /// Sends an agent, whether or not a worker runs, and makes its room.
    pub(super) fn dispatch(
        &mut self,
        request: proto::CreateAgentDispatchRequest,
        now: Timestamp,
    ) -> Result<proto::AgentDispatch, TwirpError> {
        let room = proto::CreateRoomRequest {
            name: request.room.clone(),
            ..Default::default()
        };
        let room = self.open(&room, now)?;
        let id = format!("AD_{}", id::hex(12));
        let job = proto::Job {
            id: format!("AJ_{}", id::hex(12)),
            dispatch_id: id.clone(),
            metadata: request.metadata.clone(),
            agent_name: request.agent_name.clone(),
            room: Some(room.info()),
            state: Some(proto::JobState::default()),
            ..Default::default()
        };
        let dispatch = proto::AgentDispatch {
            id: id.clone(),
            agent_name: request.agent_name,
            room: request.room,
            metadata: request.metadata,
            state: Some(proto::AgentDispatchState {
                jobs: vec![job],
                created_at: i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX),
                deleted_at: 0,
            }),
            restart_policy: request.restart_policy,
            deployment: request.deployment,
            attributes: request.attributes,
        };
        room.dispatches.insert(id, dispatch.clone());
        Ok(dispatch)
    }

    pub(super) fn list_dispatches(
        &self,
        request: &proto::ListAgentDispatchRequest,
    ) -> Result<proto::ListAgentDispatchResponse, TwirpError> {
        let wanted = |dispatch: &&proto::AgentDispatch| {
            request.dispatch_id.is_empty() || dispatch.id == request.dispatch_id
        };
        let room = self.room(&request.room)?;
        Ok(proto::ListAgentDispatchResponse {
            agent_dispatches: room.dispatches.values().filter(wanted).cloned().collect(),
        })
    }

    pub(super) fn delete_dispatch(
        &mut self,
        request: &proto::DeleteAgentDispatchRequest,
    ) -> Result<proto::AgentDispatch, TwirpError> {
        let gone = self
            .room_mut(&request.room)?
            .dispatches
            .remove(&request.dispatch_id);
        gone.ok_or_else(|| TwirpError::not_found("dispatch not found"))
    }
}
