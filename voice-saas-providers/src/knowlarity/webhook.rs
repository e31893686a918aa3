//! Pushes: what Knowlarity tells of a call that is over, at an address that its dashboard was given.
//!
//! Nothing signs a push. An address that nobody can guess says where it comes from, and even then it is a hint: the
//! call log is asked before anything is believed.

use std::{fmt, time::Duration};

use http::{Method, header};
use serde_json::Value;
use url::form_urlencoded;
use voice_saas_core::{
    phone::E164,
    provider::telephony::{
        CallPlan, InboundWebhook, ProviderCallId, TelephonyEvent, WebhookAnswer, WebhookError, WebhookKind,
        WebhookRequest,
    },
    secret::{ExposeSecret, SecretString, same},
};

use super::{CallDirection, Knowlarity, wire::Scalar};

/// A part of a push, whose name the dashboard can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushField {
    /// The call's id: `callid`, `uuid`, `call_uuid` or `call_id`.
    Call,
    /// The number of the account: `dispnumber`, `knowlarity_number` or `call_number`.
    Number,
    /// The customer: `customer_number`, else `caller_id`.
    Customer,
    /// The telephone of ours: `agent_number` or `destination`.
    Agent,
    /// How long it lasted, in seconds: `call_duration`.
    Duration,
    /// The recording: `resource_url`, `recording_url` or `call_recording`.
    Recording,
    /// Who called whom: `call_type` or `Call_Type`.
    Direction,
}

impl PushField {
    /// The names of the three sets of parameters that are known.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Call => &["callid", "uuid", "call_uuid", "call_id"],
            Self::Number => &["dispnumber", "knowlarity_number", "call_number"],
            Self::Customer => &["customer_number", "caller_id"],
            Self::Agent => &["agent_number", "destination"],
            Self::Duration => &["call_duration"],
            Self::Recording => &["resource_url", "recording_url", "call_recording"],
            Self::Direction => &["call_type", "Call_Type"],
        }
    }
}

/// What a push claims. Believe nothing of it that the call log does not say, too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallPush {
    /// The call.
    pub call: ProviderCallId,
    /// The number of the account.
    pub number: Option<E164>,
    /// The customer.
    pub customer: Option<E164>,
    /// The telephone of ours.
    pub agent: Option<E164>,
    /// How long it lasted.
    pub duration: Option<Duration>,
    /// Where its recording lies; see [`CallLogEntry::recording`](super::CallLogEntry::recording).
    pub recording: Option<String>,
    /// Who called whom.
    pub direction: Option<CallDirection>,
}

/// The pushes of one account.
#[derive(Clone)]
pub(super) struct Webhook {
    secrets: Vec<SecretString>,
    names: Vec<(PushField, String)>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("secrets", &self.secrets.len())
            .field("names", &self.names)
            .finish()
    }
}

impl Webhook {
    pub(super) fn new(secrets: Vec<SecretString>, names: Vec<(PushField, String)>) -> Self {
        Self { secrets, names }
    }

    fn push(&self, request: &WebhookRequest<'_>) -> Result<CallPush, WebhookError> {
        let (path, query) = request
            .path_and_query
            .split_once('?')
            .unwrap_or((request.path_and_query, ""));
        let given = path.rsplit('/').next().unwrap_or_default();
        // Each is compared, so that the time says nothing of which one was nearly right.
        let known = self.secrets.iter().fold(false, |known, secret| {
            same(secret.expose_secret().as_bytes(), given.as_bytes()) | known
        });
        if !known {
            return Err(WebhookError::Forged("the address does not end with the secret"));
        }
        let mut params: Vec<(String, Scalar)> = form(query.as_bytes());
        if *request.method != Method::GET {
            params.extend(body(request)?);
        }
        let get = |field| self.get(&params, field);
        Ok(CallPush {
            call: get(PushField::Call)
                .text()
                .map(ProviderCallId::new)
                .ok_or(WebhookError::Malformed("no call's id"))?,
            number: get(PushField::Number).number(),
            customer: get(PushField::Customer).number(),
            agent: get(PushField::Agent).number(),
            duration: get(PushField::Duration).seconds(),
            recording: get(PushField::Recording).text(),
            direction: get(PushField::Direction).as_str().and_then(CallDirection::read),
        })
    }

    fn get(&self, params: &[(String, Scalar)], field: PushField) -> Scalar {
        let own = self
            .names
            .iter()
            .filter(|(of, _)| *of == field)
            .map(|(_, name)| &**name);
        own.chain(field.names().iter().copied())
            .filter_map(|name| params.iter().find(|(found, _)| found == name))
            .map(|(_, value)| value.clone())
            .find(|value| value.as_str().is_some())
            .unwrap_or_default()
    }
}

fn form(bytes: &[u8]) -> Vec<(String, Scalar)> {
    form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), Scalar::from(&*value)))
        .collect()
}

/// A form, or an object of JSON, whatever the header says.
fn body(request: &WebhookRequest<'_>) -> Result<Vec<(String, Scalar)>, WebhookError> {
    let media_type = request
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let is_json = media_type.is_some_and(|media_type| media_type.contains("json"))
        || request.body.trim_ascii_start().starts_with(b"{");
    if !is_json {
        return Ok(form(request.body));
    }
    match serde_json::from_slice(request.body) {
        Ok(Value::Object(members)) => Ok(members
            .into_iter()
            .map(|(name, value)| (name, serde_json::from_value(value).unwrap_or_default()))
            .collect()),
        _ => Err(WebhookError::Malformed("a body that is no JSON object")),
    }
}

impl InboundWebhook for Webhook {
    fn receive(
        &self,
        kind: WebhookKind,
        request: &WebhookRequest<'_>,
    ) -> Result<TelephonyEvent, WebhookError> {
        match kind {
            WebhookKind::Status => Ok(TelephonyEvent::Hint(self.push(request)?.call)),
            _ => Err(WebhookError::Malformed(
                "a kind of webhook that Knowlarity does not send",
            )),
        }
    }

    /// What is answered steers no call.
    fn answer(&self, _: &CallPlan) -> WebhookAnswer {
        WebhookAnswer {
            content_type: "text/plain",
            body: "ok".to_owned(),
        }
    }
}

impl Knowlarity {
    /// Reads all that a push claims, once its address is known to be ours.
    ///
    /// # Errors
    /// `Forged`, also without a webhook secret; `Malformed`.
    pub fn read_push(&self, request: &WebhookRequest<'_>) -> Result<CallPush, WebhookError> {
        self.webhook
            .as_ref()
            .ok_or(WebhookError::Forged("no secret to check it against"))?
            .push(request)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const SECRET: &str = "0123456789abcdef";
    const OLD: &str = "fedcba9876543210";
    const CLASSIC: &str = "dispnumber=%2B918040123456&extension=None&callid=u1&call_duration=42&destination=9812345678\
        &caller_id=%2B919876543210&start_time=2024-03-13+12%3A00%3A00&action=1&resource_url=None&call_type=incoming";
    const NEWER: &str = r#"{"uuid": "u1", "agent_number": "Call Missed#+919812345678", "customer_number": 919876543210,
        "caller_id": "+918040123456", "call_duration": "", "Call_Type": "Outgoing", "resource_url": "https://x/1"}"#;
    const CUSTOM: &str = "call_uuid=u1&customer_number=09876543210&call_number=918040123456&call_duration=42\
        &recording_url=https%3A%2F%2Fx%2F1";

    fn webhook() -> Webhook {
        let secrets = vec![SECRET.into(), OLD.into()];
        Webhook::new(secrets, vec![(PushField::Agent, "who".to_owned())])
    }

    fn push(method: &Method, path: &str, content_type: &str, body: &str) -> Result<CallPush, WebhookError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        let request = WebhookRequest {
            method,
            path_and_query: path,
            headers: &headers,
            body: body.as_bytes(),
        };
        webhook().push(&request)
    }

    fn path(rest: &str) -> String {
        format!("/api/webhooks/knowlarity/{rest}")
    }

    fn number(number: Option<&E164>) -> &str {
        number.map_or("", |number| number.as_str())
    }

    #[test]
    fn every_known_set_of_parameters_is_read_as_query_form_and_json() {
        let form = "application/x-www-form-urlencoded";
        for push in [
            push(
                &Method::GET,
                &path(&format!("{SECRET}?{CLASSIC}")),
                "text/plain",
                "",
            ),
            push(&Method::POST, &path(SECRET), form, CLASSIC),
            push(&Method::POST, &path(OLD), form, CUSTOM),
            push(&Method::POST, &path(SECRET), "application/json", NEWER),
            push(&Method::POST, &path(SECRET), form, NEWER),
        ] {
            let push = push.unwrap();
            assert_eq!(
                (push.call.as_str(), number(push.customer.as_ref())),
                ("u1", "+919876543210")
            );
        }
        let classic = push(&Method::POST, &path(SECRET), form, CLASSIC).unwrap();
        assert_eq!(
            (number(classic.number.as_ref()), number(classic.agent.as_ref())),
            ("+918040123456", "+919812345678")
        );
        assert_eq!(
            (classic.duration, classic.recording),
            (Some(Duration::from_secs(42)), None)
        );
        assert_eq!(classic.direction, Some(CallDirection::Inbound));
        let newer = push(&Method::POST, &path(SECRET), form, NEWER).unwrap();
        assert_eq!(
            (newer.duration, newer.direction),
            (None, Some(CallDirection::Outbound))
        );
    }

    #[test]
    fn a_name_that_the_dashboard_was_given_comes_first() {
        let body = "callid=u1&destination=9812345678&who=9887654321";
        let push = push(
            &Method::POST,
            &path(SECRET),
            "application/x-www-form-urlencoded",
            body,
        )
        .unwrap();
        assert_eq!(number(push.agent.as_ref()), "+919887654321");
    }

    #[test]
    fn an_address_without_the_secret_is_forged_whatever_it_carries() {
        for rest in [
            "",
            "0123456789abcdeF",
            "0123456789abcdef0",
            "0123456789abcdef/",
            "x?0123456789abcdef",
        ] {
            let answer = push(&Method::POST, &path(rest), "application/json", NEWER);
            assert!(matches!(answer, Err(WebhookError::Forged(_))), "{rest}");
        }
    }

    #[test]
    fn a_push_that_names_no_call_is_malformed() {
        for body in [
            "",
            "{}",
            "[",
            "callid=None",
            r#"{"uuid": null}"#,
            "dispnumber=918040123456",
        ] {
            let answer = push(&Method::POST, &path(SECRET), "text/plain", body);
            assert!(matches!(answer, Err(WebhookError::Malformed(_))), "{body}");
        }
        let answer = push(&Method::POST, &path(SECRET), "application/json", "[1]");
        assert!(matches!(answer, Err(WebhookError::Malformed(_))));
    }

    #[test]
    fn secrets_do_not_print() {
        assert!(!format!("{:?}", webhook()).contains(SECRET));
    }
}
