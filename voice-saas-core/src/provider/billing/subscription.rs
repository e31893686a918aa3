//! What is paid for again and again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Operation, PaymentMethodId, ProviderCustomerId, ProviderInvoiceId, ProviderPriceId,
    ProviderSubscriptionId,
};
use crate::{id::TenantId, money::Money};

/// What becomes of a subscription whose trial ends without a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "every adapter must know how to do each")]
pub enum MissingCard {
    /// It ends.
    #[default]
    Cancel,
    /// It waits, and can be [reactivated](super::Billing::reactivate).
    Pause,
    /// An invoice is made that nobody pays.
    Invoice,
}

/// A time before the first payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a trial is its length and its end")]
pub struct Trial {
    /// Its length, 1 to 730.
    pub days: u16,
    /// What follows without a card.
    pub missing_card: MissingCard,
}

impl Trial {
    /// So many days; without a card it ends there.
    pub const fn days(days: u16) -> Self {
        Self {
            days,
            missing_card: MissingCard::Cancel,
        }
    }
}

/// A subscription to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionOrder {
    /// Whose it will be.
    pub tenant: TenantId,
    /// Who pays.
    pub customer: ProviderCustomerId,
    /// What it is made for.
    pub operation: Operation,
    /// The plan, kept as a tag.
    pub plan: String,
    /// The plan's prices: at most one [flat](super::Charge::Flat), and its metered ones.
    pub prices: Vec<ProviderPriceId>,
    /// The time before the first payment.
    pub trial: Option<Trial>,
    /// The card that pays, when it is not the customer's own.
    pub payment_method: Option<PaymentMethodId>,
}

impl SubscriptionOrder {
    /// A subscription that is paid from the first day.
    pub fn new(
        tenant: TenantId,
        customer: ProviderCustomerId,
        operation: Operation,
        plan: impl Into<String>,
        prices: Vec<ProviderPriceId>,
    ) -> Self {
        Self {
            tenant,
            customer,
            operation,
            plan: plan.into(),
            prices,
            trial: None,
            payment_method: None,
        }
    }

    /// The time before the first payment.
    #[must_use]
    pub fn with_trial(mut self, trial: Trial) -> Self {
        self.trial = Some(trial);
        self
    }

    /// The card that pays.
    #[must_use]
    pub fn with_payment_method(mut self, payment_method: PaymentMethodId) -> Self {
        self.payment_method = Some(payment_method);
        self
    }
}

/// What the provider says of a subscription, in its own words where they are not known here. What access follows is
/// not the provider's matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum SubscriptionStatus {
    /// Inside the trial.
    Trialing,
    /// In good standing. Right after a trial this does not mean paid.
    Active,
    /// The first payment is not done yet.
    Incomplete,
    /// The first payment was never done. Final.
    IncompleteExpired,
    /// A payment failed; it is tried again.
    PastDue,
    /// A payment failed for good, and nothing is collected any more.
    Unpaid,
    /// It waits.
    Paused,
    /// It ended. Final.
    Canceled,
    /// A word that came later.
    Other(String),
}

impl SubscriptionStatus {
    /// The provider's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::Incomplete => "incomplete",
            Self::IncompleteExpired => "incomplete_expired",
            Self::PastDue => "past_due",
            Self::Unpaid => "unpaid",
            Self::Paused => "paused",
            Self::Canceled => "canceled",
            Self::Other(word) => word,
        }
    }

    /// Whether the subscription never comes back from here.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Canceled | Self::IncompleteExpired)
    }
}

impl From<String> for SubscriptionStatus {
    fn from(word: String) -> Self {
        match &*word {
            "trialing" => Self::Trialing,
            "active" => Self::Active,
            "incomplete" => Self::Incomplete,
            "incomplete_expired" => Self::IncompleteExpired,
            "past_due" => Self::PastDue,
            "unpaid" => Self::Unpaid,
            "paused" => Self::Paused,
            "canceled" => Self::Canceled,
            _ => Self::Other(word),
        }
    }
}

impl From<SubscriptionStatus> for String {
    fn from(status: SubscriptionStatus) -> Self {
        status.as_str().to_owned()
    }
}

/// From when to when a payment lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a period is its two ends")]
pub struct ServicePeriod {
    /// The first moment.
    pub start: Timestamp,
    /// The first moment that is no longer in it.
    pub end: Timestamp,
}

/// One thing that is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "adapters build it")]
pub struct SubscriptionItem {
    /// Its id at the provider.
    pub id: String,
    /// Its price.
    pub price: ProviderPriceId,
    /// What the price is found by.
    pub lookup_key: Option<String>,
    /// Whether usage is charged.
    pub metered: bool,
}

/// A subscription as it is at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BillingSubscription {
    /// Its id there.
    pub id: ProviderSubscriptionId,
    /// Who pays.
    pub customer: ProviderCustomerId,
    /// What the provider says of it.
    pub status: SubscriptionStatus,
    /// The tenant's id that it carries, as text.
    pub tenant: Option<String>,
    /// The operation that made it.
    pub operation: Option<String>,
    /// The plan that it was tagged with.
    pub plan: Option<String>,
    /// What is subscribed to.
    pub items: Vec<SubscriptionItem>,
    /// The present period.
    pub period: Option<ServicePeriod>,
    /// When the trial ends or ended.
    pub trial_end: Option<Timestamp>,
    /// Whether it ends with the present period.
    pub cancel_at_period_end: bool,
    /// When it will end.
    pub cancel_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended, in the provider's words: `cancellation_requested`, `payment_failed`, …
    pub end_reason: Option<String>,
    /// Why it is paused, in the provider's words: `trial_end_without_payment_method`, …
    pub pause_reason: Option<String>,
    /// The last invoice.
    pub latest_invoice: Option<ProviderInvoiceId>,
    /// The card that pays, when it is not the customer's own.
    pub default_payment_method: Option<PaymentMethodId>,
    /// When it was made.
    pub created: Option<Timestamp>,
}

impl BillingSubscription {
    /// A subscription of which nothing else is known.
    pub fn new(
        id: ProviderSubscriptionId,
        customer: ProviderCustomerId,
        status: impl Into<SubscriptionStatus>,
    ) -> Self {
        Self {
            id,
            customer,
            status: status.into(),
            tenant: None,
            operation: None,
            plan: None,
            items: Vec::new(),
            period: None,
            trial_end: None,
            cancel_at_period_end: false,
            cancel_at: None,
            ended_at: None,
            end_reason: None,
            pause_reason: None,
            latest_invoice: None,
            default_payment_method: None,
            created: None,
        }
    }
}

/// What becomes of the rest of the present period when the plan changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "every adapter must know how to do each")]
pub enum Proration {
    /// The difference is paid now; the change is made only when it was.
    PayNow,
    /// The difference comes on the next invoice.
    NextInvoice,
    /// There is none: the new price counts from the next period.
    None,
}

/// A change of what is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "use cases build it")]
pub struct PlanChange {
    /// The subscription.
    pub subscription: ProviderSubscriptionId,
    /// The new plan, kept as a tag.
    pub plan: String,
    /// The new plan's prices, all of them.
    pub prices: Vec<ProviderPriceId>,
    /// What becomes of the rest of the period.
    pub proration: Proration,
    /// The moment that a preview counted from, so that the change costs what the preview said.
    pub at: Option<Timestamp>,
    /// What it is made for.
    pub operation: Operation,
}

/// What a change would cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "adapters build it")]
pub struct ChangePreview {
    /// What the next invoice would come to: at once with [`Proration::PayNow`], else at the period's end.
    pub amount_due: Money,
    /// What of it is due to the rest of the present period; may be below zero.
    pub prorated: Money,
    /// The moment that it was counted from.
    pub at: Timestamp,
}

/// When a subscription ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
pub enum Cancellation {
    /// When the present period does; until then it can be taken back.
    AtPeriodEnd,
    /// At once, and for good.
    Now,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_back_what_it_writes_known_or_not() {
        for word in ["trialing", "past_due", "canceled", "hibernating"] {
            let status = SubscriptionStatus::from(word.to_owned());
            let json = serde_json::to_string(&status).expect("JSON");
            assert_eq!(json, format!("\"{word}\""));
            assert_eq!(
                serde_json::from_str::<SubscriptionStatus>(&json).expect("a status"),
                status
            );
        }
        assert!(SubscriptionStatus::Canceled.is_final());
        assert!(!SubscriptionStatus::from("hibernating".to_owned()).is_final());
    }
}
