//! The main job: a call to a tenant's number is answered by that tenant's agent, whatever goes wrong on the way.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_providers::{
    elevenlabs::AttachMode,
    emulator::{CallReport, CallStatus, Fault, FaultKind, Operation, Speaker},
};
use voice_saas_tests::{
    CALLER, Database, TestApp, TestUser, caller_says, event, eventually, kinds, listener, text,
};

use Database::{Postgres, Sqlite};

/// What callers hear when the agent cannot take the call.
const FALLBACK: &str =
    "We are sorry, we cannot take your call right now. Please call again in a few minutes.";

/// Longer than any grace that lost webhooks get.
const GRACE: Duration = Duration::from_secs(31);

/// What the caller heard the agent say, cut off or not.
fn heard(report: &CallReport) -> Vec<&str> {
    let lines = report.transcript.iter();
    lines
        .filter(|line| line.role == Speaker::Agent)
        .map(|line| line.text.as_str())
        .collect()
}

/// What a transcript of the API says, as `speaker: text`.
fn lines(transcript: &Value) -> Vec<String> {
    let turns = transcript["turns"].as_array().expect("turns are listed");
    turns
        .iter()
        .map(|turn| format!("{}: {}", text(turn, "speaker"), text(turn, "text")))
        .collect()
}

/// A business with an agent that has a number.
async fn business(app: &TestApp, name: &str) -> (TestUser, Value, String) {
    let user = app.register(name).await;
    let agent = user.agent_with_number().await;
    let number = text(&agent, "phone_number");
    (user, agent, number)
}

#[rstest]
#[tokio::test]
async fn a_call_is_answered_by_the_numbers_agent_and_all_of_it_is_on_record(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, agent, number) = business(&app, "Ada Plumbing").await;
    assert_eq!(agent["phone_number_status"], "active");

    let sid = app.place_call(&number, caller_says("book me in"));
    let id = user.the_call().await;
    // From before the first word until the end.
    let (events, report) = tokio::join!(user.events(&id), app.wait_for_call(&sid));

    assert_eq!(report.status, CallStatus::Completed);
    assert_eq!(report.errors, []);
    let [greeting, answer] = [
        "Hello, this is Ada Plumbing.",
        "This is Ada Plumbing. I heard: book me in",
    ];
    assert_eq!(heard(&report), [greeting, answer]);

    let transcript = user.recorded(&id).await;
    let expected = [
        format!("agent: {greeting}"),
        "caller: book me in".to_owned(),
        format!("agent: {answer}"),
    ];
    assert_eq!(lines(&transcript), expected);

    let call = user.ended_call(&id).await;
    assert_eq!(call["status"], "completed");
    assert_eq!(call["direction"], "inbound");
    assert_eq!((&call["from"], &call["to"]), (&json!(CALLER), &json!(number)));
    assert_eq!(
        (&call["agent_id"], &call["agent_version"]),
        (&agent["id"], &json!(1))
    );
    assert_eq!(call["number_id"], agent["phone_number_id"]);
    assert_eq!(call["provider_call_id"], json!(sid));
    assert_eq!(call["end_reason"], "caller_hung_up");
    assert!(call["duration_seconds"].as_u64() >= Some(1), "{call}");
    assert!(
        call["answered_at"].is_string() && call["ended_at"].is_string(),
        "{call}"
    );

    let items = call["cost"]["items"].as_array().expect("costs are listed");
    let cost_kinds: Vec<&str> = items.iter().filter_map(|item| item["kind"].as_str()).collect();
    for kind in ["telephony_inbound", "media_stream", "agent"] {
        assert!(cost_kinds.contains(&kind), "{items:#?}");
    }
    let sum: i64 = items
        .iter()
        .filter_map(|item| item["amount"]["amount_micros"].as_i64())
        .sum();
    assert!(sum > 0);
    assert_eq!(
        call["cost"]["total"],
        json!({ "amount_micros": sum, "currency": "USD" })
    );

    assert_eq!(
        kinds(&events)[..3],
        ["incoming", "media_connected", "agent_ready"]
    );
    let said: Vec<_> = events.iter().filter(|event| event["type"] == "said").collect();
    let said: Vec<_> = said
        .iter()
        .map(|said| format!("{}: {}", text(said, "speaker"), text(said, "text")))
        .collect();
    assert_eq!(said, expected);
    assert_eq!(kinds(&events).last(), Some(&"ended"));
    assert!(
        events.is_sorted_by_key(|event| event["sequence"].as_u64()),
        "{events:#?}"
    );
    // Whoever comes later sees the same, and whoever lost the connection sees the rest.
    assert_eq!(user.events(&id).await, events);
    let rest = user.get(&format!("/v1/calls/{id}/events?after=3")).await;
    assert!(!rest.text().contains("agent_ready") && rest.text().contains("event: ended"));
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn two_tenants_called_at_once_hear_their_own_agents_alone(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(business(&app, "Ada Plumbing"), business(&app, "Grace Dental"));
    let (to_ada, to_grace) = tokio::join!(
        app.call(&ada.2, caller_says("one")),
        app.call(&grace.2, caller_says("two"))
    );
    for ((user, agent, _), report, word) in [(&ada, &to_ada, "one"), (&grace, &to_grace, "two")] {
        let business = user.business();
        let expected = [
            format!("Hello, this is {business}."),
            format!("This is {business}. I heard: {word}"),
        ];
        assert_eq!(heard(report), expected);
        let id = user.the_call().await;
        assert_eq!(user.ended_call(&id).await["agent_id"], agent["id"]);
        let transcript = user.recorded(&id).await;
        assert_eq!(lines(&transcript)[0], format!("agent: {}", expected[0]));
        assert_eq!(lines(&transcript)[1], format!("caller: {word}"));
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_caller_who_speaks_into_the_greeting_does_not_hear_the_rest_of_it(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let greeting = "Hello and welcome to Ada Plumbing, where every pipe is a friend. Our hours have changed.";
    let agent = user
        .agent_with(json!({ "first_message": greeting, "provision_phone": true }))
        .await;
    let sid = app.place_call(&text(&agent, "phone_number"), caller_says("stop").with_barge_in());
    let id = user.the_call().await;
    let (events, report) = tokio::join!(user.events(&id), app.wait_for_call(&sid));

    assert!(report.clears >= 1);
    let heard = heard(&report);
    assert!(
        greeting.starts_with(heard[0]) && heard[0].len() < greeting.len(),
        "{heard:?}"
    );
    assert!(heard[1].ends_with("I heard: stop"), "{heard:?}");
    event(&events, "interrupted");
    let corrected = text(event(&events, "corrected"), "text");
    assert!(corrected.len() < greeting.len(), "{corrected}");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_call_keeps_the_version_of_the_agent_that_it_began_with(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, agent, number) = business(&app, "Ada Plumbing").await;
    let path = format!("/v1/agents/{}", text(&agent, "id"));

    let first = app.place_call(&number, caller_says("hi"));
    let first_id = user.the_call().await;
    let edited = user
        .patch(&path, &json!({ "first_message": "A new greeting." }))
        .await
        .ok(200);
    assert_eq!(edited["version"], 2);
    let first = app.wait_for_call(&first).await;
    assert_eq!(heard(&first)[0], "Hello, this is Ada Plumbing.");

    let second = app.call(&number, listener()).await;
    assert_eq!(heard(&second), ["A new greeting."]);
    let calls = user.calls().await;
    let second_id = text(&calls[0], "id");
    assert_eq!(user.ended_call(&first_id).await["agent_version"], 1);
    assert_eq!(user.ended_call(&second_id).await["agent_version"], 2);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_platform_may_carry_the_audio_itself(#[values(Sqlite, Postgres)] database: Database) {
    let building = TestApp::on(database).with_attach(AttachMode::RegisterCall);
    let Some(app) = building.start().await else {
        return;
    };
    let (user, agent, number) = business(&app, "Ada Plumbing").await;
    let report = app.call(&number, caller_says("book me in")).await;
    assert_eq!(report.status, CallStatus::Completed);
    assert_eq!(heard(&report)[0], "Hello, this is Ada Plumbing.");
    assert!(report.answers[0].contains("<Stream"), "{:?}", report.answers);
    assert!(
        !report.answers[0].contains("/media/twilio/"),
        "{:?}",
        report.answers
    );

    let id = user.the_call().await;
    let transcript = user.recorded(&id).await;
    assert_eq!(lines(&transcript)[1], "caller: book me in");
    let call = user.ended_call(&id).await;
    assert_eq!(call["status"], "completed");
    assert_eq!(call["agent_id"], agent["id"]);
    assert!(call["conversation_id"].is_string(), "{call}");
    let agent_cost = eventually("the agent's cost", async || {
        let items = user.call(&id).await["cost"]["items"].clone();
        items
            .as_array()?
            .iter()
            .find(|item| item["kind"] == "agent")
            .cloned()
    });
    assert_eq!(agent_cost.await["provider"], "elevenlabs");
    app.finish().await;
}

/// What became of a call whose agent could not be had.
async fn check_fallback(user: &TestUser, report: &CallReport, reason: &str) {
    assert_eq!(report.said, [FALLBACK]);
    assert_eq!(report.status, CallStatus::Completed);
    let id = user.the_call().await;
    let call = user.ended_call(&id).await;
    assert_eq!(
        (&call["status"], &call["end_reason"]),
        (&json!("completed"), &json!(reason))
    );
    let events = user.events(&id).await;
    assert!(!text(event(&events, "agent_failed"), "detail").is_empty());
    assert_eq!(event(&events, "ended")["reason"], reason);
}

#[rstest]
#[tokio::test]
async fn when_the_agent_breaks_off_the_caller_hears_the_fallback(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    let drop = Fault::new(Operation::ConversationSocket, FaultKind::DropSocket);
    app.inject(drop.with_delay(Duration::from_millis(800)));
    let report = app
        .call(&number, caller_says("a long story, to be interrupted"))
        .await;
    assert_eq!(heard(&report)[0], "Hello, this is Ada Plumbing.");
    check_fallback(&user, &report, "agent_failed").await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn when_the_platform_cannot_be_had_the_caller_hears_the_fallback(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(
        (AttachMode::Bridge, Operation::SignedUrl),
        (AttachMode::RegisterCall, Operation::RegisterCall)
    )]
    way: (AttachMode, Operation),
    #[values(FaultKind::Refused, FaultKind::ServerError, FaultKind::Slow)] kind: FaultKind,
) {
    let (attach, operation) = way;
    let Some(app) = TestApp::on(database).with_attach(attach).start().await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    // Slow beyond what any caller waits for, and more often than anybody tries again.
    let fault = Fault::new(operation, kind).with_times(10);
    app.inject(fault.with_delay(Duration::from_mins(1)));
    // A caller who waits for three seconds, twice.
    let report = app.call(&number, caller_says("hello?")).await;
    check_fallback(&user, &report, "agent_unavailable").await;
    assert_eq!(heard(&report), [""; 0]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_call_whose_media_socket_dies_ends_cleanly(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    let drop = Fault::new(Operation::MediaStream, FaultKind::DropSocket);
    app.inject(drop.with_delay(Duration::from_millis(800)));
    let report = app
        .call(&number, caller_says("a long story, to be interrupted"))
        .await;
    assert_eq!(report.status, CallStatus::Completed);
    let id = user.the_call().await;
    let call = user.ended_call(&id).await;
    assert_eq!(call["status"], "completed");
    assert_eq!(call["end_reason"], "media_lost");
    // The agent's side was closed too: otherwise there would be no record of the conversation.
    assert_eq!(
        lines(&user.recorded(&id).await)[0],
        "agent: Hello, this is Ada Plumbing."
    );
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_end_that_nobody_reported_is_asked_for(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    app.break_next(Operation::StatusWebhook, FaultKind::Refused, 10);
    app.call(&number, listener()).await;
    let id = user.the_call().await;
    let open = eventually("the end of the audio", async || {
        let call = user.call(&id).await;
        (call["end_reason"] == "caller_hung_up").then_some(call)
    });
    assert_eq!(open.await["status"], "in_progress");

    app.advance(GRACE).await;
    let call = user.ended_call(&id).await;
    assert_eq!(
        (&call["status"], &call["end_reason"]),
        (&json!("completed"), &json!("caller_hung_up"))
    );
    let items = call["cost"]["items"].as_array().expect("costs are listed");
    assert!(
        items.iter().any(|item| item["kind"] == "telephony_inbound"),
        "{items:?}"
    );
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_record_that_nobody_sent_is_fetched(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(FaultKind::Refused, FaultKind::BadSignature)] lost: FaultKind,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    app.break_next(Operation::PostCallWebhook, lost, 1);
    app.call(&number, caller_says("hi")).await;
    let id = user.the_call().await;
    user.ended_call(&id).await;
    eventually("the platform's only attempt", async || {
        let deliveries = app.emulator().state()["elevenlabs"]["post_call_deliveries"].clone();
        (deliveries.as_array()?.len() == 1).then_some(())
    })
    .await;
    let live = user.transcript(&id).await;
    assert_eq!(live["complete"], false);

    app.advance(GRACE).await;
    assert_eq!(lines(&user.recorded(&id).await)[1], "caller: hi");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_webhook_that_comes_twice_is_one_call_with_one_answer(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(AttachMode::Bridge, AttachMode::RegisterCall)] attach: AttachMode,
) {
    let Some(app) = TestApp::on(database).with_attach(attach).start().await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    let sid = "CA0123456789abcdef0123456789abcdef";
    let account = app.emulator().twilio_account_sid().to_owned();
    let form = [
        ("CallSid", sid),
        ("AccountSid", &account),
        ("From", CALLER),
        ("To", &number),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ApiVersion", "2010-04-01"),
    ];
    // At once, and again afterwards.
    let (first, second) = tokio::join!(
        app.carrier_webhook("/webhooks/twilio/voice", &form),
        app.carrier_webhook("/webhooks/twilio/voice", &form)
    );
    let third = app.carrier_webhook("/webhooks/twilio/voice", &form).await;
    assert_eq!(first.status(), 200);
    assert!(first.text().contains("<Stream"), "{}", first.text());
    assert_eq!((second.text(), third.text()), (first.text(), first.text()));
    assert_eq!(user.calls().await.len(), 1);

    // The same from the emulator, whose call goes on as if nothing had happened.
    app.break_next(Operation::VoiceWebhook, FaultKind::Duplicate, 1);
    let report = app.call(&number, listener()).await;
    assert_eq!(heard(&report), ["Hello, this is Ada Plumbing."]);
    assert_eq!(user.calls().await.len(), 2);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_is_reported_twice_ends_and_costs_once(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    app.break_next(Operation::StatusWebhook, FaultKind::Duplicate, 1);
    app.break_next(Operation::PostCallWebhook, FaultKind::Duplicate, 1);
    app.call(&number, caller_says("hi")).await;
    let id = user.the_call().await;
    user.ended_call(&id).await;
    eventually("both records", async || {
        let deliveries = app.emulator().state()["elevenlabs"]["post_call_deliveries"].clone();
        (deliveries.as_array()?.len() == 2).then_some(())
    })
    .await;
    assert_eq!(lines(&user.transcript(&id).await).len(), 3);
    let events = user.events(&id).await;
    assert_eq!(kinds(&events).iter().filter(|kind| **kind == "ended").count(), 1);
    let call = user.call(&id).await;
    let items = call["cost"]["items"].as_array().expect("costs are listed");
    let mut item_kinds: Vec<String> = items.iter().map(|item| text(item, "kind")).collect();
    item_kinds.sort();
    item_kinds.dedup();
    assert_eq!(item_kinds.len(), items.len(), "{items:#?}");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_first_webhook_that_is_lost_is_made_up_for_by_the_fallback(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, agent, number) = business(&app, "Ada Plumbing").await;
    app.break_next(Operation::VoiceWebhook, FaultKind::Refused, 1);
    let report = app.call(&number, listener()).await;
    let asked: Vec<&str> = report.webhooks.iter().map(|webhook| webhook.kind).collect();
    assert_eq!(asked[..2], ["voice", "fallback"]);
    assert_eq!(heard(&report), ["Hello, this is Ada Plumbing."]);
    let id = user.the_call().await;
    assert_eq!(user.ended_call(&id).await["agent_id"], agent["id"]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_call_whose_media_socket_never_comes_gets_the_fallback(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    app.break_next(Operation::MediaStream, FaultKind::Refused, 1);
    let report = app.call(&number, listener()).await;
    assert_eq!(report.said, [FALLBACK]);
    let id = user.the_call().await;
    assert_eq!(user.ended_call(&id).await["end_reason"], "media_lost");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_service_that_stops_lets_its_calls_finish(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    let sid = app.place_call(&number, caller_says("book me in"));
    let id = user.the_call().await;
    eventually("the agent", async || {
        let call = user.call(&id).await;
        call["conversation_id"].is_string().then_some(())
    })
    .await;
    let (left, report) = tokio::join!(app.app().drain(Duration::from_secs(30)), async {
        eventually("the drain", async || app.app().is_draining().then_some(())).await;
        app.api().get("/readyz").await.problem(503, "not_ready");
        app.wait_for_call(&sid).await
    });
    assert_eq!(left, 0);
    assert_eq!(heard(&report)[1], "This is Ada Plumbing. I heard: book me in");
    assert_eq!(user.ended_call(&id).await["end_reason"], "caller_hung_up");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_service_that_cannot_wait_any_longer_ends_its_calls(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    let sid = app.place_call(&number, caller_says("a very long story ".repeat(20).trim()));
    let id = user.the_call().await;
    eventually("the agent", async || {
        let call = user.call(&id).await;
        call["conversation_id"].is_string().then_some(())
    })
    .await;
    assert_eq!(app.app().drain(Duration::ZERO).await, 1);
    let report = app.wait_for_call(&sid).await;
    assert_eq!(report.status, CallStatus::Completed);
    assert_eq!(user.ended_call(&id).await["end_reason"], "hung_up");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_agent_hangs_up_with_its_tool_or_its_goodbye(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(("call tool end_call", "hung_up"), ("goodbye", "agent_ended"))] way: (&str, &str),
) {
    let (says, reason) = way;
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    // Would go on talking if nobody hung up.
    let report = app
        .call(
            &number,
            caller_says(says).with_say("still there").with_say("hello"),
        )
        .await;
    assert_eq!(report.status, CallStatus::Completed);
    let id = user.the_call().await;
    assert_eq!(user.ended_call(&id).await["end_reason"], reason);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn hanging_up_through_the_api_ends_the_call(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, _, number) = business(&app, "Ada Plumbing").await;
    let sid = app.place_call(&number, caller_says("a very long story ".repeat(20).trim()));
    let id = user.the_call().await;
    let path = format!("/v1/calls/{id}/hangup");
    user.send(reqwest::Method::POST, &path, None).await.ok(200);
    assert_eq!(app.wait_for_call(&sid).await.status, CallStatus::Completed);
    let call = user.ended_call(&id).await;
    assert_eq!(call["end_reason"], "hung_up");
    // Again is no error.
    user.send(reqwest::Method::POST, &path, None).await.ok(200);
    app.finish().await;
}
