//! Signed webhooks, in the order in which things happened.

use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::Url;

use super::{token, wire};
use crate::emulator::fault::{Fault, FaultKind, Operation};
use crate::emulator::id;
use crate::emulator::world::World;

const PATIENCE: Duration = Duration::from_secs(15);
/// Waits before repetitions, in seconds of the emulator's clock.
const RETRIES: [u64; 4] = [1, 2, 4, 8];
const MOST_DELIVERIES: usize = 10_000;

/// One attempt to deliver a webhook.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    event: String,
    id: String,
    status: Option<u16>,
}

impl Delivery {
    pub(super) fn json(&self) -> Value {
        json!({"event": self.event, "id": self.id, "status": self.status})
    }
}

/// Sends what waits, one after the other.
pub(super) fn flush(world: &Arc<World>) {
    {
        let mut state = world.livekit.state_lock();
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

async fn drain(world: &World) {
    loop {
        let (event, url) = {
            let mut state = world.livekit.state_lock();
            let Some(event) = state.outbox.pop_front() else {
                state.sending = false;
                return;
            };
            (event, state.webhook_url.clone())
        };
        let Some(url) = url else { continue };
        if world
            .faults
            .take(Operation::RoomWebhook, &[FaultKind::Reorder])
            .is_some()
        {
            world.livekit.state_lock().held.push(event);
            continue;
        }
        deliver(world, &url, &event).await;
        let held = std::mem::take(&mut world.livekit.state_lock().held);
        for event in held {
            deliver(world, &url, &event).await;
        }
    }
}

async fn deliver(world: &World, url: &Url, event: &proto::WebhookEvent) {
    const HERE: &[FaultKind] = &[
        FaultKind::Slow,
        FaultKind::Refused,
        FaultKind::Duplicate,
        FaultKind::BadSignature,
    ];
    let fault = world.faults.take(Operation::RoomWebhook, HERE);
    match fault.as_ref().map(Fault::kind) {
        Some(FaultKind::Slow) => {
            let delay = fault.and_then(|fault| fault.delay());
            tokio::time::sleep(delay.unwrap_or(Duration::from_secs(1))).await;
        }
        Some(FaultKind::Duplicate) => {
            send(world, url, event, false).await;
        }
        Some(FaultKind::Refused) => return note(world, event, None),
        Some(FaultKind::BadSignature) => {
            send(world, url, event, true).await;
            return;
        }
        _ => {}
    }
    let mut status = send(world, url, event, false).await;
    for wait in RETRIES {
        // Any other answer counts as delivered.
        if status.is_some_and(|status| status != 429 && (status < 500 || status == 501)) {
            return;
        }
        world.clock.sleep(Duration::from_secs(wait)).await;
        status = send(world, url, event, false).await;
    }
}

/// Sends once; answers the status, if there was one.
async fn send(world: &World, url: &Url, event: &proto::WebhookEvent, wrong_key: bool) -> Option<u16> {
    let livekit = &world.livekit;
    let secret = if wrong_key {
        id::hex(32)
    } else {
        livekit.api_secret.expose_secret().to_owned()
    };
    let body = wire::json(event).to_string();
    let voucher = token::voucher(&livekit.api_key, &secret, &body, world.clock.now().as_second());
    let request = world
        .http
        .post(url.clone())
        .timeout(PATIENCE)
        .header("content-type", "application/webhook+json")
        // Without `Bearer`.
        .header("authorization", voucher)
        .header("user-agent", "LiveKit")
        .body(body);
    let status = match world.send(request).await {
        Ok(response) => Some(response.status().as_u16()),
        Err(error) => {
            tracing::debug!(error = %error.without_url(), "a webhook of LiveKit's was not delivered");
            None
        }
    };
    note(world, event, status);
    status
}

fn note(world: &World, event: &proto::WebhookEvent, status: Option<u16>) {
    let mut state = world.livekit.state_lock();
    if state.deliveries.len() >= MOST_DELIVERIES {
        state.deliveries.pop_front();
    }
    state.deliveries.push_back(Delivery {
        event: event.event.clone(),
        id: event.id.clone(),
        status,
    });
}
