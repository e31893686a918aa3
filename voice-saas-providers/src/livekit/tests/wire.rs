//! Answers that the emulator does not give.

use http::{HeaderMap, StatusCode};
use livekit_protocol as proto;
use prost::Message;
use serde_json::json;
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind,
        telephony::{AgentDispatch, Removal, RouteHandle, TrunkOrder, TrunkProvider},
    },
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path},
};

use crate::{http::RetryPolicy, livekit::LiveKit};

const NUMBER: &str = "+12125550142";

struct Server(MockServer);

impl Server {
    async fn start() -> Self {
        Self(MockServer::start().await)
    }

    fn livekit(&self) -> LiveKit {
        LiveKit::builder(self.0.uri().parse().unwrap(), "devkey", "secret".into())
            .with_retry(RetryPolicy::none())
            .build()
            .unwrap()
    }

    /// Answers the method so many times.
    async fn answers(&self, name: &str, times: u64, answer: ResponseTemplate) {
        Mock::given(method("POST"))
            .and(path(format!("/twirp/livekit.SIP/{name}")))
            .and(header("content-type", "application/protobuf"))
            .respond_with(answer)
            .up_to_n_times(times)
            .expect(times)
            .mount(&self.0)
            .await;
    }

    async fn trunks(&self, times: u64, items: Vec<proto::SipInboundTrunkInfo>) {
        let list = proto::ListSipInboundTrunkResponse { items };
        self.answers("ListSIPInboundTrunk", times, message(&list)).await;
    }

    async fn rules(&self, times: u64, items: Vec<proto::SipDispatchRuleInfo>) {
        let list = proto::ListSipDispatchRuleResponse { items };
        self.answers("ListSIPDispatchRule", times, message(&list)).await;
    }
}

fn message(message: &impl Message) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(message.encode_to_vec(), "application/protobuf")
}

fn conflict(msg: &str) -> ResponseTemplate {
    ResponseTemplate::new(400).set_body_json(json!({"code": "invalid_argument", "msg": msg}))
}

fn trunk(id: &str, name: &str) -> proto::SipInboundTrunkInfo {
    proto::SipInboundTrunkInfo {
        sip_trunk_id: id.to_owned(),
        name: name.to_owned(),
        numbers: vec!["1 212 555-0142".to_owned()],
        ..Default::default()
    }
}

fn order() -> TrunkOrder {
    TrunkOrder::new("t1", NUMBER.parse::<E164>().unwrap()).with_dispatch(AgentDispatch::new("a", "m", "p"))
}

fn own_rule(id: &str, trunk_id: &str) -> proto::SipDispatchRuleInfo {
    proto::SipDispatchRuleInfo {
        sip_dispatch_rule_id: id.to_owned(),
        ..super::super::rule::dispatch_rule("t1", trunk_id, &order().dispatch.unwrap())
    }
}

#[tokio::test]
async fn whoever_loses_a_race_uses_what_the_winner_made() {
    let server = Server::start().await;
    server.trunks(1, Vec::new()).await;
    let lost = r#"Conflicting inbound SIP Trunks: "<new>" and "ST_1", using the same number(s) ["x"]"#;
    server.answers("CreateSIPInboundTrunk", 1, conflict(lost)).await;
    // The page, and the empty one that ends the list.
    server.trunks(1, vec![trunk("ST_1", "t1")]).await;
    server.trunks(1, Vec::new()).await;
    server.rules(1, Vec::new()).await;
    let lost = r#"Dispatch rule for the same trunk, inbound number, number, and PIN combination already exists in dispatch rule "SDR_1" "t1""#;
    server.answers("CreateSIPDispatchRule", 1, conflict(lost)).await;
    server.rules(1, vec![own_rule("SDR_1", "ST_1")]).await;
    server.rules(1, Vec::new()).await;
    let made = server.livekit().ensure(&order()).await.unwrap();
    assert_eq!(
        made.handle.value(),
        &json!({"inbound_trunk": "ST_1", "dispatch_rule": "SDR_1"})
    );
}

#[tokio::test]
async fn a_race_that_somebody_else_won_is_a_conflict() {
    let server = Server::start().await;
    server.trunks(1, Vec::new()).await;
    let lost = r#"Conflicting inbound SIP Trunks: "<new>" and "ST_1", using the same number(s) ["x"]"#;
    server.answers("CreateSIPInboundTrunk", 1, conflict(lost)).await;
    server.trunks(1, vec![trunk("ST_1", "theirs")]).await;
    server.trunks(1, Vec::new()).await;
    let error = server.livekit().ensure(&order()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.detail(), Some("the number's calls go through ST_1"));
}

#[tokio::test]
async fn of_two_trunks_that_were_made_at_once_the_first_stays() {
    let server = Server::start().await;
    server
        .trunks(1, vec![trunk("ST_2", "t1"), trunk("ST_1", "t1")])
        .await;
    server.trunks(1, Vec::new()).await;
    // What belongs to the second one goes with it.
    server.rules(1, vec![own_rule("SDR_2", "ST_2")]).await;
    server.rules(1, Vec::new()).await;
    let gone = proto::SipDispatchRuleInfo::default();
    server.answers("DeleteSIPDispatchRule", 1, message(&gone)).await;
    server.trunks(1, vec![trunk("ST_2", "t1")]).await;
    server
        .answers("DeleteSIPTrunk", 1, message(&proto::SipTrunkInfo::default()))
        .await;
    server.rules(1, vec![own_rule("SDR_1", "ST_1")]).await;
    server.rules(1, Vec::new()).await;
    let made = server.livekit().ensure(&order()).await.unwrap();
    assert_eq!(made.handle.value()["inbound_trunk"], "ST_1");
}

#[tokio::test]
async fn a_wildcard_trunk_and_a_wildcard_rule_are_nobodys() {
    let server = Server::start().await;
    let wildcard = proto::SipInboundTrunkInfo {
        numbers: Vec::new(),
        ..trunk("ST_0", "anything")
    };
    server.trunks(1, vec![wildcard]).await;
    server.trunks(1, Vec::new()).await;
    server
        .answers("CreateSIPInboundTrunk", 1, message(&trunk("ST_1", "t1")))
        .await;
    let everything = proto::SipDispatchRuleInfo {
        trunk_ids: Vec::new(),
        ..own_rule("SDR_0", "")
    };
    server.rules(1, vec![everything]).await;
    server.rules(1, Vec::new()).await;
    server
        .answers("CreateSIPDispatchRule", 1, message(&own_rule("SDR_1", "ST_1")))
        .await;
    let made = server.livekit().ensure(&order()).await.unwrap();
    assert_eq!(made.handle.value()["dispatch_rule"], "SDR_1");
}

#[tokio::test]
async fn a_trunk_without_an_id_gets_no_rule() {
    let server = Server::start().await;
    server.trunks(1, Vec::new()).await;
    server
        .answers("CreateSIPInboundTrunk", 1, message(&trunk("", "t1")))
        .await;
    let error = server.livekit().ensure(&order()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedAnswer);
    assert_eq!(server.0.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_that_does_not_page_is_asked_twice_and_no_more() {
    let server = Server::start().await;
    server.trunks(2, vec![trunk("ST_1", "t1")]).await;
    server.rules(2, vec![own_rule("SDR_1", "ST_1")]).await;
    let made = server.livekit().ensure(&order()).await.unwrap();
    assert!(made.complete);
}

#[tokio::test]
async fn null_stands_for_a_trunk_that_is_not_there() {
    let server = Server::start().await;
    server.rules(1, Vec::new()).await;
    server
        .trunks(1, vec![proto::SipInboundTrunkInfo::default()])
        .await;
    let handle = RouteHandle::new(json!({"inbound_trunk": "ST_1"}));
    let removal = TrunkProvider::delete(&server.livekit(), &handle).await.unwrap();
    assert_eq!(removal, Removal::AlreadyGone);
}

#[tokio::test]
async fn an_answer_that_is_no_message_may_hide_something_that_was_made() {
    let server = Server::start().await;
    server.trunks(1, Vec::new()).await;
    let page = ResponseTemplate::new(200).set_body_string("<html>hello</html>");
    server.answers("CreateSIPInboundTrunk", 1, page).await;
    let error = server.livekit().ensure(&order()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedAnswer);
}

#[test]
fn the_carriers_credentials_are_not_taken_for_ours() {
    let body = json!({"code": "permission_denied", "msg": "sip status 401: Unauthorized",
        "meta": {"sip_status_code": "401", "sip_status": "Unauthorized"}});
    let failure = super::super::twirp::classify(
        StatusCode::FORBIDDEN,
        &HeaderMap::new(),
        body.to_string().as_bytes(),
    );
    let source = failure.source.unwrap();
    let refusal: &super::super::twirp::Refusal = source.downcast_ref().unwrap();
    assert_eq!(refusal.meta["sip_status_code"], "401");
}
