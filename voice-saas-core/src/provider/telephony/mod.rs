//! The ports to a carrier: numbers, calls, webhooks, media.
//!
//! A [`TelephonyProvider`] is a set of facets, present or absent. To write one, implement the facets that your
//! carrier has and run the conformance suites of [`testing`](crate::testing).

mod call;
mod capability;
mod dispatch;
mod number;
mod porting;
mod subaccount;
mod trunk;
mod webhook;

use std::fmt;

use super::ProviderName;
use crate::media::MediaCodec;

pub use call::{CallProvider, ProviderCall, ProviderCallStatus};
pub use capability::Capability;
pub use dispatch::{
    DispatchJob, DispatchJobStatus, DispatchOrder, DispatchProvider, ProviderDispatch, ProviderDispatchId,
};
pub use number::{
    AddressRequirement, AvailableNumber, NumberCapabilities, NumberKind, NumberOrder, NumberProvider,
    NumberQuery, NumberRequirements, NumberWebhooks, ProviderNumber,
};
pub use porting::{
    CarrierCustomer, LosingCarrier, PortAddress, PortNumber, PortOrder, PortRequest, PortRequestId,
    PortState, Portability, PortedNumber, PortingProvider,
};
pub use subaccount::{ProviderSubaccount, ProviderSubaccountId, SubaccountProvider, SubaccountState};
pub use trunk::{AgentDispatch, ProviderTrunk, RouteHandle, SipCredentials, TrunkOrder, TrunkProvider};
pub use webhook::{
    CallPlan, CallProgress, InboundWebhook, IncomingCall, TelephonyEvent, WebhookAnswer, WebhookError,
    WebhookKind, WebhookRequest,
};

macro_rules! opaque_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
    /// Its SIP trunks.
    fn trunks(&self) -> Option<&dyn TrunkProvider> {
        None
    }
    /// Numbers that move in from other carriers.
    fn porting(&self) -> Option<&dyn PortingProvider> {
        None
    }
    /// Accounts within the account.
    fn subaccounts(&self) -> Option<&dyn SubaccountProvider> {
        None
    }
    /// Its agents, sent into rooms.
    fn dispatch(&self) -> Option<&dyn DispatchProvider> {
        None
    }
    /// What it can do. What is not here is answered with [`ErrorKind::Unsupported`](crate::provider::ErrorKind).
    fn capabilities(&self) -> &'static [Capability];
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
