//! Registering, logging in, and who one is.

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    auth::{Registration, Session, User},
    id::UserId,
    page::Cursor,
    tenant::{Member, Role},
};

use crate::{
    ApiState, Problem, Scoped,
    json::Json,
    page::{self, Listed, Pagination},
    query::Query,
    rate_limit::ClientQuota,
    scope::AppType,
    tenant::TenantView,
};

/// Registering, logging in and out, refreshing, who one is, and the tenant's members.
pub fn accounts_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(me))
        .routes(routes!(list_members))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegisterRequest {
    #[schema(example = "ana@example.com")]
    email: String,
    /// 8 to 200 characters.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// The person's name, and the tenant's until it gets one of its own.
    name: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    email: String,
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    #[schema(value_type = String)]
    refresh_token: SecretString,
}

/// What a login gives.
#[derive(Serialize, ToSchema)]
struct SessionView {
    /// For `Authorization: Bearer`.
    token: String,
    /// The same as `token`.
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds for which `token` is good.
    #[schema(example = 1800)]
    expires_in: u64,
    /// Good once, for the next session.
    refresh_token: String,
    user: UserView,
    tenant: TenantView,
    /// `owner`, `admin`, `member` or `viewer`.
    #[schema(value_type = String)]
    role: Role,
}

impl From<Session> for SessionView {
    fn from(session: Session) -> Self {
        let token = session.access_token.expose_secret();
        Self {
            token: token.to_owned(),
            access_token: token.to_owned(),
            token_type: "Bearer",
            expires_in: session.expires_in.as_secs(),
            refresh_token: session.refresh_token.expose_secret().to_owned(),
            user: session.user.into(),
            tenant: session.tenant.into(),
            role: session.role,
        }
    }
}

/// A person who can log in.
#[derive(Serialize, ToSchema)]
struct UserView {
    #[schema(value_type = String)]
    id: UserId,
    email: String,
    name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            created_at: user.created_at,
        }
    }
}

/// Who the caller is.
#[derive(Serialize, ToSchema)]
struct MeView {
    /// The person; `null` for a program with an API key.
    user: Option<UserView>,
    tenant: TenantView,
    /// `owner`, `admin`, `member` or `viewer`.
    #[schema(value_type = String)]
    role: Role,
}

/// A person in the tenant.
#[derive(Serialize, ToSchema)]
struct MemberView {
    #[schema(value_type = String)]
    user_id: UserId,
    email: String,
    name: Option<String>,
    /// `owner`, `admin`, `member` or `viewer`.
    #[schema(value_type = String)]
    role: Role,
    #[schema(value_type = String, format = DateTime)]
    joined_at: Timestamp,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            user_id: member.user,
            email: member.email,
            name: member.name,
            role: member.role,
            joined_at: member.joined_at,
        }
    }
}

/// Makes a person and their tenant, and logs them in. The tenant is on the trial of the platform that
/// `X-App-Type` names.
#[utoipa::path(
    post, path = "/v1/auth/register", tag = "Accounts", security(()),
    params(("x-app-type" = Option<String>, Header, description = "`mobile` or `web`")),
    request_body = RegisterRequest,
    responses((status = 201, description = "Registered and logged in", body = SessionView))
)]
async fn register(
    State(api): State<ApiState>,
    _quota: ClientQuota,
    AppType(platform): AppType,
    Json(request): Json<RegisterRequest>,
) -> Result<(StatusCode, axum::Json<SessionView>), Problem> {
    let registration = Registration::new(request.email, request.password)
        .with_name(request.name)
        .with_platform(platform);
    let session = api.app().accounts().register(registration).await?;
    Ok((StatusCode::CREATED, axum::Json(session.into())))
}

/// Logs a person in.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "Accounts", security(()),
    request_body = LoginRequest,
    responses((status = 200, description = "Logged in", body = SessionView))
)]
async fn login(
    State(api): State<ApiState>,
    ClientQuota(client): ClientQuota,
    Json(request): Json<LoginRequest>,
) -> Result<axum::Json<SessionView>, Problem> {
    api.limiters().login(client, &request.email)?;
    let session = api
        .app()
        .accounts()
        .login(&request.email, &request.password)
        .await?;
    Ok(axum::Json(session.into()))
}

/// Exchanges a refresh token, once, for the next session. Using one twice ends all sessions that descend from the
/// same login.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "Accounts", security(()),
    request_body = RefreshRequest,
    responses((status = 200, description = "The next session", body = SessionView))
)]
async fn refresh(
    State(api): State<ApiState>,
    _quota: ClientQuota,
    Json(request): Json<RefreshRequest>,
) -> Result<axum::Json<SessionView>, Problem> {
    let session = api.app().accounts().refresh(&request.refresh_token).await?;
    Ok(axum::Json(session.into()))
}

/// Ends all sessions that descend from the same login as this refresh token.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "Accounts", security(()),
    request_body = RefreshRequest,
    responses((status = 204, description = "Logged out"))
)]
async fn logout(
    State(api): State<ApiState>,
    _quota: ClientQuota,
    Json(request): Json<RefreshRequest>,
) -> Result<StatusCode, Problem> {
    api.app().accounts().logout(&request.refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who the caller is.
#[utoipa::path(
    get, path = "/v1/auth/me", tag = "Accounts",
    responses((status = 200, description = "The caller", body = MeView))
)]
async fn me(State(api): State<ApiState>, scoped: Scoped) -> Result<axum::Json<MeView>, Problem> {
    let me = api.app().accounts().me(scoped.principal()).await?;
    Ok(axum::Json(MeView {
        user: me.user.map(UserView::from),
        tenant: me.tenant.into(),
        role: me.role,
    }))
}

/// Everybody in the tenant, longest first.
#[utoipa::path(
    get, path = "/v1/members", tag = "Accounts",
    params(Pagination),
    responses((status = 200, description = "The members", body = Listed<MemberView>))
)]
async fn list_members(
    State(api): State<ApiState>,
    scoped: Scoped,
    Query(pagination): Query<Pagination>,
) -> Result<axum::Json<Listed<MemberView>>, Problem> {
    let request = pagination.request()?;
    let members = api.app().accounts().members(scoped.principal()).await?;
    let cursor = |member: &Member| Cursor::new(member.joined_at, member.user.as_uuid());
    let page = page::slice(members, request, cursor);
    Ok(axum::Json(Listed::of(page, MemberView::from)))
}
