//! A phone call: its row, its events, and the rules of its status.

mod attendant;
mod context;
mod conversation;
pub(crate) mod cost;
pub(crate) mod deadline;
mod decide;
mod hint;
mod inbound;
mod live;
mod media_leg;
mod progress;
mod repo;
mod route;
mod service;
pub(crate) mod settle;
mod status;
pub(crate) mod sweep;
mod token;
mod tool;
mod transcript;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    id::{AgentId, CallId, NumberId, UnroutedCallId},
    provider::{
        telephony::{CallPlan, ProviderCallId},
        voice_agent::{ConversationId, Direction, Speaker},
    },
};

pub use decide::{Decision, Outcome, Tried, decide};
pub use inbound::{InboundCalls, InboundError};
pub use media_leg::{MediaLeg, MediaRefused};
pub use repo::{CallFilter, CallRepo};
pub use service::{CallError, Calls, Explanation};
pub use status::CallStatus;
pub use tool::{Tool, ToolContext, ToolError, ToolRefused};
pub use transcript::Transcript;

pub(crate) use live::{LiveCalls, OpenFailure, OpenedSession};
pub(crate) use route::RouteCache;
pub(crate) use token::CallTokens;
pub(crate) use tool::Tools;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a call ended, or was never connected.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum EndReason {
            $($(#[$doc])* $name,)*
        }

        impl EndReason {
            /// The word for it in the API and in the store.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Reads such a word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// The caller hung up.
    CallerHungUp = "caller_hung_up",
    /// The agent said goodbye.
    AgentEnded = "agent_ended",
    /// Somebody hung up through the API.
    HungUp = "hung_up",
    /// The agent's platform was down, slow or refused; the caller got the fallback.
    AgentUnavailable = "agent_unavailable",
    /// The agent's platform broke off in the middle.
    AgentFailed = "agent_failed",
    /// The agent speaks an audio format that the call cannot carry.
    AudioFormatMismatch = "audio_format_mismatch",
    /// The media socket died.
    MediaLost = "media_lost",
    /// The longest allowed call.
    MaxDuration = "max_duration",
    /// Nothing was heard from the carrier's media socket for too long.
    Silence = "silence",
    /// No agent is linked to the number, or none is active.
    NoActiveAgent = "no_active_agent",
    /// The number is not in service here.
    NumberInactive = "number_inactive",
    /// The tenant is suspended or closed.
    TenantSuspended = "tenant_suspended",
    /// A payment of the tenant failed, and its time of grace is over.
    SubscriptionPastDue = "subscription_past_due",
    /// The days of the tenant's trial are over.
    TrialExpired = "trial_expired",
    /// The calls of the tenant's trial are used up.
    TrialCallsExhausted = "trial_calls_exhausted",
    /// The tenant's plan had no room for it, or for any more of it.
    PlanLimitReached = "plan_limit_reached",
    /// The tenant has no plan that is on offer.
    NoPlan = "no_plan",
    /// Nobody answered.
    NoAnswer = "no_answer",
    /// The callee was busy.
    Busy = "busy",
    /// It was canceled before it was answered.
    Canceled = "canceled",
    /// The carrier could not connect it.
    CarrierFailed = "carrier_failed",
    /// The carrier reported its end without saying why.
    Completed = "completed",
}

/// What the carrier was answered, so that a repeated webhook gets the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "plan", rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the inbound path handles both")]
pub enum CallAnswer {
    /// Our media bridge; its address is derived from the call again, so that no token lies in the store.
    Bridge,
    /// This, word for word.
    Plan(CallPlan),
}

/// A phone call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// Our id.
    pub id: CallId,
    /// Who began it.
    pub direction: Direction,
    /// How far it has come.
    pub status: CallStatus,
    /// The caller as the carrier writes it.
    pub from: String,
    /// The number that was called, as the carrier writes it.
    pub to: String,
    /// Our number that it uses.
    pub number: Option<NumberId>,
    /// The agent that it reached, and in which version.
    pub agent: Option<(AgentId, u32)>,
    /// The name of the carrier.
    pub provider: String,
    /// The carrier's id.
    pub provider_call: Option<ProviderCallId>,
    /// What the carrier was answered.
    pub answer: Option<CallAnswer>,
    /// The agent platform's id of the conversation.
    pub conversation: Option<ConversationId>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// The sequence number of the last progress that was applied.
    pub progress: Option<u32>,
    /// When it began.
    pub started_at: Timestamp,
    /// When the media socket arrived.
    pub media_at: Option<Timestamp>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it lasted by the carrier's count, in seconds.
    pub duration_seconds: Option<u32>,
    /// What it was about, when the platform says so.
    pub summary: Option<String>,
}

impl Call {
    /// A call that just came in.
    pub fn inbound(
        id: CallId,
        provider: impl Into<String>,
        provider_call: ProviderCallId,
        from: impl Into<String>,
        to: impl Into<String>,
        started_at: Timestamp,
    ) -> Self {
        Self {
            id,
            direction: Direction::Inbound,
            status: CallStatus::Ringing,
            from: from.into(),
            to: to.into(),
            number: None,
            agent: None,
            provider: provider.into(),
            provider_call: Some(provider_call),
            answer: None,
            conversation: None,
            end_reason: None,
            progress: None,
            started_at,
            media_at: None,
            answered_at: None,
            ended_at: None,
            duration_seconds: None,
            summary: None,
        }
    }
}

impl Call {
    /// Nobody takes it, for this reason.
    pub(crate) fn refuse(&mut self, reason: EndReason) {
        self.status = CallStatus::Rejected;
        self.end_reason = Some(reason);
        self.ended_at = Some(self.started_at);
    }
}

/// What happened in a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallEventKind {
    /// It came in, and this was decided.
    Incoming {
        /// Every rule that was tried, and why it did or did not apply.
        decision: Value,
    },
    /// It was refused.
    Refused {
        /// Why.
        reason: EndReason,
    },
    /// The media socket arrived.
    MediaConnected,
    /// The agent is ready.
    AgentReady {
        /// The platform's id of the conversation.
        conversation: ConversationId,
    },
    /// The agent cannot be reached; the caller gets the fallback.
    AgentFailed {
        /// For operators.
        detail: String,
    },
    /// Something was said.
    Said {
        /// By whom.
        speaker: Speaker,
        /// What.
        text: String,
    },
    /// The caller spoke into the agent's words.
    Interrupted,
    /// The agent was cut short; this is what it got to say.
    Corrected {
        /// What was really said.
        text: String,
    },
    /// The agent used a tool.
    ToolCalled {
        /// Which.
        tool: String,
        /// With what.
        arguments: Value,
    },
    /// A tool answered.
    ToolAnswered {
        /// Which.
        tool: String,
        /// Whether it failed.
        is_error: bool,
    },
    /// The caller pressed a key.
    Dtmf {
        /// Which.
        digit: char,
    },
    /// It has come further.
    Progress {
        /// How far.
        status: CallStatus,
    },
    /// It is over.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// What happened in a call, and when.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a row and its place")]
pub struct CallEvent {
    /// Its place in the call, from 1; given by the store.
    pub sequence: u32,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: CallEventKind,
}

/// A call that reached us but no tenant's number: operators see it, tenants do not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a plain record for operators")]
pub struct UnroutedCall {
    /// Its id.
    pub id: UnroutedCallId,
    /// The name of the carrier.
    pub provider: String,
    /// The carrier's id.
    pub provider_call: ProviderCallId,
    /// The caller as the carrier writes it.
    pub from: String,
    /// The number that was called, as the carrier writes it.
    pub to: String,
    /// When.
    pub at: Timestamp,
}
