//! The contract with Twilio: every request of the adapter, and every answer of the emulator, is what Twilio's OpenAPI
//! document of the 2010 API says.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use tokio::sync::Notify;
use voice_saas_core::{
    phone::Country,
    provider::{
        ErrorKind,
        telephony::{
            CallProvider, NumberKind, NumberOrder, NumberProvider, NumberQuery, NumberWebhooks,
            ProviderCallId, ProviderCallStatus, ProviderNumberId, Removal,
        },
    },
};
use voice_saas_providers::{
    emulator::{Emulator, EmulatorConfig, PlaceCall, Script},
    http::RetryPolicy,
    twilio::Twilio,
};
use voice_saas_tests::spec::{Answer, Exchange, Recorder, Spec, request_sites};

const FILE: &str = "twilio_api_v2010.json";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const NUMBER: &str = "PN0123456789abcdef0123456789abcdef";
const CALL: &str = "CA0123456789abcdef0123456789abcdef";
const CALL_OVER: &str = "CAffffffffffffffffffffffffffffffff";

/// Every place in the adapter that makes a request, and what the request may be.
const CONTRACTS: [(&str, &[&str]); 8] = [
    ("calls.rs get(FETCH)", &["GET /Calls/{Sid}.json"]),
    ("calls.rs post(HANG_UP)", &["POST /Calls/{Sid}.json"]),
    (
        "numbers.rs delete(RELEASE)",
        &["DELETE /IncomingPhoneNumbers/{Sid}.json"],
    ),
    (
        "numbers.rs get(\"find a number\")",
        &["GET /IncomingPhoneNumbers.json"],
    ),
    ("numbers.rs get(LIST)", &["GET /IncomingPhoneNumbers.json"]),
    (
        "numbers.rs get(SEARCH)",
        &[
            "GET /AvailablePhoneNumbers/{CountryCode}/Local.json",
            "GET /AvailablePhoneNumbers/{CountryCode}/Mobile.json",
            "GET /AvailablePhoneNumbers/{CountryCode}/TollFree.json",
        ],
    ),
    ("numbers.rs post(BUY)", &["POST /IncomingPhoneNumbers.json"]),
    (
        "numbers.rs post(CONFIGURE)",
        &["POST /IncomingPhoneNumbers/{Sid}.json"],
    ),
];

/// What the emulator answers although the document's schemas say otherwise: a part of the violation, and the reason.
const DEVIATIONS: [(&str, &str); 2] = [
    (
        "/sms_application_sid: \"\" is not valid",
        "the schema wants a SID or null, but the document's own examples have the empty text for none",
    ),
    (
        "/voice_application_sid: \"\" is not valid",
        "the schema wants a SID or null, but the document's own examples have the empty text for none",
    ),
];

/// JSON Schema, as the harness wants it.
pub(crate) fn check(schema: &Value, instance: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).expect("the schema is one");
    validator
        .iter_errors(instance)
        .map(|error| format!("{}: {}", error.instance_path, shortened(&error.to_string())))
        .collect()
}

/// Errors quote the whole instance.
fn shortened(text: &str) -> String {
    text.chars().take(300).collect()
}

/// The operations of these exchanges, and everything that is wrong with their requests.
pub(crate) fn examine_requests(spec: &Spec, exchanges: &[Exchange]) -> (BTreeSet<String>, Vec<String>) {
    let (mut operations, mut violations) = (BTreeSet::new(), Vec::new());
    for exchange in exchanges {
        match spec.operation(&exchange.method, &exchange.path) {
            Ok(operation) => {
                violations.extend(operation.request_violations(exchange));
                operations.insert(operation.name().to_owned());
            }
            Err(error) => violations.push(error),
        }
    }
    (operations, violations)
}

/// The operations that succeeded, and everything that is wrong with the answers.
pub(crate) fn examine_answers(spec: &Spec, exchanges: &[Exchange]) -> (BTreeSet<String>, Vec<String>) {
    let (mut operations, mut violations) = (BTreeSet::new(), Vec::new());
    for exchange in exchanges {
        match spec.operation(&exchange.method, &exchange.path) {
            Ok(operation) => {
                violations.extend(operation.answer_violations(&exchange.answer));
                if exchange.answer.status < 300 {
                    operations.insert(operation.name().to_owned());
                }
            }
            Err(error) => violations.push(error),
        }
    }
    (operations, violations)
}

fn contracts() -> BTreeSet<String> {
    let paths = CONTRACTS.iter().flat_map(|(_, operations)| *operations);
    paths
        .map(|operation| operation.replacen(" /", " /2010-04-01/Accounts/{AccountSid}/", 1))
        .collect()
}

fn webhooks(base: &str) -> NumberWebhooks {
    let url = |path: &str| format!("{base}{path}").parse().expect("a URL");
    NumberWebhooks::new(url("/voice?tenant=t%201&a=b"), url("/fallback"), url("/status"))
}

#[test]
fn every_place_that_makes_a_request_to_twilio_has_a_contract() {
    let mut known: Vec<_> = CONTRACTS.iter().map(|(site, _)| (*site).to_owned()).collect();
    // The first page and the next ones.
    known.push("numbers.rs get(LIST)".to_owned());
    known.sort();
    assert_eq!(request_sites("twilio"), known);
}

#[tokio::test]
async fn every_request_to_twilio_is_one_that_it_specifies() {
    let Some(spec) = Spec::load(FILE, check).map(Arc::new) else {
        return;
    };
    let answering = Arc::clone(&spec);
    let recorder = Recorder::answering(move |exchange| {
        if exchange.method == "POST" && exchange.path.contains(CALL_OVER) {
            return Answer::json(400, &json!({"code": 21220, "message": "no", "status": 400}));
        }
        let operation = answering.operation(&exchange.method, &exchange.path);
        operation.map_or_else(|_| Answer::empty(404), |operation| operation.answer())
    })
    .await;
    let twilio = Twilio::builder(ACCOUNT, "the token".into())
        .with_base_url(recorder.url().clone())
        .with_retry(RetryPolicy::none())
        .build()
        .expect("a valid set-up");

    ask_for_numbers(&twilio).await;
    let call = twilio
        .fetch(&ProviderCallId::new(CALL))
        .await
        .expect("the document's example is a call");
    assert_ne!(call.status, ProviderCallStatus::Unknown);
    assert_eq!(
        twilio.hang_up(&ProviderCallId::new(CALL)).await.expect("it ends"),
        Removal::Removed
    );
    // Refused: the adapter looks at the call, which is over in the document's example.
    let over = twilio.hang_up(&ProviderCallId::new(CALL_OVER)).await;
    assert_eq!(over.expect("it was over"), Removal::AlreadyGone);

    let (operations, violations) = examine_requests(&spec, &recorder.exchanges());
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(operations, contracts());
}

async fn ask_for_numbers(twilio: &Twilio) {
    let anywhere = NumberQuery::new(Country::US);
    let toll_free = anywhere.clone().with_kind(NumberKind::TollFree).with_limit(0);
    let mobile = NumberQuery::new("gb".parse().expect("a country")).with_kind(NumberKind::Mobile);
    let exact = anywhere
        .clone()
        .with_area_code("415")
        .with_contains("+1415***01#")
        .with_limit(u16::MAX);
    for query in [anywhere, toll_free, mobile, exact] {
        twilio
            .search(&query)
            .await
            .expect("the document's example is a list of numbers");
    }
    let page = twilio
        .list(None)
        .await
        .expect("the document's example is a page of numbers");
    let number = page.items.first().expect("one number").number.clone();
    let next =
        format!("/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json?PageSize=200&Page=1&PageToken=PA1");
    twilio
        .list(Some(&next))
        .await
        .expect("the document's example is a page of numbers");
    let found = twilio
        .find(&number)
        .await
        .expect("the document's example is a page of numbers");
    assert_eq!(found.expect("it is on the page").number, number);

    let webhooks = webhooks("https://voice.example.com");
    for tag in [String::new(), format!("{:x<64}", "Zoë's & co = 100 % ")] {
        let order = NumberOrder::new(number.clone(), tag, webhooks.clone());
        twilio
            .buy(&order)
            .await
            .expect("the document's example is a number");
    }
    let id = ProviderNumberId::new(NUMBER);
    twilio
        .configure(&id, &webhooks)
        .await
        .expect("the document's example is a number");
    assert_eq!(twilio.release(&id).await.expect("it goes"), Removal::Removed);
}

#[tokio::test]
async fn the_emulator_answers_what_twilio_specifies() {
    let Some(spec) = Spec::load(FILE, check) else {
        return;
    };
    let emulator = Emulator::start(EmulatorConfig::new(([127, 0, 0, 1], 0).into()))
        .await
        .expect("a free port");
    let recorder = Recorder::in_front_of(emulator.url()).await;
    let twilio = Twilio::builder(
        emulator.twilio_account_sid(),
        emulator.twilio_auth_token().clone(),
    )
    .with_base_url(recorder.url().clone())
    .with_retry(RetryPolicy::none())
    .build()
    .expect("a valid set-up");
    let answered = Arc::new(Notify::new());
    let application = application(Arc::clone(&answered)).await;

    for kind in [NumberKind::Mobile, NumberKind::TollFree] {
        let country = if kind == NumberKind::Mobile { "GB" } else { "US" };
        let query = NumberQuery::new(country.parse().expect("a country")).with_kind(kind);
        let found = twilio.search(&query).await.expect("the emulator answers");
        assert!(!found.is_empty(), "{kind:?}");
    }
    let offers = twilio
        .search(&NumberQuery::new(Country::US))
        .await
        .expect("the emulator answers");
    let number = offers.first().expect("the inventory is not empty").number.clone();
    let webhooks = webhooks(application.url().as_str().trim_end_matches('/'));
    let order = NumberOrder::new(number.clone(), "the tag", webhooks.clone());
    let bought = twilio.buy(&order).await.expect("it can be bought");
    assert_eq!(
        twilio
            .find(&number)
            .await
            .expect("an answer")
            .expect("it is ours")
            .id,
        bought.id
    );
    assert_eq!(twilio.list(None).await.expect("an answer").items.len(), 1);
    twilio.configure(&bought.id, &webhooks).await.expect("it is ours");

    let placed =
        PlaceCall::new("+14155550199", number.as_str()).with_script(Script::new().without_recording());
    let sid = emulator.place_call(placed).expect("the call is placed");
    let call = ProviderCallId::new(&sid);
    twilio.fetch(&call).await.expect("the call is known");
    answered.notified().await;
    assert_eq!(
        twilio.fetch(&call).await.expect("the call is known").status,
        ProviderCallStatus::InProgress
    );
    assert_eq!(twilio.hang_up(&call).await.expect("it ends"), Removal::Removed);
    emulator.wait_for_call(&sid).await.expect("the call is known");
    twilio.fetch(&call).await.expect("the call is known");
    emulator.advance_clock(std::time::Duration::from_hours(1));
    let over = twilio.fetch(&call).await.expect("the call is known");
    assert_eq!(over.status, ProviderCallStatus::Completed);
    assert!(over.price.is_some(), "an hour later the call has a price");
    assert_eq!(
        twilio.hang_up(&call).await.expect("it was over"),
        Removal::AlreadyGone
    );

    assert_eq!(
        twilio.release(&bought.id).await.expect("it is ours"),
        Removal::Removed
    );
    assert_eq!(
        twilio.release(&bought.id).await.expect("it was ours"),
        Removal::AlreadyGone
    );
    let gone = twilio
        .configure(&bought.id, &webhooks)
        .await
        .expect_err("it is not ours any more");
    assert_eq!(gone.kind(), ErrorKind::NotFound);

    let (operations, mut violations) = examine_answers(&spec, &recorder.exchanges());
    for (text, reason) in DEVIATIONS {
        let before = violations.len();
        violations.retain(|what| !what.contains(text));
        assert_ne!(
            violations.len(),
            before,
            "{text}: nothing deviates any more ({reason})"
        );
    }
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(operations, contracts());
}

/// Lets every call wait, and tells when one does: TwiML that it is sent on to is asked for within the call.
async fn application(answered: Arc<Notify>) -> Recorder {
    Recorder::answering(move |exchange| {
        let twiml = match exchange.path.as_str() {
            "/voice" => "<Response><Redirect>/wait</Redirect></Response>",
            "/wait" => {
                answered.notify_one();
                "<Response><Pause length=\"120\"/></Response>"
            }
            _ => "<Response/>",
        };
        Answer::new(200, "text/xml", twiml)
    })
    .await
}
