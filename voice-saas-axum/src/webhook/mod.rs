//! What providers call us for. The library verifies each on its raw bytes before it reads anything.

mod elevenlabs;
mod knowlarity;
mod livekit;
mod twilio;

use axum::{
    body::Bytes,
    extract::{FromRef, OriginalUri, Request},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::router::OpenApiRouter;
use voice_saas_core::provider::telephony::{WebhookAnswer, WebhookRequest};

use crate::{ApiState, Problem, json};

/// The webhooks of all providers.
pub fn webhooks_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    twilio::router()
        .merge(elevenlabs::router())
        .merge(knowlarity::router())
        .merge(livekit::router())
}

/// A provider's request as it reached us. The path is the one that the provider called, whatever prefix the routes are
/// nested under: signatures cover it.
struct Received {
    method: Method,
    path_and_query: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Received {
    async fn read(request: Request, limit: usize) -> Result<Self, Problem> {
        let original = request.extensions().get::<OriginalUri>();
        let uri = original.map_or_else(|| request.uri(), |OriginalUri(uri)| uri);
        let path_and_query = uri.path_and_query().map_or("/", |text| text.as_str()).to_owned();
        Ok(Self {
            method: request.method().clone(),
            path_and_query,
            headers: request.headers().clone(),
            body: json::read_body(request, limit).await?,
        })
    }

    fn as_request(&self) -> WebhookRequest<'_> {
        WebhookRequest {
            method: &self.method,
            path_and_query: &self.path_and_query,
            headers: &self.headers,
            body: &self.body,
        }
    }
}

fn answer(answer: Option<WebhookAnswer>) -> Response {
    match answer {
        Some(WebhookAnswer { content_type, body }) => {
            ([(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        None => StatusCode::NO_CONTENT.into_response(),
    }
}
