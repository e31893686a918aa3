//! What ElevenLabs' refusals mean.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, de::IgnoredAny};
use voice_saas_core::provider::ErrorKind;

use crate::http::Failure;

#[derive(Deserialize)]
struct Envelope {
    detail: Detail,
}

/// The current form is an object; schema errors (422) are a list; old paths send a bare text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Detail {
    Object(ObjectDetail),
    Fields(Vec<FieldError>),
    Text(String),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct ObjectDetail {
    code: Option<String>,
    /// The former name of `code`.
    status: Option<String>,
    message: Option<String>,
    param: Option<String>,
    request_id: Option<String>,
}

/// The rejected value itself (`input`) is left out: it may be a prompt or a secret.
#[derive(Deserialize)]
struct FieldError {
    #[serde(default)]
    loc: Vec<serde_json::Value>,
    #[serde(default)]
    msg: String,
}

/// Sorts a refusal by its HTTP status and by the code in its body.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let detail = serde_json::from_slice(body)
        .ok()
        .map(|envelope: Envelope| envelope.detail);
    let (code, text, request_id) = match detail {
        Some(Detail::Object(object)) => {
            let code = object.code.or(object.status);
            let text = [
                code.as_deref(),
                object.param.as_deref(),
                object.message.as_deref(),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(": ");
            (code, Some(text), object.request_id)
        }
        Some(Detail::Fields(fields)) => (None, Some(describe(&fields)), None),
        Some(Detail::Text(text)) => (None, Some(text), None),
        Some(Detail::Other(_)) | None => (None, None, None),
    };
    Failure {
        kind: kind(status, code.as_deref(), headers),
        detail: text.filter(|text| !text.is_empty()).map(shortened),
        request_id,
        source: None,
    }
}

/// The status says most; only these codes say something else than their status does.
fn kind(status: StatusCode, code: Option<&str>, headers: &HeaderMap) -> ErrorKind {
    match code {
        // `quota_exceeded` came as 401 before 402 was used.
        Some("quota_exceeded" | "insufficient_credits") => ErrorKind::QuotaExceeded,
        // 403, but it is the key that lacks a permission, not the account.
        Some("insufficient_permissions") => ErrorKind::Unauthorized,
        _ => match Failure::by_status(status).kind {
            ErrorKind::RateLimited { .. } => ErrorKind::RateLimited {
                retry_after: retry_after_ms(headers),
            },
            kind => kind,
        },
    }
}

/// ElevenLabs' own header, more exact than `Retry-After`, which the client reads when this one is absent.
fn retry_after_ms(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after-ms")?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_millis)
}

fn describe(fields: &[FieldError]) -> String {
    fields
        .iter()
        .map(|field| {
            let path = field
                .loc
                .iter()
                .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(".");
            format!("{path}: {}", field.msg)
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// Error texts can quote whole prompts; an operator needs their beginning.
pub(super) fn shortened(mut text: String) -> String {
    const LONGEST: usize = 300;
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn classified(status: u16, body: &Value) -> Failure {
        classify(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            body.to_string().as_bytes(),
        )
    }

    #[track_caller]
    fn check(status: u16, code: &str, expected: ErrorKind) {
        let current = json!({"detail": {"type": "x", "code": code, "message": "m"}});
        let legacy = json!({"detail": {"status": code, "message": "m"}});
        for body in [current, legacy] {
            assert_eq!(classified(status, &body).kind, expected, "{status} {body}");
        }
    }

    #[test]
    fn refusals_are_sorted_by_status_and_code() {
        check(400, "invalid_parameters", ErrorKind::Invalid);
        check(401, "invalid_api_key", ErrorKind::Unauthorized);
        check(401, "quota_exceeded", ErrorKind::QuotaExceeded);
        check(402, "insufficient_credits", ErrorKind::QuotaExceeded);
        check(403, "insufficient_permissions", ErrorKind::Unauthorized);
        check(403, "feature_not_available", ErrorKind::Forbidden);
        check(404, "agent_not_found", ErrorKind::NotFound);
        check(409, "resource_already_exists", ErrorKind::Conflict);
        check(
            429,
            "concurrent_limit_exceeded",
            ErrorKind::RateLimited { retry_after: None },
        );
        check(500, "internal_error", ErrorKind::ServerError);
        check(503, "service_unavailable", ErrorKind::ServerError);
        check(418, "something_new", ErrorKind::Invalid);
        check(302, "moved", ErrorKind::UnexpectedAnswer);
    }

    #[test]
    fn a_rate_limit_hands_on_the_wait_in_milliseconds() {
        for (value, expected) in [("250", Some(Duration::from_millis(250))), ("soon", None)] {
            let headers = HeaderMap::from_iter([("retry-after-ms".parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(
                classify(StatusCode::TOO_MANY_REQUESTS, &headers, b"").kind,
                ErrorKind::RateLimited {
                    retry_after: expected
                }
            );
        }
    }

    #[test]
    fn the_detail_is_read_in_all_its_forms() {
        let object = json!({"detail": {"code": "agent_not_found", "message": "no such agent",
            "param": "agent_id", "request_id": "r1"}});
        let failure = classified(404, &object);
        assert_eq!(
            failure.detail.as_deref(),
            Some("agent_not_found: agent_id: no such agent")
        );
        assert_eq!(failure.request_id.as_deref(), Some("r1"));

        let list = json!({"detail": [{"loc": ["body", "tags", 0], "msg": "bad", "input": "secret"}]});
        assert_eq!(classified(422, &list).detail.as_deref(), Some("body.tags.0: bad"));
        assert_eq!(
            classified(404, &json!({"detail": "Not Found"})).detail.as_deref(),
            Some("Not Found")
        );
        for other in [json!({"detail": 7}), json!({}), json!("text")] {
            assert_eq!(classified(500, &other).detail, None, "{other}");
        }
    }

    #[test]
    fn a_long_text_keeps_its_beginning() {
        let long = "é".repeat(500);
        assert_eq!(shortened(long).chars().count(), 301);
        assert_eq!(shortened("short".to_owned()), "short");
    }
}
