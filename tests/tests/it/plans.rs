//! Plans, trials, limits and the ledger, as tenants meet them.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_core::{
    Settings,
    call::{Call, CallEventKind, CallStatus},
    clock::SystemIds,
    entitlement::{PaidPeriod, Source},
    id::CallId,
    plan::PlanId,
    provider::telephony::ProviderCallId,
    tenant::Zone,
    testing::tenant_scope,
    usage::{Admitted, Reservation, Windows},
};
use voice_saas_providers::{
    elevenlabs::AttachMode,
    emulator::{CallReport, CallStatus as CarrierStatus, Fault, FaultKind, Operation},
};
use voice_saas_tests::{Answer, Api, Database, TestApp, TestUser, listener, text};

use Database::{Postgres, Sqlite};

/// What a caller hears who is refused.
fn refused() -> Vec<String> {
    vec![Settings::default().refused_message]
}

/// Plans with one limit each; everybody registers with the one whose limits these are.
pub(super) fn plans(limits: &str) -> String {
    format!(
        r#"
version = "test"
currency = "USD"

[registration]
web = "small"
mobile = "app"

[[plan]]
id = "small"
platform = "web"
family = "business"
name = "Small"
price = "0.50"
period = "per_unit"
limits = {{ {limits} }}

[[plan]]
id = "large"
platform = "web"
family = "business"
name = "Large"
price = "99"
period = "month"

[[plan]]
id = "app"
platform = "mobile"
family = "consumer"
name = "App"
price = "4.99"
period = "week"
trial = {{ days = 7, calls = 3 }}
"#
    )
}

async fn with_limits(database: Database, limits: &str) -> Option<(TestApp, TestUser, String)> {
    let app = TestApp::on(database).with_plans(&plans(limits)).start().await?;
    let user = app.register("Ada Plumbing").await;
    let agent = user.agent_with_number().await;
    let number = text(&agent, "phone_number");
    Some((app, user, number))
}

async fn talk(app: &TestApp, number: &str) -> CallReport {
    app.call(number, listener()).await
}

/// The newest call of the tenant.
async fn newest(user: &TestUser) -> Value {
    user.calls().await.remove(0)
}

async fn usage(api: &Api) -> Value {
    api.get("/v1/usage").await.ok(200)
}

async fn check_call(api: &Api) -> Value {
    api.send(Method::POST, "/v1/usage/check-call", None).await.ok(200)
}

#[track_caller]
fn is_refused(answer: &Answer, code: &str, limit: Option<&str>, upgrade: &[&str]) {
    let problem = answer.problem(402, code);
    assert_eq!(problem["upgrade"], json!(upgrade), "{problem}");
    assert_eq!(problem["limit"], json!(limit), "{problem}");
}

const BUSINESS: [&str; 3] = ["business_basic", "business_professional", "business_enterprise"];

#[rstest]
#[tokio::test]
async fn a_trial_ends_with_its_last_call_and_a_plan_begins_it_anew(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let number = text(&user.agent_with_number().await, "phone_number");
    let fresh = usage(&user).await;
    for (field, value) in [
        ("app_type", json!("web")),
        ("is_trial_active", json!(true)),
        ("trial_calls_remaining", json!(4)),
        ("calls_made_total", json!(0)),
        ("is_subscribed", json!(false)),
        ("plan", json!("business_basic")),
        ("upgrade_recommended", json!(false)),
    ] {
        assert_eq!(fresh[field], value, "{field} in {fresh}");
    }
    let pricing = fresh["pricing"].as_array().expect("plans are listed");
    let offered: Vec<_> = pricing.iter().map(|plan| text(plan, "id")).collect();
    assert_eq!(offered, BUSINESS);
    assert_eq!(check_call(&user).await, json!({ "allowed": true }));

    for left in (0..4).rev() {
        assert_eq!(talk(&app, &number).await.status, CarrierStatus::Completed);
        let id = text(&newest(&user).await, "id");
        user.ended_call(&id).await;
        let now = usage(&user).await;
        assert_eq!(now["trial_calls_remaining"], left, "{now}");
        assert_eq!(now["upgrade_recommended"], left <= 1, "{now}");
    }
    let check = check_call(&user).await;
    assert_eq!(
        (&check["allowed"], &check["reason"]),
        (&json!(false), &json!("trial_calls_exhausted"))
    );
    assert_eq!(check["upgrade"], json!(BUSINESS));

    // The fifth call is refused, politely, and is on record.
    let sid = app.place_call(&number, listener());
    let report = app.wait_for_call(&sid).await;
    assert_eq!(report.said, refused());
    let call = newest(&user).await;
    assert_eq!(
        (&call["status"], &call["end_reason"]),
        (&json!("rejected"), &json!("trial_calls_exhausted"))
    );
    let why = user
        .post("/v1/routing/explain", &json!({ "phone_number": number }))
        .await
        .ok(200);
    assert!(why.to_string().contains("trial are used up"), "{why}");
    assert_eq!(usage(&user).await["calls_made_total"], 4);

    // Billing says that it pays.
    let scope = tenant_scope(user.tenant_id().parse().expect("a tenant's id"));
    let mut tx = app.app().store().begin(&scope).await.expect("the store answers");
    let mut entitlement = tx.entitlements().find_for_update().await.expect("there is one");
    let now = app.app().ambient().now();
    let period = PaidPeriod {
        from: now,
        until: now + Duration::from_hours(24 * 30),
    };
    entitlement.subscribe(PlanId::new("business_basic"), Source::Stripe, None, Some(period));
    tx.entitlements()
        .save(&entitlement)
        .await
        .expect("nobody else writes");
    tx.commit().await.expect("the store answers");
    assert_eq!(talk(&app, &number).await.said, Vec::<String>::new());
    let paying = usage(&user).await;
    assert_eq!(
        (&paying["is_subscribed"], &paying["trial_calls_remaining"]),
        (&json!(true), &Value::Null)
    );
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_trial_ends_with_its_last_day(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let number = text(&user.agent_with_number().await, "phone_number");
    let key = user.api_key(&["read", "write"]).await;
    app.advance(Duration::from_hours(24 * 7 - 1)).await;
    assert_eq!(check_call(&key).await["prompts"], json!(["trial_ends_soon"]));
    app.advance(Duration::from_hours(1)).await;
    assert_eq!(talk(&app, &number).await.said, refused());
    let calls = key.get("/v1/calls").await.ok(200);
    assert_eq!(calls["data"][0]["end_reason"], "trial_expired");
    // Nothing that costs money is begun either; what is there can still be looked at.
    is_refused(
        &key.post("/v1/numbers", &json!({})).await,
        "trial_expired",
        None,
        &BUSINESS,
    );
    is_refused(
        &key.post("/v1/agents", &json!({ "name": "Second" })).await,
        "trial_expired",
        None,
        &BUSINESS,
    );
    assert_eq!(app.owned_numbers().len(), 1);
    key.get("/v1/numbers").await.ok(200);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_app_has_a_trial_and_plans_of_its_own(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let account = json!({ "email": "ana@example.com", "password": "correct horse battery" });
    let request = app.api().request(Method::POST, "/v1/auth/register");
    let session = Answer::of(request.json(&account).header("x-app-type", "mobile"))
        .await
        .ok(201);
    let ana = app.api().with_bearer(text(&session, "token"));
    let now = usage(&ana).await;
    assert_eq!(
        (&now["app_type"], &now["plan"]),
        (&json!("mobile"), &json!("consumer_weekly"))
    );
    assert_eq!(now["trial_calls_remaining"], 3);
    // It calls from the platform's own numbers.
    is_refused(
        &ana.post("/v1/numbers", &json!({})).await,
        "plan_limit_reached",
        Some("numbers"),
        &[],
    );

    let offered = async |app_type: &str| {
        let request = app
            .api()
            .request(Method::GET, "/v1/plans")
            .header("x-app-type", app_type);
        let plans = Answer::of(request).await.ok(200);
        let plans = plans["data"].as_array().expect("plans are listed").clone();
        plans.iter().map(|plan| text(plan, "id")).collect::<Vec<_>>()
    };
    assert_eq!(offered("mobile").await, ["consumer_weekly"]);
    assert_eq!(offered("web").await.len(), 7);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_week_ends_at_midnight_of_the_tenants_zone_also_when_clocks_change(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some((app, user, number)) = with_limits(database, "calls_per_week = 1").await else {
        return;
    };
    let key = user.api_key(&["read", "write", "admin"]).await;
    key.patch("/v1/tenant", &json!({ "timezone": "America/New_York" }))
        .await
        .ok(200);
    let until = async |time: &str| {
        let time: Timestamp = time.parse().expect("a time");
        let wait = time.duration_since(app.app().ambient().now());
        app.advance(wait.try_into().expect("the future")).await;
    };
    // The Sunday on which the night had an hour less.
    until("2027-03-14T22:00:00Z").await;
    assert_eq!(talk(&app, &number).await.said, Vec::<String>::new());
    let refusal = check_call(&key).await;
    assert_eq!(refusal["limit"], "calls_per_week", "{refusal}");
    assert_eq!(refusal["upgrade"], json!(["large"]));
    // Midnight there is at four now, and was at five a week ago.
    assert_eq!(refusal["again_at"], "2027-03-15T04:00:00Z");
    until("2027-03-15T03:59:00Z").await;
    assert_eq!(talk(&app, &number).await.said, refused());
    until("2027-03-15T04:00:01Z").await;
    assert_eq!(talk(&app, &number).await.said, Vec::<String>::new());
    let now = usage(&key).await;
    assert_eq!(
        (&now["calls_this_week"], &now["calls_made_total"]),
        (&json!(1), &json!(2))
    );
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn calls_at_once_are_limited_until_one_ends(#[values(Sqlite, Postgres)] database: Database) {
    let Some((app, user, number)) = with_limits(database, "concurrency = 1").await else {
        return;
    };
    let first = app.place_call(&number, listener().with_seconds(5));
    let id = user.the_call().await;
    assert_eq!(usage(&user).await["running_calls"], 1);
    assert_eq!(talk(&app, &number).await.said, refused());
    let call = newest(&user).await;
    assert_eq!(
        (&call["status"], &call["end_reason"]),
        (&json!("rejected"), &json!("plan_limit_reached"))
    );
    app.wait_for_call(&first).await;
    user.ended_call(&id).await;
    assert_eq!(usage(&user).await["running_calls"], 0);
    assert_eq!(talk(&app, &number).await.said, Vec::<String>::new());
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_call_that_never_reached_an_agent_is_given_back_and_costs_the_tenant_nothing(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some((app, user, number)) = with_limits(database, "calls_per_week = 1").await else {
        return;
    };
    app.inject(Fault::new(Operation::SignedUrl, FaultKind::Refused).with_times(10));
    talk(&app, &number).await;
    app.emulator().clear_faults();
    let id = user.the_call().await;
    assert_eq!(user.ended_call(&id).await["end_reason"], "agent_unavailable");
    let now = usage(&user).await;
    assert_eq!(
        (&now["calls_this_week"], &now["running_calls"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(user.call(&id).await["price"], Value::Null);

    // So there is room for one that does.
    talk(&app, &number).await;
    let id = text(&newest(&user).await, "id");
    user.ended_call(&id).await;
    assert_eq!(usage(&user).await["calls_this_week"], 1);
    let half = json!({ "amount_micros": 500_000, "currency": "USD" });
    assert_eq!(user.call(&id).await["price"], half);
    let ledger = user.get("/v1/billing/ledger").await.ok(200);
    assert_eq!(ledger["balance"][0]["price"], half, "{ledger}");
    let entries = ledger["data"].as_array().expect("entries are listed");
    let sum = |account: &str| -> i64 {
        let of = entries.iter().filter(|entry| entry["account"] == account);
        of.filter_map(|entry| entry["amount"]["amount_micros"].as_i64())
            .sum()
    };
    assert_eq!((sum("price"), sum("reservation")), (500_000, 0));
    assert_eq!(ledger["balance"][0]["cost"]["amount_micros"], sum("cost"));
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_spend_cap_refuses_what_it_cannot_pay(#[values(Sqlite, Postgres)] database: Database) {
    // Enough for the first minute, and not for another one beside the carrier's part of it.
    let cap = "spend = { amount = \"0.12\", of = \"cost\" }";
    let Some((app, user, number)) = with_limits(database, cap).await else {
        return;
    };
    // One minute: the carrier, its media stream and the agent.
    assert_eq!(check_call(&user).await["max_seconds"], 60);
    let first = app.place_call(&number, listener().with_seconds(4));
    let id = user.the_call().await;
    // What the call may cost is kept while it runs.
    assert_eq!(check_call(&user).await["limit"], "spend");
    let ledger = user.get("/v1/billing/ledger").await.ok(200);
    assert_eq!(
        ledger["balance"][0]["reserved"]["amount_micros"], 112_500,
        "{ledger}"
    );
    app.wait_for_call(&first).await;
    user.ended_call(&id).await;
    let ledger = user.get("/v1/billing/ledger").await.ok(200);
    assert_eq!(ledger["balance"][0]["reserved"]["amount_micros"], 0, "{ledger}");

    assert_eq!(talk(&app, &number).await.said, refused());
    assert_eq!(newest(&user).await["end_reason"], "plan_limit_reached");
    let refusal = check_call(&user).await;
    assert_eq!(
        (&refusal["limit"], &refusal["upgrade"]),
        (&json!("spend"), &json!(["large"]))
    );
    app.finish().await;
}

/// A call of so many seconds that was made elsewhere.
async fn spend_seconds(app: &TestApp, user: &TestUser, seconds: u32) {
    let scope = tenant_scope(user.tenant_id().parse().expect("a tenant's id"));
    let now = app.app().ambient().now();
    let id = CallId::generate(&SystemIds);
    let mut call = Call::inbound(id, "elsewhere", ProviderCallId::new("1"), "+1", "+2", now);
    call.status = CallStatus::Completed;
    let first = CallEventKind::Incoming {
        decision: Value::Null,
    };
    let reservation = Reservation::new(
        id,
        &Admitted::under(PlanId::new("small")),
        Windows::at(now, &Zone::utc()),
        now,
    );
    let mut tx = app.app().store().begin(&scope).await.expect("the store answers");
    assert!(tx.calls().add(&call, &first).await.expect("the store answers"));
    assert!(tx.usage().reserve(&reservation).await.expect("the store answers"));
    let settled = tx
        .usage()
        .settle(id, true, seconds)
        .await
        .expect("the store answers");
    assert!(settled.is_some());
    tx.commit().await.expect("the store answers");
}

#[rstest]
#[tokio::test]
async fn a_call_that_runs_is_cut_when_what_is_left_is_used_up(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(AttachMode::Bridge, AttachMode::RegisterCall)] attach: AttachMode,
) {
    let building = TestApp::on(database).with_plans(&plans("minutes_per_month = 1"));
    let Some(app) = building.with_attach(attach).start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let number = text(&user.agent_with_number().await, "phone_number");
    spend_seconds(&app, &user, 57).await;
    assert_eq!(check_call(&user).await["max_seconds"], 3);
    let talkative = (0..20).fold(listener(), |script, _| script.with_say("and another thing"));
    let report = app.call(&number, talkative.with_seconds(60)).await;
    assert_eq!(report.status, CarrierStatus::Completed);
    let id = text(&newest(&user).await, "id");
    let call = user.ended_call(&id).await;
    assert_eq!(call["end_reason"], "plan_limit_reached", "{call}");
    assert!(call["duration_seconds"].as_u64() < Some(60), "{call}");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn numbers_and_agents_end_where_the_plan_ends(#[values(Sqlite, Postgres)] database: Database) {
    let limits = "numbers = 1, agents = 2";
    let Some((app, user, _)) = with_limits(database, limits).await else {
        return;
    };
    is_refused(
        &user.post("/v1/numbers", &json!({})).await,
        "plan_limit_reached",
        Some("numbers"),
        &["large"],
    );
    let import = json!({ "phone_number": "+12125550188", "provider": "twilio" });
    is_refused(
        &user.post("/v1/numbers/import", &import).await,
        "plan_limit_reached",
        Some("numbers"),
        &["large"],
    );
    let with_phone = json!({ "name": "Second", "provision_phone": true });
    is_refused(
        &user.post("/v1/agents", &with_phone).await,
        "plan_limit_reached",
        Some("numbers"),
        &["large"],
    );
    // Nothing is left of the agent that would have had a number.
    assert_eq!(usage(&user).await["agents"], 1);
    user.post("/v1/agents", &json!({ "name": "Second" }))
        .await
        .ok(201);
    let third = json!({ "name": "Third" });
    is_refused(
        &user.post("/v1/agents", &third).await,
        "plan_limit_reached",
        Some("agents"),
        &["large"],
    );
    let now = usage(&user).await;
    assert_eq!((&now["numbers"], &now["agents"]), (&json!(1), &json!(2)));
    assert_eq!(app.owned_numbers().len(), 1);

    // What is given back makes room.
    let numbers = user.get("/v1/numbers").await.ok(200);
    let path = format!("/v1/numbers/{}", text(&numbers["data"][0], "id"));
    user.delete(&path).await.ok(200);
    user.post("/v1/numbers", &json!({})).await.ok(201);
    app.finish().await;
}
