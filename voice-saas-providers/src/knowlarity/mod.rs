//! Knowlarity (`SuperReceptionist`, now Gupshup Voice): numbers from a plan, click-to-call, the call log, live events
//! and pushes.
//!
//! The facts behind this module are those of `developer.knowlarity.com/api-reference` and of the voice pages of
//! `docs.gupshup.io`, both thin, and of clients that work. Where they are silent or disagree, both readings are
//! accepted.
//!
//! Knowlarity connects telephones: it rings one of yours, then the customer's. How calls to a number are routed is
//! set in its dashboard, by hand; so is where pushes go. What it has no interface for is
//! [`Unsupported`](voice_saas_core::provider::ErrorKind::Unsupported), with a detail that says what to do instead.
//!
//! ```
//! use voice_saas_core::provider::telephony::{Capability, TelephonyProvider};
//! use voice_saas_providers::knowlarity::Knowlarity;
//!
//! let knowlarity = Knowlarity::builder("0f8e2d4c".into(), "a1b2c3d4".into())
//!     .with_webhook_secret("0123456789abcdef".into()) // POST /webhooks/knowlarity/0123456789abcdef
//!     .build()?;
//!
//! assert!(knowlarity.webhook().is_some());
//! let can = knowlarity.capabilities();
//! assert!(can.contains(&Capability::ImportNumbers) && !can.contains(&Capability::BuyNumbers)); // no plan was named
//! # Ok::<(), voice_saas_core::provider::ProviderError>(())
//! ```

mod answer;
mod builder;
mod call_log;
mod calls;
mod live;
mod numbers;
mod pace;
mod plans;
mod sse;
#[cfg(test)]
mod tests;
mod webhook;
mod wire;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use voice_saas_core::{
    clock::Ambient,
    media::MediaCodec,
    provider::{
        ErrorKind, ProviderError, ProviderName,
        telephony::{CallProvider, Capability, InboundWebhook, NumberProvider, TelephonyProvider},
    },
    secret::SecretString,
};

use self::{pace::Pace, webhook::Webhook};
use crate::http::Client;

pub use builder::KnowlarityBuilder;
pub use call_log::{CallDirection, CallLogEntry, CallLogQuery};
pub use calls::{MakeCall, PlacedCall};
pub use live::{LiveEvent, LiveEventKind, LiveEvents};
pub use plans::{Circle, HeldNumber, Plan};
pub use webhook::{CallPush, PushField};

/// The name under which everything of Knowlarity's is kept.
pub const NAME: ProviderName = ProviderName::new("knowlarity");

/// One `SuperReceptionist` account.
///
/// Cheap to clone; clones share connections and limits.
#[derive(Debug, Clone)]
pub struct Knowlarity {
    api: Client,
    /// The host of live events. The SR API key is a part of its base URL, which never prints.
    konnect: Client,
    channel: Arc<str>,
    plan: Option<Allocation>,
    circle: Option<String>,
    page_size: u16,
    look_back: Duration,
    pace: Pace,
    webhook: Option<Webhook>,
    ambient: Ambient,
}

/// What numbers are taken from.
#[derive(Debug, Clone)]
struct Allocation {
    user_plan_id: String,
    until: Option<Timestamp>,
}

impl Knowlarity {
    /// The account with this SR API key (`authorization`, a UUID from its dashboard), seen by the application with
    /// this access key (`api_key`, some 40 characters from the developer portal). Both go with every request.
    pub fn builder(authorization: SecretString, api_key: SecretString) -> KnowlarityBuilder {
        KnowlarityBuilder::new(authorization, api_key)
    }

    /// The path of a resource of the account.
    fn path(&self, resource: &str) -> String {
        format!("/{}/v1/account/{resource}", self.channel)
    }
}

fn unsupported(operation: &'static str, instead: &str) -> ProviderError {
    ProviderError::new(NAME, operation, ErrorKind::Unsupported).with_detail(instead)
}

const WITHOUT_PLAN: &[Capability] = &[
    Capability::SearchNumbers,
    Capability::ImportNumbers,
    Capability::ListNumbers,
    Capability::FetchCalls,
];

const WITH_PLAN: &[Capability] = &[
    Capability::SearchNumbers,
    Capability::BuyNumbers,
    Capability::ImportNumbers,
    Capability::ListNumbers,
    Capability::FetchCalls,
];

impl TelephonyProvider for Knowlarity {
    fn name(&self) -> ProviderName {
        NAME
    }

    fn numbers(&self) -> Option<&dyn NumberProvider> {
        Some(self)
    }

    fn calls(&self) -> Option<&dyn CallProvider> {
        Some(self)
    }

    /// Absent without a webhook secret: nothing else says who pushes.
    fn webhook(&self) -> Option<&dyn InboundWebhook> {
        self.webhook
            .as_ref()
            .map(|webhook| webhook as &dyn InboundWebhook)
    }

    /// Audio sockets are set up with Knowlarity's staff, and have no public description.
    fn media(&self) -> Option<&dyn MediaCodec> {
        None
    }

    fn capabilities(&self) -> &'static [Capability] {
        if self.plan.is_some() {
            WITH_PLAN
        } else {
            WITHOUT_PLAN
        }
    }
}
