//! What exists at providers against what the store says, for operators.

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    id::{FindingId, JobId, TenantId},
    page::PageRequest,
    reconcile::{
        Action, Applied, Classification, Finding, FindingFilter, FindingState, Resolution, ResourceKind,
        RunRequest,
    },
};

use crate::{
    ApiState, Operator, Problem,
    json::Json,
    page::{self, Listed},
    query::{self, Query},
    scope::Id,
    view::Money,
};

/// Reconciliation with providers, for operators.
pub fn reconciliation_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(list_findings))
        .routes(routes!(run_reconciliation))
        .routes(routes!(adopt_finding))
        .routes(routes!(release_finding))
        .routes(routes!(repair_finding))
        .routes(routes!(repoint_webhooks))
}

/// A disagreement between a provider and the store.
#[derive(Serialize, ToSchema)]
struct FindingView {
    #[schema(value_type = String)]
    id: FindingId,
    #[schema(example = "twilio")]
    provider: String,
    /// `number`, `trunk`, `agent` or `call`.
    #[schema(value_type = String)]
    kind: ResourceKind,
    /// The provider's id of it.
    provider_id: String,
    /// `orphan` (it bears our tag and nobody holds it), `missing` (the provider does not have it), `drifted` (it is not
    /// set up as we left it) or `foreign` (it is not ours).
    #[schema(value_type = String)]
    classification: Classification,
    /// What people call it.
    #[schema(example = "+12125550142")]
    subject: String,
    /// What is wrong.
    detail: String,
    /// Whose it is, if that is known.
    #[schema(value_type = Option<String>)]
    tenant_id: Option<TenantId>,
    /// What would settle it: `adopt`, `release` or `repair`.
    #[schema(value_type = String)]
    proposed_action: Action,
    /// Since when it is held.
    #[schema(value_type = Option<String>, format = DateTime)]
    held_since: Option<Timestamp>,
    /// How long it is held, in seconds.
    age_seconds: Option<i64>,
    /// What it costs a month, when that is known.
    monthly_cost: Option<Money>,
    /// `open` or `resolved`.
    #[schema(value_type = String)]
    state: FindingState,
    /// How it was settled: `adopted`, `released`, `repaired` or `gone`.
    #[schema(value_type = Option<String>)]
    resolution: Option<Resolution>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When a run saw it last.
    #[schema(value_type = String, format = DateTime)]
    seen_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    resolved_at: Option<Timestamp>,
}

impl FindingView {
    fn new(finding: Finding, now: Timestamp) -> Self {
        let seen = finding.seen;
        Self {
            id: finding.id,
            provider: seen.provider,
            kind: seen.kind,
            provider_id: seen.provider_id,
            classification: seen.classification,
            subject: seen.subject,
            detail: seen.detail,
            tenant_id: seen.tenant,
            proposed_action: seen.proposal,
            held_since: seen.held_since,
            age_seconds: seen
                .held_since
                .map(|since| now.duration_since(since).as_secs().max(0)),
            monthly_cost: seen.monthly_cost.map(Money::from),
            state: finding.state,
            resolution: finding.resolution,
            created_at: finding.created_at,
            seen_at: finding.seen_at,
            resolved_at: finding.resolved_at,
        }
    }
}

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct FindingListQuery {
    /// `open` or `resolved`.
    state: Option<String>,
    /// Only those at this provider.
    provider: Option<String>,
    /// `number`, `trunk`, `agent` or `call`.
    kind: Option<String>,
    /// `orphan`, `missing`, `drifted` or `foreign`.
    classification: Option<String>,
    /// At most this many entries: 1 to 200, 50 unless told otherwise.
    #[param(value_type = Option<u16>)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl FindingListQuery {
    fn read(self) -> Result<(FindingFilter, PageRequest), Problem> {
        let mut filter = FindingFilter::default();
        filter.state = query::word(self.state.as_deref(), "state")?;
        filter.kind = query::word(self.kind.as_deref(), "kind")?;
        filter.classification = query::word(self.classification.as_deref(), "classification")?;
        filter.provider = self.provider;
        let page = page::request(self.limit.as_deref(), self.cursor.as_deref())?;
        Ok((filter, page))
    }
}

/// What earlier runs found, newest first.
#[utoipa::path(
    get, path = "/v1/admin/reconciliation", tag = "Operators", security(("operator" = [])),
    params(FindingListQuery),
    responses((status = 200, description = "The findings", body = Listed<FindingView>))
)]
async fn list_findings(
    State(api): State<ApiState>,
    _: Operator,
    Query(query): Query<FindingListQuery>,
) -> Result<axum::Json<Listed<FindingView>>, Problem> {
    let (filter, request) = query.read()?;
    let page = api.app().reconciliation().findings(&filter, request).await?;
    let now = api.app().ambient().now();
    Ok(axum::Json(Listed::of(page, |finding| {
        FindingView::new(finding, now)
    })))
}

fn yes() -> bool {
    true
}

/// What to go through.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SweepRequest {
    /// Only look; `false` settles what needs no decision too.
    #[serde(default = "yes")]
    #[schema(default = true)]
    dry_run: bool,
    /// Only this provider.
    #[schema(example = "twilio")]
    provider: Option<String>,
}

/// Work that has begun; `GET /v1/admin/jobs/{id}` says how far it is.
#[derive(Serialize, ToSchema)]
struct BegunView {
    #[schema(value_type = String)]
    job_id: JobId,
    dry_run: bool,
}

/// Compares what exists at every provider with the store. With `dry_run: false` it also repairs what has drifted or is
/// missing, and gives back what was bought for a tenant in our books who does not hold it; what may be somebody else's
/// is left to a decision.
#[utoipa::path(
    post, path = "/v1/admin/reconciliation/run", tag = "Operators", security(("operator" = [])),
    request_body = SweepRequest,
    responses((status = 202, description = "Begun", body = BegunView))
)]
async fn run_reconciliation(
    State(api): State<ApiState>,
    _: Operator,
    Json(request): Json<SweepRequest>,
) -> Result<(StatusCode, axum::Json<BegunView>), Problem> {
    let dry_run = request.dry_run;
    let run = RunRequest::dry().at(request.provider);
    let run = if dry_run { run } else { run.settling() };
    let job_id = api.app().reconciliation().run(run).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(BegunView { job_id, dry_run })))
}

fn applied(api: &ApiState, applied: Applied) -> (StatusCode, axum::Json<FindingView>) {
    let (status, finding) = match applied {
        Applied::Done(finding) => (StatusCode::OK, finding),
        Applied::Pending(finding) => (StatusCode::ACCEPTED, finding),
    };
    let now = api.app().ambient().now();
    (status, axum::Json(FindingView::new(*finding, now)))
}

type Answered = Result<(StatusCode, axum::Json<FindingView>), Problem>;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Adoption {
    /// Who gets it.
    #[schema(example = "ten_018f3c1e5d0f7a3b9c2d4e5f60718293")]
    tenant_id: String,
}

/// Gives a number that was found to a tenant: under our tag, with our webhooks. Doing it again is no error.
#[utoipa::path(
    post, path = "/v1/admin/reconciliation/{finding}/adopt", tag = "Operators", security(("operator" = [])),
    params(("finding" = String, Path)),
    request_body = Adoption,
    responses(
        (status = 200, description = "Settled", body = FindingView),
        (status = 202, description = "The provider takes its time; the library goes on with it", body = FindingView),
    )
)]
async fn adopt_finding(
    State(api): State<ApiState>,
    _: Operator,
    Id(id): Id<FindingId>,
    Json(adoption): Json<Adoption>,
) -> Answered {
    let done = api.app().reconciliation().adopt(id, &adoption.tenant_id).await?;
    Ok(applied(&api, done))
}

/// Gives an orphan back at its provider. 409 when a tenant holds it, or it is not ours.
#[utoipa::path(
    post, path = "/v1/admin/reconciliation/{finding}/release", tag = "Operators", security(("operator" = [])),
    params(("finding" = String, Path)),
    responses(
        (status = 200, description = "Settled", body = FindingView),
        (status = 202, description = "The provider takes its time; the library goes on with it", body = FindingView),
    )
)]
async fn release_finding(State(api): State<ApiState>, _: Operator, Id(id): Id<FindingId>) -> Answered {
    let done = api.app().reconciliation().release(id).await?;
    Ok(applied(&api, done))
}

/// Sets up again what has drifted, and takes out of service what is missing.
#[utoipa::path(
    post, path = "/v1/admin/reconciliation/{finding}/repair", tag = "Operators", security(("operator" = [])),
    params(("finding" = String, Path)),
    responses(
        (status = 200, description = "Settled", body = FindingView),
        (status = 202, description = "The provider takes its time; the library goes on with it", body = FindingView),
    )
)]
async fn repair_finding(State(api): State<ApiState>, _: Operator, Id(id): Id<FindingId>) -> Answered {
    let done = api.app().reconciliation().repair(id).await?;
    Ok(applied(&api, done))
}

/// Points the webhooks of all numbers that tenants hold to the present public URL. A dry run only counts them.
#[utoipa::path(
    post, path = "/v1/admin/numbers/repoint-webhooks", tag = "Operators", security(("operator" = [])),
    request_body = SweepRequest,
    responses((status = 202, description = "Begun", body = BegunView))
)]
async fn repoint_webhooks(
    State(api): State<ApiState>,
    _: Operator,
    Json(request): Json<SweepRequest>,
) -> Result<(StatusCode, axum::Json<BegunView>), Problem> {
    let dry_run = request.dry_run;
    let numbers = api.app().numbers();
    let job_id = numbers.repoint_webhooks(dry_run, request.provider).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(BegunView { job_id, dry_run })))
}
