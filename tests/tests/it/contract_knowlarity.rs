//! Knowlarity: what the adapter makes of the emulator's answers and streams. No machine-readable document of
//! Knowlarity's exists to check both against.

use std::time::Duration;

use jiff::Timestamp;
use rstest::rstest;
use serde_json::json;
use url::Url;
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind, Recovery,
        telephony::{
            CallProvider, NumberOrder, NumberProvider, NumberQuery, NumberWebhooks, ProviderCallId,
            ProviderCallStatus,
        },
    },
};
use voice_saas_providers::{
    emulator::{Emulator, EmulatorConfig, Fault, FaultKind, KnowlarityScript, Operation},
    http::RetryPolicy,
    knowlarity::{
        CallDirection, CallLogEntry, CallLogQuery, Knowlarity, LiveEvent, LiveEventKind, LiveEvents, MakeCall,
    },
};
use voice_saas_tests::spec::request_sites;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const AGENT: &str = "+919812345678";
pub(crate) const CUSTOMER: &str = "+919876543210";
pub(crate) const TALK: Duration = Duration::from_secs(30);

/// An account with one number, and its adapter.
pub(crate) struct Bench {
    pub(crate) emulator: Emulator,
    pub(crate) knowlarity: Knowlarity,
    pub(crate) number: E164,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let emulator = Emulator::start(EmulatorConfig::new(([127, 0, 0, 1], 0).into()))
            .await
            .expect("a free port");
        let keys = (emulator.knowlarity_authorization(), emulator.knowlarity_api_key());
        let knowlarity = Knowlarity::builder(keys.0.clone(), keys.1.clone())
            .with_base_url(emulator.url().clone())
            .with_plan(emulator.knowlarity_plan())
            .with_webhook_secret(SECRET.into())
            .with_call_interval(Duration::ZERO)
            .with_retry(RetryPolicy::none())
            .build()
            .expect("a valid set-up");
        let number = allocate(&knowlarity).await;
        Self {
            emulator,
            knowlarity,
            number,
        }
    }

    fn call(&self) -> MakeCall {
        MakeCall::new(self.number.clone(), e164(AGENT), e164(CUSTOMER)).with_reference("op-1")
    }

    pub(crate) fn script(&self, script: KnowlarityScript) {
        self.emulator
            .set_knowlarity_script(CUSTOMER, script)
            .expect("a possible script");
    }

    pub(crate) fn fault(&self, operation: Operation, kind: FaultKind) {
        self.emulator
            .inject(Fault::new(operation, kind))
            .expect("a possible fault");
    }

    async fn status(&self, id: &ProviderCallId) -> ProviderCallStatus {
        self.knowlarity.fetch(id).await.expect("the log is read").status
    }

    /// The customer's calls in the log.
    async fn log(&self) -> Vec<CallLogEntry> {
        let now = Timestamp::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        let query = CallLogQuery::new(Timestamp::UNIX_EPOCH, now).with_customer(&e164(CUSTOMER));
        self.knowlarity
            .call_log(&query, None)
            .await
            .expect("the log is read")
            .items
    }

    fn requests(&self, path: &str) -> usize {
        self.emulator
            .requests()
            .iter()
            .filter(|it| it.path.ends_with(path))
            .count()
    }
}

fn e164(text: &str) -> E164 {
    text.parse().expect("a number")
}

async fn allocate(knowlarity: &Knowlarity) -> E164 {
    let query = NumberQuery::new("IN".parse().expect("a country")).with_area_code("Karnataka");
    let found = knowlarity.search(&query).await.expect("the search is answered");
    let number = found.first().expect("stock").number.clone();
    let url: Url = "https://voice.example.com/".parse().expect("a URL");
    let order = NumberOrder::new(number, "", NumberWebhooks::new(url.clone(), url.clone(), url));
    knowlarity.buy(&order).await.expect("it can be taken").number
}

async fn until(events: &mut LiveEvents, kind: LiveEventKind) -> (LiveEvent, Vec<LiveEventKind>) {
    let mut kinds = Vec::new();
    loop {
        let event = events
            .next()
            .await
            .expect("the stream goes on")
            .expect("it holds");
        if event.kind == kind {
            return (event, kinds);
        }
        kinds.push(event.kind);
    }
}

#[tokio::test]
async fn a_placed_call_is_followed_live_and_ends_in_the_log() {
    use LiveEventKind::{AgentAnswer, AgentCall, Bridge, CustomerCall, Hangup, Originate, Record};
    let bench = Bench::start().await;
    let numbers = [bench.number.clone()];
    bench
        .knowlarity
        .register_for_events(&numbers)
        .await
        .expect("it is ours");
    let mut events = bench.knowlarity.live_events().await.expect("a stream");
    let placed = bench
        .knowlarity
        .make_call(&bench.call())
        .await
        .expect("it is placed");

    let (bridge, before) = until(&mut events, Bridge).await;
    assert_eq!(before, [Originate, AgentCall, AgentAnswer, CustomerCall]);
    assert_eq!(
        (&bridge.call, &bridge.number),
        (&Some(placed.id.clone()), &Some(bench.number.clone()))
    );
    assert_eq!(
        bridge.progress().map(|it| it.status),
        Some(ProviderCallStatus::InProgress)
    );
    assert_eq!(
        bench.status(&placed.id).await,
        ProviderCallStatus::Unknown,
        "no log has it yet"
    );

    bench.emulator.advance_clock(TALK);
    let (record, before) = until(&mut events, Record).await;
    assert_eq!(before, [Hangup, Hangup]);
    let progress = record.progress().expect("it is over");
    assert_eq!(
        (progress.status, progress.duration),
        (ProviderCallStatus::Completed, Some(TALK))
    );
    assert_eq!(bench.status(&placed.id).await, ProviderCallStatus::Completed);
    let log = bench.log().await;
    assert_eq!(
        (log.len(), &log[0].id, &log[0].agent),
        (1, &placed.id, &Some(e164(AGENT)))
    );
    assert_eq!(log[0].direction, Some(CallDirection::Outbound));
    let state = &bench.emulator.state()["knowlarity"];
    assert_eq!(state["calls"][0]["additional_params"]["uniqueid"], "op-1");
    assert_eq!(state["registered_numbers"], json!([bench.number]));
}

#[rstest]
#[case(KnowlarityScript::agent_misses())]
#[case(KnowlarityScript::customer_misses())]
#[tokio::test]
async fn a_call_that_somebody_missed_was_not_answered(#[case] script: KnowlarityScript) {
    let bench = Bench::start().await;
    bench.script(script);
    let mut events = bench.knowlarity.live_events().await.expect("a stream");
    let placed = bench
        .knowlarity
        .make_call(&bench.call())
        .await
        .expect("it is placed");
    let (record, _) = until(&mut events, LiveEventKind::Record).await;
    assert_eq!(
        record.progress().map(|it| it.status),
        Some(ProviderCallStatus::NoAnswer)
    );
    assert_eq!(bench.status(&placed.id).await, ProviderCallStatus::NoAnswer);
}

#[tokio::test]
async fn a_call_whose_answer_was_lost_is_looked_for_and_not_placed_again() {
    let bench = Bench::start().await;
    let mut events = bench.knowlarity.live_events().await.expect("a stream");
    bench.fault(Operation::MakeCall, FaultKind::AnswerLost);
    let error = bench
        .knowlarity
        .make_call(&bench.call())
        .await
        .expect_err("no answer came");
    assert_eq!(error.recovery(), Recovery::Reconcile);
    until(&mut events, LiveEventKind::Bridge).await;
    bench.emulator.advance_clock(TALK);
    until(&mut events, LiveEventKind::Record).await;
    assert_eq!(bench.log().await.len(), 1);
    assert_eq!(bench.requests("call/makecall"), 1);
}

#[tokio::test]
async fn a_success_without_a_success_is_no_success() {
    let bench = Bench::start().await;
    bench.script(KnowlarityScript::refused());
    let refused = bench
        .knowlarity
        .make_call(&bench.call())
        .await
        .expect_err("it was refused");
    assert_eq!(
        (refused.kind(), refused.recovery()),
        (ErrorKind::Forbidden, Recovery::GiveUp)
    );
    bench.script(KnowlarityScript::says_nothing());
    let unclear = bench
        .knowlarity
        .make_call(&bench.call())
        .await
        .expect_err("nothing was said");
    assert_eq!(unclear.recovery(), Recovery::Reconcile);
    let foreign = MakeCall::new(e164("+918040999999"), e164(AGENT), e164(CUSTOMER));
    let foreign = bench
        .knowlarity
        .make_call(&foreign)
        .await
        .expect_err("the number is not ours");
    assert_eq!(foreign.recovery(), Recovery::GiveUp);
}

#[tokio::test]
async fn wrong_keys_are_refused_everywhere() {
    let bench = Bench::start().await;
    let api_key = bench.emulator.knowlarity_api_key().clone();
    let stranger = Knowlarity::builder("another-key".into(), api_key)
        .with_base_url(bench.emulator.url().clone())
        .build()
        .expect("a valid set-up");
    let errors = [
        stranger.list(None).await.expect_err("a wrong key"),
        stranger.make_call(&bench.call()).await.expect_err("a wrong key"),
        stranger.live_events().await.expect_err("a wrong key"),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    }
    let key = "another-key";
    assert!(
        !format!("{:?}", bench.emulator.requests()).contains(key),
        "the stream's path holds the key"
    );
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_and_can_be_opened_again() {
    let bench = Bench::start().await;
    bench.fault(Operation::LiveStream, FaultKind::DropSocket);
    let mut events = bench.knowlarity.live_events().await.expect("a stream");
    bench
        .knowlarity
        .make_call(&bench.call())
        .await
        .expect("it is placed");
    let error = events.next().await.expect("it breaks").expect_err("it breaks");
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(events.next().await.is_none(), "nothing follows");
    let mut events = bench.knowlarity.live_events().await.expect("a stream");
    bench.emulator.advance_clock(TALK);
    until(&mut events, LiveEventKind::Record).await;
}

#[tokio::test]
async fn a_number_ends_with_its_plan() {
    let bench = Bench::start().await;
    let held = bench
        .knowlarity
        .held_numbers(None)
        .await
        .expect("the list is given")
        .items;
    let plans = bench.knowlarity.plans().await.expect("the list is given");
    assert_eq!((held.len(), held[0].expires_at), (1, plans[0].expires_at));
    assert!(!held[0].expired && held[0].expires_at.is_some());
    bench.emulator.advance_clock(Duration::from_hours(366 * 24));
    let find = bench
        .knowlarity
        .find(&bench.number)
        .await
        .expect("the account is looked into");
    assert_eq!(find, None);
    assert_eq!(
        bench
            .knowlarity
            .list(None)
            .await
            .expect("the list is given")
            .items,
        []
    );
    let held = bench
        .knowlarity
        .held_numbers(None)
        .await
        .expect("the list is given")
        .items;
    assert!(held[0].expired);
}

#[tokio::test]
async fn a_number_that_staff_assigned_is_found_to_be_imported() {
    let bench = Bench::start().await;
    let number = e164("+918066001234");
    assert_eq!(bench.knowlarity.find(&number).await.expect("an answer"), None);
    bench
        .emulator
        .assign_knowlarity_number(number.as_str())
        .expect("a number");
    let found = bench
        .knowlarity
        .find(&number)
        .await
        .expect("an answer")
        .expect("it is ours");
    assert_eq!(found.number, number);
}

#[test]
fn every_place_that_makes_a_request_to_knowlarity_is_known() {
    let known = [
        "call_log.rs get(LOG)",
        "calls.rs post(PLACE)",
        "calls.rs post(REGISTER)",
        "live.rs get(FOLLOW)",
        "numbers.rs get(operation)",
        "numbers.rs post(ALLOCATE)",
        "plans.rs get(CIRCLES)",
        "plans.rs get(PLANS)",
        "plans.rs get(operation)",
    ];
    assert_eq!(request_sites("knowlarity"), known);
}
