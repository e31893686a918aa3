use std::time::Duration;

use reqwest::Method;

use super::app::App;
use super::{Bench, answer, send};
use crate::emulator::{CallStatus, CallerAudio, Fault, FaultKind, Operation, PlaceCall, Script};

fn brief() -> Script {
    Script::new().with_audio(CallerAudio::Silence).without_probe()
}

impl Bench {
    fn inject(&self, operation: Operation, kind: FaultKind) {
        self.emulator
            .inject(Fault::new(operation, kind))
            .expect("a possible fault");
    }

    async fn owned(&self) -> usize {
        let listed = self.get("IncomingPhoneNumbers.json").await.1;
        listed["incoming_phone_numbers"].as_array().map_or(0, Vec::len)
    }

    async fn ring(&self, number: &str) -> crate::emulator::CallReport {
        let sid = self
            .emulator
            .place_call(PlaceCall::new("+14155550199", number).with_script(brief()));
        self.emulator
            .wait_for_call(&sid.expect("the call is placed"))
            .await
            .expect("the call is known")
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_its_effect_and_a_refused_request_leaves_none() {
    let bench = Bench::start().await;
    let buy = || {
        let request = bench.twilio(Method::POST, "IncomingPhoneNumbers.json");
        send(request.form(&[("AreaCode", "512")]))
    };
    bench.inject(Operation::BuyNumber, FaultKind::AnswerLost);
    assert!(buy().await.is_err_and(|error| !error.is_connect()));
    assert_eq!(bench.owned().await, 1);
    bench.inject(Operation::BuyNumber, FaultKind::Refused);
    assert!(buy().await.is_err());
    assert_eq!(bench.owned().await, 1);
    assert_eq!(buy().await.expect("the faults are used up").status(), 201);
    let statuses: Vec<_> = bench
        .emulator
        .requests()
        .iter()
        .filter(|it| it.method == "POST")
        .map(|it| it.status)
        .collect();
    assert_eq!(statuses, [None, None, Some(201)]);
}

#[tokio::test]
async fn rate_limits_and_server_errors_wear_the_providers_shape() {
    let bench = Bench::start().await;
    let fault =
        Fault::new(Operation::ListNumbers, FaultKind::RateLimited).with_delay(Duration::from_millis(1_500));
    bench.emulator.inject(fault).expect("a possible fault");
    let limited = send(bench.twilio(Method::GET, "IncomingPhoneNumbers.json"));
    let limited = limited.await.expect("an answer");
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["retry-after"]),
        (429, &"2".parse().expect("a value"))
    );
    bench.inject(Operation::ListAgents, FaultKind::RateLimited);
    let (status, body) = answer(bench.elevenlabs(Method::GET, "/v1/convai/agents")).await;
    assert_eq!(
        (status, body["detail"]["code"].as_str()),
        (429, Some("rate_limit_exceeded"))
    );
    bench.inject(Operation::ListNumbers, FaultKind::ServerError);
    assert_eq!(bench.get("IncomingPhoneNumbers.json").await.0, 500);
    bench.inject(Operation::ListNumbers, FaultKind::ServerError);
    bench.emulator.clear_faults();
    assert_eq!(bench.get("IncomingPhoneNumbers.json").await.0, 200);
}

#[tokio::test]
async fn webhooks_are_lost_repeated_and_forged_on_demand() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer("/voice", "<Response/>");
    app.answer("/fallback", "<Response><Say>Sorry</Say></Response>");
    bench.inject(Operation::StatusWebhook, FaultKind::Duplicate);
    bench.ring(&number).await;
    let status = app.received("/status");
    assert_eq!(status.len(), 2);
    let token = "i-twilio-idempotency-token";
    assert_eq!(status[0].header(token), status[1].header(token));
    assert_eq!(
        status[0].parameter("SequenceNumber"),
        status[1].parameter("SequenceNumber")
    );

    bench.inject(Operation::VoiceWebhook, FaultKind::Refused);
    let report = bench.ring(&number).await;
    assert_eq!(
        (report.said, report.errors[0].code),
        (vec!["Sorry".to_owned()], 11_205)
    );

    bench.inject(Operation::VoiceWebhook, FaultKind::BadSignature);
    bench.ring(&number).await;
    let voice = app.received("/voice");
    let [good, forged] = &voice[..] else {
        panic!("two requests for TwiML reached the application")
    };
    let signature = "x-twilio-signature";
    assert_eq!(good.header(signature).len(), forged.header(signature).len());
    assert_ne!(good.header(signature), forged.header(signature));
}

#[tokio::test]
async fn a_reordered_callback_arrives_after_the_next_one() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    let status = app.url("/status");
    let form = [
        ("To", "+14155550123"),
        ("From", &number),
        ("Twiml", "<Response/>"),
        ("StatusCallback", &status),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "completed"),
    ];
    bench.inject(Operation::StatusWebhook, FaultKind::Reorder);
    let created = bench.post("Calls.json", &form).await.1;
    bench
        .emulator
        .wait_for_call(created["sid"].as_str().expect("a sid"))
        .await;
    let order: Vec<_> = app
        .received("/status")
        .iter()
        .filter_map(|it| it.parameter("SequenceNumber").map(str::to_owned))
        .collect();
    assert_eq!(order, ["1", "0"]);
}

#[tokio::test]
async fn a_dropped_media_socket_ends_the_stream_but_not_the_twiml() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    let twiml = format!(
        "<Response><Connect><Stream url=\"{}\"/></Connect><Say>Lost</Say></Response>",
        app.media_url()
    );
    app.answer("/voice", &twiml);
    let fault =
        Fault::new(Operation::MediaStream, FaultKind::DropSocket).with_delay(Duration::from_millis(100));
    bench.emulator.inject(fault).expect("a possible fault");
    let report = bench.ring(&number).await;
    assert_eq!(
        (report.status, report.said),
        (CallStatus::Completed, vec!["Lost".to_owned()])
    );
    assert_eq!(report.errors[0].code, 31_924);
    assert_eq!(app.events("stop").len(), 0);
}

#[tokio::test]
async fn a_held_request_acts_when_it_is_let_go_and_only_a_detached_one_without_its_asker() {
    let bench = Bench::start().await;
    let buy = || {
        let request = bench.twilio(Method::POST, "IncomingPhoneNumbers.json");
        send(request.form(&[("AreaCode", "512")]))
    };
    let held = |so_many| {
        let faults = &bench.emulator.world.faults;
        async move {
            while faults.held().len() != so_many {
                tokio::task::yield_now().await;
            }
        }
    };
    for (kind, owned_while_held, owned_in_the_end) in [
        (FaultKind::HoldBefore, 0, 0),
        (FaultKind::HoldAfter, 1, 1),
        (FaultKind::HoldDetached, 1, 2),
    ] {
        bench.inject(Operation::BuyNumber, kind);
        tokio::select! {
            answer = buy() => panic!("{kind:?} was answered: {answer:?}"),
            () = held(1) => {}
        }
        assert_eq!(bench.owned().await, owned_while_held, "{kind:?}");
        if kind != FaultKind::HoldDetached {
            // Who asked is gone.
            held(0).await;
        }
        bench.emulator.clear_faults();
        held(0).await;
        assert_eq!(bench.owned().await, owned_in_the_end, "{kind:?}");
    }
    bench.inject(Operation::BuyNumber, FaultKind::HoldAfter);
    let (answer, ()) = tokio::join!(buy(), async {
        held(1).await;
        bench.emulator.clear_faults();
    });
    assert_eq!(answer.expect("it is answered in the end").status(), 201);
}
