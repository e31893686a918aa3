//! How a subscription stands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ExpiryCause, OriginalTransactionId, StoreTransaction};

/// What the store says of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SubscriptionStatus {
    /// Paid.
    Active,
    /// Over.
    Expired,
    /// The payment failed and is tried again, for up to 60 days; nothing is granted meanwhile.
    BillingRetry,
    /// The payment failed and is tried again; the customer keeps everything meanwhile.
    GracePeriod,
    /// Taken back.
    Revoked,
    /// A number that this library does not know.
    Unknown(i64),
}

/// What happens at the end of the period, as the store signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RenewalInfo {
    /// The subscription.
    pub original_id: OriginalTransactionId,
    /// The product of this period.
    pub product: Option<String>,
    /// The product of the next one.
    pub next_product: Option<String>,
    /// Whether there will be a next one.
    pub renews: bool,
    /// Why it ended.
    pub expiry: Option<ExpiryCause>,
    /// Whether the store is trying to collect the payment. Do not decide by this: there are cases where it does not say
    /// so.
    pub is_in_billing_retry: bool,
    /// Until when the customer keeps everything although the payment failed.
    pub grace_until: Option<Timestamp>,
    /// When it renews.
    pub renews_at: Option<Timestamp>,
    /// When the store signed it.
    pub signed_at: Timestamp,
}

impl RenewalInfo {
    /// A subscription that will renew.
    pub fn new(original_id: OriginalTransactionId, signed_at: Timestamp) -> Self {
        Self {
            original_id,
            product: None,
            next_product: None,
            renews: true,
            expiry: None,
            is_in_billing_retry: false,
            grace_until: None,
            renews_at: None,
            signed_at,
        }
    }
}

/// A subscription as the store knows it now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the three parts of the store's answer")]
pub struct StoreSubscription {
    /// What the store says of it.
    pub status: SubscriptionStatus,
    /// Its latest period.
    pub transaction: StoreTransaction,
    /// What happens at the end of that.
    pub renewal: Option<RenewalInfo>,
}

/// Why a subscription is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// It expired.
    Expired(ExpiryCause),
    /// The store paid the money back.
    Refunded,
    /// A family member's share ended.
    FamilyRevoked,
}

/// What a subscription's state means for the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreStanding {
    /// In a period that costs nothing.
    Trialing {
        /// Its end.
        until: Option<Timestamp>,
        /// Whether it goes on then, for money.
        renews: bool,
    },
    /// Paid, and will renew.
    Active {
        /// The end of the period.
        until: Option<Timestamp>,
    },
    /// Paid, and will end.
    Canceling {
        /// When.
        until: Option<Timestamp>,
    },
    /// The payment failed; everything goes on.
    PastDue {
        /// Until then.
        until: Option<Timestamp>,
    },
    /// The payment failed, and nothing goes on until it succeeds.
    Suspended,
    /// Over.
    Ended(EndReason),
    /// The store says something new: leave the customer what there is, and let somebody look.
    Unclear,
}

impl StoreSubscription {
    /// What its state means. The dates and the status count, not the notification that made us ask.
    pub fn standing(&self) -> StoreStanding {
        let transaction = &self.transaction;
        let until = transaction.expires_at;
        let renewal = self.renewal.as_ref();
        let renews = renewal.is_none_or(|renewal| renewal.renews);
        let is_trial = transaction
            .offer
            .as_ref()
            .is_some_and(|offer| offer.is_free_trial);
        match self.status {
            _ if transaction.revoked.is_some() => self.revoked(),
            SubscriptionStatus::Active if is_trial => StoreStanding::Trialing { until, renews },
            SubscriptionStatus::Active if renews => StoreStanding::Active { until },
            SubscriptionStatus::Active => StoreStanding::Canceling { until },
            SubscriptionStatus::GracePeriod => StoreStanding::PastDue {
                until: renewal.and_then(|renewal| renewal.grace_until),
            },
            SubscriptionStatus::BillingRetry => StoreStanding::Suspended,
            SubscriptionStatus::Expired => {
                let cause = renewal.and_then(|renewal| renewal.expiry);
                StoreStanding::Ended(EndReason::Expired(cause.unwrap_or(ExpiryCause::Unknown)))
            }
            SubscriptionStatus::Revoked => self.revoked(),
            SubscriptionStatus::Unknown(_) => StoreStanding::Unclear,
        }
    }

    fn revoked(&self) -> StoreStanding {
        let family = self.transaction.revoked.is_some_and(|revoked| revoked.family);
        StoreStanding::Ended(if family {
            EndReason::FamilyRevoked
        } else {
            EndReason::Refunded
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::app_store::{Offer, OfferKind, Revocation, StoreEnvironment, TransactionId};

    const END: Option<Timestamp> = Some(Timestamp::MAX);

    fn subscription(status: SubscriptionStatus) -> StoreSubscription {
        let original = OriginalTransactionId::new("1");
        let now = Timestamp::UNIX_EPOCH;
        let environment = StoreEnvironment::Production;
        let mut transaction = StoreTransaction::new(
            TransactionId::new("2"),
            original.clone(),
            environment,
            "pro",
            now,
            now,
        );
        transaction.expires_at = END;
        StoreSubscription {
            status,
            transaction,
            renewal: Some(RenewalInfo::new(original, now)),
        }
    }

    #[track_caller]
    fn check(
        status: SubscriptionStatus,
        change: impl FnOnce(&mut StoreTransaction, &mut RenewalInfo),
        expected: StoreStanding,
    ) {
        let mut subscription = subscription(status);
        let renewal = subscription.renewal.as_mut().unwrap();
        change(&mut subscription.transaction, renewal);
        assert_eq!(subscription.standing(), expected);
    }

    #[test]
    fn what_is_paid_is_active_until_its_end() {
        let active = SubscriptionStatus::Active;
        check(active, |_, _| {}, StoreStanding::Active { until: END });
        check(
            active,
            |_, renewal| renewal.renews = false,
            StoreStanding::Canceling { until: END },
        );
        check(
            active,
            |transaction, _| {
                transaction.offer = Some(Offer {
                    kind: OfferKind::Introductory,
                    id: None,
                    is_free_trial: true,
                });
            },
            StoreStanding::Trialing {
                until: END,
                renews: true,
            },
        );
    }

    #[test]
    fn a_failed_payment_leaves_everything_only_while_the_store_says_so() {
        check(
            SubscriptionStatus::GracePeriod,
            // Seen in the field: in its grace period, and not in billing retry.
            |_, renewal| (renewal.grace_until, renewal.is_in_billing_retry) = (END, false),
            StoreStanding::PastDue { until: END },
        );
        check(
            SubscriptionStatus::BillingRetry,
            |_, _| {},
            StoreStanding::Suspended,
        );
    }

    #[test]
    fn what_is_over_says_why() {
        let expired = |cause| StoreStanding::Ended(EndReason::Expired(cause));
        let cause = ExpiryCause::Voluntary;
        check(
            SubscriptionStatus::Expired,
            |_, renewal| renewal.expiry = Some(cause),
            expired(cause),
        );
        check(
            SubscriptionStatus::Expired,
            |_, _| {},
            expired(ExpiryCause::Unknown),
        );
        for (family, reason) in [(false, EndReason::Refunded), (true, EndReason::FamilyRevoked)] {
            let revocation = Revocation {
                at: Timestamp::UNIX_EPOCH,
                for_app_trouble: false,
                family,
            };
            // A refund counts, whatever the status says.
            for status in [SubscriptionStatus::Revoked, SubscriptionStatus::Active] {
                check(
                    status,
                    |transaction, _| transaction.revoked = Some(revocation),
                    StoreStanding::Ended(reason),
                );
            }
        }
    }

    #[test]
    fn a_status_that_nobody_knows_takes_nothing_away() {
        check(SubscriptionStatus::Unknown(6), |_, _| {}, StoreStanding::Unclear);
    }
}
