//! The call log (`/account/calllog`): the only account of calls that Knowlarity stands by. A call is in it some time
//! after it has ended.

use std::{ops::ControlFlow, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use voice_saas_core::{
    phone::E164,
    provider::{
        ProviderError,
        telephony::{ProviderCall, ProviderCallId, ProviderCallStatus, ProviderPage},
    },
};

use super::{
    Knowlarity, answer, plans,
    wire::{self, List, Scalar},
};
use crate::http::Request;

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallDirection {
    /// A customer called the number.
    Inbound,
    /// The number called a customer.
    Outbound,
}

impl CallDirection {
    /// The word is spelled in several ways.
    pub(super) fn read(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        if word.starts_with("in") {
            Some(Self::Inbound)
        } else if word.starts_with("out") {
            Some(Self::Outbound)
        } else {
            None
        }
    }
}

/// Which part of the log: calls between two times, of a party or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLogQuery {
    from: Timestamp,
    to: Timestamp,
    parties: Vec<(&'static str, String)>,
}

impl CallLogQuery {
    /// All calls between two times.
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self {
            from,
            to,
            parties: Vec::new(),
        }
    }

    /// To or from this customer.
    #[must_use]
    pub fn with_customer(self, number: &E164) -> Self {
        self.with("customer_number", number.to_string())
    }

    /// That this telephone of ours was rung for.
    #[must_use]
    pub fn with_agent(self, number: &E164) -> Self {
        self.with("agent_number", number.to_string())
    }

    /// Of this number of the account.
    #[must_use]
    pub fn with_number(self, number: &E164) -> Self {
        self.with("knowlarity_number", number.to_string())
    }

    /// Of this kind, in the account's own words.
    #[must_use]
    pub fn with_business_call_type(self, kind: impl Into<String>) -> Self {
        self.with("business_call_type", kind.into())
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.parties.push((name, value));
        self
    }
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallLogEntry {
    /// Its id: the `call_id` of the answer to a placed call, the `uuid` of events, the `callid` of pushes.
    pub id: ProviderCallId,
    /// The number of the account.
    pub number: Option<E164>,
    /// The customer.
    pub customer: Option<E164>,
    /// The telephone of ours that was rung, where it is told.
    pub agent: Option<E164>,
    /// Nobody of ours took it.
    pub missed: bool,
    /// Who called whom.
    pub direction: Option<CallDirection>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// How long it lasted.
    pub duration: Option<Duration>,
    /// Where its recording lies. Fetch nothing from hosts that your settings do not name: whether the link is public
    /// or ends is not documented.
    pub recording: Option<String>,
    /// Its kind, in words that differ by account.
    pub business_call_type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    uuid: Scalar,
    customer_number: Scalar,
    agent_number: Scalar,
    knowlarity_number: Scalar,
    start_time: Scalar,
    call_duration: Scalar,
    call_recording: Scalar,
    business_call_type: Scalar,
    call_type: Scalar,
    #[serde(rename = "Call_Type")]
    call_type_capital: Scalar,
}

impl CallLogEntry {
    /// `None` when it names no call.
    fn read(value: Value) -> Option<Self> {
        let row: Row = serde_json::from_value(value).ok()?;
        let duration = row.call_duration.seconds();
        let agent = row.agent_number.number();
        Some(Self {
            id: ProviderCallId::new(row.uuid.text()?),
            number: row.knowlarity_number.number(),
            customer: row.customer_number.number(),
            missed: is_missed(row.agent_number.as_str(), agent.as_ref(), duration),
            agent,
            direction: row
                .call_type_capital
                .or(row.call_type)
                .as_str()
                .and_then(CallDirection::read),
            started_at: row.start_time.time(),
            duration,
            recording: row.call_recording.text(),
            business_call_type: row.business_call_type.text(),
        })
    }

    /// How it ended.
    pub fn status(&self) -> ProviderCallStatus {
        ended(self.missed, self.duration)
    }

    pub(super) fn into_call(self) -> ProviderCall {
        let ended_at = self
            .started_at
            .zip(self.duration)
            .and_then(|(start, length)| start.checked_add(length).ok());
        ProviderCall::new(self.id.clone(), self.status())
            .with_times(self.started_at, ended_at)
            .with_duration(self.duration)
    }
}

/// The agent's field says so, or nobody is in it, or the call had no length.
pub(super) fn is_missed(said: Option<&str>, agent: Option<&E164>, duration: Option<Duration>) -> bool {
    let says = said.is_some_and(|said| said.to_ascii_lowercase().contains("missed"));
    says || agent.is_none() || duration == Some(Duration::ZERO)
}

pub(super) fn ended(missed: bool, duration: Option<Duration>) -> ProviderCallStatus {
    match duration {
        _ if missed => ProviderCallStatus::NoAnswer,
        Some(_) => ProviderCallStatus::Completed,
        None => ProviderCallStatus::Unknown,
    }
}

/// Most calls that are asked for have just ended.
const JUST_NOW: Duration = Duration::from_hours(2);
/// Two clocks differ.
const AHEAD: Duration = Duration::from_mins(10);

impl Knowlarity {
    /// One page of the log.
    ///
    /// # Errors
    /// `Invalid` when `page` is not what a page before it said.
    pub async fn call_log(
        &self,
        query: &CallLogQuery,
        page: Option<&str>,
    ) -> Result<ProviderPage<CallLogEntry>, ProviderError> {
        const LOG: &str = "read the call log";
        let offset = plans::offset(LOG, page)?;
        let mut request = Request::get(LOG, self.path("calllog"))
            .query("start_time", wire::filter_time(query.from))
            .query("end_time", wire::filter_time(query.to))
            .query("limit", self.page_size)
            .query("offset", offset);
        for (name, value) in &query.parties {
            request = request.query(name, value);
        }
        let list: List = answer::read(LOG, &self.api.send(request).await?, &["objects"])?;
        let next = list.next(offset, self.page_size).map(|next| next.to_string());
        let items = list.objects.into_iter().filter_map(|row| {
            let entry = CallLogEntry::read(row);
            if entry.is_none() {
                tracing::warn!("Knowlarity's log has a call without an id");
            }
            entry
        });
        Ok(ProviderPage {
            items: items.collect(),
            next,
        })
    }

    /// The call with this id, if the log has it by now. The log cannot be asked for an id, so it is read: the last two
    /// hours first, then what [`with_look_back`](super::KnowlarityBuilder::with_look_back) says.
    ///
    /// # Errors
    /// What the requests may fail with.
    pub async fn find_in_log(&self, id: &ProviderCallId) -> Result<Option<CallLogEntry>, ProviderError> {
        let now = self.ambient.now();
        let before = |span| now.checked_sub(span).unwrap_or(Timestamp::MIN);
        let recent = before(JUST_NOW.min(self.look_back));
        let end = now.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
        let spans = [(recent, end), (before(self.look_back), recent)];
        for (from, to) in spans.into_iter().filter(|(from, to)| from < to) {
            if let Some(found) = self.find_between(from, to, id).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn find_between(
        &self,
        from: Timestamp,
        to: Timestamp,
        id: &ProviderCallId,
    ) -> Result<Option<CallLogEntry>, ProviderError> {
        let query = CallLogQuery::new(from, to);
        let (mut page, mut first) = (None, None);
        loop {
            let found = self.call_log(&query, page.as_deref()).await?;
            match search(found, id, &mut first) {
                ControlFlow::Break(found) => return Ok(found),
                ControlFlow::Continue(next) => page = Some(next),
            }
        }
    }
}

/// Looks at one page, and says where the next one is. A server that pays no heed to the offset shows the same page
/// again; that is the end.
fn search(
    page: ProviderPage<CallLogEntry>,
    id: &ProviderCallId,
    first: &mut Option<ProviderCallId>,
) -> ControlFlow<Option<CallLogEntry>, String> {
    let begins_with = page.items.first().map(|entry| entry.id.clone());
    if let Some(found) = page.items.into_iter().find(|entry| entry.id == *id) {
        return ControlFlow::Break(Some(found));
    }
    match page.next {
        Some(next) if *first != begins_with => {
            *first = begins_with;
            ControlFlow::Continue(next)
        }
        _ => ControlFlow::Break(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: Value) -> CallLogEntry {
        CallLogEntry::read(value).unwrap()
    }

    #[test]
    fn a_call_that_somebody_took_is_completed() {
        let taken = entry(json!({
            "uuid": "u1", "customer_number": "+919876543210", "agent_number": "+919812345678",
            "knowlarity_number": "+918040123456", "start_time": "2024-03-13 12:00:00+05:30",
            "call_duration": "42", "call_recording": "None", "business_call_type": "answered",
            "Call_Type": "Incoming",
        }));
        assert_eq!(taken.direction, Some(CallDirection::Inbound));
        assert_eq!((taken.missed, taken.recording.clone()), (false, None));
        let call = taken.into_call();
        assert_eq!(call.status, ProviderCallStatus::Completed);
        assert_eq!(call.duration, Some(Duration::from_secs(42)));
        assert_eq!(call.ended_at.unwrap().to_string(), "2024-03-13T06:30:42Z");
    }

    #[test]
    fn a_call_is_missed_by_the_agents_field_or_by_its_length() {
        for (agent, duration) in [
            ("Call Missed#+919812345678", "12"),
            ("Call Missed", "12"),
            ("", "12"),
            ("+919812345678", "0"),
        ] {
            let missed = entry(json!({"uuid": "u1", "agent_number": agent, "call_duration": duration}));
            assert!(missed.missed, "{agent} {duration}");
            assert_eq!(missed.status(), ProviderCallStatus::NoAnswer);
        }
        let unclear = entry(json!({"uuid": "u1", "agent_number": "+919812345678", "call_duration": ""}));
        assert_eq!(unclear.status(), ProviderCallStatus::Unknown);
        let agent = entry(json!({"uuid": "u1", "agent_number": "Call Missed#+919812345678"})).agent;
        assert_eq!(agent.unwrap().as_str(), "+919812345678");
    }

    #[test]
    fn a_log_whose_pages_never_change_is_not_read_for_ever() {
        let page = || ProviderPage {
            items: vec![entry(json!({"uuid": "u1"}))],
            next: Some("1".to_owned()),
        };
        let (wanted, mut first) = (ProviderCallId::new("u2"), None);
        assert_eq!(
            search(page(), &wanted, &mut first),
            ControlFlow::Continue("1".to_owned())
        );
        assert_eq!(search(page(), &wanted, &mut first), ControlFlow::Break(None));
    }
}
