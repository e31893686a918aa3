//! Whether a tenant may have one more call: one pure function, for calls that come in and calls that go out.
//!
//! It looks at the tenant, then its trial or plan, then the windows, the calls that run, and the money. What it does not
//! know, it refuses.

use std::time::Duration;

use jiff::Timestamp;

use super::{Limit, Prompt, Refusal, RefusalCode, WindowKind};
use crate::{
    entitlement::{Entitlement, Source},
    money::Money,
    plan::{Catalogue, Plan, PlanId, SpendCap, SpendKind},
    tenant::{TenantStatus, Zone},
};

/// What a tenant has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Used {
    /// Calls, ever: those that run and those that were connected.
    pub calls_total: u64,
    /// Of the present day.
    pub calls_day: u64,
    /// Of the present week.
    pub calls_week: u64,
    /// Of the present month.
    pub calls_month: u64,
    /// Seconds of the calls of the present month.
    pub seconds_month: u64,
    /// Calls that run.
    pub running: u64,
    /// What providers charged this month, in millionths.
    pub cost_micros: i64,
    /// What the tenant was charged this month, in millionths.
    pub price_micros: i64,
    /// What is kept for calls that run, in millionths.
    pub held_micros: i64,
}

/// Everything that admission looks at.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "callers put it together")]
pub struct Situation<'a> {
    /// Where the tenant stands.
    pub status: TenantStatus,
    /// What it may use.
    pub entitlement: &'a Entitlement,
    /// Its plan.
    pub plan: &'a Plan,
    /// All plans: some may allow what its own does not.
    pub catalogue: &'a Catalogue,
    /// What it used.
    pub used: &'a Used,
    /// Its day.
    pub zone: &'a Zone,
    /// The present moment.
    pub now: Timestamp,
}

/// The call that is to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers put it together")]
pub struct CallTerms {
    /// What a minute of it costs at providers, as far as the rates know.
    pub minute_cost: Option<Money>,
    /// The longest that any call may last.
    pub max_call: Duration,
}

/// An admission, with what was agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admitted {
    /// Under which plan.
    pub plan: PlanId,
    /// What the tenant is charged when the call is connected.
    pub unit_price: Option<Money>,
    /// What the tenant is charged for each minute.
    pub minute_price: Option<Money>,
    /// How much of a spend cap is kept for it.
    pub held: Option<Money>,
    /// How long the call may last, where that is less than any call may.
    pub max_seconds: Option<u32>,
    /// What the tenant should be told.
    pub prompts: Vec<Prompt>,
}

impl Admitted {
    /// Under this plan, with nothing to pay and no end.
    pub fn under(plan: PlanId) -> Self {
        Self {
            plan,
            unit_price: None,
            minute_price: None,
            held: None,
            max_seconds: None,
            prompts: Vec::new(),
        }
    }
}

const PROMPT_BEFORE_TRIAL_ENDS: Duration = Duration::from_hours(48);

/// Whether the tenant may have one more call.
///
/// # Errors
/// `Refusal`, with the plans under which the same call would be admitted.
pub fn admit(at: &Situation<'_>, call: &CallTerms) -> Result<Admitted, Refusal> {
    look(at, call).map_err(|refusal| at.with_upgrade(refusal, |paid| look(paid, call).is_ok()))
}

/// Whether the tenant may have one more of a thing of which it holds so many.
///
/// # Errors
/// `Refusal`, with the plans under which it may.
pub fn room(at: &Situation<'_>, what: Limit, held: u64) -> Result<(), Refusal> {
    look_for_room(at, what, held)
        .map_err(|refusal| at.with_upgrade(refusal, |paid| look_for_room(paid, what, held).is_ok()))
}

impl Situation<'_> {
    /// Names the plans of the same family under which the tenant, if it paid for them, would not be refused.
    fn with_upgrade(&self, mut refusal: Refusal, allows: impl Fn(&Situation<'_>) -> bool) -> Refusal {
        if refusal.code == RefusalCode::TenantSuspended || refusal.code == RefusalCode::SubscriptionPastDue {
            // No other plan pays what is owed.
            return refusal;
        }
        for plan in self.catalogue.family_of(self.plan) {
            let paid = Entitlement::new(plan.id.clone(), Source::Operator, self.now);
            let situation = Situation {
                status: TenantStatus::Active,
                entitlement: &paid,
                plan,
                ..*self
            };
            if allows(&situation) {
                refusal.upgrade.push(plan.id.clone());
            }
        }
        refusal
    }

    /// Whether the tenant stands well enough for anything, and whether it is on trial.
    fn standing(&self, prompts: &mut Vec<Prompt>) -> Result<bool, Refusal> {
        let entitlement = self.entitlement;
        let past_due = || {
            let reason = "a payment failed, and its time of grace is over; pay the open invoice";
            Refusal::new(RefusalCode::SubscriptionPastDue, reason)
        };
        match self.status {
            TenantStatus::Suspended | TenantStatus::Closing | TenantStatus::Closed => {
                let reason = "the tenant is suspended or closed";
                return Err(Refusal::new(RefusalCode::TenantSuspended, reason));
            }
            TenantStatus::PastDue => {
                return match entitlement.grace_until {
                    Some(until) if self.now < until => {
                        prompts.push(Prompt::PaymentFailed);
                        Ok(false)
                    }
                    _ => Err(past_due()),
                };
            }
            TenantStatus::Trial | TenantStatus::Active => {}
        }
        let on_trial = entitlement.is_on_trial(self.now);
        if on_trial {
            return Ok(true);
        }
        if entitlement.source == Source::Trial {
            return Err(Refusal::new(
                RefusalCode::TrialExpired,
                "the trial is over; choose a plan",
            ));
        }
        // Nobody said that it was paid for again. The news may be late, but not for ever.
        let paid_until = entitlement
            .period
            .map(|period| period.until)
            .or(entitlement.trial_ends_at);
        match paid_until {
            Some(until) if self.now >= until + self.plan.grace => Err(past_due()),
            _ => Ok(false),
        }
    }

    fn near(&self, used: u64, limit: u64) -> bool {
        self.catalogue.is_near(used, limit)
    }
}

fn look(at: &Situation<'_>, call: &CallTerms) -> Result<Admitted, Refusal> {
    let mut prompts = Vec::new();
    let on_trial = at.standing(&mut prompts)?;
    if on_trial {
        look_at_trial(at, &mut prompts)?;
    }
    let unit_price = sum(at.plan.unit_price(), look_at_windows(at, &mut prompts)?);
    let (minute_price, minutes) = look_at_minutes(at, &mut prompts)?;
    if let Some(limit) = at.plan.limits.concurrency
        && at.used.running >= u64::from(limit)
    {
        let reason = format!("{limit} calls at once are all that the plan has");
        return Err(Refusal::limit(Limit::Concurrency, reason));
    }
    let mut admitted = Admitted {
        unit_price,
        minute_price,
        max_seconds: minutes,
        prompts,
        ..Admitted::under(at.plan.id.clone())
    };
    if let Some(cap) = at.plan.limits.spend {
        look_at_spend(at, call, cap, &mut admitted)?;
    }
    admitted.max_seconds = admitted
        .max_seconds
        .filter(|seconds| Duration::from_secs(u64::from(*seconds)) < call.max_call);
    Ok(admitted)
}

fn look_at_trial(at: &Situation<'_>, prompts: &mut Vec<Prompt>) -> Result<(), Refusal> {
    let soon = at
        .entitlement
        .trial_ends_at
        .is_some_and(|end| end <= at.now + PROMPT_BEFORE_TRIAL_ENDS);
    if soon {
        prompts.push(Prompt::TrialEndsSoon);
    }
    let Some(calls) = at.plan.trial.and_then(|trial| trial.calls).map(u64::from) else {
        return Ok(());
    };
    if at.used.calls_total >= calls {
        let reason = format!("the {calls} calls of the trial are used up; choose a plan");
        return Err(Refusal::new(RefusalCode::TrialCallsExhausted, reason));
    }
    if at.near(at.used.calls_total, calls) {
        prompts.push(Prompt::CallsNearLimit);
    }
    Ok(())
}

/// What a call beyond the windows costs, where it may be had.
fn look_at_windows(at: &Situation<'_>, prompts: &mut Vec<Prompt>) -> Result<Option<Money>, Refusal> {
    let (used, limits) = (at.used, at.plan.limits);
    let windows = [
        (
            WindowKind::Day,
            Limit::CallsPerDay,
            "day",
            used.calls_day,
            limits.calls_per_day,
        ),
        (
            WindowKind::Week,
            Limit::CallsPerWeek,
            "week",
            used.calls_week,
            limits.calls_per_week,
        ),
        (
            WindowKind::Month,
            Limit::CallsPerMonth,
            "month",
            used.calls_month,
            limits.calls_per_month,
        ),
    ];
    let mut price = None;
    let mut near = false;
    for (kind, limit, word, used, calls) in windows {
        let Some(calls) = calls.map(u64::from) else {
            continue;
        };
        if used >= calls {
            let Some(overage) = at.plan.overage.call else {
                let reason = format!("the {calls} calls of this {word} are used up");
                let mut refusal = Refusal::limit(limit, reason);
                refusal.again_at = kind.ends_at(at.now, at.zone);
                return Err(refusal);
            };
            price = Some(overage);
        }
        near |= at.near(used, calls);
    }
    if near && !prompts.contains(&Prompt::CallsNearLimit) {
        prompts.push(Prompt::CallsNearLimit);
    }
    Ok(price)
}

/// What each minute costs, where they are used up and may still be had; else how many seconds are left.
fn look_at_minutes(
    at: &Situation<'_>,
    prompts: &mut Vec<Prompt>,
) -> Result<(Option<Money>, Option<u32>), Refusal> {
    let Some(minutes) = at.plan.limits.minutes_per_month.map(u64::from) else {
        return Ok((None, None));
    };
    let (used, limit) = (at.used.seconds_month, minutes * 60);
    if at.near(used, limit) {
        prompts.push(Prompt::MinutesNearLimit);
    }
    match at.plan.overage.minute {
        Some(price) => Ok((Some(price).filter(|_| used >= limit), None)),
        None if used >= limit => {
            let reason = format!("the {minutes} minutes of this month are used up");
            let mut refusal = Refusal::limit(Limit::MinutesPerMonth, reason);
            refusal.again_at = WindowKind::Month.ends_at(at.now, at.zone);
            Err(refusal)
        }
        None => Ok((None, Some(u32::try_from(limit - used).unwrap_or(u32::MAX)))),
    }
}

/// Keeps a part of the cap for the call, and says how long it may last for that.
fn look_at_spend(
    at: &Situation<'_>,
    call: &CallTerms,
    cap: SpendCap,
    admitted: &mut Admitted,
) -> Result<(), Refusal> {
    let currency = cap.amount.currency();
    let micros = |money: Option<Money>| {
        let fitting = money.filter(|money| money.currency() == currency);
        fitting.map_or(0, Money::amount_micros).max(0)
    };
    let (spent, once, per_minute) = match cap.of {
        SpendKind::Cost => (at.used.cost_micros, 0, micros(call.minute_cost)),
        SpendKind::Price => (
            at.used.price_micros,
            micros(admitted.unit_price),
            micros(admitted.minute_price),
        ),
    };
    let limit = cap.amount.amount_micros();
    let left = limit.saturating_sub(spent).saturating_sub(at.used.held_micros);
    // The call itself, and its first minute.
    if left <= 0 || left < once.saturating_add(per_minute) {
        let mut refusal = Refusal::limit(
            Limit::Spend,
            format!("the {} of this month are spent", cap.amount),
        );
        refusal.again_at = WindowKind::Month.ends_at(at.now, &Zone::utc());
        return Err(refusal);
    }
    let share = |micros: i64| u64::try_from(micros).unwrap_or(0);
    if at.near(share(limit.saturating_sub(left)), share(limit)) {
        admitted.prompts.push(Prompt::SpendNearLimit);
    }
    let longest = i64::try_from(call.max_call.as_secs().div_ceil(60)).unwrap_or(i64::MAX);
    // A provider charges a minute that has begun as a whole one.
    let minutes = if per_minute == 0 {
        longest
    } else {
        ((left - once) / per_minute).min(longest)
    };
    if minutes < longest {
        let seconds = u32::try_from(minutes.saturating_mul(60)).unwrap_or(u32::MAX);
        admitted.max_seconds = Some(admitted.max_seconds.map_or(seconds, |other| other.min(seconds)));
    }
    let held = once.saturating_add(per_minute.saturating_mul(minutes));
    admitted.held = (held > 0).then(|| Money::from_micros(held, currency));
    Ok(())
}

fn look_for_room(at: &Situation<'_>, what: Limit, held: u64) -> Result<(), Refusal> {
    let on_trial = at.standing(&mut Vec::new())?;
    let limits = at.plan.limits;
    let (limit, things) = match what {
        Limit::Numbers => {
            let trial = at.plan.trial.filter(|_| on_trial).and_then(|trial| trial.numbers);
            (least(limits.numbers, trial), "numbers")
        }
        Limit::Agents => (limits.agents, "agents"),
        _ => (None, ""),
    };
    match limit.map(u64::from) {
        Some(0) => Err(Refusal::limit(
            what,
            format!("the plan has no {things} of its own"),
        )),
        Some(limit) if held >= limit => Err(Refusal::limit(
            what,
            format!("the plan has no more than {limit} {things}"),
        )),
        _ => Ok(()),
    }
}

fn least(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn sum(one: Option<Money>, other: Option<Money>) -> Option<Money> {
    match (one, other) {
        (Some(one), Some(other)) => one.checked_add(other).ok().or(Some(one)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
