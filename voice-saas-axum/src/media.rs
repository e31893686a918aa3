//! Calls' media sockets.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    extract::{
        FromRef, Path, State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::provider::BoxError;

use crate::{ApiState, Problem};

/// A frame of 20 ms is some 300 bytes of JSON: a larger buffer is memory that every call pays for.
const READ_BUFFER: usize = 4 * 1024;

/// No carrier's message is nearly as long.
const MAX_MESSAGE: usize = 64 * 1024;

/// Room for one more message while the carrier does not read. The bridge bounds how many wait.
const MAX_WRITE_BUFFER: usize = 256 * 1024;

/// The media sockets of calls.
pub fn media_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(twilio_media))
}

/// A call's audio (Twilio Media Streams). The token is good for one socket of one call.
#[utoipa::path(
    get, path = "/media/twilio/{token}", tag = "Providers", security(()),
    params(("token" = String, Path)),
    responses(
        (status = 101, description = "A WebSocket of Twilio's media messages"),
        (status = 426, description = "Not a WebSocket request", body = crate::error::ProblemBody),
    )
)]
async fn twilio_media(
    State(api): State<ApiState>,
    Path(token): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    // First, because letting the socket in uses the token up.
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            rejection.body_text(),
        )
    })?;
    let leg = api.app().inbound().media("twilio", &token).await?;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_failed_upgrade(|error| tracing::warn!("a media socket was not upgraded: {error}"));
    Ok(upgrade
        .on_upgrade(|socket| leg.run(Socket(socket)))
        .into_response())
}

/// The text messages of a WebSocket, neither boxed nor copied. The library below answers pings by itself.
struct Socket(WebSocket);

impl Stream for Socket {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Some(Ok(text.into())),
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_))) | None => None,
                Some(Err(error)) => Some(Err(error.into())),
            });
        }
    }
}

impl Sink<Bytes> for Socket {
    type Error = BoxError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Pin::new(&mut self.0).poll_ready(cx).map_err(BoxError::from)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Bytes) -> Result<(), BoxError> {
        let text = Utf8Bytes::try_from(message)?;
        Ok(Pin::new(&mut self.0).start_send(Message::Text(text))?)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(BoxError::from)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(BoxError::from)
    }
}
