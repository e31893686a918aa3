//! Events, and their signed delivery.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use url::Url;

use super::State;
use crate::emulator::fault::{Fault, FaultKind, Operation};
use crate::emulator::id;
use crate::emulator::world::World;

/// The version that the endpoint was made with.
const API_VERSION: &str = "2026-10-28.endive";
const PATIENCE: Duration = Duration::from_secs(15);
/// Waits before repetitions, in seconds of the emulator's clock: three days in all.
const RETRIES: [u64; 7] = [60, 300, 1_800, 7_200, 18_000, 36_000, 196_000];
const MOST_DELIVERIES: usize = 10_000;
const MOST_EVENTS: usize = 10_000;

/// One attempt to deliver a webhook.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    event: Value,
    status: Option<u16>,
}

impl Delivery {
    pub(super) fn json(&self) -> Value {
        json!({"id": self.event["id"], "type": self.event["type"], "status": self.status})
    }
}

impl State {
    /// Something happened to this object.
    pub(super) fn emit(&mut self, kind: &str, object: &Value) {
        self.emit_with(kind, &json!({ "object": object }));
    }

    /// The object changed, if it did.
    pub(super) fn emit_change(&mut self, kind: &str, before: &Value, after: &Value) {
        let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
            return;
        };
        let mut previous: Map<String, Value> = old
            .iter()
            .filter(|(name, value)| new.get(*name) != Some(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let added = new.keys().filter(|name| !old.contains_key(*name));
        previous.extend(added.map(|name| (name.clone(), Value::Null)));
        if !previous.is_empty() {
            self.emit_with(kind, &json!({"object": after, "previous_attributes": previous}));
        }
    }

    fn emit_with(&mut self, kind: &str, data: &Value) {
        let (request, key) = self.request.clone().unzip();
        let event = json!({
            "id": format!("evt_{}", id::hex(24)), "object": "event", "api_version": API_VERSION, "created": self.now,
            "data": data, "livemode": false, "pending_webhooks": i32::from(self.webhook_url.is_some()),
            "request": {"id": request, "idempotency_key": key.flatten()}, "type": kind,
        });
        if self.events.len() >= MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event.clone());
        if self.webhook_url.is_some() {
            self.outbox.push_back(event);
        }
    }
}

/// Sends what waits, one after the other.
pub(super) fn flush(world: &Arc<World>) {
    world.stripe.wake.notify_one();
    {
        let mut state = world.stripe.state_lock();
        if state.sending || state.outbox.is_empty() {
            return;
        }
        state.sending = true;
    }
    let (world, stopping) = (Arc::clone(world), world.stopping().clone());
    let tracker = world.tasks.clone();
    tracker.spawn(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = drain(&world) => {}
        }
    });
}

async fn drain(world: &Arc<World>) {
    loop {
        let (event, url) = {
            let mut state = world.stripe.state_lock();
            let Some(event) = state.outbox.pop_front() else {
                state.sending = false;
                return;
            };
            (event, state.webhook_url.clone())
        };
        let Some(url) = url else { continue };
        if world
            .faults
            .take(Operation::BillingWebhook, &[FaultKind::Reorder])
            .is_some()
        {
            world.stripe.state_lock().held.push(event);
            continue;
        }
        deliver(world, &url, &event).await;
        let held = std::mem::take(&mut world.stripe.state_lock().held);
        for event in held {
            deliver(world, &url, &event).await;
        }
    }
}

async fn deliver(world: &Arc<World>, url: &Url, event: &Value) {
    const HERE: &[FaultKind] = &[
        FaultKind::Slow,
        FaultKind::Refused,
        FaultKind::Duplicate,
        FaultKind::BadSignature,
    ];
    let fault = world.faults.take(Operation::BillingWebhook, HERE);
    let kind = fault.as_ref().map(Fault::kind);
    if kind == Some(FaultKind::Slow) {
        let delay = fault.and_then(|fault| fault.delay());
        tokio::time::sleep(delay.unwrap_or(Duration::from_secs(1))).await;
    }
    if kind == Some(FaultKind::Duplicate) {
        send(world, url, event, false).await;
    }
    let status = if kind == Some(FaultKind::Refused) {
        note(world, event, None);
        None
    } else {
        send(world, url, event, kind == Some(FaultKind::BadSignature)).await
    };
    if !is_delivered(status) {
        repeat(world, url.clone(), event.clone());
    }
}

fn is_delivered(status: Option<u16>) -> bool {
    status.is_some_and(|status| (200..300).contains(&status))
}

/// Other events do not wait for one that is repeated.
fn repeat(world: &Arc<World>, url: Url, event: Value) {
    let (world, stopping) = (Arc::clone(world), world.running());
    let tracker = world.tasks.clone();
    tracker.spawn(async move {
        let repeating = async {
            for wait in RETRIES {
                world.clock.sleep(Duration::from_secs(wait)).await;
                if is_delivered(send(&world, &url, &event, false).await) {
                    return;
                }
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = repeating => {}
        }
    });
}

/// Sends once; answers the status, if there was one.
async fn send(world: &World, url: &Url, event: &Value, wrong_key: bool) -> Option<u16> {
    let secret = if wrong_key {
        format!("whsec_{}", id::hex(32))
    } else {
        world.stripe.webhook_secret.expose_secret().to_owned()
    };
    let body = event.to_string();
    let request = world
        .http
        .post(url.clone())
        .timeout(PATIENCE)
        .header("content-type", "application/json; charset=utf-8")
        .header(
            "stripe-signature",
            sign(&secret, world.clock.now().as_second(), &body),
        )
        .header("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .body(body);
    let status = match world.send(request).await {
        Ok(response) => Some(response.status().as_u16()),
        Err(error) => {
            tracing::debug!(error = %error.without_url(), "a webhook of Stripe's was not delivered");
            None
        }
    };
    note(world, event, status);
    status
}

fn note(world: &World, event: &Value, status: Option<u16>) {
    let mut state = world.stripe.state_lock();
    if state.deliveries.len() >= MOST_DELIVERIES {
        state.deliveries.pop_front();
    }
    state.deliveries.push_back(Delivery {
        event: json!({"id": event["id"], "type": event["type"]}),
        status,
    });
}

/// `t=<seconds>,v1=<hex>`: HMAC-SHA256 over the seconds, a dot, and the body, keyed by the secret as it stands.
fn sign(secret: &str, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", id::lower_hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_official_libraries() {
        let expected = "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
        assert_eq!(sign("whsec_test", 1_700_000_000, r#"{"id":"evt_1"}"#), expected);
    }
}
