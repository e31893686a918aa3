//! Who pays, and with what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Operation, PaymentMethodId, ProviderCustomerId};
use crate::{id::TenantId, secret::SecretString};

/// A customer to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CustomerOrder {
    /// Whose it will be.
    pub tenant: TenantId,
    /// What it is made for.
    pub operation: Operation,
    /// Where invoices go.
    pub email: String,
    /// The name on invoices.
    pub name: Option<String>,
    /// The card that pays.
    pub payment_method: Option<PaymentMethodId>,
}

impl CustomerOrder {
    /// A customer without a card.
    pub fn new(tenant: TenantId, operation: Operation, email: impl Into<String>) -> Self {
        Self {
            tenant,
            operation,
            email: email.into(),
            name: None,
            payment_method: None,
        }
    }

    /// The name on invoices.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The card that pays.
    #[must_use]
    pub fn with_payment_method(mut self, payment_method: PaymentMethodId) -> Self {
        self.payment_method = Some(payment_method);
        self
    }
}

/// A customer as it is at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BillingCustomer {
    /// Its id there.
    pub id: ProviderCustomerId,
    /// The tenant's id that it carries, as text.
    pub tenant: Option<String>,
    /// Where invoices go.
    pub email: Option<String>,
    /// The card that pays.
    pub default_payment_method: Option<PaymentMethodId>,
    /// Whether its last invoice failed.
    pub delinquent: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
}

impl BillingCustomer {
    /// A customer of whom nothing else is known.
    pub fn new(id: ProviderCustomerId) -> Self {
        Self {
            id,
            tenant: None,
            email: None,
            default_payment_method: None,
            delinquent: false,
            created: None,
        }
    }
}

/// A card to be put on file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "use cases build it")]
pub struct PaymentMethodOrder {
    /// Whose.
    pub customer: ProviderCustomerId,
    /// What the provider's script made of the card.
    pub payment_method: PaymentMethodId,
    /// What for.
    pub operation: Operation,
}

/// What may be shown of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "adapters build it")]
pub struct Card {
    /// `visa`, `mastercard`, …
    pub brand: String,
    /// The last four digits.
    pub last4: String,
    /// The month after which it is no longer good, 1 to 12.
    pub exp_month: u8,
    /// The year of that month.
    pub exp_year: u16,
}

/// A means of payment on file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "adapters build it")]
pub struct PaymentMethod {
    /// Its id; not always the one by which it was put on file.
    pub id: PaymentMethodId,
    /// The card, when it is one.
    pub card: Option<Card>,
}

/// A card to be taken on our own page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "use cases build it")]
pub struct CardSetupOrder {
    /// Whose.
    pub customer: ProviderCustomerId,
    /// The customer's tenant.
    pub tenant: TenantId,
    /// What for.
    pub operation: Operation,
}

/// What the provider's script needs to take a card.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "adapters build it")]
pub struct CardSetup {
    /// Its id.
    pub id: String,
    /// For the customer's browser alone.
    pub client_secret: SecretString,
}
