//! Programs' credentials.

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    auth::{ApiKey, ApiScope},
    id::ApiKeyId,
    page::Cursor,
};

use crate::{
    ApiState, Problem, Scoped,
    idempotency::{Answer, Once},
    page::{self, Listed, Pagination},
    query::Query,
    scope::Id,
};

/// Making, listing and revoking API keys.
pub fn api_keys_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(create_api_key, list_api_keys))
        .routes(routes!(revoke_api_key))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ApiKeyRequest {
    /// What it is for.
    name: String,
    /// `read`, `write`, `admin`.
    #[serde(default = "read_and_write")]
    #[schema(value_type = Vec<String>, default = json!(["read", "write"]))]
    scopes: Vec<ApiScope>,
}

fn read_and_write() -> Vec<ApiScope> {
    vec![ApiScope::Read, ApiScope::Write]
}

/// An API key, without what makes it one.
#[derive(Serialize, ToSchema)]
struct ApiKeyView {
    #[schema(value_type = String)]
    id: ApiKeyId,
    name: String,
    /// Its first characters, to tell it from others.
    #[schema(example = "vsk_9aZk")]
    hint: String,
    #[schema(value_type = Vec<String>)]
    scopes: Vec<ApiScope>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            hint: key.hint,
            scopes: key.scopes,
            created_at: key.created_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// A fresh API key. The secret is shown this once.
#[derive(Serialize, ToSchema)]
struct FreshApiKeyView {
    #[serde(flatten)]
    key: ApiKeyView,
    /// For `Authorization: Bearer`.
    secret: String,
}

/// Makes an API key. Its secret is shown in this answer alone.
#[utoipa::path(
    post, path = "/v1/api-keys", tag = "API keys",
    params(("idempotency-key" = Option<String>, Header, description = "Sent again, gets the same answer")),
    request_body = ApiKeyRequest,
    responses((status = 201, description = "The key, with its secret", body = FreshApiKeyView))
)]
async fn create_api_key(once: Once<ApiKeyRequest>) -> Result<Response, Problem> {
    once.answer(async |app, principal, request: ApiKeyRequest| {
        let accounts = app.accounts();
        let (key, secret) = accounts
            .create_api_key(&principal, &request.name, request.scopes)
            .await?;
        let view = FreshApiKeyView {
            key: key.into(),
            secret: secret.expose_secret().to_owned(),
        };
        Answer::json(StatusCode::CREATED, &view)
    })
    .await
}

/// The keys that are good, newest first.
#[utoipa::path(
    get, path = "/v1/api-keys", tag = "API keys",
    params(Pagination),
    responses((status = 200, description = "The keys", body = Listed<ApiKeyView>))
)]
async fn list_api_keys(
    State(api): State<ApiState>,
    scoped: Scoped,
    Query(pagination): Query<Pagination>,
) -> Result<axum::Json<Listed<ApiKeyView>>, Problem> {
    let request = pagination.request()?;
    let keys = api.app().accounts().api_keys(scoped.principal()).await?;
    let page = page::slice(keys, request, |key| Cursor::new(key.created_at, key.id.as_uuid()));
    Ok(axum::Json(Listed::of(page, ApiKeyView::from)))
}

/// Makes a key worthless.
#[utoipa::path(
    delete, path = "/v1/api-keys/{id}", tag = "API keys",
    params(("id" = String, Path)),
    responses((status = 204, description = "Revoked"))
)]
async fn revoke_api_key(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<ApiKeyId>,
) -> Result<StatusCode, Problem> {
    api.app()
        .accounts()
        .revoke_api_key(scoped.principal(), id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
