//! A number is bought once or not at all, whatever the carrier does.

use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use voice_saas_providers::emulator::{Fault, FaultKind, Operation};
use voice_saas_tests::{Answer, Database, TestApp, TestUser, eventually, text};

use Database::{Postgres, Sqlite};

/// Numbers of the tenant that are not released.
async fn live_numbers(user: &TestUser) -> Vec<Value> {
    let listed = user.get("/v1/numbers").await.ok(200);
    listed["data"].as_array().expect("a list").clone()
}

/// The carrier's account and the tenant agree on this one number, which is in service.
async fn check_one(app: &TestApp, user: &TestUser, number: &Value) {
    let owned = app.owned_numbers();
    assert_eq!(owned.len(), 1, "{owned:#?}");
    let live = live_numbers(user).await;
    assert_eq!(live.len(), 1, "{live:#?}");
    assert_eq!(owned[0]["phone_number"], *number);
    assert_eq!(live[0]["phone_number"], *number);
    assert_eq!(live[0]["provider_id"], owned[0]["sid"]);
    assert_eq!(live[0]["status"], "active");
    let voice = app.api().url("/webhooks/twilio/voice").to_string();
    assert_eq!(owned[0]["voice_url"], json!(voice));
}

/// Nothing is paid for, and the tenant has nothing.
async fn check_nothing(app: &TestApp, user: &TestUser) {
    assert_eq!(app.owned_numbers(), [Value::Null; 0]);
    assert_eq!(live_numbers(user).await, [Value::Null; 0]);
}

/// The answers to requests for buying a number, where there were any.
fn purchases(app: &TestApp) -> Vec<Option<u16>> {
    let requests = app.emulator().requests();
    let bought = requests
        .iter()
        .filter(|request| request.method == "POST" && request.path.contains("/IncomingPhoneNumbers"));
    bought.map(|request| request.status).collect()
}

#[rstest]
#[tokio::test]
async fn a_purchase_whose_answer_is_lost_is_found_and_not_repeated(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    app.break_next(Operation::BuyNumber, FaultKind::AnswerLost, 1);
    let number = user
        .post("/v1/numbers", &json!({ "area_code": "212" }))
        .await
        .ok(201);
    assert_eq!(purchases(&app), [None]);
    check_one(&app, &user, &number["phone_number"]).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_carrier_that_fails_for_a_moment_sells_one_number(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(
        (Operation::BuyNumber, FaultKind::RateLimited),
        (Operation::BuyNumber, FaultKind::ServerError),
        (Operation::BuyNumber, FaultKind::Slow),
        (Operation::BuyNumber, FaultKind::Refused),
        (Operation::SearchNumbers, FaultKind::ServerError),
        (Operation::SearchNumbers, FaultKind::Refused)
    )]
    fault: (Operation, FaultKind),
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    app.break_next(fault.0, fault.1, 1);
    let number = user.post("/v1/numbers", &json!({})).await.ok(201);
    check_one(&app, &user, &number["phone_number"]).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_look_up_that_fails_after_a_lost_answer_does_not_lead_to_a_second_purchase(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    app.break_next(Operation::BuyNumber, FaultKind::AnswerLost, 1);
    // More often than one request is tried again.
    app.break_next(Operation::ListNumbers, FaultKind::ServerError, 4);
    let answer = user.post("/v1/numbers", &json!({})).await;
    assert!(matches!(answer.status(), 201 | 202), "{}", answer.text());
    let number = eventually("the number", async || {
        let live = live_numbers(&user).await;
        live.into_iter().find(|number| number["status"] == "active")
    })
    .await;
    assert_eq!(purchases(&app), [None]);
    check_one(&app, &user, &number["phone_number"]).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_carrier_that_knows_us_not_is_a_typed_failure_that_leaves_nothing(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let building = TestApp::on(database).with_wrong_carrier_token();
    let Some(app) = building.start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    for (path, body) in [
        ("/v1/numbers", json!({})),
        ("/v1/agents", json!({ "name": "x", "provision_phone": true })),
    ] {
        let problem = user.post(path, &body).await.problem(502, "provider_unavailable");
        assert_eq!(
            (&problem["provider"], &problem["safe_to_retry"]),
            (&json!("twilio"), &json!(false))
        );
    }
    user.get("/v1/numbers/available")
        .await
        .problem(502, "provider_unavailable");
    check_nothing(&app, &user).await;
    for path in ["/v1/agents", "/v1/api-keys"] {
        assert_eq!(user.get(path).await.ok(200)["data"], json!([]), "{path}");
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_carrier_that_cannot_even_search_is_a_typed_failure_that_leaves_nothing(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(FaultKind::ServerError, FaultKind::Refused, FaultKind::RateLimited)] kind: FaultKind,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    app.break_next(Operation::SearchNumbers, kind, 1_000);
    for (path, body) in [
        ("/v1/numbers", json!({})),
        ("/v1/agents", json!({ "name": "x", "provision_phone": true })),
    ] {
        let problem = user.post(path, &body).await.problem(503, "provider_unavailable");
        assert_eq!(problem["safe_to_retry"], true);
    }
    check_nothing(&app, &user).await;
    assert_eq!(user.get("/v1/agents").await.ok(200)["data"], json!([]));
    assert_eq!(purchases(&app), []);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_carrier_that_does_not_sell_for_long_is_a_typed_failure_that_leaves_nothing(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(FaultKind::ServerError, FaultKind::RateLimited)] kind: FaultKind,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    app.break_next(Operation::BuyNumber, kind, 1_000);
    let problem = user
        .post("/v1/numbers", &json!({}))
        .await
        .problem(503, "provider_unavailable");
    assert_eq!(problem["safe_to_retry"], true);
    check_nothing(&app, &user).await;
    app.finish().await;
}

/// Somebody else buys this number from the carrier.
pub(crate) async fn snatch(app: &TestApp, number: &str) {
    let emulator = app.emulator();
    let account = emulator.twilio_account_sid();
    let path = format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json");
    let url = emulator.url().join(&path).expect("a path joins a URL");
    let request = app.api().request(Method::POST, url.as_str());
    let token = emulator.twilio_auth_token().expose_secret();
    let form = [("PhoneNumber", number), ("FriendlyName", "somebody else's")];
    let answer = Answer::of(request.basic_auth(account, Some(token)).form(&form)).await;
    assert_eq!(answer.status(), 201, "{}", answer.text());
}

/// The carrier puts the next purchase off for two seconds.
fn hold_purchase(app: &TestApp) {
    let later = Fault::new(Operation::BuyNumber, FaultKind::RateLimited);
    app.inject(later.with_delay(Duration::from_secs(2)));
}

/// The number whose purchase was put off.
async fn held(app: &TestApp, user: &TestUser) -> String {
    eventually("the purchase to be put off", async || {
        (purchases(app) == [Some(429)]).then_some(())
    })
    .await;
    let live = live_numbers(user).await;
    assert_eq!((live.len(), &live[0]["status"]), (1, &json!("pending")));
    text(&live[0], "phone_number")
}

#[rstest]
#[tokio::test]
async fn a_number_that_somebody_else_was_faster_to_buy_is_replaced_by_the_next(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    hold_purchase(&app);
    let request = json!({ "area_code": "212" });
    let (bought, taken) = tokio::join!(user.post("/v1/numbers", &request), async {
        let number = held(&app, &user).await;
        snatch(&app, &number).await;
        number
    });
    let bought = bought.ok(201);
    assert_ne!(bought["phone_number"], json!(taken));
    assert!(text(&bought, "phone_number").starts_with("+1212"));
    let owned: Vec<String> = app
        .owned_numbers()
        .iter()
        .map(|it| text(it, "phone_number"))
        .collect();
    assert_eq!(owned.len(), 2, "{owned:?}");
    let live = live_numbers(&user).await;
    assert_eq!(
        (live.len(), &live[0]["phone_number"]),
        (1, &bought["phone_number"])
    );
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_one_number_that_was_wanted_is_gone(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    hold_purchase(&app);
    let request = json!({ "phone_number": "(212) 555-0150" });
    let (refused, ()) = tokio::join!(user.post("/v1/numbers", &request), async {
        let number = held(&app, &user).await;
        assert_eq!(number, "+12125550150");
        snatch(&app, &number).await;
    });
    refused.problem(409, "number_unavailable");
    assert_eq!(live_numbers(&user).await, [Value::Null; 0]);
    // The other's is still theirs: what we undo is what we have bought.
    let owned = app.owned_numbers();
    assert_eq!(
        (owned.len(), &owned[0]["friendly_name"]),
        (1, &json!("somebody else's"))
    );
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_number_for_an_agent_that_is_deleted_meanwhile_is_given_back(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = user
        .post("/v1/agents", &json!({ "name": "Receptionist" }))
        .await
        .ok(201);
    let path = format!("/v1/agents/{}", text(&agent, "id"));
    hold_purchase(&app);
    let (purchase, body) = (format!("{path}/phone-number"), json!({}));
    let (refused, ()) = tokio::join!(user.post(&purchase, &body), async {
        held(&app, &user).await;
        assert_eq!(user.delete(&path).await.status(), 204);
    });
    refused.problem(404, "not_found");
    assert_eq!(purchases(&app), [Some(429), Some(201)]);
    check_nothing(&app, &user).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_release_whose_answer_is_lost_is_a_release(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let number = user.post("/v1/numbers", &json!({})).await.ok(201);
    app.break_next(Operation::ReleaseNumber, FaultKind::AnswerLost, 1);
    let path = format!("/v1/numbers/{}", text(&number, "id"));
    assert_eq!(user.delete(&path).await.ok(200), json!({ "released": true }));
    check_nothing(&app, &user).await;
    assert_eq!(user.get(&path).await.ok(200)["status"], "released");
    // Somebody may have it again.
    let wanted = json!({ "phone_number": number["phone_number"] });
    let again = user.post("/v1/numbers", &wanted).await.ok(201);
    check_one(&app, &user, &again["phone_number"]).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_number_that_the_carrier_does_not_take_back_yet_is_not_answered_any_more(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = user.agent_with_number().await;
    app.break_next(Operation::ReleaseNumber, FaultKind::ServerError, 1_000);
    let path = format!("/v1/numbers/{}", text(&agent, "phone_number_id"));
    let answer = user.delete(&path).await;
    assert_eq!(answer.ok(202), json!({ "released": false }));
    let report = app
        .call(&text(&agent, "phone_number"), voice_saas_tests::listener())
        .await;
    assert_eq!(report.transcript, []);
    assert!(!report.said.is_empty());

    app.emulator().clear_faults();
    app.advance(Duration::from_mins(10)).await;
    eventually("the release", async || {
        app.owned_numbers().is_empty().then_some(())
    })
    .await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn two_requests_at_once_for_one_agent_buy_one_number(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = user
        .post("/v1/agents", &json!({ "name": "Receptionist" }))
        .await
        .ok(201);
    let path = format!("/v1/agents/{}/phone-number", text(&agent, "id"));
    let body = json!({});
    let (left, right) = tokio::join!(user.post(&path, &body), user.post(&path, &body));
    let (bought, refused) = if left.status() == 201 {
        (left, right)
    } else {
        (right, left)
    };
    let bought = bought.ok(201);
    refused.problem(409, "number_already_assigned");
    check_one(&app, &user, &bought["phone_number"]).await;
    assert_eq!(live_numbers(&user).await[0]["agent_ids"], json!([agent["id"]]));
    user.post(&path, &body)
        .await
        .problem(409, "number_already_assigned");
    app.finish().await;
}
