//! Calls: one telephone is rung, then the other, and both are joined.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::script::{End, KnowlarityScript};
use super::{log, push, refuse};
use crate::emulator::id;
use crate::emulator::world::World;

const MOST_RUNNING: usize = 1_000;
/// The telephone that takes calls from customers.
const DESK: &str = "+919812345678";
const PROMISED: Duration = Duration::from_secs(30);

/// A call that runs.
#[derive(Debug)]
struct Call {
    uuid: String,
    number: String,
    agent: String,
    customer: String,
    inbound: bool,
    additional_params: Value,
    script: KnowlarityScript,
    started: Timestamp,
}

/// `POST call/makecall`.
pub(super) fn make(world: &Arc<World>, body: &Value) -> Response {
    let party = |name: &str| {
        body[name]
            .as_str()
            .filter(|number| is_e164(number))
            .map(str::to_owned)
    };
    let (Some(number), Some(agent), Some(customer)) =
        (party("k_number"), party("agent_number"), party("customer_number"))
    else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "k_number, agent_number and customer_number are required as +91...",
        );
    };
    if ![&number, &party("caller_id").unwrap_or_else(|| number.clone())]
        .iter()
        .all(|it| is_ours(world, it))
    {
        // Seen with status 200.
        return refuse(
            StatusCode::OK,
            "k_number or caller_id does not belong to the account",
        );
    }
    let script = world
        .knowlarity
        .state_lock()
        .scripts
        .get(&customer)
        .cloned()
        .unwrap_or_default();
    let end = script.end;
    if end == End::Refused {
        return refuse(StatusCode::OK, "Call could not be placed, customer is in DND");
    }
    let call = Call {
        uuid: id::uuid(),
        number,
        agent,
        customer,
        inbound: false,
        additional_params: body["additional_params"].clone(),
        script,
        started: world.clock.now(),
    };
    let call_id = call.uuid.clone();
    if !start(world, call) {
        return super::too_many_requests();
    }
    if end == End::SaysNothing {
        return Json(json!({})).into_response();
    }
    let success = json!({"status": "success", "message": "Call successfully placed", "call_id": call_id});
    Json(json!({"success": success})).into_response()
}

/// A customer calls. `None` when the account does not have the number, or too many calls run.
pub(super) fn receive(world: &Arc<World>, from: &str, to: &str) -> Option<String> {
    let script = world
        .knowlarity
        .state_lock()
        .scripts
        .get(from)
        .cloned()
        .unwrap_or_default();
    let call = Call {
        uuid: id::uuid(),
        number: to.to_owned(),
        agent: DESK.to_owned(),
        customer: from.to_owned(),
        inbound: true,
        additional_params: Value::Null,
        script,
        started: world.clock.now(),
    };
    let uuid = call.uuid.clone();
    (is_ours(world, to) && start(world, call)).then_some(uuid)
}

fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit())
    })
}

fn is_ours(world: &World, number: &str) -> bool {
    let now = world.clock.now();
    let state = world.knowlarity.state_lock();
    state
        .numbers
        .iter()
        .any(|held| held.number == number && held.is_live(now))
}

fn start(world: &Arc<World>, call: Call) -> bool {
    let mut state = world.knowlarity.state_lock();
    if state.running >= MOST_RUNNING {
        return false;
    }
    state.running += 1;
    drop(state);
    let running = world.running();
    let run = {
        let world = Arc::clone(world);
        async move {
            // A reset forgets the call together with the count of those that run.
            if let Some(entry) = running.run_until_cancelled(call.run(&world)).await {
                world.knowlarity.state_lock().running -= 1;
                running.run_until_cancelled(push::send(&world, entry)).await;
            }
        }
    };
    world.tasks.spawn(run);
    true
}

impl Call {
    /// Lives through the call, and writes it down.
    async fn run(&self, world: &World) -> log::Entry {
        self.tell(world, "ORIGINATE", "customer");
        if self.inbound {
            self.tell(world, "ANSWER", "customer");
        }
        self.tell(world, "AGENT_CALL", "agent");
        let talk = match self.script.end {
            End::AgentMisses | End::Refused => None,
            End::CustomerMisses => {
                self.tell(world, "AGENT_ANSWER", "agent");
                self.tell(world, "CUSTOMER_CALL", "customer");
                None
            }
            End::Talks(_) | End::SaysNothing => {
                self.tell(world, "AGENT_ANSWER", "agent");
                if !self.inbound {
                    self.tell(world, "CUSTOMER_CALL", "customer");
                }
                self.tell(world, "BRIDGE", "customer");
                let span = match self.script.end {
                    End::Talks(span) => span,
                    _ => PROMISED,
                };
                // Counted from the call's beginning, so that a clock that was moved meanwhile is not waited for.
                let past = Duration::try_from(self.started.duration_until(world.clock.now()));
                world
                    .clock
                    .sleep(span.saturating_sub(past.unwrap_or_default()))
                    .await;
                Some(span)
            }
        };
        self.tell(world, "HANGUP", "agent");
        self.tell(world, "HANGUP", "customer");
        self.end(world, talk)
    }

    fn end(&self, world: &World, talk: Option<Duration>) -> log::Entry {
        let ended = world.clock.now();
        let delay = SignedDuration::try_from(self.script.log_delay).unwrap_or(SignedDuration::ZERO);
        let entry = log::Entry {
            uuid: self.uuid.clone(),
            number: self.number.clone(),
            agent: self.agent.clone(),
            customer: self.customer.clone(),
            inbound: self.inbound,
            missed: talk.is_none(),
            started: self.started,
            ended,
            seconds: talk.unwrap_or_default().as_secs(),
            additional_params: self.additional_params.clone(),
            shown: ended.checked_add(delay).unwrap_or(Timestamp::MAX),
        };
        world.knowlarity.state_lock().log.push(entry.clone());
        let mut record = self.event(world, "HANGUP", "customer");
        record["type"] = "CDR".into();
        record["agent_number"] = entry.agent_field().into();
        record["call_duration"] = entry.seconds.to_string().into();
        record["resource_url"] = entry.recording().into();
        record["business_call_type"] = entry.business_call_type().into();
        world.knowlarity.tell(&record);
        entry
    }

    fn tell(&self, world: &World, event: &str, leg: &str) {
        world.knowlarity.tell(&self.event(world, event, leg));
    }

    fn event(&self, world: &World, event: &str, leg: &str) -> Value {
        let now = log::time(world.clock.now());
        let (direction, solution) = if self.inbound {
            ("Inbound", "inbound")
        } else {
            ("Outbound", "outbound")
        };
        json!({
            "event_type": event, "uuid": self.uuid, "call_direction": direction, "call_solution": solution,
            "Call_Type": if self.inbound { "Incoming" } else { "Outgoing" }, "leg_identifier": leg,
            "agent_number": self.agent, "customer_number": self.customer, "caller_id": self.number,
            "knowlarity_number": self.number, "dispnumber": self.number, "Event_Date_Local": now,
        })
    }
}
