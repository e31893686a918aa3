//! The life of a subscription: periods, renewals that are paid or not, grace, and the end.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{APP_ID, AppStore, BUNDLE_ID};

/// For so long Apple tries to collect a payment.
const RETRIES_END: SignedDuration = SignedDuration::from_hours(60 * 24);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Active = 1,
    Expired = 2,
    BillingRetry = 3,
    Grace = 4,
    Revoked = 5,
}

/// What is told: type and subtype of the notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Happened(pub(super) &'static str, pub(super) Option<&'static str>);

/// One period.
#[derive(Debug, Clone)]
pub(super) struct Period {
    pub(super) id: String,
    pub(super) product: String,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) is_trial: bool,
    pub(super) is_renewal: bool,
    pub(super) upgraded: bool,
    /// When, and why: `REFUND_FULL` or `FAMILY_REVOKE`.
    pub(super) revoked: Option<(Timestamp, &'static str)>,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) environment: &'static str,
    pub(super) original_id: String,
    pub(super) group: String,
    pub(super) token: Option<String>,
    pub(super) price: i64,
    pub(super) currency: String,
    pub(super) length: SignedDuration,
    pub(super) grace: SignedDuration,
    pub(super) status: Status,
    pub(super) renews: bool,
    /// Whether payments succeed.
    pub(super) pays: bool,
    pub(super) next_product: String,
    /// 1 = the customer's own wish, 2 = it could not be paid.
    pub(super) expiry: Option<u8>,
    /// Oldest first; never empty.
    pub(super) periods: Vec<Period>,
}

impl Subscription {
    pub(super) fn period(&self) -> &Period {
        self.periods.last().expect("a subscription begins with a period")
    }

    pub(super) fn period_mut(&mut self) -> &mut Period {
        self.periods
            .last_mut()
            .expect("a subscription begins with a period")
    }

    pub(super) fn has(&self, transaction: &str) -> bool {
        self.original_id == transaction || self.periods.iter().any(|it| it.id == transaction)
    }

    fn grace_until(&self) -> Timestamp {
        self.period()
            .until
            .saturating_add(self.grace)
            .unwrap_or(Timestamp::MAX)
    }

    /// When the next thing happens by itself, if that is by now.
    pub(super) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let at = match self.status {
            Status::Active => self.period().until,
            Status::Grace => self.grace_until(),
            Status::BillingRetry => self
                .period()
                .until
                .saturating_add(RETRIES_END)
                .unwrap_or(Timestamp::MAX),
            Status::Expired | Status::Revoked => return None,
        };
        (at <= now).then_some(at)
    }

    /// Lets happen what is due at `at`. `id` is for the period that may begin.
    pub(super) fn pass(&mut self, at: Timestamp, id: String) -> Happened {
        match self.status {
            Status::Active if !self.renews => self.expire(1),
            Status::Active if self.pays => {
                self.begin(id, at);
                Happened("DID_RENEW", None)
            }
            Status::Active if self.grace.is_positive() => {
                self.status = Status::Grace;
                Happened("DID_FAIL_TO_RENEW", Some("GRACE_PERIOD"))
            }
            Status::Active => {
                self.status = Status::BillingRetry;
                Happened("DID_FAIL_TO_RENEW", None)
            }
            Status::Grace => {
                self.status = Status::BillingRetry;
                Happened("GRACE_PERIOD_EXPIRED", None)
            }
            Status::BillingRetry | Status::Expired | Status::Revoked => self.expire(2),
        }
    }

    pub(super) fn expire(&mut self, intent: u8) -> Happened {
        self.status = Status::Expired;
        self.renews = false;
        self.expiry = Some(intent);
        let subtype = if intent == 1 { "VOLUNTARY" } else { "BILLING_RETRY" };
        Happened("EXPIRED", Some(subtype))
    }

    /// A new period begins, of the product that was chosen for it.
    pub(super) fn begin(&mut self, id: String, from: Timestamp) {
        self.status = Status::Active;
        self.expiry = None;
        self.periods.push(Period {
            id,
            product: self.next_product.clone(),
            from,
            until: from.saturating_add(self.length).unwrap_or(Timestamp::MAX),
            is_trial: false,
            is_renewal: true,
            upgraded: false,
            revoked: None,
        });
    }

    /// The payment that had failed succeeds.
    pub(super) fn recover(&mut self, id: String, now: Timestamp) -> Happened {
        // Within the grace the customer had the time since the old end; later, a period begins afresh.
        let from = if self.status == Status::Grace {
            self.period().until
        } else {
            now
        };
        self.begin(id, from);
        Happened("DID_RENEW", Some("BILLING_RECOVERY"))
    }

    /// A period as Apple signs it.
    pub(super) fn signed_transaction(&self, app_store: &AppStore, period: &Period, now: Timestamp) -> String {
        let first = &self.periods[0];
        let mut claims = json!({
            "transactionId": period.id,
            "originalTransactionId": self.original_id,
            "webOrderLineItemId": format!("9{}", &period.id[1..]),
            "bundleId": BUNDLE_ID,
            "productId": period.product,
            "subscriptionGroupIdentifier": self.group,
            "purchaseDate": period.from.as_millisecond(),
            "originalPurchaseDate": first.from.as_millisecond(),
            "expiresDate": period.until.as_millisecond(),
            "quantity": 1,
            "type": "Auto-Renewable Subscription",
            "inAppOwnershipType": "PURCHASED",
            "signedDate": now.as_millisecond(),
            "environment": self.environment,
            "transactionReason": if period.is_renewal { "RENEWAL" } else { "PURCHASE" },
            "storefront": "USA",
            "storefrontId": "143441",
            "price": if period.is_trial { 0 } else { self.price },
            "currency": self.currency,
            "appTransactionId": "704289572311513293",
        });
        if let Some(token) = &self.token {
            claims["appAccountToken"] = json!(token);
        }
        if period.is_trial {
            claims["offerType"] = json!(1);
            claims["offerDiscountType"] = json!("FREE_TRIAL");
            claims["offerPeriod"] = json!("P2W");
        }
        if period.upgraded {
            claims["isUpgraded"] = json!(true);
        }
        if let Some((at, kind)) = period.revoked {
            claims["revocationDate"] = json!(at.as_millisecond());
            claims["revocationReason"] = json!(0);
            claims["revocationType"] = json!(kind);
        }
        app_store.authority.sign(&claims)
    }

    /// What comes after the period, as Apple signs it.
    pub(super) fn signed_renewal(&self, app_store: &AppStore, now: Timestamp) -> String {
        let mut claims = json!({
            "originalTransactionId": self.original_id,
            "productId": self.period().product,
            "autoRenewProductId": self.next_product,
            "autoRenewStatus": u8::from(self.renews),
            "recentSubscriptionStartDate": self.periods[0].from.as_millisecond(),
            "renewalDate": self.period().until.as_millisecond(),
            "renewalPrice": self.price,
            "currency": self.currency,
            "environment": self.environment,
            "signedDate": now.as_millisecond(),
            "isInBillingRetryPeriod": self.status == Status::BillingRetry,
        });
        if let Some(intent) = self.expiry {
            claims["expirationIntent"] = json!(intent);
        }
        if self.status == Status::Grace {
            claims["gracePeriodExpiresDate"] = json!(self.grace_until().as_millisecond());
        }
        if let Some(token) = &self.token {
            claims["appAccountToken"] = json!(token);
        }
        app_store.authority.sign(&claims)
    }

    /// What a notification says of it.
    pub(super) fn data(&self, app_store: &AppStore, now: Timestamp) -> Value {
        let mut data = json!({
            "bundleId": BUNDLE_ID,
            "bundleVersion": "1.0",
            "environment": self.environment,
            "status": self.status as u8,
            "signedTransactionInfo": self.signed_transaction(app_store, self.period(), now),
            "signedRenewalInfo": self.signed_renewal(app_store, now),
        });
        if self.environment == "Production" {
            data["appAppleId"] = json!(APP_ID);
        }
        data
    }

    pub(super) fn json(&self) -> Value {
        let period = |it: &Period| {
            json!({
                "transaction_id": it.id, "product": it.product, "from": it.from, "until": it.until,
                "is_trial": it.is_trial, "revoked": it.revoked.map(|(at, _)| at),
            })
        };
        json!({
            "original_transaction_id": self.original_id,
            "environment": self.environment,
            "app_account_token": self.token,
            "status": self.status as u8,
            "renews": self.renews,
            "pays": self.pays,
            "next_product": self.next_product,
            "periods": self.periods.iter().map(period).collect::<Vec<_>>(),
        })
    }
}
