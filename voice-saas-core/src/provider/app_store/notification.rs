//! What the store tells of a subscription.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RenewalInfo, StoreEnvironment, StoreTransaction, SubscriptionStatus};

/// Why a subscription expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExpiryCause {
    /// The customer ended it.
    Voluntary,
    /// It could not be paid.
    BillingError,
    /// The customer did not consent to a higher price.
    PriceIncrease,
    /// The product is no longer sold.
    ProductNotForSale,
    /// Another reason, or none.
    Unknown,
}

/// How a plan changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is no other direction")]
pub enum PlanChange {
    /// Upwards, at once.
    Upgrade,
    /// Downwards, with the next period.
    Downgrade,
    /// The customer stays after all.
    TakenBack,
}

/// What happened, for records and for mails. What it means is asked for: see
/// [`StoreSubscription::standing`](super::StoreSubscription::standing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreEvent {
    /// Somebody has subscribed.
    Subscribed {
        /// Not for the first time.
        again: bool,
    },
    /// A new period has begun.
    Renewed {
        /// After a payment that had failed.
        recovered: bool,
    },
    /// A payment failed.
    RenewalFailed {
        /// The customer keeps everything for now.
        grace: bool,
    },
    /// The grace period is over, and still nothing is paid.
    GraceEnded,
    /// The subscription is over.
    Expired {
        /// Why.
        cause: ExpiryCause,
    },
    /// It will end with this period, or goes on after all.
    RenewalSwitched {
        /// It goes on.
        on: bool,
    },
    /// The plan changes.
    PlanChanged {
        /// How.
        change: PlanChange,
    },
    /// An offer was taken.
    OfferRedeemed,
    /// The price rises.
    PriceIncrease {
        /// The customer consents, or need not.
        accepted: bool,
    },
    /// The money was paid back.
    Refunded,
    /// A refund was taken back.
    RefundReversed,
    /// A refund was asked for, in vain.
    RefundDeclined,
    /// A refund was asked for, and the store wants to know what was used.
    ConsumptionRequested,
    /// A family member's share has ended.
    FamilyRevoked,
    /// We gave a longer period.
    Extended,
    /// Something was bought once.
    OneTimeCharge,
    /// The store tests whether it reaches us.
    Test,
    /// Something that this library does not know: keep it, and answer that it came.
    Other,
}

/// What the store tells us, verified and read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoreNotification {
    /// Its id: the same at every delivery.
    pub id: String,
    /// What happened.
    pub event: StoreEvent,
    /// The store's own word for it.
    pub kind: String,
    /// The store's own second word.
    pub subtype: Option<String>,
    /// Where; some notifications do not say.
    pub environment: Option<StoreEnvironment>,
    /// What the store says of the subscription.
    pub status: Option<SubscriptionStatus>,
    /// The period that it is about.
    pub transaction: Option<StoreTransaction>,
    /// What happens at the end of that.
    pub renewal: Option<RenewalInfo>,
    /// When the store signed it.
    pub signed_at: Timestamp,
}

impl StoreNotification {
    /// A notification about nothing yet. The event follows from the store's own words.
    pub fn new(
        id: impl Into<String>,
        kind: impl Into<String>,
        subtype: Option<String>,
        signed_at: Timestamp,
    ) -> Self {
        let kind = kind.into();
        Self {
            id: id.into(),
            event: StoreEvent::of_words(&kind, subtype.as_deref()),
            kind,
            subtype,
            environment: None,
            status: None,
            transaction: None,
            renewal: None,
            signed_at,
        }
    }
}

impl StoreEvent {
    /// The event that Apple's notification type and subtype name.
    fn of_words(kind: &str, subtype: Option<&str>) -> Self {
        match (kind, subtype) {
            ("SUBSCRIBED", subtype) => Self::Subscribed {
                again: subtype == Some("RESUBSCRIBE"),
            },
            ("DID_RENEW", subtype) => Self::Renewed {
                recovered: subtype == Some("BILLING_RECOVERY"),
            },
            ("DID_FAIL_TO_RENEW", subtype) => Self::RenewalFailed {
                grace: subtype == Some("GRACE_PERIOD"),
            },
            ("GRACE_PERIOD_EXPIRED", _) => Self::GraceEnded,
            ("EXPIRED", subtype) => Self::Expired {
                cause: match subtype {
                    Some("VOLUNTARY") => ExpiryCause::Voluntary,
                    Some("BILLING_RETRY") => ExpiryCause::BillingError,
                    Some("PRICE_INCREASE") => ExpiryCause::PriceIncrease,
                    Some("PRODUCT_NOT_FOR_SALE") => ExpiryCause::ProductNotForSale,
                    _ => ExpiryCause::Unknown,
                },
            },
            ("DID_CHANGE_RENEWAL_STATUS", Some("AUTO_RENEW_ENABLED")) => Self::RenewalSwitched { on: true },
            ("DID_CHANGE_RENEWAL_STATUS", Some("AUTO_RENEW_DISABLED")) => Self::RenewalSwitched { on: false },
            ("DID_CHANGE_RENEWAL_PREF", Some("UPGRADE")) => Self::PlanChanged {
                change: PlanChange::Upgrade,
            },
            ("DID_CHANGE_RENEWAL_PREF", Some("DOWNGRADE")) => Self::PlanChanged {
                change: PlanChange::Downgrade,
            },
            ("DID_CHANGE_RENEWAL_PREF", None) => Self::PlanChanged {
                change: PlanChange::TakenBack,
            },
            ("OFFER_REDEEMED", _) => Self::OfferRedeemed,
            ("PRICE_INCREASE", subtype) => Self::PriceIncrease {
                accepted: subtype == Some("ACCEPTED"),
            },
            ("REFUND", _) => Self::Refunded,
            ("REFUND_REVERSED", _) => Self::RefundReversed,
            ("REFUND_DECLINED", _) => Self::RefundDeclined,
            ("CONSUMPTION_REQUEST", _) => Self::ConsumptionRequested,
            ("REVOKE", _) => Self::FamilyRevoked,
            ("RENEWAL_EXTENDED" | "RENEWAL_EXTENSION", _) => Self::Extended,
            ("ONE_TIME_CHARGE", _) => Self::OneTimeCharge,
            ("TEST", _) => Self::Test,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, subtype: Option<&str>, expected: StoreEvent) {
        let now = Timestamp::UNIX_EPOCH;
        let notification = StoreNotification::new("id", kind, subtype.map(ToOwned::to_owned), now);
        assert_eq!(notification.event, expected, "{kind}");
    }

    #[test]
    fn the_stores_words_name_events() {
        let resubscribe = Some("RESUBSCRIBE");
        check("SUBSCRIBED", resubscribe, StoreEvent::Subscribed { again: true });
        let recovery = Some("BILLING_RECOVERY");
        check("DID_RENEW", recovery, StoreEvent::Renewed { recovered: true });
        check("DID_RENEW", None, StoreEvent::Renewed { recovered: false });
        let grace = Some("GRACE_PERIOD");
        check(
            "DID_FAIL_TO_RENEW",
            grace,
            StoreEvent::RenewalFailed { grace: true },
        );
        check(
            "DID_FAIL_TO_RENEW",
            None,
            StoreEvent::RenewalFailed { grace: false },
        );
        let cause = ExpiryCause::Voluntary;
        check("EXPIRED", Some("VOLUNTARY"), StoreEvent::Expired { cause });
        let change = PlanChange::TakenBack;
        check(
            "DID_CHANGE_RENEWAL_PREF",
            None,
            StoreEvent::PlanChanged { change },
        );
        check("REFUND", None, StoreEvent::Refunded);
        check("REVOKE", None, StoreEvent::FamilyRevoked);
    }

    #[test]
    fn words_that_nobody_knows_are_another_event() {
        check("METADATA_UPDATE", None, StoreEvent::Other);
        check("DID_CHANGE_RENEWAL_PREF", Some("SIDEGRADE"), StoreEvent::Other);
        check("DID_CHANGE_RENEWAL_STATUS", None, StoreEvent::Other);
    }
}
