//! Numbers that the operator owns: bought once, lent to one tenant at a time or shared by many, never leaked.

use std::{collections::BTreeSet, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_core::{
    Settings,
    id::{JobId, PoolNumberId, TenantId},
    job::NewJob,
    number::{NumberPolicy, PoolNumber},
    phone::{Country, E164},
    provider::telephony::{NumberKind, NumberOrder, NumberWebhooks, ProviderNumberId},
    testing::{system_scope, tenant_scope},
};
use voice_saas_providers::emulator::{FaultKind, Operation};
use voice_saas_tests::{CALLER, Database, TestApp, TestUser, eventually, listener, text};

use Database::{Postgres, Sqlite};

const POOL: &str = "/v1/admin/pool";
const DAY: Duration = Duration::from_hours(24);

async fn start(database: Database, policy: NumberPolicy) -> Option<TestApp> {
    let mut settings = Settings::default();
    settings.number_policy = policy;
    TestApp::on(database).with_settings(settings).start().await
}

/// All numbers of the pool that are not retired, newest first.
async fn pool(app: &TestApp) -> Vec<Value> {
    let listed = app.operator().get(POOL).await.ok(200);
    listed["data"].as_array().expect("a list").clone()
}

async fn finished(app: &TestApp, job: &str) -> Value {
    let path = format!("/v1/admin/jobs/{job}");
    eventually("the end of a job", async || {
        let job = app.operator().get(&path).await.ok(200);
        (job["state"] == "finished").then_some(job)
    })
    .await
}

/// Fills the pool and waits for it; what the job says at its end.
async fn fill(app: &TestApp, order: Value) -> Value {
    let begun = app.operator().post(POOL, &order).await.ok(202);
    finished(app, &text(&begun, "job_id")).await
}

/// What the carrier's account holds is what the pool has, each under its own tag and pointing to us.
async fn check_account(app: &TestApp) {
    let expected: BTreeSet<_> = pool(app)
        .await
        .iter()
        .map(|number| {
            (
                text(number, "phone_number"),
                text(number, "id"),
                text(number, "provider_id"),
            )
        })
        .collect();
    let voice = app.api().url("/webhooks/twilio/voice").to_string();
    let owned = app.owned_numbers();
    let held: BTreeSet<_> = owned
        .iter()
        .map(|number| {
            assert_eq!(number["voice_url"], json!(voice));
            (
                text(number, "phone_number"),
                text(number, "friendly_name"),
                text(number, "sid"),
            )
        })
        .collect();
    assert_eq!((held, owned.len()), (expected.clone(), expected.len()));
}

fn purchases(app: &TestApp) -> usize {
    let requests = app.emulator().requests();
    let bought = requests
        .iter()
        .filter(|request| request.method == "POST" && request.path.ends_with("/IncomingPhoneNumbers.json"));
    bought.count()
}

fn tenant_of(user: &TestUser) -> TenantId {
    user.tenant_id().parse().expect("a tenant's id")
}

async fn unrouted(app: &TestApp) -> usize {
    let listed = app.operator().get("/v1/admin/unrouted-calls").await.ok(200);
    listed["data"].as_array().expect("a list").len()
}

/// A caller hears that the number is nobody's, and the call is on record for operators.
async fn reaches_nobody(app: &TestApp, number: &str) {
    let before = unrouted(app).await;
    let report = app.call(number, listener()).await;
    assert_eq!(report.transcript, []);
    assert_eq!(unrouted(app).await, before + 1);
}

/// Buys a number past the library, under this name.
async fn buy(app: &TestApp, number: &E164, tag: String) -> ProviderNumberId {
    let twilio = app.app().telephony("twilio").expect("the carrier is there");
    let url = |path: &str| app.api().url(path);
    let webhooks = NumberWebhooks::new(
        url("/webhooks/twilio/voice"),
        url("/webhooks/twilio/fallback"),
        url("/webhooks/twilio/status"),
    );
    let order = NumberOrder::new(number.clone(), tag, webhooks);
    let numbers = twilio.numbers().expect("the carrier has numbers");
    numbers.buy(&order).await.expect("the number is for sale").id
}

/// The carrier takes the number away.
async fn lose(app: &TestApp, number: &Value) {
    let twilio = app.app().telephony("twilio").expect("the carrier is there");
    let id = ProviderNumberId::new(text(number, "provider_id"));
    let numbers = twilio.numbers().expect("the carrier has numbers");
    numbers.release(&id).await.expect("the account holds it");
}

#[rstest]
#[tokio::test]
async fn the_pool_is_filled_with_numbers_that_are_nobodys(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = start(database, NumberPolicy::Dedicated).await else {
        return;
    };
    let done = fill(&app, json!({ "count": 3, "area_code": "212" })).await;
    assert_eq!(done["progress"], json!({ "wanted": 3, "bought": 3, "missed": 0 }));
    let numbers = pool(&app).await;
    assert_eq!(numbers.len(), 3);
    for number in &numbers {
        assert!(text(number, "phone_number").starts_with("+1212"));
        assert_eq!(
            (&number["status"], &number["tenant_id"]),
            (&json!("free"), &Value::Null)
        );
    }
    check_account(&app).await;
    reaches_nobody(&app, &text(&numbers[0], "phone_number")).await;
    // Nobody is lent one unless the settings say so.
    let user = app.register("Ada Plumbing").await;
    let number = user.post("/v1/numbers", &json!({})).await.ok(201);
    assert_eq!(number["owned"], "bought");
    // Nor can a tenant take one by its name.
    let import = json!({ "phone_number": numbers[0]["phone_number"], "provider": "twilio" });
    let refused = user.post("/v1/numbers/import", &import).await;
    refused.problem(409, "number_unavailable");
    assert_eq!(pool(&app).await, numbers);

    let operator = app.operator();
    for (wrong, pointer) in [
        (json!({ "count": 0 }), "/count"),
        (json!({ "count": 501 }), "/count"),
        (json!({ "count": 1, "area_code": "x" }), "/area_code"),
        (json!({ "count": 1, "sharing": "everybody" }), "/sharing"),
        (json!({ "count": 1, "provider": "nobody" }), "/provider"),
    ] {
        let answer = operator.post(POOL, &wrong).await;
        assert_eq!(answer.wrong_field().0, pointer);
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_fill_whose_answer_is_lost_buys_nothing_twice(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = start(database, NumberPolicy::Dedicated).await else {
        return;
    };
    app.break_next(Operation::BuyNumber, FaultKind::AnswerLost, 2);
    // More often than one request is tried again: the job is begun anew.
    app.break_next(Operation::ListNumbers, FaultKind::ServerError, 4);
    let done = fill(&app, json!({ "count": 3 })).await;
    assert_eq!(done["progress"]["bought"], 3);
    assert_eq!(purchases(&app), 3);
    assert_eq!(pool(&app).await.len(), 3);
    check_account(&app).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_fill_that_died_in_the_middle_goes_on_where_it_was(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = start(database, NumberPolicy::Dedicated).await else {
        return;
    };
    // One number was ordered when the process died, and bought; another was written down and not ordered.
    let ambient = app.app().ambient();
    let job = JobId::generate(ambient.ids());
    let order = json!({
        "country": "US", "kind": "local", "area_code": null, "count": 3, "sharing": "exclusive", "provider": "twilio"
    });
    let job = NewJob::new(job, "pool.fill", order, ambient.now());
    let scope = system_scope();
    let mut tx = app.app().store().begin_system(&scope).await.expect("it begins");
    tx.job_queue()
        .enqueue_system(&job, ambient.now())
        .await
        .expect("it is enqueued");
    for (place, number) in ["+12125550150", "+12125550151"].iter().enumerate() {
        let number: E164 = number.parse().expect("E.164");
        let id = PoolNumberId::generate(ambient.ids());
        if place == 0 {
            buy(&app, &number, id.to_string()).await;
        }
        let (country, kind, now) = (Country::US, NumberKind::Local, ambient.now());
        let row = PoolNumber::buying(id, number, "twilio", country, kind, job.id, now);
        tx.number_pool()
            .add(&row)
            .await
            .expect("the pool does not have it");
    }
    tx.commit().await.expect("it commits");
    app.app().store().wake_jobs().await.expect("the store answers");
    let done = finished(&app, &job.id.to_string()).await;
    assert_eq!(done["progress"]["bought"], 3);
    let numbers = pool(&app).await;
    assert_eq!(numbers.len(), 3);
    assert!(
        numbers.iter().all(|number| number["status"] == "free"),
        "{numbers:#?}"
    );
    assert_eq!(purchases(&app), 3);
    check_account(&app).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_tenant_is_lent_a_number_of_the_pool_and_nothing_is_bought(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = start(database, NumberPolicy::Pool).await else {
        return;
    };
    fill(&app, json!({ "count": 1 })).await;
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    let agent = ada.agent_with_number().await;
    assert_eq!(purchases(&app), 1);
    let lent = &pool(&app).await[0];
    assert_eq!(
        (&lent["status"], &lent["tenant_id"], &lent["phone_number"]),
        (&json!("lent"), &json!(ada.tenant_id()), &agent["phone_number"])
    );
    let path = format!("/v1/numbers/{}", text(&agent, "phone_number_id"));
    let number = ada.get(&path).await.ok(200);
    assert_eq!(
        (&number["owned"], &number["status"]),
        (&json!("pool"), &json!("active"))
    );
    assert_eq!(number["provider_id"], lent["provider_id"]);
    let report = app.call(&text(&agent, "phone_number"), listener()).await;
    assert!(!report.transcript.is_empty());
    let retire = format!("{POOL}/{}", text(lent, "id"));
    app.operator().delete(&retire).await.problem(409, "number_in_use");

    // The pool is empty: the next one is bought, and stays its tenant's own.
    let bought = grace.post("/v1/numbers", &json!({})).await.ok(201);
    assert_eq!(bought["owned"], "bought");
    assert_eq!(purchases(&app), 2);
    assert_eq!(pool(&app).await.len(), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn of_two_tenants_who_want_the_last_number_one_gets_it(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = start(database, NumberPolicy::PoolOnly).await else {
        return;
    };
    fill(&app, json!({ "count": 1 })).await;
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    let request = json!({});
    let (left, right) = tokio::join!(
        ada.post("/v1/numbers", &request),
        grace.post("/v1/numbers", &request)
    );
    let mut statuses = [left.status(), right.status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{} {}", left.text(), right.text());
    let (winner, loser) = if left.status() == 201 {
        (&ada, right)
    } else {
        (&grace, left)
    };
    loser.problem(409, "number_unavailable");
    assert_eq!(pool(&app).await[0]["tenant_id"], json!(winner.tenant_id()));
    assert_eq!(purchases(&app), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_number_that_came_back_is_nobodys_until_its_quarantine_is_over(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = start(database, NumberPolicy::PoolOnly).await else {
        return;
    };
    fill(&app, json!({ "count": 1 })).await;
    let ada = app.register("Ada Plumbing").await;
    let agent = ada.agent_with_number().await;
    let number = text(&agent, "phone_number");
    let path = format!("/v1/numbers/{}", text(&agent, "phone_number_id"));
    for _ in 0..2 {
        assert_eq!(ada.delete(&path).await.ok(200), json!({ "released": true }));
    }
    let kept = pool(&app).await;
    assert_eq!(
        (&kept[0]["status"], &kept[0]["tenant_id"]),
        (&json!("quarantined"), &Value::Null)
    );
    check_account(&app).await;
    reaches_nobody(&app, &number).await;
    // Each asks while its own trial runs.
    for (after, business) in [(Duration::ZERO, "Grace Dental"), (29 * DAY, "Hopper Legal")] {
        app.advance(after).await;
        let user = app.register(business).await;
        let refused = user.post("/v1/numbers", &json!({})).await;
        refused.problem(409, "number_unavailable");
    }
    app.advance(2 * DAY).await;
    let user = app.register("Joan Bakery").await;
    let lent = user.post("/v1/numbers", &json!({})).await.ok(201);
    assert_eq!(
        (&lent["phone_number"], &lent["owned"]),
        (&json!(number), &json!("pool"))
    );
    assert_eq!(purchases(&app), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_number_that_cannot_be_put_into_service_goes_back_to_the_end_of_the_line(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = start(database, NumberPolicy::PoolOnly).await else {
        return;
    };
    fill(&app, json!({ "count": 2 })).await;
    // The older one is lent first.
    let numbers = pool(&app).await;
    lose(&app, &numbers[1]).await;
    let user = app.register("Ada Plumbing").await;
    let refused = user.post("/v1/numbers", &json!({})).await;
    refused.problem(503, "provider_unavailable");
    let back = pool(&app).await;
    assert!(back.iter().all(|number| number["status"] == "free"), "{back:#?}");
    let listed = user.get("/v1/numbers").await.ok(200);
    assert_eq!(listed["data"], json!([]));
    let lent = user.post("/v1/numbers", &json!({})).await.ok(201);
    assert_eq!(lent["phone_number"], numbers[0]["phone_number"]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_tenant_that_leaves_gives_its_numbers_back_to_the_pool(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = start(database, NumberPolicy::Pool).await else {
        return;
    };
    fill(&app, json!({ "count": 1 })).await;
    let user = app.register("Ada Plumbing").await;
    user.agent_with_number().await;
    user.delete("/v1/tenant").await.ok(202);
    eventually("the number's return", async || {
        (pool(&app).await[0]["status"] == "quarantined").then_some(())
    })
    .await;
    check_account(&app).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn who_calls_a_shared_number_back_reaches_whoever_called_them_last(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = start(database, NumberPolicy::Pool).await else {
        return;
    };
    fill(&app, json!({ "count": 1, "sharing": "shared" })).await;
    let number = text(&pool(&app).await[0], "phone_number");
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    // Nobody is lent a number that is shared.
    let own = ada.post("/v1/numbers", &json!({})).await.ok(201);
    assert_eq!(own["owned"], "bought");
    reaches_nobody(&app, &number).await;

    let shared: E164 = number.parse().expect("E.164");
    let peer: E164 = CALLER.parse().expect("E.164");
    for (user, other) in [(&ada, &grace), (&grace, &ada)] {
        let agent = user.agent_with(json!({})).await;
        let agent_id = text(&agent, "id").parse().expect("an agent's id");
        let scope = tenant_scope(tenant_of(user));
        let numbers = app.app().number_pool();
        let noted = numbers.record_contact(&scope, &shared, &peer, agent_id).await;
        assert!(noted.expect("the store answers"));
        let before = other.calls().await.len();
        let report = app.call(&number, listener()).await;
        assert!(!report.transcript.is_empty());
        let calls = user.calls().await;
        assert_eq!(calls.len(), 1, "{calls:#?}");
        assert_eq!(
            (&calls[0]["agent_id"], &calls[0]["to"]),
            (&agent["id"], &json!(number))
        );
        assert_eq!(other.calls().await.len(), before);
        // Another tenant's agent cannot be named.
        let stranger = tenant_scope(tenant_of(other));
        let refused = numbers.record_contact(&stranger, &shared, &peer, agent_id).await;
        assert!(refused.is_err());
    }
    app.advance(31 * DAY).await;
    reaches_nobody(&app, &number).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_number_that_nobody_has_is_given_back_once(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = start(database, NumberPolicy::Dedicated).await else {
        return;
    };
    fill(&app, json!({ "count": 2 })).await;
    let operator = app.operator();
    let numbers = pool(&app).await;
    let path = format!("{POOL}/{}", text(&numbers[0], "id"));
    app.break_next(Operation::ReleaseNumber, FaultKind::AnswerLost, 1);
    let first = operator.delete(&path).await;
    assert!(matches!(first.status(), 200 | 202), "{}", first.text());
    eventually("the number's end", async || {
        (operator.delete(&path).await.json() == json!({ "retired": true })).then_some(())
    })
    .await;
    assert_eq!(pool(&app).await, [numbers[1].clone()]);
    check_account(&app).await;
    let retired = operator.get(&format!("{POOL}?status=retired")).await.ok(200);
    assert_eq!(retired["data"][0]["id"], numbers[0]["id"]);
    operator
        .delete(&format!("{POOL}/pool_018f3c1e5d0f7a3b9c2d4e5f60718293"))
        .await
        .problem(404, "not_found");
    app.finish().await;
}

async fn findings(app: &TestApp) -> Vec<Value> {
    let begun = app
        .operator()
        .post("/v1/admin/reconciliation/run", &json!({}))
        .await
        .ok(202);
    finished(app, &text(&begun, "job_id")).await;
    let path = "/v1/admin/reconciliation?state=open&kind=number";
    let listed = app.operator().get(path).await.ok(200);
    listed["data"].as_array().expect("a list").clone()
}

#[rstest]
#[tokio::test]
async fn reconciliation_knows_the_numbers_of_the_pool(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = start(database, NumberPolicy::Pool).await else {
        return;
    };
    fill(&app, json!({ "count": 3 })).await;
    fill(&app, json!({ "count": 1, "sharing": "shared" })).await;
    let user = app.register("Ada Plumbing").await;
    user.agent_with_number().await;
    assert_eq!(findings(&app).await, [Value::Null; 0]);

    // One is gone at the carrier, one was renamed there, and one bears a tag of a pool that has no such number.
    let numbers = pool(&app).await;
    let free: Vec<_> = numbers
        .iter()
        .filter(|number| number["status"] == "free" && number["sharing"] == "exclusive")
        .collect();
    lose(&app, free[0]).await;
    let twilio = app.app().telephony("twilio").expect("the carrier is there");
    let carrier = twilio.numbers().expect("the carrier has numbers");
    let renamed = ProviderNumberId::new(text(free[1], "provider_id"));
    carrier
        .rename(&renamed, "front desk")
        .await
        .expect("it is renamed");
    let stray: E164 = "+14155550150".parse().expect("E.164");
    let tag = PoolNumberId::generate(app.app().ambient().ids());
    buy(&app, &stray, tag.to_string()).await;
    let found = findings(&app).await;
    let said: BTreeSet<_> = found
        .iter()
        .map(|finding| (text(finding, "classification"), text(finding, "subject")))
        .collect();
    let expected = [
        ("missing", text(free[0], "phone_number")),
        ("drifted", text(free[1], "phone_number")),
        ("orphan", stray.to_string()),
    ];
    let expected: BTreeSet<_> = expected
        .into_iter()
        .map(|(class, number)| (class.to_owned(), number))
        .collect();
    assert_eq!(said, expected);
    for finding in &found {
        let action = text(finding, "proposed_action");
        let path = format!("/v1/admin/reconciliation/{}/{action}", text(finding, "id"));
        app.operator().post(&path, &json!({})).await.ok(200);
    }
    assert_eq!(findings(&app).await, [Value::Null; 0]);
    assert_eq!(pool(&app).await.len(), 3);
    check_account(&app).await;
    app.finish().await;
}
