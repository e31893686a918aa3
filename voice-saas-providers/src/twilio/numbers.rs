//! Numbers (pages `phone-numbers/api/availablephonenumber-resource` and `phone-numbers/api/incomingphonenumber-resource`).

use async_trait::async_trait;
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind, ProviderError,
        telephony::{
            AvailableNumber, NumberKind, NumberOrder, NumberProvider, NumberQuery, NumberWebhooks,
            ProviderNumber, ProviderNumberId, ProviderPage, Removal,
        },
    },
};

use super::{NAME, Twilio, wire};
use crate::http::{Effect, Request};

const NUMBERS: &str = "IncomingPhoneNumbers";
const LARGEST_PAGE: u16 = 1000;
const LIST_PAGE: u16 = 200;
const LONGEST_FRIENDLY_NAME: usize = 64;

#[async_trait]
impl NumberProvider for Twilio {
    async fn search(&self, query: &NumberQuery) -> Result<Vec<AvailableNumber>, ProviderError> {
        const SEARCH: &str = "search for numbers";
        let kind = match query.kind {
            NumberKind::Local => "Local",
            NumberKind::TollFree => "TollFree",
            NumberKind::Mobile => "Mobile",
            _ => return Err(ProviderError::new(NAME, SEARCH, ErrorKind::Unsupported)),
        };
        let path = self.path(&format!("AvailablePhoneNumbers/{}/{kind}.json", query.country));
        let mut request = Request::get(SEARCH, path)
            .query("VoiceEnabled", true)
            .query("PageSize", query.limit.clamp(1, LARGEST_PAGE));
        if let Some(area_code) = &query.area_code {
            request = request.query("AreaCode", area_code);
        }
        if let Some(digits) = &query.contains {
            request = request.query("Contains", digits);
        }
        let answer = match self.client.send(request).await {
            // The country has no numbers of this kind.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            answer => answer?,
        };
        let found: wire::AvailableNumbers = answer.json()?;
        Ok(found
            .available_phone_numbers
            .into_iter()
            .filter_map(wire::Available::read)
            .take(query.limit.into())
            .collect())
    }

    /// The purchase and its webhooks are one request, so that no number is ever ours without them.
    async fn buy(&self, order: &NumberOrder) -> Result<ProviderNumber, ProviderError> {
        const BUY: &str = "buy a number";
        if order.tag.chars().count() > LONGEST_FRIENDLY_NAME {
            return Err(ProviderError::new(NAME, BUY, ErrorKind::Invalid)
                .with_detail("a friendly name has at most 64 characters"));
        }
        let mut form = vec![
            ("PhoneNumber", order.number.to_string()),
            ("FriendlyName", order.tag.clone()),
        ];
        form.extend(webhook_fields(&order.webhooks));
        let request = Request::post(BUY, self.path("IncomingPhoneNumbers.json"))
            .form(form)
            .effect(Effect::Once);
        let bought: wire::OwnedNumber = self.client.send(request).await?.json()?;
        Ok(bought.read_as(order.number.clone()))
    }

    async fn find(&self, number: &E164) -> Result<Option<ProviderNumber>, ProviderError> {
        let request = Request::get("find a number", self.path("IncomingPhoneNumbers.json"))
            .query("PhoneNumber", number)
            .query("PageSize", LARGEST_PAGE);
        let page: wire::Numbers = self.client.send(request).await?.json()?;
        // The filter matches parts of numbers too.
        Ok(page
            .incoming_phone_numbers
            .into_iter()
            .filter_map(wire::OwnedNumber::read)
            .find(|found| found.number == *number))
    }

    async fn list(&self, page: Option<&str>) -> Result<ProviderPage<ProviderNumber>, ProviderError> {
        const LIST: &str = "list numbers";
        // The link to the next page carries a token, and is followed as it is.
        let request = match page {
            Some(next) => Request::get(LIST, next),
            None => Request::get(LIST, self.path("IncomingPhoneNumbers.json")).query("PageSize", LIST_PAGE),
        };
        let page: wire::Numbers = self.client.send(request).await?.json()?;
        let mut items = Vec::with_capacity(page.incoming_phone_numbers.len());
        for number in page.incoming_phone_numbers {
            let sid = number.sid.clone();
            if let Some(number) = number.read() {
                items.push(number);
            } else {
                tracing::warn!(number.id = sid, "Twilio lists a number that is not E.164");
            }
        }
        Ok(ProviderPage {
            items,
            next: page.next_page_uri.text(),
        })
    }

    /// `Conflict` when the number belongs to a SIP trunk or a `TwiML` application: Twilio takes the addresses then,
    /// and ignores them.
    async fn configure(&self, id: &ProviderNumberId, webhooks: &NumberWebhooks) -> Result<(), ProviderError> {
        const CONFIGURE: &str = "configure a number";
        let request = Request::post(CONFIGURE, self.item(CONFIGURE, NUMBERS, id.as_str())?)
            .form(webhook_fields(webhooks).into())
            .effect(Effect::Keyed);
        let number: wire::OwnedNumber = self.client.send(request).await?.json()?;
        if number.ignores_its_voice_url() {
            return Err(ProviderError::new(NAME, CONFIGURE, ErrorKind::Conflict)
                .with_detail("the number's calls go to a SIP trunk or a TwiML application"));
        }
        Ok(())
    }

    async fn release(&self, id: &ProviderNumberId) -> Result<Removal, ProviderError> {
        const RELEASE: &str = "release a number";
        let request = Request::delete(RELEASE, self.item(RELEASE, NUMBERS, id.as_str())?);
        match self.client.send(request).await {
            Ok(_) => Ok(Removal::Removed),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Removal::AlreadyGone),
            Err(error) => Err(error),
        }
    }
}

fn webhook_fields(webhooks: &NumberWebhooks) -> [(&'static str, String); 6] {
    let post = || "POST".to_owned();
    [
        ("VoiceUrl", webhooks.voice.to_string()),
        ("VoiceMethod", post()),
        ("VoiceFallbackUrl", webhooks.fallback.to_string()),
        ("VoiceFallbackMethod", post()),
        ("StatusCallback", webhooks.status.to_string()),
        ("StatusCallbackMethod", post()),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use voice_saas_core::phone::Country;
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
             "region": "NY", "lata": "132", "latitude": "40.7", "capabilities": {"voice": true, "SMS": true}},
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
            .respond_with(ResponseTemplate::new(200).set_body_json(found))
            .mount(&server)
            .await;
        let query = NumberQuery::new(Country::US)
            .with_area_code("212")
            .with_contains("55*")
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
            twilio.client = crate::http::Client::builder(NAME, server.uri().parse().unwrap())
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
}
