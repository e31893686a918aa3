//! What agents can do during a call, for platforms that call tools over HTTP.

use axum::{
    extract::{FromRef, Path, State},
    http::{HeaderMap, StatusCode},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::auth::Credentials;

use crate::{ApiState, Problem, json::Json};

/// Running tools.
pub fn tools_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(run_tool))
}

/// Runs a tool for the call that the token is bound to. The body holds the tool's arguments. A tool that could not do
/// it answers 422 `tool_failed`, whose `detail` the agent may say.
#[utoipa::path(
    post, path = "/v1/tools/{tool}", tag = "Tools", security(("call_token" = []), ("bearer" = [])),
    params(("tool" = String, Path, description = "Its name, such as `end_call`")),
    request_body = Object,
    responses((status = 200, description = "What the tool says", body = Object))
)]
async fn run_tool(
    State(api): State<ApiState>,
    Path(tool): Path<String>,
    headers: HeaderMap,
    Json(arguments): Json<Map<String, Value>>,
) -> Result<axum::Json<Value>, Problem> {
    let token = token(&headers).ok_or_else(|| {
        Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "a tool needs the token of its call, as Authorization: Bearer or X-Call-Token",
        )
    })?;
    let arguments = Value::Object(arguments);
    let answer = api
        .app()
        .inbound()
        .tool(token.expose_secret(), &tool, &arguments)
        .await?;
    Ok(axum::Json(answer))
}

fn token(headers: &HeaderMap) -> Option<SecretString> {
    match headers.get("x-call-token") {
        Some(token) => token.to_str().ok().map(SecretString::from),
        None => Credentials::new(headers).bearer(),
    }
}
