//! Pages of the provider's own, where customers pay and change what they pay for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{CheckoutId, Operation, ProviderCustomerId, ProviderPriceId, ProviderSubscriptionId, Trial};
use crate::id::TenantId;

/// Who comes to a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckoutOrder {
    /// Whose subscription it will be.
    pub tenant: TenantId,
    /// What it is made for.
    pub operation: Operation,
    /// Who pays.
    pub customer: ProviderCustomerId,
    /// The plan, kept as a tag.
    pub plan: String,
    /// The plan's flat price.
    pub price: ProviderPriceId,
    /// The plan's metered prices.
    pub metered: Vec<ProviderPriceId>,
    /// The time before the first payment.
    pub trial: Option<Trial>,
    /// Where the customer comes back to. `{CHECKOUT_SESSION_ID}` in it becomes the checkout's id.
    pub success_url: String,
    /// Where a customer comes back to who did not pay.
    pub cancel_url: Url,
}

impl CheckoutOrder {
    /// A checkout for one price, without a trial.
    pub fn new(
        tenant: TenantId,
        operation: Operation,
        customer: ProviderCustomerId,
        plan: impl Into<String>,
        price: ProviderPriceId,
        success_url: impl Into<String>,
        cancel_url: Url,
    ) -> Self {
        Self {
            tenant,
            operation,
            customer,
            plan: plan.into(),
            price,
            metered: Vec::new(),
            trial: None,
            success_url: success_url.into(),
            cancel_url,
        }
    }

    /// The plan's metered prices.
    #[must_use]
    pub fn with_metered(mut self, metered: Vec<ProviderPriceId>) -> Self {
        self.metered = metered;
        self
    }

    /// The time before the first payment.
    #[must_use]
    pub fn with_trial(mut self, trial: Trial) -> Self {
        self.trial = Some(trial);
        self
    }
}

/// How far a checkout is, in the provider's words where they are not known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum CheckoutStatus {
    /// The customer may still come.
    Open,
    /// The customer is through.
    Complete,
    /// Nobody came in time, or it was closed.
    Expired,
    /// A word that came later.
    Other(String),
}

impl From<String> for CheckoutStatus {
    fn from(word: String) -> Self {
        match &*word {
            "open" => Self::Open,
            "complete" => Self::Complete,
            "expired" => Self::Expired,
            _ => Self::Other(word),
        }
    }
}

impl From<CheckoutStatus> for String {
    fn from(status: CheckoutStatus) -> Self {
        match status {
            CheckoutStatus::Open => "open".to_owned(),
            CheckoutStatus::Complete => "complete".to_owned(),
            CheckoutStatus::Expired => "expired".to_owned(),
            CheckoutStatus::Other(word) => word,
        }
    }
}

/// Whether a checkout was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "whoever grants access decides for each")]
pub enum CheckoutPayment {
    /// It was.
    Paid,
    /// There is nothing to pay yet.
    NotRequired,
    /// It was not, or not yet, or the provider says something that is not known here.
    Unpaid,
}

/// A checkout as it is at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckoutSession {
    /// Its id there.
    pub id: CheckoutId,
    /// Where the customer is sent; only while it is open.
    pub url: Option<Url>,
    /// How far it is.
    pub status: CheckoutStatus,
    /// Whether it was paid.
    pub payment: CheckoutPayment,
    /// The tenant's id that it carries, as text.
    pub tenant: Option<String>,
    /// The operation that it was made for.
    pub operation: Option<String>,
    /// Who paid.
    pub customer: Option<ProviderCustomerId>,
    /// What came of it.
    pub subscription: Option<ProviderSubscriptionId>,
    /// When it closes by itself.
    pub expires_at: Option<Timestamp>,
}

impl CheckoutSession {
    /// An unpaid checkout of which nothing else is known.
    pub fn new(id: CheckoutId, status: impl Into<CheckoutStatus>) -> Self {
        Self {
            id,
            url: None,
            status: status.into(),
            payment: CheckoutPayment::Unpaid,
            tenant: None,
            operation: None,
            customer: None,
            subscription: None,
            expires_at: None,
        }
    }
}

/// What a portal opens with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortalPage {
    /// Everything.
    Overview,
    /// A new card.
    PaymentMethod,
    /// Ending this subscription.
    Cancel(ProviderSubscriptionId),
}

/// A portal to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "use cases build it")]
pub struct PortalOrder {
    /// Whose.
    pub customer: ProviderCustomerId,
    /// What it opens with.
    pub page: PortalPage,
    /// Where the customer comes back to.
    pub return_url: Url,
}

/// A portal that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "adapters build it")]
pub struct PortalSession {
    /// Where the customer is sent. Whoever has it is the customer: it is neither kept nor logged.
    pub url: Url,
}
