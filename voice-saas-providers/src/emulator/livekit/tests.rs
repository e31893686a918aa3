//! LiveKit's API over JSON, as somebody without the adapter sees it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::emulator::{Emulator, EmulatorConfig, Fault, FaultKind, Operation};

const NUMBER: &str = "+12125550142";

struct Bench {
    emulator: Emulator,
    http: reqwest::Client,
}

impl Bench {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests speak to the emulator without the layer that it is a witness of"
    )]
    async fn start() -> Self {
        let config = EmulatorConfig::new("127.0.0.1:0".parse().expect("an address"));
        Self {
            emulator: Emulator::start(config).await.expect("a listener"),
            http: reqwest::Client::new(),
        }
    }

    fn token(&self, grants: &Value) -> String {
        let mut claims = json!({"iss": self.emulator.livekit_api_key(), "nbf": 0, "exp": 4_000_000_000_u32});
        for (name, grant) in grants.as_object().expect("grants") {
            claims[name] = grant.clone();
        }
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let secret = self.emulator.livekit_api_secret().expose_secret().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "tests speak to the emulator without the layer that it is a witness of"
    )]
    async fn post(&self, path: &str, authorization: Option<&str>, body: &Value) -> (u16, String) {
        let url = self.emulator.url().join(path).expect("a URL");
        let mut request = self.http.post(url).json(body);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    async fn with(&self, grants: &Value, method: &str, body: &Value) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token(grants));
        let (status, text) = self
            .post(&format!("/twirp/livekit.{method}"), Some(&bearer), body)
            .await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn sip(&self, method: &str, body: &Value) -> (u16, Value) {
        self.with(&json!({"sip": {"admin": true}}), &format!("SIP/{method}"), body)
            .await
    }

    /// Makes a thing that must not be refused; answers its id.
    async fn made(&self, method: &str, body: &Value) -> String {
        let (status, answer) = self.sip(method, body).await;
        assert_eq!(status, 200, "{answer}");
        let id = answer
            .get("sip_trunk_id")
            .or_else(|| answer.get("sip_dispatch_rule_id"));
        id.and_then(Value::as_str).expect("an id").to_owned()
    }

    async fn ids(&self, method: &str, body: &Value) -> Vec<String> {
        let (status, answer) = self.sip(method, body).await;
        assert_eq!(status, 200, "{answer}");
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        let id = |item: &Value| {
            let id = item
                .get("sip_trunk_id")
                .or_else(|| item.get("sip_dispatch_rule_id"));
            id.and_then(Value::as_str).expect("an id").to_owned()
        };
        items.iter().map(id).collect()
    }
}

fn individual(trunks: &[&str]) -> Value {
    json!({"dispatch_rule": {"rule": {"dispatch_rule_individual": {"room_prefix": "in"}}, "trunk_ids": trunks}})
}

#[tokio::test]
async fn keys_are_refused_in_plain_text_and_grants_in_json() {
    let bench = Bench::start().await;
    let path = "/twirp/livekit.SIP/ListSIPInboundTrunk";
    let good = bench.token(&json!({}));
    for (authorization, expected) in [
        (
            good.clone(),
            "invalid authorization header. Must start with Bearer ",
        ),
        ("Bearer x".to_owned(), "invalid authorization token"),
        (format!("Bearer {good}x"), "invalid authorization token"),
    ] {
        let answer = bench.post(path, Some(&authorization), &json!({})).await;
        assert_eq!(answer, (401, expected.to_owned()));
    }
    let denied = json!({"code": "unauthenticated", "msg": "permissions denied"}).to_string();
    let bearer = format!("Bearer {good}");
    for authorization in [None, Some(&*bearer)] {
        let answer = bench.post(path, authorization, &json!({})).await;
        assert_eq!(answer, (401, denied.clone()));
    }
}

#[tokio::test]
async fn every_service_wants_its_own_grant() {
    let bench = Bench::start().await;
    let admin = |room: &str| json!({"video": {"roomAdmin": true, "room": room}});
    let (create, list) = (
        json!({"video": {"roomCreate": true}}),
        json!({"video": {"roomList": true}}),
    );
    let sip = json!({"sip": {"admin": true}});
    let call = json!({"sip": {"call": true}});
    let room = json!({"room": "r", "name": "r", "agent_name": "a", "identity": "i"});
    for (method, wrong, right) in [
        ("RoomService/CreateRoom", &list, &create),
        ("RoomService/ListRooms", &create, &list),
        ("RoomService/ListParticipants", &admin("other"), &admin("r")),
        (
            "AgentDispatchService/CreateDispatch",
            &admin("other"),
            &admin("r"),
        ),
        ("AgentDispatchService/ListDispatch", &create, &admin("r")),
        ("SIP/ListSIPDispatchRule", &call, &sip),
    ] {
        assert_eq!(bench.with(wrong, method, &room).await.0, 401, "{method}");
        assert_eq!(bench.with(right, method, &room).await.0, 200, "{method}");
    }
    let dial = json!({"sip_call_to": "+14155550199", "sip_number": NUMBER, "room_name": "r",
        "trunk": {"hostname": "h"}, "wait_until_answered": true});
    assert_eq!(bench.with(&sip, "SIP/CreateSIPParticipant", &dial).await.0, 401);
    let (status, answer) = bench.with(&call, "SIP/CreateSIPParticipant", &dial).await;
    assert_eq!(
        (status, &answer["participant_identity"]),
        (200, &json!("sip_+14155550199"))
    );
}

#[tokio::test]
async fn both_spellings_are_read_and_one_is_written() {
    let bench = Bench::start().await;
    let camel = json!({"trunk": {"name": "n", "numbers": [NUMBER], "krispEnabled": true,
        "headersToAttributes": {"X-Tenant": "vs.Tenant"}, "ringingTimeout": "30s"}});
    let (status, trunk) = bench.sip("CreateSIPInboundTrunk", &camel).await;
    assert_eq!(status, 200, "{trunk}");
    assert_eq!(trunk["krisp_enabled"], true);
    assert_eq!(trunk["ringing_timeout"], "30s");
    assert_eq!(trunk["headers_to_attributes"], json!({"X-Tenant": "vs.Tenant"}));
    let snake = json!({"sip_trunk_id": trunk["sip_trunk_id"], "unknown": 1});
    let (_, got) = bench.sip("GetSIPInboundTrunk", &snake).await;
    assert_eq!(got["trunk"], trunk);
}

#[tokio::test]
async fn a_number_has_one_trunk_for_each_caller_and_a_trunk_one_rule() {
    let bench = Bench::start().await;
    let trunk =
        |numbers: Value, callers: Value| json!({"trunk": {"numbers": numbers, "allowed_numbers": callers}});
    let id = bench
        .made("CreateSIPInboundTrunk", &trunk(json!([NUMBER]), json!([])))
        .await;
    let spelt = trunk(json!(["1 (212) 555-0142", "+12125550143"]), json!([]));
    let (status, error) = bench.sip("CreateSIPInboundTrunk", &spelt).await;
    assert_eq!((status, &error["code"]), (400, &json!("invalid_argument")));
    let msg = error["msg"].as_str().expect("a message");
    assert!(
        msg.starts_with(&format!("Conflicting inbound SIP Trunks: \"<new>\" and \"{id}\"")),
        "{msg}"
    );
    bench
        .made(
            "CreateSIPInboundTrunk",
            &trunk(json!([NUMBER]), json!(["+14155550199"])),
        )
        .await;
    let open = bench
        .sip("CreateSIPInboundTrunk", &trunk(json!([]), json!([])))
        .await;
    assert_eq!(open.0, 400);

    let rule = bench.made("CreateSIPDispatchRule", &individual(&[&id])).await;
    let (status, error) = bench
        .sip("CreateSIPDispatchRule", &individual(&["ST_x", &id]))
        .await;
    assert_eq!(status, 400);
    let msg = error["msg"].as_str().expect("a message");
    assert!(
        msg.contains(&format!("already exists in dispatch rule \"{rule}\"")),
        "{msg}"
    );
    bench.made("CreateSIPDispatchRule", &individual(&[])).await;
    assert_eq!(bench.sip("CreateSIPDispatchRule", &individual(&[])).await.0, 400);
}

#[tokio::test]
async fn lists_hold_wildcards_too_and_come_in_pages() {
    let bench = Bench::start().await;
    let wildcard = json!({"trunk": {"auth_username": "u", "auth_password": "p"}});
    let wildcard = bench.made("CreateSIPInboundTrunk", &wildcard).await;
    let mut own = Vec::new();
    for last in 0..3 {
        let trunk = json!({"trunk": {"numbers": [format!("+1212555010{last}")]}});
        own.push(bench.made("CreateSIPInboundTrunk", &trunk).await);
    }
    let mut found = bench
        .ids("ListSIPInboundTrunk", &json!({"numbers": ["1 212 555 0101"]}))
        .await;
    let mut expected = vec![wildcard.clone(), own[1].clone()];
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    let mut seen: Vec<String> = Vec::new();
    loop {
        let page = json!({"page": {"after_id": seen.last().cloned().unwrap_or_default(), "limit": 3}});
        let page = bench.ids("ListSIPInboundTrunk", &page).await;
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen.len(), 4);
    let some = json!({"trunk_ids": [own[2], "ST_unknown", own[0]]});
    assert_eq!(
        bench.ids("ListSIPInboundTrunk", &some).await,
        [own[2].clone(), own[0].clone()]
    );

    let rule = bench.made("CreateSIPDispatchRule", &individual(&[&own[0]])).await;
    let any = bench.made("CreateSIPDispatchRule", &individual(&[])).await;
    let mut found = bench
        .ids("ListSIPDispatchRule", &json!({"trunk_ids": [own[0]]}))
        .await;
    found.sort();
    let mut expected = vec![rule, any.clone()];
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(
        bench
            .ids("ListSIPDispatchRule", &json!({"trunk_ids": [own[1]]}))
            .await,
        [any]
    );
}

#[tokio::test]
async fn a_trunk_that_is_deleted_leaves_its_rules_and_may_be_unknown() {
    let bench = Bench::start().await;
    let trunk = bench
        .made("CreateSIPInboundTrunk", &json!({"trunk": {"numbers": [NUMBER]}}))
        .await;
    let rule = bench.made("CreateSIPDispatchRule", &individual(&[&trunk])).await;
    for _ in 0..2 {
        let (status, answer) = bench.sip("DeleteSIPTrunk", &json!({"sip_trunk_id": trunk})).await;
        assert_eq!((status, &answer["sip_trunk_id"]), (200, &json!(trunk)));
    }
    let delete = json!({"sip_dispatch_rule_id": rule});
    assert_eq!(bench.sip("DeleteSIPDispatchRule", &delete).await.0, 200);
    let (status, error) = bench.sip("DeleteSIPDispatchRule", &delete).await;
    assert_eq!((status, &error["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn a_wildcard_rule_takes_calls_that_match_no_trunk() {
    let bench = Bench::start().await;
    assert!(bench.emulator.ring_livekit("scanner", "100").is_err());
    bench.made("CreateSIPDispatchRule", &individual(&[])).await;
    let leg = bench
        .emulator
        .ring_livekit("scanner", "100")
        .expect("it is taken");
    assert!(leg.room.starts_with("in_scanner_") && leg.trunk_id.is_empty());
}

#[tokio::test]
async fn a_second_call_under_the_same_identity_pushes_out_the_first() {
    let bench = Bench::start().await;
    let dial = json!({"sip_call_to": "+14155550199", "sip_number": NUMBER, "room_name": "r",
        "participant_identity": "i", "trunk": {"hostname": "h"}, "wait_until_answered": true});
    let call = json!({"sip": {"call": true}});
    let (_, first) = bench.with(&call, "SIP/CreateSIPParticipant", &dial).await;
    let (_, second) = bench.with(&call, "SIP/CreateSIPParticipant", &dial).await;
    assert_ne!(first["participant_id"], second["participant_id"]);
    let rooms = bench.emulator.state()["livekit"]["rooms"].clone();
    assert_eq!(rooms[0]["participants"].as_array().map(Vec::len), Some(1));
    assert_eq!(rooms[0]["participants"][0]["sid"], second["participant_id"]);
}

#[tokio::test]
async fn calls_out_are_scripted_over_http_and_forgotten_by_a_reset() {
    let bench = Bench::start().await;
    let script = async |body: Value| bench.post("/_control/livekit/dials", None, &body).await.0;
    assert_eq!(
        script(json!({"outcome": "refuses", "sip_status": 480, "phrase": "Away"})).await,
        204
    );
    assert_eq!(script(json!({"outcome": "refuses"})).await, 400);
    assert_eq!(script(json!({"outcome": "explodes"})).await, 400);
    let dial = json!({"sip_call_to": "+14155550199", "sip_number": NUMBER, "room_name": "r",
        "trunk": {"hostname": "h"}, "wait_until_answered": true});
    let call = json!({"sip": {"call": true}});
    let (status, error) = bench.with(&call, "SIP/CreateSIPParticipant", &dial).await;
    assert_eq!((status, &error["code"]), (412, &json!("failed_precondition")));
    assert_eq!(
        error["meta"],
        json!({"sip_status": "Away", "sip_status_code": "480"})
    );

    assert_eq!(script(json!({"outcome": "rings_out"})).await, 204);
    bench.emulator.reset();
    assert_eq!(bench.with(&call, "SIP/CreateSIPParticipant", &dial).await.0, 200);
}

#[tokio::test]
async fn calls_in_are_placed_and_ended_over_http() {
    let bench = Bench::start().await;
    let ring = json!({"from": "+14155550199", "to": NUMBER});
    let (status, error) = bench.post("/_control/livekit/calls", None, &ring).await;
    assert_eq!(status, 409, "{error}");
    let trunk = bench
        .made("CreateSIPInboundTrunk", &json!({"trunk": {"numbers": [NUMBER]}}))
        .await;
    bench.made("CreateSIPDispatchRule", &individual(&[&trunk])).await;
    let (status, leg) = bench.post("/_control/livekit/calls", None, &ring).await;
    assert_eq!(status, 201);
    let leg: Value = serde_json::from_str(&leg).expect("JSON");
    assert_eq!(leg["trunk_id"], json!(trunk));
    let (room, identity) = (leg["room"].as_str(), leg["identity"].as_str());
    let (room, identity) = (room.expect("a room"), identity.expect("an identity"));
    assert!(bench.emulator.hang_up_livekit(room, identity));
    assert!(!bench.emulator.hang_up_livekit(room, identity));
}

#[tokio::test]
async fn faults_wear_livekits_shape() {
    let bench = Bench::start().await;
    let fault = Fault::new(Operation::ListInboundTrunks, FaultKind::RateLimited);
    bench.emulator.inject(fault).expect("a possible fault");
    let (status, error) = bench.sip("ListSIPInboundTrunk", &json!({})).await;
    assert_eq!((status, &error["code"]), (429, &json!("resource_exhausted")));
    let fault = Fault::new(Operation::ListInboundTrunks, FaultKind::ServerError);
    bench.emulator.inject(fault).expect("a possible fault");
    let (status, error) = bench.sip("ListSIPInboundTrunk", &json!({})).await;
    assert_eq!((status, &error["code"]), (500, &json!("internal")));
    let (status, error) = bench.sip("Nonsense", &json!({})).await;
    assert_eq!((status, &error["code"]), (404, &json!("bad_route")));
}
