//! A number's SIP trunk is set up at both providers or at none, whatever they do.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_core::provider::telephony::{AgentDispatch, TrunkOrder};
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
        app.advance(Duration::from_mins(10)).await;
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

#[rstest]
#[tokio::test]
async fn a_number_out_of_service_is_refused_at_its_trunk_too_and_taken_again_when_it_is_back(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let (set_up, number) = number(&user).await;
    user.post(&set_up, &json!({})).await.ok(201);
    let called = text(&user.get(&number).await.ok(200), "phone_number");
    let ring = || app.emulator().ring_livekit("+12125550123", &called);
    let attached = || app.owned_numbers()[0]["trunk_sid"].is_string();
    ring().expect("the call is taken");
    assert!(attached());

    let inactive = json!({ "status": "inactive" });
    user.patch(&number, &inactive).await.ok(200);
    let refusal = ring().expect_err("nobody answers");
    assert_eq!(refusal.status, 404, "{refusal}");
    // The carrier asks us about its calls again, and a caller hears why nobody answers.
    assert!(!attached());
    app.call(&called, voice_saas_tests::listener()).await;
    let calls = user.get("/v1/calls").await.ok(200);
    assert_eq!(calls["data"][0]["status"], "rejected", "{calls}");
    assert_eq!(things(&app), [1, 1, 1, 1, 0], "all but the rule stays");
    user.patch(&number, &inactive).await.ok(200);
    let findings = reconciled(&app).await;
    assert_eq!(findings, [Value::Null; 0], "it is as it should be");

    // The provider fails while it is to be put back: the change stands, and a job goes on with it.
    app.break_next(Operation::CreateDispatchRule, FaultKind::AnswerLost, 1);
    let active = json!({ "status": "active" });
    assert_eq!(user.patch(&number, &active).await.ok(200)["status"], "active");
    eventually("the trunk as before", async || {
        (ring().is_ok() && attached()).then_some(())
    })
    .await;
    assert_eq!(things(&app), [1; 5]);
    app.finish().await;
}

async fn reconciled(app: &TestApp) -> Vec<Value> {
    crate::reconciliation::run(app, json!({})).await;
    crate::reconciliation::open(app, "").await
}

#[rstest]
#[tokio::test]
async fn a_trunk_of_a_number_out_of_service_takes_no_calls_from_the_beginning(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let (set_up, number) = number(&user).await;
    let inactive = json!({ "status": "inactive" });
    let called = text(&user.patch(&number, &inactive).await.ok(200), "phone_number");
    let trunk = user.post(&set_up, &json!({})).await.ok(201);
    assert_eq!(trunk["status"], "active");
    let ring = || app.emulator().ring_livekit("+12125550123", &called);
    ring().expect_err("nobody answers");
    // Somebody lets it take calls behind our back.
    let found = app.app().telephony("livekit").expect("LiveKit is there");
    let dispatch = AgentDispatch::new("receptionist", "{}", "call-");
    let order = TrunkOrder::new(text(&trunk, "id"), called.parse().expect("E.164"));
    let trunks = found.trunks().expect("LiveKit has trunks");
    trunks
        .ensure(&order.with_dispatch(dispatch))
        .await
        .expect("the rule is made");
    ring().expect("the call is taken");
    let findings = reconciled(&app).await;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0]["classification"], "drifted");
    crate::reconciliation::settle(&app, &findings[0], "repair", &json!({})).await;
    ring().expect_err("nobody answers");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_trunk_that_cannot_be_taken_away_says_so_and_is_gone_on_with(
    #[values(Sqlite, Postgres)] database: Database,
    #[values("set up again", "delete", "operator")] way: &str,
) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    // A key outlives an access token.
    let user = app
        .register("Ada Plumbing")
        .await
        .api_key(&["read", "write"])
        .await;
    let number = user.post("/v1/numbers", &json!({})).await.ok(201);
    let path = format!("/v1/numbers/{}", text(&number, "id"));
    let set_up = format!("{path}/trunk");
    // The media side fails, and then the carrier does not let go of what it made.
    app.break_next(Operation::CreateDispatchRule, FaultKind::ServerError, 1_000);
    app.break_next(Operation::DeleteTrunk, FaultKind::ServerError, 1_000);
    user.post(&set_up, &json!({})).await;
    let listed = async || {
        let listed = user.get("/v1/trunks").await.ok(200);
        listed["data"].as_array().expect("a list").clone()
    };
    let stuck = eventually("the end of the attempts", async || {
        app.advance_system(Duration::from_mins(10)).await;
        let trunk = listed().await[0].clone();
        (trunk["status"] == "stuck").then_some(trunk)
    })
    .await;
    assert_eq!(
        (&stuck["failure"]["code"], &stuck["failure"]["provider"]),
        (&json!("provider"), &json!("livekit"))
    );
    // The trunk's row tells before the job's.
    let dead = eventually("the job's end", async || {
        let dead = app.operator().get("/v1/admin/jobs?state=dead").await.ok(200);
        dead["data"].get(0).cloned()
    })
    .await;
    assert!(text(&dead, "error").contains("carrier's side"), "{dead}");

    app.emulator().clear_faults();
    let retry = format!("/v1/admin/jobs/{}/retry", text(&dead, "id"));
    match way {
        "set up again" => {
            let again = user.post(&set_up, &json!({})).await.ok(201);
            assert_ne!(again["id"], stuck["id"]);
            assert_eq!(things(&app), [1; 5]);
        }
        "delete" => {
            let trunk = format!("/v1/trunks/{}", text(&stuck, "id"));
            assert_eq!(user.delete(&trunk).await.ok(200), json!({ "deleted": true }));
            assert_eq!(things(&app), [0; 5]);
        }
        _ => {
            app.operator().post(&retry, &json!({})).await.ok(202);
            eventually("the end of the trunk", async || {
                (listed().await[0]["status"] == "failed").then_some(())
            })
            .await;
            assert_eq!(things(&app), [0; 5]);
        }
    }
    if way != "operator" {
        // It finds that there is nothing left to do.
        app.operator().post(&retry, &json!({})).await.ok(202);
    }
    assert_eq!(user.delete(&path).await.ok(200), json!({ "released": true }));
    eventually("nothing", async || (things(&app) == [0; 5]).then_some(())).await;
    assert_eq!(app.owned_numbers(), [Value::Null; 0]);
    app.finish().await;
}
