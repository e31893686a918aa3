//! Why a call goes where it goes.

use axum::extract::{FromRef, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    call::{EndReason, Explanation, Tried},
    id::AgentId,
    phone::E164,
};

use crate::{ApiState, Problem, Scoped, json::Json};

/// Explaining what becomes of a call.
pub fn routing_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(explain_routing))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ExplainRequest {
    /// The number that is called, as people of the tenant's country write it.
    phone_number: String,
    /// The caller. No rule looks at it yet.
    #[serde(default, rename = "from")]
    _from: Option<String>,
    /// When. No rule looks at it yet.
    #[serde(default, rename = "at")]
    #[schema(value_type = Option<String>, format = DateTime)]
    _at: Option<Timestamp>,
}

/// What would become of a call, and why.
#[derive(Serialize, ToSchema)]
struct ExplanationView {
    #[schema(value_type = String)]
    phone_number: E164,
    decision: DecisionView,
    /// Every rule that was looked at, in order.
    tried: Vec<TriedView>,
}

/// What would become of a call.
#[derive(Serialize, ToSchema)]
struct DecisionView {
    /// `agent` or `reject`.
    action: &'static str,
    /// The agent that would take it.
    #[schema(value_type = Option<String>)]
    agent_id: Option<AgentId>,
    /// Why nobody would.
    #[schema(value_type = Option<String>, example = "no_active_agent")]
    reason: Option<EndReason>,
}

/// A rule that was looked at.
#[derive(Serialize, ToSchema)]
struct TriedView {
    #[schema(example = "linked_agent")]
    rule: &'static str,
    /// Whether it decided the call.
    applied: bool,
    why: String,
}

impl From<Tried> for TriedView {
    fn from(tried: Tried) -> Self {
        Self {
            rule: tried.rule,
            applied: tried.applied,
            why: tried.why.into_owned(),
        }
    }
}

impl From<Result<AgentId, EndReason>> for DecisionView {
    fn from(outcome: Result<AgentId, EndReason>) -> Self {
        Self {
            action: if outcome.is_ok() { "agent" } else { "reject" },
            agent_id: outcome.ok(),
            reason: outcome.err(),
        }
    }
}

/// What would become of a call to one of the tenant's numbers, and every rule that was looked at. The same function
/// routes live calls.
#[utoipa::path(
    post, path = "/v1/routing/explain", tag = "Routing",
    request_body = ExplainRequest,
    responses((status = 200, description = "The decision and its reasons", body = ExplanationView))
)]
async fn explain_routing(
    State(api): State<ApiState>,
    scoped: Scoped,
    Json(request): Json<ExplainRequest>,
) -> Result<axum::Json<ExplanationView>, Problem> {
    let country = api.app().tenants().get(scoped.principal()).await?.country;
    let phone_number = E164::read(&request.phone_number, country)
        .map_err(|error| Problem::field("/phone_number", "phone_number", error.to_string()))?;
    let Explanation { outcome, tried } = api
        .app()
        .calls()
        .explain(scoped.principal(), &phone_number)
        .await?;
    Ok(axum::Json(ExplanationView {
        phone_number,
        decision: outcome.into(),
        tried: tried.into_iter().map(TriedView::from).collect(),
    }))
}
