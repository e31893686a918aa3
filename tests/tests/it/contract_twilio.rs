//! The contract with Twilio: every request of the adapter, and every answer of the emulator, is what Twilio's OpenAPI
//! documents say. There is one document for each host and version; what one that is missing would say is not tested.

mod steps;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};
use voice_saas_providers::{
    emulator::{Emulator, EmulatorConfig},
    http::RetryPolicy,
    twilio::Twilio,
};
use voice_saas_tests::spec::{Answer, Exchange, Recorder, Spec, request_sites};

const API: &str = "twilio_api_v2010.json";
const TRUNKING: &str = "twilio_trunking_v1.json";
const PORTING: &str = "twilio_numbers_v1.json";
const REGULATIONS: &str = "twilio_numbers_v2.json";
const PRICING: &str = "twilio_pricing_v1.json";
/// What the paths of each document begin with.
const DOCUMENTS: [(&str, &str); 5] = [
    (API, "/2010-04-01/"),
    (TRUNKING, "/v1/Trunks"),
    (PORTING, "/v1/Porting/"),
    (REGULATIONS, "/v2/RegulatoryCompliance/"),
    (PRICING, "/v1/PhoneNumbers/"),
];
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// Every place in the adapter that makes a request, and what the request may be. `~` is the account.
const CONTRACTS: &[(&str, &[&str])] = &[
    ("calls.rs get(FETCH)", &["GET ~/Calls/{Sid}.json"]),
    ("calls.rs post(HANG_UP)", &["POST ~/Calls/{Sid}.json"]),
    // All pages: the first and the next ones.
    ("list.rs get(operation)", EVERY_LIST),
    ("list.rs get(operation)", EVERY_LIST),
    (
        "numbers.rs delete(RELEASE)",
        &["DELETE ~/IncomingPhoneNumbers/{Sid}.json"],
    ),
    (
        "numbers.rs get(\"find a number\")",
        &["GET ~/IncomingPhoneNumbers.json"],
    ),
    ("numbers.rs get(LIST)", &["GET ~/IncomingPhoneNumbers.json"]),
    ("numbers.rs get(LIST)", &["GET ~/IncomingPhoneNumbers.json"]),
    (
        "numbers.rs get(SEARCH)",
        &[
            "GET ~/AvailablePhoneNumbers/{CountryCode}/Local.json",
            "GET ~/AvailablePhoneNumbers/{CountryCode}/Mobile.json",
            "GET ~/AvailablePhoneNumbers/{CountryCode}/TollFree.json",
        ],
    ),
    ("numbers.rs post(BUY)", &["POST ~/IncomingPhoneNumbers.json"]),
    (
        "numbers.rs post(CONFIGURE)",
        &["POST ~/IncomingPhoneNumbers/{Sid}.json"],
    ),
    (
        "numbers.rs post(RENAME)",
        &["POST ~/IncomingPhoneNumbers/{Sid}.json"],
    ),
    (
        "parts.rs delete(DETACH)",
        &["DELETE /v1/Trunks/{TrunkSid}/PhoneNumbers/{Sid}"],
    ),
    (
        "parts.rs delete(DROP)",
        &["DELETE ~/SIP/CredentialLists/{CredentialListSid}/Credentials/{Sid}.json"],
    ),
    (
        "parts.rs delete(operation)",
        &[
            "DELETE /v1/Trunks/{TrunkSid}/CredentialLists/{Sid}",
            "DELETE /v1/Trunks/{TrunkSid}/OriginationUrls/{Sid}",
            "DELETE /v1/Trunks/{TrunkSid}/PhoneNumbers/{Sid}",
        ],
    ),
    ("parts.rs delete(operation)", &["DELETE /v1/Trunks/{Sid}"]),
    (
        "parts.rs delete(operation)",
        &["DELETE ~/SIP/CredentialLists/{Sid}.json"],
    ),
    ("parts.rs get(operation)", &["GET /v1/Trunks"]),
    ("parts.rs get(operation)", &["GET /v1/Trunks"]),
    (
        "parts.rs post(ATTACH)",
        &["POST /v1/Trunks/{TrunkSid}/CredentialLists"],
    ),
    (
        "parts.rs post(ATTACH)",
        &["POST /v1/Trunks/{TrunkSid}/PhoneNumbers"],
    ),
    ("parts.rs post(MAKE)", &["POST /v1/Trunks"]),
    ("parts.rs post(MAKE)", &["POST ~/SIP/CredentialLists.json"]),
    (
        "parts.rs post(SEND)",
        &["POST /v1/Trunks/{TrunkSid}/OriginationUrls"],
    ),
    (
        "parts.rs post(SEND)",
        &["POST /v1/Trunks/{TrunkSid}/OriginationUrls/{Sid}"],
    ),
    (
        "parts.rs post(SET)",
        &["POST ~/SIP/CredentialLists/{CredentialListSid}/Credentials.json"],
    ),
    (
        "parts.rs post(SET)",
        &["POST ~/SIP/CredentialLists/{CredentialListSid}/Credentials/{Sid}.json"],
    ),
    (
        "porting.rs delete(CANCEL)",
        &["DELETE /v1/Porting/PortIn/{PortInRequestSid}"],
    ),
    (
        "porting.rs get(CHECK)",
        &["GET /v1/Porting/Portability/PhoneNumber/{PhoneNumber}"],
    ),
    (
        "porting.rs get(FETCH)",
        &["GET /v1/Porting/PortIn/{PortInRequestSid}"],
    ),
    ("porting.rs get(FIND)", &["GET /v1/Porting/PortIn/PortInRequests"]),
    ("porting.rs post(SUBMIT)", &["POST /v1/Porting/PortIn"]),
    (
        "pricing.rs get(PRICES)",
        &["GET /v1/PhoneNumbers/Countries/{IsoCountry}"],
    ),
    (
        "regulations.rs get(REQUIREMENTS)",
        &["GET ~/AvailablePhoneNumbers/{CountryCode}/Local.json"],
    ),
    ("subaccounts.rs get(FIND)", &["GET /2010-04-01/Accounts.json"]),
    ("subaccounts.rs get(FIND)", &["GET /2010-04-01/Accounts.json"]),
    ("subaccounts.rs get(LIST)", &["GET /2010-04-01/Accounts.json"]),
    ("subaccounts.rs get(LIST)", &["GET /2010-04-01/Accounts.json"]),
    (
        "subaccounts.rs get(operation)",
        &["GET /2010-04-01/Accounts/{Sid}.json"],
    ),
    ("subaccounts.rs post(MAKE)", &["POST /2010-04-01/Accounts.json"]),
    (
        "subaccounts.rs post(operation)",
        &["POST /2010-04-01/Accounts/{Sid}.json"],
    ),
];
const EVERY_LIST: &[&str] = &[
    "GET ~/SIP/CredentialLists.json",
    "GET ~/SIP/CredentialLists/{CredentialListSid}/Credentials.json",
    "GET /v1/Trunks",
    "GET /v1/Trunks/{TrunkSid}/CredentialLists",
    "GET /v1/Trunks/{TrunkSid}/OriginationUrls",
    "GET /v1/Trunks/{TrunkSid}/PhoneNumbers",
    "GET /v2/RegulatoryCompliance/Regulations",
];

/// What the emulator answers although the schemas of a document say otherwise: a part of the violation, and the reason.
const DEVIATIONS: [(&str, &str, &str); 3] = [
    (
        API,
        "/sms_application_sid: \"\" is not valid",
        "the schema wants a SID or null, but the document's own examples have the empty text for none",
    ),
    (
        API,
        "/voice_application_sid: \"\" is not valid",
        "the schema wants a SID or null, but the document's own examples have the empty text for none",
    ),
    (
        PRICING,
        "/phone_number_prices: [",
        "the schema wants numbers, but the document's own examples have texts",
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

/// The documents that are there, by their names.
struct Documents(BTreeMap<&'static str, Spec>);

impl Documents {
    /// `None` without the one of the 2010 API.
    fn load() -> Option<Self> {
        let there = DOCUMENTS.iter().filter_map(|(file, _)| {
            let spec = match *file {
                API | TRUNKING => Spec::load(file, check),
                _ => Spec::load_if_kept(file, check),
            };
            Some((*file, spec?))
        });
        let there: BTreeMap<_, _> = there.collect();
        there.contains_key(API).then_some(Self(there))
    }

    fn has(&self, file: &str) -> bool {
        self.0.contains_key(file)
    }

    fn of(&self, path: &str) -> Option<&Spec> {
        let (file, _) = DOCUMENTS.iter().find(|(_, prefix)| path.starts_with(prefix))?;
        self.0.get(file)
    }

    /// Everything that the adapter may ask of the hosts whose document is there.
    fn contracts(&self) -> BTreeSet<String> {
        let operations = CONTRACTS.iter().flat_map(|(_, operations)| *operations);
        operations
            .map(|operation| operation.replacen('~', "/2010-04-01/Accounts/{AccountSid}", 1))
            .filter(|operation| {
                self.of(operation.split_once(' ').expect("method and path").1)
                    .is_some()
            })
            .collect()
    }

    /// Each exchange with its document; those without one are left out.
    fn sorted(&self, exchanges: Vec<Exchange>) -> Vec<(&Spec, Vec<Exchange>)> {
        let mut exchanges = exchanges;
        for exchange in &mut exchanges {
            // The formats of path parameters are those of the values.
            exchange.path = exchange.path.replace("%2B", "+");
        }
        let of = |prefix: &str| {
            let ours = exchanges
                .iter()
                .filter(|exchange| exchange.path.starts_with(prefix));
            ours.cloned().collect()
        };
        DOCUMENTS
            .iter()
            .filter_map(|(file, prefix)| Some((self.0.get(file)?, of(prefix))))
            .collect()
    }

    /// The document's own example, but for what the steps need: a number without a trunk, another list of credentials
    /// at a trunk than the account's, and refusals.
    fn answer(&self, exchange: &Exchange) -> Answer {
        let refused = exchange.path.contains(steps::CALL_OVER) || exchange.path.contains(steps::ACCOUNT_OVER);
        if exchange.method == "POST" && refused {
            return Answer::json(400, &json!({"code": 20001, "message": "no", "status": 400}));
        }
        let operation = self
            .of(&exchange.path)
            .map(|spec| spec.operation(&exchange.method, &exchange.path));
        let Some(Ok(operation)) = operation else {
            return Answer::empty(404);
        };
        let mut answer = operation.answer();
        let (field, of, value) = match operation.name() {
            "GET /2010-04-01/Accounts/{AccountSid}/IncomingPhoneNumbers.json" => {
                ("trunk_sid", "incoming_phone_numbers", Value::Null)
            }
            "GET /v1/Trunks/{TrunkSid}/CredentialLists" => {
                ("sid", "credential_lists", json!(steps::OTHER_LIST))
            }
            _ => return answer,
        };
        let mut page: Value = serde_json::from_slice(&answer.body).expect("the example is JSON");
        page[of][0][field] = value;
        answer.body = page.to_string().into();
        answer
    }
}

#[test]
fn every_place_that_makes_a_request_to_twilio_has_a_contract() {
    let mut known: Vec<_> = CONTRACTS.iter().map(|(site, _)| (*site).to_owned()).collect();
    known.sort();
    assert_eq!(request_sites("twilio"), known);
}

#[tokio::test]
async fn every_request_to_twilio_is_one_that_it_specifies() {
    let Some(documents) = Documents::load().map(Arc::new) else {
        return;
    };
    let answering = Arc::clone(&documents);
    let recorder = Recorder::answering(move |exchange| answering.answer(exchange)).await;
    let twilio = Twilio::builder(ACCOUNT, "the token".into())
        .with_base_url(recorder.url().clone())
        .with_retry(RetryPolicy::none())
        .build()
        .expect("a valid set-up");

    steps::ask_for_numbers(&twilio).await;
    steps::ask_for_calls(&twilio).await;
    steps::ask_for_subaccounts(&twilio).await;
    if documents.has(TRUNKING) {
        steps::ask_for_trunks(&twilio).await;
    }
    if documents.has(REGULATIONS) {
        steps::ask_for_requirements(&twilio).await;
    }
    if documents.has(PORTING) {
        steps::ask_for_ports(&twilio).await;
    }

    let (mut operations, mut violations) = (BTreeSet::new(), Vec::new());
    for (spec, exchanges) in documents.sorted(recorder.exchanges()) {
        let (asked, wrong) = examine_requests(spec, &exchanges);
        operations.extend(asked);
        violations.extend(wrong);
    }
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(operations, documents.contracts());
}

#[tokio::test]
async fn the_emulator_answers_what_twilio_specifies() {
    let Some(documents) = Documents::load() else {
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

    steps::use_numbers_and_calls(&emulator, &twilio).await;
    steps::use_trunks(&twilio).await;
    steps::use_subaccounts(&twilio).await;
    steps::use_ports(&emulator, &twilio).await;

    let (mut operations, mut violations) = (BTreeSet::new(), Vec::new());
    for (spec, exchanges) in documents.sorted(recorder.exchanges()) {
        let (answered, wrong) = examine_answers(spec, &exchanges);
        operations.extend(answered);
        violations.extend(wrong);
    }
    for (_, text, reason) in DEVIATIONS.into_iter().filter(|(file, ..)| documents.has(file)) {
        let before = violations.len();
        violations.retain(|what| !what.contains(text));
        assert_ne!(
            violations.len(),
            before,
            "{text}: nothing deviates any more ({reason})"
        );
    }
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(operations, documents.contracts());
}
