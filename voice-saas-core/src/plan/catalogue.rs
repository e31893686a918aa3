//! The plans that are on offer.

use super::{Plan, PlanError, PlanId, file};
use crate::{money::Currency, tenant::Platform};

/// The plans that are on offer, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    pub(super) version: String,
    pub(super) currency: Currency,
    pub(super) web: PlanId,
    pub(super) mobile: PlanId,
    /// How much of a limit may be used before its end is near, in percent.
    pub(super) near_percent: u8,
    pub(super) plans: Vec<Plan>,
}

impl Catalogue {
    /// The catalogue that comes with the library.
    pub fn built_in() -> Self {
        Self::from_toml(include_str!("plans.toml"))
            .unwrap_or_else(|error| unreachable!("a test reads the built-in catalogue: {error}"))
    }

    /// Reads a catalogue; the built-in `plans.toml` shows its form. Nothing is guessed: an unknown key, a missing plan or
    /// a limit of nothing is refused.
    ///
    /// # Errors
    /// `PlanError`, which names the line that is wrong and what to do.
    pub fn from_toml(text: &str) -> Result<Self, PlanError> {
        file::read(text)
    }

    /// Whoever registers through this platform begins with this plan.
    ///
    /// # Errors
    /// `PlanError` when there is no such plan, or none that begins before anything is paid for.
    pub fn with_registration(mut self, platform: Platform, plan: &str) -> Result<Self, PlanError> {
        let found = self.find(plan).filter(|plan| plan.begins_unpaid());
        let id = found.map(|plan| plan.id.clone()).ok_or_else(|| {
            PlanError::without_place(format!(
                "no plan {plan} begins before it is paid for; give it a trial, or name another"
            ))
        })?;
        match platform {
            Platform::Web => self.web = id,
            Platform::Mobile => self.mobile = id,
        }
        Ok(self)
    }

    /// Which catalogue this is: prices in the ledger name it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The currency of all its prices.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// All plans.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// The plan of this name.
    pub fn find(&self, id: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.id.as_str() == id)
    }

    /// The plans that are offered on a platform.
    pub fn of_platform(&self, platform: Platform) -> impl Iterator<Item = &Plan> {
        self.plans.iter().filter(move |plan| plan.platform == platform)
    }

    /// The plan that a registration on this platform begins with.
    pub fn registration(&self, platform: Platform) -> &Plan {
        let id = match platform {
            Platform::Web => &self.web,
            Platform::Mobile => &self.mobile,
        };
        self.find(id.as_str())
            .unwrap_or_else(|| unreachable!("a catalogue is read only when its registration plans are there"))
    }

    /// The plan and its alternatives, the cheapest first.
    pub fn family_of(&self, plan: &Plan) -> Vec<&Plan> {
        let mut family: Vec<&Plan> = self
            .plans
            .iter()
            .filter(|other| other.family == plan.family && other.platform == plan.platform)
            .collect();
        family.sort_by_key(|plan| plan.price.amount_micros());
        family
    }

    /// Whether so much of a limit is used that its end is near: the configured share of it, or all but one.
    pub(crate) fn is_near(&self, used: u64, limit: u64) -> bool {
        limit > 0 && (used * 100 >= limit * u64::from(self.near_percent) || used + 1 >= limit)
    }
}
