//! Post-call webhooks.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use super::initiation::Session;
use super::{ElevenLabs, State};
use crate::emulator::fault::{FaultKind, Operation};
use crate::emulator::id;
use crate::emulator::world::World;

/// How long the analysis of a conversation takes.
const ANALYSIS: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(15);
/// The documented retries, on the emulator's clock.
const RETRIES: [u64; 4] = [30, 90, 360, 1_320];
const MOST_DELIVERIES: usize = 10_000;

/// One attempt to deliver a webhook.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    conversation_id: String,
    url: String,
    status: Option<u16>,
}

impl Delivery {
    pub(super) fn json(&self) -> Value {
        json!({"conversation_id": self.conversation_id, "url": self.url, "status": self.status})
    }
}

/// A webhook that is ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    conversation_id: String,
    url: Url,
    secret: SecretString,
    retry: bool,
    body: String,
}

/// Analyses the conversation that has just ended, and sends its webhook.
pub(super) fn start(world: &Arc<World>, session: Session) {
    let (world, stopping) = (Arc::clone(world), world.stopping().clone());
    let tracker = world.tasks.clone();
    tracker.spawn(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = finish(&world, &session) => {}
        }
    });
}

async fn finish(world: &World, session: &Session) {
    tokio::time::sleep(ANALYSIS).await;
    let Some(conversation) = world.elevenlabs.analyse(session) else {
        return;
    };
    let Some(pending) = world
        .elevenlabs
        .pending(session, conversation, world.clock.now().as_second())
    else {
        return;
    };
    let faults = &world.faults;
    if faults
        .take(Operation::PostCallWebhook, &[FaultKind::Reorder])
        .is_some()
    {
        world.elevenlabs.state_lock().held.push(pending);
        return;
    }
    deliver(world, &pending).await;
    let held = std::mem::take(&mut world.elevenlabs.state_lock().held);
    for pending in held {
        deliver(world, &pending).await;
    }
}

impl State {
    /// Where the webhook of an agent's conversations goes: the agent's choice, else the workspace's.
    fn webhook_of(&self, agent_id: &str) -> Option<(&super::workspace::Webhook, bool)> {
        let own = self
            .agent(agent_id)
            .and_then(|agent| agent.pointer("/platform_settings/workspace_overrides/webhooks"));
        let chosen = |settings: &Value| {
            settings["post_call_webhook_id"]
                .as_str()
                .map(|id| (id.to_owned(), settings.clone()))
        };
        let (id, settings) = own
            .and_then(chosen)
            .or_else(|| chosen(&self.settings["webhooks"]))?;
        let events = settings["events"].as_array();
        let wanted = events.is_none_or(|events| events.iter().any(|event| event == "transcript"));
        let brief = settings["exclude_transcript"] == true;
        self.webhooks
            .get(&id)
            .filter(|webhook| wanted && !webhook.disabled)
            .map(|webhook| (webhook, brief))
    }
}

impl ElevenLabs {
    fn pending(&self, session: &Session, mut conversation: Value, now: i64) -> Option<Pending> {
        let state = self.state_lock();
        let (url, secret, retry) = match state.webhook_of(&session.agent_id) {
            Some((webhook, brief)) => {
                if brief && let Some(conversation) = conversation.as_object_mut() {
                    conversation.remove("transcript");
                }
                (
                    Url::parse(&webhook.url).ok()?,
                    SecretString::from(webhook.secret.clone()),
                    webhook.retry,
                )
            }
            None => (state.post_call_url.clone()?, self.webhook_secret.clone(), false),
        };
        let body = json!({"type": "post_call_transcription", "event_timestamp": now, "data": conversation});
        Some(Pending {
            conversation_id: session.conversation_id.clone(),
            url,
            secret,
            retry,
            body: body.to_string(),
        })
    }

    fn note_delivery(&self, pending: &Pending, status: Option<u16>) {
        let mut state = self.state_lock();
        if state.deliveries.len() >= MOST_DELIVERIES {
            state.deliveries.pop_front();
        }
        state.deliveries.push_back(Delivery {
            conversation_id: pending.conversation_id.clone(),
            url: pending.url.to_string(),
            status,
        });
    }
}

async fn deliver(world: &World, pending: &Pending) {
    const HERE: &[FaultKind] = &[
        FaultKind::Slow,
        FaultKind::Refused,
        FaultKind::Duplicate,
        FaultKind::BadSignature,
    ];
    let fault = world.faults.take(Operation::PostCallWebhook, HERE);
    let kind = fault.as_ref().map(crate::emulator::fault::Fault::kind);
    if kind == Some(FaultKind::Slow) {
        let delay = fault
            .and_then(|fault| fault.delay())
            .unwrap_or(Duration::from_secs(1));
        tokio::time::sleep(delay).await;
    }
    if kind == Some(FaultKind::Duplicate) {
        send(world, pending, false).await;
    }
    let mut status = if kind == Some(FaultKind::Refused) {
        None
    } else {
        send(world, pending, kind == Some(FaultKind::BadSignature)).await
    };
    if kind == Some(FaultKind::Refused) {
        world.elevenlabs.note_delivery(pending, None);
    }
    for wait in RETRIES {
        // Only these are retried: no answer, server errors, 429 and 408.
        let again = status.is_none_or(|status| status >= 500 || status == 429 || status == 408);
        if !pending.retry || !again {
            return;
        }
        world.clock.sleep(Duration::from_secs(wait)).await;
        status = send(world, pending, false).await;
    }
}

/// Sends once; answers the status, if there was one.
async fn send(world: &World, pending: &Pending, wrong_key: bool) -> Option<u16> {
    let secret = if wrong_key {
        id::hex(64)
    } else {
        pending.secret.expose_secret().to_owned()
    };
    let signature = sign(&secret, world.clock.now().as_second(), &pending.body);
    let request = world
        .http
        .post(pending.url.clone())
        .timeout(PATIENCE)
        .header("content-type", "application/json")
        .header("elevenlabs-signature", signature)
        .header("user-agent", "ElevenLabs/1.0")
        .body(pending.body.clone());
    let status = match world.send(request).await {
        Ok(response) => Some(response.status().as_u16()),
        Err(error) => {
            tracing::debug!(error = %error.without_url(), "a post-call webhook was not delivered");
            None
        }
    };
    world.elevenlabs.note_delivery(pending, status);
    status
}

/// `t=<seconds>,v0=<hex>`: HMAC-SHA256 over the seconds, a dot, and the body, keyed by the secret as it stands.
fn sign(secret: &str, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v0={}", id::lower_hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_hmac_sha256_over_time_and_body() {
        // Computed with `printf '1739537297.{"a":1}' | openssl dgst -sha256 -hmac wsec_test`.
        let expected = "t=1739537297,v0=62277903f838e2226a5b24a1f6b0d0641c7db163f910b5e6ed34b110ea66699a";
        assert_eq!(sign("wsec_test", 1_739_537_297, "{\"a\":1}"), expected);
    }
}
