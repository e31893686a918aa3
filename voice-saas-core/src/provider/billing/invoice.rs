//! What was charged.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{ProviderCustomerId, ProviderInvoiceId, ProviderSubscriptionId, ServicePeriod};
use crate::money::Money;

/// How far an invoice is, in the provider's words where they are not known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum InvoiceStatus {
    /// It may still change.
    Draft,
    /// It is to be paid.
    Open,
    /// It was paid.
    Paid,
    /// It was given up.
    Uncollectible,
    /// It does not count.
    Void,
    /// A word that came later.
    Other(String),
}

impl From<String> for InvoiceStatus {
    fn from(word: String) -> Self {
        match &*word {
            "draft" => Self::Draft,
            "open" => Self::Open,
            "paid" => Self::Paid,
            "uncollectible" => Self::Uncollectible,
            "void" => Self::Void,
            _ => Self::Other(word),
        }
    }
}

impl From<InvoiceStatus> for String {
    fn from(status: InvoiceStatus) -> Self {
        let word = match status {
            InvoiceStatus::Draft => "draft",
            InvoiceStatus::Open => "open",
            InvoiceStatus::Paid => "paid",
            InvoiceStatus::Uncollectible => "uncollectible",
            InvoiceStatus::Void => "void",
            InvoiceStatus::Other(word) => return word,
        };
        word.to_owned()
    }
}

/// An invoice as it is at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BillingInvoice {
    /// Its id there; one that is only announced has none yet.
    pub id: Option<ProviderInvoiceId>,
    /// The number that the customer knows it by.
    pub number: Option<String>,
    /// How far it is.
    pub status: InvoiceStatus,
    /// Why it was made, in the provider's words: `subscription_create`, `subscription_cycle`, …
    pub reason: Option<String>,
    /// Who pays.
    pub customer: Option<ProviderCustomerId>,
    /// What it is for.
    pub subscription: Option<ProviderSubscriptionId>,
    /// The tenant's id that the subscription carried, as text.
    pub tenant: Option<String>,
    /// What it comes to.
    pub amount_due: Money,
    /// What was paid of it.
    pub amount_paid: Money,
    /// What is still to be paid.
    pub amount_remaining: Money,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again; `None` when it is not.
    pub next_attempt: Option<Timestamp>,
    /// Where the customer can pay it.
    pub hosted_url: Option<Url>,
    /// Where it can be read.
    pub pdf: Option<Url>,
    /// What time it pays for: from the first to the last of its lines.
    pub service: Option<ServicePeriod>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
}

impl BillingInvoice {
    /// An invoice over nothing, of which nothing else is known.
    pub fn new(
        id: Option<ProviderInvoiceId>,
        status: impl Into<InvoiceStatus>,
        currency: crate::money::Currency,
    ) -> Self {
        Self {
            id,
            number: None,
            status: status.into(),
            reason: None,
            customer: None,
            subscription: None,
            tenant: None,
            amount_due: Money::zero(currency),
            amount_paid: Money::zero(currency),
            amount_remaining: Money::zero(currency),
            attempts: 0,
            next_attempt: None,
            hosted_url: None,
            pdf: None,
            service: None,
            created: None,
            paid_at: None,
        }
    }
}
