//! Admission, rule by rule.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{entitlement::PaidPeriod, tenant::Platform};

const PLANS: &str = r#"
version = "test"
currency = "USD"
grace_days = 3

[registration]
web = "small"
mobile = "app"

[[plan]]
id = "small"
platform = "web"
family = "business"
name = "Small"
price = "10"
period = "month"
trial = { days = 7, calls = 4, numbers = 2 }
limits = { calls_per_day = 3, calls_per_week = 5, calls_per_month = 8, minutes_per_month = 30, concurrency = 2, numbers = 3, agents = 1 }

[[plan]]
id = "large"
platform = "web"
family = "business"
name = "Large"
price = "20"
period = "month"
limits = { calls_per_week = 50, minutes_per_month = 60 }
overage = { call = "0.25", minute = "0.10" }

[[plan]]
id = "capped"
platform = "web"
family = "capped"
name = "Capped"
price = "0.50"
period = "per_unit"
limits = { spend = { amount = "2", of = "price" } }

[[plan]]
id = "guarded"
platform = "web"
family = "guarded"
name = "Guarded"
price = "5"
period = "month"
limits = { spend = { amount = "1", of = "cost" } }

[[plan]]
id = "app"
platform = "mobile"
family = "consumer"
name = "App"
price = "4.99"
period = "week"
trial = { days = 7, calls = 3 }
"#;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn dollars(text: &str) -> Money {
    Money::from_decimal_str(text, crate::money::Currency::USD).expect("an amount")
}

/// A tenant in its situation, to be changed.
struct Tenant {
    catalogue: Catalogue,
    status: TenantStatus,
    entitlement: Entitlement,
    used: Used,
    now: Timestamp,
    minute_cost: Option<Money>,
}

impl Tenant {
    /// One that pays for this plan.
    fn paying(plan: &str) -> Self {
        let now = at("2026-11-18T12:00:00Z");
        Self {
            catalogue: Catalogue::from_toml(PLANS).expect("the plans are right"),
            status: TenantStatus::Active,
            entitlement: Entitlement::new(PlanId::new(plan), Source::Stripe, now),
            used: Used::default(),
            now,
            minute_cost: Some(dollars("0.10")),
        }
    }

    /// One that registered two days ago.
    fn trying() -> Self {
        let mut tenant = Self::paying("small");
        let plan = tenant.catalogue.registration(Platform::Web).clone();
        (tenant.entitlement, tenant.status) = Entitlement::registered(&plan, at("2026-11-16T12:00:00Z"));
        tenant
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn used(self, change: impl FnOnce(&mut Used)) -> Self {
        self.with(|tenant| change(&mut tenant.used))
    }

    fn asks<T>(&self, ask: impl FnOnce(&Situation<'_>, &CallTerms) -> T) -> T {
        let zone = "America/New_York".parse().expect("a zone");
        let plan = self
            .catalogue
            .find(self.entitlement.plan.as_str())
            .expect("a plan");
        let situation = Situation {
            status: self.status,
            entitlement: &self.entitlement,
            plan,
            catalogue: &self.catalogue,
            used: &self.used,
            zone: &zone,
            now: self.now,
        };
        let terms = CallTerms {
            minute_cost: self.minute_cost,
            max_call: Duration::from_hours(1),
        };
        ask(&situation, &terms)
    }

    fn call(&self) -> Result<Admitted, Refusal> {
        self.asks(admit)
    }

    #[track_caller]
    fn is_refused(&self, code: RefusalCode, limit: Option<Limit>, upgrade: &[&str]) -> Refusal {
        let refusal = self.call().expect_err("a refusal");
        assert_eq!((refusal.code, refusal.limit), (code, limit), "{refusal}");
        let plans: Vec<_> = refusal.upgrade.iter().map(PlanId::as_str).collect();
        assert_eq!(plans, upgrade, "{refusal}");
        refusal
    }

    #[track_caller]
    fn is_admitted(&self, prompts: &[Prompt]) -> Admitted {
        let admitted = self.call().expect("an admission");
        assert_eq!(admitted.prompts, prompts);
        admitted
    }
}

#[test]
fn a_trial_ends_with_its_days_or_its_calls_and_then_every_plan_would_do() {
    Tenant::trying().is_admitted(&[]);
    Tenant::trying()
        .used(|used| used.calls_total = 3)
        .is_admitted(&[Prompt::CallsNearLimit]);
    let exhausted = Tenant::trying().used(|used| used.calls_total = 4);
    exhausted.is_refused(RefusalCode::TrialCallsExhausted, None, &["small", "large"]);
    let last_day = Tenant::trying().with(|tenant| tenant.now = at("2026-11-23T11:59:59Z"));
    last_day.is_admitted(&[Prompt::TrialEndsSoon]);
    let expired = Tenant::trying().with(|tenant| tenant.now = at("2026-11-23T12:00:00Z"));
    expired.is_refused(RefusalCode::TrialExpired, None, &["small", "large"]);
    // Who pays has no trial to use up.
    Tenant::paying("large")
        .used(|used| used.calls_total = 4_000)
        .is_admitted(&[]);
}

#[test]
fn a_tenant_that_is_suspended_or_closed_gets_nothing_and_no_plan_would_help() {
    for status in [
        TenantStatus::Suspended,
        TenantStatus::Closing,
        TenantStatus::Closed,
    ] {
        let tenant = Tenant::paying("large").with(|tenant| tenant.status = status);
        tenant.is_refused(RefusalCode::TenantSuspended, None, &[]);
    }
}

#[test]
fn a_payment_that_failed_leaves_a_time_of_grace() {
    let late = |until: Option<&str>| {
        Tenant::paying("large").with(|tenant| {
            tenant.status = TenantStatus::PastDue;
            tenant.entitlement.grace_until = until.map(at);
        })
    };
    late(Some("2026-11-18T12:00:01Z")).is_admitted(&[Prompt::PaymentFailed]);
    late(Some("2026-11-18T12:00:00Z")).is_refused(RefusalCode::SubscriptionPastDue, None, &[]);
    late(None).is_refused(RefusalCode::SubscriptionPastDue, None, &[]);
}

#[test]
fn a_period_that_nobody_renewed_goes_on_for_the_grace_of_the_plan() {
    let paid_until = |until: &str| {
        Tenant::paying("large").with(|tenant| {
            let from = at("2026-10-15T12:00:00Z");
            tenant.entitlement.period = Some(PaidPeriod {
                from,
                until: at(until),
            });
        })
    };
    paid_until("2026-11-15T12:00:01Z").is_admitted(&[]);
    paid_until("2026-11-15T12:00:00Z").is_refused(RefusalCode::SubscriptionPastDue, None, &[]);
}

#[test]
fn each_window_has_its_limit_and_says_when_the_next_begins() {
    for (change, limit, again) in [
        (
            (|used: &mut Used| used.calls_day = 3) as fn(&mut Used),
            Limit::CallsPerDay,
            "2026-11-19T05:00:00Z",
        ),
        (
            |used| used.calls_week = 5,
            Limit::CallsPerWeek,
            "2026-11-23T05:00:00Z",
        ),
        (
            |used| used.calls_month = 8,
            Limit::CallsPerMonth,
            "2026-12-01T05:00:00Z",
        ),
        (
            |used| used.seconds_month = 1_800,
            Limit::MinutesPerMonth,
            "2026-12-01T05:00:00Z",
        ),
    ] {
        let refusal = Tenant::paying("small").used(change).is_refused(
            RefusalCode::PlanLimitReached,
            Some(limit),
            &["large"],
        );
        assert_eq!(refusal.again_at, Some(at(again)), "{refusal}");
    }
    Tenant::paying("small")
        .used(|used| used.calls_week = 4)
        .is_admitted(&[Prompt::CallsNearLimit]);
}

#[test]
fn calls_at_once_are_those_that_run() {
    Tenant::paying("small")
        .used(|used| used.running = 1)
        .is_admitted(&[]);
    Tenant::paying("small").used(|used| used.running = 2).is_refused(
        RefusalCode::PlanLimitReached,
        Some(Limit::Concurrency),
        &["large"],
    );
}

#[test]
fn a_call_lasts_no_longer_than_the_minutes_that_are_left() {
    let nearly = Tenant::paying("small").used(|used| used.seconds_month = 1_790);
    assert_eq!(
        nearly.is_admitted(&[Prompt::MinutesNearLimit]).max_seconds,
        Some(10)
    );
    // Half an hour is less than any call may last.
    assert_eq!(Tenant::paying("small").is_admitted(&[]).max_seconds, Some(1_800));
}

#[test]
fn what_is_beyond_the_limits_is_charged_where_the_plan_says_so() {
    let beyond = Tenant::paying("large").used(|used| used.calls_week = 50);
    let admitted = beyond.is_admitted(&[Prompt::CallsNearLimit]);
    assert_eq!(
        (admitted.unit_price, admitted.minute_price),
        (Some(dollars("0.25")), None)
    );
    let minutes = Tenant::paying("large").used(|used| used.seconds_month = 3_600);
    let admitted = minutes.is_admitted(&[Prompt::MinutesNearLimit]);
    assert_eq!(
        (admitted.unit_price, admitted.minute_price),
        (None, Some(dollars("0.10")))
    );
    assert_eq!(admitted.max_seconds, None);
}

#[test]
fn a_cap_on_the_price_keeps_it_for_each_call_that_runs() {
    let capped = |price: i64, held: i64| {
        Tenant::paying("capped").used(|used| (used.price_micros, used.held_micros) = (price, held))
    };
    let admitted = capped(0, 0).is_admitted(&[]);
    assert_eq!(
        (admitted.unit_price, admitted.held),
        (Some(dollars("0.5")), Some(dollars("0.5")))
    );
    capped(1_000_000, 500_000).is_admitted(&[]);
    capped(1_000_000, 1_000_000).is_refused(RefusalCode::PlanLimitReached, Some(Limit::Spend), &[]);
    let refusal = capped(1_600_000, 0).is_refused(RefusalCode::PlanLimitReached, Some(Limit::Spend), &[]);
    assert_eq!(refusal.again_at, Some(at("2026-12-01T00:00:00Z")));
}

#[test]
fn a_cap_on_the_cost_says_how_long_a_call_may_last() {
    let guarded = |cost: i64| Tenant::paying("guarded").used(|used| used.cost_micros = cost);
    // A dollar at ten cents a minute.
    let admitted = guarded(0).is_admitted(&[]);
    assert_eq!(
        (admitted.max_seconds, admitted.held),
        (Some(600), Some(dollars("1")))
    );
    let admitted = guarded(750_000).call().expect("two minutes are left");
    assert_eq!(
        (admitted.max_seconds, admitted.held),
        (Some(120), Some(dollars("0.2")))
    );
    guarded(950_000).is_refused(RefusalCode::PlanLimitReached, Some(Limit::Spend), &[]);
    // What a minute costs is not known: only what was spent counts.
    let unrated = guarded(950_000).with(|tenant| tenant.minute_cost = None);
    assert_eq!(unrated.is_admitted(&[Prompt::SpendNearLimit]).max_seconds, None);
}

#[test]
fn numbers_and_agents_have_limits_of_the_plan_and_of_the_trial() {
    let numbers = |tenant: &Tenant, held| tenant.asks(|at, _| room(at, Limit::Numbers, held));
    let paying = Tenant::paying("small");
    assert_eq!(numbers(&paying, 2), Ok(()));
    assert_eq!(numbers(&paying, 3).unwrap_err().limit, Some(Limit::Numbers));
    let trying = Tenant::trying();
    assert_eq!(numbers(&trying, 1), Ok(()));
    let refusal = numbers(&trying, 2).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::PlanLimitReached);
    let plans: Vec<_> = refusal.upgrade.iter().map(PlanId::as_str).collect();
    assert_eq!(plans, ["small", "large"]);
    let agents = paying.asks(|at, _| room(at, Limit::Agents, 1)).unwrap_err();
    assert_eq!((agents.limit, agents.upgrade.len()), (Some(Limit::Agents), 1));
    let expired = Tenant::trying().with(|tenant| tenant.now = at("2026-12-01T00:00:00Z"));
    assert_eq!(numbers(&expired, 0).unwrap_err().code, RefusalCode::TrialExpired);
}

proptest! {
    /// Whatever was used, no cap is overrun by what is kept for the calls that run.
    #[test]
    fn calls_that_run_at_once_never_hold_more_than_the_cap(
        cost in 0_i64..1_200_000, minute in 1_i64..400_000, calls in 1..40_usize
    ) {
        let mut tenant = Tenant::paying("guarded").used(|used| used.cost_micros = cost);
        tenant.minute_cost = Some(Money::from_micros(minute, crate::money::Currency::USD));
        for _ in 0..calls {
            let Ok(admitted) = tenant.call() else { break };
            let held = admitted.held.map_or(0, Money::amount_micros);
            tenant.used.held_micros += held;
            prop_assert!(tenant.used.cost_micros + tenant.used.held_micros <= 1_000_000);
            let seconds = admitted.max_seconds.unwrap_or(3_600);
            prop_assert!((i64::from(seconds) + 59) / 60 * minute <= held);
        }
    }

    /// A plan that is named as a way out is one.
    #[test]
    fn what_an_upgrade_names_admits_the_call(
        total in 0..10_u64, day in 0..6_u64, week in 0..60_u64, month in 0..60_u64, seconds in 0..4_000_u64, running in 0..4_u64
    ) {
        let used = Used {
            calls_total: total, calls_day: day, calls_week: week, calls_month: month, seconds_month: seconds,
            running, ..Used::default()
        };
        let tenant = Tenant::trying().with(|tenant| tenant.used = used);
        if let Err(refusal) = tenant.call() {
            for plan in refusal.upgrade {
                prop_assert!(Tenant::paying(plan.as_str()).with(|tenant| tenant.used = used).call().is_ok());
            }
        }
    }
}
