//! The operator's own numbers: bought ahead, lent to tenants or shared by many, given back.

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    id::{JobId, PoolNumberId, TenantId},
    number::{FillRequest, PoolFilter, PoolNumber, PoolStatus, Retired, Sharing},
    phone::{Country, E164},
    provider::telephony::{NumberKind, ProviderNumberId},
};

use crate::{
    ApiState, Operator, Problem,
    json::Json,
    number,
    page::{self, Listed},
    query::{self, Query},
    scope::Id,
    view::Money,
};

/// The pool of numbers, for operators.
pub fn number_pool_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(fill_pool, list_pool))
        .routes(routes!(retire_pool_number))
}

/// A number that the operator owns.
#[derive(Serialize, ToSchema)]
struct PoolNumberView {
    #[schema(value_type = String)]
    id: PoolNumberId,
    #[schema(value_type = String, example = "+12125550142")]
    phone_number: E164,
    /// The carrier.
    #[schema(example = "twilio")]
    provider: String,
    /// The carrier's id, once it is bought.
    #[schema(value_type = Option<String>)]
    provider_id: Option<ProviderNumberId>,
    #[schema(value_type = String, example = "US")]
    country: Country,
    /// `local`, `toll_free` or `mobile`.
    #[schema(value_type = String)]
    r#type: NumberKind,
    /// `exclusive`: lent to one tenant at a time; or `shared`: many call from it.
    #[schema(value_type = String)]
    sharing: Sharing,
    /// `buying`, `free`, `lent`, `quarantined`, `retiring` or `retired`.
    #[schema(value_type = String)]
    status: PoolStatus,
    /// To whom it is lent.
    #[schema(value_type = Option<String>)]
    tenant_id: Option<TenantId>,
    #[schema(value_type = Option<String>, format = DateTime)]
    lent_at: Option<Timestamp>,
    /// When it is free again, while it is kept out of use after a tenant had it.
    #[schema(value_type = Option<String>, format = DateTime)]
    quarantined_until: Option<Timestamp>,
    monthly_cost: Option<Money>,
    #[schema(value_type = Option<String>, format = DateTime)]
    provisioned_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    retired_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<PoolNumber> for PoolNumberView {
    fn from(number: PoolNumber) -> Self {
        Self {
            id: number.id,
            phone_number: number.number,
            provider: number.provider,
            provider_id: number.provider_id,
            country: number.country,
            r#type: number.kind,
            sharing: number.sharing,
            status: number.status,
            tenant_id: number.lending.map(|lending| lending.tenant),
            lent_at: number.lending.map(|lending| lending.since),
            quarantined_until: number.free_at,
            monthly_cost: number.monthly_cost.map(Money::from),
            provisioned_at: number.provisioned_at,
            retired_at: number.retired_at,
            created_at: number.created_at,
        }
    }
}

/// Which numbers to buy.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PoolRequest {
    /// Two letters; `US` unless told otherwise.
    #[schema(example = "US")]
    country: Option<String>,
    /// `local`, `toll_free` or `mobile`; `local` unless told otherwise.
    r#type: Option<String>,
    /// Two to five digits.
    #[schema(example = "212")]
    area_code: Option<String>,
    /// So many more: 1 to 500.
    count: u16,
    /// `exclusive` (unless told otherwise): lent to one tenant at a time; or `shared`: many call from it.
    sharing: Option<String>,
    /// From this carrier; from the default one unless told otherwise.
    #[schema(example = "twilio")]
    provider: Option<String>,
}

impl PoolRequest {
    fn read(self) -> Result<FillRequest, Problem> {
        let country = number::country(self.country.as_deref())?.unwrap_or(Country::US);
        let mut request = FillRequest::new(country, self.count);
        request.kind = query::word(self.r#type.as_deref(), "type")?.unwrap_or_default();
        request.sharing = query::word(self.sharing.as_deref(), "sharing")?.unwrap_or_default();
        request.area_code = self.area_code;
        request.provider = self.provider;
        Ok(request)
    }
}

/// Purchases that have begun; `GET /v1/admin/jobs/{id}` says how far they are.
#[derive(Serialize, ToSchema)]
struct FillingView {
    #[schema(value_type = String)]
    job_id: JobId,
}

/// Buys numbers for the pool. Each is bought once, whatever happens in between. 409 while numbers of the same kind are
/// being bought for it.
#[utoipa::path(
    post, path = "/v1/admin/pool", tag = "Operators", security(("operator" = [])),
    request_body = PoolRequest,
    responses((status = 202, description = "Being bought", body = FillingView))
)]
async fn fill_pool(
    State(api): State<ApiState>,
    _: Operator,
    Json(request): Json<PoolRequest>,
) -> Result<(StatusCode, axum::Json<FillingView>), Problem> {
    let job_id = api.app().number_pool().fill(request.read()?).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(FillingView { job_id })))
}

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct PoolListQuery {
    /// `buying`, `free`, `lent`, `quarantined`, `retiring` or `retired`; all but the last unless told otherwise.
    status: Option<String>,
    /// At most this many entries: 1 to 200, 50 unless told otherwise.
    #[param(value_type = Option<u16>)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The numbers of the pool, newest first.
#[utoipa::path(
    get, path = "/v1/admin/pool", tag = "Operators", security(("operator" = [])),
    params(PoolListQuery),
    responses((status = 200, description = "The numbers", body = Listed<PoolNumberView>))
)]
async fn list_pool(
    State(api): State<ApiState>,
    _: Operator,
    Query(query): Query<PoolListQuery>,
) -> Result<axum::Json<Listed<PoolNumberView>>, Problem> {
    let mut filter = PoolFilter::default();
    filter.status = query::word(query.status.as_deref(), "status")?;
    let request = page::request(query.limit.as_deref(), query.cursor.as_deref())?;
    let page = api.app().number_pool().list(filter, request).await?;
    Ok(axum::Json(Listed::of(page, PoolNumberView::from)))
}

/// Whether a number of the pool is no longer paid for.
#[derive(Serialize, ToSchema)]
struct RetiredView {
    /// `false`: nobody gets it any more, and it will be given back as soon as the carrier lets us.
    retired: bool,
}

/// Gives a number of the pool back to the carrier. 409 while it is being bought or a tenant has it; doing it again is
/// no error.
#[utoipa::path(
    delete, path = "/v1/admin/pool/{id}", tag = "Operators", security(("operator" = [])),
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "Given back", body = RetiredView),
        (status = 202, description = "The carrier takes its time; the library goes on with it", body = RetiredView),
    )
)]
async fn retire_pool_number(
    State(api): State<ApiState>,
    _: Operator,
    Id(id): Id<PoolNumberId>,
) -> Result<(StatusCode, axum::Json<RetiredView>), Problem> {
    let retired = api.app().number_pool().retire(id).await?;
    let status = match retired {
        Retired::Done => StatusCode::OK,
        Retired::Pending => StatusCode::ACCEPTED,
    };
    let retired = retired == Retired::Done;
    Ok((status, axum::Json(RetiredView { retired })))
}
