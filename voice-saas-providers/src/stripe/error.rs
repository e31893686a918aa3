//! What Stripe's refusals mean (pages `api/errors`, `error-low-level`, `rate-limits`, `error-codes`).

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use voice_saas_core::provider::{BoxError, ErrorKind, PaymentDecline};

use crate::http::{Failure, LastWord, without_numbers};

const LONGEST_DETAIL: usize = 300;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope {
    error: Refusal,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    r#type: Option<String>,
    code: Option<String>,
    decline_code: Option<String>,
    param: Option<String>,
    message: Option<String>,
}

/// Sorts a refusal by its code, and by its status where that says nothing. `Stripe-Should-Retry` decides whether the
/// same request is sent again, where it is present.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    // A gateway's 5xx may be HTML or nothing at all.
    let refusal = serde_json::from_slice::<Envelope>(body).unwrap_or_default().error;
    let again = header(headers, "stripe-should-retry");
    let kind = match again {
        // It did nothing, or recognises the repetition by its key.
        Some("true") if !status.is_server_error() => ErrorKind::RateLimited { retry_after: None },
        _ => kind(status, &refusal),
    };
    let source: Option<BoxError> = match again {
        _ if kind == ErrorKind::PaymentDeclined => Some(Box::new(decline(&refusal))),
        // Most replayed 500s; a plain rate limit too, after which one waits all the same.
        Some("false") if !matches!(kind, ErrorKind::RateLimited { .. }) => Some(Box::new(LastWord)),
        _ => None,
    };
    Failure {
        kind,
        detail: detail(&refusal),
        request_id: header(headers, "request-id").map(str::to_owned),
        source,
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn kind(status: StatusCode, refusal: &Refusal) -> ErrorKind {
    match refusal.code.as_deref() {
        Some("lock_timeout" | "rate_limit" | "idempotency_key_in_use") => {
            return ErrorKind::RateLimited { retry_after: None };
        }
        Some("resource_missing") => return ErrorKind::NotFound,
        Some(
            "resource_already_exists"
            | "status_transition_invalid"
            | "invalid_canceled_subscription_fields"
            | "subscription_update_trial_after_billing_cycle_anchor"
            | "invoice_not_editable",
        ) => return ErrorKind::Conflict,
        Some("customer_max_subscriptions") => return ErrorKind::QuotaExceeded,
        Some("livemode_mismatch" | "api_key_expired") => return ErrorKind::Unauthorized,
        _ => {}
    }
    match (status.as_u16(), refusal.r#type.as_deref()) {
        (402, _) | (_, Some("card_error")) => ErrorKind::PaymentDeclined,
        // The same key with other parameters.
        (_, Some("idempotency_error")) => ErrorKind::Conflict,
        // The key lacks a permission.
        (403, _) => ErrorKind::Unauthorized,
        // Somebody is at the same thing, or under the same key.
        (409, _) => ErrorKind::RateLimited { retry_after: None },
        // Something failed behind Stripe.
        (424, _) => ErrorKind::ServerError,
        _ => Failure::by_status(status).kind,
    }
}

fn decline(refusal: &Refusal) -> PaymentDecline {
    let code = [&refusal.decline_code, &refusal.code]
        .into_iter()
        .find_map(Clone::clone)
        .unwrap_or_else(|| "unknown".to_owned());
    let asks = |code: &str| code == "authentication_required" || code.ends_with("requires_action");
    let needs_customer = asks(&code)
        || refusal
            .code
            .as_deref()
            .is_some_and(|code| asks(code) || code == "payment_intent_action_required");
    PaymentDecline {
        code,
        // Stripe writes these for the customer's eyes.
        message: refusal.message.clone(),
        needs_customer,
    }
}

/// Messages quote what was wrong: no telephone number and no e-mail address shows.
fn detail(refusal: &Refusal) -> Option<String> {
    let code = refusal.code.as_deref().or(refusal.r#type.as_deref());
    let parts = [
        code,
        refusal.decline_code.as_deref(),
        refusal.param.as_deref(),
        refusal.message.as_deref(),
    ];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
    let words = text
        .split(' ')
        .map(|word| if word.contains('@') { "***" } else { word });
    let text = words.collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then(|| without_numbers(&text, LONGEST_DETAIL))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn classified(status: u16, again: Option<&str>, error: &Value) -> Failure {
        let mut headers = HeaderMap::new();
        headers.insert("request-id", "req_1".parse().unwrap());
        if let Some(again) = again {
            headers.insert("stripe-should-retry", again.parse().unwrap());
        }
        let body = json!({ "error": error }).to_string();
        classify(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    #[track_caller]
    fn check(status: u16, error: &Value, expected: ErrorKind) {
        let failure = classified(status, None, error);
        assert_eq!(failure.kind, expected, "{status} {error}");
        assert_eq!(failure.request_id.as_deref(), Some("req_1"));
    }

    const BUSY: ErrorKind = ErrorKind::RateLimited { retry_after: None };

    #[test]
    fn refusals_are_sorted_by_code_and_status() {
        let invalid = |code: &str| json!({"type": "invalid_request_error", "code": code});
        check(400, &invalid("parameter_missing"), ErrorKind::Invalid);
        check(400, &invalid("resource_missing"), ErrorKind::NotFound);
        check(400, &invalid("resource_already_exists"), ErrorKind::Conflict);
        check(400, &invalid("status_transition_invalid"), ErrorKind::Conflict);
        check(
            400,
            &invalid("customer_max_subscriptions"),
            ErrorKind::QuotaExceeded,
        );
        check(400, &json!({"type": "idempotency_error"}), ErrorKind::Conflict);
        check(
            401,
            &json!({"type": "invalid_request_error"}),
            ErrorKind::Unauthorized,
        );
        check(
            402,
            &json!({"type": "card_error", "code": "card_declined"}),
            ErrorKind::PaymentDeclined,
        );
        check(
            403,
            &json!({"type": "invalid_request_error"}),
            ErrorKind::Unauthorized,
        );
        check(404, &invalid("resource_missing"), ErrorKind::NotFound);
        check(409, &invalid("idempotency_key_in_use"), BUSY);
        check(424, &json!({"type": "api_error"}), ErrorKind::ServerError);
        check(429, &invalid("lock_timeout"), BUSY);
        check(429, &invalid("rate_limit"), BUSY);
        check(500, &json!({"type": "api_error"}), ErrorKind::ServerError);
        check(503, &json!(null), ErrorKind::ServerError);
    }

    #[test]
    fn a_declined_card_tells_why_and_whether_the_customer_could_help() {
        for (error, code, needs_customer) in [
            (
                json!({"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}),
                "insufficient_funds",
                false,
            ),
            (
                json!({"type": "card_error", "code": "expired_card"}),
                "expired_card",
                false,
            ),
            (
                json!({"type": "card_error", "code": "authentication_required"}),
                "authentication_required",
                true,
            ),
            (
                json!({"code": "subscription_payment_intent_requires_action"}),
                "subscription_payment_intent_requires_action",
                true,
            ),
            (json!({}), "unknown", false),
        ] {
            let source = classified(402, None, &error).source.expect("a source");
            let decline = source.downcast_ref::<PaymentDecline>().expect("a decline");
            assert_eq!((&*decline.code, decline.needs_customer), (code, needs_customer));
        }
    }

    #[test]
    fn stripe_says_itself_whether_to_send_again() {
        let error = json!({"type": "api_error"});
        let replayed = classified(500, Some("false"), &error);
        assert!(replayed.source.expect("a source").is::<LastWord>());
        assert!(classified(500, Some("true"), &error).source.is_none());
        assert_eq!(classified(400, Some("true"), &error).kind, BUSY);
        let limited = classified(429, Some("false"), &json!({"code": "rate_limit"}));
        assert!(limited.source.is_none());
    }

    #[test]
    fn a_detail_shows_neither_addresses_nor_numbers() {
        let error = json!({"type": "invalid_request_error", "code": "email_invalid", "param": "email",
            "message": "Invalid email address: ada@example.com or 15005550000"});
        assert_eq!(
            classified(400, None, &error).detail.as_deref(),
            Some("email_invalid: email: Invalid email address: *** or *******0000")
        );
        assert_eq!(classified(500, None, &json!(null)).detail, None);
    }
}
