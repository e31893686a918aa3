//! The call log: calls that are over, once it knows of them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Query, refuse};
use crate::emulator::world::World;

/// A call that is over.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) uuid: String,
    pub(super) number: String,
    pub(super) agent: String,
    pub(super) customer: String,
    pub(super) inbound: bool,
    pub(super) missed: bool,
    pub(super) started: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) seconds: u64,
    pub(super) additional_params: Value,
    /// When the log shows it.
    pub(super) shown: Timestamp,
}

impl Entry {
    /// As the agent's field has it.
    pub(super) fn agent_field(&self) -> String {
        if self.missed {
            format!("Call Missed#{}", self.agent)
        } else {
            self.agent.clone()
        }
    }

    pub(super) fn recording(&self) -> String {
        if self.missed {
            "None".to_owned()
        } else {
            format!("https://recordings.knowlarity.example/{}.mp3", self.uuid)
        }
    }

    pub(super) fn call_type(&self) -> &'static str {
        if self.inbound { "Incoming" } else { "Outgoing" }
    }

    pub(super) fn business_call_type(&self) -> &'static str {
        if self.missed {
            "Missed Call"
        } else {
            "Answered Call"
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "uuid": self.uuid, "customer_number": self.customer, "agent_number": self.agent_field(),
            "knowlarity_number": self.number, "start_time": time(self.started),
            "call_duration": self.seconds, "call_recording": self.recording(),
            "business_call_type": self.business_call_type(), "caller_id": self.number,
            "Call_Type": self.call_type(), "additional_params": self.additional_params,
        })
    }
}

/// India is half an hour off the full zones.
fn india() -> SignedDuration {
    SignedDuration::from_mins(330)
}

/// The form of every time.
pub(super) fn time(at: Timestamp) -> String {
    let local = at.checked_add(india()).unwrap_or(at);
    local.strftime("%Y-%m-%d %H:%M:%S+05:30").to_string()
}

/// The same, read; nothing else is understood.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let local = text.strip_suffix("+05:30")?;
    let local = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", local).ok()?;
    let utc = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    utc.checked_sub(india()).ok()
}

/// The numbers of `meta` are texts here, unlike those of other lists.
pub(super) fn read(world: &World, query: &Query) -> Response {
    let bound = |name| query.get(name).and_then(parse_time);
    let (Some(from), Some(to)) = (bound("start_time"), bound("end_time")) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "start_time and end_time are required as YYYY-MM-DD HH:MM:SS+05:30",
        );
    };
    let now = world.clock.now();
    let is = |name, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
    let state = world.knowlarity.state_lock();
    let wanted: Vec<_> = state
        .log
        .iter()
        .rev()
        .filter(|it| it.shown <= now && from <= it.started && it.started <= to)
        .filter(|it| is("customer_number", &it.customer) && is("agent_number", &it.agent))
        .filter(|it| is("knowlarity_number", &it.number))
        .filter(|it| is("business_call_type", it.business_call_type()))
        .collect();
    let (limit, offset) = query.page();
    let objects: Vec<_> = wanted
        .iter()
        .skip(offset)
        .take(limit)
        .map(|it| it.json())
        .collect();
    let meta = json!({
        "limit": limit.to_string(), "offset": offset.to_string(), "next": null, "previous": null,
        "total_count": wanted.len().to_string(),
    });
    Json(json!({"meta": meta, "objects": objects})).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_indias() {
        let at = "2024-03-12T19:00:00Z".parse().expect("a time");
        assert_eq!(time(at), "2024-03-13 00:30:00+05:30");
        assert_eq!(parse_time(&time(at)), Some(at));
        assert_eq!(
            parse_time("2024-03-13 00:30:00 05:30"),
            None,
            "a plus that was not escaped"
        );
    }
}
