//! A SIP trunk: how the calls of one number get from its carrier to a media side and back.

mod align;
mod delete;
mod failure;
mod repo;
mod service;
mod set_up;
mod side;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    VoiceSaas,
    clock::Ambient,
    id::{NumberId, SagaId, TrunkId},
    provider::telephony::{RouteHandle, SipCredentials},
    secret::{Sealer, SecretString},
};

pub use failure::TrunkFailure;
pub use repo::TrunkRepo;
pub use service::{EnsuredTrunk, TrunkError, Trunks};

pub(crate) use align::{AlignTrunk, align as align_trunk, enqueue_align};
pub(crate) use delete::{DeleteTrunk, delete as delete_trunk, delete_of_number, enqueue_delete_of_number};
pub(crate) use set_up::SetUpTrunk;

/// Where calls go by SIP: a provider that takes them into rooms, and the agent that answers there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SipMedia {
    /// The name of the provider, such as `livekit`.
    pub provider: String,
    /// Its SIP host, which carriers send calls to, such as `abc123.sip.livekit.cloud`.
    pub host: String,
    /// The name under which the agent's workers have registered there.
    pub agent_name: String,
    /// What the names of the rooms begin with.
    pub room_prefix: String,
}

impl SipMedia {
    /// This agent, in rooms `call-…` of this provider.
    pub fn new(provider: impl Into<String>, host: impl Into<String>, agent_name: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            host: host.into(),
            agent_name: agent_name.into(),
            room_prefix: "call-".to_owned(),
        }
    }
}

/// Where a trunk stands in its life: `pending → active → deleting → deleted`, or `pending → (stuck →) failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrunkStatus {
    /// It is being set up.
    Pending,
    /// All its parts are there.
    Active,
    /// It could not be set up, and nothing is left of it.
    Failed,
    /// It could not be set up, and something of it may be left at a provider that could not be taken away. It goes on
    /// when an operator lets its job try again, when it is asked for anew, or when it is deleted.
    Stuck,
    /// It is being taken away.
    Deleting,
    /// It was taken away.
    Deleted,
}

/// A SIP password as it lies in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedPassword(Vec<u8>);

impl SealedPassword {
    /// What the store holds.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// For the store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedPassword")
    }
}

/// The SIP trunk of one number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trunk {
    /// Our id.
    pub id: TrunkId,
    /// The number whose calls it carries.
    pub number: NumberId,
    /// The carrier, where it has a part of the trunk.
    pub carrier: Option<String>,
    /// The media side.
    pub media: String,
    /// Its name at both: what finds it again.
    pub tag: String,
    /// What the carrier made for it.
    pub carrier_route: Option<RouteHandle>,
    /// What the media side made for it.
    pub media_route: Option<RouteHandle>,
    /// The carrier's SIP host, which takes calls out.
    pub sip_host: Option<String>,
    /// The password of calls out, for [`username`](Self::username).
    pub password: SealedPassword,
    /// Where it stands.
    pub status: TrunkStatus,
    /// Why it failed or is stuck.
    pub failure: Option<TrunkFailure>,
    /// The work that sets it up.
    pub saga: Option<SagaId>,
    /// Since when it is known here.
    pub created_at: Timestamp,
}

impl Trunk {
    /// A trunk that is to be set up.
    pub fn pending(
        id: TrunkId,
        number: NumberId,
        media: impl Into<String>,
        password: SealedPassword,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            number,
            carrier: None,
            media: media.into(),
            tag: id.to_string(),
            carrier_route: None,
            media_route: None,
            sip_host: None,
            password,
            status: TrunkStatus::Pending,
            failure: None,
            saga: None,
            created_at,
        }
    }

    /// The user of calls out: 32 characters, the most that Twilio takes (page
    /// `voice/sip/api/sip-credential-resource`).
    pub fn username(&self) -> String {
        self.id.as_uuid().simple().to_string()
    }

    /// What opens the carrier's side for calls out; `None` when it was sealed under another key.
    pub(crate) fn credentials(&self, app: &VoiceSaas) -> Option<SipCredentials> {
        let password = app.sealer().open(self.password.as_bytes(), self.tag.as_bytes())?;
        let password = SecretString::from(String::from_utf8(password).ok()?);
        Some(SipCredentials::new(self.username(), password))
    }
}

/// A fresh password of 160 bits. A digit, a capital and a small letter are among its characters, which Twilio asks for
/// (page `errors/21240`).
fn fresh_password(sealer: &Sealer, ambient: &Ambient, tag: &str) -> SealedPassword {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    let random: [u8; 20] = ambient.random();
    let password = SecretString::from(format!("{}aZ7", URL_SAFE_NO_PAD.encode(random)));
    let plain = secrecy::ExposeSecret::expose_secret(&password).as_bytes();
    SealedPassword(sealer.seal(plain, tag.as_bytes(), ambient))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::auth::SecretKey;

    #[test]
    fn a_password_is_long_mixed_and_shown_nowhere() {
        let (sealer, ambient) = (Sealer::new(&SecretKey::new([7; 32]).unwrap()), Ambient::system());
        let password = fresh_password(&sealer, &ambient, "trk_1");
        assert_eq!(format!("{password:?}"), "SealedPassword");
        assert_eq!(sealer.open(password.as_bytes(), b"trk_2"), None);
        let plain = String::from_utf8(sealer.open(password.as_bytes(), b"trk_1").unwrap()).unwrap();
        assert!(plain.len() >= 20);
        for kind in [
            char::is_ascii_digit,
            char::is_ascii_uppercase,
            char::is_ascii_lowercase,
        ] {
            assert!(plain.chars().any(|char| kind(&char)));
        }
        assert_ne!(fresh_password(&sealer, &ambient, "trk_1"), password);
    }

    #[test]
    fn a_user_is_as_long_as_carriers_take() {
        let (id, number) = (
            TrunkId::from_uuid(Uuid::from_u128(1)),
            NumberId::from_uuid(Uuid::from_u128(2)),
        );
        let password = SealedPassword::from_bytes(Vec::new());
        let trunk = Trunk::pending(id, number, "livekit", password, Timestamp::UNIX_EPOCH);
        assert_eq!(trunk.username().len(), 32);
        assert_eq!(trunk.tag, id.to_string());
    }
}
