//! ElevenLabs' webhooks: a conversation is over, and a call wants to know who it is for.

use std::{fmt, fmt::Write as _};

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;
use voice_saas_core::{
    provider::{
        telephony::{ProviderCallId, WebhookAnswer, WebhookError, WebhookRequest},
        voice_agent::{
            AgentWebhook, AgentWebhookEvent, AgentWebhookKind, CallContext, Conversation, ConversationStatus,
        },
    },
    secret::{ExposeSecret, SecretString, same},
};

use super::{conversation::Record, initiation::Initiation};

/// The header that signs post-call webhooks.
pub const SIGNATURE_HEADER: &str = "elevenlabs-signature";

/// The header that authenticates the conversation-initiation webhook: the platform signs nothing there, it only
/// sends the headers that were configured (`request_headers`). Set this one to the initiation secret.
pub const INITIATION_HEADER: &str = "x-voice-saas-secret";

/// Both of the vendor's SDKs accept half an hour.
const OLDEST_SECONDS: i64 = 30 * 60;
/// For clocks that differ. The SDKs do not look at the future.
const NEWEST_SECONDS: i64 = 5 * 60;

pub(super) struct Webhook {
    pub(super) secrets: Vec<SecretString>,
    pub(super) initiation_secret: Option<SecretString>,
    pub(super) voice: Option<String>,
}

impl AgentWebhook for Webhook {
    fn receive(
        &self,
        kind: AgentWebhookKind,
        request: &WebhookRequest<'_>,
        now: Timestamp,
    ) -> Result<AgentWebhookEvent, WebhookError> {
        match kind {
            AgentWebhookKind::PostCall => {
                self.verify(request, now)?;
                post_call(request.body)
            }
            AgentWebhookKind::Initiation => {
                self.check_secret(request)?;
                initiation(request.body)
            }
            _ => Err(WebhookError::Malformed(
                "a kind of webhook that does not exist here",
            )),
        }
    }

    fn answer_initiation(&self, call: &CallContext) -> WebhookAnswer {
        let message = Initiation::new(call, self.voice.as_deref()).into_message();
        WebhookAnswer {
            content_type: "application/json",
            body: serde_json::to_string(&message).expect("text, numbers and booleans are written to memory"),
        }
    }
}

impl Webhook {
    fn verify(&self, request: &WebhookRequest<'_>, now: Timestamp) -> Result<(), WebhookError> {
        let header = request
            .headers
            .get(SIGNATURE_HEADER)
            .and_then(|value| value.to_str().ok())
            .ok_or(WebhookError::Forged("there is no signature"))?;
        let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
        let time = parts()
            .find_map(|(name, value)| (name == "t").then_some(value))
            .ok_or(WebhookError::Forged("the signature has no time"))?;
        let seconds: i64 = time
            .parse()
            .map_err(|_| WebhookError::Forged("the signature's time is no number"))?;
        let age = now.as_second().saturating_sub(seconds);
        if age > OLDEST_SECONDS {
            return Err(WebhookError::Forged("the signature is too old"));
        }
        if age < -NEWEST_SECONDS {
            return Err(WebhookError::Forged("the signature comes from the future"));
        }
        let genuine = parts()
            .filter_map(|(name, value)| (name == "v0").then(|| from_hex(value))?)
            .any(|signature| {
                self.secrets
                    .iter()
                    .any(|secret| mac(secret, time, request.body).verify_slice(&signature).is_ok())
            });
        if genuine {
            Ok(())
        } else {
            Err(WebhookError::Forged("no secret makes this signature"))
        }
    }

    fn check_secret(&self, request: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        let expected = self
            .initiation_secret
            .as_ref()
            .ok_or(WebhookError::Forged("no initiation secret is configured"))?;
        let presented = request
            .headers
            .get(INITIATION_HEADER)
            .ok_or(WebhookError::Forged("there is no secret"))?;
        if same(presented.as_bytes(), expected.expose_secret().as_bytes()) {
            Ok(())
        } else {
            Err(WebhookError::Forged("the secret is wrong"))
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("secrets", &self.secrets.len())
            .field("initiation", &self.initiation_secret.is_some())
            .finish_non_exhaustive()
    }
}

/// The value of [`SIGNATURE_HEADER`] for `body`, as the platform would make it.
pub fn sign_for_tests(secret: &SecretString, timestamp: Timestamp, body: &[u8]) -> String {
    let time = timestamp.as_second().to_string();
    let signature = mac(secret, &time, body).finalize().into_bytes();
    let hex = signature.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string can be written to");
        hex
    });
    format!("t={time},v0={hex}")
}

/// The key is the secret's text as it was given, without decoding or a prefix taken off.
fn mac(secret: &SecretString, time: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes keys of every length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
        })
        .collect()
}

/// The data stays raw until the type is known: that of `post_call_audio` is megabytes of no use here.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// `call_initiation_failure` is ignored: it tells of calls that the platform itself placed, and this library places
/// its calls at the carrier, which reports them.
fn post_call(body: &[u8]) -> Result<AgentWebhookEvent, WebhookError> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(body).map_err(|_| WebhookError::Malformed("it is not an event"))?;
    if envelope.kind != "post_call_transcription" {
        return Ok(AgentWebhookEvent::Ignored);
    }
    let record: Record = envelope
        .data
        .and_then(|data| serde_json::from_str(data.get()).ok())
        .ok_or(WebhookError::Malformed("its data is not a conversation"))?;
    let mut conversation = Conversation::from(record);
    // The event is sent when the record is complete, whatever word stands for that.
    if conversation.status != ConversationStatus::Failed {
        conversation.status = ConversationStatus::Done;
    }
    Ok(AgentWebhookEvent::Ended(Box::new(conversation)))
}

#[derive(Deserialize)]
struct InitiationRequest {
    caller_id: Option<String>,
    called_number: Option<String>,
    call_sid: Option<String>,
}

fn initiation(body: &[u8]) -> Result<AgentWebhookEvent, WebhookError> {
    let request: InitiationRequest = serde_json::from_slice(body)
        .map_err(|_| WebhookError::Malformed("it is not a conversation's initiation"))?;
    Ok(AgentWebhookEvent::Initiation {
        call: request
            .call_sid
            .filter(|sid| !sid.is_empty())
            .map(ProviderCallId::new),
        from: request.caller_id.unwrap_or_default(),
        to: request
            .called_number
            .ok_or(WebhookError::Malformed("it does not say which number was called"))?,
    })
}

#[cfg(test)]
mod tests;
