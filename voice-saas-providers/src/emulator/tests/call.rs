use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::Bench;
use super::app::{App, Received};
use crate::emulator::{CallReport, CallStatus, Callee, CallerAudio, PlaceCall, Script, Speaker};

/// Says nothing by itself, so that calls in tests are short.
fn brief() -> Script {
    Script::new().with_audio(CallerAudio::Silence).without_probe()
}

impl Bench {
    async fn call(&self, number: &str, script: Script) -> CallReport {
        let sid = self
            .emulator
            .place_call(PlaceCall::new("+14155550199", number).with_script(script));
        self.emulator
            .wait_for_call(&sid.expect("the call is placed"))
            .await
            .expect("the call is known")
    }

    /// Recomputes a signature the way the documentation tells, apart from the code under test.
    fn is_signed(&self, url: &str, received: &Received) -> bool {
        is_signed_with(self.emulator.twilio_auth_token().expose_secret(), url, received)
    }
}

pub(super) fn is_signed_with(token: &str, url: &str, received: &Received) -> bool {
    use base64::Engine as _;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut parameters = received.parameters.clone();
    parameters.sort();
    let data: String = parameters
        .into_iter()
        .fold(url.to_owned(), |data, (name, value)| data + &name + &value);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(token.as_bytes()).expect("any key");
    mac.update(data.as_bytes());
    let expected = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    received.header("x-twilio-signature") == expected
}

fn stream(app: &App, after: &str) -> String {
    format!(
        "<Response><Connect {after}><Stream url=\"{}\"><Parameter name=\"tenant\" value=\"t_1\"/></Stream></Connect>\
         <Say>Goodbye</Say></Response>",
        app.media_url()
    )
}

#[tokio::test]
async fn a_call_is_answered_streamed_measured_and_reported() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer("/voice", &stream(&app, ""));
    let report = bench
        .call(&number, Script::new().with_audio(CallerAudio::Silence))
        .await;

    assert_eq!(report.status, CallStatus::Completed);
    assert_eq!(report.errors, []);
    assert_eq!(report.answers, [stream(&app, "")]);
    let [line] = report.transcript.as_slice() else {
        panic!("{:?}", report.transcript)
    };
    assert_eq!(
        (line.role, line.text.as_str(), line.interrupted),
        (Speaker::Agent, "Hi", false)
    );
    let round_trip = report.round_trip.as_ref().expect("probes came back");
    assert_eq!(round_trip.samples, 25);
    assert!(round_trip.p50 <= round_trip.p99);
    // The caller hangs up when the last echo arrives, which is before that one is played.
    assert!(report.frames_sent > 25 && report.frames_heard > 4, "{report:?}");
    let wav = std::fs::read(report.heard_wav.expect("a recording")).expect("the recording is there");
    assert_eq!(&wav[..4], b"RIFF");

    let [voice] = &app.received("/voice")[..] else {
        panic!("one request for TwiML")
    };
    assert!(bench.is_signed(&app.url("/voice"), voice));
    assert_eq!(
        (voice.parameter("CallStatus"), voice.parameter("Direction")),
        (Some("ringing"), Some("inbound"))
    );
    assert_eq!(
        (voice.parameter("From"), voice.parameter("To")),
        (Some("+14155550199"), Some(number.as_str()))
    );
    let [handshake] = &app.received("/media")[..] else {
        panic!("one media socket")
    };
    assert!(bench.is_signed(&app.media_url(), handshake));
    let start = &app.events("start")[0];
    assert_eq!(start["start"]["customParameters"], json!({"tenant": "t_1"}));
    assert_eq!(start["start"]["callSid"].as_str(), voice.parameter("CallSid"));
    assert_eq!(app.events("mark")[0]["mark"]["name"], "greeted");
    app.wait_for_event("stop").await;
    let [status] = &app.received("/status")[..] else {
        panic!("one status callback")
    };
    assert!(bench.is_signed(&app.url("/status"), status));
    assert_eq!(
        (status.parameter("CallStatus"), status.parameter("SequenceNumber")),
        (Some("completed"), Some("0"))
    );
    assert!(
        status
            .parameter("CallDuration")
            .is_some_and(|seconds| seconds != "0")
    );
}

#[tokio::test]
async fn when_the_server_closes_the_stream_the_twiml_goes_on() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer("/voice", &stream(&app, ""));
    let report = bench.call(&number, brief().with_dtmf("5")).await;
    assert_eq!(app.events("dtmf")[0]["dtmf"]["digit"], "5");
    assert_eq!(report.said, ["Goodbye"]);
}

#[tokio::test]
async fn the_action_of_a_stream_comes_before_the_next_verb() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer("/voice", &stream(&app, "action=\"/after?x=1\""));
    app.answer(
        "/after",
        "<Response><Dial action=\"/dialled\">+14155550123</Dial></Response>",
    );
    app.answer(
        "/dialled",
        "<Response><Say>Done</Say><Hangup/><Say>Never</Say></Response>",
    );
    let report = bench.call(&number, brief().with_dtmf("5")).await;
    assert_eq!(report.said, ["Done"]);
    assert_eq!(report.forwarded_to, ["+14155550123"]);
    assert_eq!(
        app.received("/dialled")[0].parameter("DialCallStatus"),
        Some("completed")
    );
    let kinds: Vec<_> = report.webhooks.iter().map(|it| (it.kind, it.status)).collect();
    let ok = Some(200);
    assert_eq!(
        kinds,
        [("voice", ok), ("action", ok), ("action", ok), ("status", ok)]
    );
}

#[tokio::test]
async fn broken_answers_lead_to_the_fallback() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer("/voice", "<Response><Say>unfinished</Response>");
    app.answer("/fallback", "<Response><Say>Sorry</Say></Response>");
    let report = bench.call(&number, brief()).await;
    assert_eq!(report.said, ["Sorry"]);
    assert_eq!(report.errors[0].code, 12_100);
    let fallback = &app.received("/fallback")[0];
    assert_eq!(fallback.parameter("ErrorCode"), Some("12100"));
    assert_eq!(fallback.parameter("ErrorUrl"), Some(app.url("/voice").as_str()));
}

#[tokio::test]
async fn rejected_and_unowned_calls_are_not_answered() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer("/voice", "<Response><Reject reason=\"busy\"/></Response>");
    let report = bench.call(&number, brief()).await;
    assert_eq!((report.status, report.frames_sent), (CallStatus::Busy, 0));
    assert_eq!(app.received("/status")[0].parameter("CallDuration"), Some("0"));
    assert_eq!(
        bench.call("+14155550777", brief()).await.status,
        CallStatus::Failed
    );
}

#[tokio::test]
async fn a_live_call_is_redirected_and_ended_over_the_api() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer("/voice", &stream(&app, ""));
    app.answer("/moved", &stream(&app, ""));
    // The caller would talk for seconds, so that only the API ends the call this soon.
    let script = Script::new()
        .with_audio(CallerAudio::Speech)
        .with_say("more")
        .with_say("and more");
    let sid = bench
        .emulator
        .place_call(PlaceCall::new("+14155550199", &number).with_script(script));
    let sid = sid.expect("the call is placed");
    app.wait_for_event("mark").await;
    let item = format!("Calls/{sid}.json");
    assert_eq!(bench.post(&item, &[("Url", &app.url("/moved"))]).await.0, 200);
    app.wait_for("/media", 2).await;
    assert_eq!(app.events("stop").len(), 1);
    assert_eq!(bench.post(&item, &[("Status", "completed")]).await.0, 200);
    let report = bench
        .emulator
        .wait_for_call(&sid)
        .await
        .expect("the call is known");
    assert_eq!((report.status, report.answers.len()), (CallStatus::Completed, 2));
    let refused = bench.post(&item, &[("Status", "completed")]).await;
    assert_eq!((refused.0, &refused.1["code"]), (400, &json!(21_220)));
}

#[tokio::test]
async fn the_price_is_known_only_after_a_while() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer("/voice", "<Response/>");
    bench.call(&number, brief()).await;
    let calls = bench.get("Calls.json").await.1;
    let call = &calls["calls"][0];
    assert_eq!(
        (&call["price"], &call["status"], &call["duration"]),
        (&Value::Null, &json!("completed"), &json!("1"))
    );
    bench.emulator.advance_clock(std::time::Duration::from_mins(1));
    let item = format!("Calls/{}.json", call["sid"].as_str().expect("a sid"));
    assert_eq!(bench.get(&item).await.1["price"], "-0.00850");
}

#[tokio::test]
async fn an_outbound_call_tells_its_progress_in_order() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer("/outbound", "<Response><Say>Hello</Say></Response>");
    bench
        .emulator
        .set_callee("+14155550123", Callee::Answers(brief()))
        .expect("a callee");
    let (url, status) = (app.url("/outbound"), app.url("/status"));
    let form = |to| {
        vec![
            ("To", to),
            ("From", number.as_str()),
            ("Url", url.as_str()),
            ("StatusCallback", status.as_str()),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
        ]
    };
    let (code, created) = bench.post("Calls.json", &form("+14155550123")).await;
    assert_eq!(
        (code, &created["status"], &created["direction"]),
        (201, &json!("queued"), &json!("outbound-api"))
    );
    let sid = created["sid"].as_str().expect("a sid");
    let report = bench
        .emulator
        .wait_for_call(sid)
        .await
        .expect("the call is known");
    assert_eq!(
        (report.status, report.said),
        (CallStatus::Completed, vec!["Hello".to_owned()])
    );
    let told: Vec<_> = app
        .received("/status")
        .iter()
        .filter_map(|it| it.parameter("CallStatus").map(str::to_owned))
        .collect();
    assert_eq!(told, ["initiated", "ringing", "in-progress", "completed"]);
    assert_eq!(
        app.received("/outbound")[0].parameter("CallStatus"),
        Some("in-progress")
    );

    bench
        .emulator
        .set_callee("+14155550124", Callee::Busy)
        .expect("a callee");
    let created = bench.post("Calls.json", &form("+14155550124")).await.1;
    let busy = bench
        .emulator
        .wait_for_call(created["sid"].as_str().expect("a sid"))
        .await;
    assert_eq!(busy.map(|report| report.status), Some(CallStatus::Busy));
}

#[tokio::test]
async fn calls_are_refused_with_twilios_codes() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    let url = "https://a.example/voice";
    let cases: [(&[(&str, &str)], u64); 5] = [
        (&[("From", &number), ("Url", url)], 21_201),
        (
            &[("To", "+14155550123"), ("From", "+14155550888"), ("Url", url)],
            21_210,
        ),
        (&[("To", "nobody"), ("From", &number), ("Url", url)], 21_217),
        (&[("To", "+14155550123"), ("From", &number)], 21_205),
        (
            &[
                ("To", "+14155550123"),
                ("From", &number),
                ("Url", url),
                ("StatusCallbackEvent", "x"),
            ],
            21_626,
        ),
    ];
    for (form, expected) in cases {
        let (status, body) = bench.post("Calls.json", form).await;
        assert_eq!((status, body["code"].as_u64()), (400, Some(expected)), "{form:?}");
    }
}
