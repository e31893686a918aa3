//! Request bodies: read whole, within limits, and refused with a problem that says which field is wrong.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{
        DefaultBodyLimit, FromRef, FromRequest, Request,
        rejection::{BytesRejection, FailedToBufferBody},
    },
    http::{HeaderMap, StatusCode, header},
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::Segment;

use crate::{ApiState, Problem};

/// A client that takes longer to send its body holds a connection for nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A JSON body. Unknown fields are an error of `T`'s own making (`deny_unknown_fields`).
pub(crate) struct Json<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    ApiState: FromRef<S>,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let limit = ApiState::from_ref(state).body_limit();
        let headers = request.headers().clone();
        let body = read_body(request, limit).await?;
        parse(&headers, &body).map(Self)
    }
}

/// The raw body, if it is not larger than `limit`.
pub(crate) async fn read_body(mut request: Request, limit: usize) -> Result<Bytes, Problem> {
    DefaultBodyLimit::max(limit).apply(&mut request);
    match tokio::time::timeout(PATIENCE, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)))) => {
            Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body must not be larger than {limit} bytes"),
            ))
        }
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_body",
            "the body broke off",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the body did not come in time",
        )),
    }
}

/// Reads a JSON body. No body at all is an empty object, for requests whose fields are all optional.
pub(crate) fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or(""));
    let body = match content_type {
        None if body.is_empty() => b"{}",
        Some(text) if is_json(text) => body,
        _ => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be JSON, with the content type application/json",
            ));
        }
    };
    let malformed = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail);
    let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
    // Serde would take an array for a struct, field by field.
    let is_object = text.trim_start().starts_with('{');
    if !is_object && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Err(Problem::field("", "object", "must be an object"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        if error.is_data() {
            field_problem(&pointer, &error.to_string())
        } else {
            malformed(&format!("the body is not JSON: {error}"))
        }
    })?;
    deserializer
        .end()
        .map_err(|error| malformed(&format!("the body is not one JSON value: {error}")))?;
    if has_nul(text) {
        // Databases cannot keep it, and no language needs it.
        return Err(Problem::field("", "nul", "must not contain the character U+0000"));
    }
    Ok(value)
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Whether any string of this JSON text spells U+0000. Raw, it is a syntax error already.
fn has_nul(json: &str) -> bool {
    json.match_indices("\\u0000").any(|(at, _)| {
        let backslashes = json[..at].bytes().rev().take_while(|b| *b == b'\\').count();
        backslashes % 2 == 0
    })
}

/// What serde has against a field, as a problem.
pub(crate) fn field_problem(pointer: &str, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or(message);
    let named = |prefix: &str| message.strip_prefix(prefix)?.split('`').next();
    if let Some(name) = named("unknown field `") {
        // Depending on the reader, the path ends with the unknown name or before it.
        let name = escape(name);
        let parent = pointer.strip_suffix(&format!("/{name}")).unwrap_or(pointer);
        return Problem::field(
            format!("{parent}/{name}"),
            "unknown_field",
            "there is no such field",
        );
    }
    if let Some(name) = named("missing field `") {
        return Problem::field(format!("{pointer}/{}", escape(name)), "required", "must be given");
    }
    if let Some(name) = named("duplicate field `") {
        return Problem::field(
            format!("{pointer}/{}", escape(name)),
            "duplicate",
            "must be given once",
        );
    }
    Problem::field(pointer, "invalid", message)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use std::fmt::Write;

    let mut pointer = String::new();
    for segment in path {
        let written = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } => write!(pointer, "/{}", escape(key)),
            Segment::Enum { variant } => write!(pointer, "/{}", escape(variant)),
            Segment::Unknown => Ok(()),
        };
        // Writing to a string cannot fail.
        let _ = written;
    }
    pointer
}

/// RFC 6901.
fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        name: String,
        #[serde(default)]
        lines: Vec<Line>,
        #[serde(default)]
        notes: BTreeMap<String, u8>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        count: u8,
    }

    fn read(content_type: Option<&str>, body: &[u8]) -> Result<Order, (u16, String)> {
        let mut headers = HeaderMap::new();
        if let Some(text) = content_type {
            headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
        }
        parse(&headers, body).map_err(|problem| {
            let body: serde_json::Value = serde_json::from_slice(&problem.body()).unwrap();
            let first = &body["errors"][0];
            let about = match first["pointer"].as_str() {
                Some(pointer) => format!("{pointer} {}", first["code"].as_str().unwrap()),
                None => problem.code().to_owned(),
            };
            (problem.status().as_u16(), about)
        })
    }

    #[track_caller]
    fn check(body: &str, status: u16, about: &str) {
        assert_eq!(
            read(Some("application/json"), body.as_bytes()).unwrap_err(),
            (status, about.to_owned())
        );
    }

    #[test]
    fn a_wrong_field_is_named_by_its_pointer() {
        check(r#"{"name":"a","nmae":1}"#, 422, "/nmae unknown_field");
        check(
            r#"{"name":"a","lines":[{"count":1},{"cuont":1}]}"#,
            422,
            "/lines/1/cuont unknown_field",
        );
        check(r#"{"name":"a","lines":[{}]}"#, 422, "/lines/0/count required");
        check(
            r#"{"name":"a","lines":[{"count":300}]}"#,
            422,
            "/lines/0/count invalid",
        );
        check(r#"{"name":"a","notes":{"a/b":"x"}}"#, 422, "/notes/a~1b invalid");
        check("{}", 422, "/name required");
        check(r#"{"name":"a","name":"b"}"#, 422, "/name duplicate");
        check(r#"["a",[],{}]"#, 422, " object");
        check("7", 422, " object");
    }

    #[test]
    fn what_is_not_json_is_no_field_error() {
        check("", 400, "malformed_json");
        check("{", 400, "malformed_json");
        check(r#"{"name":"a"} {}"#, 400, "malformed_json");
        assert_eq!(
            read(Some("application/json"), b"{\"name\":\"\xff\"}")
                .unwrap_err()
                .0,
            400
        );
    }

    #[test]
    fn a_nul_character_is_refused_and_a_text_about_it_is_not() {
        check(r#"{"name":"a\u0000"}"#, 422, " nul");
        assert!(read(Some("application/json"), br#"{"name":"write \\u0000"}"#).is_ok());
    }

    #[test]
    fn a_body_that_is_not_called_json_is_refused() {
        for other in ["text/plain", "application/x-www-form-urlencoded", ""] {
            assert_eq!(read(Some(other), b"{}").unwrap_err().0, 415, "{other}");
        }
        assert_eq!(read(None, b"{}").unwrap_err().0, 415);
        assert!(read(Some("application/json; charset=utf-8"), br#"{"name":"a"}"#).is_ok());
        assert!(read(Some("application/vnd.api+json"), br#"{"name":"a"}"#).is_ok());
        assert_eq!(read(None, b"").unwrap_err(), (422, "/name required".to_owned()));
    }
}
