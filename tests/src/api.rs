//! Talking to the service as any HTTP client would.

use reqwest::{
    Client, Method, RequestBuilder,
    header::{HeaderMap, HeaderName},
};
use serde_json::Value;
use url::Url;

/// A client of the service, perhaps with credentials.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    base: Url,
    bearer: Option<String>,
}

impl Api {
    pub(crate) fn new(base: Url) -> Self {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a plain client can be built");
        Self {
            client,
            base,
            bearer: None,
        }
    }

    /// The same client with this token or API key.
    #[must_use]
    pub fn with_bearer(&self, bearer: impl Into<String>) -> Self {
        Self {
            bearer: Some(bearer.into()),
            ..self.clone()
        }
    }

    /// Where a path of the service is.
    ///
    /// # Panics
    /// When it is not a path.
    pub fn url(&self, path: &str) -> Url {
        self.base
            .join(path)
            .expect("paths of the service are well-formed")
    }

    /// A request that is yet to be sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.url(path));
        match &self.bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        }
    }

    /// Sends a request, with this JSON body if there is one.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::of(request).await
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// `PUT`.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// `PATCH`.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// `POST` with an `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> Answer {
        let key_header = HeaderName::from_static("idempotency-key");
        Answer::of(
            self.request(Method::POST, path)
                .header(key_header, key)
                .json(body),
        )
        .await
    }
}

/// What the service answered. Every failure among them was a well-formed problem.
#[derive(Debug, Clone)]
pub struct Answer {
    what: String,
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    /// Sends the request and reads the whole answer.
    ///
    /// # Panics
    /// When there is no answer, or it is a failure without a problem that names a code and a request id.
    pub async fn of(request: RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.expect("the request is well-formed");
        let what = format!("{} {}", request.method(), request.url().path());
        let response = client
            .execute(request)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response
            .text()
            .await
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let answer = Self {
            what,
            status,
            headers,
            text,
        };
        if status >= 400 {
            answer.check_problem();
        }
        answer
    }

    fn check_problem(&self) {
        let Self {
            what, status, text, ..
        } = self;
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{what}: {status} {text}"
        );
        let problem = self.json();
        for member in ["type", "title", "code", "request_id"] {
            assert!(
                problem[member].as_str().is_some_and(|text| !text.is_empty()),
                "{what}: no {member} in {text}"
            );
        }
        assert_eq!(problem["status"], *status, "{what}: {text}");
        assert_ne!(*status, 500, "{what}: {text}");
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body as it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body; `null` when there is none.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}: not JSON: {}", self.what, self.text))
    }

    /// The body of an answer with this status.
    ///
    /// # Panics
    /// When the status is another.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text);
        self.json()
    }

    /// The problem of a failure with this status and code.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.ok(status);
        assert_eq!(problem["code"], code, "{}: {}", self.what, self.text);
        problem
    }

    /// The one wrong field of a 422, as its pointer and code.
    ///
    /// # Panics
    /// When the answer is another.
    #[track_caller]
    pub fn wrong_field(&self) -> (String, String) {
        let problem = self.problem(422, "invalid_request");
        let errors = problem["errors"].as_array().expect("errors are listed");
        assert_eq!(errors.len(), 1, "{problem}");
        let text = |name: &str| errors[0][name].as_str().unwrap_or_default().to_owned();
        (text("pointer"), text("code"))
    }
}
