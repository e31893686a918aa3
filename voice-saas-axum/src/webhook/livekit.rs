//! LiveKit's webhooks.

use axum::{
    extract::{FromRef, Request, State},
    response::Response,
};
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::provider::telephony::WebhookKind;

use super::{Received, answer};
use crate::{ApiState, Problem};

pub(super) fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(livekit_webhook))
}

/// Something happened in a room. What changes no call is acknowledged.
#[utoipa::path(
    post, path = "/webhooks/livekit", tag = "Providers", security(("livekit_token" = [])),
    request_body(content_type = "application/webhook+json", content = Object),
    responses((status = 204, description = "Written down"))
)]
async fn livekit_webhook(State(api): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let received = Received::read(request, api.body_limit()).await?;
    let inbound = api.app().inbound();
    Ok(answer(
        inbound
            .telephony("livekit", WebhookKind::Status, &received.as_request())
            .await?,
    ))
}
