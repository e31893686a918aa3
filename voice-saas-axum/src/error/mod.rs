//! What goes wrong, as RFC 9457 `application/problem+json`.

mod mapping;

use std::{error::Error, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use voice_saas_core::validate::FieldError;

use crate::trace;

/// The media type of problems.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request got no answer, ready to be sent.
///
/// ```
/// use axum::http::StatusCode;
/// use voice_saas_axum::Problem;
///
/// let problem = Problem::new(StatusCode::CONFLICT, "table_taken", "the table is taken").with_member("next_free", "19:30");
/// assert_eq!(problem.code(), "table_taken");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// `code` is a stable word for programs, `detail` a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            retry_after: None,
        }
    }

    /// Adds a member of its own to the body.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable word.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Nothing is there, or nothing of the caller's own.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing here")
    }

    /// No credentials, or none that are good.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "the credentials are missing, wrong or expired",
        )
    }

    /// A field cannot be accepted.
    pub(crate) fn field(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        voice_saas_core::validate::Invalid::field(pointer, code, detail).into()
    }

    /// Something that callers can do nothing about. The chain of causes goes to the log and nowhere else.
    pub(crate) fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %Chain(error), "a request failed");
        Self::blank()
    }

    /// A failure of which the caller learns nothing.
    pub(crate) fn blank() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "")
    }

    /// The JSON body.
    pub(crate) fn body(&self) -> Vec<u8> {
        let body = ProblemBody {
            kind: format!("urn:voice-saas:problem:{}", self.code),
            title: title(self.code),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            request_id: trace::request_id(),
            errors: self.errors.iter().map(ProblemField::from).collect(),
            members: self.members.clone(),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, [(header::CONTENT_TYPE, PROBLEM_JSON)], self.body()).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            // Rounded up: who comes back a moment too early is refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        response
    }
}

/// What a problem looks like (RFC 9457). Some codes add members of their own, such as `nearby_area_codes` or
/// `safe_to_retry`.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// The kind of problem, as a URI.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem, for people.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time, for people.
    detail: String,
    /// The kind of problem, for programs; stable.
    #[schema(example = "number_unavailable")]
    code: String,
    /// What support will ask for.
    #[schema(value_type = Option<String>)]
    request_id: Option<std::sync::Arc<str>>,
    /// Which fields cannot be accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemField>,
    #[serde(flatten)]
    #[schema(ignore)]
    members: Map<String, Value>,
}

/// A field that cannot be accepted.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProblemField {
    /// Which: a JSON pointer into the body, or the name of a query parameter after a slash.
    #[schema(example = "/email")]
    pointer: String,
    /// Why, for programs.
    code: String,
    /// Why, for people.
    detail: String,
}

impl From<&FieldError> for ProblemField {
    fn from(error: &FieldError) -> Self {
        Self {
            pointer: error.pointer.clone(),
            code: error.code.to_owned(),
            detail: error.detail.clone(),
        }
    }
}

/// `number_unavailable` → `Number unavailable`.
fn title(code: &str) -> String {
    let mut title = code.replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

/// An error and all its causes in one line.
struct Chain<'a>(&'a (dyn Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.body()).unwrap()
    }

    #[test]
    fn a_problem_has_the_members_of_rfc_9457_and_ours() {
        let problem = Problem::field("/email", "email", "must be an email address").with_member("hint", "x");
        let expected = json!({
            "type": "urn:voice-saas:problem:invalid_request",
            "title": "Invalid request",
            "status": 422,
            "detail": "the request cannot be accepted",
            "code": "invalid_request",
            "request_id": null,
            "errors": [{ "pointer": "/email", "code": "email", "detail": "must be an email address" }],
            "hint": "x",
        });
        assert_eq!(body(&problem), expected);
    }

    #[test]
    fn the_causes_of_a_failure_stay_inside() {
        let error = std::io::Error::other("password=hunter2");
        let problem = Problem::internal(&error);
        assert_eq!(body(&problem)["detail"], "");
        assert!(!String::from_utf8(problem.body()).unwrap().contains("hunter2"));
        assert_eq!(Chain(&error).to_string(), "password=hunter2");
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let problem = Problem::unauthenticated().with_retry_after(Duration::from_millis(1_200));
        let response = problem.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }
}
