//! What answers and refusals mean. Neither error codes nor an error's shape are documented, and refusals come with
//! status 200 too: an answer is a success only if what was asked for is in it.

use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use voice_saas_core::provider::{ErrorKind, ProviderError};

use super::NAME;
use crate::http::{Failure, Response, without_numbers};

const LONGEST_MESSAGE: usize = 300;
/// Keys are longer than this, and words are not.
const LONGEST_WORD: usize = 20;

/// Reads a refusal by its status, and by its words where the status says little.
pub(super) fn classify(status: StatusCode, _: &HeaderMap, body: &[u8]) -> Failure {
    let mut failure = Failure::by_status(status);
    // A proxy's refusal may be HTML or nothing at all.
    let message = serde_json::from_slice(body).ok().as_ref().and_then(message);
    if let Some(message) = &message
        && failure.kind == ErrorKind::Invalid
    {
        failure.kind = kind_of(message);
    }
    failure.detail = message;
    failure
}

/// Reads an answer that has one of these members.
///
/// # Errors
/// A refusal that is recognised as one is sorted by its words. Anything else is `UnexpectedAnswer`, after which one
/// looks before one acts again.
pub(super) fn read<T: DeserializeOwned>(
    operation: &'static str,
    answer: &Response,
    members: &[&str],
) -> Result<T, ProviderError> {
    let value: Value = answer.json()?;
    if !members
        .iter()
        .any(|member| value.get(member).is_some_and(|found| !found.is_null()))
    {
        return Err(refused(operation, &value));
    }
    serde_json::from_value(value)
        .map_err(|error| ProviderError::new(NAME, operation, ErrorKind::UnexpectedAnswer).with_source(error))
}

/// What an answer without the member that was asked for means.
pub(super) fn refused(operation: &'static str, value: &Value) -> ProviderError {
    let message = message(value);
    let kind = match &message {
        // A message alone may say anything, even that it was done.
        Some(message) if is_error(value) || kind_of(message) != ErrorKind::Invalid => kind_of(message),
        _ => ErrorKind::UnexpectedAnswer,
    };
    let error = ProviderError::new(NAME, operation, kind);
    match message {
        Some(message) => error.with_detail(message),
        None => error.with_detail("an answer that holds neither a success nor an error"),
    }
}

fn is_error(value: &Value) -> bool {
    ["error", "error_message", "errors"]
        .iter()
        .any(|name| value.get(name).is_some_and(|error| !error.is_null()))
}

/// What is said, without phone numbers and whatever may be a key.
fn message(value: &Value) -> Option<String> {
    let said = ["error", "error_message", "errors", "message", "detail"]
        .iter()
        .find_map(|name| value.get(name).filter(|said| !said.is_null()))?;
    let said = match said {
        Value::String(text) => text.clone(),
        Value::Object(error) => match error.get("message").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => said.to_string(),
        },
        other => other.to_string(),
    };
    Some(without_keys(&without_numbers(&said, LONGEST_MESSAGE)))
}

/// Hides runs of letters and digits that are too long to be words.
fn without_keys(message: &str) -> String {
    let in_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find(in_key) {
        let (before, run) = rest.split_at(start);
        let end = run.find(|c| !in_key(c)).unwrap_or(run.len());
        text.push_str(before);
        text.push_str(if end > LONGEST_WORD { "***" } else { &run[..end] });
        rest = &run[end..];
    }
    text + rest
}

fn kind_of(message: &str) -> ErrorKind {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&[
        "not available",
        "unavailable",
        "already allocated",
        "already taken",
        "already assigned",
    ]) {
        ErrorKind::NumberUnavailable
    } else if says(&["api key", "api-key", "credential", "unauthor", "authenticat"]) {
        ErrorKind::Unauthorized
    } else if says(&[
        "balance",
        "credit",
        "quota",
        "exhaust",
        "no slot",
        "plan has expired",
        "plan is expired",
    ]) {
        ErrorKind::QuotaExceeded
    } else if says(&["dnd", "not allowed", "permission", "forbidden"]) {
        ErrorKind::Forbidden
    } else if says(&["not found", "does not exist"]) {
        ErrorKind::NotFound
    } else {
        ErrorKind::Invalid
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use voice_saas_core::provider::Recovery;

    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, kind: ErrorKind, detail: Option<&str>) {
        let failure = classify(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            body.as_bytes(),
        );
        assert_eq!(
            (failure.kind, failure.detail.as_deref()),
            (kind, detail),
            "{body}"
        );
    }

    #[test]
    fn a_refusal_is_read_by_its_status_and_then_by_its_words() {
        check(401, "", ErrorKind::Unauthorized, None);
        check(502, "<html>Bad Gateway</html>", ErrorKind::ServerError, None);
        check(429, "{}", ErrorKind::RateLimited { retry_after: None }, None);
        check(
            400,
            r#"{"error": {"message": "Number +918040123456 is not available"}}"#,
            ErrorKind::NumberUnavailable,
            Some("Number +********3456 is not available"),
        );
        check(
            400,
            r#"{"message": "k_number is missing"}"#,
            ErrorKind::Invalid,
            Some("k_number is missing"),
        );
        check(
            403,
            r#"{"error": "no balance"}"#,
            ErrorKind::Forbidden,
            Some("no balance"),
        );
    }

    #[test]
    fn a_refusal_with_status_200_is_told_from_an_answer_that_nobody_knows() {
        let error = |value| refused("place a call", &value);
        let refusal = error(json!({"error": {"message": "insufficient balance"}}));
        assert_eq!(refusal.kind(), ErrorKind::QuotaExceeded);
        assert_eq!(error(json!({"error": {"code": 7}})).kind(), ErrorKind::Invalid);
        for unclear in [
            json!({}),
            json!({"message": "Request taken"}),
            json!([]),
            json!({"error": null}),
        ] {
            let error = error(unclear);
            assert_eq!(error.kind(), ErrorKind::UnexpectedAnswer);
            assert_eq!(error.recovery(), Recovery::Reconcile, "it may have acted");
        }
    }

    #[test]
    fn nothing_that_may_be_a_key_is_repeated() {
        let said = json!({"error": "bad key 0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f for Basic."});
        assert_eq!(message(&said).unwrap(), "bad key *** for Basic.");
        assert_eq!(without_keys("ä – short"), "ä – short");
    }
}
