//! Numbers for all agents that have none, for operators who move tenants in.

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    id::{AgentId, JobId, TenantId},
    number::MissingRequest,
};

use crate::{ApiState, Operator, Problem, json::Json, number};

/// Agents that a dry run names.
const NAMED: u16 = 200;

/// Buying numbers in bulk, for operators.
pub fn missing_numbers_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(provision_missing_numbers))
}

/// Which agents to give numbers to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MissingNumbersRequest {
    /// Only those of this tenant.
    tenant_id: Option<String>,
    /// Two to five digits.
    area_code: Option<String>,
    /// Two letters; the tenant's own unless told otherwise.
    country: Option<String>,
    /// Only say which agents these are; `true` unless told otherwise.
    #[serde(default = "dry")]
    dry_run: bool,
}

fn dry() -> bool {
    true
}

impl MissingNumbersRequest {
    fn read(self) -> Result<MissingRequest, Problem> {
        let tenant = self.tenant_id.as_deref().map(str::parse::<TenantId>).transpose();
        let mut request = MissingRequest::default();
        request.tenant =
            tenant.map_err(|error| Problem::field("/tenant_id", "tenant_id", error.to_string()))?;
        request.country = number::country(self.country.as_deref())?;
        request.area_code = self.area_code;
        Ok(request)
    }
}

/// An agent without a number.
#[derive(Serialize, ToSchema)]
struct AgentWithoutNumberView {
    #[schema(value_type = String)]
    tenant_id: TenantId,
    #[schema(value_type = String)]
    agent_id: AgentId,
}

/// What is bought, or would be.
#[derive(Serialize, ToSchema)]
struct MissingNumbersView {
    dry_run: bool,
    /// The first 200 agents without a number.
    agents: Vec<AgentWithoutNumberView>,
    /// Whether there are more.
    more: bool,
    /// The work that buys; none in a dry run, or when it is under way already.
    #[schema(value_type = Option<String>)]
    job_id: Option<JobId>,
}

/// Gives every active agent without a number one, by a purchase of its own. Sent again, it goes on where it stopped.
#[utoipa::path(
    post, path = "/v1/admin/numbers/provision-missing", tag = "Operators", security(("operator" = [])),
    request_body = MissingNumbersRequest,
    responses(
        (status = 200, description = "What would be bought", body = MissingNumbersView),
        (status = 202, description = "Being bought", body = MissingNumbersView),
    )
)]
async fn provision_missing_numbers(
    State(api): State<ApiState>,
    _: Operator,
    Json(request): Json<MissingNumbersRequest>,
) -> Result<(StatusCode, axum::Json<MissingNumbersView>), Problem> {
    let dry_run = request.dry_run;
    let request = request.read()?;
    let numbers = api.app().numbers();
    let missing = numbers.missing(&request, NAMED).await?;
    let (status, job_id) = if dry_run {
        (StatusCode::OK, None)
    } else {
        (StatusCode::ACCEPTED, numbers.provision_missing(&request).await?)
    };
    let agents = missing.agents.into_iter();
    let view = MissingNumbersView {
        dry_run,
        agents: agents
            .map(|(tenant_id, agent_id)| AgentWithoutNumberView { tenant_id, agent_id })
            .collect(),
        more: missing.more,
        job_id,
    };
    Ok((status, axum::Json(view)))
}
