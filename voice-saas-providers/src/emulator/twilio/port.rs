//! Ports: `Porting`. A port goes on by the emulator's clock: an hour in review, a day until the letter is signed, a week
//! with the losing carrier; then the number is the account's.
//!
//! | what | does |
//! |---|---|
//! | a number that ends with 9 | is a mobile one and needs a PIN |
//! | the PIN `0000` | is wrong: the losing carrier rejects the number, and action is required |
//! | a representative whose address begins with `unsigned` | never signs: the port expires after 30 days |

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde::Deserialize;
use serde_json::{Value, json};

use super::inventory;
use super::number::{OwnedNumber, is_e164};
use super::wire::ApiError;
use super::{Ask, State};
use crate::emulator::clock::rfc2822;
use crate::emulator::id;

const REVIEW: Duration = Duration::from_hours(1);
const SIGNATURE: Duration = Duration::from_hours(24);
const REJECTION: Duration = Duration::from_hours(3 * 24);
const TRANSFER: Duration = Duration::from_hours(8 * 24);
const EXPIRY: Duration = Duration::from_hours(30 * 24);
const MOST_NUMBERS: usize = 1_000;
const MOST_PORTS: usize = 10_000;

/// What a request below `/v1/Porting` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Portability(&'a str),
    Create,
    List,
    Fetch(&'a str),
    Cancel(&'a str),
}

impl<'a> Route<'a> {
    /// `path` is what follows `/v1/Porting/`.
    pub(super) fn parse(method: &str, path: &'a str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').collect();
        Some(match (method, segments.as_slice()) {
            ("GET", ["Portability", "PhoneNumber", number]) => Self::Portability(number),
            ("POST", ["PortIn"]) => Self::Create,
            ("GET", ["PortIn", "PortInRequests"]) => Self::List,
            ("GET", ["PortIn", sid]) => Self::Fetch(sid),
            ("DELETE", ["PortIn", sid]) => Self::Cancel(sid),
            _ => return None,
        })
    }
}

/// How far a port has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    InReview,
    WaitingForSignature,
    InProgress,
    ActionRequired,
    Completed,
    Canceled,
    Expired,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::InReview => "In review",
            Self::WaitingForSignature => "Waiting for Signature",
            Self::InProgress => "In progress",
            Self::ActionRequired => "Action Required",
            Self::Completed => "Completed",
            Self::Canceled => "Canceled",
            Self::Expired => "Expired",
        }
    }

    /// The same of a single number, whose words are others.
    fn number_status(self) -> &'static str {
        match self {
            Self::InReview => "In Review",
            Self::InProgress => "Submitted",
            Self::ActionRequired => "Rejected",
            other => other.name(),
        }
    }

    fn is_open(self) -> bool {
        !matches!(self, Self::Completed | Self::Canceled | Self::Expired)
    }
}

#[derive(Debug, Clone)]
struct Ported {
    sid: String,
    number: String,
    pin: Option<String>,
    /// Why it cannot move.
    obstacle: Option<Obstacle>,
}

/// A reason and its code.
type Obstacle = (&'static str, u32);

/// A port.
#[derive(Debug, Clone)]
pub(super) struct PortIn {
    sid: String,
    account: String,
    created: Timestamp,
    canceled: bool,
    /// Whether its numbers have become the account's.
    landed: bool,
    order: Order,
    /// As it was sent.
    carrier: Value,
    numbers: Vec<Ported>,
}

#[derive(Debug, Clone, Deserialize)]
struct Order {
    account_sid: String,
    documents: Vec<String>,
    phone_numbers: Vec<OrderedNumber>,
    losing_carrier_information: Value,
    #[serde(default)]
    notification_emails: Option<Vec<String>>,
    #[serde(default)]
    target_port_in_date: Option<jiff::civil::Date>,
    #[serde(default)]
    bundle_sid: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct OrderedNumber {
    phone_number: String,
    #[serde(default)]
    pin: Option<String>,
}

impl PortIn {
    fn stage(&self, now: Timestamp) -> Stage {
        let age = Duration::try_from(now.duration_since(self.created)).unwrap_or_default();
        let email = self.carrier["authorized_representative_email"]
            .as_str()
            .unwrap_or_default();
        if self.canceled {
            Stage::Canceled
        } else if age < REVIEW {
            Stage::InReview
        } else if email.starts_with("unsigned") {
            if age < EXPIRY {
                Stage::WaitingForSignature
            } else {
                Stage::Expired
            }
        } else if age < SIGNATURE {
            Stage::WaitingForSignature
        } else if age >= REJECTION && self.numbers.iter().any(Ported::is_rejected) {
            Stage::ActionRequired
        } else if age < TRANSFER {
            Stage::InProgress
        } else {
            Stage::Completed
        }
    }

    fn json(&self, base: &str, now: Timestamp) -> Value {
        let stage = self.stage(now);
        let signature = (stage == Stage::WaitingForSignature)
            .then(|| format!("https://signature.example.com/{}", self.sid));
        let numbers: Vec<Value> = self
            .numbers
            .iter()
            .map(|number| number.json(stage, self, now))
            .collect();
        json!({
            "port_in_request_sid": self.sid, "url": format!("{base}/v1/Porting/PortIn/{}", self.sid),
            "account_sid": self.account, "notification_emails": self.order.notification_emails,
            "target_port_in_date": self.order.target_port_in_date.map(|date| date.to_string()),
            "target_port_in_time_range_start": null, "target_port_in_time_range_end": null,
            "port_in_request_status": stage.name(),
            "order_cancellation_reason": (stage == Stage::Canceled).then_some("Canceled by the customer"),
            "losing_carrier_information": self.carrier, "phone_numbers": numbers,
            "bundle_sid": self.order.bundle_sid, "portability_advance_carrier": null,
            "auto_cancel_approval_numbers": null, "documents": self.order.documents,
            "date_created": self.created.to_string(), "support_ticket_id": 1, "signature_request_url": signature,
        })
    }
}

impl Ported {
    fn is_rejected(&self) -> bool {
        self.pin.as_deref() == Some("0000")
    }

    fn json(&self, stage: Stage, port: &PortIn, now: Timestamp) -> Value {
        let rejected = stage == Stage::ActionRequired && self.is_rejected();
        let dated = matches!(stage, Stage::InProgress | Stage::Completed).then(|| {
            let date = port.created.checked_add(TRANSFER).ok();
            date.map(|date| date.to_string())
        });
        json!({
            "phone_number": self.number, "port_in_phone_number_sid": self.sid, "number_type": kind(&self.number),
            "port_in_phone_number_status": stage.number_status(), "portable": self.obstacle.is_none(),
            "not_portability_reason": self.obstacle.map(|it| it.0),
            "not_portability_reason_code": self.obstacle.map(|it| it.1),
            "rejection_reason": rejected.then_some("INVALID_PIN"),
            "rejection_reason_code": rejected.then_some("22135"), "port_date": dated.flatten(),
            "status_last_time_updated_timestamp": now.to_string(), "external_porting_vendor_phone_number_id": null,
        })
    }
}

fn is_toll_free(number: &str) -> bool {
    ["800", "833", "844", "855", "866", "877", "888"]
        .iter()
        .any(|code| {
            number
                .strip_prefix("+1")
                .is_some_and(|rest| rest.starts_with(code))
        })
}

fn kind(number: &str) -> &'static str {
    if is_toll_free(number) {
        "TOLL-FREE"
    } else if !number.starts_with("+1") {
        "UNKNOWN"
    } else if number.ends_with('9') {
        "MOBILE"
    } else {
        "LOCAL"
    }
}

impl State {
    /// Why a number cannot move in.
    fn obstacle(&self, number: &str, now: Timestamp) -> Option<Obstacle> {
        if self.is_moving(number, now) {
            Some(("PORT_IN_ALREADY_IN_PROGRESS", 22_137))
        } else if self.owns(number) || inventory::find(number).is_some() {
            Some(("ALREADY_IN_TWILIO_DIFFERENT_OWNER", 22_132))
        } else if !number.starts_with("+1") || is_toll_free(number) {
            Some(("MANUAL_PORTING_AVAILABLE", 22_133))
        } else {
            None
        }
    }

    fn is_moving(&self, number: &str, now: Timestamp) -> bool {
        let mut open = self.port_ins.values().filter(|port| port.stage(now).is_open());
        open.any(|port| port.numbers.iter().any(|ported| ported.number == number))
    }

    /// Hands over the numbers of ports that are complete by now.
    pub(super) fn land_ports(&mut self, now: Timestamp) {
        let due: Vec<u64> = self
            .port_ins
            .iter()
            .filter(|(_, port)| !port.landed && port.stage(now) == Stage::Completed)
            .map(|(seq, _)| *seq)
            .collect();
        for seq in due {
            let Some(port) = self.port_ins.get_mut(&seq) else {
                continue;
            };
            port.landed = true;
            let account = port.account.clone();
            let movable = port.numbers.iter().filter(|number| number.obstacle.is_none());
            for number in movable.map(|it| it.number.clone()).collect::<Vec<_>>() {
                let owned = OwnedNumber::new(&account, &inventory::ported(&number), &rfc2822(now));
                let seq = self.next_seq();
                self.numbers.insert(seq, owned);
            }
        }
    }

    /// Every port as the API shows it.
    pub(super) fn ports_json(&self, base: &str, now: Timestamp) -> Vec<Value> {
        let ports = self.port_ins.values().rev();
        ports.map(|port| port.json(base, now)).collect()
    }

    fn port(&mut self, ask: &Ask<'_>, sid: &str) -> Result<&mut PortIn, ApiError> {
        let mut ports = self.port_ins.values_mut();
        ports
            .find(|port| port.sid == sid && ask.sees(&port.account))
            .ok_or_else(|| ask.not_found())
    }
}

pub(super) fn handle(ask: &Ask<'_>, route: Route<'_>) -> Result<Response, ApiError> {
    let now = ask.world.clock.now();
    match route {
        Route::Portability(number) => portability(ask, number),
        Route::Create => create(ask),
        Route::List => Ok(list(ask)),
        Route::Fetch(sid) => {
            let mut state = ask.world.twilio.state_lock();
            Ok(Json(state.port(ask, sid)?.json(&ask.base(), now)).into_response())
        }
        Route::Cancel(sid) => {
            let mut state = ask.world.twilio.state_lock();
            let port = state.port(ask, sid)?;
            match port.stage(now) {
                Stage::InReview | Stage::WaitingForSignature | Stage::ActionRequired => {
                    port.canceled = true;
                    Ok(StatusCode::NO_CONTENT.into_response())
                }
                other => Err(ApiError::conflict(format!("The port is {}", other.name()))),
            }
        }
    }
}

fn portability(ask: &Ask<'_>, number: &str) -> Result<Response, ApiError> {
    let number = number.replace("%2B", "+").replace("%2b", "+");
    if !is_e164(&number) {
        return Err(ApiError::refused(
            20_001,
            format!("{number} is not a valid number"),
        ));
    }
    let now = ask.world.clock.now();
    let state = ask.world.twilio.state_lock();
    let obstacle = state.obstacle(&number, now);
    let owner = state
        .number_called(&number)
        .map(|owned| owned.account().to_owned());
    let kind = kind(&number);
    Ok(Json(json!({
        "phone_number": number, "account_sid": owner.filter(|owner| ask.sees(owner)),
        "portable": obstacle.is_none(), "pin_and_account_number_required": kind == "MOBILE",
        "not_portable_reason": obstacle.map(|it| it.0), "not_portable_reason_code": obstacle.map(|it| it.1),
        "number_type": kind, "country": number.starts_with("+1").then_some("US"), "url": ask.url(),
    }))
    .into_response())
}

fn create(ask: &Ask<'_>) -> Result<Response, ApiError> {
    let wrong = |what: String| ApiError::refused(20_001, what);
    let order: Order = serde_json::from_slice(ask.body).map_err(|error| wrong(error.to_string()))?;
    let now = ask.world.clock.now();
    let has_account = |sid: &str| ask.world.twilio.state_lock().has_account(&ask.world.twilio, sid);
    if !ask.sees(&order.account_sid) || !has_account(&order.account_sid) {
        return Err(wrong("account_sid is not an account of yours".into()));
    }
    if order.documents.is_empty() {
        return Err(wrong("documents must hold a utility bill".into()));
    }
    if !(1..=MOST_NUMBERS).contains(&order.phone_numbers.len()) {
        return Err(wrong("phone_numbers must hold 1 to 1000 numbers".into()));
    }
    if let Some(it) = order.phone_numbers.iter().find(|it| !is_e164(&it.phone_number)) {
        return Err(wrong(format!("{} is not a valid number", it.phone_number)));
    }
    for required in [
        "customer_name",
        "authorized_representative",
        "authorized_representative_email",
    ] {
        if order.losing_carrier_information[required]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            return Err(wrong(format!(
                "losing_carrier_information.{required} is required"
            )));
        }
    }
    let today = now.to_zoned(TimeZone::UTC).date();
    let earliest = today.checked_add(7.days()).unwrap_or(today);
    if order.target_port_in_date.is_some_and(|date| date < earliest) {
        return Err(wrong("target_port_in_date must be at least 7 days ahead".into()));
    }
    let mut state = ask.world.twilio.state_lock();
    if order
        .phone_numbers
        .iter()
        .any(|it| state.is_moving(&it.phone_number, now))
    {
        return Err(ApiError::refused(
            22_137,
            "A port of this number is in progress already",
        ));
    }
    if state.port_ins.len() >= MOST_PORTS {
        return Err(ApiError::too_many_requests());
    }
    let number = |it: &OrderedNumber| Ported {
        sid: id::sid("PU"),
        number: it.phone_number.clone(),
        pin: it.pin.clone(),
        obstacle: state.obstacle(&it.phone_number, now),
    };
    let port = PortIn {
        sid: id::sid("KW"),
        account: order.account_sid.clone(),
        created: now,
        canceled: false,
        landed: false,
        carrier: order.losing_carrier_information.clone(),
        numbers: order.phone_numbers.iter().map(number).collect(),
        order,
    };
    let answer = port.json(&ask.base(), now);
    let seq = state.next_seq();
    state.port_ins.insert(seq, port);
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Newest first, by a token as no other list has it.
fn list(ask: &Ask<'_>) -> Response {
    const LARGEST: usize = 1_000;
    let now = ask.world.clock.now();
    let size = ask.query.given("Size").and_then(|size| size.parse().ok());
    let size = size.unwrap_or(50_usize).clamp(1, LARGEST);
    let before: Option<u64> = ask.query.given("Token").and_then(|token| token.parse().ok());
    let status = ask.query.given("PortInRequestStatus");
    let state = ask.world.twilio.state_lock();
    let mut ports = state.port_ins.iter().rev().filter(|(seq, port)| {
        ask.sees(&port.account)
            && before.is_none_or(|before| **seq < before)
            && status.is_none_or(|status| port.stage(now).name().eq_ignore_ascii_case(status))
    });
    let shown: Vec<_> = ports.by_ref().take(size).collect();
    let last = shown.last().map(|(seq, _)| **seq);
    let next = ports.next().and(last).map(|seq| seq.to_string());
    let rows: Vec<Value> = shown
        .into_iter()
        .map(|(_, port)| {
            let reached = port.stage(now);
            let ported = if reached == Stage::Completed { port.numbers.len() } else { 0 };
            json!({
                "port_in_request_sid": port.sid, "port_in_request_status": reached.name(),
                "status_last_updated_timestamp": now.to_string(), "phone_numbers_requested": port.numbers.len(),
                "phone_numbers_ported": ported, "suggested_action": null,
            })
        })
        .collect();
    Json(json!({"port_in_requests": rows, "meta": {"next_token": next, "previous_token": null}}))
        .into_response()
}
