//! Subaccounts, trunks, prices, regulations and ports, as the providers' documentation has them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::app::App;
use super::call::is_signed_with;
use super::{Answer, Bench, answer};
use crate::emulator::{CallerAudio, PlaceCall, Script};

fn code(answer: &Answer) -> (u16, u64) {
    (answer.0, answer.1["code"].as_u64().unwrap_or_default())
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// An account's SID and token.
struct Credentials(String, String);

impl Bench {
    fn parent(&self) -> Credentials {
        let state = self.emulator.state();
        let twilio = &state["twilio"];
        Credentials(text(&twilio["account_sid"]), text(&twilio["auth_token"]))
    }

    async fn subaccount(&self, name: &str) -> Credentials {
        let form = [("FriendlyName", name)];
        let (status, made) = self
            .ask(Method::POST, "/2010-04-01/Accounts.json", &self.parent(), &form)
            .await;
        assert_eq!(status, 201, "{made}");
        Credentials(text(&made["sid"]), text(&made["auth_token"]))
    }

    /// Sends a form to any path as any account.
    async fn ask(&self, method: Method, path: &str, who: &Credentials, form: &[(&str, &str)]) -> Answer {
        let request = self
            .http
            .request(method, self.url(path))
            .basic_auth(&who.0, Some(&who.1));
        answer(if form.is_empty() {
            request
        } else {
            request.form(form)
        })
        .await
    }

    async fn trunk(&self, who: &Credentials, domain: &str) -> Answer {
        let form = [("FriendlyName", "trk"), ("DomainName", domain)];
        self.ask(Method::POST, "/v1/Trunks", who, &form).await
    }
}

fn below(account: &Credentials, path: &str) -> String {
    format!("/2010-04-01/Accounts/{}/{path}", account.0)
}

#[tokio::test]
async fn a_parent_reaches_its_subaccounts_in_the_2010_api_and_nobody_else_reaches_another() {
    let bench = Bench::start().await;
    let parent = bench.parent();
    let (one, other) = (bench.subaccount("one").await, bench.subaccount("other").await);
    let buy = [("AreaCode", "512")];
    let numbers = below(&one, "IncomingPhoneNumbers.json");
    assert_eq!(bench.ask(Method::POST, &numbers, &parent, &buy).await.0, 201);
    for (who, status) in [(&parent, 200), (&one, 200), (&other, 404)] {
        assert_eq!(bench.ask(Method::GET, &numbers, who, &[]).await.0, status);
    }
    let of_parent = below(&parent, "IncomingPhoneNumbers.json");
    assert_eq!(bench.ask(Method::GET, &of_parent, &one, &[]).await.0, 404);
    let refused = bench
        .ask(Method::POST, "/2010-04-01/Accounts.json", &one, &[])
        .await;
    assert_eq!(code(&refused), (401, 20_003));
    let listed = bench
        .ask(Method::GET, "/2010-04-01/Accounts.json", &one, &[])
        .await
        .1;
    assert_eq!(listed["accounts"].as_array().map(Vec::len), Some(1));
    let all = bench
        .ask(
            Method::GET,
            "/2010-04-01/Accounts.json?Status=active&FriendlyName=other",
            &parent,
            &[],
        )
        .await
        .1;
    assert_eq!(all["accounts"][0]["sid"], json!(other.0));
}

#[tokio::test]
async fn the_webhooks_of_a_subaccount_are_its_own() {
    let bench = Bench::start().await;
    let account = bench.subaccount("one").await;
    let app = App::start().await;
    let form = [("AreaCode", "512"), ("VoiceUrl", &*app.url("/voice"))];
    let numbers = below(&account, "IncomingPhoneNumbers.json");
    let number = bench.ask(Method::POST, &numbers, &account, &form).await.1;
    let script = Script::new().with_audio(CallerAudio::Silence).without_probe();
    let call = PlaceCall::new("+14155550199", text(&number["phone_number"])).with_script(script);
    let call = bench.emulator.place_call(call).expect("the call is placed");
    bench
        .emulator
        .wait_for_call(&call)
        .await
        .expect("the call is known");
    let asked = &app.received("/voice")[0];
    assert_eq!(asked.parameter("AccountSid"), Some(&*account.0));
    assert!(is_signed_with(&account.1, &app.url("/voice"), asked));
    let calls = below(&account, "Calls.json");
    let listed = bench.ask(Method::GET, &calls, &account, &[]).await.1;
    assert_eq!(listed["calls"][0]["account_sid"], json!(account.0));
    let item = format!("Calls/{call}.json");
    assert_eq!(bench.get(&item).await.0, 404, "it is not the parent's");
}

#[tokio::test]
async fn a_number_moves_between_the_accounts_of_one_parent() {
    let bench = Bench::start().await;
    let account = bench.subaccount("one").await;
    let bought = bench
        .post("IncomingPhoneNumbers.json", &[("AreaCode", "512")])
        .await
        .1;
    let item = format!("IncomingPhoneNumbers/{}.json", text(&bought["sid"]));
    assert_eq!(
        code(&bench.post(&item, &[("AccountSid", "AC1")]).await),
        (400, 20_001)
    );
    let moved = bench.post(&item, &[("AccountSid", &account.0)]).await.1;
    assert_eq!(moved["account_sid"], json!(account.0));
    assert_eq!(bench.get(&item).await.0, 404);
    assert_eq!(
        bench
            .ask(Method::GET, &below(&account, &item), &account, &[])
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_domain_is_one_trunks_and_rests_for_30_days_after_it() {
    let bench = Bench::start().await;
    let (parent, account) = (bench.parent(), bench.subaccount("one").await);
    for wrong in [
        "acme.example",
        "pstn.twilio.com",
        "a_b.pstn.twilio.com",
        ".pstn.twilio.com",
    ] {
        assert_eq!(code(&bench.trunk(&parent, wrong).await), (400, 20_001), "{wrong}");
    }
    let (status, made) = bench.trunk(&parent, "acme.pstn.twilio.com").await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        code(&bench.trunk(&account, "ACME.pstn.twilio.com").await),
        (400, 21_248)
    );
    let item = format!("/v1/Trunks/{}", text(&made["sid"]));
    assert_eq!(
        code(&bench.ask(Method::GET, &item, &account, &[]).await),
        (404, 20_404)
    );
    assert_eq!(bench.ask(Method::DELETE, &item, &parent, &[]).await.0, 204);
    assert_eq!(
        code(&bench.ask(Method::DELETE, &item, &parent, &[]).await),
        (404, 20_404)
    );
    assert_eq!(
        code(&bench.trunk(&parent, "acme.pstn.twilio.com").await),
        (400, 21_248)
    );
    bench.emulator.advance_clock(Duration::from_hours(31 * 24));
    assert_eq!(bench.trunk(&account, "acme.pstn.twilio.com").await.0, 201);
}

#[tokio::test]
async fn the_parts_of_a_trunk_are_attached_once_and_detached() {
    let bench = Bench::start().await;
    let parent = bench.parent();
    let trunk = text(&bench.trunk(&parent, "acme.pstn.twilio.com").await.1["sid"]);
    let list = bench
        .post("SIP/CredentialLists.json", &[("FriendlyName", "trk")])
        .await
        .1;
    let list = text(&list["sid"]);
    let number = bench
        .post("IncomingPhoneNumbers.json", &[("AreaCode", "512")])
        .await
        .1;
    let number = text(&number["sid"]);
    for (part, parameter, sid) in [
        ("CredentialLists", "CredentialListSid", &list),
        ("PhoneNumbers", "PhoneNumberSid", &number),
    ] {
        let path = format!("/v1/Trunks/{trunk}/{part}");
        let form = [(parameter, sid.as_str())];
        assert_eq!(
            bench
                .ask(Method::POST, &path, &parent, &[(parameter, "XX1")])
                .await
                .0,
            404
        );
        assert_eq!(bench.ask(Method::POST, &path, &parent, &form).await.0, 201);
        assert_eq!(bench.ask(Method::POST, &path, &parent, &form).await.0, 409);
        assert_eq!(
            bench
                .ask(Method::GET, &format!("{path}/{sid}"), &parent, &[])
                .await
                .0,
            200
        );
    }
    let item = format!("IncomingPhoneNumbers/{number}.json");
    assert_eq!(bench.get(&item).await.1["trunk_sid"], json!(trunk));
    let used = format!("SIP/CredentialLists/{list}.json");
    assert_eq!(answer(bench.twilio(Method::DELETE, &used)).await.0, 409);
    let shown = bench
        .ask(Method::GET, &format!("/v1/Trunks/{trunk}"), &parent, &[])
        .await
        .1;
    assert_eq!(shown["auth_type_set"], json!(["CREDENTIAL_LIST"]));

    let attached = format!("/v1/Trunks/{trunk}/CredentialLists/{list}");
    assert_eq!(bench.ask(Method::DELETE, &attached, &parent, &[]).await.0, 204);
    assert_eq!(bench.ask(Method::DELETE, &attached, &parent, &[]).await.0, 404);
    assert_eq!(answer(bench.twilio(Method::DELETE, &used)).await.0, 204);
    assert_eq!(
        bench
            .ask(Method::DELETE, &format!("/v1/Trunks/{trunk}"), &parent, &[])
            .await
            .0,
        204
    );
    assert_eq!(bench.get(&item).await.1["trunk_sid"], Value::Null);
    assert_eq!(
        code(&bench.post(&item, &[("TrunkSid", &trunk)]).await),
        (400, 20_001)
    );
}

#[tokio::test]
async fn origination_urls_have_every_parameter_and_a_sip_address() {
    let bench = Bench::start().await;
    let parent = bench.parent();
    let trunk = text(&bench.trunk(&parent, "acme.pstn.twilio.com").await.1["sid"]);
    let path = format!("/v1/Trunks/{trunk}/OriginationUrls");
    let right = [
        ("Weight", "1"),
        ("Priority", "0"),
        ("Enabled", "true"),
        ("FriendlyName", "x"),
        ("SipUrl", "sip:a.example;transport=tcp"),
    ];
    for (at, wrong) in [
        (0, "0"),
        (0, "70000"),
        (1, "-1"),
        (2, ""),
        (4, "sips:a.example"),
        (4, "a.example"),
    ] {
        let mut form = right;
        form[at].1 = wrong;
        let refused = bench.ask(Method::POST, &path, &parent, &form).await;
        assert_eq!(code(&refused), (400, 20_001), "{form:?}");
    }
    let made = bench.ask(Method::POST, &path, &parent, &right).await.1;
    let item = format!("{path}/{}", text(&made["sid"]));
    let changed = bench
        .ask(Method::POST, &item, &parent, &[("Enabled", "false")])
        .await
        .1;
    assert_eq!(
        (&changed["enabled"], &changed["weight"]),
        (&json!(false), &json!(1))
    );
}

#[tokio::test]
async fn credentials_must_be_strong_and_names_unique() {
    let bench = Bench::start().await;
    let made = bench
        .post("SIP/CredentialLists.json", &[("FriendlyName", "one")])
        .await;
    assert_eq!(made.0, 201);
    assert_eq!(
        code(
            &bench
                .post("SIP/CredentialLists.json", &[("FriendlyName", "one")])
                .await
        ),
        (400, 21_240)
    );
    let path = format!("SIP/CredentialLists/{}/Credentials.json", text(&made.1["sid"]));
    let long = "x".repeat(33);
    for (user, password) in [
        ("anna", "Abcdefghij1"),
        ("anna", "abcdefghijk1"),
        ("anna", "ABCDEFGHIJK1"),
        ("anna", "Abcdefghijkl"),
        ("", "Abcdefghijk1"),
        (&long, "Abcdefghijk1"),
    ] {
        let refused = bench
            .post(&path, &[("Username", user), ("Password", password)])
            .await;
        assert_eq!(code(&refused), (400, 21_240), "{user} {password}");
    }
    let form = [("Username", "anna"), ("Password", "Abcdefghijk1")];
    let (status, made) = bench.post(&path, &form).await;
    assert_eq!((status, made.get("password")), (201, None));
    assert_eq!(code(&bench.post(&path, &form).await), (400, 21_240));
    let kept = bench.emulator.state()["twilio"]["credential_lists"][0]["credentials"].clone();
    assert_eq!(kept[0]["password"], "Abcdefghijk1");
}

#[tokio::test]
async fn lists_of_newer_hosts_link_to_the_next_page_by_its_whole_address() {
    let bench = Bench::start().await;
    let parent = bench.parent();
    for at in 0..5 {
        bench.trunk(&parent, &format!("acme-{at}.pstn.twilio.com")).await;
    }
    let mut seen = Vec::new();
    let mut next = json!(bench.url("/v1/Trunks?PageSize=2"));
    while let Some(url) = next.as_str() {
        let path = url.strip_prefix(&bench.url("")).expect("on this host");
        let page = bench.ask(Method::GET, path, &parent, &[]).await.1;
        assert_eq!(page["meta"]["key"], "trunks");
        seen.extend(
            page["trunks"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|it| text(&it["domain_name"])),
        );
        next = page["meta"]["next_page_url"].clone();
    }
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn prices_and_regulations_are_those_of_the_country() {
    let bench = Bench::start().await;
    let parent = bench.parent();
    let get = async |path: &str| bench.ask(Method::GET, path, &parent, &[]).await;
    let prices = get("/v1/PhoneNumbers/Countries/US").await.1;
    let local = json!({"number_type": "local", "base_price": "1.15", "current_price": "1.15"});
    assert_eq!(
        (&prices["price_unit"], &prices["phone_number_prices"][0]),
        (&json!("USD"), &local)
    );
    assert_eq!(get("/v1/PhoneNumbers/Countries/FR").await.0, 404);
    let all = get("/v1/PhoneNumbers/Countries").await.1;
    assert_eq!(all["countries"].as_array().map(Vec::len), Some(6));

    let path = "/v2/RegulatoryCompliance/Regulations";
    let german = get(&format!(
        "{path}?IsoCountry=DE&NumberType=local&EndUserType=business"
    ))
    .await
    .1;
    let [one] = german["results"].as_array().expect("a list").as_slice() else {
        panic!("one regulation: {german}")
    };
    assert_eq!(one["friendly_name"], "Germany: Local - Business");
    assert_eq!(get(&format!("{path}/{}", text(&one["sid"]))).await.1, *one);
    for none in [
        "IsoCountry=US",
        "IsoCountry=DE&NumberType=toll-free",
        "EndUserType=government",
    ] {
        let found = get(&format!("{path}?{none}")).await.1;
        assert_eq!(found["results"], json!([]), "{none}");
    }
}

#[tokio::test]
async fn a_port_needs_its_papers_and_happens_once() {
    let bench = Bench::start().await;
    let parent = bench.parent();
    let submit = async |change: (&str, Value)| {
        let mut order = json!({
            "account_sid": parent.0, "documents": ["RD1"], "phone_numbers": [{"phone_number": "+16175551212"}],
            "losing_carrier_information": {"customer_name": "Acme", "authorized_representative": "Ann Smith",
                "authorized_representative_email": "ann@example.com"},
        });
        order[change.0] = change.1;
        let request = bench.http.post(bench.url("/v1/Porting/PortIn")).json(&order);
        answer(request.basic_auth(&parent.0, Some(&parent.1))).await
    };
    for change in [
        ("documents", json!([])),
        ("phone_numbers", json!([])),
        ("phone_numbers", json!([{"phone_number": "617"}])),
        ("account_sid", json!("AC1")),
        ("losing_carrier_information", json!({"customer_name": "Acme"})),
        ("target_port_in_date", json!("2020-01-01")),
    ] {
        assert_eq!(code(&submit(change.clone()).await), (400, 20_001), "{change:?}");
    }
    let (status, port) = submit(("notification_emails", json!([]))).await;
    assert_eq!(
        (status, &port["port_in_request_status"]),
        (202, &json!("In review"))
    );
    assert_eq!(
        code(&submit(("notification_emails", json!([]))).await),
        (400, 22_137)
    );
    let item = format!("/v1/Porting/PortIn/{}", text(&port["port_in_request_sid"]));
    bench.emulator.advance_clock(Duration::from_hours(30));
    assert_eq!(
        bench.ask(Method::DELETE, &item, &parent, &[]).await.0,
        409,
        "the losing carrier has it"
    );
    let page = bench
        .ask(
            Method::GET,
            "/v1/Porting/PortIn/PortInRequests?PortInRequestStatus=In%20progress",
            &parent,
            &[],
        )
        .await
        .1;
    assert_eq!(page["port_in_requests"].as_array().map(Vec::len), Some(1));
    let stranger = bench.subaccount("one").await;
    assert_eq!(bench.ask(Method::GET, &item, &stranger, &[]).await.0, 404);
}
