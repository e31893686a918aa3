//! Money: an integer number of millionths of a currency unit.
//!
//! ```
//! use voice_saas_core::money::{Currency, Money};
//!
//! let per_minute = Money::from_decimal_str("0.0085", Currency::USD)?;
//! assert_eq!(per_minute.amount_micros(), 8_500);
//! assert_eq!(per_minute.times(3).to_string(), "0.025500 USD");
//! # Ok::<(), voice_saas_core::money::MoneyError>(())
//! ```

use std::fmt;

pub use iso_currency::Currency;
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};

/// An amount in one currency. `{"amount_micros": 8500, "currency": "USD"}` is $0.0085.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    amount_micros: i64,
    currency: Currency,
}

/// Why two amounts, or a text, do not make an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// The text is not a decimal number.
    #[error("not a decimal amount")]
    NotDecimal,
    /// The number does not fit into 64 bits of millionths.
    #[error("the amount is too large")]
    TooLarge,
    /// Amounts of different currencies do not add up.
    #[error("amounts in {0:?} and {1:?} do not add up")]
    Currencies(Currency, Currency),
}

impl Money {
    /// `amount_micros` millionths of the currency's unit.
    pub const fn from_micros(amount_micros: i64, currency: Currency) -> Self {
        Self {
            amount_micros,
            currency,
        }
    }

    /// Nothing, in this currency.
    pub const fn zero(currency: Currency) -> Self {
        Self::from_micros(0, currency)
    }

    /// Reads a price as providers write it, such as `"0.0085"`; digits beyond the sixth are rounded.
    ///
    /// # Errors
    /// `NotDecimal` and `TooLarge`.
    pub fn from_decimal_str(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let decimal: Decimal = text.trim().parse().map_err(|_| MoneyError::NotDecimal)?;
        let micros = decimal
            .checked_mul(Decimal::from(1_000_000))
            .ok_or(MoneyError::TooLarge)?
            .round();
        Ok(Self::from_micros(
            micros.to_i64().ok_or(MoneyError::TooLarge)?,
            currency,
        ))
    }

    /// Millionths of the currency's unit.
    pub const fn amount_micros(self) -> i64 {
        self.amount_micros
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The same without its sign: providers write charges as negative prices.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self::from_micros(self.amount_micros.saturating_abs(), self.currency)
    }

    /// `quantity` times the amount; the largest amount when it does not fit.
    #[must_use]
    pub const fn times(self, quantity: i64) -> Self {
        Self::from_micros(self.amount_micros.saturating_mul(quantity), self.currency)
    }

    /// The sum.
    ///
    /// # Errors
    /// `Currencies` when they differ, `TooLarge` when the sum does not fit.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Currencies(self.currency, other.currency));
        }
        let micros = self
            .amount_micros
            .checked_add(other.amount_micros)
            .ok_or(MoneyError::TooLarge)?;
        Ok(Self::from_micros(micros, self.currency))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            Decimal::new(self.amount_micros, 6),
            self.currency.code()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_text_keeps_its_millionths_and_its_sign() {
        let charge = Money::from_decimal_str("-0.03000", Currency::USD).unwrap();
        assert_eq!(charge.amount_micros(), -30_000);
        assert_eq!(charge.abs().to_string(), "0.030000 USD");
    }

    #[test]
    fn what_is_not_a_price_is_refused() {
        assert_eq!(
            Money::from_decimal_str("free", Currency::USD),
            Err(MoneyError::NotDecimal)
        );
        assert_eq!(
            Money::from_decimal_str("99999999999999", Currency::USD),
            Err(MoneyError::TooLarge)
        );
    }

    #[test]
    fn dollars_and_rupees_do_not_add_up() {
        let sum = Money::zero(Currency::USD).checked_add(Money::zero(Currency::INR));
        assert_eq!(sum, Err(MoneyError::Currencies(Currency::USD, Currency::INR)));
    }
}
