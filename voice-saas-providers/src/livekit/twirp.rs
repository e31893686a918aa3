//! Twirp: protobuf messages over POST, and what refusals mean (page `reference/server/server-apis`).

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode};
use prost::Message;
use serde::Deserialize;
use voice_saas_core::provider::{ErrorKind, ProviderError};

use super::{
    NAME,
    token::{Grant, Keys},
};
use crate::http::{Client, Effect, Failure, Request, without_numbers};

const PROTOBUF: &str = "application/protobuf";
const LONGEST_DETAIL: usize = 300;

/// A method of LiveKit's API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rpc {
    /// Completes "could not …".
    pub(super) operation: &'static str,
    /// Service and method below `/twirp/livekit.`.
    path: &'static str,
    effect: Effect,
}

impl Rpc {
    pub(super) const fn new(operation: &'static str, path: &'static str, effect: Effect) -> Self {
        Self {
            operation,
            path,
            effect,
        }
    }

    /// An error that the adapter itself finds.
    pub(super) fn error(&self, kind: ErrorKind, detail: impl Into<String>) -> ProviderError {
        ProviderError::new(NAME, self.operation, kind).with_detail(detail)
    }
}

/// LiveKit's API, asked as one project.
#[derive(Debug, Clone)]
pub(super) struct Twirp {
    pub(super) client: Client,
    pub(super) keys: Keys,
}

impl Twirp {
    /// Asks, and reads the answer.
    pub(super) async fn call<A: Message + Default>(
        &self,
        rpc: Rpc,
        grant: Grant<'_>,
        message: &impl Message,
    ) -> Result<A, ProviderError> {
        self.send(rpc, self.request(rpc, grant, message)?).await
    }

    /// The request, for callers with a time limit of their own.
    pub(super) fn request(
        &self,
        rpc: Rpc,
        grant: Grant<'_>,
        message: &impl Message,
    ) -> Result<Request, ProviderError> {
        let token = self
            .keys
            .token(grant)
            .ok_or_else(|| rpc.error(ErrorKind::Unauthorized, "no token can be made with these keys"))?;
        Ok(
            Request::post(rpc.operation, format!("/twirp/livekit.{}", rpc.path))
                .effect(rpc.effect)
                .bytes(PROTOBUF, message.encode_to_vec())
                .accept(PROTOBUF)
                .bearer(token),
        )
    }

    pub(super) async fn send<A: Message + Default>(
        &self,
        rpc: Rpc,
        request: Request,
    ) -> Result<A, ProviderError> {
        // Its future is large, and adapters await many of them in one place.
        let answer = Box::pin(self.client.send(request)).await?;
        A::decode(answer.body).map_err(|error| {
            ProviderError::new(NAME, rpc.operation, ErrorKind::UnexpectedAnswer).with_source(error)
        })
    }
}

/// A refusal in LiveKit's own words, of which phone numbers are covered up.
#[derive(Debug, Default, Deserialize, thiserror::Error)]
#[error("{code}: {msg}")]
pub(super) struct Refusal {
    pub(super) code: String,
    #[serde(default)]
    pub(super) msg: String,
    #[serde(default)]
    pub(super) meta: BTreeMap<String, String>,
}

impl Refusal {
    /// What LiveKit said, when that is how this error came about.
    pub(super) fn of(error: &ProviderError) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }
}

/// Sorts a refusal by the code in its body, and by its status where it has none: bad keys are refused in plain text,
/// and so is everything that a proxy says.
pub(super) fn classify(status: StatusCode, _: &HeaderMap, body: &[u8]) -> Failure {
    let mut failure = Failure::by_status(status);
    let Ok(mut refusal) = serde_json::from_slice::<Refusal>(body) else {
        failure.detail = std::str::from_utf8(body).ok().and_then(plain);
        if status == StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS {
            failure.kind = ErrorKind::Forbidden;
            failure.detail = Some("the project is pinned to regions: use the URL of one of them".to_owned());
        }
        return failure;
    };
    refusal.msg = without_numbers(&refusal.msg, LONGEST_DETAIL);
    for text in refusal.meta.values_mut() {
        *text = without_numbers(text, LONGEST_DETAIL);
    }
    if let Some(kind) = kind(&refusal) {
        failure.kind = kind;
    }
    failure.detail = Some(refusal.to_string());
    failure.source = Some(Box::new(refusal));
    failure
}

/// A proxy's page says nothing.
fn plain(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && !text.starts_with('<')).then(|| without_numbers(text, LONGEST_DETAIL))
}

/// `None` for codes that Twirp does not have.
fn kind(refusal: &Refusal) -> Option<ErrorKind> {
    let kind = match &*refusal.code {
        // A missing grant is 401 at the server and 403 at its mock.
        "unauthenticated" | "permission_denied" => ErrorKind::Unauthorized,
        "invalid_argument" if conflicts(&refusal.msg) => ErrorKind::Conflict,
        "invalid_argument" | "malformed" | "out_of_range" => ErrorKind::Invalid,
        "not_found" => ErrorKind::NotFound,
        "bad_route" | "unimplemented" => ErrorKind::Unsupported,
        "already_exists" | "aborted" | "failed_precondition" => ErrorKind::Conflict,
        "resource_exhausted" => ErrorKind::RateLimited { retry_after: None },
        "canceled" | "deadline_exceeded" => ErrorKind::TimedOut,
        "unavailable" | "internal" | "unknown" | "dataloss" => ErrorKind::ServerError,
        _ => return None,
    };
    Some(kind)
}

/// A trunk or a rule that stands in the way of a new one is reported as an argument that is wrong.
fn conflicts(message: &str) -> bool {
    message.starts_with("Conflicting inbound SIP Trunks")
        || message.contains("already exists in dispatch rule")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn classified(status: u16, body: &str) -> Failure {
        classify(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            body.as_bytes(),
        )
    }

    #[track_caller]
    fn check(status: u16, code: &str, msg: &str, expected: ErrorKind) {
        let failure = classified(status, &json!({"code": code, "msg": msg}).to_string());
        assert_eq!(failure.kind, expected, "{code}");
        assert_eq!(failure.detail, Some(format!("{code}: {msg}")));
    }

    #[test]
    fn refusals_are_sorted_by_their_code() {
        check(
            401,
            "unauthenticated",
            "permissions denied",
            ErrorKind::Unauthorized,
        );
        check(403, "permission_denied", "no", ErrorKind::Unauthorized);
        check(400, "invalid_argument", "missing rule", ErrorKind::Invalid);
        check(400, "malformed", "m", ErrorKind::Invalid);
        check(400, "out_of_range", "m", ErrorKind::Invalid);
        check(404, "not_found", "m", ErrorKind::NotFound);
        check(404, "bad_route", "m", ErrorKind::Unsupported);
        check(409, "already_exists", "m", ErrorKind::Conflict);
        check(409, "aborted", "m", ErrorKind::Conflict);
        check(412, "failed_precondition", "m", ErrorKind::Conflict);
        check(
            429,
            "resource_exhausted",
            "m",
            ErrorKind::RateLimited { retry_after: None },
        );
        check(408, "canceled", "m", ErrorKind::TimedOut);
        check(408, "deadline_exceeded", "m", ErrorKind::TimedOut);
        check(503, "unavailable", "m", ErrorKind::ServerError);
        check(500, "internal", "m", ErrorKind::ServerError);
        check(418, "teapot", "m", ErrorKind::Invalid);
    }

    #[test]
    fn a_trunk_or_rule_in_the_way_is_a_conflict_although_it_is_called_invalid() {
        for msg in [
            r#"Conflicting inbound SIP Trunks: "<new>" and "ST_1", using the same number(s) ["x"] without AllowedNumbers set"#,
            r#"Dispatch rule for the same trunk, inbound number, number, and PIN combination already exists in dispatch rule "SDR_1" "n""#,
        ] {
            check(400, "invalid_argument", msg, ErrorKind::Conflict);
        }
    }

    #[test]
    fn plain_text_is_sorted_by_its_status() {
        for (status, body, expected, detail) in [
            (
                401,
                "invalid API key",
                ErrorKind::Unauthorized,
                Some("invalid API key"),
            ),
            (502, "<html>Bad Gateway</html>", ErrorKind::ServerError, None),
            (
                429,
                "slow down",
                ErrorKind::RateLimited { retry_after: None },
                Some("slow down"),
            ),
            (
                451,
                "pinned",
                ErrorKind::Forbidden,
                Some("the project is pinned to regions: use the URL of one of them"),
            ),
            (413, "", ErrorKind::Invalid, None),
        ] {
            let failure = classified(status, body);
            assert_eq!(failure.kind, expected, "{status}");
            assert_eq!(failure.detail.as_deref(), detail, "{status}");
        }
    }

    #[test]
    fn what_the_carrier_said_is_kept_for_the_adapter_without_phone_numbers() {
        let body = json!({"code": "failed_precondition", "msg": "sip status: 486: +15005550000 is busy",
            "meta": {"sip_status_code": "486", "sip_status": "Busy Here"}});
        let failure = classified(412, &body.to_string());
        let mut error = ProviderError::new(NAME, "dial", failure.kind);
        error = error.with_source(failure.source.unwrap());
        let refusal = Refusal::of(&error).unwrap();
        assert_eq!(refusal.meta["sip_status_code"], "486");
        assert_eq!(refusal.msg, "sip status: 486: +*******0000 is busy");
    }
}
