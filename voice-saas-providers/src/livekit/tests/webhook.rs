//! Webhooks, word for word.

use http::{HeaderMap, Method, header};
use serde_json::{Value, json};
use voice_saas_core::provider::telephony::{
    CallPlan, ProviderCallStatus, TelephonyEvent, TelephonyProvider, WebhookError, WebhookKind,
    WebhookRequest,
};

use crate::livekit::{LiveKit, call_id, sign_for_tests};

fn livekit() -> LiveKit {
    LiveKit::builder("ws://localhost:7880".parse().unwrap(), "devkey", "secret".into())
        .with_webhook_key("otherkey", "othersecret".into())
        .build()
        .unwrap()
}

fn receive(kind: WebhookKind, token: Option<&str>, body: &[u8]) -> Result<TelephonyEvent, WebhookError> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        headers.insert(header::AUTHORIZATION, token.parse().unwrap());
    }
    let request = WebhookRequest {
        method: &Method::POST,
        path_and_query: "/webhooks/livekit",
        headers: &headers,
        body,
    };
    livekit().webhook().unwrap().receive(kind, &request)
}

fn signed(body: &[u8]) -> Result<TelephonyEvent, WebhookError> {
    let token = sign_for_tests("devkey", "secret".into(), body);
    receive(WebhookKind::Status, Some(&token), body)
}

/// A caller, as LiveKit reports one (livekit/sip #326).
fn event(name: &str, participant: &Value) -> Value {
    let mut whole = json!({
        "sid": "PA_1", "identity": "sip_+15550100", "state": "ACTIVE", "joinedAt": "1743339898",
        "name": "Phone +15550100", "kind": "SIP",
        "attributes": {"sip.callID": "SCL_1", "sip.phoneNumber": "+15550100", "sip.ruleID": "SDR_1",
            "sip.trunkID": "ST_1", "sip.trunkPhoneNumber": "+12125550142"},
    });
    for (name, value) in participant.as_object().unwrap() {
        whole[name] = value.clone();
    }
    json!({
        "event": name, "participant": whole, "id": "EV_1", "createdAt": "1743339958",
        "room": {"sid": "RM_1", "name": "in-_+15550100_uD3h", "emptyTimeout": 300, "creationTime": "1743339898"},
    })
}

fn outbound(status: &str) -> Value {
    json!({"attributes": {"sip.callStatus": status, "sip.trunkID": "ST_1"}})
}

fn progress(body: &Value) -> Option<(ProviderCallStatus, Option<u64>)> {
    match signed(body.to_string().as_bytes()).unwrap() {
        TelephonyEvent::Progress(progress) => {
            assert_eq!(progress.id, call_id("in-_+15550100_uD3h", "sip_+15550100"));
            assert_eq!(progress.at.unwrap().as_second(), 1_743_339_958);
            Some((progress.status, progress.duration.map(|it| it.as_secs())))
        }
        _ => None,
    }
}

#[track_caller]
fn check(name: &str, participant: &Value, expected: ProviderCallStatus) {
    let found = progress(&event(name, participant));
    assert_eq!(
        found.map(|(status, _)| status),
        Some(expected),
        "{name} {participant}"
    );
}

#[test]
fn joining_is_not_being_answered() {
    check("participant_joined", &json!({}), ProviderCallStatus::Ringing);
    check(
        "participant_joined",
        &outbound("dialing"),
        ProviderCallStatus::Initiated,
    );
    check(
        "participant_joined",
        &outbound("ringing"),
        ProviderCallStatus::Ringing,
    );
    check(
        "participant_joined",
        &outbound("active"),
        ProviderCallStatus::InProgress,
    );
    check(
        "participant_joined",
        &outbound("a new word"),
        ProviderCallStatus::Initiated,
    );
}

#[test]
fn the_reason_of_the_end_says_how_a_call_ended() {
    let left = |reason: &str, status: &str| {
        let mut participant = outbound(status);
        participant["disconnectReason"] = json!(reason);
        participant
    };
    for (participant, expected) in [
        (left("USER_REJECTED", "ringing"), ProviderCallStatus::Busy),
        (left("USER_UNAVAILABLE", "ringing"), ProviderCallStatus::NoAnswer),
        (left("SIP_TRUNK_FAILURE", "dialing"), ProviderCallStatus::Failed),
        (left("MEDIA_FAILURE", "active"), ProviderCallStatus::Failed),
        (left("UNKNOWN_REASON", "dialing"), ProviderCallStatus::Failed),
        (left("CLIENT_INITIATED", "hangup"), ProviderCallStatus::Completed),
        (left("ROOM_DELETED", "active"), ProviderCallStatus::Completed),
        (left("ROOM_DELETED", "ringing"), ProviderCallStatus::Canceled),
        (
            left("PARTICIPANT_REMOVED", "ringing"),
            ProviderCallStatus::Canceled,
        ),
        (left("A_NEW_REASON", "active"), ProviderCallStatus::Completed),
    ] {
        check("participant_left", &participant, expected);
    }
    let gone = json!({"disconnectReason": "CLIENT_INITIATED"});
    check("participant_left", &gone, ProviderCallStatus::Completed);
    check(
        "participant_connection_aborted",
        &gone,
        ProviderCallStatus::Canceled,
    );
    check(
        "participant_connection_aborted",
        &json!({}),
        ProviderCallStatus::Failed,
    );
}

#[test]
fn how_long_a_caller_stayed_is_known_and_how_long_a_callee_spoke_is_not() {
    let left = json!({"disconnectReason": "CLIENT_INITIATED"});
    let found = progress(&event("participant_left", &left));
    assert_eq!(found, Some((ProviderCallStatus::Completed, Some(60))));
    let found = progress(&event("participant_left", &outbound("hangup")));
    assert_eq!(found, Some((ProviderCallStatus::Completed, None)));
}

#[test]
fn a_leg_that_a_newer_one_pushed_out_ends_no_call() {
    let pushed = json!({"disconnectReason": "DUPLICATE_IDENTITY"});
    assert_eq!(progress(&event("participant_left", &pushed)), None);
}

#[test]
fn whatever_changes_no_call_is_acknowledged() {
    for body in [
        event("room_started", &json!({})),
        event("participant_joined", &json!({"kind": "AGENT"})),
        event("participant_joined", &json!({"kind": "A_NEW_KIND"})),
        event("participant_joined", &json!({"kind": 17})),
        event("an_event_of_tomorrow", &json!({})),
        json!({"event": "egress_ended", "egressInfo": {"status": "A_NEW_STATUS"}}),
        json!({}),
    ] {
        let received = signed(body.to_string().as_bytes()).unwrap();
        assert_eq!(received, TelephonyEvent::Other, "{body}");
    }
}

#[test]
fn fields_of_tomorrow_do_not_spoil_an_event() {
    let participant = json!({"state": "A_NEW_STATE", "disconnectReason": 99, "joinedAt": 1_743_339_898,
        "tracks": [{"type": "SMELL"}], "region": {"name": "moon"}, "attributes": {"sip.callStatus": "active"}});
    check("participant_left", &participant, ProviderCallStatus::Completed);
}

#[test]
fn a_webhook_that_is_not_livekits_is_refused() {
    let body = event("participant_joined", &json!({})).to_string();
    let body = body.as_bytes();
    let other = sign_for_tests("devkey", "secret".into(), b"{}");
    let guessed = sign_for_tests("devkey", "guess".into(), body);
    let unknown = sign_for_tests("unknown", "secret".into(), body);
    for token in [
        None,
        Some("a.b.c"),
        Some(&*other),
        Some(&*guessed),
        Some(&*unknown),
    ] {
        let refused = receive(WebhookKind::Status, token, body);
        assert!(matches!(refused, Err(WebhookError::Forged(_))), "{token:?}");
    }
}

#[test]
fn a_webhook_signed_with_another_key_of_ours_is_accepted_with_and_without_a_scheme() {
    let body = event("participant_joined", &json!({})).to_string();
    let token = sign_for_tests("otherkey", "othersecret".into(), body.as_bytes());
    for token in [token.clone(), format!("Bearer {token}")] {
        assert!(receive(WebhookKind::Status, Some(&token), body.as_bytes()).is_ok());
    }
}

#[test]
fn what_livekit_never_sends_is_malformed() {
    let token = sign_for_tests("devkey", "secret".into(), b"{}");
    let voice = receive(WebhookKind::Voice, Some(&token), b"{}");
    assert!(matches!(voice, Err(WebhookError::Malformed(_))));
    for body in [&b"7"[..], b"hello", b""] {
        assert!(matches!(signed(body), Err(WebhookError::Malformed(_))));
    }
}

#[test]
fn livekit_reads_no_answer() {
    let livekit = livekit();
    let answer = livekit.webhook().unwrap().answer(&CallPlan::HangUp);
    assert_eq!(answer.body, "");
}
