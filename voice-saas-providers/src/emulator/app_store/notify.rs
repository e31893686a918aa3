//! Server notifications, version 2.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::life::{Happened, Subscription};
use super::{APP_ID, AppStore, BUNDLE_ID};
use crate::emulator::fault::{Fault, FaultKind, Operation};
use crate::emulator::id;
use crate::emulator::world::World;

const PATIENCE: Duration = Duration::from_secs(30);
/// Waits before repetitions, of production alone, in hours of the emulator's clock.
const RETRIES: [u64; 5] = [1, 12, 24, 48, 72];
const MOST_DELIVERIES: usize = 10_000;

/// One notification, signed.
#[derive(Debug, Clone)]
pub(super) struct Notification {
    pub(super) id: String,
    pub(super) environment: &'static str,
    pub(super) at: Timestamp,
    pub(super) signed: String,
    kind: &'static str,
    subtype: Option<&'static str>,
    /// The same, signed by somebody else.
    forged: String,
}

/// One attempt to deliver one.
#[derive(Debug)]
pub(super) struct Delivery {
    id: String,
    kind: &'static str,
    subtype: Option<&'static str>,
    status: Option<u16>,
}

impl Delivery {
    pub(super) fn json(&self) -> Value {
        json!({"notification_uuid": self.id, "type": self.kind, "subtype": self.subtype, "status": self.status})
    }
}

impl Notification {
    /// What happened to a subscription.
    pub(super) fn about(
        app_store: &AppStore,
        subscription: &Subscription,
        happened: Happened,
        at: Timestamp,
    ) -> Self {
        let data = subscription.data(app_store, at);
        Self::new(app_store, happened, &data, subscription.environment, at)
    }

    /// A notification that was asked for, to see whether they arrive.
    pub(super) fn test(app_store: &AppStore, environment: &'static str, at: Timestamp) -> Self {
        let mut data = json!({"bundleId": BUNDLE_ID, "bundleVersion": "1.0", "environment": environment});
        if environment == "Production" {
            data["appAppleId"] = json!(APP_ID);
        }
        Self::new(app_store, Happened("TEST", None), &data, environment, at)
    }

    fn new(
        app_store: &AppStore,
        Happened(kind, subtype): Happened,
        data: &Value,
        environment: &'static str,
        at: Timestamp,
    ) -> Self {
        let id = id::uuid();
        let mut payload = json!({
            "notificationType": kind,
            "notificationUUID": id,
            "data": data,
            "version": "2.0",
            "signedDate": at.as_millisecond(),
        });
        if let Some(subtype) = subtype {
            payload["subtype"] = json!(subtype);
        }
        Self {
            signed: app_store.authority.sign(&payload),
            forged: app_store.stranger.sign(&payload),
            id,
            environment,
            at,
            kind,
            subtype,
        }
    }
}

/// Sends what waits, one after the other.
pub(super) fn flush(world: &Arc<World>) {
    {
        let mut state = world.app_store.state_lock();
        if state.sending || state.outbox.is_empty() {
            return;
        }
        state.sending = true;
    }
    let world = Arc::clone(world);
    world.tasks.clone().spawn(async move {
        let (stopping, running) = (world.stopping().clone(), world.running());
        tokio::select! {
            () = stopping.cancelled() => {}
            () = running.cancelled() => {}
            () = drain(&world) => {}
        }
    });
}

async fn drain(world: &Arc<World>) {
    loop {
        let (notification, url) = {
            let mut state = world.app_store.state_lock();
            let Some(notification) = state.outbox.pop_front() else {
                state.sending = false;
                return;
            };
            (notification, state.notification_url.clone())
        };
        let Some(url) = url else { continue };
        let reorder = [FaultKind::Reorder];
        if world
            .faults
            .take(Operation::StoreNotification, &reorder)
            .is_some()
        {
            world.app_store.state_lock().held.push(notification);
            continue;
        }
        deliver(world, &url, notification).await;
        let held = std::mem::take(&mut world.app_store.state_lock().held);
        for notification in held {
            deliver(world, &url, notification).await;
        }
    }
}

async fn deliver(world: &Arc<World>, url: &Url, notification: Notification) {
    const HERE: &[FaultKind] = &[
        FaultKind::Slow,
        FaultKind::Refused,
        FaultKind::Duplicate,
        FaultKind::BadSignature,
    ];
    let fault = world.faults.take(Operation::StoreNotification, HERE);
    let status = match fault.as_ref().map(Fault::kind) {
        Some(FaultKind::Slow) => {
            let delay = fault.and_then(|fault| fault.delay());
            tokio::time::sleep(delay.unwrap_or(Duration::from_secs(1))).await;
            send(world, url, &notification, &notification.signed).await
        }
        Some(FaultKind::Duplicate) => {
            send(world, url, &notification, &notification.signed).await;
            send(world, url, &notification, &notification.signed).await
        }
        Some(FaultKind::Refused) => {
            note(world, &notification, None);
            None
        }
        Some(FaultKind::BadSignature) => {
            // Not Apple's, so that Apple does not send it again.
            send(world, url, &notification, &notification.forged).await;
            return;
        }
        _ => send(world, url, &notification, &notification.signed).await,
    };
    if !taken(status) && notification.environment == "Production" {
        again(world, url.clone(), notification);
    }
}

fn taken(status: Option<u16>) -> bool {
    status.is_some_and(|status| (200..=206).contains(&status))
}

/// Sends it again and again, beside what happens meanwhile.
fn again(world: &Arc<World>, url: Url, notification: Notification) {
    let world = Arc::clone(world);
    world.tasks.clone().spawn(async move {
        let (stopping, running) = (world.stopping().clone(), world.running());
        let repeat = async {
            for hours in RETRIES {
                world.clock.sleep(Duration::from_hours(hours)).await;
                if taken(send(&world, &url, &notification, &notification.signed).await) {
                    return;
                }
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = running.cancelled() => {}
            () = repeat => {}
        }
    });
}

/// Sends once; answers the status, if there was one.
async fn send(world: &World, url: &Url, notification: &Notification, signed: &str) -> Option<u16> {
    let request = world
        .http
        .post(url.clone())
        .timeout(PATIENCE)
        .header("user-agent", "App Store/1.0")
        .json(&json!({ "signedPayload": signed }));
    let status = match world.send(request).await {
        Ok(response) => Some(response.status().as_u16()),
        Err(error) => {
            tracing::debug!(error = %error.without_url(), "a notification of the App Store's was not delivered");
            None
        }
    };
    note(world, notification, status);
    status
}

fn note(world: &World, notification: &Notification, status: Option<u16>) {
    let mut state = world.app_store.state_lock();
    if state.deliveries.len() >= MOST_DELIVERIES {
        state.deliveries.pop_front();
    }
    state.deliveries.push_back(Delivery {
        id: notification.id.clone(),
        kind: notification.kind,
        subtype: notification.subtype,
        status,
    });
}
