//! Live events of all calls of the account, as they happen.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::{Stream, stream::BoxStream};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind, ProviderError,
        telephony::{CallProgress, ProviderCallId, ProviderCallStatus},
    },
};

use super::{CallDirection, Knowlarity, NAME, call_log, sse::Events, wire::Scalar};
use crate::http::Request;

const FOLLOW: &str = "follow live events";

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveEventKind {
    /// A call began.
    Originate,
    /// It was answered, by a person or by an automatic voice.
    Answer,
    /// A telephone of ours rings.
    AgentCall,
    /// It was answered.
    AgentAnswer,
    /// The customer's telephone rings.
    CustomerCall,
    /// Both are joined.
    Bridge,
    /// One of the legs ended.
    Hangup,
    /// The call's record: it is over.
    Record,
    /// A word that this library does not know.
    Other(String),
}

impl LiveEventKind {
    fn read(word: &str) -> Self {
        match &*word.to_ascii_uppercase() {
            "ORIGINATE" => Self::Originate,
            "ANSWER" => Self::Answer,
            "AGENT_CALL" => Self::AgentCall,
            "AGENT_ANSWER" => Self::AgentAnswer,
            "CUSTOMER_CALL" => Self::CustomerCall,
            "BRIDGE" => Self::Bridge,
            "HANGUP" => Self::Hangup,
            "CDR" => Self::Record,
            _ => Self::Other(word.to_owned()),
        }
    }
}

/// One event. All numbers of the account share a stream: look at [`number`](Self::number) to see whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveEvent {
    /// What happened.
    pub kind: LiveEventKind,
    /// To which call.
    pub call: Option<ProviderCallId>,
    /// At which number of the account.
    pub number: Option<E164>,
    /// The customer.
    pub customer: Option<E164>,
    /// The telephone of ours.
    pub agent: Option<E164>,
    /// Nobody of ours took it; known in the record alone.
    pub missed: bool,
    /// Who called whom.
    pub direction: Option<CallDirection>,
    /// How long the call lasted; in the last events alone.
    pub duration: Option<Duration>,
    /// Where its recording lies; see [`CallLogEntry::recording`](super::CallLogEntry::recording).
    pub recording: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
    /// The event as it came.
    pub raw: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    event_type: Scalar,
    #[serde(rename = "type")]
    record: Scalar,
    uuid: Scalar,
    call_direction: Scalar,
    #[serde(rename = "Call_Type")]
    call_type: Scalar,
    agent_number: Scalar,
    customer_number: Scalar,
    caller: Scalar,
    caller_id: Scalar,
    knowlarity_number: Scalar,
    dispnumber: Scalar,
    call_duration: Scalar,
    resource_url: Scalar,
    #[serde(rename = "Event_Date_Local")]
    at: Scalar,
}

impl LiveEvent {
    /// `None` when it is no object.
    fn read(data: &[u8]) -> Option<Self> {
        let raw: Value = serde_json::from_slice(data).ok().filter(Value::is_object)?;
        let row = Row::deserialize(&raw).ok()?;
        let is_record = row
            .record
            .as_str()
            .is_some_and(|word| word.eq_ignore_ascii_case("CDR"));
        let kind = if is_record {
            LiveEventKind::Record
        } else {
            LiveEventKind::read(row.event_type.as_str().unwrap_or_default())
        };
        let (duration, agent) = (row.call_duration.seconds(), row.agent_number.number());
        Some(Self {
            missed: is_record && call_log::is_missed(row.agent_number.as_str(), agent.as_ref(), duration),
            kind,
            call: row.uuid.text().map(ProviderCallId::new),
            number: row.knowlarity_number.or(row.dispnumber).number(),
            customer: row.customer_number.or(row.caller).or(row.caller_id).number(),
            agent,
            direction: row
                .call_direction
                .or(row.call_type)
                .as_str()
                .and_then(CallDirection::read),
            duration,
            recording: row.resource_url.text(),
            at: row.at.time(),
            raw,
        })
    }

    /// What it says of the call as a whole, if anything: of a call with two legs, that one of them was answered or
    /// ended says little. Only the record tells how a call ended.
    pub fn progress(&self) -> Option<CallProgress> {
        let status = match self.kind {
            LiveEventKind::Originate => ProviderCallStatus::Initiated,
            LiveEventKind::AgentCall | LiveEventKind::CustomerCall => ProviderCallStatus::Ringing,
            LiveEventKind::Bridge => ProviderCallStatus::InProgress,
            LiveEventKind::Record => call_log::ended(self.missed, self.duration),
            LiveEventKind::Answer
            | LiveEventKind::AgentAnswer
            | LiveEventKind::Hangup
            | LiveEventKind::Other(_) => return None,
        };
        let progress = CallProgress::new(self.call.clone()?, status)
            .with_duration(self.duration)
            .with_at(self.at);
        (status != ProviderCallStatus::Unknown).then_some(progress)
    }
}

/// Events as they come, until the connection ends. Reconnect with a growing wait; what happened meanwhile is not sent
/// again, and only the call log knows of it.
pub struct LiveEvents(BoxStream<'static, Result<LiveEvent, ProviderError>>);

impl LiveEvents {
    /// The next event; `None` once Knowlarity has closed the stream.
    ///
    /// # Errors
    /// `Interrupted` when the connection broke, `UnexpectedAnswer` when no event comes out of what is sent. Nothing
    /// follows an error.
    pub async fn next(&mut self) -> Option<Result<LiveEvent, ProviderError>> {
        self.0.next().await
    }
}

impl fmt::Debug for LiveEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveEvents").finish_non_exhaustive()
    }
}

impl Stream for LiveEvents {
    type Item = Result<LiveEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl Knowlarity {
    /// Follows the calls of all numbers of the account, at port 8100 of a host of its own. Numbers may have to be
    /// [registered](Self::register_for_events) before. Which number a call belongs to is for the caller to look at.
    ///
    /// # Errors
    /// What the request may fail with. It is not sent again.
    pub async fn live_events(&self) -> Result<LiveEvents, ProviderError> {
        let request = Request::get(FOLLOW, "/konnect").accept("text/event-stream");
        let chunks = self.konnect.open(request).await?.boxed();
        let reading = (chunks, Events::default(), VecDeque::new());
        let events = stream::try_unfold(reading, async |(mut chunks, mut events, mut ready)| {
            loop {
                if let Some(event) = ready.pop_front() {
                    return Ok(Some((event, (chunks, events, ready))));
                }
                let Some(chunk) = chunks.next().await else {
                    return Ok(None);
                };
                let whole = events.push(&chunk?).map_err(|error| {
                    ProviderError::new(NAME, FOLLOW, ErrorKind::UnexpectedAnswer).with_source(error)
                })?;
                for data in whole {
                    match LiveEvent::read(&data) {
                        Some(event) => ready.push_back(event),
                        None => tracing::debug!(bytes = data.len(), "a live event that is no JSON object"),
                    }
                }
            }
        });
        Ok(LiveEvents(events.boxed()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(value: &Value) -> LiveEvent {
        LiveEvent::read(value.to_string().as_bytes()).unwrap()
    }

    #[track_caller]
    fn check(value: Value, status: Option<ProviderCallStatus>) {
        let mut value = value;
        value["uuid"] = json!("u1");
        assert_eq!(event(&value).progress().map(|it| it.status), status, "{value}");
    }

    #[test]
    fn events_say_how_far_a_call_has_come() {
        check(
            json!({"event_type": "ORIGINATE"}),
            Some(ProviderCallStatus::Initiated),
        );
        check(
            json!({"event_type": "AGENT_CALL"}),
            Some(ProviderCallStatus::Ringing),
        );
        check(
            json!({"event_type": "Customer_Call"}),
            Some(ProviderCallStatus::Ringing),
        );
        check(
            json!({"event_type": "BRIDGE"}),
            Some(ProviderCallStatus::InProgress),
        );
    }

    #[test]
    fn one_leg_says_nothing_of_the_call() {
        for word in ["ANSWER", "AGENT_ANSWER", "HANGUP", "SOMETHING_NEW", ""] {
            check(json!({"event_type": word, "call_duration": "9"}), None);
        }
    }

    #[test]
    fn the_record_tells_how_a_call_ended() {
        let record = |agent: &str, duration: &str| json!({"event_type": "HANGUP", "type": "CDR", "agent_number": agent, "call_duration": duration});
        check(record("+919812345678", "42"), Some(ProviderCallStatus::Completed));
        check(record("+919812345678", "0"), Some(ProviderCallStatus::NoAnswer));
        check(
            record("Call Missed#+919812345678", "42"),
            Some(ProviderCallStatus::NoAnswer),
        );
        check(record("+919812345678", ""), None);
    }

    #[test]
    fn an_event_keeps_what_it_was() {
        let value = json!({
            "event_type": "SOMETHING_NEW", "uuid": "u1", "call_direction": "Incoming", "dispnumber": "918040123456",
            "caller_id": "09876543210", "Event_Date_Local": "2024-03-13 12:00:00",
        });
        let event = event(&value);
        assert_eq!(event.kind, LiveEventKind::Other("SOMETHING_NEW".to_owned()));
        assert_eq!(event.number.unwrap().as_str(), "+918040123456");
        assert_eq!(event.customer.unwrap().as_str(), "+919876543210");
        assert_eq!(event.direction, Some(CallDirection::Inbound));
        assert_eq!(event.at.unwrap().to_string(), "2024-03-13T06:30:00Z");
        assert_eq!(event.raw, value);
        assert_eq!(LiveEvent::read(b"[1]"), None);
        assert_eq!(LiveEvent::read(b"hello"), None);
    }
}
