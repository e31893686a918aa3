//! What a carrier tells us, and what we answer.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{ProviderCallId, ProviderCallStatus, ProviderSubaccountId};
use crate::phone::E164;

/// A provider's request as it reached us, before anything was believed of it.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "adapters and routes build it")]
pub struct WebhookRequest<'a> {
    /// The method.
    pub method: &'a http::Method,
    /// Path and query exactly as received.
    pub path_and_query: &'a str,
    /// The headers.
    pub headers: &'a http::HeaderMap,
    /// The raw body.
    pub body: &'a [u8],
}

/// Why a provider's request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// It does not come from the provider, or was changed on its way.
    #[error("the webhook's signature does not hold: {0}")]
    Forged(&'static str),
    /// It comes from the provider but cannot be understood.
    #[error("the webhook cannot be understood: {0}")]
    Malformed(&'static str),
}

/// What a carrier calls us for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookKind {
    /// What shall become of this call?
    Voice,
    /// The media socket of this call closed; what next?
    AfterMedia,
    /// `Voice` failed; what shall become of this call?
    Fallback,
    /// A call has come further.
    Status,
}

/// A call that asks what shall become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncomingCall {
    /// The carrier's id.
    pub id: ProviderCallId,
    /// The caller as the carrier writes it: E.164, `sip:…`, or a word such as `anonymous`.
    pub from: String,
    /// The number that was called, as the carrier writes it.
    pub to: String,
    /// Why the first webhook failed, when this is the fallback.
    pub failure: Option<String>,
}

impl IncomingCall {
    /// A call from `from` to `to`.
    pub fn new(id: ProviderCallId, from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            id,
            from: from.into(),
            to: to.into(),
            failure: None,
        }
    }

    /// Why the first webhook failed.
    #[must_use]
    pub fn with_failure(mut self, failure: Option<String>) -> Self {
        self.failure = failure;
        self
    }
}

/// A call that has come further.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallProgress {
    /// The carrier's id.
    pub id: ProviderCallId,
    /// How far.
    pub status: ProviderCallStatus,
    /// The order in which it happened; arrival order is not guaranteed.
    pub sequence: Option<u32>,
    /// How long it lasted, once it is over.
    pub duration: Option<Duration>,
    /// When it happened.
    pub at: Option<Timestamp>,
}

impl CallProgress {
    /// The call came this far.
    pub fn new(id: ProviderCallId, status: ProviderCallStatus) -> Self {
        Self {
            id,
            status,
            sequence: None,
            duration: None,
            at: None,
        }
    }

    /// In this order.
    #[must_use]
    pub fn with_sequence(mut self, sequence: Option<u32>) -> Self {
        self.sequence = sequence;
        self
    }

    /// After this long.
    #[must_use]
    pub fn with_duration(mut self, duration: Option<Duration>) -> Self {
        self.duration = duration;
        self
    }

    /// At this time.
    #[must_use]
    pub fn with_at(mut self, at: Option<Timestamp>) -> Self {
        self.at = at;
        self
    }
}

/// What a carrier told us, verified and parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TelephonyEvent {
    /// A call asks what shall become of it ([`WebhookKind::Voice`], `AfterMedia`, `Fallback`).
    Incoming(IncomingCall),
    /// A call has come further.
    Progress(CallProgress),
    /// A call may have come further, says somebody who cannot prove who they are: the carrier is asked before anything
    /// is believed.
    Hint(ProviderCallId),
    /// Something that changes no call; it is acknowledged, so that it is not sent again.
    Other,
}

/// What shall become of a call, before it is put into a carrier's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallPlan {
    /// Connect the call's audio to our media socket, and ask again at `then` once that closes.
    Bridge {
        /// Our media socket (`ws` or `wss`), with its single-use token.
        media_url: Url,
        /// [`WebhookKind::AfterMedia`].
        then: Url,
    },
    /// Answer with what the agent's provider said, word for word.
    Verbatim {
        /// The provider's answer.
        body: String,
    },
    /// Put the caller through to somebody.
    Forward {
        /// To this number.
        to: E164,
        /// Ring for this many seconds.
        ring_seconds: u16,
    },
    /// Say something and hang up.
    Say {
        /// What to say.
        text: String,
        /// In which language (BCP 47).
        language: String,
    },
    /// Do not answer.
    Reject {
        /// As if the line were busy.
        busy: bool,
    },
    /// Hang up.
    HangUp,
}

/// An answer to a provider, ready to be sent with status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "routes take it apart")]
pub struct WebhookAnswer {
    /// Its media type.
    pub content_type: &'static str,
    /// Its body.
    pub body: String,
}

/// A carrier's webhooks.
pub trait InboundWebhook: fmt::Debug + Send + Sync + 'static {
    /// The account within ours in whose name a request claims to come, before anything is believed of it; `None` when it
    /// claims to come from the account itself. Such a request is [received](Self::receive) by the adapter of that
    /// account, whose secret signs it.
    fn subaccount(&self, request: &WebhookRequest<'_>) -> Option<ProviderSubaccountId> {
        let _ = request;
        None
    }

    /// Checks that the request comes from the carrier, on its raw bytes, and only then reads it.
    ///
    /// # Errors
    /// `Forged`, `Malformed`.
    fn receive(
        &self,
        kind: WebhookKind,
        request: &WebhookRequest<'_>,
    ) -> Result<TelephonyEvent, WebhookError>;

    /// Puts a plan into the carrier's words.
    fn answer(&self, plan: &CallPlan) -> WebhookAnswer;
}
