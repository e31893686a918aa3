//! Webhooks: checked first, then read (page `intro/basics/rooms-participants-tracks/webhooks-events`).

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::header;
use jiff::Timestamp;
use livekit_api::access_token::Claims;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use voice_saas_core::{
    provider::telephony::{
        CallPlan, CallProgress, InboundWebhook, ProviderCallStatus, TelephonyEvent, WebhookAnswer,
        WebhookError, WebhookKind, WebhookRequest,
    },
    secret::{SecretString, same},
};

use super::{call, call_id, token::Keys};

/// The webhooks of one project.
#[derive(Debug, Clone)]
pub(super) struct Webhook {
    keys: Vec<Keys>,
}

/// The fields that are used. LiveKit adds fields, words and events without notice, so every word is a text.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    #[serde(rename = "event")]
    name: String,
    room: Room,
    participant: Option<Participant>,
    #[serde(deserialize_with = "number")]
    created_at: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Room {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Participant {
    identity: String,
    #[serde(deserialize_with = "word")]
    kind: String,
    attributes: BTreeMap<String, String>,
    #[serde(deserialize_with = "word")]
    disconnect_reason: String,
    #[serde(deserialize_with = "number")]
    joined_at: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(i64),
    Text(String),
    Other(serde::de::IgnoredAny),
}

/// 64-bit numbers are texts in JSON.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(match Scalar::deserialize(deserializer)? {
        Scalar::Number(number) => number,
        Scalar::Text(text) => text.parse().unwrap_or_default(),
        Scalar::Other(_) => 0,
    })
}

/// A word that the sender has no name for is a number.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Scalar::deserialize(deserializer)? {
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => text,
        Scalar::Other(_) => String::new(),
    })
}

impl Webhook {
    pub(super) fn new(keys: Vec<Keys>) -> Self {
        Self { keys }
    }

    /// The token vouches for the body by its hash.
    fn verify(&self, request: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        let token = request
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .ok_or(WebhookError::Forged("no token"))?;
        // LiveKit sends it bare.
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        let issuer = Claims::from_unverified(token)
            .map_err(|_| WebhookError::Forged("what should be a token is none"))?
            .iss;
        let claims = self
            .keys
            .iter()
            .filter(|keys| keys.key == issuer)
            .find_map(|keys| keys.verify(token))
            .ok_or(WebhookError::Forged("signed by somebody else, or too long ago"))?;
        if same(claims.sha256.as_bytes(), hash(request.body).as_bytes()) {
            Ok(())
        } else {
            Err(WebhookError::Forged("the body is not the one that was signed"))
        }
    }
}

impl InboundWebhook for Webhook {
    /// LiveKit calls one URL for everything, so every event is a [`WebhookKind::Status`]. It has none for the answer:
    /// a call shows as answered when it has not ended yet and is asked for.
    fn receive(
        &self,
        kind: WebhookKind,
        request: &WebhookRequest<'_>,
    ) -> Result<TelephonyEvent, WebhookError> {
        self.verify(request)?;
        if kind != WebhookKind::Status {
            return Err(WebhookError::Malformed(
                "a kind of webhook that LiveKit does not send",
            ));
        }
        let event: Event = serde_json::from_slice(request.body)
            .map_err(|_| WebhookError::Malformed("a body that is not an event"))?;
        Ok(event
            .progress()
            .map_or(TelephonyEvent::Other, TelephonyEvent::Progress))
    }

    /// LiveKit reads no answer.
    fn answer(&self, _: &CallPlan) -> WebhookAnswer {
        WebhookAnswer {
            content_type: "text/plain",
            body: String::new(),
        }
    }
}

impl Event {
    /// `None` when it changes no call.
    fn progress(&self) -> Option<CallProgress> {
        let call = self.participant.as_ref().filter(|it| it.kind == "SIP")?;
        let status = match &*self.name {
            "participant_joined" => call.joined(),
            "participant_left" => call.left(true)?,
            // In place of the other when it never came to a media connection.
            "participant_connection_aborted" => call.left(false)?,
            _ => return None,
        };
        if self.room.name.is_empty() || call.identity.is_empty() {
            return None;
        }
        let progress = CallProgress::new(call_id(&self.room.name, &call.identity), status).with_at(
            Timestamp::from_second(self.created_at)
                .ok()
                .filter(|_| self.created_at > 0),
        );
        // Of a call out it would be counted from the first ring.
        let spoken = status == ProviderCallStatus::Completed && call.is_inbound() && call.joined_at > 0;
        let seconds = u64::try_from(self.created_at.saturating_sub(call.joined_at)).ok();
        Some(progress.with_duration(seconds.filter(|_| spoken).map(Duration::from_secs)))
    }
}

impl Participant {
    fn is_inbound(&self) -> bool {
        self.attributes.contains_key("sip.ruleID")
    }

    fn status(&self) -> Option<ProviderCallStatus> {
        self.attributes
            .get(call::STATUS)
            .map(|word| call::status(word))
            .filter(|status| *status != ProviderCallStatus::Unknown)
    }

    /// The bridge joins before the callee's telephone rings, and before a caller is answered.
    fn joined(&self) -> ProviderCallStatus {
        self.status().unwrap_or(if self.is_inbound() {
            ProviderCallStatus::Ringing
        } else {
            ProviderCallStatus::Initiated
        })
    }

    /// How it ended. `None` when the call goes on under a newer leg of the same identity.
    fn left(&self, was_active: bool) -> Option<ProviderCallStatus> {
        let answered = match self.status() {
            Some(ProviderCallStatus::InProgress | ProviderCallStatus::Completed) => true,
            Some(_) => false,
            None => was_active,
        };
        Some(match &*self.disconnect_reason {
            "DUPLICATE_IDENTITY" => return None,
            "USER_REJECTED" => ProviderCallStatus::Busy,
            "USER_UNAVAILABLE" => ProviderCallStatus::NoAnswer,
            "SIP_TRUNK_FAILURE" | "MEDIA_FAILURE" => ProviderCallStatus::Failed,
            _ if answered => ProviderCallStatus::Completed,
            "CLIENT_INITIATED" | "ROOM_DELETED" | "PARTICIPANT_REMOVED" => ProviderCallStatus::Canceled,
            _ => ProviderCallStatus::Failed,
        })
    }
}

fn hash(body: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(body))
}

/// What LiveKit would put into `Authorization` for this body. For tests: whoever can call it can forge webhooks.
///
/// # Panics
/// When the key or the secret is empty.
pub fn sign_for_tests(api_key: &str, api_secret: SecretString, body: &[u8]) -> String {
    let keys = Keys {
        key: api_key.to_owned(),
        secret: api_secret,
    };
    keys.voucher(&hash(body)).expect("the keys are not empty")
}
