//! How numbers are imported, wait for documents, are kept before they are given back, and are given to agents in bulk.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_core::Settings;
use voice_saas_providers::emulator::{FaultKind, Operation};
use voice_saas_tests::{Database, TestApp, TestUser, eventually, text};

use Database::{Postgres, Sqlite};

async fn numbers_of(user: &TestUser) -> Vec<Value> {
    let listed = user.get("/v1/numbers").await.ok(200);
    listed["data"].as_array().expect("a list").clone()
}

#[rstest]
#[tokio::test]
async fn a_number_of_the_carriers_account_is_imported_and_stays_there_when_it_is_released(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    app.emulator()
        .assign_knowlarity_number("+918049001234")
        .expect("a number");
    let request = json!({ "phone_number": "+91 80490 01234", "label": "Front desk" });
    let number = ada.post("/v1/numbers/import", &request).await.ok(201);
    assert_eq!(
        (&number["phone_number"], &number["provider"], &number["country"]),
        (&json!("+918049001234"), &json!("knowlarity"), &json!("IN"))
    );
    assert_eq!(
        (&number["status"], &number["owned"], &number["friendly_name"]),
        (&json!("active"), &json!("imported"), &json!("Front desk"))
    );
    // Whose it is shows in no answer.
    let refused = grace.post("/v1/numbers/import", &request).await;
    let problem = refused.problem(409, "number_unavailable");
    assert!(!problem.to_string().contains(&text(&number, "id")));
    let path = format!("/v1/numbers/{}", text(&number, "id"));
    for _ in 0..2 {
        assert_eq!(ada.delete(&path).await.ok(200), json!({ "released": true }));
    }
    let again = grace.post("/v1/numbers/import", &request).await.ok(201);
    assert_eq!(again["status"], "active");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_bought_number_that_was_left_behind_is_imported_with_our_tag_and_webhooks(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    crate::provisioning::snatch(&app, "+12125550150").await;
    let request = json!({ "phone_number": "212-555-0150", "provider": "twilio" });
    app.break_next(Operation::UpdateNumber, FaultKind::AnswerLost, 1);
    let number = user.post("/v1/numbers/import", &request).await.ok(201);
    let owned = app.owned_numbers();
    assert_eq!(owned.len(), 1);
    assert_eq!(number["provider_id"], owned[0]["sid"]);
    assert!(text(&owned[0], "friendly_name").starts_with("saga_"));
    let voice = app.api().url("/webhooks/twilio/voice").to_string();
    assert_eq!(owned[0]["voice_url"], json!(voice));
    let path = format!("/v1/numbers/{}", text(&number, "id"));
    user.delete(&path).await.ok(200);
    assert_eq!(app.owned_numbers().len(), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_import_of_what_the_account_does_not_hold_says_what_to_do_and_leaves_nothing(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let request = json!({ "phone_number": "+12125550150", "provider": "twilio" });
    let refused = user.post("/v1/numbers/import", &request).await;
    let problem = refused.problem(422, "number_not_in_account");
    assert!(text(&problem, "detail").contains("have the carrier assign it"));
    let unknown = json!({ "phone_number": "+12125550150", "provider": "nobody" });
    let refused = user.post("/v1/numbers/import", &unknown).await;
    assert_eq!(
        refused.problem(422, "invalid_request")["errors"][0]["pointer"],
        "/provider"
    );
    assert_eq!(numbers_of(&user).await, [Value::Null; 0]);
    // Nothing holds it: it can be bought.
    user.post("/v1/numbers", &json!({ "phone_number": "+12125550150" }))
        .await
        .ok(201);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_number_whose_country_asks_for_papers_waits_and_blocks_no_purchase(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let request = json!({ "country": "DE" });
    for _ in 0..2 {
        let problem = user
            .post("/v1/numbers", &request)
            .await
            .problem(422, "requirements_missing");
        let documents = problem["requirements"]["documents"].as_array().expect("a list");
        assert!(!documents.is_empty(), "{problem}");
    }
    // Both times the same number was chosen: it waits in one row.
    let waiting = numbers_of(&user).await;
    assert_eq!(waiting.len(), 1, "{waiting:#?}");
    assert_eq!(waiting[0]["status"], "waiting_for_documents");
    assert_eq!(app.owned_numbers(), [Value::Null; 0]);
    let path = format!("/v1/numbers/{}", text(&waiting[0], "id"));
    let active = json!({ "status": "active" });
    user.patch(&path, &active).await.problem(409, "number_status");
    assert_eq!(user.delete(&path).await.ok(200), json!({ "released": true }));
    user.post("/v1/numbers", &json!({})).await.ok(201);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_released_number_is_kept_out_of_service_until_its_quarantine_is_over(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let mut settings = Settings::default();
    settings.quarantine = Some(Duration::from_hours(24));
    let Some(app) = TestApp::on(database).with_settings(settings).start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = user.agent_with_number().await;
    let path = format!("/v1/numbers/{}", text(&agent, "phone_number_id"));
    let first = user.delete(&path).await.ok(202);
    assert_eq!(first["released"], false);
    assert_eq!(user.delete(&path).await.ok(202), first);
    let number = user.get(&path).await.ok(200);
    assert_eq!(
        (&number["status"], &number["agent_ids"], &number["release_at"]),
        (&json!("quarantined"), &json!([]), &first["quarantined_until"])
    );
    let active = json!({ "status": "active" });
    user.patch(&path, &active).await.problem(409, "number_releasing");
    assert_eq!(app.owned_numbers().len(), 1);
    let report = app
        .call(&text(&agent, "phone_number"), voice_saas_tests::listener())
        .await;
    assert_eq!(report.transcript, []);

    // A key outlives an access token.
    let key = user.api_key(&["read"]).await;
    app.advance(Duration::from_hours(25)).await;
    eventually("the release", async || {
        app.owned_numbers().is_empty().then_some(())
    })
    .await;
    eventually("the row", async || {
        (key.get(&path).await.ok(200)["status"] == "released").then_some(())
    })
    .await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn every_agent_without_a_number_is_given_one_and_only_one(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    ada.agent_with_number().await;
    let mut without = Vec::new();
    for user in [&ada, &ada, &grace] {
        let agent = user.agent_with(json!({})).await;
        without.push((user.tenant_id(), text(&agent, "id")));
    }
    ada.agent_with(json!({ "active": false })).await;
    let operator = app.operator();
    let route = "/v1/admin/numbers/provision-missing";

    let dry = operator.post(route, &json!({})).await.ok(200);
    let named = |answer: &Value| -> Vec<(String, String)> {
        let agents = answer["agents"].as_array().expect("a list");
        let mut agents: Vec<_> = agents
            .iter()
            .map(|it| (text(it, "tenant_id"), text(it, "agent_id")))
            .collect();
        agents.sort();
        agents
    };
    without.sort();
    assert_eq!((named(&dry), &dry["job_id"]), (without, &Value::Null));
    assert_eq!(app.owned_numbers().len(), 1);

    let one = json!({ "tenant_id": grace.tenant_id(), "area_code": "212", "dry_run": false });
    operator.post(route, &one).await.ok(202);
    eventually("Grace's number", async || {
        (app.owned_numbers().len() == 2).then_some(())
    })
    .await;
    // Both at once, and again: each agent gets one.
    let all = json!({ "dry_run": false });
    let (left, right) = tokio::join!(operator.post(route, &all), operator.post(route, &all));
    drop((left.ok(202), right.ok(202)));
    eventually("numbers for all", async || {
        let dry = operator.post(route, &json!({})).await.ok(200);
        named(&dry).is_empty().then_some(())
    })
    .await;
    operator.post(route, &all).await.ok(202);
    eventually("the end of the purchases", async || {
        let mine = numbers_of(&ada).await;
        let done = mine.iter().all(|number| number["status"] == "active");
        (done && mine.len() == 3).then_some(())
    })
    .await;
    let grace_has = numbers_of(&grace).await;
    assert_eq!(grace_has.len(), 1);
    assert!(text(&grace_has[0], "phone_number").starts_with("+1212"));
    assert_eq!(app.owned_numbers().len(), 4);
    for bad in [json!({ "tenant_id": "nobody" }), json!({ "area_code": "x" })] {
        operator.post(route, &bad).await.problem(422, "invalid_request");
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_area_without_numbers_names_area_codes_around_it(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let refused = user.post("/v1/numbers", &json!({ "area_code": "999" })).await;
    let problem = refused.problem(409, "number_unavailable");
    let codes = problem["nearby_area_codes"].as_array().expect("a list");
    assert!(!codes.is_empty(), "{problem}");
    let near = app.emulator().requests().into_iter().any(|request| {
        request.path.contains("AvailablePhoneNumbers/US/Local")
            && request
                .query
                .as_deref()
                .is_some_and(|query| query.contains("NearNumber"))
    });
    assert!(near, "the carrier was asked for numbers nearby first");
    app.finish().await;
}
