//! What is sold, as plain data.

use serde::{Deserialize, Serialize};

use super::ProviderPriceId;
use crate::money::Money;

/// Why a price cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// A period of nothing, or of more than three years.
    #[error("a billing period is 1 day to 3 years")]
    Period,
}

/// What a billing period is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the calendar has no others")]
pub enum PeriodUnit {
    /// Days.
    Day,
    /// Weeks.
    Week,
    /// Months.
    Month,
    /// Years.
    Year,
}

/// How long one payment lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BillingPeriod {
    unit: PeriodUnit,
    count: u16,
}

impl BillingPeriod {
    /// A week.
    pub const WEEK: Self = Self {
        unit: PeriodUnit::Week,
        count: 1,
    };
    /// A month.
    pub const MONTH: Self = Self {
        unit: PeriodUnit::Month,
        count: 1,
    };
    /// A year.
    pub const YEAR: Self = Self {
        unit: PeriodUnit::Year,
        count: 1,
    };

    /// `count` units.
    ///
    /// # Errors
    /// `Period` for none, and for more than three years.
    pub fn new(count: u16, unit: PeriodUnit) -> Result<Self, CatalogueError> {
        let most = match unit {
            PeriodUnit::Day => 3 * 365,
            PeriodUnit::Week => 156,
            PeriodUnit::Month => 36,
            PeriodUnit::Year => 3,
        };
        if (1..=most).contains(&count) {
            Ok(Self { unit, count })
        } else {
            Err(CatalogueError::Period)
        }
    }

    /// What it is counted in.
    pub fn unit(self) -> PeriodUnit {
        self.unit
    }

    /// How many of them.
    pub fn count(self) -> u16 {
        self.count
    }
}

/// What counts usage at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a meter is its name in two forms")]
pub struct Meter {
    /// The name in [usage reports](super::UsageReport), such as `survey_answers`; unique in the account.
    pub event_name: String,
    /// The name for people.
    pub name: String,
}

/// What a price charges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "every adapter must know how to charge each"
)]
pub enum Charge {
    /// So much for each period, in advance.
    Flat(Money),
    /// So much for each unit that was used beyond those included, afterwards.
    Metered {
        /// What counts the units.
        meter: Meter,
        /// Units of each period that cost nothing.
        included: u64,
        /// For each further one; may be a fraction of a cent.
        unit: Money,
    },
}

/// One price of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "the catalogue builds it")]
pub struct PlanPrice {
    /// Finds the price at the provider, such as `professional_month`. At most 200 characters.
    pub lookup_key: String,
    /// The plan: its product's id and tag there.
    pub plan: String,
    /// The plan's name for people.
    pub plan_name: String,
    /// How much.
    pub charge: Charge,
    /// How often.
    pub period: BillingPeriod,
}

/// A price as it is at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "adapters build it")]
pub struct PublishedPrice {
    /// What finds it.
    pub lookup_key: String,
    /// Its id there.
    pub id: ProviderPriceId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_day_to_three_years() {
        for (count, unit, fits) in [
            (0, PeriodUnit::Day, false),
            (1, PeriodUnit::Day, true),
            (156, PeriodUnit::Week, true),
            (37, PeriodUnit::Month, false),
            (3, PeriodUnit::Year, true),
            (4, PeriodUnit::Year, false),
        ] {
            assert_eq!(BillingPeriod::new(count, unit).is_ok(), fits, "{count} {unit:?}");
        }
    }
}
