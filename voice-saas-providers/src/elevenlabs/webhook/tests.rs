use http::{HeaderMap, Method};
use serde_json::{Value, json};
use voice_saas_core::provider::voice_agent::ConversationId;

use super::*;

const NOW: i64 = 1_739_537_297;

fn webhook() -> Webhook {
    Webhook {
        secrets: vec![SecretString::from("wsec_new"), SecretString::from("wsec_old")],
        initiation_secret: Some(SecretString::from("knock knock")),
        voice: None,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn receive(
    kind: AgentWebhookKind,
    header: Option<(&'static str, &str)>,
    body: &[u8],
) -> Result<AgentWebhookEvent, WebhookError> {
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = header {
        headers.insert(name, value.parse().unwrap());
    }
    let request = WebhookRequest {
        method: &Method::POST,
        path_and_query: "/webhooks/elevenlabs",
        headers: &headers,
        body,
    };
    webhook().receive(kind, &request, at(NOW))
}

fn post_call(signature: &str, body: &[u8]) -> Result<AgentWebhookEvent, WebhookError> {
    receive(
        AgentWebhookKind::PostCall,
        Some((SIGNATURE_HEADER, signature)),
        body,
    )
}

fn ended() -> Vec<u8> {
    json!({"type": "post_call_transcription", "event_timestamp": NOW,
        "data": {"conversation_id": "conv_1", "status": "done",
            "conversation_initiation_client_data": {"dynamic_variables": {"call_ref": "ref-1"}}}})
    .to_string()
    .into_bytes()
}

fn signed(secret: &str, second: i64, body: &[u8]) -> String {
    sign_for_tests(&SecretString::from(secret), at(second), body)
}

fn v0(signature: &str) -> &str {
    signature.split_once(',').unwrap().1
}

#[track_caller]
fn check(signature: &str, expected: Result<(), &str>) {
    let outcome = post_call(signature, &ended());
    match (outcome, expected) {
        (Ok(AgentWebhookEvent::Ended(_)), Ok(())) => {}
        (Err(WebhookError::Forged(why)), Err(expected)) => assert_eq!(why, expected),
        (outcome, _) => panic!("{signature}: {outcome:?}"),
    }
}

#[test]
fn a_signature_is_what_the_documentation_says() {
    // Computed with another implementation: printf '1739537297.{}' | openssl dgst -sha256 -hmac wsec_new
    assert_eq!(
        signed("wsec_new", NOW, b"{}"),
        "t=1739537297,v0=b1eec971f954829e881b694a100cd0b0814f8af89ceb41f6fd877131e40e13fe"
    );
}

#[test]
fn signatures_hold_or_do_not() {
    let body = ended();
    let good = signed("wsec_new", NOW, &body);
    let old_secret = signed("wsec_old", NOW, &body);
    let wrong_secret = signed("wsec_other", NOW, &body);
    check(&good, Ok(()));
    check(&old_secret, Ok(()));
    check(
        &good.to_uppercase().replace("T=", "t=").replace("V0=", "v0="),
        Ok(()),
    );
    check(&good.replace(',', " , "), Ok(()));
    check(&format!("{wrong_secret},{}", v0(&good)), Ok(()));
    check(&format!("{good},{}", v0(&wrong_secret)), Ok(()));
    check(&wrong_secret, Err("no secret makes this signature"));
    check(
        &signed("wsec_new", NOW, b"another body"),
        Err("no secret makes this signature"),
    );
    check(
        &good.replace(&NOW.to_string(), &(NOW + 1).to_string()),
        Err("no secret makes this signature"),
    );
    check(
        &format!("t={NOW},v0=xyz,v0=abc"),
        Err("no secret makes this signature"),
    );
    check(
        &format!("t={NOW},v0=,v1={}", &v0(&good)[3..]),
        Err("no secret makes this signature"),
    );
    check(&format!("t={NOW}"), Err("no secret makes this signature"));
    check(v0(&good), Err("the signature has no time"));
    check("t=now,v0=00", Err("the signature's time is no number"));
    check("nonsense", Err("the signature has no time"));
}

#[test]
fn signatures_are_good_for_half_an_hour_and_five_minutes_ahead() {
    let body = ended();
    let signed_at = |second| signed("wsec_new", second, &body);
    check(&signed_at(NOW - 1800), Ok(()));
    check(&signed_at(NOW - 1801), Err("the signature is too old"));
    check(&signed_at(NOW + 300), Ok(()));
    check(&signed_at(NOW + 301), Err("the signature comes from the future"));
    check(&format!("t={},v0=00", i64::MIN), Err("the signature is too old"));
}

#[test]
fn without_a_signature_nothing_is_believed() {
    let outcome = receive(AgentWebhookKind::PostCall, None, &ended());
    assert!(matches!(
        outcome,
        Err(WebhookError::Forged("there is no signature"))
    ));
}

fn event(body: &Value) -> Result<AgentWebhookEvent, WebhookError> {
    let body = body.to_string().into_bytes();
    post_call(&signed("wsec_new", NOW, &body), &body)
}

#[test]
fn a_transcription_ends_its_conversation() {
    let mut conversation = Conversation::new(ConversationId::new("conv_1"), ConversationStatus::Done);
    conversation.reference = Some("ref-1".to_owned());
    let body = ended();
    assert_eq!(
        post_call(&signed("wsec_new", NOW, &body), &body).unwrap(),
        AgentWebhookEvent::Ended(Box::new(conversation))
    );
}

#[test]
fn an_ended_conversation_is_done_unless_it_failed() {
    for (status, expected) in [
        ("done", ConversationStatus::Done),
        ("processing", ConversationStatus::Done),
        ("failed", ConversationStatus::Failed),
    ] {
        let data = json!({"conversation_id": "conv_1", "status": status});
        let ended = event(&json!({"type": "post_call_transcription", "data": data})).unwrap();
        let AgentWebhookEvent::Ended(conversation) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(conversation.status, expected, "{status}");
    }
}

#[test]
fn other_events_are_of_no_use() {
    for body in [
        json!({"type": "post_call_audio", "data": {"conversation_id": "conv_1", "full_audio": "AAAA"}}),
        json!({"type": "call_initiation_failure", "data": {"failure_reason": "busy"}}),
        json!({"type": "answering_machine_detection"}),
    ] {
        assert_eq!(event(&body).unwrap(), AgentWebhookEvent::Ignored, "{body}");
    }
}

#[test]
fn what_is_signed_but_makes_no_sense_is_malformed() {
    for body in [
        json!([]),
        json!({"data": {}}),
        json!({"type": "post_call_transcription"}),
        json!({"type": "post_call_transcription", "data": {"status": "done"}}),
    ] {
        assert!(matches!(event(&body), Err(WebhookError::Malformed(_))), "{body}");
    }
}

fn knock(secret: &str, body: &Value) -> Result<AgentWebhookEvent, WebhookError> {
    receive(
        AgentWebhookKind::Initiation,
        Some((INITIATION_HEADER, secret)),
        body.to_string().as_bytes(),
    )
}

#[test]
fn an_initiation_says_who_calls_whom() {
    let body = json!({"caller_id": "+14155550123", "agent_id": "agent_1", "called_number": "+14155550100",
        "call_sid": "CA1", "conversation_id": "conv_1"});
    let expected = AgentWebhookEvent::Initiation {
        call: Some(ProviderCallId::new("CA1")),
        from: "+14155550123".to_owned(),
        to: "+14155550100".to_owned(),
    };
    assert_eq!(knock("knock knock", &body).unwrap(), expected);
}

#[test]
fn an_initiation_needs_only_the_number_that_was_called() {
    let expected = AgentWebhookEvent::Initiation {
        call: None,
        from: String::new(),
        to: "+14155550100".to_owned(),
    };
    let body = json!({"called_number": "+14155550100", "caller_id": null, "call_sid": ""});
    assert_eq!(knock("knock knock", &body).unwrap(), expected);
    assert!(matches!(
        knock("knock knock", &json!({"caller_id": "+14155550123"})),
        Err(WebhookError::Malformed(_))
    ));
}

#[test]
fn an_initiation_without_the_secret_is_forged() {
    let body = json!({"called_number": "+14155550100"});
    assert!(matches!(
        knock("who is there", &body),
        Err(WebhookError::Forged(_))
    ));
    assert!(matches!(
        receive(AgentWebhookKind::Initiation, None, body.to_string().as_bytes()),
        Err(WebhookError::Forged(_))
    ));
}

#[test]
fn nothing_is_believed_while_no_secret_is_configured() {
    let open = Webhook {
        secrets: Vec::new(),
        initiation_secret: None,
        voice: None,
    };
    let body = ended();
    let mut headers = HeaderMap::new();
    headers.insert(SIGNATURE_HEADER, signed("", NOW, &body).parse().unwrap());
    headers.insert(INITIATION_HEADER, "".parse().unwrap());
    let request = WebhookRequest {
        method: &Method::POST,
        path_and_query: "/",
        headers: &headers,
        body: &body,
    };
    for kind in [AgentWebhookKind::PostCall, AgentWebhookKind::Initiation] {
        assert!(matches!(
            open.receive(kind, &request, at(NOW)),
            Err(WebhookError::Forged(_))
        ));
    }
}

#[test]
fn secrets_are_not_printed() {
    let printed = format!("{:?}", webhook());
    assert!(
        !printed.contains("wsec") && !printed.contains("knock"),
        "{printed}"
    );
}
