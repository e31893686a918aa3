//! What operators of the platform see and do.

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    call::UnroutedCall,
    id::{JobId, TenantId, UnroutedCallId},
    job::{Job, JobState},
    provider::telephony::ProviderCallId,
};

use crate::{
    ApiState, Operator, Problem,
    page::{self, Listed, Pagination},
    query::{self, Query},
    scope::Id,
};

/// Unrouted calls and the job queue, for operators.
pub fn admin_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(list_unrouted_calls))
        .routes(routes!(list_jobs))
        .routes(routes!(get_job))
        .routes(routes!(retry_job))
}

/// A call that reached us but no tenant's number.
#[derive(Serialize, ToSchema)]
struct UnroutedCallView {
    #[schema(value_type = String)]
    id: UnroutedCallId,
    provider: String,
    #[schema(value_type = String)]
    provider_call_id: ProviderCallId,
    from: String,
    to: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<UnroutedCall> for UnroutedCallView {
    fn from(call: UnroutedCall) -> Self {
        Self {
            id: call.id,
            provider: call.provider,
            provider_call_id: call.provider_call,
            from: call.from,
            to: call.to,
            at: call.at,
        }
    }
}

/// A durable job, without its payload.
#[derive(Serialize, ToSchema)]
struct JobView {
    #[schema(value_type = String)]
    id: JobId,
    /// Whose; `null` = the platform's own.
    #[schema(value_type = Option<String>)]
    tenant_id: Option<TenantId>,
    #[schema(example = "number.provision")]
    kind: String,
    /// `ready`, `leased`, `finished` or `dead`.
    #[schema(value_type = String)]
    state: JobState,
    /// Not before.
    #[schema(value_type = String, format = DateTime)]
    run_at: Timestamp,
    /// How often it was begun.
    attempt: u16,
    /// Dead after this many attempts.
    max_attempts: u16,
    /// Why the last attempt failed.
    error: Option<String>,
    /// How far it has come, of a job that says so.
    #[schema(value_type = Option<Object>)]
    progress: Option<serde_json::Value>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        Self {
            id: job.id,
            tenant_id: job.tenant,
            kind: job.kind,
            state: job.state,
            run_at: job.run_at,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            error: job.error,
            progress: job.progress,
            created_at: job.created_at,
        }
    }
}

/// Calls that reached nobody, newest first.
#[utoipa::path(
    get, path = "/v1/admin/unrouted-calls", tag = "Operators", security(("operator" = [])),
    params(Pagination),
    responses((status = 200, description = "The calls", body = Listed<UnroutedCallView>))
)]
async fn list_unrouted_calls(
    State(api): State<ApiState>,
    _: Operator,
    Query(pagination): Query<Pagination>,
) -> Result<axum::Json<Listed<UnroutedCallView>>, Problem> {
    let page = api.app().calls().unrouted(pagination.request()?).await?;
    Ok(axum::Json(Listed::of(page, UnroutedCallView::from)))
}

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct JobListQuery {
    /// `ready`, `leased`, `finished` or `dead`.
    state: Option<String>,
    /// At most this many entries: 1 to 200, 50 unless told otherwise.
    #[param(value_type = Option<u16>)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Jobs, newest first.
#[utoipa::path(
    get, path = "/v1/admin/jobs", tag = "Operators", security(("operator" = [])),
    params(JobListQuery),
    responses((status = 200, description = "The jobs", body = Listed<JobView>))
)]
async fn list_jobs(
    State(api): State<ApiState>,
    _: Operator,
    Query(query): Query<JobListQuery>,
) -> Result<axum::Json<Listed<JobView>>, Problem> {
    let state = query::word(query.state.as_deref(), "state")?;
    let request = page::request(query.limit.as_deref(), query.cursor.as_deref())?;
    let page = api.app().jobs().list(state, request).await?;
    Ok(axum::Json(Listed::of(page, JobView::from)))
}

/// A job, and how far it has come.
#[utoipa::path(
    get, path = "/v1/admin/jobs/{id}", tag = "Operators", security(("operator" = [])),
    params(("id" = String, Path)),
    responses((status = 200, description = "The job", body = JobView))
)]
async fn get_job(
    State(api): State<ApiState>,
    _: Operator,
    Id(id): Id<JobId>,
) -> Result<axum::Json<JobView>, Problem> {
    Ok(axum::Json(api.app().jobs().get(id).await?.into()))
}

/// A job that will be tried again.
#[derive(Serialize, ToSchema)]
struct RetriedJobView {
    #[schema(value_type = String)]
    id: JobId,
    /// `ready`.
    #[schema(value_type = String)]
    state: JobState,
}

/// Gives a dead job another set of attempts. 404 when it is not dead.
#[utoipa::path(
    post, path = "/v1/admin/jobs/{id}/retry", tag = "Operators", security(("operator" = [])),
    params(("id" = String, Path)),
    responses((status = 202, description = "It will be tried again", body = RetriedJobView))
)]
async fn retry_job(
    State(api): State<ApiState>,
    _: Operator,
    Id(id): Id<JobId>,
) -> Result<(StatusCode, axum::Json<RetriedJobView>), Problem> {
    api.app().jobs().revive(id).await?;
    let view = RetriedJobView {
        id,
        state: JobState::Ready,
    };
    Ok((StatusCode::ACCEPTED, axum::Json(view)))
}
