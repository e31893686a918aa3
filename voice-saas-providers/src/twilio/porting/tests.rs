use serde_json::{Value, json};
use voice_saas_core::{
    phone::Country,
    provider::telephony::{LosingCarrier, PortNumber},
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_json, method, path, query_param, query_param_is_missing},
};

use super::*;
use crate::twilio::fixture::{ACCOUNT, twilio};

const SID: &str = "KW0123456789abcdef0123456789abcdef";

fn number() -> E164 {
    "+16175551212".parse().unwrap()
}

fn id() -> PortRequestId {
    PortRequestId::new(SID)
}

fn order() -> PortOrder {
    let address = PortAddress::new("1 Main St", "Boston", "MA", "02101", Country::US);
    let carrier = LosingCarrier::new(
        "Acme Dental",
        CarrierCustomer::Business,
        address,
        "Ann Smith",
        "ann@example.com",
    );
    PortOrder::new(vec![PortNumber::new(number())], carrier, vec!["RD1".into()])
}

fn port(status: &str, numbers: &Value) -> Value {
    json!({"port_in_request_sid": SID, "port_in_request_status": status, "phone_numbers": numbers,
           "support_ticket_id": 123_456, "signature_request_url": null, "order_cancellation_reason": null})
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

async fn on(verb: &str, at: &str, answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    add(&server, verb, at, answer).await;
    server
}

async fn add(server: &MockServer, verb: &str, at: &str, answer: ResponseTemplate) {
    Mock::given(method(verb))
        .and(path(at.to_owned()))
        .respond_with(answer)
        .expect(1)
        .mount(server)
        .await;
}

#[tokio::test]
async fn a_number_is_checked_before_it_is_ported() {
    let answer = json!({"phone_number": "+16175551212", "portable": false, "pin_and_account_number_required": true,
        "not_portable_reason": "MANUAL_PORTING_AVAILABLE", "not_portable_reason_code": 22133,
        "number_type": "TOLL-FREE", "country": "US"});
    let server = on(
        "GET",
        "/v1/Porting/Portability/PhoneNumber/%2B16175551212",
        ok(answer),
    )
    .await;
    let portability = twilio(&server).portability(&number()).await.unwrap();
    assert!(!portability.portable && portability.pin_required);
    assert_eq!(portability.reason.as_deref(), Some("MANUAL_PORTING_AVAILABLE"));
    assert_eq!(portability.kind, Some(NumberKind::TollFree));
}

#[tokio::test]
async fn an_order_is_submitted_whole() {
    let mut order = order()
        .with_notify(vec!["office@example.com".into()])
        .with_target_date("2026-12-24".parse().unwrap())
        .with_bundle("BU1");
    order.numbers[0] = PortNumber::new(number()).with_pin("4711".into());
    order.losing_carrier.address = order.losing_carrier.address.with_street_2("5th floor");
    order.losing_carrier = order
        .losing_carrier
        .with_account(Some("123456".into()), Some("+16175551200".parse().unwrap()));
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(PORTS))
        .and(body_json(json!({
            "account_sid": ACCOUNT, "documents": ["RD1"], "bundle_sid": "BU1",
            "phone_numbers": [{"phone_number": "+16175551212", "pin": "4711"}],
            "losing_carrier_information": {
                "customer_type": "Business", "customer_name": "Acme Dental", "account_number": "123456",
                "account_telephone_number": "+16175551200", "authorized_representative": "Ann Smith",
                "authorized_representative_email": "ann@example.com",
                "address": {"street": "1 Main St", "street_2": "5th floor", "city": "Boston", "state": "MA",
                            "zip": "02101", "country": "US"},
            },
            "notification_emails": ["office@example.com"], "target_port_in_date": "2026-12-24",
        })))
        .respond_with(ResponseTemplate::new(202).set_body_json(port(
            "In Review",
            &json!([
            {"phone_number": "+16175551212", "port_in_phone_number_status": "In Review", "portable": true,
             "not_portability_reason": "string"}]),
        )))
        .expect(1)
        .mount(&server)
        .await;
    let port = twilio(&server).submit(&order).await.unwrap();
    assert_eq!((port.id, port.state), (id(), PortState::Submitted));
    assert_eq!(port.numbers, [PortedNumber::new(number(), "In Review")]);
}

#[tokio::test]
async fn what_was_not_given_is_not_sent() {
    let server = on(
        "POST",
        PORTS,
        ResponseTemplate::new(202).set_body_json(port("In review", &Value::Null)),
    )
    .await;
    twilio(&server).submit(&order()).await.unwrap();
    let sent: Value = server.received_requests().await.unwrap()[0].body_json().unwrap();
    for absent in ["notification_emails", "target_port_in_date", "bundle_sid"] {
        assert_eq!(sent.get(absent), None, "{absent}");
    }
    assert_eq!(sent["phone_numbers"][0].get("pin"), None);
}

#[tokio::test]
async fn an_order_that_cannot_succeed_is_not_sent() {
    let server = MockServer::start().await;
    let twilio = twilio(&server);
    let mut without = order();
    without.documents.clear();
    assert_eq!(
        twilio.submit(&without).await.unwrap_err().kind(),
        ErrorKind::RequirementsMissing
    );
    for count in [0, 1001] {
        let mut order = order();
        order.numbers = vec![PortNumber::new(number()); count];
        assert_eq!(
            twilio.submit(&order).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_submission_that_may_have_happened_is_never_sent_twice() {
    let server = on("POST", PORTS, ResponseTemplate::new(503)).await;
    let error = twilio(&server).submit(&order()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerError);
    let under_way = ResponseTemplate::new(400).set_body_json(json!({"code": 22137, "message": "m"}));
    let server = on("POST", PORTS, under_way).await;
    let error = twilio(&server).submit(&order()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_port_says_what_is_wrong_with_its_numbers() {
    let mut body = port(
        "Action Required",
        &json!([
            {"phone_number": "+16175551212", "port_in_phone_number_status": "Rejected", "portable": true,
             "rejection_reason": "INVALID_PIN", "port_date": "2026-12-24T00:00:00Z"},
            {"phone_number": "+16175551213", "port_in_phone_number_status": null, "portable": false,
             "not_portability_reason": "ALREADY_IN_TWILIO"},
        ]),
    );
    body["signature_request_url"] = json!("https://sign.example/1");
    let server = on("GET", &format!("{PORTS}/{SID}"), ok(body)).await;
    let port = PortingProvider::fetch(&twilio(&server), &id()).await.unwrap();
    assert_eq!(port.state, PortState::ActionRequired);
    assert_eq!(port.signature_url.as_deref(), Some("https://sign.example/1"));
    assert_eq!(port.numbers[0].reason.as_deref(), Some("INVALID_PIN"));
    assert_eq!(
        port.numbers[0].port_date,
        Some("2026-12-24T00:00:00Z".parse().unwrap())
    );
    assert_eq!(port.numbers[1].reason.as_deref(), Some("ALREADY_IN_TWILIO"));
}

#[tokio::test]
async fn an_open_port_is_found_by_its_number_on_any_page() {
    let server = MockServer::start().await;
    let list = format!("{PORTS}/PortInRequests");
    Mock::given(path(list.clone()))
        .and(query_param_is_missing("Token"))
        .respond_with(ok(json!({"port_in_requests": [
            {"port_in_request_sid": "KW1", "port_in_request_status": "Completed"},
            {"port_in_request_sid": "KW2", "port_in_request_status": "In progress"},
        ], "meta": {"next_token": "T2", "previous_token": null}})))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path(list))
        .and(query_param("Token", "T2"))
        .respond_with(ok(json!({"port_in_requests": [
            {"port_in_request_sid": SID, "port_in_request_status": "In review"}], "meta": {"next_token": null}})))
        .expect(1)
        .mount(&server)
        .await;
    let other = json!([{"phone_number": "+16175559999"}]);
    add(
        &server,
        "GET",
        &format!("{PORTS}/KW2"),
        ok(port("In progress", &other)),
    )
    .await;
    let ours = json!([{"phone_number": "+16175551212"}]);
    add(
        &server,
        "GET",
        &format!("{PORTS}/{SID}"),
        ok(port("In review", &ours)),
    )
    .await;
    let twilio = twilio(&server);
    let found = PortingProvider::find(&twilio, &number()).await.unwrap();
    assert_eq!(found.unwrap().id, id());
}

#[tokio::test]
async fn a_port_can_be_given_up_until_it_has_come_too_far() {
    let item = format!("{PORTS}/{SID}");
    let server = on("DELETE", &item, ResponseTemplate::new(204)).await;
    assert_eq!(twilio(&server).cancel(&id()).await.unwrap(), Removal::Removed);
    let server = on("DELETE", &item, ResponseTemplate::new(404)).await;
    assert_eq!(twilio(&server).cancel(&id()).await.unwrap(), Removal::AlreadyGone);

    let refused = || ResponseTemplate::new(400).set_body_json(json!({"code": 20001, "message": "m"}));
    for status in ["Canceled", "Expired"] {
        let server = on("DELETE", &item, refused()).await;
        add(&server, "GET", &item, ok(port(status, &json!([])))).await;
        assert_eq!(twilio(&server).cancel(&id()).await.unwrap(), Removal::AlreadyGone);
    }
    for (status, kind) in [
        ("Completed", ErrorKind::Conflict),
        ("In progress", ErrorKind::Conflict),
        ("In review", ErrorKind::Invalid),
    ] {
        let server = on("DELETE", &item, refused()).await;
        add(&server, "GET", &item, ok(port(status, &json!([])))).await;
        assert_eq!(
            twilio(&server).cancel(&id()).await.unwrap_err().kind(),
            kind,
            "{status}"
        );
    }
}

#[test]
fn every_word_has_its_state_however_it_is_written() {
    for (word, expected) in [
        ("In Review", PortState::Submitted),
        ("in_review", PortState::Submitted),
        ("pending", PortState::Submitted),
        ("Waiting for Signature", PortState::WaitingForSignature),
        ("In progress", PortState::InProgress),
        ("In Progress", PortState::InProgress),
        ("Action Required", PortState::ActionRequired),
        ("Completed", PortState::Completed),
        ("Canceled", PortState::Canceled),
        ("Expired", PortState::Expired),
        ("a new word", PortState::Unknown),
        ("", PortState::Unknown),
    ] {
        assert_eq!(state(word), expected, "{word}");
    }
}
