//! The SIP trunks of a tenant's numbers: set up by hand, listed, deleted.

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    id::{NumberId, TrunkId},
    trunk::{EnsuredTrunk, Trunk, TrunkFailure, TrunkStatus},
};

use crate::{
    ApiState, Problem, Scoped,
    page::{Listed, Pagination},
    query::Query,
    scope::Id,
};

/// Setting up, listing and deleting SIP trunks.
pub fn trunks_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(list_trunks))
        .routes(routes!(delete_trunk))
        .routes(routes!(set_up_trunk))
}

/// The SIP trunk of a number. Its password is shown to nobody.
#[derive(Serialize, ToSchema)]
struct TrunkView {
    #[schema(value_type = String)]
    id: TrunkId,
    #[schema(value_type = String)]
    number_id: NumberId,
    /// `pending`, `active`, `failed` (nothing is left of it), `stuck` (something may be left at a provider; setting it up
    /// again or deleting it goes on) or `deleting`.
    #[schema(value_type = String)]
    status: TrunkStatus,
    /// Why it failed or is stuck: a `code` (`number_not_held`, `not_configured`, `foreign`, `provider`), and the
    /// `provider` where one is the cause.
    #[schema(value_type = Option<Object>)]
    failure: Option<TrunkFailure>,
    /// The carrier, where it has a part of the trunk.
    #[schema(example = "twilio")]
    carrier: Option<String>,
    /// Where its calls go.
    #[schema(example = "livekit")]
    media: String,
    /// The carrier's SIP host for calls out.
    sip_host: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Trunk> for TrunkView {
    fn from(trunk: Trunk) -> Self {
        Self {
            id: trunk.id,
            number_id: trunk.number,
            status: trunk.status,
            failure: trunk.failure,
            carrier: trunk.carrier,
            media: trunk.media,
            sip_host: trunk.sip_host,
            created_at: trunk.created_at,
        }
    }
}

/// The tenant's SIP trunks, newest first.
#[utoipa::path(
    get, path = "/v1/trunks", tag = "Numbers",
    params(Pagination),
    responses((status = 200, description = "The trunks", body = Listed<TrunkView>))
)]
async fn list_trunks(
    State(api): State<ApiState>,
    scoped: Scoped,
    Query(pagination): Query<Pagination>,
) -> Result<axum::Json<Listed<TrunkView>>, Problem> {
    let page = api
        .app()
        .trunks()
        .list(scoped.principal(), pagination.request()?)
        .await?;
    Ok(axum::Json(Listed::of(page, TrunkView::from)))
}

/// Sees to it that the number has a SIP trunk: its calls go to the media side from then on. Doing it again is no error,
/// and goes on where an earlier attempt is stuck.
#[utoipa::path(
    post, path = "/v1/numbers/{id}/trunk", tag = "Numbers",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "It was there", body = TrunkView),
        (status = 201, description = "Set up", body = TrunkView),
        (status = 202, description = "Still being set up", body = TrunkView),
    )
)]
async fn set_up_trunk(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<NumberId>,
) -> Result<(StatusCode, axum::Json<TrunkView>), Problem> {
    let ensured = api
        .app()
        .trunks()
        .ensure_for_number(scoped.principal(), id)
        .await?;
    let (status, trunk) = match ensured {
        EnsuredTrunk::Found(trunk) => (StatusCode::OK, trunk),
        EnsuredTrunk::Made(trunk) => (StatusCode::CREATED, trunk),
        EnsuredTrunk::Pending(trunk) => (StatusCode::ACCEPTED, trunk),
    };
    Ok((status, axum::Json((*trunk).into())))
}

/// Whether a trunk is gone.
#[derive(Serialize, ToSchema)]
struct DeletedTrunkView {
    /// `false`: it goes as soon as the providers let us.
    deleted: bool,
}

/// Takes a SIP trunk away at both providers. The number stays; doing it again is no error.
#[utoipa::path(
    delete, path = "/v1/trunks/{id}", tag = "Numbers",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "Gone", body = DeletedTrunkView),
        (status = 202, description = "The providers take their time; the library goes on with it", body = DeletedTrunkView),
    )
)]
async fn delete_trunk(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<TrunkId>,
) -> Result<(StatusCode, axum::Json<DeletedTrunkView>), Problem> {
    let deleted = api.app().trunks().delete(scoped.principal(), id).await?;
    let status = if deleted {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, axum::Json(DeletedTrunkView { deleted })))
}
