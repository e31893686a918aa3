//! The ports to a carrier: numbers, calls, webhooks, media.
//!
//! A [`TelephonyProvider`] is a set of facets, present or absent. To write one, implement the facets that your
//! carrier has and run the conformance suites of [`testing`](crate::testing).

use std::{fmt, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{ProviderError, ProviderName};
use crate::{
    media::MediaCodec,
    money::Money,
    phone::{Country, E164},
};

macro_rules! opaque_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub struct $name(String);

        impl $name {
            /// The id as the provider writes it; its form is the provider's own affair.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as the provider writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
pub(crate) use opaque_ids;

opaque_ids! {
    /// A carrier's id of a number, such as Twilio's `PN…` SID.
    ProviderNumberId;
    /// A carrier's id of a call, such as Twilio's `CA…` SID.
    ProviderCallId;
}

/// A carrier.
pub trait TelephonyProvider: fmt::Debug + Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> ProviderName;
    /// Searching, buying and releasing numbers.
    fn numbers(&self) -> Option<&dyn NumberProvider>;
    /// Looking after single calls.
    fn calls(&self) -> Option<&dyn CallProvider>;
    /// What it tells us, and what we answer.
    fn webhook(&self) -> Option<&dyn InboundWebhook>;
    /// Its media socket.
    fn media(&self) -> Option<&dyn MediaCodec>;
}

/// Kinds of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NumberKind {
    /// Belongs to a place.
    #[default]
    Local,
    /// Free for the caller.
    TollFree,
    /// Belongs to a mobile network.
    Mobile,
}

/// What a number can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NumberCapabilities {
    /// Calls.
    pub voice: bool,
    /// Text messages.
    pub sms: bool,
    /// Picture messages.
    pub mms: bool,
}

/// A search for numbers that can be bought and carry calls.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NumberQuery {
    /// Where.
    pub country: Country,
    /// Which kind.
    pub kind: NumberKind,
    /// The area code, where the country has them.
    pub area_code: Option<String>,
    /// Digits that the number contains.
    pub contains: Option<String>,
    /// At most this many.
    pub limit: u16,
}

impl NumberQuery {
    /// Any local number of the country.
    pub fn new(country: Country) -> Self {
        Self {
            country,
            kind: NumberKind::default(),
            area_code: None,
            contains: None,
            limit: 20,
        }
    }

    /// Of this kind.
    #[must_use]
    pub fn with_kind(mut self, kind: NumberKind) -> Self {
        self.kind = kind;
        self
    }

    /// In this area.
    #[must_use]
    pub fn with_area_code(mut self, area_code: impl Into<String>) -> Self {
        self.area_code = Some(area_code.into());
        self
    }

    /// With these digits in it.
    #[must_use]
    pub fn with_contains(mut self, digits: impl Into<String>) -> Self {
        self.contains = Some(digits.into());
        self
    }

    /// At most this many.
    #[must_use]
    pub fn with_limit(mut self, limit: u16) -> Self {
        self.limit = limit;
        self
    }
}

/// A number that can be bought now, and perhaps no longer in a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AvailableNumber {
    /// The number.
    pub number: E164,
    /// The carrier's way of writing it.
    pub friendly_name: String,
    /// The place, when it has one.
    pub locality: Option<String>,
    /// The region, when it has one.
    pub region: Option<String>,
    /// What it can carry.
    pub capabilities: NumberCapabilities,
}

impl AvailableNumber {
    /// A number without a place.
    pub fn new(number: E164, friendly_name: impl Into<String>, capabilities: NumberCapabilities) -> Self {
        Self {
            number,
            friendly_name: friendly_name.into(),
            locality: None,
            region: None,
            capabilities,
        }
    }

    /// Where it belongs.
    #[must_use]
    pub fn with_place(mut self, locality: Option<String>, region: Option<String>) -> Self {
        self.locality = locality;
        self.region = region;
        self
    }
}

/// Where the carrier reports the calls of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NumberWebhooks {
    /// Asked what to do with a call.
    pub voice: Url,
    /// Asked when `voice` failed.
    pub fallback: Url,
    /// Told how a call ended.
    pub status: Url,
}

impl NumberWebhooks {
    /// The three addresses.
    pub fn new(voice: Url, fallback: Url, status: Url) -> Self {
        Self {
            voice,
            fallback,
            status,
        }
    }
}

/// An order for one exact number, set up in the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NumberOrder {
    /// The number.
    pub number: E164,
    /// What finds this purchase again after an ambiguous failure; kept by the carrier as the friendly name.
    pub tag: String,
    /// Where its calls are reported.
    pub webhooks: NumberWebhooks,
}

impl NumberOrder {
    /// Orders `number`.
    pub fn new(number: E164, tag: impl Into<String>, webhooks: NumberWebhooks) -> Self {
        Self {
            number,
            tag: tag.into(),
            webhooks,
        }
    }
}

/// A number that the account holds at the carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderNumber {
    /// The carrier's id.
    pub id: ProviderNumberId,
    /// The number.
    pub number: E164,
    /// The tag under which it was bought, or whatever name it was given since.
    pub friendly_name: String,
    /// What it can carry.
    pub capabilities: NumberCapabilities,
    /// Where its calls are reported now.
    pub voice_url: Option<String>,
}

impl ProviderNumber {
    /// A number without a voice address.
    pub fn new(
        id: ProviderNumberId,
        number: E164,
        friendly_name: impl Into<String>,
        capabilities: NumberCapabilities,
    ) -> Self {
        Self {
            id,
            number,
            friendly_name: friendly_name.into(),
            capabilities,
            voice_url: None,
        }
    }

    /// Where its calls are reported.
    #[must_use]
    pub fn with_voice_url(mut self, voice_url: Option<String>) -> Self {
        self.voice_url = voice_url;
        self
    }
}

/// One page of a provider's list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a page is its items and the way to the next"
)]
pub struct ProviderPage<T> {
    /// The items.
    pub items: Vec<T>,
    /// What asks for the next page; `None` at the end.
    pub next: Option<String>,
}

/// Whether a thing was there to be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
pub enum Removal {
    /// It was there and is gone now.
    Removed,
    /// It was gone already.
    AlreadyGone,
}

/// Numbers at a carrier.
#[async_trait]
pub trait NumberProvider: fmt::Debug + Send + Sync + 'static {
    /// Numbers that can be bought. An empty list is a normal answer.
    async fn search(&self, query: &NumberQuery) -> Result<Vec<AvailableNumber>, ProviderError>;

    /// Buys exactly this number. Never sent twice: after a failure whose recovery is
    /// [`Reconcile`](super::Recovery::Reconcile) the caller looks with [`find`](Self::find) first.
    async fn buy(&self, order: &NumberOrder) -> Result<ProviderNumber, ProviderError>;

    /// The number as the account holds it, if it does.
    async fn find(&self, number: &E164) -> Result<Option<ProviderNumber>, ProviderError>;

    /// All numbers of the account, page by page.
    async fn list(&self, page: Option<&str>) -> Result<ProviderPage<ProviderNumber>, ProviderError>;

    /// Points the number's calls somewhere else.
    async fn configure(&self, id: &ProviderNumberId, webhooks: &NumberWebhooks) -> Result<(), ProviderError>;

    /// Gives the number back, for good.
    async fn release(&self, id: &ProviderNumberId) -> Result<Removal, ProviderError>;
}

/// How far a call has come, in the carrier's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderCallStatus {
    /// Accepted, not dialled yet.
    Queued,
    /// Being dialled.
    Initiated,
    /// Ringing.
    Ringing,
    /// Answered.
    InProgress,
    /// Answered and over.
    Completed,
    /// The callee was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// It could not be connected.
    Failed,
    /// Ended before it was answered.
    Canceled,
    /// A word that this library does not know.
    Unknown,
}

/// A call in the carrier's books.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderCall {
    /// The carrier's id.
    pub id: ProviderCallId,
    /// How far it has come.
    pub status: ProviderCallStatus,
    /// When it was answered or began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it lasted.
    pub duration: Option<Duration>,
    /// What the carrier charged; `None` until the call is rated.
    pub price: Option<Money>,
}

impl ProviderCall {
    /// A call of which only the status is known.
    pub fn new(id: ProviderCallId, status: ProviderCallStatus) -> Self {
        Self {
            id,
            status,
            started_at: None,
            ended_at: None,
            duration: None,
            price: None,
        }
    }

    /// When it began and ended.
    #[must_use]
    pub fn with_times(mut self, started_at: Option<Timestamp>, ended_at: Option<Timestamp>) -> Self {
        self.started_at = started_at;
        self.ended_at = ended_at;
        self
    }

    /// How long it lasted.
    #[must_use]
    pub fn with_duration(mut self, duration: Option<Duration>) -> Self {
        self.duration = duration;
        self
    }

    /// What it cost.
    #[must_use]
    pub fn with_price(mut self, price: Option<Money>) -> Self {
        self.price = price;
        self
    }
}

/// Single calls at a carrier.
#[async_trait]
pub trait CallProvider: fmt::Debug + Send + Sync + 'static {
    /// The call as the carrier sees it; lags behind its callbacks.
    async fn fetch(&self, id: &ProviderCallId) -> Result<ProviderCall, ProviderError>;

    /// Ends a live call. A call that is over already is `AlreadyGone`.
    async fn hang_up(&self, id: &ProviderCallId) -> Result<Removal, ProviderError>;
}

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
