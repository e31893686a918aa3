//! Request ids, spans and metrics of requests.
//!
//! A span knows the route as it was written down, never the path or the query that came: those hold tokens.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;

use crate::ApiState;

/// The header that carries a request's id, in both directions.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static REQUEST_ID: Arc<str>;
}

/// The id of the request that is being answered.
pub(crate) fn request_id() -> Option<Arc<str>> {
    REQUEST_ID.try_with(Arc::clone).ok()
}

/// Lets work that goes on in a task of its own know the request that it belongs to.
pub(crate) async fn carry<F: Future>(id: Option<Arc<str>>, work: F) -> F::Output {
    match id {
        Some(id) => REQUEST_ID.scope(id, work).await,
        None => work.await,
    }
}

/// Gives every request an id and a span, and counts it.
pub(crate) async fn observe(State(api): State<ApiState>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id: Arc<str> = match request.headers().get(X_REQUEST_ID).and_then(sane) {
        Some(id) => id.into(),
        None => format!("req_{}", api.app().ambient().ids().uuid().simple()).into(),
    };
    let method = method_label(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!("request", method, route, request.id = %id);

    let answered = async {
        let response = next.run(request).await;
        let latency = began.elapsed();
        tracing::info!(status = response.status().as_u16(), ?latency, "answered");
        response
    };
    let mut response = REQUEST_ID.scope(Arc::clone(&id), answered.instrument(span)).await;

    let status = response.status().as_u16().to_string();
    metrics::histogram!("voice_saas_http_request_duration_seconds", "method" => method, "route" => route.clone())
        .record(began.elapsed());
    metrics::counter!("voice_saas_http_requests_total", "method" => method, "route" => route, "status" => status)
        .increment(1);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

/// A client's own id, if it can stand in a log line without doing harm there.
fn sane(id: &HeaderValue) -> Option<&str> {
    let id = id.to_str().ok()?;
    let harmless = (1..=128).contains(&id.len())
        && id.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=')
        });
    harmless.then_some(id)
}

/// Clients may invent methods; labels must stay few.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_request_id_is_taken_when_it_is_short_and_plain() {
        let sane = |text: &str| sane(&HeaderValue::from_str(text).unwrap()).map(str::to_owned);
        assert_eq!(sane("4bf92f35-77b3_4d"), Some("4bf92f35-77b3_4d".to_owned()));
        assert_eq!(sane(""), None);
        assert_eq!(sane("two words"), None);
        assert_eq!(sane(&"x".repeat(129)), None);
    }
}
