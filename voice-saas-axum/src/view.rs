//! Shapes that several concepts share.

use serde::Serialize;
use utoipa::ToSchema;
use voice_saas_core::money;

/// An amount of money, in millionths of the currency's unit: 8500 USD is $0.0085.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Money {
    /// Millionths of the unit.
    #[schema(example = 8500)]
    amount_micros: i64,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
}

impl From<money::Money> for Money {
    fn from(money: money::Money) -> Self {
        Self {
            amount_micros: money.amount_micros(),
            currency: money.currency().code(),
        }
    }
}
