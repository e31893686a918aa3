//! One purchase or one renewal, as the store signed it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{OriginalTransactionId, StoreEnvironment, TransactionId};

/// What was bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProductKind {
    /// A subscription that renews itself.
    Subscription,
    /// A subscription that ends.
    FixedTerm,
    /// Something that is used up, such as a pack of minutes.
    Consumable,
    /// Something for good.
    Permanent,
    /// A word that this library does not know.
    Other(String),
}

/// By whom it was bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ownership {
    /// By the customer.
    Purchased,
    /// By somebody of the customer's family.
    FamilyShared,
    /// A word that this library does not know.
    Unknown,
}

/// Which kind of offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OfferKind {
    /// For new subscribers.
    Introductory,
    /// For subscribers, by our own choice.
    Promotional,
    /// By a code.
    Code,
    /// For those who had left.
    WinBack,
    /// A number that this library does not know.
    Unknown,
}

/// The offer under which a period was bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "an offer is its kind, its name and its price"
)]
pub struct Offer {
    /// Its kind.
    pub kind: OfferKind,
    /// Its name at the store.
    pub id: Option<String>,
    /// Whether the period costs nothing.
    pub is_free_trial: bool,
}

/// The store took a purchase back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to a revocation")]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Whether the customer named trouble with the app as the reason.
    pub for_app_trouble: bool,
    /// Whether it was a family member's share that ended, and no refund.
    pub family: bool,
}

/// What the customer paid to the store: gross, and in the currency of the customer's country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a price is an amount and a currency")]
pub struct StorePrice {
    /// Thousandths of the currency's unit: 9990 is 9.99.
    pub milliunits: i64,
    /// ISO 4217.
    pub currency: String,
}

/// One purchase or one renewal, as the store signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoreTransaction {
    /// Its id; another one for each period.
    pub id: TransactionId,
    /// The subscription's id.
    pub original_id: OriginalTransactionId,
    /// Where it was bought.
    pub environment: StoreEnvironment,
    /// The product.
    pub product: String,
    /// The group in which a customer has one subscription at a time.
    pub group: Option<String>,
    /// What it is.
    pub kind: ProductKind,
    /// Who bought it, in our own words: the app gave it when it bought. Missing for what was bought outside of the app.
    pub account_token: Option<Uuid>,
    /// By whom it was bought.
    pub ownership: Ownership,
    /// When this period was paid.
    pub purchased_at: Timestamp,
    /// When this period ends, of a subscription.
    pub expires_at: Option<Timestamp>,
    /// The store took it back.
    pub revoked: Option<Revocation>,
    /// Another product of the group has taken its place: it entitles to nothing.
    pub is_upgraded: bool,
    /// The offer under which it was bought.
    pub offer: Option<Offer>,
    /// Whether the store renewed it by itself.
    pub is_renewal: bool,
    /// What was paid.
    pub price: Option<StorePrice>,
    /// The customer's country: three letters, ISO 3166.
    pub storefront: Option<String>,
    /// When the store signed it.
    pub signed_at: Timestamp,
}

impl StoreTransaction {
    /// A subscription's period, bought by the customer, without an end and without an offer.
    pub fn new(
        id: TransactionId,
        original_id: OriginalTransactionId,
        environment: StoreEnvironment,
        product: impl Into<String>,
        purchased_at: Timestamp,
        signed_at: Timestamp,
    ) -> Self {
        Self {
            id,
            original_id,
            environment,
            product: product.into(),
            group: None,
            kind: ProductKind::Subscription,
            account_token: None,
            ownership: Ownership::Purchased,
            purchased_at,
            expires_at: None,
            revoked: None,
            is_upgraded: false,
            offer: None,
            is_renewal: false,
            price: None,
            storefront: None,
            signed_at,
        }
    }
}
