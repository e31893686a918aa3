//! Pushes: what is told of a call that is over, at the address in the dashboard, with the parameters chosen there.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::timeout;
use url::Url;

use super::log::{Entry, time};
use crate::emulator::fault::{FaultKind, Operation};
use crate::emulator::id;
use crate::emulator::world::World;

const PATIENCE: Duration = Duration::from_secs(10);
const MOST_DELIVERIES: usize = 1_000;

/// The names of a push's parameters: three sets are known to be in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PushParameters {
    /// `callid`, `dispnumber`, `destination`, and the customer in `caller_id`.
    #[default]
    Classic,
    /// `uuid`, `agent_number`, `customer_number`, and the number of the account in `caller_id`.
    Newer,
    /// `call_uuid`, `call_number`, `recording_url`: the choice of one customer.
    Custom,
}

/// How a push is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PushMethod {
    /// POST with a form.
    #[default]
    Form,
    /// POST with JSON.
    Json,
    /// GET with a query.
    Get,
}

/// Where and how calls are pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnowlarityPush {
    url: Url,
    parameters: PushParameters,
    method: PushMethod,
}

impl KnowlarityPush {
    /// Pushes the classic parameters in a form.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            parameters: PushParameters::default(),
            method: PushMethod::default(),
        }
    }

    /// With these parameters.
    #[must_use]
    pub fn with_parameters(mut self, parameters: PushParameters) -> Self {
        self.parameters = parameters;
        self
    }

    /// In this way.
    #[must_use]
    pub fn with_method(mut self, method: PushMethod) -> Self {
        self.method = method;
        self
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    fn fields(&self, call: &Entry) -> Map<String, Value> {
        let start = time(call.started);
        let fields = match self.parameters {
            PushParameters::Classic => json!({
                "dispnumber": call.number, "extension": "None", "callid": call.uuid,
                "call_duration": call.seconds.to_string(), "destination": call.agent_field(),
                "caller_id": call.customer, "start_time": start.trim_end_matches("+05:30"),
                "end_time": time(call.ended), "timezone": "Asia/Kolkata", "action": "1",
                "resource_url": call.recording(), "hangup_cause": "900", "type": "dtmf",
                "call_type": call.call_type().to_lowercase(),
            }),
            PushParameters::Newer => json!({
                "uuid": call.uuid, "agent_number": call.agent_field(), "customer_number": call.customer,
                "caller_id": call.number, "call_duration": call.seconds.to_string(),
                "Call_Type": call.call_type(), "business_call_type": call.business_call_type(),
                "resource_url": call.recording(),
            }),
            PushParameters::Custom => json!({
                "call_uuid": call.uuid, "call_date": &start[..10], "call_time": &start[11..19],
                "customer_number": call.customer.trim_start_matches("+91"), "call_number": call.number,
                "call_duration": call.seconds.to_string(), "call_transfer_duration": "0",
                "recording_url": call.recording(), "call_status": call.business_call_type(),
            }),
        };
        fields.as_object().cloned().unwrap_or_default()
    }
}

/// A push that waits for another one.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    push: KnowlarityPush,
    call: Entry,
}

/// A push that was sent, or was to be.
#[derive(Debug)]
pub(super) struct Delivery {
    uuid: String,
    /// What was answered; nothing when nobody answered.
    status: Option<u16>,
}

impl Delivery {
    pub(super) fn json(&self) -> Value {
        json!({"uuid": self.uuid, "status": self.status})
    }
}

/// Tells of a call that is over, under whatever fault waits for it. Nothing is known of repetitions, so there are none.
pub(super) async fn send(world: &World, call: Entry) {
    const HERE: &[FaultKind] = &[
        FaultKind::Slow,
        FaultKind::Refused,
        FaultKind::Duplicate,
        FaultKind::Reorder,
        FaultKind::BadSignature,
    ];
    let Some(push) = world.knowlarity.state_lock().push.clone() else {
        return;
    };
    let fault = world.faults.take(Operation::UrlPush, HERE);
    let mut now = Pending { push, call };
    match fault.map(|fault| (fault.kind(), fault.delay())) {
        Some((FaultKind::Refused, _)) => return keep(world, &now, None),
        Some((FaultKind::Reorder, _)) => return world.knowlarity.state_lock().held.push(now),
        Some((FaultKind::Slow, delay)) => {
            tokio::time::sleep(delay.unwrap_or(Duration::from_secs(1))).await;
        }
        Some((FaultKind::Duplicate, _)) => deliver(world, &now).await,
        Some((FaultKind::BadSignature, _)) => {
            if let Ok(mut segments) = now.push.url.path_segments_mut() {
                segments.pop().push(&id::hex(32));
            }
        }
        _ => {}
    }
    deliver(world, &now).await;
    let held = std::mem::take(&mut world.knowlarity.state_lock().held);
    for late in &held {
        deliver(world, late).await;
    }
}

async fn deliver(world: &World, pending: &Pending) {
    let Pending { push, call } = pending;
    let fields = push.fields(call);
    let pairs: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name, value.as_str().unwrap_or_default()))
        .collect();
    let request = match push.method {
        PushMethod::Form => world.http.post(push.url.clone()).form(&pairs),
        PushMethod::Json => world.http.post(push.url.clone()).json(&fields),
        PushMethod::Get => world.http.get(push.url.clone()).query(&pairs),
    };
    let answer = timeout(PATIENCE, world.send(request)).await;
    let status = answer
        .ok()
        .and_then(Result::ok)
        .map(|answer| answer.status().as_u16());
    keep(world, pending, status);
}

fn keep(world: &World, pending: &Pending, status: Option<u16>) {
    let mut state = world.knowlarity.state_lock();
    if state.deliveries.len() >= MOST_DELIVERIES {
        state.deliveries.pop_front();
    }
    state.deliveries.push_back(Delivery {
        uuid: pending.call.uuid.clone(),
        status,
    });
}
