//! What a tenant may use now: its plan, on what grounds, and until when.
//!
//! Who pays, and what became of a payment, is billing's to know; it tells an [`Entitlement`] by the functions here, each
//! of which may be told again.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    plan::{Plan, PlanId},
    store::StoreError,
    tenant::TenantStatus,
};

/// On what grounds a tenant has its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// It tries it out and pays nothing.
    Trial,
    /// It pays through Stripe.
    Stripe,
    /// It pays through the App Store.
    AppStore,
    /// The platform gave it.
    Operator,
}

/// What was paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a span of time")]
pub struct PaidPeriod {
    /// From then.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
}

/// What a tenant may use now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entitlement {
    /// Its plan.
    pub plan: PlanId,
    /// On what grounds.
    pub source: Source,
    /// When its trial ends or ended.
    pub trial_ends_at: Option<Timestamp>,
    /// What was paid for last.
    pub period: Option<PaidPeriod>,
    /// Until when a tenant whose payment failed goes on.
    pub grace_until: Option<Timestamp>,
    /// Grows with every write; who read an old version writes in vain.
    pub version: i64,
    /// Last written.
    pub updated_at: Timestamp,
}

const DAY: Duration = Duration::from_hours(24);

impl Entitlement {
    /// A plan on these grounds, without end until told otherwise.
    pub fn new(plan: PlanId, source: Source, now: Timestamp) -> Self {
        Self {
            plan,
            source,
            trial_ends_at: None,
            period: None,
            grace_until: None,
            version: 1,
            updated_at: now,
        }
    }

    /// What somebody begins with who registers and pays nothing yet, and where their tenant stands then: on the plan's
    /// trial; a plan that is paid by the call has none, and is active at once.
    pub fn registered(plan: &Plan, now: Timestamp) -> (Self, TenantStatus) {
        match plan.trial {
            Some(trial) => {
                let mut entitlement = Self::new(plan.id.clone(), Source::Trial, now);
                entitlement.trial_ends_at = Some(now + DAY * u32::from(trial.days));
                (entitlement, TenantStatus::Trial)
            }
            None => (
                Self::new(plan.id.clone(), Source::Operator, now),
                TenantStatus::Active,
            ),
        }
    }

    /// It is subscribed: to this plan, through this payer, perhaps on a trial that the payer knows of.
    pub fn subscribe(
        &mut self,
        plan: PlanId,
        source: Source,
        trial_ends_at: Option<Timestamp>,
        period: Option<PaidPeriod>,
    ) {
        self.plan = plan;
        self.source = source;
        self.trial_ends_at = trial_ends_at;
        self.period = period;
        self.grace_until = None;
    }

    /// It was paid for again. News of a period that ended before the one that is known changes nothing.
    pub fn renew(&mut self, period: PaidPeriod) {
        if self.period.is_none_or(|known| known.until <= period.until) {
            self.period = Some(period);
            self.grace_until = None;
        }
    }

    /// A payment failed. The grace runs from the first failure: told again, it does not begin anew.
    pub fn fall_due(&mut self, plan: &Plan, failed_at: Timestamp) {
        self.grace_until.get_or_insert(failed_at + plan.grace);
    }

    /// Whether it is on trial, paid or not.
    pub fn is_on_trial(&self, now: Timestamp) -> bool {
        self.trial_ends_at.is_some_and(|end| now < end)
    }

    /// Whether it is paid for, or given.
    pub fn is_subscribed(&self, now: Timestamp) -> bool {
        self.source != Source::Trial && !self.is_on_trial(now)
    }
}

/// The tenant's entitlement. There is one from the tenant's first moment on.
#[async_trait]
pub trait EntitlementRepo: Send {
    /// It.
    async fn get(&mut self) -> Result<Entitlement, StoreError>;
    /// It, locked until the end of this unit of work: nobody is admitted meanwhile.
    async fn find_for_update(&mut self) -> Result<Entitlement, StoreError>;
    /// Writes it back, as the next version, which is returned.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when another write came first.
    async fn save(&mut self, entitlement: &Entitlement) -> Result<Entitlement, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::Catalogue, tenant::Platform};

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn basic() -> Plan {
        Catalogue::built_in().registration(Platform::Web).clone()
    }

    #[test]
    fn who_registers_is_on_the_trial_of_the_plan_or_pays_by_the_call() {
        let now = at("2026-11-21T09:00:00Z");
        let (trial, status) = Entitlement::registered(&basic(), now);
        assert_eq!((trial.source, status), (Source::Trial, TenantStatus::Trial));
        assert_eq!(trial.trial_ends_at, Some(at("2026-11-28T09:00:00Z")));
        assert!(trial.is_on_trial(now) && !trial.is_subscribed(now));

        let catalogue = Catalogue::built_in();
        let by_the_call = catalogue.find("pay_per_survey").unwrap();
        let (given, status) = Entitlement::registered(by_the_call, now);
        assert_eq!((given.source, status), (Source::Operator, TenantStatus::Active));
        assert!(given.is_subscribed(now));
    }

    #[test]
    fn late_news_of_an_old_payment_takes_nothing_away() {
        let mut entitlement = Entitlement::new(
            PlanId::new("business_basic"),
            Source::Stripe,
            at("2026-11-01T00:00:00Z"),
        );
        let november = PaidPeriod {
            from: at("2026-11-01T00:00:00Z"),
            until: at("2026-12-01T00:00:00Z"),
        };
        let december = PaidPeriod {
            from: november.until,
            until: at("2027-01-01T00:00:00Z"),
        };
        entitlement.renew(december);
        entitlement.renew(november);
        assert_eq!(entitlement.period, Some(december));
    }

    #[test]
    fn a_failure_that_is_told_twice_does_not_lengthen_the_grace() {
        let mut entitlement = Entitlement::new(
            PlanId::new("business_basic"),
            Source::Stripe,
            at("2026-11-01T00:00:00Z"),
        );
        entitlement.fall_due(&basic(), at("2026-12-01T00:00:00Z"));
        entitlement.fall_due(&basic(), at("2026-12-03T00:00:00Z"));
        assert_eq!(entitlement.grace_until, Some(at("2026-12-04T00:00:00Z")));
        entitlement.renew(PaidPeriod {
            from: at("2026-12-01T00:00:00Z"),
            until: at("2027-01-01T00:00:00Z"),
        });
        assert_eq!(entitlement.grace_until, None);
    }
}
