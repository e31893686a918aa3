//! A number's SIP trunk is set up at both providers or at none, whatever they do.

use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_providers::emulator::{FaultKind, Operation};
use voice_saas_tests::{Database, TestApp, TestUser, eventually, text};

use Database::{Postgres, Sqlite};

/// How many things there are of a trunk at Twilio and at LiveKit.
fn things(app: &TestApp) -> [usize; 5] {
    let state = app.emulator().state();
    [
        &state["twilio"]["trunks"],
        &state["twilio"]["credential_lists"],
        &state["livekit"]["inbound_trunks"],
        &state["livekit"]["outbound_trunks"],
        &state["livekit"]["dispatch_rules"],
    ]
    .map(|list| {
        list.as_array()
            .map_or_else(|| panic!("no list in {state}"), Vec::len)
    })
}

async fn number(user: &TestUser) -> (String, String) {
    let number = user.post("/v1/numbers", &json!({})).await.ok(201);
    let path = format!("/v1/numbers/{}", text(&number, "id"));
    (format!("{path}/trunk"), path)
}

async fn trunks(user: &TestUser) -> Vec<Value> {
    let listed = user.get("/v1/trunks").await.ok(200);
    listed["data"].as_array().expect("a list").clone()
}

#[rstest]
#[tokio::test]
async fn a_trunk_is_set_up_once_at_both_providers_and_goes_with_its_number(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let (set_up, number) = number(&user).await;
    let trunk = user.post(&set_up, &json!({})).await.ok(201);
    assert_eq!(things(&app), [1; 5]);
    assert_eq!(
        (&trunk["status"], &trunk["carrier"], &trunk["media"]),
        (&json!("active"), &json!("twilio"), &json!("livekit"))
    );
    assert_eq!(user.post(&set_up, &json!({})).await.ok(200), trunk);
    assert_eq!(trunks(&user).await, std::slice::from_ref(&trunk));
    assert_eq!(things(&app), [1; 5]);

    // Both sides have the same password, which no answer shows.
    let outbound = &app.emulator().state()["livekit"]["outbound_trunks"][0];
    assert_eq!(text(outbound, "address"), text(&trunk, "sip_host"));
    let password = text(outbound, "authPassword");
    assert!(password.len() >= 20);
    assert!(!user.get("/v1/trunks").await.text().contains(&password));
    let rule = &app.emulator().state()["livekit"]["dispatch_rules"][0];
    assert!(rule.to_string().contains(&text(&trunk, "id")), "{rule}");

    assert_eq!(user.delete(&number).await.ok(200), json!({ "released": true }));
    assert_eq!(things(&app), [0; 5]);
    assert_eq!(app.owned_numbers(), [Value::Null; 0]);
    assert_eq!(trunks(&user).await, [Value::Null; 0]);
    user.post(&set_up, &json!({}))
        .await
        .problem(409, "number_not_held");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_trunk_is_deleted_twice_without_an_error_and_its_number_stays(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let (set_up, number) = number(&user).await;
    let trunk = user.post(&set_up, &json!({})).await.ok(201);
    app.break_next(Operation::DeleteTrunk, FaultKind::AnswerLost, 1);
    let path = format!("/v1/trunks/{}", text(&trunk, "id"));
    for _ in 0..2 {
        assert_eq!(user.delete(&path).await.ok(200), json!({ "deleted": true }));
    }
    assert_eq!(things(&app), [0; 5]);
    assert_eq!(user.get(&number).await.ok(200)["status"], "active");
    let again = user.post(&set_up, &json!({})).await.ok(201);
    assert_ne!(again["id"], trunk["id"]);
    assert_eq!(things(&app), [1; 5]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_provider_that_fails_for_a_moment_gets_one_trunk(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(
        (Operation::CreateTrunk, FaultKind::AnswerLost),
        (Operation::AttachNumber, FaultKind::ServerError),
        (Operation::CreateInboundTrunk, FaultKind::AnswerLost),
        (Operation::CreateDispatchRule, FaultKind::ServerError)
    )]
    fault: (Operation, FaultKind),
) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let (set_up, _) = number(&user).await;
    app.break_next(fault.0, fault.1, 1);
    user.post(&set_up, &json!({})).await.ok(201);
    assert_eq!(things(&app), [1; 5]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_media_side_that_fails_for_long_leaves_nothing_at_the_carrier(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let (set_up, _) = number(&user).await;
    app.break_next(Operation::CreateDispatchRule, FaultKind::ServerError, 1_000);
    let answer = user.post(&set_up, &json!({})).await;
    if answer.status() == 503 {
        answer.problem(503, "provider_unavailable");
    } else {
        answer.ok(202);
    }
    eventually("the end of the attempts", async || {
        app.advance(std::time::Duration::from_mins(10)).await;
        (trunks(&user).await[0]["status"] == "failed").then_some(())
    })
    .await;
    assert_eq!(things(&app), [0; 5]);
    app.emulator().clear_faults();
    user.post(&set_up, &json!({})).await.ok(201);
    assert_eq!(things(&app), [1; 5]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn without_a_media_side_there_are_no_trunks(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let (set_up, _) = number(&user).await;
    user.post(&set_up, &json!({}))
        .await
        .problem(422, "trunks_not_configured");
    app.finish().await;
}
