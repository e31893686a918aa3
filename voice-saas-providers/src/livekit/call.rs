//! Calls: the SIP participants of rooms (page `reference/telephony/sip-participant`).

use async_trait::async_trait;
use livekit_protocol as proto;
use url::form_urlencoded;
use voice_saas_core::provider::{
    ErrorKind, ProviderError,
    telephony::{CallProvider, ProviderCall, ProviderCallId, ProviderCallStatus, Removal},
};

use super::{LiveKit, room, twirp::Rpc};
use crate::http::Effect;

const FETCH: Rpc = Rpc::new("fetch a call", "RoomService/GetParticipant", Effect::Read);
const HANG_UP: Rpc = Rpc::new("hang up a call", "RoomService/RemoveParticipant", Effect::Read);

/// The attribute that says how far a call has come.
pub(super) const STATUS: &str = "sip.callStatus";

/// The id of the call that takes part in `room` as `identity`. LiveKit finds a call by both, and both are known before
/// it is dialled.
pub fn call_id(room: &str, identity: &str) -> ProviderCallId {
    let part = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    ProviderCallId::new(format!("{}/{}", part(room), part(identity)))
}

/// Room and identity.
fn place(rpc: Rpc, id: &ProviderCallId) -> Result<(String, String), ProviderError> {
    let part = |text: &str| {
        // A form of one value.
        form_urlencoded::parse(format!("v={text}").as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .filter(|value| !value.is_empty())
    };
    let parts = id.as_str().split_once('/');
    parts
        .and_then(|(room, identity)| Some((part(room)?, part(identity)?)))
        .ok_or_else(|| rpc.error(ErrorKind::Invalid, "an id that is not of a LiveKit call"))
}

/// How far a call has come, by its attribute.
pub(super) fn status(word: &str) -> ProviderCallStatus {
    match word {
        "dialing" => ProviderCallStatus::Initiated,
        "ringing" => ProviderCallStatus::Ringing,
        // Automation is the sending of digits after the answer.
        "automation" | "active" => ProviderCallStatus::InProgress,
        "hangup" => ProviderCallStatus::Completed,
        _ => ProviderCallStatus::Unknown,
    }
}

#[async_trait]
impl CallProvider for LiveKit {
    /// A call that is over has left its room: `NotFound`. LiveKit keeps no record of it that this API shows.
    async fn fetch(&self, id: &ProviderCallId) -> Result<ProviderCall, ProviderError> {
        let (room, identity) = place(FETCH, id)?;
        let found: proto::ParticipantInfo = self.participant(FETCH, &room, &identity).await?;
        if found.kind != proto::participant_info::Kind::Sip as i32 {
            return Err(FETCH.error(ErrorKind::NotFound, "who takes part under this name is no call"));
        }
        let status = found
            .attributes
            .get(STATUS)
            .map_or(ProviderCallStatus::Unknown, |word| status(word));
        Ok(ProviderCall::new(id.clone(), status)
            .with_times(room::moment(found.joined_at_ms, found.joined_at), None))
    }

    async fn hang_up(&self, id: &ProviderCallId) -> Result<Removal, ProviderError> {
        let (room, identity) = place(HANG_UP, id)?;
        self.take_out(HANG_UP, &room, &identity).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_room_and_identity_whatever_they_hold() {
        for (room, identity) in [("r", "i"), ("in-_+1555/x y", "sip_+1555&=%"), ("zimmer ü", "ä/b")] {
            let id = call_id(room, identity);
            assert_eq!(
                place(FETCH, &id).unwrap(),
                (room.to_owned(), identity.to_owned()),
                "{id}"
            );
        }
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        for id in ["", "CA0123", "/i", "r/"] {
            let error = place(FETCH, &ProviderCallId::new(id)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{id}");
        }
    }
}
