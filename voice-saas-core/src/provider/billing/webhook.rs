//! What a billing provider tells us.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    BillingCustomer, BillingEventId, BillingInvoice, BillingSubscription, CheckoutSession, PaymentMethodId,
    ProviderCustomerId, ProviderInvoiceId, ProviderSubscriptionId,
};
use crate::provider::telephony::{WebhookError, WebhookRequest};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// What happened.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum BillingEventKind {
            $($(#[$doc])* $name,)*
            /// Something else, in the provider's words. It is kept and acknowledged.
            Other(String),
        }
    };
}

kinds! {
    /// A customer came through a checkout.
    CheckoutCompleted;
    /// A checkout closed by itself.
    CheckoutExpired;
    /// A payment that took its time came in.
    CheckoutPaid;
    /// A payment that took its time did not come in.
    CheckoutFailed;
    /// A subscription was made.
    SubscriptionCreated;
    /// A subscription changed.
    SubscriptionUpdated;
    /// A subscription ended.
    SubscriptionEnded;
    /// A subscription waits.
    SubscriptionPaused;
    /// A subscription goes on.
    SubscriptionResumed;
    /// A trial ends soon, or was cut short.
    TrialEnding;
    /// An invoice was made.
    InvoiceCreated;
    /// An invoice may no longer change.
    InvoiceFinalized;
    /// An invoice was paid.
    InvoicePaid;
    /// An invoice could not be collected.
    InvoiceFailed;
    /// The customer's bank wants to ask the customer.
    InvoiceActionRequired;
    /// An invoice could not be made.
    InvoiceNotFinalized;
    /// An invoice will be made; it has no id yet.
    InvoiceUpcoming;
    /// An invoice does not count any more.
    InvoiceVoided;
    /// An invoice was given up.
    InvoiceUncollectible;
    /// A customer was made or changed.
    CustomerUpdated;
    /// A customer was deleted.
    CustomerDeleted;
    /// A card was put on file.
    PaymentMethodAttached;
    /// A customer gave a card on [our own page](super::Billing::set_up_card); it does not pay until it is
    /// [attached](super::Billing::attach_payment_method).
    CardSetUp;
    /// Money went back.
    Refunded;
    /// The customer's bank wants the money back.
    Disputed;
}

/// What the thing was like when the event was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BillingSnapshot {
    /// A subscription.
    Subscription(Box<BillingSubscription>),
    /// An invoice.
    Invoice(Box<BillingInvoice>),
    /// A checkout.
    Checkout(Box<CheckoutSession>),
    /// A customer.
    Customer(Box<BillingCustomer>),
    /// Something else, or written in a way that is not known here.
    None,
}

/// An event, verified and read.
///
/// Events come more than once and in any order. One is a hint that something changed: who acts on it asks the provider
/// for the present state, or else compares [`created`](Self::created) with the last event that was acted upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BillingEvent {
    /// The provider's id: the same for each repetition.
    pub id: BillingEventId,
    /// When it was made there, to the second.
    pub created: Timestamp,
    /// What happened.
    pub kind: BillingEventKind,
    /// Whom it concerns.
    pub customer: Option<ProviderCustomerId>,
    /// Which subscription.
    pub subscription: Option<ProviderSubscriptionId>,
    /// Which invoice.
    pub invoice: Option<ProviderInvoiceId>,
    /// Which card.
    pub payment_method: Option<PaymentMethodId>,
    /// The tenant's id that the thing carries, as text.
    pub tenant: Option<String>,
    /// What the thing was like.
    pub snapshot: BillingSnapshot,
}

impl BillingEvent {
    /// An event that concerns nobody yet.
    pub fn new(id: BillingEventId, created: Timestamp, kind: BillingEventKind) -> Self {
        Self {
            id,
            created,
            kind,
            customer: None,
            subscription: None,
            invoice: None,
            payment_method: None,
            tenant: None,
            snapshot: BillingSnapshot::None,
        }
    }
}

/// A billing provider's webhooks.
pub trait BillingWebhook: fmt::Debug + Send + Sync + 'static {
    /// Checks that the request comes from the provider, on its raw bytes, and only then reads it. `now` bounds the
    /// replay window. An event of a kind that is not known is [`Other`](BillingEventKind::Other), never an error.
    ///
    /// # Errors
    /// `Forged`, `Malformed`.
    fn receive(&self, request: &WebhookRequest<'_>, now: Timestamp) -> Result<BillingEvent, WebhookError>;
}
