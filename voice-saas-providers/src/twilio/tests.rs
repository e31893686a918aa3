//! The adapter against the emulator, which keeps state: trunks that go on after any failure, subaccounts that are apart,
//! ports that take their time.

use std::time::Duration;

use serde_json::Value;
use voice_saas_core::{
    phone::{Country, E164},
    provider::{
        ErrorKind, ProviderError,
        telephony::{
            self, AddressRequirement, CarrierCustomer, LosingCarrier, NumberKind, NumberOrder,
            NumberProvider, NumberQuery, NumberWebhooks, PortAddress, PortNumber, PortOrder, PortState,
            ProviderNumber, ProviderTrunk, Removal, SipCredentials, SubaccountState, TelephonyProvider,
            TrunkOrder,
        },
    },
    secret::ExposeSecret,
};

use super::Twilio;
use crate::{
    emulator::{Emulator, EmulatorConfig, Fault, FaultKind, Operation, PlaceCall},
    http::RetryPolicy,
};

const TAG: &str = "trk_1";
const DAY: Duration = Duration::from_hours(24);

struct Bench {
    emulator: Emulator,
    twilio: Twilio,
}

impl Bench {
    async fn start() -> Self {
        let emulator = Emulator::start(EmulatorConfig::new(([127, 0, 0, 1], 0).into()))
            .await
            .unwrap();
        let twilio = Twilio::builder(
            emulator.twilio_account_sid(),
            emulator.twilio_auth_token().clone(),
        )
        .with_base_url(emulator.url().clone())
        .with_retry(RetryPolicy::none())
        .build()
        .unwrap();
        Self { emulator, twilio }
    }

    fn trunks(&self) -> &dyn telephony::TrunkProvider {
        self.twilio.trunks().unwrap()
    }

    fn state(&self, of: &str) -> Vec<Value> {
        self.emulator.state()["twilio"][of].as_array().unwrap().clone()
    }

    fn inject(&self, operation: Operation, kind: FaultKind) {
        self.emulator.inject(Fault::new(operation, kind)).unwrap();
    }
}

async fn buy(twilio: &Twilio) -> ProviderNumber {
    let found = twilio.search(&NumberQuery::new(Country::US)).await.unwrap();
    twilio.buy(&order_of(found[0].number.clone())).await.unwrap()
}

fn order_of(number: E164) -> NumberOrder {
    let url = || "https://example.com/voice".parse().unwrap();
    NumberOrder::new(number, "saga_1", NumberWebhooks::new(url(), url(), url()))
}

fn trunk_order(number: &E164) -> TrunkOrder {
    let credentials = SipCredentials::new("acme", "Abcdefghijk1".into());
    TrunkOrder::new(TAG, number.clone()).with_peer("acme.sip.livekit.cloud", Some(credentials))
}

/// What a trunk must be, whatever went wrong on the way.
#[track_caller]
fn assert_whole(bench: &Bench, trunk: &ProviderTrunk, number: &ProviderNumber) {
    assert!(trunk.complete);
    let [kept] = bench.state("trunks").try_into().unwrap();
    assert_eq!(kept["phone_numbers"], serde_json::json!([number.number]));
    let [url]: [Value; 1] = kept["origination_urls"]
        .as_array()
        .unwrap()
        .clone()
        .try_into()
        .unwrap();
    assert_eq!(url["sip_url"], "sip:acme.sip.livekit.cloud;transport=tcp");
    let [list] = bench.state("credential_lists").try_into().unwrap();
    assert_eq!(kept["credential_lists"], serde_json::json!([list["sid"]]));
    let [credential]: [Value; 1] = list["credentials"]
        .as_array()
        .unwrap()
        .clone()
        .try_into()
        .unwrap();
    assert_eq!(
        (&credential["username"], &credential["password"]),
        (&"acme".into(), &"Abcdefghijk1".into())
    );
    assert_eq!(kept["domain_name"], trunk.sip_host.as_deref().unwrap());
    assert_eq!(bench.state("numbers")[0]["trunk_sid"], kept["sid"]);
}

#[tokio::test]
async fn a_trunk_is_made_found_listed_and_taken_away() {
    let bench = Bench::start().await;
    let number = buy(&bench.twilio).await;
    let made = bench.trunks().ensure(&trunk_order(&number.number)).await.unwrap();
    assert_whole(&bench, &made, &number);
    let again = bench.trunks().ensure(&trunk_order(&number.number)).await.unwrap();
    assert_eq!(again, made);
    assert_whole(&bench, &again, &number);
    assert_eq!(
        bench.trunks().find(TAG, &number.number).await.unwrap(),
        Some(made.clone())
    );
    assert_eq!(
        bench.trunks().list(None).await.unwrap().items,
        std::slice::from_ref(&made)
    );
    let configured = bench
        .twilio
        .configure(&number.id, &order_of(number.number.clone()).webhooks)
        .await;
    assert_eq!(configured.unwrap_err().kind(), ErrorKind::Conflict);

    assert_eq!(
        bench.trunks().delete(&made.handle).await.unwrap(),
        Removal::Removed
    );
    assert_eq!(
        bench.trunks().delete(&made.handle).await.unwrap(),
        Removal::AlreadyGone
    );
    assert!(bench.state("trunks").is_empty() && bench.state("credential_lists").is_empty());
    assert_eq!(bench.state("numbers")[0]["trunk_sid"], Value::Null);
    assert_eq!(bench.trunks().find(TAG, &number.number).await.unwrap(), None);
}

#[tokio::test]
async fn a_trunk_of_the_same_name_gets_another_domain_after_the_first_was_deleted() {
    let bench = Bench::start().await;
    let number = buy(&bench.twilio).await;
    let first = bench.trunks().ensure(&trunk_order(&number.number)).await.unwrap();
    bench.trunks().delete(&first.handle).await.unwrap();
    let second = bench.trunks().ensure(&trunk_order(&number.number)).await.unwrap();
    assert_ne!(first.sip_host, second.sip_host);
    assert_whole(&bench, &second, &number);
    bench.trunks().delete(&second.handle).await.unwrap();
    bench.emulator.advance_clock(31 * DAY);
    let third = bench.trunks().ensure(&trunk_order(&number.number)).await.unwrap();
    assert_eq!(first.sip_host, third.sip_host);
}

#[tokio::test]
async fn a_trunk_goes_on_after_a_failure_at_every_step() {
    let steps = [
        Operation::ListNumbers,
        Operation::ListTrunks,
        Operation::CreateTrunk,
        Operation::ListTrunkParts,
        Operation::SetOriginationUrl,
        Operation::ListCredentialLists,
        Operation::CreateCredentialList,
        Operation::SetCredential,
        Operation::AttachCredentialList,
        Operation::AttachNumber,
    ];
    for step in steps {
        for kind in [FaultKind::AnswerLost, FaultKind::ServerError, FaultKind::Refused] {
            let bench = Bench::start().await;
            let number = buy(&bench.twilio).await;
            bench.inject(step, kind);
            let order = trunk_order(&number.number);
            bench.trunks().ensure(&order).await.expect_err("the fault is met");
            let left = bench.trunks().find(TAG, &number.number).await.unwrap();
            // The number comes last, so only the loss of that answer leaves a whole trunk behind.
            let whole = step == Operation::AttachNumber && kind == FaultKind::AnswerLost;
            assert_eq!(left.is_some_and(|left| left.complete), whole, "{step:?} {kind:?}");
            let trunk = bench.trunks().ensure(&order).await.unwrap();
            assert_whole(&bench, &trunk, &number);
        }
    }
}

#[tokio::test]
async fn a_deletion_goes_on_after_a_failure_at_every_step() {
    let steps = [
        Operation::ListTrunkParts,
        Operation::DetachTrunkPart,
        Operation::DeleteTrunk,
        Operation::DeleteCredentialList,
    ];
    for step in steps {
        for kind in [FaultKind::AnswerLost, FaultKind::ServerError] {
            let bench = Bench::start().await;
            let number = buy(&bench.twilio).await;
            let trunk = bench.trunks().ensure(&trunk_order(&number.number)).await.unwrap();
            bench.inject(step, kind);
            bench
                .trunks()
                .delete(&trunk.handle)
                .await
                .expect_err("the fault is met");
            bench.trunks().delete(&trunk.handle).await.unwrap();
            assert!(bench.state("trunks").is_empty(), "{step:?} {kind:?}");
            assert!(bench.state("credential_lists").is_empty(), "{step:?} {kind:?}");
            assert_eq!(bench.state("numbers").len(), 1, "the number stays");
        }
    }
}

#[tokio::test]
async fn what_is_left_of_a_trunk_is_listed_and_can_be_taken_away() {
    let bench = Bench::start().await;
    let number = buy(&bench.twilio).await;
    bench.inject(Operation::AttachCredentialList, FaultKind::Refused);
    let order = trunk_order(&number.number);
    bench.trunks().ensure(&order).await.expect_err("the fault is met");
    let [left] = bench.trunks().list(None).await.unwrap().items.try_into().unwrap();
    assert!(!left.complete && left.tag == TAG && left.numbers.is_empty());
    assert_eq!(
        bench.trunks().delete(&left.handle).await.unwrap(),
        Removal::Removed
    );
    assert!(bench.state("trunks").is_empty() && bench.state("credential_lists").is_empty());
}

#[tokio::test]
async fn many_trunks_are_listed_on_several_pages() {
    let bench = Bench::start().await;
    let mut tags = Vec::new();
    for at in 0..22 {
        let tag = format!("trk_{at}");
        let number = buy(&bench.twilio).await.number;
        let order = TrunkOrder::new(&tag, number).with_peer("a.example", None);
        bench.trunks().ensure(&order).await.unwrap();
        tags.push(tag);
    }
    let first = bench.trunks().list(None).await.unwrap();
    assert_eq!(first.items.len(), 20);
    let last = bench.trunks().list(first.next.as_deref()).await.unwrap();
    assert_eq!(last.next, None);
    let mut seen: Vec<String> = [first.items, last.items]
        .concat()
        .into_iter()
        .map(|it| it.tag)
        .collect();
    seen.reverse();
    assert_eq!(seen, tags);
}

#[tokio::test]
async fn numbers_show_their_price_their_address_and_how_near_they_are() {
    let bench = Bench::start().await;
    let near = NumberQuery::new(Country::US)
        .with_near("+14155550100".parse().unwrap(), 25)
        .with_limit(200);
    let found = bench.twilio.search(&near).await.unwrap();
    let places: Vec<_> = found
        .iter()
        .filter_map(|number| number.locality.as_deref())
        .collect();
    assert!(
        places.contains(&"Oakland") && !places.contains(&"San Jose"),
        "{places:?}"
    );
    assert!(
        found
            .iter()
            .all(|number| number.monthly_price.unwrap().amount_micros() == 1_150_000)
    );
    let british = NumberQuery::new("GB".parse().unwrap());
    let british = bench.twilio.search(&british).await.unwrap();
    assert_eq!(british[0].address, AddressRequirement::Any);
    let asked = bench.emulator.requests();
    let prices = asked
        .iter()
        .filter(|request| request.path.starts_with("/v1/PhoneNumbers"));
    assert_eq!(prices.count(), 2, "once for each country");
    let number = buy(&bench.twilio).await;
    assert!(number.held_since.is_some() && number.monthly_price.is_some());
}

#[tokio::test]
async fn numbers_are_sold_without_a_price_when_there_is_none_to_be_had() {
    let bench = Bench::start().await;
    bench.inject(Operation::FetchPrices, FaultKind::ServerError);
    assert_eq!(buy(&bench.twilio).await.monthly_price, None);
}

#[tokio::test]
async fn a_country_that_asks_for_papers_sells_to_who_has_them() {
    let bench = Bench::start().await;
    let german: Country = "DE".parse().unwrap();
    let asked = bench
        .twilio
        .requirements(german, NumberKind::Local)
        .await
        .unwrap();
    assert_eq!(asked.address, AddressRequirement::Local);
    assert_eq!(asked.documents, ["Business", "Business Name", "Address"]);
    let free = bench
        .twilio
        .requirements(Country::US, NumberKind::Local)
        .await
        .unwrap();
    assert!(free.is_empty());
    let none = bench
        .twilio
        .requirements(Country::US, NumberKind::Mobile)
        .await
        .unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NoInventory);

    let found = bench.twilio.search(&NumberQuery::new(german)).await.unwrap();
    let order = order_of(found[0].number.clone());
    for (address, bundle) in [(None, None), (Some("AD1"), None)] {
        let order = order.clone().with_requirements(address.map(Into::into), bundle);
        let error = bench.twilio.buy(&order).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequirementsMissing);
    }
    let order = order.with_requirements(Some("AD1".into()), Some("BU1".into()));
    bench.twilio.buy(&order).await.unwrap();
    let kept = &bench.state("numbers")[0];
    assert_eq!(
        (&kept["address_sid"], &kept["bundle_sid"]),
        (&"AD1".into(), &"BU1".into())
    );
}

async fn kind_of<T>(answer: impl Future<Output = Result<T, ProviderError>>) -> ErrorKind {
    answer.await.err().expect("it is refused").kind()
}

#[tokio::test]
async fn a_subaccount_has_its_own_numbers_and_trunks_and_credentials() {
    let bench = Bench::start().await;
    let accounts = bench.twilio.subaccounts().unwrap();
    bench.inject(Operation::CreateSubaccount, FaultKind::AnswerLost);
    accounts.ensure("ten_1").await.expect_err("the answer is lost");
    let account = accounts.ensure("ten_1").await.unwrap();
    assert_eq!(accounts.ensure("ten_1").await.unwrap().id, account.id);
    assert_eq!(accounts.list(None).await.unwrap().items.len(), 1);

    let secret = account.secret.unwrap();
    let own = bench.twilio.for_subaccount(&account.id, secret.clone()).unwrap();
    let number = buy(&own).await;
    let trunk = own
        .trunks()
        .unwrap()
        .ensure(&trunk_order(&number.number))
        .await
        .unwrap();
    assert_eq!(bench.twilio.find(&number.number).await.unwrap(), None);
    assert_eq!(bench.trunks().find(TAG, &number.number).await.unwrap(), None);
    assert_eq!(
        bench.trunks().delete(&trunk.handle).await.unwrap(),
        Removal::AlreadyGone
    );
    assert_eq!(
        own.trunks().unwrap().find(TAG, &number.number).await.unwrap(),
        Some(trunk)
    );
    let wrong = bench.twilio.for_subaccount(&account.id, "wrong".into()).unwrap();
    assert_eq!(kind_of(wrong.find(&number.number)).await, ErrorKind::Unauthorized);
    assert_eq!(
        kind_of(own.subaccounts().unwrap().ensure("ten_2")).await,
        ErrorKind::Unauthorized
    );
    assert!(!secret.expose_secret().is_empty());
}

#[tokio::test]
async fn a_suspended_subaccount_keeps_its_numbers_and_a_closed_one_loses_them() {
    let bench = Bench::start().await;
    let accounts = bench.twilio.subaccounts().unwrap();
    let account = accounts.ensure("ten_1").await.unwrap();
    let own = bench
        .twilio
        .for_subaccount(&account.id, account.secret.unwrap())
        .unwrap();
    let number = buy(&own).await;
    accounts.suspend(&account.id).await.unwrap();
    assert_eq!(
        accounts.find("ten_1").await.unwrap().unwrap().state,
        SubaccountState::Suspended
    );
    let other = own
        .search(&NumberQuery::new(Country::US))
        .await
        .unwrap()
        .remove(0)
        .number;
    assert_eq!(kind_of(own.buy(&order_of(other))).await, ErrorKind::Forbidden);
    let call = bench
        .emulator
        .place_call(PlaceCall::new("+14155550199", number.number.as_str()))
        .unwrap();
    let report = bench.emulator.wait_for_call(&call).await.unwrap();
    assert!(
        report.webhooks.is_empty(),
        "nobody is asked: {:?}",
        report.webhooks
    );
    accounts.resume(&account.id).await.unwrap();
    assert!(own.find(&number.number).await.unwrap().is_some());

    assert_eq!(accounts.close(&account.id).await.unwrap(), Removal::Removed);
    assert_eq!(accounts.close(&account.id).await.unwrap(), Removal::AlreadyGone);
    assert_eq!(kind_of(accounts.resume(&account.id)).await, ErrorKind::Conflict);
    assert_eq!(kind_of(own.find(&number.number)).await, ErrorKind::Unauthorized);
    assert!(bench.state("numbers").is_empty());
    assert!(accounts.find("ten_1").await.unwrap().is_none());
    let anew = accounts.ensure("ten_1").await.unwrap();
    assert_ne!(anew.id, account.id);
}

fn port_order(number: &E164, pin: &str, email: &str) -> PortOrder {
    let address = PortAddress::new("1 Main St", "Boston", "MA", "02101", Country::US);
    let carrier = LosingCarrier::new("Acme", CarrierCustomer::Business, address, "Ann Smith", email);
    let number = PortNumber::new(number.clone()).with_pin(pin.into());
    PortOrder::new(vec![number], carrier, vec!["RD1".into()])
}

#[tokio::test]
async fn a_port_takes_its_time_and_ends_with_the_number() {
    let bench = Bench::start().await;
    let ports = bench.twilio.porting().unwrap();
    let number: E164 = "+16175551212".parse().unwrap();
    assert!(ports.portability(&number).await.unwrap().portable);
    bench.inject(Operation::CreatePortIn, FaultKind::AnswerLost);
    let order = port_order(&number, "4711", "ann@example.com");
    ports.submit(&order).await.expect_err("the answer is lost");
    assert_eq!(kind_of(ports.submit(&order)).await, ErrorKind::Conflict);
    let port = ports.find(&number).await.unwrap().unwrap();
    assert!(!ports.portability(&number).await.unwrap().portable);
    let mut states = vec![port.state];
    for after in [2, 24, 8 * 24] {
        bench.emulator.advance_clock(Duration::from_hours(after));
        let port = ports.fetch(&port.id).await.unwrap();
        assert_eq!(
            port.signature_url.is_some(),
            port.state == PortState::WaitingForSignature
        );
        states.push(port.state);
    }
    assert_eq!(
        states,
        [
            PortState::Submitted,
            PortState::WaitingForSignature,
            PortState::InProgress,
            PortState::Completed,
        ]
    );
    assert!(bench.twilio.find(&number).await.unwrap().is_some());
    assert_eq!(ports.find(&number).await.unwrap(), None);
    assert_eq!(kind_of(ports.cancel(&port.id)).await, ErrorKind::Conflict);
}

#[tokio::test]
async fn a_port_can_be_rejected_expire_or_be_given_up() {
    let bench = Bench::start().await;
    let ports = bench.twilio.porting().unwrap();
    let number = |end: u8| format!("+161755512{end}").parse::<E164>().unwrap();
    let wrong_pin = ports
        .submit(&port_order(&number(10), "0000", "ann@example.com"))
        .await
        .unwrap();
    let unsigned = ports
        .submit(&port_order(&number(11), "1", "unsigned@example.com"))
        .await
        .unwrap();
    let unwanted = ports
        .submit(&port_order(&number(12), "1", "ann@example.com"))
        .await
        .unwrap();
    assert_eq!(ports.cancel(&unwanted.id).await.unwrap(), Removal::Removed);
    assert_eq!(ports.cancel(&unwanted.id).await.unwrap(), Removal::AlreadyGone);
    let unwanted = ports.fetch(&unwanted.id).await.unwrap();
    assert!(unwanted.state == PortState::Canceled && unwanted.reason.is_some());
    bench.emulator.advance_clock(31 * DAY);
    let rejected = ports.fetch(&wrong_pin.id).await.unwrap();
    assert_eq!(rejected.state, PortState::ActionRequired);
    assert_eq!(rejected.numbers[0].reason.as_deref(), Some("INVALID_PIN"));
    assert_eq!(ports.fetch(&unsigned.id).await.unwrap().state, PortState::Expired);
    assert!(bench.state("numbers").is_empty());
    assert_eq!(bench.state("port_ins").len(), 3);
    let toll_free = ports.portability(&"+18005551212".parse().unwrap()).await.unwrap();
    assert!(!toll_free.portable && toll_free.kind == Some(NumberKind::TollFree));
}
