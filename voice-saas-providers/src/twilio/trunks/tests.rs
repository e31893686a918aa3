use serde_json::{Value, json};
use voice_saas_core::provider::telephony::TelephonyProvider;
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{body_string_contains, method, path, query_param, query_param_is_missing},
};

use super::{parts::domain, *};
use crate::twilio::fixture::{ACCOUNT, ROOT, twilio};

const TAG: &str = "trk_1";
const TRUNK: &str = "TK1";
const PEER: &str = "acme.sip.livekit.cloud";

fn number() -> E164 {
    "+12125550142".parse().unwrap()
}

fn credentials(password: &str) -> SipCredentials {
    SipCredentials::new("acme", password.into())
}

fn order() -> TrunkOrder {
    TrunkOrder::new(TAG, number()).with_peer(PEER, Some(credentials("Abcdefghijk1")))
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn trunk(name: &str) -> Value {
    json!({"sid": TRUNK, "friendly_name": name, "domain_name": "x.pstn.twilio.com", "auth_type_set": []})
}

/// A page of a newer host.
fn page(name: &str, items: &Value) -> Value {
    json!({name: items, "meta": {"key": name, "page": 0, "next_page_url": null}})
}

/// Twilio with a number and whatever else these lists hold. Making and taking away always works.
struct World {
    trunk_of_number: Value,
    trunks: Value,
    lists: Value,
    credentials: Value,
    attached_lists: Value,
    urls: Value,
    numbers: Value,
}

impl Default for World {
    fn default() -> Self {
        let none = || json!([]);
        Self {
            trunk_of_number: Value::Null,
            trunks: none(),
            lists: none(),
            credentials: none(),
            attached_lists: none(),
            urls: none(),
            numbers: none(),
        }
    }
}

impl World {
    /// Everything that an order asks for.
    fn complete() -> Self {
        Self {
            trunk_of_number: json!(TRUNK),
            trunks: json!([trunk("another"), trunk(TAG)]),
            lists: json!([{"sid": "CL1", "friendly_name": TAG}]),
            credentials: json!([{"sid": "CR1", "username": "acme"}]),
            attached_lists: json!([{"sid": "CL1", "friendly_name": TAG}]),
            urls: json!([{"sid": "OU1", "friendly_name": TAG, "enabled": true,
                          "sip_url": format!("sip:{PEER};transport=tcp")}]),
            numbers: json!([{"sid": "PN1", "phone_number": "+12125550142"}]),
        }
    }

    async fn start(self) -> MockServer {
        let server = MockServer::start().await;
        let owned = json!({"sid": "PN1", "phone_number": "+12125550142", "trunk_sid": self.trunk_of_number});
        let of_trunk = |part: &str| format!("/v1/Trunks/{TRUNK}/{part}");
        for (at, body) in [
            (
                format!("{ROOT}/IncomingPhoneNumbers.json"),
                json!({"incoming_phone_numbers": [owned]}),
            ),
            ("/v1/Trunks".to_owned(), page("trunks", &self.trunks)),
            (of_trunk("PhoneNumbers"), page("phone_numbers", &self.numbers)),
            (
                of_trunk("CredentialLists"),
                page("credential_lists", &self.attached_lists),
            ),
            (of_trunk("OriginationUrls"), page("origination_urls", &self.urls)),
            (
                format!("{ROOT}/SIP/CredentialLists.json"),
                json!({"credential_lists": self.lists}),
            ),
            (
                format!("{ROOT}/SIP/CredentialLists/CL1/Credentials.json"),
                json!({"credentials": self.credentials}),
            ),
        ] {
            Mock::given(method("GET"))
                .and(path(at))
                .respond_with(ok(&body))
                .mount(&server)
                .await;
        }
        let made = |request: &Request| {
            let sid = match request.url.path() {
                "/v1/Trunks" => TRUNK,
                list if list.ends_with("SIP/CredentialLists.json") => "CL1",
                _ => "XX1",
            };
            ResponseTemplate::new(201)
                .set_body_json(json!({"sid": sid, "domain_name": "x.pstn.twilio.com", "friendly_name": TAG}))
        };
        Mock::given(method("POST"))
            .respond_with(made)
            .mount(&server)
            .await;
        Mock::given(method("DELETE"))
            .respond_with(ResponseTemplate::new(204))
            .mount(&server)
            .await;
        server
    }
}

/// What was changed, in its order: method, path below the account or the version, form.
async fn changes(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    let changes = requests.iter().filter(|request| request.method.as_str() != "GET");
    changes
        .map(|request| {
            let at = request.url.path().replace(ROOT, "").replace("/v1/Trunks", "");
            let form = String::from_utf8_lossy(&request.body);
            format!("{} {at} {form}", request.method).trim_end().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_trunk_is_made_part_by_part_and_gets_its_number_last() {
    let server = World::default().start().await;
    let made = twilio(&server).ensure(&order()).await.unwrap();
    let domain = domain(ACCOUNT, TAG, 0);
    assert_eq!(
        changes(&server).await,
        [
            format!("POST  FriendlyName=trk_1&DomainName={domain}&TransferMode=enable-all"),
            "POST /TK1/OriginationUrls Weight=1&Priority=1&FriendlyName=trk_1\
             &SipUrl=sip%3Aacme.sip.livekit.cloud%3Btransport%3Dtcp&Enabled=true"
                .to_owned(),
            "POST /SIP/CredentialLists.json FriendlyName=trk_1".to_owned(),
            "POST /SIP/CredentialLists/CL1/Credentials.json Username=acme&Password=Abcdefghijk1".to_owned(),
            "POST /TK1/CredentialLists CredentialListSid=CL1".to_owned(),
            "POST /TK1/PhoneNumbers PhoneNumberSid=PN1".to_owned(),
        ]
    );
    assert!(made.complete);
    assert_eq!((made.tag.as_str(), made.numbers), (TAG, vec![number()]));
    assert_eq!(made.sip_host.as_deref(), Some("x.pstn.twilio.com"));
    assert_eq!(
        made.handle.value(),
        &json!({"trunk": "TK1", "credential_list": "CL1"})
    );
}

#[tokio::test]
async fn what_is_there_is_not_made_again() {
    let server = World::complete().start().await;
    let made = twilio(&server).ensure(&order()).await.unwrap();
    assert_eq!(
        changes(&server).await,
        ["POST /SIP/CredentialLists/CL1/Credentials/CR1.json Password=Abcdefghijk1"]
    );
    assert_eq!(
        made.handle.value(),
        &json!({"trunk": "TK1", "credential_list": "CL1"})
    );
}

#[tokio::test]
async fn a_trunk_without_credentials_takes_calls_alone() {
    let server = World {
        lists: json!([]),
        attached_lists: json!([]),
        ..World::complete()
    }
    .start()
    .await;
    let order = TrunkOrder::new(TAG, number()).with_peer(PEER, None);
    let made = twilio(&server).ensure(&order).await.unwrap();
    assert!(changes(&server).await.is_empty());
    assert_eq!(
        made.handle.value(),
        &json!({"trunk": "TK1", "credential_list": null})
    );
}

#[tokio::test]
async fn another_host_and_another_user_take_the_place_of_the_old_ones() {
    let server = World {
        credentials: json!([{"sid": "CR0", "username": "old"}]),
        ..World::complete()
    }
    .start()
    .await;
    let order = order().with_peer("other.example:5060", Some(credentials("Abcdefghijk2")));
    twilio(&server).ensure(&order).await.unwrap();
    assert_eq!(
        changes(&server).await,
        [
            "POST /TK1/OriginationUrls/OU1 SipUrl=sip%3Aother.example%3A5060%3Btransport%3Dtcp&Enabled=true",
            "POST /SIP/CredentialLists/CL1/Credentials.json Username=acme&Password=Abcdefghijk2",
            "DELETE /SIP/CredentialLists/CL1/Credentials/CR0.json",
        ]
    );
}

#[tokio::test]
async fn an_origination_url_that_was_switched_off_is_switched_on() {
    let mut world = World::complete();
    world.urls[0]["enabled"] = json!(false);
    let server = world.start().await;
    twilio(&server).ensure(&order()).await.unwrap();
    let changes = changes(&server).await;
    assert!(
        changes[0].starts_with("POST /TK1/OriginationUrls/OU1 "),
        "{changes:?}"
    );
}

#[tokio::test]
async fn what_twilio_would_refuse_is_refused_before_anything_is_made() {
    let server = MockServer::start().await;
    let with = |password: &str| order().with_peer(PEER, Some(credentials(password)));
    let named = |user: &str| SipCredentials::new(user, "Abcdefghijk1".into());
    for (order, because) in [
        (with("Abcdefghij1"), "password"),
        (with("abcdefghijk1"), "password"),
        (with("ABCDEFGHIJK1"), "password"),
        (with("Abcdefghijkl"), "password"),
        (order().with_peer(PEER, Some(named(""))), "user"),
        (order().with_peer(PEER, Some(named(&"x".repeat(33)))), "user"),
        (order().with_peer("sip:x@y", None), "host"),
        (order().with_peer("x;transport=udp", None), "host"),
        (order().with_peer("", None), "host"),
        (TrunkOrder::new(TAG, number()), "host"),
        (TrunkOrder::new("", number()).with_peer(PEER, None), "name"),
        (
            TrunkOrder::new("x".repeat(65), number()).with_peer(PEER, None),
            "name",
        ),
    ] {
        let error = twilio(&server).ensure(&order).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let detail = error.detail().unwrap();
        assert!(
            detail.contains(because) && !detail.contains("bcdefghij"),
            "{detail}"
        );
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_number_of_another_trunk_or_of_nobody_is_left_alone() {
    for (trunk_of_number, trunks) in [("TK9", json!([])), ("TK9", json!([trunk(TAG)]))] {
        let server = World {
            trunk_of_number: json!(trunk_of_number),
            trunks,
            ..World::default()
        }
        .start()
        .await;
        let error = twilio(&server).ensure(&order()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(changes(&server).await.is_empty());
    }
    let server = World::default().start().await;
    let foreign = TrunkOrder::new(TAG, "+12125550143".parse().unwrap()).with_peer(PEER, None);
    let error = twilio(&server).ensure(&foreign).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(changes(&server).await.is_empty());
}

/// Refuses the first `taken` domains.
async fn with_domains_taken(taken: u32) -> MockServer {
    let server = MockServer::start().await;
    let refusal = json!({"code": 21248, "message": "Trunk Domain already taken", "status": 400});
    for attempt in 0..taken {
        Mock::given(method("POST"))
            .and(path("/v1/Trunks"))
            .and(body_string_contains(domain(ACCOUNT, TAG, attempt)))
            .respond_with(ResponseTemplate::new(400).set_body_json(&refusal))
            .expect(1)
            .mount(&server)
            .await;
    }
    Mock::given(method("GET"))
        .and(path("/v1/Trunks"))
        .respond_with(ok(&page("trunks", &json!([]))))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/v1/Trunks"))
        .respond_with(ResponseTemplate::new(201).set_body_json(trunk(TAG)))
        .with_priority(9)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_domain_that_is_taken_makes_room_for_the_next() {
    let server = with_domains_taken(2).await;
    let made = twilio(&server).make_trunk(TAG).await.unwrap();
    assert_eq!(made.sid, TRUNK);
    let server = with_domains_taken(8).await;
    let error = twilio(&server).make_trunk(TAG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_trunk_that_another_made_meanwhile_is_taken_over() {
    let server = with_domains_taken(1).await;
    server.reset().await;
    let refusal = json!({"code": 21248, "message": "Trunk Domain already taken", "status": 400});
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(400).set_body_json(&refusal))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ok(&page("trunks", &json!([trunk(TAG)]))))
        .mount(&server)
        .await;
    assert_eq!(twilio(&server).make_trunk(TAG).await.unwrap().sid, TRUNK);
}

#[tokio::test]
async fn a_trunk_is_taken_apart_from_the_number_on() {
    let server = World::complete().start().await;
    let twilio = twilio(&server);
    let trunks = twilio.trunks().unwrap();
    let found = trunks.find(TAG, &number()).await.unwrap().unwrap();
    assert_eq!(trunks.delete(&found.handle).await.unwrap(), Removal::Removed);
    assert_eq!(
        changes(&server).await,
        [
            "DELETE /TK1/PhoneNumbers/PN1",
            "DELETE /TK1/CredentialLists/CL1",
            "DELETE /TK1/OriginationUrls/OU1",
            "DELETE /TK1",
            "DELETE /SIP/CredentialLists/CL1.json",
        ]
    );
}

#[tokio::test]
async fn what_is_gone_is_no_error_and_a_foreign_handle_is_one() {
    let server = MockServer::start().await;
    let twilio = twilio(&server);
    let trunks = twilio.trunks().unwrap();
    let handle = RouteHandle::new(json!({"trunk": "TK1", "credential_list": "CL1"}));
    assert_eq!(trunks.delete(&handle).await.unwrap(), Removal::AlreadyGone);
    let asked = server.received_requests().await.unwrap().len();
    for foreign in [json!("ST_1"), json!({"trunk": 7}), json!({"trunk": "TK1/../x"})] {
        let error = trunks.delete(&RouteHandle::new(foreign)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert_eq!(server.received_requests().await.unwrap().len(), asked);
}

#[tokio::test]
async fn a_trunk_that_lacks_a_part_is_not_complete() {
    type Change = fn(&mut World);
    let changes: [(Change, bool); 5] = [
        (|_| (), true),
        (|world| world.numbers = json!([]), false),
        (|world| world.urls = json!([]), false),
        (|world| world.urls[0]["enabled"] = json!(false), false),
        (|world| world.attached_lists = json!([]), false),
    ];
    for (change, complete) in changes {
        let mut world = World::complete();
        change(&mut world);
        let server = world.start().await;
        let twilio = twilio(&server);
        let found = twilio
            .trunks()
            .unwrap()
            .find(TAG, &number())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.complete, complete);
        assert_eq!(
            found.handle.value(),
            &json!({"trunk": "TK1", "credential_list": "CL1"})
        );
    }
}

#[tokio::test]
async fn a_list_of_credentials_whose_trunk_was_never_made_is_found() {
    let server = World {
        lists: json!([{"sid": "CL1", "friendly_name": TAG}]),
        ..World::default()
    }
    .start()
    .await;
    let twilio = twilio(&server);
    let trunks = twilio.trunks().unwrap();
    let found = trunks.find(TAG, &number()).await.unwrap().unwrap();
    assert!(!found.complete && found.numbers.is_empty());
    assert_eq!(trunks.find("trk_2", &number()).await.unwrap(), None);
    assert_eq!(trunks.delete(&found.handle).await.unwrap(), Removal::Removed);
    assert_eq!(changes(&server).await, ["DELETE /SIP/CredentialLists/CL1.json"]);
}

#[tokio::test]
async fn the_list_holds_every_trunk_and_on_its_last_page_what_belongs_to_none() {
    let server = MockServer::start().await;
    let lists = json!([{"sid": "CL1", "friendly_name": TAG}, {"sid": "CL2", "friendly_name": "trk_lost"}]);
    Mock::given(path(format!("{ROOT}/SIP/CredentialLists.json")))
        .respond_with(ok(&json!({"credential_lists": lists})))
        .mount(&server)
        .await;
    let next = "/v1/Trunks?PageSize=20&Page=1&PageToken=PB1";
    let first = json!({"trunks": [trunk(TAG)], "meta": {"next_page_url": format!("https://trunking.twilio.com{next}")}});
    let other = json!({"sid": "TK2", "friendly_name": "trk_2"});
    for (token, size, body) in [
        (None, "20", first),
        (Some("PB1"), "20", page("trunks", &json!([other]))),
        (None, "1000", page("trunks", &json!([trunk(TAG), other]))),
    ] {
        let list = Mock::given(path("/v1/Trunks")).and(query_param("PageSize", size));
        let list = match token {
            Some(token) => list.and(query_param("PageToken", token)),
            None => list.and(query_param_is_missing("PageToken")),
        };
        list.respond_with(ok(&body)).mount(&server).await;
    }
    let twilio = twilio(&server);
    let trunks = twilio.trunks().unwrap();
    let first = trunks.list(None).await.unwrap();
    assert_eq!(first.next.as_deref(), Some(next));
    let last = trunks.list(first.next.as_deref()).await.unwrap();
    assert_eq!(last.next, None);
    let seen: Vec<_> = [first.items, last.items]
        .concat()
        .into_iter()
        .map(|trunk| (trunk.tag, trunk.complete, trunk.handle.value()["trunk"].clone()))
        .collect();
    // The parts of both trunks are answered with 404: they were deleted meanwhile.
    let expected = |tag: &str, trunk: Value| (tag.to_owned(), false, trunk);
    assert_eq!(
        seen,
        [
            expected(TAG, json!("TK1")),
            expected("trk_2", json!("TK2")),
            expected("trk_lost", Value::Null),
        ]
    );
}

#[test]
fn a_domain_is_made_of_what_twilio_allows_and_differs_by_account_name_and_attempt() {
    let domains = [
        domain(ACCOUNT, TAG, 0),
        domain(ACCOUNT, TAG, 1),
        domain("AC2", TAG, 0),
        domain(ACCOUNT, "trk_2", 0),
        domain(ACCOUNT, "", 0),
        domain(ACCOUNT, &"Ä_b ".repeat(30), 0),
    ];
    for (at, domain) in domains.iter().enumerate() {
        let name = domain.strip_suffix(".pstn.twilio.com").unwrap();
        assert!(name.len() <= 63 && !name.starts_with('-'), "{name}");
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
            "{name}"
        );
        assert!(!domains[..at].contains(domain));
    }
    assert!(domains[0].starts_with("trk-1-"));
}
