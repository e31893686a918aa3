use reqwest::Method;
use serde_json::{Value, json};

use super::Bench;
use super::app::App;

#[tokio::test]
async fn a_call_is_placed_and_followed_over_http() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer("/voice", "<Response><Say>Hello</Say></Response>");
    let order = json!({"from": "+14155550199", "to": number, "audio": "silence", "probe": false});
    let (status, placed) = bench.control(Method::POST, "/_control/calls", order).await;
    assert_eq!(status, 201);
    let sid = placed["call_sid"].as_str().expect("a sid");
    bench.emulator.wait_for_call(sid).await;
    let (status, report) = bench
        .control(Method::GET, &format!("/_control/calls/{sid}"), Value::Null)
        .await;
    assert_eq!((status, &report["status"]), (200, &json!("completed")));
    for field in [
        "answers",
        "frames_sent",
        "frames_heard",
        "heard_wav",
        "transcript",
        "round_trip_ms",
    ] {
        assert!(report.get(field).is_some(), "{field}");
    }
    let state = bench.control(Method::GET, "/_control/state", Value::Null).await.1;
    assert_eq!(
        state["twilio"]["account_sid"],
        bench.emulator.twilio_account_sid()
    );
    assert_eq!(state["twilio"]["calls"][0]["sid"], sid);
    assert_eq!(state["twilio"]["numbers"][0]["phone_number"], json!(number));
    assert!(state["elevenlabs"]["agents"].is_array());
}

#[tokio::test]
async fn wrong_orders_are_answered_with_what_is_allowed() {
    let bench = Bench::start().await;
    let call = |body: Value| ("/_control/calls", body);
    let fault = |body: Value| ("/_control/faults", body);
    let cases = [
        (call(json!({"from": "+1"})), 400, "missing field `to`"),
        (
            call(json!({"from": "+1", "to": "+2", "colour": 1})),
            400,
            "expected one of `from`, `to`",
        ),
        (
            call(json!({"from": "+1", "to": "+2", "audio": "loud!"})),
            400,
            "\"speech\", \"tone\"",
        ),
        (
            call(json!({"from": "+1", "to": "+2", "seconds": 500})),
            422,
            "1 to 120",
        ),
        (call(json!({"from": "", "to": "+2"})), 422, "1 to 64"),
        (call(json!({"from": "+1", "to": "+2", "dtmf": "x"})), 422, "0-9"),
        (
            fault(json!({"provider": "acme", "operation": "x", "fault": "slow"})),
            422,
            "allowed: twilio",
        ),
        (
            fault(json!({"provider": "twilio", "operation": "x", "fault": "slow"})),
            422,
            "buy_number",
        ),
        (
            fault(json!({"provider": "twilio", "operation": "buy_number", "fault": "x"})),
            422,
            "answer_lost",
        ),
        (
            fault(json!({"provider": "twilio", "operation": "buy_number", "fault": "slow", "times": 0})),
            422,
            "times",
        ),
        (("/_control/clock", json!({"advance_seconds": -1})), 400, "u64"),
    ];
    for ((path, body), expected, said) in cases {
        let (status, answer) = bench.control(Method::POST, path, body.clone()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(
            status == expected && error.contains(said),
            "{body}: {status} {error}"
        );
    }
    assert_eq!(
        bench
            .control(Method::GET, "/_control/calls/CA0", Value::Null)
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn a_reset_forgets_everything_and_ends_live_calls() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer(
        "/voice",
        &format!(
            "<Response><Connect><Stream url=\"{}\"/></Connect></Response>",
            app.media_url()
        ),
    );
    let order = json!({"from": "+14155550199", "to": number});
    let placed = bench.control(Method::POST, "/_control/calls", order).await.1;
    let sid = placed["call_sid"].as_str().expect("a sid").to_owned();
    app.wait_for_event("start").await;
    let waiting = bench.emulator.wait_for_call(&sid);
    let (ended, reset) = tokio::join!(
        waiting,
        bench.control(Method::POST, "/_control/reset", Value::Null)
    );
    assert_eq!((ended, reset.0), (None, 204));
    app.wait_for_event("stop").await;
    assert_eq!(
        bench.get("IncomingPhoneNumbers.json").await.1["incoming_phone_numbers"],
        json!([])
    );
    assert_eq!(
        bench.emulator.requests().len(),
        1,
        "only the request after the reset is known"
    );
}

#[tokio::test]
async fn shutting_down_ends_the_calls_and_closes_the_port() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    app.answer(
        "/voice",
        &format!(
            "<Response><Connect><Stream url=\"{}\"/></Connect></Response>",
            app.media_url()
        ),
    );
    let order = json!({"from": "+14155550199", "to": number});
    bench.control(Method::POST, "/_control/calls", order).await;
    app.wait_for_event("start").await;
    let addr = bench.emulator.addr();
    bench.into_emulator().shutdown().await;
    app.wait_for_event("stop").await;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}
