//! What the tenant used, and whether it may have another call.

use axum::extract::{FromRef, State};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    entitlement::Source,
    plan::PlanId,
    tenant::{Platform, TenantStatus},
    usage::{Limit, Prompt, RefusalCode, UsageReport},
};

use crate::{
    ApiState, Problem, Scoped,
    plan::{LimitsView, PlanView},
};

/// What the tenant used, and whether it may have another call.
pub fn usage_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(get_usage))
        .routes(routes!(check_call))
}

/// What the tenant used, and may use yet.
#[derive(Debug, Serialize, ToSchema)]
struct UsageView {
    /// `web` or `mobile`.
    #[schema(value_type = String)]
    app_type: Platform,
    /// `trial`, `active`, `past_due`, `suspended`, `closing` or `closed`.
    #[schema(value_type = String)]
    status: TenantStatus,
    is_trial_active: bool,
    /// `null` without a trial, or when its calls are not counted.
    trial_calls_remaining: Option<u64>,
    #[schema(value_type = Option<String>, format = DateTime)]
    trial_ends_at: Option<Timestamp>,
    /// Calls that run or were connected, ever.
    calls_made_total: u64,
    calls_today: u64,
    calls_this_week: u64,
    calls_this_month: u64,
    /// Whole minutes of this month's calls.
    minutes_this_month: u64,
    /// Calls that run.
    running_calls: u64,
    numbers: u64,
    agents: u64,
    /// Whether the plan is paid for, or given.
    is_subscribed: bool,
    /// On what grounds the tenant has its plan: `trial`, `stripe`, `app_store` or `operator`.
    #[schema(value_type = String)]
    source: Source,
    #[schema(value_type = String, example = "business_basic")]
    plan: PlanId,
    plan_name: Option<String>,
    limits: Option<LimitsView>,
    /// Until when a tenant whose payment failed goes on.
    #[schema(value_type = Option<String>, format = DateTime)]
    grace_until: Option<Timestamp>,
    /// When the present day, week and month end.
    resets_at: ResetsView,
    /// Whether a limit is near, or was reached.
    upgrade_recommended: bool,
    /// What is near: `trial_ends_soon`, `calls_near_limit`, `minutes_near_limit`, `spend_near_limit`, `payment_failed`.
    #[schema(value_type = Vec<String>)]
    prompts: Vec<Prompt>,
    /// The plans to choose from.
    pricing: Vec<PlanView>,
}

/// When windows end.
#[derive(Debug, Serialize, ToSchema)]
struct ResetsView {
    #[schema(value_type = Option<String>, format = DateTime)]
    day: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    week: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    month: Option<Timestamp>,
}

impl UsageView {
    fn new(report: UsageReport, now: Timestamp) -> Self {
        let [day, week, month] = report.windows_end;
        Self {
            app_type: report.platform,
            status: report.status,
            is_trial_active: report.is_trial_active,
            trial_calls_remaining: report.trial_calls_remaining,
            trial_ends_at: report.entitlement.trial_ends_at,
            calls_made_total: report.used.calls_total,
            calls_today: report.used.calls_day,
            calls_this_week: report.used.calls_week,
            calls_this_month: report.used.calls_month,
            minutes_this_month: report.used.seconds_month.div_ceil(60),
            running_calls: report.used.running,
            numbers: report.holdings.numbers,
            agents: report.holdings.agents,
            is_subscribed: report.entitlement.is_subscribed(now),
            source: report.entitlement.source,
            plan_name: report.plan.as_ref().map(|plan| plan.name.clone()),
            limits: report.plan.as_ref().map(|plan| plan.limits.into()),
            grace_until: report.entitlement.grace_until,
            resets_at: ResetsView { day, week, month },
            upgrade_recommended: report.upgrade_recommended(),
            pricing: report.pricing.iter().map(PlanView::from).collect(),
            prompts: report
                .next_call
                .map(|admitted| admitted.prompts)
                .unwrap_or_default(),
            plan: report.entitlement.plan,
        }
    }
}

/// Whether a call would be admitted now.
#[derive(Debug, Serialize, ToSchema)]
struct CheckView {
    allowed: bool,
    /// Why not, for programs, such as `trial_calls_exhausted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<RefusalCode>,
    /// Which limit, where it is one, such as `calls_per_week`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    limit: Option<Limit>,
    /// Why not, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The plans that would allow it, the cheapest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    upgrade: Option<Vec<PlanId>>,
    /// When it is allowed again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    again_at: Option<Timestamp>,
    /// How many seconds the call may last, where that is less than any call may.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_seconds: Option<u32>,
    /// What is near, although the call is allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    prompts: Vec<Prompt>,
}

/// What the tenant used, and may use yet.
#[utoipa::path(
    get, path = "/v1/usage", tag = "Tenant",
    responses((status = 200, description = "The usage", body = UsageView))
)]
async fn get_usage(State(api): State<ApiState>, scoped: Scoped) -> Result<axum::Json<UsageView>, Problem> {
    let report = api.app().usage().report(scoped.principal()).await?;
    Ok(axum::Json(UsageView::new(report, api.app().ambient().now())))
}

/// Whether a call would be admitted now. It changes nothing: the call itself is asked about again when it comes.
#[utoipa::path(
    post, path = "/v1/usage/check-call", tag = "Tenant",
    responses((status = 200, description = "The answer", body = CheckView))
)]
async fn check_call(State(api): State<ApiState>, scoped: Scoped) -> Result<axum::Json<CheckView>, Problem> {
    let checked = api.app().usage().check_call(scoped.principal()).await?;
    Ok(axum::Json(match checked {
        Ok(admitted) => CheckView {
            allowed: true,
            reason: None,
            limit: None,
            detail: None,
            upgrade: None,
            again_at: None,
            max_seconds: admitted.max_seconds,
            prompts: admitted.prompts,
        },
        Err(refusal) => CheckView {
            allowed: false,
            reason: Some(refusal.code),
            limit: refusal.limit,
            upgrade: Some(refusal.upgrade),
            detail: Some(refusal.reason),
            again_at: refusal.again_at,
            max_seconds: None,
            prompts: Vec::new(),
        },
    }))
}
