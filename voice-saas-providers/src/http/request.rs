//! One request to a provider, before it is sent.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use url::form_urlencoded;
use voice_saas_core::secret::SecretString;

use super::{
    redact,
    retry::{Effect, RetryPolicy},
};

/// What a request carries.
pub(super) struct Body {
    pub(super) content_type: &'static str,
    pub(super) bytes: Bytes,
}

/// A request. The operation completes "could not …" in errors and logs.
pub(crate) struct Request {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Body>,
    pub(super) accept: &'static str,
    pub(super) effect: Effect,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) token: Option<SecretString>,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Request {
    /// Reads. `path` begins with a slash, or is an absolute URL on the provider's host, as in a list's link to its
    /// next page.
    pub(crate) fn get(operation: &'static str, path: impl Into<String>) -> Self {
        Self::new(operation, Method::GET, path, Effect::Read)
    }

    /// Acts, and would act again if it were sent again.
    pub(crate) fn post(operation: &'static str, path: impl Into<String>) -> Self {
        Self::new(operation, Method::POST, path, Effect::Once)
    }

    /// Names the wanted state.
    pub(crate) fn patch(operation: &'static str, path: impl Into<String>) -> Self {
        Self::new(operation, Method::PATCH, path, Effect::Keyed)
    }

    /// Names the wanted state.
    pub(crate) fn put(operation: &'static str, path: impl Into<String>) -> Self {
        Self::new(operation, Method::PUT, path, Effect::Keyed)
    }

    /// Takes away what is gone already when it is sent again.
    pub(crate) fn delete(operation: &'static str, path: impl Into<String>) -> Self {
        Self::new(operation, Method::DELETE, path, Effect::Read)
    }

    fn new(operation: &'static str, method: Method, path: impl Into<String>, effect: Effect) -> Self {
        Self {
            operation,
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            accept: "application/json",
            effect,
            timeout: None,
            retry: None,
            token: None,
            headers: Vec::new(),
        }
    }

    /// Adds a query parameter.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass numbers, texts and references alike"
    )]
    pub(crate) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Carries a form. A list is a name that repeats.
    pub(crate) fn form(mut self, fields: Vec<(&'static str, String)>) -> Self {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.body = Some(Body {
            content_type: "application/x-www-form-urlencoded",
            bytes: form.into(),
        });
        self
    }

    /// Carries JSON.
    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        let json = serde_json::to_vec(body).expect("request types are structs with text keys");
        self.body = Some(Body {
            content_type: "application/json",
            bytes: json.into(),
        });
        self
    }

    /// Carries these bytes.
    pub(crate) fn bytes(mut self, content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        self.body = Some(Body {
            content_type,
            bytes: bytes.into(),
        });
        self
    }

    /// Asks for another media type than JSON.
    pub(crate) fn accept(mut self, media_type: &'static str) -> Self {
        self.accept = media_type;
        self
    }

    /// What sending it twice would do, where the method alone does not say.
    pub(crate) fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// How long each attempt may take, where the client's own limit does not fit.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// When it is sent again, where the client's own policy does not fit.
    pub(crate) fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Adds a header of the provider's own, in lower case. Holds no secret.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Proves who sends it with a token of its own (RFC 6750), beside the client's credentials.
    pub(crate) fn bearer(mut self, token: SecretString) -> Self {
        self.token = Some(token);
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A link to a next page carries its query in the path.
        let path = self.path.split_once('?').map_or(&*self.path, |(path, _)| path);
        f.debug_struct("Request")
            .field("operation", &self.operation)
            .field("method", &self.method)
            .field("path", &path)
            .field("query", &redact::Query(&self.query))
            .field(
                "body_bytes",
                &self.body.as_ref().map_or(0, |body| body.bytes.len()),
            )
            .field("effect", &self.effect)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_know_what_a_repetition_does() {
        assert_eq!(Request::get("x", "/").effect, Effect::Read);
        assert_eq!(Request::delete("x", "/").effect, Effect::Read);
        assert_eq!(Request::patch("x", "/").effect, Effect::Keyed);
        assert_eq!(Request::put("x", "/").effect, Effect::Keyed);
        assert_eq!(Request::post("x", "/").effect, Effect::Once);
    }

    #[test]
    fn a_request_prints_neither_its_body_nor_its_parameters() {
        let request = Request::post("x", "/a?PageToken=hunter2")
            .query("To", "hunter2")
            .form(vec![("Token", "hunter2".to_owned())]);
        let printed = format!("{request:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("body_bytes: 13"), "{printed}");
    }

    #[test]
    fn a_form_escapes_names_and_values_and_repeats_lists() {
        let request = Request::post("x", "/").form(vec![
            ("Event", "a b".to_owned()),
            ("Event", "c&d".to_owned()),
            ("To", "+1".to_owned()),
        ]);
        assert_eq!(&request.body.unwrap().bytes[..], b"Event=a+b&Event=c%26d&To=%2B1");
    }
}
