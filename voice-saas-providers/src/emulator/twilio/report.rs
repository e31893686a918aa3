//! What an emulated call was like, seen from the telephone.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// The state of a call, in Twilio's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CallStatus {
    /// Created over the API, not dialled yet.
    Queued,
    /// Dialled, or waiting for the first TwiML.
    Ringing,
    /// Answered.
    InProgress,
    /// Ended after it was answered.
    Completed,
    /// Not answered: the line was busy, or the call was rejected as busy.
    Busy,
    /// Not answered in time, or rejected.
    NoAnswer,
    /// Could not be connected.
    Failed,
    /// Ended by the caller before it was answered.
    Canceled,
}

impl CallStatus {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no-answer",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether nothing can follow.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Ringing | Self::InProgress)
    }
}

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Speaker {
    /// The person on the telephone, played by the emulator.
    Caller,
    /// Whoever is on the other side of the media stream.
    Agent,
}

/// One thing that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TranscriptLine {
    /// Who said it.
    pub role: Speaker,
    /// The words. The agent's are decoded from the audio that was heard.
    pub text: String,
    /// Whether the words were cut off, as by a barge-in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// One webhook that was sent during a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WebhookExchange {
    /// `voice`, `fallback`, `action`, `status` or `stream`.
    pub kind: &'static str,
    /// Where it went.
    pub url: String,
    /// What was answered; nothing when there was no answer.
    pub status: Option<u16>,
}

/// An entry of Twilio's error log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CallError {
    /// Twilio's error code, such as 11200 or 31951.
    pub code: u32,
    /// What happened.
    pub message: String,
}

/// How long the far side took to echo the probe frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RoundTrip {
    /// Half of the probes were faster.
    #[serde(serialize_with = "milliseconds")]
    pub p50: Duration,
    /// All but one in a hundred were faster.
    #[serde(serialize_with = "milliseconds")]
    pub p99: Duration,
    /// How many probes came back.
    pub samples: usize,
}

impl RoundTrip {
    pub(super) fn of(mut samples: Vec<Duration>) -> Option<Self> {
        samples.sort_unstable();
        // The nearest-rank percentile: the smallest sample that at least this share does not exceed.
        let rank = |percent: usize| {
            samples
                .get((samples.len() * percent).div_ceil(100).checked_sub(1)?)
                .copied()
        };
        Some(Self {
            p50: rank(50)?,
            p99: rank(99)?,
            samples: samples.len(),
        })
    }
}

fn milliseconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64() * 1_000.0)
}

/// Everything about one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CallReport {
    /// Where the call stands.
    pub status: CallStatus,
    /// The TwiML documents that were received, in order.
    pub answers: Vec<String>,
    /// The webhooks that were sent, in order.
    pub webhooks: Vec<WebhookExchange>,
    /// What went wrong, as Twilio's error log would tell it.
    pub errors: Vec<CallError>,
    /// Texts and sounds that Twilio itself played: `<Say>` and `<Play>`.
    pub said: Vec<String>,
    /// Where the call was forwarded by `<Dial>`.
    pub forwarded_to: Vec<String>,
    /// Media frames of 20 ms that were sent to the far side.
    pub frames_sent: u64,
    /// Frames of the far side's audio that were played.
    pub frames_heard: u64,
    /// How often the far side emptied the playback buffer.
    pub clears: u64,
    /// The recording of what was heard, once the call has ended.
    pub heard_wav: Option<PathBuf>,
    /// The conversation, as heard on the telephone.
    pub transcript: Vec<TranscriptLine>,
    /// The round trip of probe frames; nothing when none came back.
    #[serde(rename = "round_trip_ms")]
    pub round_trip: Option<RoundTrip>,
}

impl CallReport {
    pub(super) fn new(status: CallStatus) -> Self {
        Self {
            status,
            answers: Vec::new(),
            webhooks: Vec::new(),
            errors: Vec::new(),
            said: Vec::new(),
            forwarded_to: Vec::new(),
            frames_sent: 0,
            frames_heard: 0,
            clears: 0,
            heard_wav: None,
            transcript: Vec::new(),
            round_trip: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let samples = (1..=100).map(Duration::from_millis).collect();
        let trip = RoundTrip::of(samples).expect("there are samples");
        assert_eq!((trip.p50.as_millis(), trip.p99.as_millis()), (50, 99));
        let one = RoundTrip::of(vec![Duration::from_millis(7)]).expect("there is a sample");
        assert_eq!(
            (one.p50, one.p99),
            (Duration::from_millis(7), Duration::from_millis(7))
        );
        assert_eq!(RoundTrip::of(Vec::new()), None);
    }
}
