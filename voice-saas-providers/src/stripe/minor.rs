//! Amounts in the currency's smallest unit (page `currencies`).

use rust_decimal::{Decimal, prelude::ToPrimitive};
use voice_saas_core::money::{Currency, Money};

const MICROS: i64 = 1_000_000;

/// How many of Stripe's units make one of the currency's. For these two Stripe keeps the two decimals that they no
/// longer have.
fn scale(currency: Currency) -> i64 {
    let exponent = match currency {
        Currency::ISK | Currency::UGX => 2,
        _ => currency.exponent().unwrap_or(2),
    };
    10_i64.pow(exponent.into())
}

/// An amount in whole units; `None` when it has a fraction of one.
pub(super) fn whole(amount: Money) -> Option<i64> {
    let of_one = MICROS / scale(amount.currency());
    (amount.amount_micros() % of_one == 0).then_some(amount.amount_micros() / of_one)
}

/// An amount in units and fractions of one.
pub(super) fn decimal(amount: Money) -> String {
    let units = Decimal::new(amount.amount_micros(), 6) * Decimal::from(scale(amount.currency()));
    units.normalize().to_string()
}

/// What so many units are; the largest amount when they do not fit.
pub(super) fn money(units: i64, currency: Currency) -> Money {
    let micros = Decimal::from(units) * Decimal::from(MICROS / scale(currency));
    Money::from_micros(micros.to_i64().unwrap_or(i64::MAX), currency)
}

/// A currency as Stripe writes it, in lower case.
pub(super) fn currency(code: &str) -> Option<Currency> {
    Currency::from_code(&code.to_ascii_uppercase())
}

/// A currency in Stripe's writing.
pub(super) fn code(currency: Currency) -> String {
    currency.code().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_counted_in_the_smallest_unit() {
        for (micros, currency, units, text) in [
            (299_000_000, Currency::USD, Some(29_900), "29900"),
            (8_500, Currency::USD, None, "0.85"),
            (500_000_000, Currency::JPY, Some(500), "500"),
            (1_500, Currency::KWD, None, "1.5"),
            (500_000_000, Currency::ISK, Some(50_000), "50000"),
        ] {
            let amount = Money::from_micros(micros, currency);
            assert_eq!(whole(amount), units, "{amount}");
            assert_eq!(decimal(amount), text, "{amount}");
            if let Some(units) = units {
                assert_eq!(money(units, currency), amount);
            }
        }
        assert_eq!(currency("usd"), Some(Currency::USD));
        assert_eq!(code(Currency::INR), "inr");
    }
}
