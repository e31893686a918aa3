//! Verified claims, in the library's own words.

use serde::Deserialize;
use voice_saas_core::provider::app_store::{
    AppStore, ExpiryCause, Offer, OfferKind, OriginalTransactionId, Ownership, ProductKind, RenewalInfo,
    Revocation, SignedDataError, StoreNotification, StorePrice, StoreSubscription, StoreTransaction,
    SubscriptionStatus, TransactionId,
};

use super::{Apple, claims::Claims};

/// The body of a notification.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    signed_payload: String,
}

/// The signed text in a notification's body.
pub(super) fn payload(body: &[u8]) -> Result<String, SignedDataError> {
    serde_json::from_slice(body)
        .map(|envelope: Envelope| envelope.signed_payload)
        .map_err(|_| SignedDataError::Malformed("the body has no signedPayload"))
}

fn text<'a>(claims: &'a Claims, name: &'static str) -> Result<&'a str, SignedDataError> {
    let text = claims.text(name).filter(|text| !text.is_empty());
    text.ok_or(SignedDataError::Incomplete(name))
}

fn time(claims: &Claims, name: &'static str) -> Result<jiff::Timestamp, SignedDataError> {
    claims.time(name).ok_or(SignedDataError::Incomplete(name))
}

/// Reads a transaction.
pub(super) fn transaction(claims: &Claims) -> Result<StoreTransaction, SignedDataError> {
    let environment = claims.place().environment;
    let mut transaction = StoreTransaction::new(
        TransactionId::new(text(claims, "transactionId")?),
        OriginalTransactionId::new(text(claims, "originalTransactionId")?),
        environment.ok_or(SignedDataError::WrongEnvironment)?,
        text(claims, "productId")?,
        time(claims, "purchaseDate")?,
        time(claims, "signedDate")?,
    );
    transaction.group = claims.text("subscriptionGroupIdentifier").map(ToOwned::to_owned);
    transaction.kind = match claims.text("type") {
        Some("Auto-Renewable Subscription") => ProductKind::Subscription,
        Some("Non-Renewing Subscription") => ProductKind::FixedTerm,
        Some("Consumable") => ProductKind::Consumable,
        Some("Non-Consumable") => ProductKind::Permanent,
        other => ProductKind::Other(other.unwrap_or_default().to_owned()),
    };
    transaction.account_token = claims
        .text("appAccountToken")
        .and_then(|token| token.parse().ok());
    transaction.ownership = match claims.text("inAppOwnershipType") {
        Some("PURCHASED") => Ownership::Purchased,
        Some("FAMILY_SHARED") => Ownership::FamilyShared,
        _ => Ownership::Unknown,
    };
    transaction.expires_at = claims.time("expiresDate");
    transaction.revoked = claims.time("revocationDate").map(|at| Revocation {
        at,
        for_app_trouble: claims.whole("revocationReason") == Some(1),
        family: claims.text("revocationType") == Some("FAMILY_REVOKE")
            || claims.text("inAppOwnershipType") == Some("FAMILY_SHARED"),
    });
    transaction.is_upgraded = claims.flag("isUpgraded");
    transaction.offer = claims.whole("offerType").map(|kind| Offer {
        kind: match kind {
            1 => OfferKind::Introductory,
            2 => OfferKind::Promotional,
            3 => OfferKind::Code,
            4 => OfferKind::WinBack,
            _ => OfferKind::Unknown,
        },
        id: claims.text("offerIdentifier").map(ToOwned::to_owned),
        is_free_trial: claims.text("offerDiscountType") == Some("FREE_TRIAL"),
    });
    transaction.is_renewal = claims.text("transactionReason") == Some("RENEWAL");
    transaction.price = claims
        .whole("price")
        .zip(claims.text("currency"))
        .map(|(milliunits, currency)| StorePrice {
            milliunits,
            currency: currency.to_owned(),
        });
    transaction.storefront = claims.text("storefront").map(ToOwned::to_owned);
    Ok(transaction)
}

fn renewal(claims: &Claims) -> Result<RenewalInfo, SignedDataError> {
    let id = OriginalTransactionId::new(text(claims, "originalTransactionId")?);
    let mut renewal = RenewalInfo::new(id, time(claims, "signedDate")?);
    renewal.product = claims.text("productId").map(ToOwned::to_owned);
    renewal.next_product = claims.text("autoRenewProductId").map(ToOwned::to_owned);
    renewal.renews = claims.whole("autoRenewStatus") != Some(0);
    renewal.expiry = claims.whole("expirationIntent").map(|intent| match intent {
        1 => ExpiryCause::Voluntary,
        2 => ExpiryCause::BillingError,
        3 => ExpiryCause::PriceIncrease,
        4 => ExpiryCause::ProductNotForSale,
        _ => ExpiryCause::Unknown,
    });
    renewal.is_in_billing_retry = claims.flag("isInBillingRetryPeriod");
    renewal.grace_until = claims.time("gracePeriodExpiresDate");
    renewal.renews_at = claims.time("renewalDate");
    Ok(renewal)
}

fn status(number: i64) -> SubscriptionStatus {
    match number {
        1 => SubscriptionStatus::Active,
        2 => SubscriptionStatus::Expired,
        3 => SubscriptionStatus::BillingRetry,
        4 => SubscriptionStatus::GracePeriod,
        5 => SubscriptionStatus::Revoked,
        other => SubscriptionStatus::Unknown(other),
    }
}

impl Apple {
    fn read_renewal(&self, signed: &str) -> Result<RenewalInfo, SignedDataError> {
        renewal(&self.claims(signed)?)
    }

    /// Reads a notification; the signed texts within are checked one by one.
    pub(super) fn read_notification(&self, signed: &str) -> Result<StoreNotification, SignedDataError> {
        let claims = self.claims(signed)?;
        if !claims.is_notification() {
            return Err(SignedDataError::Malformed("it is no notification"));
        }
        let mut notification = StoreNotification::new(
            text(&claims, "notificationUUID")?,
            text(&claims, "notificationType")?,
            claims.text("subtype").map(ToOwned::to_owned),
            time(&claims, "signedDate")?,
        );
        notification.environment = claims.place().environment;
        let Some(data) = claims.part("data") else {
            return Ok(notification);
        };
        notification.status = data.whole("status").map(status);
        if let Some(signed) = data.text("signedTransactionInfo") {
            notification.transaction = Some(self.transaction(signed)?);
        }
        if let Some(signed) = data.text("signedRenewalInfo") {
            notification.renewal = Some(self.read_renewal(signed)?);
        }
        Ok(notification)
    }

    /// Reads how a subscription stands, from Apple's answer.
    pub(super) fn read_subscription(
        &self,
        number: i64,
        signed_transaction: &str,
        signed_renewal: Option<&str>,
    ) -> Result<StoreSubscription, SignedDataError> {
        Ok(StoreSubscription {
            status: status(number),
            transaction: self.transaction(signed_transaction)?,
            renewal: signed_renewal
                .map(|signed| self.read_renewal(signed))
                .transpose()?,
        })
    }
}
