//! Twilio's webhooks.

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
    OpenApiRouter::default()
        .routes(routes!(twilio_voice))
        .routes(routes!(twilio_fallback))
        .routes(routes!(twilio_status))
        .routes(routes!(twilio_after_media))
}

async fn receive(api: &ApiState, kind: WebhookKind, request: Request) -> Result<Response, Problem> {
    let received = Received::read(request, api.body_limit()).await?;
    let inbound = api.app().inbound();
    Ok(answer(
        inbound.telephony("twilio", kind, &received.as_request()).await?,
    ))
}

/// A call came in: what shall become of it?
#[utoipa::path(
    post, path = "/webhooks/twilio/voice", tag = "Providers", security(("twilio_signature" = [])),
    request_body(content_type = "application/x-www-form-urlencoded", content = Object),
    responses((status = 200, description = "TwiML", content_type = "text/xml", body = String))
)]
async fn twilio_voice(State(api): State<ApiState>, request: Request) -> Result<Response, Problem> {
    receive(&api, WebhookKind::Voice, request).await
}

/// The voice webhook failed: what shall become of the call?
#[utoipa::path(
    post, path = "/webhooks/twilio/fallback", tag = "Providers", security(("twilio_signature" = [])),
    request_body(content_type = "application/x-www-form-urlencoded", content = Object),
    responses((status = 200, description = "TwiML", content_type = "text/xml", body = String))
)]
async fn twilio_fallback(State(api): State<ApiState>, request: Request) -> Result<Response, Problem> {
    receive(&api, WebhookKind::Fallback, request).await
}

/// A call has come further.
#[utoipa::path(
    post, path = "/webhooks/twilio/status", tag = "Providers", security(("twilio_signature" = [])),
    request_body(content_type = "application/x-www-form-urlencoded", content = Object),
    responses((status = 204, description = "Written down"))
)]
async fn twilio_status(State(api): State<ApiState>, request: Request) -> Result<Response, Problem> {
    receive(&api, WebhookKind::Status, request).await
}

/// A call's media socket closed: what next?
#[utoipa::path(
    post, path = "/webhooks/twilio/after-media", tag = "Providers", security(("twilio_signature" = [])),
    request_body(content_type = "application/x-www-form-urlencoded", content = Object),
    responses((status = 200, description = "TwiML", content_type = "text/xml", body = String))
)]
async fn twilio_after_media(State(api): State<ApiState>, request: Request) -> Result<Response, Problem> {
    receive(&api, WebhookKind::AfterMedia, request).await
}
