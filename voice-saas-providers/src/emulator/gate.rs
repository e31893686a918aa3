//! What happens to every request to a provider before it is handled: recording, authentication, faults.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::fault::{Fault, FaultKind, Operation, Provider};
use super::journal::{HEADERS, RecordedRequest};
use super::listener::Connection;
use super::world::World;
use super::{app_store, elevenlabs, knowlarity, livekit, stripe, twilio};

const LARGEST_BODY: usize = 1024 * 1024;
const DEFAULT_DELAY: Duration = Duration::from_secs(1);
/// Faults that happen to a request as a whole; the others belong to webhooks and running sockets.
const OF_REQUESTS: &[FaultKind] = &[
    FaultKind::AnswerLost,
    FaultKind::RateLimited,
    FaultKind::ServerError,
    FaultKind::Slow,
    FaultKind::Refused,
    FaultKind::HoldBefore,
    FaultKind::HoldAfter,
    FaultKind::HoldDetached,
];

/// The state of [`pass`]: one gate per provider.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) world: Arc<World>,
    pub(super) provider: Provider,
}

/// Which operation a request is; `None` for those that faults do not know.
pub(super) fn operation(request: &RecordedRequest) -> Option<Operation> {
    match request.provider {
        Provider::Twilio => twilio::operation(&request.method, &request.path),
        Provider::ElevenLabs => elevenlabs::operation(&request.method, &request.path),
        Provider::LiveKit => livekit::operation(&request.path),
        Provider::Knowlarity => knowlarity::operation(&request.method, &request.path),
        Provider::AppStore => app_store::operation(&request.method, &request.path),
        Provider::Stripe => stripe::operation(&request.method, &request.path),
    }
}

impl Gate {
    fn too_many(&self, fault: &Fault) -> Response {
        let mut response = match self.provider {
            Provider::Twilio => twilio::too_many_requests(),
            Provider::ElevenLabs => elevenlabs::too_many_requests(),
            Provider::LiveKit => livekit::too_many_requests(),
            Provider::Knowlarity => knowlarity::too_many_requests(),
            Provider::AppStore => app_store::too_many_requests(),
            Provider::Stripe => stripe::too_many_requests(),
        };
        if let Some(delay) = fault.delay() {
            response.headers_mut().insert(
                "retry-after",
                delay
                    .as_millis()
                    .div_ceil(1_000)
                    .to_string()
                    .parse()
                    .unwrap_or_else(|_| axum::http::HeaderValue::from_static("1")),
            );
        }
        response
    }

    fn server_error(&self) -> Response {
        match self.provider {
            Provider::Twilio => twilio::server_error(),
            Provider::ElevenLabs => elevenlabs::server_error(),
            Provider::LiveKit => livekit::server_error(),
            Provider::Knowlarity => knowlarity::server_error(),
            Provider::AppStore => app_store::server_error(),
            Provider::Stripe => stripe::server_error(),
        }
    }
}

/// Records the request and lets it through unless its credentials or a fault forbid it.
pub(super) async fn pass(
    State(gate): State<Gate>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 1 MiB").into_response();
    };
    let mut record = RecordedRequest {
        provider: gate.provider,
        method: parts.method.to_string(),
        path: knowlarity::path_to_record(parts.uri.path()),
        query: parts.uri.query().map(ToOwned::to_owned),
        headers: recorded_headers(&parts.headers),
        body: body.to_vec(),
        status: None,
    };
    let refusal = match gate.provider {
        Provider::Twilio => gate.world.twilio.authorize(&parts.headers),
        Provider::ElevenLabs => gate.world.elevenlabs.authorize(&parts.uri, &parts.headers),
        Provider::LiveKit => {
            let now = gate.world.clock.now();
            gate.world.livekit.authorize(&parts.headers, now)
        }
        Provider::Knowlarity => gate.world.knowlarity.authorize(&parts.uri, &parts.headers),
        Provider::AppStore => {
            let now = gate.world.clock.now();
            gate.world.app_store.authorize(&parts.headers, now)
        }
        Provider::Stripe => gate.world.stripe.authorize(&parts.headers),
    };
    let answer = match refusal {
        Err(refusal) => Some(*refusal),
        Ok(()) => {
            let fault =
                operation(&record).and_then(|operation| gate.world.faults.take(operation, OF_REQUESTS));
            let request = Request::from_parts(parts, Body::from(body));
            answer(&gate, fault, request, next).await
        }
    };
    record.status = answer.as_ref().map(|answer| answer.status().as_u16());
    gate.world.journal.record(record);
    answer.unwrap_or_else(|| {
        connection.sever();
        Response::new(Body::from(Bytes::new()))
    })
}

/// The answer under a fault; `None` drops the connection.
async fn answer(gate: &Gate, fault: Option<Fault>, request: Request, next: Next) -> Option<Response> {
    let Some(fault) = fault else {
        return Some(next.run(request).await);
    };
    match fault.kind() {
        FaultKind::RateLimited => Some(gate.too_many(&fault)),
        FaultKind::ServerError => Some(gate.server_error()),
        FaultKind::Slow => {
            tokio::time::sleep(fault.delay().unwrap_or(DEFAULT_DELAY)).await;
            Some(next.run(request).await)
        }
        FaultKind::AnswerLost => {
            next.run(request).await;
            None
        }
        FaultKind::HoldBefore => {
            let hold = gate.world.faults.hold(fault.operation());
            hold.released().await;
            Some(next.run(request).await)
        }
        FaultKind::HoldAfter => {
            let answer = next.run(request).await;
            let hold = gate.world.faults.hold(fault.operation());
            hold.released().await;
            Some(answer)
        }
        FaultKind::HoldDetached => {
            let world = Arc::clone(&gate.world);
            let handled = gate.world.tasks.spawn(async move {
                let hold = world.faults.hold(fault.operation());
                hold.released().await;
                next.run(request).await
            });
            handled.await.ok()
        }
        _ => None,
    }
}

fn recorded_headers(headers: &axum::http::HeaderMap) -> Vec<(String, String)> {
    HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned())))
        .collect()
}
