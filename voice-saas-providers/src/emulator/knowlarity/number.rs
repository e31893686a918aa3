//! Numbers: what can be taken from the plan, and what was.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{PLAN, Query, log, refuse};
use crate::emulator::world::World;

const PLACES_IN_PLAN: usize = 50;
/// Numbers of each kind in each circle.
const STOCK: usize = 20;
const KINDS: [&str; 3] = ["LANDLINE", "TOLLFREE", "MOBILE"];

struct Circle {
    id: usize,
    name: &'static str,
    std_code: &'static str,
}

const CIRCLES: [Circle; 3] = [
    Circle {
        id: 1,
        name: "Delhi",
        std_code: "11",
    },
    Circle {
        id: 2,
        name: "Maharashtra",
        std_code: "22",
    },
    Circle {
        id: 3,
        name: "Karnataka",
        std_code: "80",
    },
];

impl Circle {
    fn number(&self, kind: &str, index: usize) -> String {
        match kind {
            "LANDLINE" => format!("+91{}4012{index:04}", self.std_code),
            "TOLLFREE" => format!("+9118005{}{index:04}", self.std_code),
            _ => format!("+919845{}{index:04}", self.std_code),
        }
    }
}

/// A number of the account.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) number: String,
    kind: String,
    since: Timestamp,
    until: Timestamp,
}

impl Held {
    pub(super) fn json(&self, now: Timestamp) -> Value {
        json!({
            "phone_number": self.number, "number_type": self.kind, "cli_type": "STATIC",
            "created_time": log::time(self.since), "expiry_time": log::time(self.until),
            "is_expired": self.until <= now,
        })
    }

    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// The plan ends a year after the emulator was started, whatever its clock says now.
fn plan_end(world: &World) -> Timestamp {
    let year = Duration::from_hours(365 * 24);
    world
        .knowlarity
        .started
        .checked_add(year)
        .unwrap_or(Timestamp::MAX)
}

pub(super) fn plans(world: &World) -> Response {
    let plan = json!({
        "id": PLAN, "plan": "SR Pro", "plan_type": "postpaid", "expiry_time": log::time(plan_end(world)),
    });
    let meta = json!({"limit": 20, "offset": 0, "next": null, "previous": null, "total_count": 1});
    Json(json!({"meta": meta, "objects": [plan]})).into_response()
}

pub(super) fn circles(query: &Query) -> Response {
    let here = query.get("country").is_none_or(|country| country == "IN");
    let circles = CIRCLES.iter().filter(|_| here);
    let objects: Vec<_> = circles
        .map(|it| json!({"id": it.id, "name": it.name, "country": "IN"}))
        .collect();
    Json(json!({"meta": {"total_count": objects.len()}, "objects": objects})).into_response()
}

pub(super) fn search(world: &World, query: &Query) -> Response {
    let Some(circle) = CIRCLES
        .iter()
        .find(|it| query.get("circle_id") == Some(&*it.id.to_string()))
    else {
        return refuse(StatusCode::BAD_REQUEST, "circle_id is required");
    };
    let kind = query.get("number_type").unwrap_or("MOBILE");
    let stock = if KINDS.contains(&kind) { STOCK } else { 0 };
    let state = world.knowlarity.state_lock();
    let free = (0..stock)
        .map(|index| circle.number(kind, index))
        .filter(|number| state.numbers.iter().all(|held| held.number != *number))
        .filter(|number| query.get("pattern").is_none_or(|digits| number.contains(digits)))
        .take(query.number("how_many", 10));
    let numbers: Vec<_> = free
        .map(|number| {
            json!({
                "number": number, "number_type": kind, "number_rating": "STANDARD", "circle_id": circle.id,
                "provider_name": "Emulated Telecom",
            })
        })
        .collect();
    Json(json!({"numbers": numbers})).into_response()
}

pub(super) fn allocate(world: &World, body: &Value) -> Response {
    let bad = |message| refuse(StatusCode::BAD_REQUEST, message);
    if body["user_plan_id"] != PLAN {
        return bad("user_plan_id does not exist");
    }
    let end = plan_end(world);
    let Some(until) = body["expiry_time"].as_str().and_then(log::parse_time) else {
        return bad("expiry_time is required as YYYY-MM-DD HH:MM:SS+05:30");
    };
    if until > end {
        return bad("expiry_time is after the end of the plan");
    }
    let number = body["number"].as_str().unwrap_or_default();
    let kind = KINDS.into_iter().find(|kind| {
        let stock = |circle: &Circle| (0..STOCK).any(|index| circle.number(kind, index) == number);
        CIRCLES.iter().any(stock)
    });
    let mut state = world.knowlarity.state_lock();
    let (Some(kind), false) = (kind, state.numbers.iter().any(|held| held.number == number)) else {
        return bad("Number is not available");
    };
    if state.numbers.len() >= PLACES_IN_PLAN {
        return bad("no slot is left in the plan");
    }
    state.numbers.push(Held {
        number: number.to_owned(),
        kind: kind.to_owned(),
        since: world.clock.now(),
        until,
    });
    Json(json!({"message": "Number has been allocated successfully", "Number": number})).into_response()
}

/// Gives the account a number that was not searched.
pub(super) fn assign(world: &World, number: String) {
    let mut state = world.knowlarity.state_lock();
    if state.numbers.iter().all(|held| held.number != number) {
        state.numbers.push(Held {
            number,
            kind: "LANDLINE".to_owned(),
            since: world.clock.now(),
            until: plan_end(world),
        });
    }
}

pub(super) fn list(world: &World, query: &Query) -> Response {
    let now = world.clock.now();
    let state = world.knowlarity.state_lock();
    let wanted: Vec<_> = state
        .numbers
        .iter()
        .filter(|held| {
            query
                .get("number")
                .is_none_or(|number| held.number.contains(number))
        })
        .map(|held| held.json(now))
        .collect();
    let (limit, offset) = query.page();
    let objects: Vec<_> = wanted.iter().skip(offset).take(limit).collect();
    let next = (offset + limit < wanted.len()).then(|| {
        format!(
            "/Basic/v1/account/numbers/?limit={limit}&offset={}",
            offset + limit
        )
    });
    let meta = json!({
        "limit": limit, "offset": offset, "next": next, "previous": null, "total_count": wanted.len(),
    });
    Json(json!({"meta": meta, "objects": objects})).into_response()
}

pub(super) fn register(world: &World, body: &Value) -> Response {
    let now = world.clock.now();
    let mut state = world.knowlarity.state_lock();
    let numbers: Vec<_> = body["knowlarity_number"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let known = |number: &Value| {
        state
            .numbers
            .iter()
            .any(|held| *number == held.number && held.is_live(now))
    };
    if numbers.is_empty() || !numbers.iter().all(|number| known(number)) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "knowlarity_number must be numbers of the account",
        );
    }
    let numbers = numbers.into_iter().filter_map(Value::as_str).map(str::to_owned);
    state.registered.extend(numbers);
    (StatusCode::CREATED, Json(json!({"status": "success"}))).into_response()
}
