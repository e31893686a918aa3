//! Why something is refused, and what a tenant is told before it comes to that.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{call::EndReason, plan::PlanId};

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// The tenant is suspended, or is being closed.
    TenantSuspended,
    /// A payment failed, and the grace is over.
    SubscriptionPastDue,
    /// The days of the trial are over.
    TrialExpired,
    /// The calls of the trial are used up.
    TrialCallsExhausted,
    /// The plan has no more of it.
    PlanLimitReached,
    /// The tenant has no plan that is on offer.
    NoPlan,
}

impl RefusalCode {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantSuspended => "tenant_suspended",
            Self::SubscriptionPastDue => "subscription_past_due",
            Self::TrialExpired => "trial_expired",
            Self::TrialCallsExhausted => "trial_calls_exhausted",
            Self::PlanLimitReached => "plan_limit_reached",
            Self::NoPlan => "no_plan",
        }
    }

    /// Why a call ended that was refused for this.
    pub const fn end_reason(self) -> EndReason {
        match self {
            Self::TenantSuspended => EndReason::TenantSuspended,
            Self::SubscriptionPastDue => EndReason::SubscriptionPastDue,
            Self::TrialExpired => EndReason::TrialExpired,
            Self::TrialCallsExhausted => EndReason::TrialCallsExhausted,
            Self::PlanLimitReached => EndReason::PlanLimitReached,
            Self::NoPlan => EndReason::NoPlan,
        }
    }
}

/// What a plan limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// Calls of a day.
    CallsPerDay,
    /// Calls of a week.
    CallsPerWeek,
    /// Calls of a month.
    CallsPerMonth,
    /// Minutes of a month.
    MinutesPerMonth,
    /// Calls at once.
    Concurrency,
    /// Money.
    Spend,
    /// Numbers.
    Numbers,
    /// Agents.
    Agents,
}

impl Limit {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallsPerDay => "calls_per_day",
            Self::CallsPerWeek => "calls_per_week",
            Self::CallsPerMonth => "calls_per_month",
            Self::MinutesPerMonth => "minutes_per_month",
            Self::Concurrency => "concurrency",
            Self::Spend => "spend",
            Self::Numbers => "numbers",
            Self::Agents => "agents",
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct Refusal {
    /// Why, for programs.
    pub code: RefusalCode,
    /// Which limit, where it is one.
    pub limit: Option<Limit>,
    /// Why, for people.
    pub reason: String,
    /// The plans that would allow it, the cheapest first.
    pub upgrade: Vec<PlanId>,
    /// When it is allowed again by itself.
    pub again_at: Option<Timestamp>,
}

impl Refusal {
    pub(super) fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            limit: None,
            reason: reason.into(),
            upgrade: Vec::new(),
            again_at: None,
        }
    }

    pub(super) fn limit(limit: Limit, reason: impl Into<String>) -> Self {
        Self {
            limit: Some(limit),
            ..Self::new(RefusalCode::PlanLimitReached, reason)
        }
    }

    /// The tenant's plan is not on offer, or it has none.
    pub(crate) fn no_plan() -> Self {
        Self::new(RefusalCode::NoPlan, "the tenant has no plan that is on offer")
    }
}

/// What the tenant should be told although the call is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Prompt {
    /// The trial ends within two days.
    TrialEndsSoon,
    /// The calls of the trial, the day, the week or the month are nearly used up, or are beyond the limit and charged.
    CallsNearLimit,
    /// So are the minutes.
    MinutesNearLimit,
    /// So is the money.
    SpendNearLimit,
    /// A payment failed; the grace runs.
    PaymentFailed,
}
