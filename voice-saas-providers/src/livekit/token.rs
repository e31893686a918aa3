//! Access tokens: who asks, and what they may do (page `home/get-started/authentication`).

use std::{fmt, time::Duration};

use livekit_api::access_token::{AccessToken, Claims, SIPGrants, TokenVerifier, VideoGrants};
use voice_saas_core::secret::{ExposeSecret, SecretString};

/// Longer than any request and its repetitions take.
const VALIDITY: Duration = Duration::from_mins(10);

/// An API key with its secret.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) key: String,
    pub(super) secret: SecretString,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What one request needs to be allowed. Nothing more is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant<'a> {
    /// Trunks and rules.
    SipAdmin,
    /// Dialling.
    SipCall,
    /// Making and deleting rooms.
    RoomCreate,
    /// Listing rooms.
    RoomList,
    /// Participants and agents of this room.
    RoomAdmin(&'a str),
}

impl Keys {
    /// A token for one request; `None` when the key or the secret is empty.
    pub(super) fn token(&self, grant: Grant<'_>) -> Option<SecretString> {
        let (mut video, mut sip) = (VideoGrants::default(), SIPGrants::default());
        match grant {
            Grant::SipAdmin => sip.admin = true,
            Grant::SipCall => sip.call = true,
            Grant::RoomCreate => video.room_create = true,
            Grant::RoomList => video.room_list = true,
            Grant::RoomAdmin(room) => {
                video.room_admin = true;
                room.clone_into(&mut video.room);
            }
        }
        let token = self.access().with_grants(video).with_sip_grants(sip);
        token.to_jwt().ok().map(SecretString::from)
    }

    /// A token that vouches for a webhook's body.
    pub(super) fn voucher(&self, sha256: &str) -> Option<String> {
        self.access().with_sha256(sha256).to_jwt().ok()
    }

    fn access(&self) -> AccessToken {
        AccessToken::with_api_key(&self.key, self.secret.expose_secret()).with_ttl(VALIDITY)
    }

    /// What the token says, when it was made with these keys and is valid now.
    pub(super) fn verify(&self, token: &str) -> Option<Claims> {
        let verifier = TokenVerifier::with_api_key(&self.key, self.secret.expose_secret());
        let claims = verifier.verify(token).ok()?;
        (claims.iss == self.key).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    use super::*;

    fn keys(key: &str, secret: &str) -> Keys {
        Keys {
            key: key.to_owned(),
            secret: secret.to_owned().into(),
        }
    }

    #[track_caller]
    fn check(grant: Grant<'_>, expected: &Value) {
        let token = keys("devkey", "secret").token(grant).unwrap();
        let payload = token.expose_secret().split('.').nth(1).unwrap().to_owned();
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        let claims = claims.as_object_mut().unwrap();
        let (from, until) = (claims.remove("nbf").unwrap(), claims.remove("exp").unwrap());
        assert_eq!(until.as_u64().unwrap() - from.as_u64().unwrap(), 600);
        assert_eq!(claims.remove("iss").unwrap(), "devkey");
        assert_eq!(Value::Object(claims.clone()), *expected);
    }

    #[test]
    fn a_token_allows_one_kind_of_request_and_nothing_else() {
        check(Grant::SipAdmin, &json!({"sip": {"admin": true}}));
        check(Grant::SipCall, &json!({"sip": {"call": true}}));
        check(Grant::RoomCreate, &json!({"video": {"roomCreate": true}}));
        check(Grant::RoomList, &json!({"video": {"roomList": true}}));
        check(
            Grant::RoomAdmin("r"),
            &json!({"video": {"roomAdmin": true, "room": "r"}}),
        );
    }

    #[test]
    fn a_token_of_other_keys_does_not_verify() {
        let token = keys("devkey", "secret").voucher("aGFzaA==").unwrap();
        assert_eq!(
            keys("devkey", "secret").verify(&token).unwrap().sha256,
            "aGFzaA=="
        );
        assert!(keys("devkey", "another").verify(&token).is_none());
        assert!(keys("another", "secret").verify(&token).is_none());
        assert!(keys("devkey", "secret").verify("a.b.c").is_none());
    }

    #[test]
    fn keys_do_not_print_their_secret() {
        let printed = format!("{:?}", keys("devkey", "hunter2"));
        assert!(
            printed.contains("devkey") && !printed.contains("hunter2"),
            "{printed}"
        );
    }
}
