//! Webhooks: checked first, then read (pages `voice/twiml#request-parameters` and `voice/api/call-resource`).

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use sha2::{Digest, Sha256};
use url::{Position, Url, form_urlencoded};
use voice_saas_core::{
    provider::telephony::{
        CallPlan, CallProgress, InboundWebhook, IncomingCall, ProviderCallId, ProviderSubaccountId,
        TelephonyEvent, WebhookAnswer, WebhookError, WebhookKind, WebhookRequest,
    },
    secret::{ExposeSecret, SecretString, same},
};

use super::{
    builder::is_sid,
    signature::{self, Params},
    twiml, wire,
};

const SIGNATURE: &str = "x-twilio-signature";
const BODY_HASH: &str = "bodySHA256";

/// The webhooks of one account.
#[derive(Clone)]
pub(super) struct Webhook {
    account_sid: String,
    /// Scheme and host of what Twilio calls, up to the path, as in `https://user:pass@example.com:8443`.
    origin: String,
    /// What stands before our own paths there, without a slash at its end.
    prefix: String,
    tokens: Vec<SecretString>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("account_sid", &self.account_sid)
            .field("prefix", &self.prefix)
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

impl Webhook {
    pub(super) fn new(account_sid: &str, public_url: &Url, tokens: Vec<SecretString>) -> Self {
        Self {
            account_sid: account_sid.to_owned(),
            origin: public_url[..Position::BeforePath].to_owned(),
            prefix: public_url.path().trim_end_matches('/').to_owned(),
            tokens,
        }
    }

    /// The URL that Twilio called. A proxy in front of us may strip the prefix or leave it.
    fn url(&self, path_and_query: &str) -> String {
        let whole = path_and_query
            .strip_prefix(&self.prefix)
            .is_some_and(|rest| rest.starts_with('/'));
        let prefix = if whole { "" } else { &self.prefix };
        format!("{}{prefix}{path_and_query}", self.origin)
    }

    pub(super) fn verify_handshake(&self, request: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        // `http` becomes `ws`, and `https` becomes `wss`.
        let url = self.url(request.path_and_query).replacen("http", "ws", 1);
        self.check(&url, Vec::new(), signature_of(request)?)
    }

    /// Checks the signature and returns the parameters: of the query for a GET, of the form for a POST. For any other
    /// body the URL carries its hash, and the URL alone is signed.
    fn verify(&self, request: &WebhookRequest<'_>) -> Result<Params, WebhookError> {
        let signature = signature_of(request)?;
        let url = self.url(request.path_and_query);
        let query = request
            .path_and_query
            .split_once('?')
            .map_or("", |(_, query)| query);
        if *request.method == Method::GET {
            self.check(&url, Vec::new(), signature)?;
            return Ok(decode(query.as_bytes()));
        }
        if is_form(request.headers) || request.body.is_empty() {
            // Twilio signs text, so there is nothing to check the signature of other bytes against.
            std::str::from_utf8(request.body)
                .map_err(|_| WebhookError::Malformed("a body that is not UTF-8"))?;
            let params = decode(request.body);
            self.check(&url, params.clone(), signature)?;
            return Ok(params);
        }
        self.check(&url, Vec::new(), signature)?;
        let hash = format!("{:x}", Bytes::copy_from_slice(&Sha256::digest(request.body)));
        match get(&decode(query.as_bytes()), BODY_HASH) {
            Some(signed) if same(signed.as_bytes(), hash.as_bytes()) => Ok(Vec::new()),
            Some(_) => Err(WebhookError::Forged("the body is not the one that was signed")),
            None => Err(WebhookError::Forged("a body that is not signed")),
        }
    }

    fn check(&self, url: &str, mut params: Params, signature: &[u8]) -> Result<(), WebhookError> {
        signature::order(&mut params);
        let holds = self
            .tokens
            .iter()
            .any(|token| signature::holds(token.expose_secret(), url, &params, signature));
        if holds {
            Ok(())
        } else {
            Err(WebhookError::Forged(
                "signed by somebody else, or for another address",
            ))
        }
    }
}

impl InboundWebhook for Webhook {
    /// The account in `AccountSid`: its token signs (page `usage/security`). A SID is letters and digits, so that it
    /// needs no decoding.
    fn subaccount(&self, request: &WebhookRequest<'_>) -> Option<ProviderSubaccountId> {
        let query = || {
            request
                .path_and_query
                .split_once('?')
                .map_or("", |(_, query)| query)
        };
        let form = match *request.method {
            Method::GET => query().as_bytes(),
            _ => request.body,
        };
        let mut pairs = form.split(|byte| *byte == b'&');
        let sid = pairs.find_map(|pair| pair.strip_prefix(b"AccountSid="))?;
        if sid == self.account_sid.as_bytes() {
            return None;
        }
        let sid = std::str::from_utf8(sid).ok().filter(|sid| is_sid("AC", sid))?;
        Some(ProviderSubaccountId::new(sid))
    }

    fn receive(
        &self,
        kind: WebhookKind,
        request: &WebhookRequest<'_>,
    ) -> Result<TelephonyEvent, WebhookError> {
        let params = self.verify(request)?;
        match kind {
            WebhookKind::Voice | WebhookKind::AfterMedia | WebhookKind::Fallback => {
                incoming(&params).map(TelephonyEvent::Incoming)
            }
            WebhookKind::Status => progress(&params).map(TelephonyEvent::Progress),
            _ => Err(WebhookError::Malformed(
                "a kind of webhook that Twilio does not send",
            )),
        }
    }

    fn answer(&self, plan: &CallPlan) -> WebhookAnswer {
        twiml::answer(plan)
    }
}

fn signature_of<'a>(request: &WebhookRequest<'a>) -> Result<&'a [u8], WebhookError> {
    let header = request.headers.get(SIGNATURE);
    header
        .map(HeaderValue::as_bytes)
        .ok_or(WebhookError::Forged("no signature"))
}

fn incoming(params: &Params) -> Result<IncomingCall, WebhookError> {
    let to = get(params, "To").ok_or(WebhookError::Malformed("no To"))?;
    // A withheld number is a word, or missing.
    let from = get(params, "From").unwrap_or("anonymous");
    Ok(IncomingCall::new(call_id(params)?, from, to)
        .with_failure(get(params, "ErrorCode").map(str::to_owned)))
}

fn progress(params: &Params) -> Result<CallProgress, WebhookError> {
    let status = get(params, "CallStatus").ok_or(WebhookError::Malformed("no CallStatus"))?;
    let number = |name| get(params, name)?.parse().ok();
    Ok(CallProgress::new(call_id(params)?, wire::call_status(status))
        .with_sequence(number("SequenceNumber"))
        .with_duration(number("CallDuration").map(|seconds| Duration::from_secs(seconds.into())))
        .with_at(get(params, "Timestamp").and_then(wire::timestamp)))
}

fn call_id(params: &Params) -> Result<ProviderCallId, WebhookError> {
    get(params, "CallSid")
        .map(ProviderCallId::new)
        .ok_or(WebhookError::Malformed("no CallSid"))
}

/// The parameter's value, unless it is empty.
fn get<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params
        .iter()
        .find(|(found, value)| found == name && !value.is_empty())
        .map(|(_, value)| &**value)
}

fn decode(form: &[u8]) -> Params {
    form_urlencoded::parse(form).into_owned().collect()
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| {
            media_type
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use voice_saas_core::provider::telephony::ProviderCallStatus;

    use super::*;
    use crate::twilio::{fixture::ACCOUNT, sign_for_tests};

    const PUBLIC: &str = "https://voice.example.com";
    const PATH: &str = "/twilio/voice?t=a%2Bb";
    const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
    const INCOMING: &[(&str, &str)] = &[
        ("CallSid", "CA1"),
        ("From", "+12125550142"),
        ("To", "+12125550143"),
        ("FromCity", ""),
        ("CallerName", "Jörg & Söhne"),
    ];

    fn webhook(public_url: &str) -> Webhook {
        let tokens = vec!["12345".into(), "the old one".into()];
        Webhook::new(ACCOUNT, &public_url.parse().unwrap(), tokens)
    }

    fn form(params: &[(&str, &str)]) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .finish()
    }

    /// A request as it arrives; `None` leaves the signature out.
    struct Arriving<'a> {
        method: Method,
        path: &'a str,
        content_type: Option<&'a str>,
        body: &'a [u8],
        signature: Option<String>,
    }

    impl<'a> Arriving<'a> {
        fn post(body: &'a [u8], signature: Option<String>) -> Self {
            Self {
                method: Method::POST,
                path: PATH,
                content_type: Some(FORM),
                body,
                signature,
            }
        }

        fn get(path: &'a str, signature: String) -> Self {
            Self {
                method: Method::GET,
                path,
                content_type: None,
                body: b"",
                signature: Some(signature),
            }
        }

        fn with<T>(&self, act: impl FnOnce(&WebhookRequest<'_>) -> T) -> T {
            let mut headers = HeaderMap::new();
            if let Some(content_type) = self.content_type {
                headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            }
            if let Some(signature) = &self.signature {
                headers.insert("X-Twilio-Signature", signature.parse().unwrap());
            }
            act(&WebhookRequest {
                method: &self.method,
                path_and_query: self.path,
                headers: &headers,
                body: self.body,
            })
        }

        fn at(&self, kind: WebhookKind) -> Result<TelephonyEvent, WebhookError> {
            self.with(|request| webhook(PUBLIC).receive(kind, request))
        }
    }

    fn signed(token: &str, params: &[(&str, &str)]) -> String {
        sign_for_tests(token, &format!("{PUBLIC}{PATH}"), params)
    }

    fn received(kind: WebhookKind, params: &[(&str, &str)]) -> Result<TelephonyEvent, WebhookError> {
        Arriving::post(form(params).as_bytes(), Some(signed("12345", params))).at(kind)
    }

    fn call() -> IncomingCall {
        IncomingCall::new(ProviderCallId::new("CA1"), "+12125550142", "+12125550143")
    }

    #[track_caller]
    fn forged(answer: &Result<TelephonyEvent, WebhookError>) {
        assert!(matches!(answer, Err(WebhookError::Forged(_))), "{answer:?}");
    }

    #[track_caller]
    fn malformed(answer: &Result<TelephonyEvent, WebhookError>) {
        assert!(matches!(answer, Err(WebhookError::Malformed(_))), "{answer:?}");
    }

    #[test]
    fn a_call_asks_what_shall_become_of_it() {
        for kind in [WebhookKind::Voice, WebhookKind::AfterMedia, WebhookKind::Fallback] {
            let event = received(kind, INCOMING).unwrap();
            assert_eq!(event, TelephonyEvent::Incoming(call()));
        }
    }

    #[test]
    fn a_withheld_number_is_a_word_or_missing() {
        for from in [Some("anonymous"), Some(""), None] {
            let mut params = vec![("CallSid", "CA1"), ("To", "+12125550143")];
            params.extend(from.map(|from| ("From", from)));
            let Ok(TelephonyEvent::Incoming(call)) = received(WebhookKind::Voice, &params) else {
                panic!("refused without a caller's number");
            };
            assert_eq!(call.from, "anonymous");
        }
    }

    #[test]
    fn the_fallback_knows_what_failed() {
        let mut params = INCOMING.to_vec();
        params.push(("ErrorCode", "11200"));
        let event = received(WebhookKind::Fallback, &params).unwrap();
        let expected = call().with_failure(Some("11200".to_owned()));
        assert_eq!(event, TelephonyEvent::Incoming(expected));
    }

    #[test]
    fn a_status_callback_says_how_far_the_call_has_come() {
        let params = [
            ("CallSid", "CA1"),
            ("CallStatus", "completed"),
            ("CallDuration", "42"),
            ("SequenceNumber", "3"),
            ("Timestamp", "Thu, 30 Jul 2015 23:19:04 +0000"),
            ("CallbackSource", "call-progress-events"),
        ];
        let at: Timestamp = "2015-07-30T23:19:04Z".parse().unwrap();
        let expected = CallProgress::new(ProviderCallId::new("CA1"), ProviderCallStatus::Completed)
            .with_duration(Some(Duration::from_secs(42)))
            .with_sequence(Some(3))
            .with_at(Some(at));
        let event = received(WebhookKind::Status, &params).unwrap();
        assert_eq!(event, TelephonyEvent::Progress(expected));
    }

    #[test]
    fn a_status_callback_may_say_little() {
        let params = [
            ("CallSid", "CA1"),
            ("CallStatus", "a new word"),
            ("SequenceNumber", "?"),
        ];
        let expected = CallProgress::new(ProviderCallId::new("CA1"), ProviderCallStatus::Unknown);
        let event = received(WebhookKind::Status, &params).unwrap();
        assert_eq!(event, TelephonyEvent::Progress(expected));
    }

    #[test]
    fn a_signed_request_that_says_too_little_is_malformed() {
        malformed(&received(WebhookKind::Voice, &[("CallSid", "CA1")]));
        malformed(&received(WebhookKind::Voice, &[("To", "+12125550143")]));
        malformed(&received(WebhookKind::Status, &[("CallSid", "CA1")]));
        malformed(&received(WebhookKind::Status, &[("CallStatus", "busy")]));
        malformed(&received(WebhookKind::Status, &[]));
    }

    #[test]
    fn a_body_that_is_not_utf8_is_malformed() {
        let body = b"CallSid=CA1&To=\xff";
        malformed(&Arriving::post(body, Some(signed("12345", INCOMING))).at(WebhookKind::Voice));
        forged(&Arriving::post(body, None).at(WebhookKind::Voice));
    }

    #[test]
    fn what_somebody_else_signed_is_forged() {
        let body = form(INCOMING);
        let other_url = "https://other-tenant.example.com/twilio/voice?t=a%2Bb";
        for signature in [
            None,
            Some(String::new()),
            Some("RSOY".to_owned()),
            Some(signed("another token", INCOMING)),
            Some(sign_for_tests("12345", other_url, INCOMING)),
            Some(signed("12345", &INCOMING[1..])),
            Some(signed("12345", &[])),
        ] {
            forged(&Arriving::post(body.as_bytes(), signature).at(WebhookKind::Voice));
        }
    }

    #[test]
    fn while_tokens_are_rotated_both_are_good() {
        let body = form(INCOMING);
        for token in ["12345", "the old one"] {
            let request = Arriving::post(body.as_bytes(), Some(signed(token, INCOMING)));
            assert!(request.at(WebhookKind::Voice).is_ok(), "{token}");
        }
    }

    #[test]
    fn a_get_is_signed_by_its_url_alone() {
        let path = format!("/twilio/voice?{}", form(INCOMING));
        let signature = sign_for_tests("12345", &format!("{PUBLIC}{path}"), &[]);
        let event = Arriving::get(&path, signature.clone()).at(WebhookKind::Voice);
        assert_eq!(event.unwrap(), TelephonyEvent::Incoming(call()));
        let longer = format!("{path}&To=%2B1");
        forged(&Arriving::get(&longer, signature).at(WebhookKind::Voice));
    }

    #[test]
    fn any_other_body_is_signed_by_its_hash() {
        let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
        let signed = format!("/json?bodySHA256={hash}");
        let check = |path: &str, body: &[u8]| {
            let request = Arriving {
                method: Method::POST,
                path,
                content_type: Some("application/json"),
                body,
                signature: Some(sign_for_tests("12345", &format!("{PUBLIC}{path}"), &[])),
            };
            request.with(|request| webhook(PUBLIC).verify(request))
        };
        let body = br#"{"property": "value", "boolean": true}"#;
        assert!(check(&signed, body).unwrap().is_empty());
        for (path, body) in [
            (&*signed, &br#"{"property": "value", "boolean": false}"#[..]),
            ("/json?bodySHA256=0a1ff763", body),
            ("/json?a=1", body),
            ("/json", body),
        ] {
            let answer = check(path, body);
            assert!(
                matches!(answer, Err(WebhookError::Forged(_))),
                "{path} {answer:?}"
            );
        }
    }

    #[test]
    fn a_proxy_may_strip_the_public_prefix_or_leave_it() {
        let origin = "https://user:pass@voice.example.com:8443";
        for public in [format!("{origin}/eu/saas/"), format!("{origin}/eu/saas")] {
            for (path, signed) in [
                ("/twilio/voice?a=1", "/eu/saas/twilio/voice?a=1"),
                ("/eu/saas/twilio/voice?a=1", "/eu/saas/twilio/voice?a=1"),
                ("/eu/saasy", "/eu/saas/eu/saasy"),
            ] {
                assert_eq!(webhook(&public).url(path), format!("{origin}{signed}"));
            }
        }
        assert_eq!(webhook(PUBLIC).url("/a?b"), format!("{PUBLIC}/a?b"));
    }

    #[test]
    fn a_request_in_a_subaccounts_name_is_told_apart_before_it_is_believed() {
        const SUB: &str = "ACffffffffffffffffffffffffffffffff";
        let named = |body: &str| {
            let arriving = Arriving::post(body.as_bytes(), None);
            arriving.with(|request| webhook(PUBLIC).subaccount(request))
        };
        assert_eq!(named("To=%2B1&CallSid=CA1"), None);
        assert_eq!(named(&format!("AccountSid={ACCOUNT}&To=%2B1")), None);
        let sub = Some(ProviderSubaccountId::new(SUB));
        assert_eq!(named(&format!("AccountSid={SUB}&To=%2B1")), sub);
        assert_eq!(named(&format!("To=%2B1&AccountSid={SUB}")), sub);
        // Nothing else is a SID, nor another parameter the account.
        for body in [
            "AccountSid=".to_owned(),
            "AccountSid=AC1".to_owned(),
            "AccountSid=../../x".to_owned(),
            format!("ParentAccountSid={SUB}"),
            format!("Body=AccountSid={SUB}"),
        ] {
            assert_eq!(named(&body), None, "{body}");
        }
        let path = format!("/twilio/voice?AccountSid={SUB}");
        let arriving = Arriving::get(&path, "none".to_owned());
        assert_eq!(arriving.with(|request| webhook(PUBLIC).subaccount(request)), sub);
    }

    #[test]
    fn a_media_socket_is_opened_by_twilio_alone() {
        let opens = |public: &str, signed: &str| {
            let request = Arriving::get("/media/tok_abc", sign_for_tests("12345", signed, &[]));
            request
                .with(|request| webhook(public).verify_handshake(request))
                .is_ok()
        };
        assert!(opens(PUBLIC, "wss://voice.example.com/media/tok_abc"));
        assert!(opens(PUBLIC, "wss://voice.example.com/media/tok_abc/"));
        assert!(opens(PUBLIC, "wss://voice.example.com:443/media/tok_abc"));
        assert!(opens(
            "http://localhost:8080",
            "ws://localhost:8080/media/tok_abc"
        ));
        assert!(!opens(PUBLIC, "wss://voice.example.com/media/tok_abd"));
        assert!(!opens(PUBLIC, "https://voice.example.com/media/tok_abc"));
    }
}
