//! ElevenLabs' webhooks.

use axum::{
    extract::{FromRef, Request, State},
    http::StatusCode,
    response::Response,
};
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::provider::voice_agent::AgentWebhookKind;

use super::{Received, answer};
use crate::{ApiState, Problem};

pub(super) fn router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(elevenlabs_conversation_init))
        .routes(routes!(elevenlabs_post_call))
}

async fn receive(
    api: &ApiState,
    kind: AgentWebhookKind,
    request: Request,
    limit: usize,
) -> Result<Response, Problem> {
    let received = Received::read(request, limit).await?;
    let inbound = api.app().inbound();
    Ok(answer(
        inbound
            .voice_agents("elevenlabs", kind, &received.as_request())
            .await?,
    ))
}

/// A call reaches an agent at the platform's own number: who is it for?
#[utoipa::path(
    post, path = "/webhooks/elevenlabs/conversation-init", tag = "Providers",
    security(("elevenlabs_secret" = [])),
    request_body = Object,
    responses((status = 200, description = "What the agent needs for this call", body = Object))
)]
async fn elevenlabs_conversation_init(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    receive(&api, AgentWebhookKind::Initiation, request, api.body_limit()).await
}

/// A conversation is over, and this is its record.
#[utoipa::path(
    post, path = "/webhooks/elevenlabs/post-call", tag = "Providers",
    security(("elevenlabs_signature" = [])),
    request_body = Object,
    responses((status = 200, description = "Written down"))
)]
async fn elevenlabs_post_call(State(api): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let mut response = receive(&api, AgentWebhookKind::PostCall, request, api.record_limit()).await?;
    // The platform takes nothing but 200 for a success, and gives up on webhooks that fail too often.
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}
