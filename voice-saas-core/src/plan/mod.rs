//! Plans: what a tenant may use, and for what price. They are data, which the embedder replaces.
//!
//! ```
//! use voice_saas_core::plan::Catalogue;
//!
//! let catalogue = Catalogue::built_in();
//! let basic = catalogue.find("business_basic").expect("it is built in");
//! assert_eq!(basic.price.to_string(), "49.990000 USD");
//! assert_eq!(basic.limits.calls_per_week, Some(20));
//! ```

mod catalogue;
mod file;

use std::{borrow::Borrow, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{money::Money, tenant::Platform};

pub use catalogue::Catalogue;
pub use file::PlanError;

/// The name of a plan in the catalogue, such as `business_basic`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(String);

impl PlanId {
    /// A plan of this name; whether there is one, the catalogue knows.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for PlanId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What the price of a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "billing handles each")]
pub enum Period {
    /// A week.
    Week,
    /// A month.
    Month,
    /// One call that was connected; nothing is paid in between.
    PerUnit,
}

/// What may be used before anything is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trial {
    /// For so many days.
    pub days: u16,
    /// For so many calls; `None` = as many as the plan has.
    pub calls: Option<u32>,
    /// With so many numbers; `None` = as many as the plan has.
    pub numbers: Option<u32>,
}

/// What money may be spent on in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "admission handles both")]
pub enum SpendKind {
    /// What providers charge for the tenant.
    Cost,
    /// What the tenant is charged for its usage.
    Price,
}

/// How much may be spent in a calendar month (UTC, as carriers' invoices have it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a cap is an amount of something")]
pub struct SpendCap {
    /// How much.
    pub amount: Money,
    /// Of what.
    pub of: SpendKind,
}

/// How much of a plan there is; `None` = without limit. Days, weeks and months are those of the tenant's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Limits {
    /// Calls that begin in a day.
    pub calls_per_day: Option<u32>,
    /// Calls that begin in an ISO week.
    pub calls_per_week: Option<u32>,
    /// Calls that begin in a month.
    pub calls_per_month: Option<u32>,
    /// Minutes of calls that began in a month.
    pub minutes_per_month: Option<u32>,
    /// Calls at once.
    pub concurrency: Option<u32>,
    /// Numbers of its own.
    pub numbers: Option<u32>,
    /// Agents.
    pub agents: Option<u32>,
    /// Money.
    pub spend: Option<SpendCap>,
}

/// What is charged beyond the limits, instead of a refusal; `None` = refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Overage {
    /// For a connected call beyond those of the day, week or month.
    pub call: Option<Money>,
    /// For each minute of a call that begins when the minutes of the month are used up.
    pub minute: Option<Money>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Its name in the catalogue.
    pub id: PlanId,
    /// Whom it is offered to.
    pub platform: Platform,
    /// Plans of the same family are alternatives to one another.
    pub family: String,
    /// Its name for people.
    pub name: String,
    /// What it costs.
    pub price: Money,
    /// For what.
    pub period: Period,
    /// How it begins, for who has not paid yet; `None` = it is paid from the first day.
    pub trial: Option<Trial>,
    /// How much of it there is.
    pub limits: Limits,
    /// What it can do, in words that the embedder knows.
    pub features: Vec<String>,
    /// What is charged beyond the limits.
    pub overage: Overage,
    /// How long it goes on when a payment fails, or when nobody said that it was renewed.
    pub grace: Duration,
}

impl Plan {
    /// Whether it can do this.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|has| has == feature)
    }

    /// Whether it can begin before anything is paid for: on trial, or because it is paid by the call.
    pub fn begins_unpaid(&self) -> bool {
        self.trial.is_some() || self.period == Period::PerUnit
    }

    /// What a connected call costs the tenant within the limits; `None` = it is in the price of the period.
    pub fn unit_price(&self) -> Option<Money> {
        (self.period == Period::PerUnit).then_some(self.price)
    }
}
