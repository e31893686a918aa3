//! The client: the only place that sends.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tracing::Instrument;
use url::Url;
use voice_saas_core::{
    clock::Ambient,
    provider::{BoxError, ErrorKind, ProviderError, ProviderName},
    secret::ExposeSecret,
};

use super::{Auth, Request, RetryPolicy, redact, retry};

const USER_AGENT: &str = concat!("voice-saas/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below the idle limits of the providers' front ends, so that a request rarely meets a connection that is being
/// closed: for [`Effect::Once`](super::Effect::Once) that would be an ambiguous failure.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// What a provider's refusal means.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    /// For operators. Holds no secret.
    pub(crate) detail: Option<String>,
    pub(crate) request_id: Option<String>,
    /// What the provider said, for the adapter itself.
    pub(crate) source: Option<BoxError>,
}

impl Failure {
    /// What the status says on its own, for answers that say nothing else.
    pub(crate) fn by_status(status: StatusCode) -> Self {
        let kind = match status.as_u16() {
            401 => ErrorKind::Unauthorized,
            402 => ErrorKind::QuotaExceeded,
            403 => ErrorKind::Forbidden,
            404 | 410 => ErrorKind::NotFound,
            408 => ErrorKind::TimedOut,
            409 => ErrorKind::Conflict,
            429 => ErrorKind::RateLimited { retry_after: None },
            400..=499 => ErrorKind::Invalid,
            500..=599 => ErrorKind::ServerError,
            _ => ErrorKind::UnexpectedAnswer,
        };
        Self {
            kind,
            detail: None,
            request_id: None,
            source: None,
        }
    }
}

/// Reads a refusal: status, headers, body.
pub(crate) type Classifier = fn(StatusCode, &HeaderMap, &[u8]) -> Failure;

/// Sends requests to one provider, as one account.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    provider: ProviderName,
    base_url: Url,
    auth: HeaderMap,
    retry: RetryPolicy,
    timeout: Duration,
    concurrency: usize,
    slots: Semaphore,
    classifier: Classifier,
    http: reqwest::Client,
    ambient: Ambient,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("provider", &self.0.provider.as_str())
            .field("host", &self.0.base_url.host_str())
            .finish_non_exhaustive()
    }
}

/// Builds a [`Client`].
pub(crate) struct ClientBuilder {
    provider: ProviderName,
    base_url: Url,
    auth: Auth,
    retry: RetryPolicy,
    timeout: Duration,
    concurrency: usize,
    classifier: Classifier,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("provider", &self.provider.as_str())
            .field("host", &self.base_url.host_str())
            .field("auth", &self.auth)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(crate) fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    pub(crate) fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How long one attempt may take, from connecting to the last byte.
    pub(crate) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many attempts may be under way at a time; the others wait for their turn.
    pub(crate) fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Reads the provider's refusals.
    pub(crate) fn with_classifier(mut self, classifier: Classifier) -> Self {
        self.classifier = classifier;
        self
    }

    /// # Errors
    /// `Invalid` when the base URL is not `http` or `https`, or the secret cannot be a header.
    pub(crate) fn build(self) -> Result<Client, ProviderError> {
        let wrong = |detail| {
            ProviderError::new(self.provider, "be configured", ErrorKind::Invalid).with_detail(detail)
        };
        if !matches!(self.base_url.scheme(), "http" | "https") {
            return Err(wrong("the base URL is not http or https"));
        }
        let auth = self
            .auth
            .headers()
            .ok_or_else(|| wrong("the credentials hold characters that no header can carry"))?;
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .tls_backend_rustls()
            .redirect(reqwest::redirect::Policy::none())
            // Whether a request is sent again is decided in `retry.rs` alone.
            .retry(reqwest::retry::never())
            // Proxies from the environment would be configuration that nobody passed in.
            .no_proxy()
            .build()
            .map_err(|error| wrong("no TLS client can be made on this machine").with_source(error))?;
        let concurrency = self.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Client(Arc::new(Inner {
            provider: self.provider,
            base_url: self.base_url,
            auth,
            retry: self.retry,
            timeout: self.timeout,
            concurrency,
            slots: Semaphore::new(concurrency),
            classifier: self.classifier,
            http,
            ambient: Ambient::system(),
        })))
    }
}

impl Client {
    /// A client of the provider at `base_url`, whose path, if any, begins every request's path.
    pub(crate) fn builder(provider: ProviderName, base_url: Url) -> ClientBuilder {
        ClientBuilder {
            provider,
            base_url,
            auth: Auth::None,
            retry: RetryPolicy::default(),
            timeout: Duration::from_secs(30),
            concurrency: 50,
            classifier: |status, _, _| Failure::by_status(status),
        }
    }

    /// The same over the same connections, as another account: what it may send at a time is its own.
    ///
    /// # Errors
    /// `Invalid` when the secret cannot be a header.
    #[cfg(feature = "twilio")]
    pub(crate) fn as_account(&self, auth: &Auth) -> Result<Self, ProviderError> {
        let inner = &self.0;
        let auth = auth.headers().ok_or_else(|| {
            ProviderError::new(inner.provider, "be configured", ErrorKind::Invalid)
                .with_detail("the credentials hold characters that no header can carry")
        })?;
        Ok(Self(Arc::new(Inner {
            provider: inner.provider,
            base_url: inner.base_url.clone(),
            auth,
            retry: inner.retry,
            timeout: inner.timeout,
            concurrency: inner.concurrency,
            slots: Semaphore::new(inner.concurrency),
            classifier: inner.classifier,
            http: inner.http.clone(),
            ambient: inner.ambient.clone(),
        })))
    }

    /// Sends a request, again where its effect and the policy allow that.
    ///
    /// # Errors
    /// `Unreachable`, `TimedOut`, `Interrupted`, and for every answer other than 2xx what the classifier says.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, ProviderError> {
        let jitter = || self.0.ambient.jitter();
        self.send_with(&request, tokio::time::sleep, jitter).await
    }

    /// Sends a request whose answer goes on for as long as the provider likes, once. The time limit ends with the
    /// answer's headers; the answer occupies no slot.
    ///
    /// # Errors
    /// As [`send`](Self::send). The stream ends with `Interrupted` when the connection breaks.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one home of sending, with redaction around it"
    )]
    pub(crate) async fn open(
        &self,
        request: Request,
    ) -> Result<impl Stream<Item = Result<Bytes, ProviderError>> + Send + use<>, ProviderError> {
        let sending = self.prepare(&request, self.url(&request)?).send();
        let limit = request.timeout.unwrap_or(self.0.timeout);
        let mut answer = tokio::time::timeout(limit, sending)
            .await
            .map_err(|_| self.error(&request, ErrorKind::TimedOut))?
            .map_err(|error| self.broken(&request, error))?;
        let status = answer.status();
        tracing::debug!(?request, status = status.as_u16(), "opened the provider's stream");
        if !status.is_success() {
            let headers = std::mem::take(answer.headers_mut());
            let body = self.read(&request, answer).await.unwrap_or_default();
            return Err(self.refused(&request, status, &headers, &body));
        }
        let client = self.clone();
        let chunks = answer.bytes_stream();
        Ok(chunks.map(move |chunk| chunk.map_err(|error| client.broken(&request, error))))
    }

    #[cfg(test)]
    pub(super) fn free_slots(&self) -> usize {
        self.0.slots.available_permits()
    }

    pub(super) async fn send_with<Sleep: Future<Output = ()>>(
        &self,
        request: &Request,
        sleep: impl FnMut(Duration) -> Sleep,
        jitter: impl FnMut() -> f64,
    ) -> Result<Response, ProviderError> {
        let url = self.url(request)?;
        let attempt = |number| self.attempt(request, url.clone(), number);
        let policy = request.retry.as_ref().unwrap_or(&self.0.retry);
        retry::run(policy, request.effect, attempt, sleep, jitter).await
    }

    /// The request's URL. Credentials go to no other host, whatever a path or a link to a next page says.
    fn url(&self, request: &Request) -> Result<Url, ProviderError> {
        let base = &self.0.base_url;
        let text = if request.path.starts_with('/') {
            format!("{}{}", base.as_str().trim_end_matches('/'), request.path)
        } else {
            request.path.clone()
        };
        let wrong = |detail| self.error(request, ErrorKind::Invalid).with_detail(detail);
        let mut url = Url::parse(&text).map_err(|_| wrong("the request's path makes no URL"))?;
        if url.origin() != base.origin() {
            return Err(wrong("the request's URL is on another host than the provider's"));
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        Ok(url)
    }

    async fn attempt(&self, request: &Request, url: Url, number: u32) -> Result<Response, ProviderError> {
        let _slot = self
            .0
            .slots
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let span = tracing::debug_span!(
            "provider_request",
            provider = self.0.provider.as_str(),
            operation = request.operation,
            attempt = number,
            status = tracing::field::Empty,
            elapsed_ms = tracing::field::Empty,
        );
        async {
            let start = Instant::now();
            let answer = self.exchange(request, url).await;
            let span = tracing::Span::current();
            span.record("elapsed_ms", start.elapsed().as_millis());
            tracing::debug!(?request, ?answer, "asked the provider");
            answer
        }
        .instrument(span)
        .await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one home of sending, with retry and redaction around it"
    )]
    async fn exchange(&self, request: &Request, url: Url) -> Result<Response, ProviderError> {
        let mut answer = self
            .prepare(request, url)
            .timeout(request.timeout.unwrap_or(self.0.timeout))
            .send()
            .await
            .map_err(|error| self.broken(request, error))?;

        let status = answer.status();
        tracing::Span::current().record("status", status.as_u16());
        let headers = std::mem::take(answer.headers_mut());
        let body = self.read(request, answer).await;
        if !status.is_success() {
            // The status says enough when the rest of a refusal is lost.
            return Err(self.refused(request, status, &headers, &body.unwrap_or_default()));
        }
        Ok(Response {
            provider: self.0.provider,
            operation: request.operation,
            status,
            headers,
            body: body?,
        })
    }

    fn prepare(&self, request: &Request, url: Url) -> reqwest::RequestBuilder {
        let mut builder = self
            .0
            .http
            .request(request.method.clone(), url)
            .headers(self.0.auth.clone())
            .header(header::ACCEPT, request.accept);
        if let Some(token) = &request.token {
            builder = builder.bearer_auth(token.expose_secret());
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(body) = &request.body {
            builder = builder
                .header(header::CONTENT_TYPE, body.content_type)
                .body(body.bytes.clone());
        }
        builder
    }

    async fn read(&self, request: &Request, mut answer: reqwest::Response) -> Result<Bytes, ProviderError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| self.broken(request, error))?
        {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(self
                    .error(request, ErrorKind::UnexpectedAnswer)
                    .with_detail("the answer is larger than 16 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn refused(
        &self,
        request: &Request,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> ProviderError {
        let failure = (self.0.classifier)(status, headers, body);
        let kind = match failure.kind {
            // Whatever its body says, a server that failed may have acted.
            _ if status.is_server_error() => ErrorKind::ServerError,
            ErrorKind::RateLimited { retry_after: None } => ErrorKind::RateLimited {
                retry_after: retry::retry_after(headers, self.0.ambient.now()),
            },
            kind => kind,
        };
        let mut error = self.error(request, kind).with_detail(
            failure
                .detail
                .unwrap_or_else(|| format!("HTTP {}", status.as_u16())),
        );
        if let Some(id) = failure.request_id {
            error = error.with_request_id(id);
        }
        if let Some(source) = failure.source {
            error = error.with_source(source);
        }
        error
    }

    fn broken(&self, request: &Request, error: reqwest::Error) -> ProviderError {
        // A connect timeout is both: nothing was sent, so that is what counts.
        let kind = if error.is_connect() {
            ErrorKind::Unreachable
        } else if error.is_timeout() {
            ErrorKind::TimedOut
        } else {
            ErrorKind::Interrupted
        };
        self.error(request, kind).with_source(error.without_url())
    }

    fn error(&self, request: &Request, kind: ErrorKind) -> ProviderError {
        ProviderError::new(self.0.provider, request.operation, kind)
    }
}

/// A provider's answer with a 2xx status.
pub(crate) struct Response {
    provider: ProviderName,
    operation: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    /// Reads the body.
    ///
    /// # Errors
    /// `UnexpectedAnswer` when it is something else.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_json::from_slice(&self.body).map_err(|error| self.unexpected().with_source(error))
    }

    /// The body as text.
    ///
    /// # Errors
    /// `UnexpectedAnswer` when it is not UTF-8.
    pub(crate) fn text(&self) -> Result<String, ProviderError> {
        String::from_utf8(self.body.to_vec())
            .map_err(|error| self.unexpected().with_source(error.utf8_error()))
    }

    fn unexpected(&self) -> ProviderError {
        ProviderError::new(self.provider, self.operation, ErrorKind::UnexpectedAnswer)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status.as_u16())
            .field("headers", &redact::Headers(&self.headers))
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
