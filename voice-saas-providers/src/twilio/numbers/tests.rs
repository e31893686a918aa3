use std::time::Duration;

use serde_json::{Value, json};
use voice_saas_core::{
    money::{Currency, Money},
    provider::telephony::{AddressRequirement, NumberCapabilities},
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_string, method, path, query_param, query_param_is_missing},
};

use super::*;
use crate::{
    http::RetryPolicy,
    twilio::fixture::{ACCOUNT, ROOT, twilio},
};

const SID: &str = "PN0123456789abcdef0123456789abcdef";
const WEBHOOKS: &str = "VoiceUrl=https%3A%2F%2Fexample.com%2Fvoice&VoiceMethod=POST\
    &VoiceFallbackUrl=https%3A%2F%2Fexample.com%2Ffallback&VoiceFallbackMethod=POST\
    &StatusCallback=https%3A%2F%2Fexample.com%2Fstatus%3Fa%3D1&StatusCallbackMethod=POST";

fn number() -> E164 {
    "+12125550142".parse().unwrap()
}

fn webhooks() -> NumberWebhooks {
    NumberWebhooks::new(
        "https://example.com/voice".parse().unwrap(),
        "https://example.com/fallback".parse().unwrap(),
        "https://example.com/status?a=1".parse().unwrap(),
    )
}

fn order() -> NumberOrder {
    NumberOrder::new(number(), "saga_1 buy", webhooks())
}

fn bought(number: &str) -> Value {
    json!({
        "sid": SID, "account_sid": ACCOUNT, "phone_number": number, "friendly_name": "saga_1 buy",
        "capabilities": {"voice": true, "sms": true, "mms": false, "fax": false}, "trunk_sid": null,
        "voice_application_sid": "", "voice_url": "https://example.com/voice", "beta": false,
    })
}

async fn on_buy(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/IncomingPhoneNumbers.json")))
        .respond_with(template)
        .expect(1)
        .mount(&server)
        .await;
    server
}

/// A server that answers `verb` on the one number once.
async fn on_item(verb: &str, template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method(verb))
        .and(path(format!("{ROOT}/IncomingPhoneNumbers/{SID}.json")))
        .respond_with(template)
        .expect(1)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_search_asks_for_numbers_that_carry_calls() {
    let server = MockServer::start().await;
    let found = json!({"uri": "/x", "available_phone_numbers": [
        {"phone_number": "+12125550142", "friendly_name": "(212) 555-0142", "locality": "New York",
         "region": "NY", "lata": "132", "latitude": "40.7", "address_requirements": "any",
         "capabilities": {"voice": true, "SMS": true}},
        {"phone_number": "12345", "capabilities": null},
        {"phone_number": "+12125550143", "locality": null, "region": ""},
        {"phone_number": "+12125550144"},
    ]});
    Mock::given(method("GET"))
        .and(path(format!("{ROOT}/AvailablePhoneNumbers/US/Local.json")))
        .and(query_param("VoiceEnabled", "true"))
        .and(query_param("PageSize", "2"))
        .and(query_param("AreaCode", "212"))
        .and(query_param("Contains", "55*"))
        .and(query_param("SmsEnabled", "true"))
        .and(query_param_is_missing("MmsEnabled"))
        .and(query_param("NearNumber", "+12125550100"))
        .and(query_param("Distance", "500"))
        .respond_with(ResponseTemplate::new(200).set_body_json(found))
        .mount(&server)
        .await;
    let query = NumberQuery::new(Country::US)
        .with_area_code("212")
        .with_contains("55*")
        .with_capabilities(NumberCapabilities {
            sms: true,
            ..NumberCapabilities::default()
        })
        .with_near("+12125550100".parse().unwrap(), 9_999)
        .with_limit(2);
    let found = twilio(&server).search(&query).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].number, number());
    assert_eq!(found[0].friendly_name, "(212) 555-0142");
    assert_eq!(found[0].locality.as_deref(), Some("New York"));
    assert!(found[0].capabilities.voice && found[0].capabilities.sms && !found[0].capabilities.mms);
    assert_eq!(
        (found[1].locality.as_deref(), found[1].region.as_deref()),
        (None, None)
    );
    assert_eq!(found[1].friendly_name, "+12125550143");
    assert_eq!(
        (found[0].address, found[1].address),
        (AddressRequirement::Any, AddressRequirement::None)
    );
    assert_eq!(found[0].monthly_price, None, "there is no price list here");
}

#[tokio::test]
async fn distances_are_not_asked_for_where_twilio_knows_none() {
    let server = MockServer::start().await;
    let query = NumberQuery::new("GB".parse().unwrap()).with_near(number(), 25);
    let error = twilio(&server).search(&query).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn numbers_have_their_price_and_their_age() {
    let server = MockServer::start().await;
    let prices = json!({"price_unit": "USD", "phone_number_prices": [
        {"number_type": "local", "base_price": "1.15", "current_price": "1.15"}]});
    Mock::given(path("/v1/PhoneNumbers/Countries/US"))
        .respond_with(ResponseTemplate::new(200).set_body_json(prices))
        .expect(1)
        .mount(&server)
        .await;
    let mut owned = bought("+12125550142");
    owned["type"] = json!("local");
    owned["date_created"] = json!("Thu, 30 Jul 2015 23:19:04 +0000");
    for verb in ["GET", "POST"] {
        let body = if verb == "GET" {
            json!({"incoming_phone_numbers": [owned]})
        } else {
            owned.clone()
        };
        Mock::given(method(verb))
            .and(path(format!("{ROOT}/IncomingPhoneNumbers.json")))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&server)
            .await;
    }
    let offer = json!({"available_phone_numbers": [{"phone_number": "+12125550142"}]});
    Mock::given(path(format!("{ROOT}/AvailablePhoneNumbers/US/Local.json")))
        .respond_with(ResponseTemplate::new(200).set_body_json(offer))
        .mount(&server)
        .await;
    let twilio = twilio(&server);
    let dollars = Some(Money::from_micros(1_150_000, Currency::USD));
    let found = twilio.search(&NumberQuery::new(Country::US)).await.unwrap();
    assert_eq!(found[0].monthly_price, dollars);
    for number in [
        twilio.buy(&order()).await.unwrap(),
        twilio.find(&number()).await.unwrap().unwrap(),
        twilio.list(None).await.unwrap().items.remove(0),
    ] {
        assert_eq!(number.monthly_price, dollars);
        assert_eq!(number.held_since, Some("2015-07-30T23:19:04Z".parse().unwrap()));
    }
}

#[tokio::test]
async fn what_a_country_asks_for_is_sent_with_the_purchase() {
    let server = on_buy(ResponseTemplate::new(201).set_body_json(bought("+12125550142"))).await;
    let order = order().with_requirements(Some("AD1".into()), Some("BU1".into()));
    twilio(&server).buy(&order).await.unwrap();
    let body = &server.received_requests().await.unwrap()[0].body;
    assert!(String::from_utf8_lossy(body).ends_with("&AddressSid=AD1&BundleSid=BU1"));
}

#[tokio::test]
async fn a_purchase_without_its_papers_says_so() {
    for code in [21_613, 21_615, 21_631, 21_649, 21_651] {
        let refusal = json!({"code": code, "message": "m", "status": 400});
        let server = on_buy(ResponseTemplate::new(400).set_body_json(refusal)).await;
        let error = twilio(&server).buy(&order()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequirementsMissing, "{code}");
    }
}

#[tokio::test]
async fn a_kind_that_a_country_does_not_have_is_an_empty_list() {
    let server = MockServer::start().await;
    for kind in ["Mobile", "TollFree"] {
        Mock::given(path(format!("{ROOT}/AvailablePhoneNumbers/US/{kind}.json")))
            .and(query_param_is_missing("AreaCode"))
            .respond_with(ResponseTemplate::new(404).set_body_json(json!({"code": 20404, "status": 404})))
            .expect(1)
            .mount(&server)
            .await;
    }
    for kind in [NumberKind::Mobile, NumberKind::TollFree] {
        let query = NumberQuery::new(Country::US).with_kind(kind);
        assert!(twilio(&server).search(&query).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn buying_and_setting_up_is_one_request() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/IncomingPhoneNumbers.json")))
        .and(body_string(format!(
            "PhoneNumber=%2B12125550142&FriendlyName=saga_1+buy&{WEBHOOKS}"
        )))
        .respond_with(ResponseTemplate::new(201).set_body_json(bought("+12125550142")))
        .expect(1)
        .mount(&server)
        .await;
    let number = twilio(&server).buy(&order()).await.unwrap();
    assert_eq!(number.id.as_str(), SID);
    assert_eq!(number.friendly_name, "saga_1 buy");
    assert_eq!(number.voice_url.as_deref(), Some("https://example.com/voice"));
    assert!(number.capabilities.voice);
}

#[tokio::test]
async fn a_purchase_with_test_credentials_answers_almost_nothing() {
    let sparse = json!({"sid": SID, "phone_number": null, "friendly_name": null, "capabilities": null});
    let server = on_buy(ResponseTemplate::new(201).set_body_json(sparse)).await;
    assert_eq!(twilio(&server).buy(&order()).await.unwrap().number, number());
}

#[tokio::test]
async fn a_number_that_is_gone_is_unavailable() {
    let gone = json!({"code": 21422, "message": "+12125550142 is not available", "status": 400});
    let server = on_buy(ResponseTemplate::new(400).set_body_json(gone)).await;
    let error = twilio(&server).buy(&order()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NumberUnavailable);
    assert_eq!(error.to_string(), "twilio could not buy a number");
}

#[tokio::test]
async fn a_purchase_that_may_have_happened_is_never_sent_twice() {
    for (template, kind) in [
        (ResponseTemplate::new(500), ErrorKind::ServerError),
        (
            ResponseTemplate::new(201).set_delay(Duration::from_mins(10)),
            ErrorKind::TimedOut,
        ),
        (
            ResponseTemplate::new(201).set_body_string("<html>"),
            ErrorKind::UnexpectedAnswer,
        ),
    ] {
        let server = on_buy(template).await;
        let mut twilio = twilio(&server);
        twilio.hosts.api = crate::http::Client::builder(NAME, server.uri().parse().unwrap())
            .with_retry(RetryPolicy::default())
            .with_timeout(Duration::from_secs(1))
            .build()
            .unwrap();
        assert_eq!(twilio.buy(&order()).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn too_long_a_tag_is_refused_before_anything_is_bought() {
    let server = MockServer::start().await;
    let order = NumberOrder::new(number(), "x".repeat(65), webhooks());
    let error = twilio(&server).buy(&order).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_number_is_found_only_when_it_is_exactly_that_one() {
    for (listed, expected) in [("+12125550142", Some(SID)), ("+121255501421", None)] {
        let server = MockServer::start().await;
        let page = json!({"incoming_phone_numbers": [bought(listed)], "next_page_uri": null});
        Mock::given(method("GET"))
            .and(path(format!("{ROOT}/IncomingPhoneNumbers.json")))
            .and(query_param("PhoneNumber", "+12125550142"))
            .respond_with(ResponseTemplate::new(200).set_body_json(page))
            .expect(1)
            .mount(&server)
            .await;
        let found = twilio(&server).find(&number()).await.unwrap();
        assert_eq!(found.as_ref().map(|number| number.id.as_str()), expected);
        let asked = &server.received_requests().await.unwrap()[0];
        assert!(asked.url.query().unwrap().contains("PhoneNumber=%2B12125550142"));
    }
}

#[tokio::test]
async fn the_list_is_followed_to_its_end_as_twilio_links_it() {
    let server = MockServer::start().await;
    let next = format!("{ROOT}/IncomingPhoneNumbers.json?PageSize=200&Page=1&PageToken=PA%2Fx+y");
    let page = |item: Value, next: &str| {
        ResponseTemplate::new(200)
            .set_body_json(json!({"incoming_phone_numbers": [item], "next_page_uri": next, "page": 0}))
    };
    Mock::given(query_param_is_missing("Page"))
        .and(path(format!("{ROOT}/IncomingPhoneNumbers.json")))
        .and(query_param("PageSize", "200"))
        .respond_with(page(bought("+12125550142"), &next))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(query_param("PageToken", "PA/x y"))
        .respond_with(page(bought("not a number"), ""))
        .expect(1)
        .mount(&server)
        .await;
    let twilio = twilio(&server);
    let first = twilio.list(None).await.unwrap();
    assert_eq!(first.items[0].number, number());
    assert_eq!(first.next.as_deref(), Some(&*next));
    let last = twilio.list(first.next.as_deref()).await.unwrap();
    assert_eq!((last.items.len(), last.next), (0, None));
    let asked = &server.received_requests().await.unwrap()[1].url;
    assert!(next.ends_with(asked.query().unwrap()));
}

#[tokio::test]
async fn a_link_to_another_host_is_not_followed() {
    let server = MockServer::start().await;
    let other = MockServer::start().await;
    let next = format!("{}{ROOT}/IncomingPhoneNumbers.json", other.uri());
    let error = twilio(&server).list(Some(&next)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(other.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn configuring_sends_the_addresses_alone() {
    let server = on_item(
        "POST",
        ResponseTemplate::new(200).set_body_json(bought("+12125550142")),
    )
    .await;
    let id = ProviderNumberId::new(SID);
    twilio(&server).configure(&id, &webhooks()).await.unwrap();
    let body = &server.received_requests().await.unwrap()[0].body;
    assert_eq!(String::from_utf8_lossy(body), WEBHOOKS);
}

#[tokio::test]
async fn a_number_on_a_trunk_does_not_pass_for_configured() {
    for field in ["trunk_sid", "voice_application_sid"] {
        let mut number = bought("+12125550142");
        number[field] = json!("TK1");
        let server = on_item("POST", ResponseTemplate::new(200).set_body_json(number)).await;
        let id = ProviderNumberId::new(SID);
        let error = twilio(&server).configure(&id, &webhooks()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn a_released_number_is_gone() {
    for (status, removal) in [(204, Removal::Removed), (404, Removal::AlreadyGone)] {
        let server = on_item("DELETE", ResponseTemplate::new(status)).await;
        let id = ProviderNumberId::new(SID);
        assert_eq!(twilio(&server).release(&id).await.unwrap(), removal);
    }
    let server = on_item("DELETE", ResponseTemplate::new(401)).await;
    let error = twilio(&server)
        .release(&ProviderNumberId::new(SID))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
}

#[tokio::test]
async fn an_id_that_is_no_sid_reaches_nothing() {
    let server = MockServer::start().await;
    for id in ["", "..", "PN1/../..", "PN1?x", "PN 1"] {
        let error = twilio(&server)
            .release(&ProviderNumberId::new(id))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{id}");
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}
