//! A local server in a provider's place that keeps what it was asked and what it answered.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST},
    response::Response,
};
use bytes::Bytes;
use tokio::{net::TcpListener, task::JoinHandle};
use url::Url;

/// An answer.
#[derive(Debug, Clone, Default)]
#[expect(clippy::exhaustive_structs, reason = "tests build it")]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub content_type: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// An answer of this media type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: Some(content_type.to_owned()),
            body: body.into(),
        }
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }
}

/// A request and its answer.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "tests read it")]
pub struct Exchange {
    /// The HTTP method.
    pub method: String,
    /// The path, as it was sent.
    pub path: String,
    /// The query, as it was sent, without `?`.
    pub query: String,
    /// The media type of the request's body.
    pub content_type: Option<String>,
    /// The request's body.
    pub body: Bytes,
    /// What was answered.
    pub answer: Answer,
}

type Answering = dyn Fn(Exchange, axum::http::request::Parts) -> Pin<Box<dyn Future<Output = Exchange> + Send>>
    + Send
    + Sync;

/// A local server in a provider's place. Dropping it stops it.
pub struct Recorder {
    url: Url,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    server: JoinHandle<()>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Recorder {
    /// Answers by itself; the exchange that it is given has no answer yet.
    pub async fn answering(answer: impl Fn(&Exchange) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(move |mut exchange, _| {
            exchange.answer = answer(&exchange);
            Box::pin(std::future::ready(exchange))
        }))
        .await
    }

    /// Stands in front of `upstream` and lets it answer. Sockets are not passed on.
    ///
    /// # Panics
    /// When there is no TLS on this machine.
    pub async fn in_front_of(upstream: &Url) -> Self {
        let upstream = upstream.as_str().trim_end_matches('/').to_owned();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self::start(Arc::new(move |exchange, parts| {
            Box::pin(pass_on(client.clone(), upstream.clone(), exchange, parts))
        }))
        .await
    }

    async fn start(answering: Arc<Answering>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let exchanges = Arc::<Mutex<Vec<Exchange>>>::default();
        let kept = Arc::clone(&exchanges);
        let router = Router::new().fallback(move |request: Request| record(request, answering, kept));
        let server =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("the server runs") });
        let url = Url::parse(&format!("http://{addr}")).expect("an address is a URL");
        Self {
            url,
            exchanges,
            server,
        }
    }

    /// The base URL for an adapter.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Everything so far, oldest first.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn record(
    request: Request,
    answering: Arc<Answering>,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
) -> Response {
    let (parts, body) = request.into_parts();
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let asked = Exchange {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        content_type: content_type.map(str::to_owned),
        body: axum::body::to_bytes(body, usize::MAX)
            .await
            .expect("the body arrives"),
        answer: Answer::default(),
    };
    let exchange = answering(asked, parts).await;
    let answer = exchange.answer.clone();
    exchanges
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(exchange);
    let mut response = Response::builder().status(answer.status);
    if let Some(kind) = answer.content_type {
        response = response.header(CONTENT_TYPE, kind);
    }
    response
        .body(Body::from(answer.body))
        .expect("what was answered is an answer")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a proxy passes requests on as they are, without retry or redaction"
)]
async fn pass_on(
    client: reqwest::Client,
    upstream: String,
    mut exchange: Exchange,
    parts: axum::http::request::Parts,
) -> Exchange {
    let mut headers = parts.headers;
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let answer = client
        .request(parts.method, format!("{upstream}{path}"))
        .headers(headers)
        .body(exchange.body.clone())
        .send()
        .await
        .expect("upstream answers");
    let kind = answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    exchange.answer = Answer {
        status: answer.status().as_u16(),
        content_type: kind.map(str::to_owned),
        body: answer.bytes().await.expect("the whole answer arrives"),
    };
    exchange
}
