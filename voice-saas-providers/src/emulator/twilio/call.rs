//! Calls: their record, and `Calls` over the API.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::engine::{self, Plan, Source, StatusCallback};
use super::inventory::friendly_name;
use super::number::is_e164;
use super::report::{CallReport, CallStatus};
use super::script::{Callee, Script};
use super::twiml::{self, Target};
use super::wire::{ApiError, Form, page};
use super::{State, Twilio};
use crate::emulator::clock::rfc2822;
use crate::emulator::id;
use crate::emulator::world::World;

/// Ended calls are forgotten, oldest first, beyond this many.
const MOST_CALLS: usize = 20_000;
const MOST_LIVE_CALLS: usize = 5_000;
const LONGEST_TWIML: usize = 4_000;
/// How long after its end a call's price becomes known.
const RATED_AFTER: Duration = Duration::from_secs(30);

/// Which way a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Inbound,
    Outbound,
}

impl Direction {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound-api",
        }
    }
}

/// What the API can do to a running call.
#[derive(Debug, Clone)]
pub(super) enum Command {
    End(CallStatus),
    Redirect(Source),
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) account: String,
    pub(super) sid: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) direction: Direction,
    pub(super) number_sid: Option<String>,
    pub(super) created: Timestamp,
    pub(super) answered: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) report: CallReport,
    commands: mpsc::Sender<Command>,
    over: watch::Sender<bool>,
}

impl Call {
    /// Whole seconds from answer to end, rounded up as Twilio does; a call that was answered has at least one.
    pub(super) fn seconds(&self) -> u64 {
        let (Some(from), Some(to)) = (self.answered, self.ended) else {
            return 0;
        };
        u64::try_from(to.duration_since(from).as_millis())
            .unwrap_or(0)
            .div_ceil(1_000)
            .max(1)
    }

    /// Lets everyone who waits for the end go on.
    pub(super) fn close(&self) {
        self.over.send_replace(true);
    }

    fn json(&self, now: Timestamp) -> Value {
        let account = &self.account;
        let uri = format!("/2010-04-01/Accounts/{account}/Calls/{}", self.sid);
        let date = |at: Option<Timestamp>| at.map(rfc2822);
        let rated = self.ended.is_some_and(|ended| {
            Duration::try_from(now.duration_since(ended)).is_ok_and(|since| since >= RATED_AFTER)
        });
        // Per started minute, in hundred-thousandths of a dollar: 0.0085 inbound, 0.014 outbound.
        let rate = if self.direction == Direction::Inbound {
            850
        } else {
            1_400
        };
        let price = self.seconds().div_ceil(60) * rate;
        let price = format!("-{}.{:05}", price / 100_000, price % 100_000);
        json!({
            "sid": self.sid, "account_sid": account, "parent_call_sid": null, "to": self.to,
            "to_formatted": friendly_name(&self.to), "from": self.from,
            "from_formatted": friendly_name(&self.from), "phone_number_sid": self.number_sid,
            "status": self.report.status, "start_time": date(self.answered.or(Some(self.created))),
            "end_time": date(self.ended), "duration": self.ended.map(|_| self.seconds().to_string()),
            "price": (rated && self.answered.is_some()).then_some(price), "price_unit": "USD",
            "direction": self.direction.name(), "answered_by": null, "api_version": "2010-04-01",
            "forwarded_from": null, "group_sid": null, "caller_name": null, "queue_time": "0", "trunk_sid": null,
            "date_created": date(Some(self.created)), "date_updated": date(self.ended.or(Some(now))),
            "uri": format!("{uri}.json"),
            "subresource_uris": {"recordings": format!("{uri}/Recordings.json"), "streams": format!("{uri}/Streams.json")},
        })
    }

    fn is_live(&self) -> bool {
        !self.report.status.is_final()
    }
}

/// The account has as many live calls as the emulator carries.
#[derive(Debug)]
pub(super) struct TooManyCalls;

impl State {
    /// Records a new call and makes room for it.
    fn add_call(
        &mut self,
        account: &str,
        direction: Direction,
        from: &str,
        to: &str,
        created: Timestamp,
    ) -> Result<(String, mpsc::Receiver<Command>), TooManyCalls> {
        if self.calls.values().filter(|call| call.is_live()).count() >= MOST_LIVE_CALLS {
            return Err(TooManyCalls);
        }
        while self.calls.len() >= MOST_CALLS {
            let Some(seq) = self
                .calls
                .iter()
                .find(|(_, call)| !call.is_live())
                .map(|(seq, _)| *seq)
            else {
                break;
            };
            if let Some(call) = self.calls.remove(&seq) {
                self.call_seqs.remove(&call.sid);
            }
        }
        let (commands, receiver) = mpsc::channel(8);
        let status = if direction == Direction::Inbound {
            CallStatus::Ringing
        } else {
            CallStatus::Queued
        };
        let call = Call {
            account: account.to_owned(),
            sid: id::sid("CA"),
            from: from.to_owned(),
            to: to.to_owned(),
            direction,
            number_sid: None,
            created,
            answered: None,
            ended: None,
            report: CallReport::new(status),
            commands,
            over: watch::Sender::new(false),
        };
        let sid = call.sid.clone();
        let seq = self.next_seq();
        self.call_seqs.insert(sid.clone(), seq);
        self.calls.insert(seq, call);
        Ok((sid, receiver))
    }

    pub(super) fn call(&mut self, sid: &str) -> Option<&mut Call> {
        let seq = self.call_seqs.get(sid)?;
        self.calls.get_mut(seq)
    }

    fn call_of(&mut self, account: &str, sid: &str) -> Option<&mut Call> {
        self.call(sid).filter(|call| call.account == account)
    }
}

impl Twilio {
    /// Changes the record of a call; a call that a reset has forgotten is left alone.
    pub(super) fn with_call<T>(&self, sid: &str, change: impl FnOnce(&mut Call) -> T) -> Option<T> {
        self.state_lock().call(sid).map(change)
    }

    pub(super) fn with_report(&self, sid: &str, change: impl FnOnce(&mut CallReport)) {
        self.with_call(sid, |call| change(&mut call.report));
    }

    /// The report of a call.
    pub(crate) fn report(&self, sid: &str) -> Option<CallReport> {
        self.with_call(sid, |call| call.report.clone())
    }

    /// Waits until a call is over and everything about it has been sent.
    pub(crate) async fn wait_for_call(&self, sid: &str) -> Option<CallReport> {
        let mut over = self.with_call(sid, |call| call.over.subscribe())?;
        // An error means that the call was forgotten meanwhile, which the look-up below tells.
        let _ = over.wait_for(|over| *over).await;
        self.report(sid)
    }

    pub(super) fn calls_json(&self, now: Timestamp) -> Vec<Value> {
        let state = self.state_lock();
        state.calls.values().rev().map(|call| call.json(now)).collect()
    }
}

/// A person calls a number: the way in for tests.
pub(crate) fn place(
    world: &Arc<World>,
    from: &str,
    to: &str,
    script: Script,
) -> Result<String, super::CallRefused> {
    let now = world.clock.now();
    let mut state = world.twilio.state_lock();
    // An account that is suspended takes no calls.
    let number = state
        .number_called(to)
        .filter(|number| state.is_active(number.account()))
        .cloned();
    let account = number
        .as_ref()
        .map_or(world.twilio.account_sid(), |number| number.account());
    let (sid, commands) = state
        .add_call(account, Direction::Inbound, from, to, now)
        .map_err(|TooManyCalls| super::CallRefused)?;
    let target = |url: &str, method: &str| {
        let number = number.as_ref()?;
        Some(Target {
            url: number.text(url)?.to_owned(),
            get: number.text(method) == Some("GET"),
        })
    };
    let plan = Plan {
        account: account.to_owned(),
        sid: sid.clone(),
        direction: Direction::Inbound,
        from: from.to_owned(),
        to: to.to_owned(),
        source: target("voice_url", "voice_method").map(Source::Fetch),
        fallback: target("voice_fallback_url", "voice_fallback_method"),
        status_callback: target("status_callback", "status_callback_method").map(|target| StatusCallback {
            target,
            events: vec!["completed".into()],
        }),
        callee: Callee::Answers(script),
        trunked: number
            .as_ref()
            .is_some_and(|number| number.text("trunk_sid").is_some()),
    };
    if let (Some(call), Some(number)) = (state.call(&sid), &number) {
        call.number_sid = number.text("sid").map(ToOwned::to_owned);
    }
    drop(state);
    engine::start(world, plan, commands);
    Ok(sid)
}

/// `POST Calls`.
pub(super) fn create(world: &Arc<World>, account: &str, form: &Form) -> Result<Response, ApiError> {
    let required = |name: &str, code: u32| {
        form.given(name)
            .ok_or_else(|| ApiError::refused(code, format!("The {name} parameter is required")))
    };
    let (to, from) = (required("To", 21_201)?, required("From", 21_213)?);
    if !is_e164(to) && !to.starts_with("sip:") && !to.starts_with("client:") {
        return Err(ApiError::refused(
            21_217,
            format!("{to} is not a valid phone number"),
        ));
    }
    let source = match (form.given("Url"), form.given("Twiml")) {
        (Some(url), _) => Source::Fetch(target(url, form.get("Method"))?),
        (None, Some(twiml)) => inline(twiml)?,
        (None, None) => {
            return Err(ApiError::refused(
                21_205,
                "Url, Twiml or ApplicationSid is required",
            ));
        }
    };
    let events: Vec<String> = form.all("StatusCallbackEvent").map(ToOwned::to_owned).collect();
    if events
        .iter()
        .any(|it| !matches!(it.as_str(), "initiated" | "ringing" | "answered" | "completed"))
    {
        return Err(ApiError::refused(21_626, "StatusCallbackEvent is not valid"));
    }
    let fallback = form
        .given("FallbackUrl")
        .map(|url| target(url, form.get("FallbackMethod")))
        .transpose()?;
    let callback = form
        .given("StatusCallback")
        .map(|url| target(url, form.get("StatusCallbackMethod")))
        .transpose()?;
    let now = world.clock.now();
    let mut state = world.twilio.state_lock();
    let number = state
        .number_called(from)
        .filter(|number| number.account() == account)
        .and_then(|number| number.text("sid"))
        .map(ToOwned::to_owned);
    if number.is_none() {
        return Err(ApiError::refused(
            21_210,
            format!("{from} is not owned by this account"),
        ));
    }
    let callee = state
        .callees
        .get(to)
        .cloned()
        .unwrap_or_else(|| Callee::Answers(Script::new()));
    let added = state.add_call(account, Direction::Outbound, from, to, now);
    let (sid, commands) = added.map_err(|TooManyCalls| ApiError::too_many_requests())?;
    let answer = state.call(&sid).map(|call| {
        call.number_sid = number;
        call.json(now)
    });
    drop(state);
    let events = if events.is_empty() {
        vec!["completed".into()]
    } else {
        events
    };
    let plan = Plan {
        account: account.to_owned(),
        sid,
        direction: Direction::Outbound,
        from: from.to_owned(),
        to: to.to_owned(),
        source: Some(source),
        fallback,
        status_callback: callback.map(|target| StatusCallback { target, events }),
        callee,
        trunked: false,
    };
    engine::start(world, plan, commands);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

fn target(url: &str, method: Option<&str>) -> Result<Target, ApiError> {
    let valid = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !valid {
        return Err(ApiError::refused(
            21_205,
            format!("Url is not a valid URL: {url}"),
        ));
    }
    Ok(Target {
        url: url.to_owned(),
        get: method.is_some_and(|method| method.eq_ignore_ascii_case("GET")),
    })
}

fn inline(document: &str) -> Result<Source, ApiError> {
    if document.len() > LONGEST_TWIML {
        return Err(ApiError::refused(21_602, "Twiml is longer than 4000 characters"));
    }
    twiml::parse(document).map_err(|error| ApiError::refused(error.code(), error.to_string()))?;
    Ok(Source::Inline(document.to_owned()))
}

pub(super) fn fetch(world: &World, account: &str, path: &str, sid: &str) -> Result<Response, ApiError> {
    let now = world.clock.now();
    let mut state = world.twilio.state_lock();
    let call = state
        .call_of(account, sid)
        .ok_or_else(|| ApiError::not_found(path))?;
    Ok(Json(call.json(now)).into_response())
}

pub(super) fn list(world: &World, account: &str, path: &str, query: &Form) -> Response {
    let now = world.clock.now();
    let after = query.given("StartTime>").and_then(date);
    let before = query.given("StartTime<").and_then(date);
    let on = query.given("StartTime").and_then(date);
    let state = world.twilio.state_lock();
    let wanted = |call: &Call| {
        let day = call
            .answered
            .unwrap_or(call.created)
            .strftime("%Y-%m-%d")
            .to_string();
        call.account == account
            && query.given("To").is_none_or(|to| call.to == to)
            && query.given("From").is_none_or(|from| call.from == from)
            && query
                .given("Status")
                .is_none_or(|status| call.report.status.name() == status)
            && query.given("ParentCallSid").is_none()
            && after.is_none_or(|after| day.as_str() >= after)
            && before.is_none_or(|before| day.as_str() <= before)
            && on.is_none_or(|on| day == on)
    };
    let items = state.calls.iter().rev().filter(|(_, call)| wanted(call));
    page(
        path,
        "calls",
        query,
        items.map(|(seq, call)| (*seq, call.json(now))),
    )
}

/// The day of a date filter, which may carry a time that is not looked at.
fn date(value: &str) -> Option<&str> {
    value.get(..10)
}

pub(super) fn update(
    world: &World,
    account: &str,
    path: &str,
    sid: &str,
    form: &Form,
) -> Result<Response, ApiError> {
    let now = world.clock.now();
    let command = match (form.given("Status"), form.given("Url"), form.given("Twiml")) {
        (Some("completed"), ..) => Some(Command::End(CallStatus::Completed)),
        (Some("canceled"), ..) => Some(Command::End(CallStatus::Canceled)),
        (Some(_), ..) => return Err(ApiError::refused(21_218, "Invalid Status")),
        (None, Some(_), Some(_)) => {
            return Err(ApiError::refused(20_001, "Url and Twiml exclude each other"));
        }
        (None, Some(url), None) => Some(Command::Redirect(Source::Fetch(target(url, form.get("Method"))?))),
        (None, None, Some(twiml)) => Some(Command::Redirect(inline(twiml)?)),
        (None, None, None) => None,
    };
    let mut state = world.twilio.state_lock();
    let call = state
        .call_of(account, sid)
        .ok_or_else(|| ApiError::not_found(path))?;
    match command {
        Some(_) if !call.is_live() => {
            return Err(ApiError::refused(
                21_220,
                "Call is not in-progress. Cannot redirect.",
            ));
        }
        Some(Command::End(CallStatus::Canceled)) if call.report.status == CallStatus::InProgress => {
            return Err(ApiError::refused(
                21_220,
                "Call is in-progress and cannot be canceled.",
            ));
        }
        // A full queue means that the call is being changed faster than it can follow.
        Some(command) => call
            .commands
            .try_send(command)
            .map_err(|_| ApiError::too_many_requests())?,
        None => {}
    }
    Ok(Json(call.json(now)).into_response())
}

pub(super) fn delete(world: &World, account: &str, path: &str, sid: &str) -> Result<Response, ApiError> {
    let mut state = world.twilio.state_lock();
    let ended = state
        .call_of(account, sid)
        .map(|call| !call.is_live())
        .ok_or_else(|| ApiError::not_found(path))?;
    if !ended {
        return Err(ApiError::refused(20_009, "A call in progress cannot be deleted"));
    }
    if let Some(seq) = state.call_seqs.remove(sid) {
        state.calls.remove(&seq);
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
