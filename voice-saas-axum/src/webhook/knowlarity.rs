//! Knowlarity's pushes.

use axum::{
    extract::{FromRef, Request, State},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::provider::telephony::WebhookKind;

use super::Received;
use crate::{ApiState, Problem};

pub(super) fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(knowlarity_push))
        .routes(routes!(knowlarity_push_by_query))
}

async fn receive(api: &ApiState, request: Request) -> Result<Response, Problem> {
    let received = Received::read(request, api.body_limit()).await?;
    let inbound = api.app().inbound();
    inbound
        .telephony("knowlarity", WebhookKind::Status, &received.as_request())
        .await?;
    // Which other success Knowlarity takes for one is not documented.
    Ok("ok".into_response())
}

/// A call is over, as a form or JSON. Nothing signs this: the call log is asked whether it is true.
#[utoipa::path(
    post, path = "/webhooks/knowlarity/{secret}", tag = "Providers", security(()),
    params(("secret" = String, Path, description = "One of the secrets that the adapter was given")),
    request_body(content_type = "application/x-www-form-urlencoded", content = Object),
    responses((status = 200, description = "Written down", content_type = "text/plain", body = String))
)]
async fn knowlarity_push(State(api): State<ApiState>, request: Request) -> Result<Response, Problem> {
    receive(&api, request).await
}

/// A call is over, in the query. Nothing signs this: the call log is asked whether it is true.
#[utoipa::path(
    get, path = "/webhooks/knowlarity/{secret}", tag = "Providers", security(()),
    params(("secret" = String, Path, description = "One of the secrets that the adapter was given")),
    responses((status = 200, description = "Written down", content_type = "text/plain", body = String))
)]
async fn knowlarity_push_by_query(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    receive(&api, request).await
}
