//! The plans on offer.

use axum::extract::{FromRef, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    plan::{Limits, Overage, Period, Plan, SpendKind, Trial},
    tenant::Platform,
};

use crate::{ApiState, Problem, page::Listed, rate_limit::ClientQuota, scope::AppType, view::Money};

/// The plans on offer.
pub fn plans_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(list_plans))
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanView {
    #[schema(example = "business_basic")]
    id: String,
    #[schema(example = "Basic")]
    name: String,
    /// `web` or `mobile`.
    #[schema(value_type = String)]
    platform: Platform,
    /// Plans of the same family are alternatives to one another.
    #[schema(example = "business")]
    family: String,
    price: Money,
    /// What the price is for: `week`, `month`, or `per_unit` (one connected call).
    #[schema(value_type = String)]
    period: Period,
    /// How it begins before anything is paid for; `null` = not at all.
    trial: Option<TrialView>,
    limits: LimitsView,
    /// What it can do.
    features: Vec<String>,
    overage: OverageView,
}

impl From<&Plan> for PlanView {
    fn from(plan: &Plan) -> Self {
        Self {
            id: plan.id.to_string(),
            name: plan.name.clone(),
            platform: plan.platform,
            family: plan.family.clone(),
            price: plan.price.into(),
            period: plan.period,
            trial: plan.trial.map(TrialView::from),
            limits: plan.limits.into(),
            features: plan.features.clone(),
            overage: plan.overage.into(),
        }
    }
}

/// What may be used before anything is paid for.
#[derive(Debug, Serialize, ToSchema)]
struct TrialView {
    days: u16,
    /// `null` = as many as the plan has.
    calls: Option<u32>,
    /// `null` = as many as the plan has.
    numbers: Option<u32>,
}

impl From<Trial> for TrialView {
    fn from(trial: Trial) -> Self {
        Self {
            days: trial.days,
            calls: trial.calls,
            numbers: trial.numbers,
        }
    }
}

/// How much of a plan there is; `null` = without limit. Days, weeks and months are those of the tenant's time zone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LimitsView {
    calls_per_day: Option<u32>,
    calls_per_week: Option<u32>,
    calls_per_month: Option<u32>,
    minutes_per_month: Option<u32>,
    /// Calls at once.
    concurrency: Option<u32>,
    numbers: Option<u32>,
    agents: Option<u32>,
    spend: Option<SpendView>,
}

/// How much money may be spent in a calendar month (UTC).
#[derive(Debug, Serialize, ToSchema)]
struct SpendView {
    amount: Money,
    /// `cost` (what providers charge) or `price` (what the tenant is charged).
    #[schema(value_type = String)]
    of: SpendKind,
}

impl From<Limits> for LimitsView {
    fn from(limits: Limits) -> Self {
        Self {
            calls_per_day: limits.calls_per_day,
            calls_per_week: limits.calls_per_week,
            calls_per_month: limits.calls_per_month,
            minutes_per_month: limits.minutes_per_month,
            concurrency: limits.concurrency,
            numbers: limits.numbers,
            agents: limits.agents,
            spend: limits.spend.map(|cap| SpendView {
                amount: cap.amount.into(),
                of: cap.of,
            }),
        }
    }
}

/// What is charged beyond the limits, instead of a refusal; `null` = refused.
#[derive(Debug, Serialize, ToSchema)]
struct OverageView {
    /// For a connected call.
    call: Option<Money>,
    /// For each minute.
    minute: Option<Money>,
}

impl From<Overage> for OverageView {
    fn from(overage: Overage) -> Self {
        Self {
            call: overage.call.map(Money::from),
            minute: overage.minute.map(Money::from),
        }
    }
}

/// The plans that are offered on the caller's platform, which `X-App-Type` names.
#[utoipa::path(
    get, path = "/v1/plans", tag = "Accounts", security(()),
    params(("x-app-type" = Option<String>, Header, description = "`mobile` or `web`")),
    responses((status = 200, description = "The plans", body = Listed<PlanView>))
)]
async fn list_plans(
    State(api): State<ApiState>,
    _quota: ClientQuota,
    AppType(platform): AppType,
) -> Result<axum::Json<Listed<PlanView>>, Problem> {
    let plans = api.app().plans().of_platform(platform);
    Ok(axum::Json(Listed::whole(plans.map(PlanView::from).collect())))
}
