//! What Twilio's refusals mean (pages `api/errors` and `usage/twilios-response`).

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use voice_saas_core::provider::ErrorKind;

use super::wire::Scalar;
use crate::http::Failure;

/// Both shapes at once: Twilio's own (`code`, `message`) and the problem document of RFC 9457 (`code`, `detail`,
/// `title`) that newer services send.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: Scalar,
    message: Scalar,
    detail: Scalar,
    title: Scalar,
}

/// Sorts a refusal by the code in its body, and by its status where that says nothing.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    // A 5xx may be HTML or nothing at all.
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let code = refusal.code.text();
    let mut failure = Failure::by_status(status);
    if let Some(kind) = code.as_deref().and_then(|code| code.parse().ok()).and_then(kind) {
        failure.kind = kind;
    }
    let message = [refusal.message, refusal.detail, refusal.title]
        .into_iter()
        .find_map(Scalar::text);
    failure.detail = match (code, message) {
        (Some(code), Some(message)) => Some(format!("{code}: {}", without_numbers(&message))),
        (code, message) => code.or(message.map(|message| without_numbers(&message))),
    };
    failure.request_id = headers
        .get("twilio-request-id")
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    failure
}

/// The codes whose status (mostly 400) says too little. Twilio adds codes without notice.
fn kind(code: u32) -> Option<ErrorKind> {
    let kind = match code {
        20003 => ErrorKind::Unauthorized,
        20404 => ErrorKind::NotFound,
        20429 | 21611 => ErrorKind::RateLimited { retry_after: None },
        // 21220: the call is not in progress. 21248: the trunk's domain is taken. 22137: a port is under way.
        21220 | 21248 | 22137 => ErrorKind::Conflict,
        // The account is suspended; or not allowed to call or text there, by its settings, its trial, or the person
        // called.
        20005 | 21215 | 21216 | 21404 | 21408 | 21608 | 21610 => ErrorKind::Forbidden,
        21422 => ErrorKind::NumberUnavailable,
        21452 => ErrorKind::NoInventory,
        // An address or papers; the last two, of a port.
        21613 | 21615 | 21631 | 21649 | 21651 | 22170 | 22173 => ErrorKind::RequirementsMissing,
        // 21240: a list of SIP credentials, or what is in it.
        21205 | 21210..=21212 | 21214 | 21217 | 21240 | 21421 | 21606 | 21612 | 21614 | 21626 | 70001 => {
            ErrorKind::Invalid
        }
        _ => return None,
    };
    Some(kind)
}

/// Twilio's messages quote phone numbers, and logs show none in full: all but the last four digits of a long run
/// become `*`.
fn without_numbers(message: &str) -> String {
    const LONGEST: usize = 300;
    let mut text: Vec<char> = message.chars().take(LONGEST).collect();
    for run in text.chunk_by_mut(|a, b| a.is_ascii_digit() && b.is_ascii_digit()) {
        if run.len() >= 7 {
            let hidden = run.len() - 4;
            run[..hidden].fill('*');
        }
    }
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn classified(status: u16, body: &str) -> Failure {
        let mut headers = HeaderMap::new();
        headers.insert("Twilio-Request-Id", "RQ1".parse().unwrap());
        classify(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    /// In both shapes, and with the code as a text.
    #[track_caller]
    fn check(status: u16, code: u32, expected: ErrorKind) {
        for body in [
            json!({"code": code, "message": "m", "more_info": "https://x", "status": status}),
            json!({"code": code.to_string(), "title": "t", "detail": "m", "errors": [{"pointer": "#/a"}]}),
        ] {
            let failure = classified(status, &body.to_string());
            assert_eq!(failure.kind, expected, "{body}");
            assert_eq!(failure.detail, Some(format!("{code}: m")));
            assert_eq!(failure.request_id.as_deref(), Some("RQ1"));
        }
    }

    #[test]
    fn refusals_are_sorted_by_their_code() {
        check(401, 20003, ErrorKind::Unauthorized);
        check(401, 20005, ErrorKind::Forbidden);
        check(404, 20404, ErrorKind::NotFound);
        check(429, 20429, ErrorKind::RateLimited { retry_after: None });
        check(400, 21205, ErrorKind::Invalid);
        check(400, 21210, ErrorKind::Invalid);
        check(400, 21212, ErrorKind::Invalid);
        check(400, 21214, ErrorKind::Invalid);
        check(400, 21215, ErrorKind::Forbidden);
        check(400, 21216, ErrorKind::Forbidden);
        check(400, 21217, ErrorKind::Invalid);
        check(400, 21220, ErrorKind::Conflict);
        check(400, 21404, ErrorKind::Forbidden);
        check(400, 21421, ErrorKind::Invalid);
        check(400, 21422, ErrorKind::NumberUnavailable);
        check(400, 21452, ErrorKind::NoInventory);
        check(400, 21610, ErrorKind::Forbidden);
        check(400, 21611, ErrorKind::RateLimited { retry_after: None });
        check(400, 21615, ErrorKind::RequirementsMissing);
        check(400, 21631, ErrorKind::RequirementsMissing);
        check(400, 21649, ErrorKind::RequirementsMissing);
        check(400, 21613, ErrorKind::RequirementsMissing);
        check(400, 22170, ErrorKind::RequirementsMissing);
        check(400, 21248, ErrorKind::Conflict);
        check(400, 21240, ErrorKind::Invalid);
        check(400, 22137, ErrorKind::Conflict);
    }

    #[test]
    fn a_code_that_is_not_known_leaves_the_word_to_the_status() {
        check(400, 29999, ErrorKind::Invalid);
        check(403, 29999, ErrorKind::Forbidden);
        check(429, 29999, ErrorKind::RateLimited { retry_after: None });
        check(503, 29999, ErrorKind::ServerError);
    }

    #[test]
    fn a_body_of_another_shape_leaves_the_word_to_the_status() {
        for body in [
            "",
            "<html>Bad Gateway</html>",
            "[]",
            "7",
            r#"{"code":null}"#,
            r#"{"code":{}}"#,
        ] {
            let failure = classified(502, body);
            assert_eq!(failure.kind, ErrorKind::ServerError, "{body}");
            assert_eq!(failure.detail, None, "{body}");
            assert_eq!(classified(401, body).kind, ErrorKind::Unauthorized, "{body}");
        }
    }

    #[test]
    fn no_phone_number_shows_in_full() {
        let body: Value = json!({"code": 21422, "message": "+15005550000 is not available"});
        let detail = classified(400, &body.to_string()).detail;
        assert_eq!(detail.as_deref(), Some("21422: +*******0000 is not available"));
        assert_eq!(without_numbers(&"x".repeat(999)).len(), 300);
    }
}
