//! The port to an app store, where customers buy subscriptions inside an app.
//!
//! The store is the payer's side of the contract: nothing can be bought, cancelled or refunded from here. What can be
//! done is to believe what it has signed, and to ask how a subscription stands. Of what a client says, nothing but the
//! signed text counts.
//!
//! Signed words arrive in any order and repeatedly. Each says when it was signed ([`StoreTransaction::signed_at`],
//! [`StoreNotification::signed_at`]); a newer one is never undone by an older one. After any of them the present state is
//! asked for ([`AppStore::subscriptions`]), and [`StoreSubscription::standing`] says what it means.

mod notification;
mod subscription;
mod transaction;

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ProviderError, ProviderName,
    telephony::{ProviderPage, opaque_ids},
};

pub use notification::{ExpiryCause, PlanChange, StoreEvent, StoreNotification};
pub use subscription::{EndReason, RenewalInfo, StoreStanding, StoreSubscription, SubscriptionStatus};
pub use transaction::{Offer, OfferKind, Ownership, ProductKind, Revocation, StorePrice, StoreTransaction};

opaque_ids! {
    /// The store's id of one purchase or of one renewal.
    TransactionId;
    /// The id of a subscription: that of its first transaction, the same through renewals, upgrades and resubscription.
    OriginalTransactionId;
}

/// Where something was bought. What is bought in the sandbox costs nothing: never count it as revenue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "whoever trusts an environment names it")]
pub enum StoreEnvironment {
    /// With money.
    Production,
    /// By testers, and by the store's own reviewers.
    Sandbox,
}

impl fmt::Display for StoreEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        })
    }
}

/// Why a signed text is not believed. Nothing of it may be kept or acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignedDataError {
    /// It is not a signed text at all.
    #[error("this is no signed text of the store: {0}")]
    Malformed(&'static str),
    /// It was not signed by the store, or was changed since.
    #[error("the store did not sign this: {0}")]
    Forged(&'static str),
    /// It is about another app.
    #[error("this is about another app")]
    WrongApp,
    /// It comes from an environment that is not accepted here.
    #[error("this comes from an environment that is not accepted here")]
    WrongEnvironment,
    /// It was signed by the store, but lacks what every such text has.
    #[error("the store's signed text lacks {0}")]
    Incomplete(&'static str),
}

/// An app store, for one app.
#[async_trait]
pub trait AppStore: fmt::Debug + Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> ProviderName;

    /// Checks a signed transaction, as a client hands it in, and reads it. Asks nobody.
    ///
    /// A transaction is no secret, and whoever has seen it can hand it in: compare its
    /// [`account_token`](StoreTransaction::account_token) with the tenant, and keep each
    /// [`original_id`](StoreTransaction::original_id) with one tenant.
    ///
    /// # Errors
    /// `SignedDataError`.
    fn transaction(&self, signed: &str) -> Result<StoreTransaction, SignedDataError>;

    /// Checks the body of a notification, with all signed texts inside, and reads it. Asks nobody.
    ///
    /// # Errors
    /// `SignedDataError`. An event that is not known is none: it is [`StoreEvent::Other`].
    fn notification(&self, body: &[u8]) -> Result<StoreNotification, SignedDataError>;

    /// How all subscriptions of the customer with this transaction stand now.
    ///
    /// # Errors
    /// `NotFound` when the environment does not know the transaction; perhaps the other one does.
    async fn subscriptions(
        &self,
        environment: StoreEnvironment,
        transaction: &TransactionId,
    ) -> Result<Vec<StoreSubscription>, ProviderError>;

    /// All transactions of the customer with this transaction, oldest change first, page by page.
    ///
    /// # Errors
    /// As [`subscriptions`](Self::subscriptions).
    async fn transactions(
        &self,
        environment: StoreEnvironment,
        transaction: &TransactionId,
        page: Option<&str>,
    ) -> Result<ProviderPage<StoreTransaction>, ProviderError>;

    /// The notifications between two times, page by page, whether or not they ever reached us: for what was missed.
    ///
    /// # Errors
    /// `Invalid` when the span is longer than what the store remembers.
    async fn notifications(
        &self,
        environment: StoreEnvironment,
        from: Timestamp,
        until: Timestamp,
        page: Option<&str>,
    ) -> Result<ProviderPage<StoreNotification>, ProviderError>;

    /// Says whose a subscription is that was bought outside of the app, so that later transactions say it too.
    ///
    /// # Errors
    /// `Invalid` when the store does not take it for this purchase.
    async fn set_account_token(
        &self,
        environment: StoreEnvironment,
        subscription: &OriginalTransactionId,
        token: Uuid,
    ) -> Result<(), ProviderError>;
}
