//! Talking to the server and to the emulator as any HTTP client would.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;
use url::Url;

/// Longer than any request may take: a provider's client gives up after 30 s, and tries some requests again.
const LONGEST_REQUEST: Duration = Duration::from_secs(100);

/// A client, perhaps with credentials.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    base: Url,
    bearer: Option<String>,
}

/// A request that is yet to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
    /// Whether an operator asks, and no tenant.
    pub(crate) by_operator: bool,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, Value::Null)
    }

    pub(crate) fn post(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::POST, path, body)
    }

    /// The same, asked by an operator.
    pub(crate) fn by_operator(self) -> Self {
        Self {
            by_operator: true,
            ..self
        }
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path, Value::Null)
    }

    fn new(method: Method, path: impl Into<String>, body: Value) -> Self {
        Self {
            method,
            path: path.into(),
            body,
            by_operator: false,
        }
    }
}

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a success.
    pub(crate) fn ok(self) -> Result<Value, String> {
        if (200..300).contains(&self.status) {
            Ok(self.body)
        } else {
            Err(format!("{} {}", self.status, self.body))
        }
    }

    /// The status, and the code of a failure; every failure has one.
    pub(crate) fn typed(&self) -> Result<String, String> {
        match (self.status, self.body["code"].as_str()) {
            (200..300, _) => Ok(self.status.to_string()),
            (status, Some(code)) if status != 500 => Ok(format!("{status} {code}")),
            _ => Err(format!("UNTYPED ANSWER: {} {}", self.status, self.body)),
        }
    }
}

impl Api {
    pub(crate) fn new(base: Url) -> Self {
        let client = Client::builder()
            .no_proxy()
            .timeout(LONGEST_REQUEST)
            .build()
            .expect("a plain client can be built");
        Self {
            client,
            base,
            bearer: None,
        }
    }

    pub(crate) fn with_bearer(&self, bearer: &str) -> Self {
        Self {
            bearer: Some(bearer.to_owned()),
            ..self.clone()
        }
    }

    /// The same person at another address.
    pub(crate) fn at(&self, base: &Self) -> Self {
        Self {
            bearer: self.bearer.clone(),
            ..base.clone()
        }
    }

    /// Sends a request; the error is that no answer came.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, String> {
        let url = self.base.join(&call.path).expect("paths are well-formed");
        let mut request = self.client.request(call.method.clone(), url);
        if let Some(bearer) = &self.bearer {
            request = request.bearer_auth(bearer);
        }
        if !call.body.is_null() {
            request = request.json(&call.body);
        }
        let what = format!("{} {}", call.method, call.path);
        self.answer(request, &what).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder, what: &str) -> Result<Answer, String> {
        let request = request.build().expect("the request is well-formed");
        let lost = |error: reqwest::Error| format!("{what}: no answer: {error:?}");
        let answer = self.client.execute(request).await.map_err(lost)?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(lost)?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Ok(Answer { status, body })
    }

    /// Sends a form, as one who has a name and a password.
    pub(crate) async fn post_form(
        &self,
        path: &str,
        (name, password): (&str, &str),
        form: &[(&str, &str)],
    ) -> Result<Value, String> {
        let url = self.base.join(path).expect("paths are well-formed");
        let request = self.client.post(url).basic_auth(name, Some(password)).form(form);
        let answer = self.answer(request, path).await?.ok();
        answer.map_err(|error| format!("POST {path}: {error}"))
    }

    /// The body of a successful request.
    pub(crate) async fn ask(&self, call: &Call) -> Result<Value, String> {
        let answer = self.send(call).await?.ok();
        answer.map_err(|error| format!("{} {}: {error}", call.method, call.path))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, String> {
        self.ask(&Call::get(path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.ask(&Call::post(path, body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, String> {
        self.ask(&Call::delete(path)).await
    }

    /// Whether the tenant was closed: nobody can log in any more.
    pub(crate) async fn is_gone(&self) -> Result<bool, String> {
        Ok(self.send(&Call::get("/v1/tenant")).await?.status == 401)
    }

    /// The entries of a list's first page.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, String> {
        let listed = self.get(path).await?;
        let data = listed["data"].as_array().cloned();
        data.ok_or_else(|| format!("{path} is no list: {listed}"))
    }
}

/// The text of a field.
pub(crate) fn text(value: &Value, field: &str) -> Result<String, String> {
    let text = value[field].as_str();
    text.map(str::to_owned)
        .ok_or_else(|| format!("no text {field} in {value}"))
}
