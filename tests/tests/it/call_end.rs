//! A call ends when it ends, and what was under way then is neither lost nor waited for.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;
use voice_saas_core::{
    call::{CallEvent, CallEventKind},
    testing::tenant_scope,
};
use voice_saas_providers::emulator::{CallStatus, Fault, FaultKind, Operation, Speaker};
use voice_saas_tests::{Database, TestApp, TestUser, caller_says, event, eventually, kinds, text};

use Database::{Postgres, Sqlite};

/// Long enough to have called a tool by then.
const TALKED: Duration = Duration::from_secs(6);

async fn business(app: &TestApp) -> (TestUser, String) {
    let user = app.register("Ada Plumbing").await;
    let agent = user.agent_with_number().await;
    (user, text(&agent, "phone_number"))
}

async fn begun(app: &TestApp) {
    eventually("the tool", async || (app.held_tool().begun() == 1).then_some(())).await;
}

/// Whether a tool's answer is on record, which does not wait for the call's end.
async fn answered(app: &TestApp, user: &TestUser, call: &str) -> bool {
    let scope = tenant_scope(user.tenant_id().parse().expect("a tenant's id"));
    let mut tx = app.app().store().begin(&scope).await.expect("the store answers");
    let call = call.parse().expect("a call's id");
    let events = tx.calls().events(call, 0, 100).await.expect("events are listed");
    let answer = |event: &CallEvent| matches!(event.kind, CallEventKind::ToolAnswered { .. });
    events.iter().any(answer)
}

async fn finished(app: &TestApp) {
    assert_eq!(app.held_tool().finished(), 0);
    app.held_tool().let_go();
    eventually("the end of the tool", async || {
        (app.held_tool().finished() == 1).then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn an_agent_that_hangs_up_with_its_tool_is_heard_to_its_last_word(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, number) = business(&app).await;
    let script = caller_says("call tool end_call").with_say("still there");
    let report = app.call(&number, script).await;
    assert_eq!(report.status, CallStatus::Completed);
    let said: Vec<_> = report
        .transcript
        .iter()
        .filter(|line| line.role == Speaker::Agent)
        .map(|line| line.text.as_str())
        .collect();
    assert_eq!(
        said,
        [
            "Hello, this is Ada Plumbing.",
            r#"The tool end_call answered: {"ended":true}"#
        ]
    );
    let id = user.the_call().await;
    assert_eq!(user.ended_call(&id).await["end_reason"], "hung_up");
    let events = user.events(&id).await;
    assert_eq!(event(&events, "tool_answered")["is_error"], false);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_call_does_not_wait_for_a_tool_and_the_tool_is_let_finish(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(true, false)] end_is_reported: bool,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, number) = business(&app).await;
    if !end_is_reported {
        app.break_next(Operation::StatusWebhook, FaultKind::Refused, 10);
    }
    let seconds = u32::try_from(TALKED.as_secs()).expect("a few seconds");
    app.place_call(&number, caller_says("call tool hold").with_seconds(seconds));
    let id = user.the_call().await;
    begun(&app).await;
    eventually("the end of the call", async || {
        let call = user.call(&id).await;
        let over = call["end_reason"] == "caller_hung_up";
        (over && call["ended_at"].is_string() == end_is_reported).then_some(())
    })
    .await;
    finished(&app).await;

    if !end_is_reported {
        // There is still time to say what came of the tool.
        eventually("what came of the tool", async || {
            answered(&app, &user, &id).await.then_some(())
        })
        .await;
        app.advance(Duration::from_secs(31)).await;
        user.ended_call(&id).await;
    }
    let events = user.events(&id).await;
    assert_eq!(kinds(&events).last(), Some(&"ended"));
    let answered: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "tool_answered")
        .map(|event| event["is_error"].clone())
        .collect();
    let expected = if end_is_reported {
        vec![]
    } else {
        vec![json!(false)]
    };
    assert_eq!(answered, expected);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn when_the_agent_breaks_off_the_fallback_does_not_wait_for_a_tool(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, number) = business(&app).await;
    let drop = Fault::new(Operation::ConversationSocket, FaultKind::DropSocket);
    app.inject(drop.with_delay(TALKED));
    let script = caller_says("call tool hold")
        .with_say("still there")
        .with_say("hello");
    let report = app.call(&number, script).await;
    assert_eq!(report.said.len(), 1, "{:?}", report.said);
    begun(&app).await;
    finished(&app).await;
    let id = user.the_call().await;
    assert_eq!(user.ended_call(&id).await["end_reason"], "agent_failed");
    assert_eq!(kinds(&user.events(&id).await).last(), Some(&"ended"));
    app.finish().await;
}
