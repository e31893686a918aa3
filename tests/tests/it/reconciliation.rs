//! What exists at providers and what the store says come to agree, and a tenant that leaves leaves nothing behind.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_core::{
    agent::Agent,
    id::{AgentId, NumberId, SagaId, TenantId},
    number::{NumberStatus, PhoneNumber},
    phone::{Country, E164},
    provider::{
        telephony::{NumberOrder, NumberWebhooks, ProviderNumberId},
        voice_agent::{AgentSpec, ProviderAgentId},
    },
    testing::tenant_scope,
};
use voice_saas_providers::emulator::{FaultKind, Operation};
use voice_saas_tests::{Database, TestApp, TestUser, eventually, text};

use Database::{Postgres, Sqlite};

/// How many of each kind of disagreement there are in the large account, among how many numbers.
const EACH: u16 = 50;
const HELD: u16 = 1_000;

pub(crate) fn tenant_of(user: &TestUser) -> TenantId {
    user.tenant_id().parse().expect("a tenant's id")
}

pub(crate) fn saga(app: &TestApp) -> SagaId {
    SagaId::generate(app.app().ambient().ids())
}

/// A number that the emulated carrier sells.
pub(crate) fn number(place: u16) -> E164 {
    let (area, line) = if place < 900 {
        (415, 100 + place)
    } else {
        (628, place - 800)
    };
    format!("+1{area}555{line:04}").parse().expect("E.164")
}

pub(crate) fn webhooks(app: &TestApp, host: Option<&str>) -> NumberWebhooks {
    let url = |path: &str| match host {
        Some(host) => format!("https://{host}{path}").parse().expect("a URL"),
        None => app.api().url(path),
    };
    NumberWebhooks::new(
        url("/webhooks/twilio/voice"),
        url("/webhooks/twilio/fallback"),
        url("/webhooks/twilio/status"),
    )
}

/// Buys a number past the library, under this name.
pub(crate) async fn buy(
    app: &TestApp,
    number: E164,
    tag: String,
    webhooks: NumberWebhooks,
) -> ProviderNumberId {
    let twilio = app.app().telephony("twilio").expect("the carrier is there");
    let numbers = twilio.numbers().expect("the carrier has numbers");
    let bought = numbers.buy(&NumberOrder::new(number, tag, webhooks)).await;
    bought.expect("the number is for sale").id
}

/// An active row for a number at the carrier.
pub(crate) fn row(app: &TestApp, number: E164, tag: SagaId, id: impl Into<String>) -> PhoneNumber {
    let ambient = app.app().ambient();
    let (now, row) = (ambient.now(), NumberId::generate(ambient.ids()));
    let mut row = PhoneNumber::pending(row, number, "twilio", Country::US, tag, now);
    row.status = NumberStatus::Active;
    row.provider_id = Some(ProviderNumberId::new(id));
    row.provisioned_at = Some(now);
    row
}

pub(crate) async fn add_rows(app: &TestApp, tenant: TenantId, rows: &[PhoneNumber]) {
    let mut tx = app
        .app()
        .store()
        .begin(&tenant_scope(tenant))
        .await
        .expect("it begins");
    for row in rows {
        tx.numbers().add(row).await.expect("nobody holds the number");
    }
    tx.commit().await.expect("it commits");
}

/// So much later, what bears our tag and nobody holds is no purchase that is under way.
pub(crate) async fn come_of_age(app: &TestApp) {
    app.advance(Duration::from_mins(16)).await;
}

/// Begins a run and waits for its end; what its job says.
pub(crate) async fn run(app: &TestApp, body: Value) -> Value {
    let begun = app
        .operator()
        .post("/v1/admin/reconciliation/run", &body)
        .await
        .ok(202);
    finished(app, &begun).await
}

pub(crate) async fn finished(app: &TestApp, begun: &Value) -> Value {
    let path = format!("/v1/admin/jobs/{}", text(begun, "job_id"));
    eventually("the end of a job", async || {
        let job = app.operator().get(&path).await.ok(200);
        (job["state"] == "finished").then_some(job)
    })
    .await
}

/// All open findings, newest first.
pub(crate) async fn open(app: &TestApp, filter: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/admin/reconciliation?state=open&limit=200{filter}{cursor}");
        let page = app.operator().get(&path).await.ok(200);
        all.extend(page["data"].as_array().expect("a list").clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

pub(crate) fn tally(findings: &[Value]) -> BTreeMap<String, u16> {
    let mut tally = BTreeMap::new();
    for finding in findings {
        *tally.entry(text(finding, "classification")).or_default() += 1;
    }
    tally
}

pub(crate) async fn settle(app: &TestApp, finding: &Value, action: &str, body: &Value) -> Value {
    let path = format!("/v1/admin/reconciliation/{}/{action}", text(finding, "id"));
    app.operator().post(&path, body).await.ok(200)
}

/// How often a list of the carrier's numbers was asked for, a page at a time.
pub(crate) fn list_pages(app: &TestApp) -> usize {
    let requests = app.emulator().requests();
    let pages = requests.iter().filter(|request| {
        let query = request.query.as_deref().unwrap_or_default();
        request.method == "GET"
            && request.path.ends_with("/IncomingPhoneNumbers.json")
            && !query.contains("PhoneNumber=")
    });
    pages.count()
}

/// Numbers of every sort: those that agree, and [`EACH`] of those that disagree in one way or the other.
async fn furnish(app: &TestApp, tenant: TenantId) {
    let seeded = stream::iter(0..HELD).map(|place| async move {
        let (tag, here) = (saga(app), webhooks(app, None));
        let number = number(place);
        match place / EACH {
            0 => {
                buy(app, number, tag.to_string(), here).await;
                None
            }
            1 => {
                buy(
                    app,
                    number,
                    "Front desk".to_owned(),
                    webhooks(app, Some("elsewhere.example")),
                )
                .await;
                None
            }
            2 => {
                let old = webhooks(app, Some("old.example"));
                let id = buy(app, number.clone(), tag.to_string(), old).await;
                Some(row(app, number, tag, id.as_str()))
            }
            _ => {
                let id = buy(app, number.clone(), tag.to_string(), here).await;
                Some(row(app, number, tag, id.as_str()))
            }
        }
    });
    let mut rows: Vec<PhoneNumber> = seeded
        .buffer_unordered(32)
        .filter_map(|row| async { row })
        .collect()
        .await;
    for place in 0..EACH {
        let number = format!("+1510555{:04}", 100 + place).parse().expect("E.164");
        rows.push(row(app, number, saga(app), format!("PNmissing{place}")));
    }
    add_rows(app, tenant, &rows).await;
}

#[rstest]
#[tokio::test]
async fn of_a_thousand_numbers_exactly_those_that_disagree_are_found_and_come_to_agree(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    furnish(&app, tenant_of(&user)).await;
    come_of_age(&app).await;

    let before = list_pages(&app);
    let job = run(&app, json!({})).await;
    let asked = list_pages(&app) - before;
    assert_eq!(asked, usize::from(HELD).div_ceil(200), "a page is asked for once");
    let counts = &job["progress"]["counts"];
    assert_eq!(job["progress"]["failed"], json!({}));
    assert_eq!(
        (&counts["missing"], &counts["applied"]),
        (&json!(EACH), &json!(0))
    );
    let findings = open(&app, "").await;
    let each = ["drifted", "foreign", "missing", "orphan"].map(|class| (class.to_owned(), EACH));
    assert_eq!(tally(&findings), BTreeMap::from(each));
    assert!(findings.iter().all(|finding| finding["provider"] == "twilio"));
    let orphan = &open(&app, "&classification=orphan&kind=number").await[0];
    assert_eq!(
        (&orphan["proposed_action"], &orphan["tenant_id"]),
        (&json!("release"), &Value::Null)
    );
    assert!(
        orphan["age_seconds"].is_i64() && orphan["monthly_cost"]["amount_micros"].is_i64(),
        "{orphan}"
    );
    assert_eq!(
        app.owned_numbers().len(),
        usize::from(HELD),
        "a dry run changes nothing"
    );

    // What needs no decision is settled by a run; whose the rest is, an operator must know.
    let job = run(&app, json!({ "dry_run": false })).await;
    assert_eq!(job["progress"]["counts"]["applied"], 2 * EACH, "{job}");
    assert_eq!(job["progress"]["counts"]["refused"], 0, "{job}");
    let left = open(&app, "").await;
    let each = ["foreign", "orphan"].map(|class| (class.to_owned(), EACH));
    assert_eq!(tally(&left), BTreeMap::from(each));
    for finding in &left {
        if finding["classification"] == "orphan" {
            let settled = settle(&app, finding, "release", &json!({})).await;
            assert_eq!(settled["resolution"], "released");
        } else {
            let to = json!({ "tenant_id": user.tenant_id() });
            let settled = settle(&app, finding, "adopt", &to).await;
            assert_eq!(settled["resolution"], "adopted");
        }
    }
    let job = run(&app, json!({})).await;
    assert_eq!(open(&app, "").await, [Value::Null; 0], "{job}");
    let counts = &job["progress"]["counts"];
    let found = ["orphans", "missing", "drifted", "foreign"].map(|class| &counts[class]);
    assert_eq!(found, [0; 4], "{job}");
    let owned = app.owned_numbers();
    assert_eq!(owned.len(), usize::from(HELD - EACH));
    let voice = app.api().url("/webhooks/twilio/voice").to_string();
    assert!(
        owned.iter().all(|number| number["voice_url"] == voice),
        "all calls come to us"
    );
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_action_that_would_harm_is_refused_and_a_repeated_one_answers_the_same(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    buy(&app, number(0), "Front desk".to_owned(), webhooks(&app, None)).await;
    let tag = saga(&app);
    let id = buy(&app, number(1), tag.to_string(), webhooks(&app, None)).await;
    come_of_age(&app).await;
    run(&app, json!({ "provider": "twilio" })).await;
    let operator = app.operator();
    let path =
        |finding: &Value, action: &str| format!("/v1/admin/reconciliation/{}/{action}", text(finding, "id"));
    let foreign = &open(&app, "&classification=foreign").await[0];
    let nothing = json!({});
    operator
        .post(&path(foreign, "release"), &nothing)
        .await
        .problem(409, "action_refused");
    operator
        .post(&path(foreign, "repair"), &nothing)
        .await
        .problem(409, "action_refused");
    let nobody = json!({ "tenant_id": "ten_00000000000000000000000000000001" });
    let field = operator
        .post(&path(foreign, "adopt"), &nobody)
        .await
        .wrong_field();
    assert_eq!(field.0, "/tenant_id");

    // Somebody came to hold it after the run.
    let orphan = &open(&app, "&classification=orphan").await[0];
    add_rows(&app, tenant_of(&user), &[row(&app, number(1), tag, id.as_str())]).await;
    operator
        .post(&path(orphan, "release"), &nothing)
        .await
        .problem(409, "action_refused");
    assert_eq!(app.owned_numbers().len(), 2);

    let to = json!({ "tenant_id": user.tenant_id() });
    // An answer that is lost is asked for again: the number was renamed and pointed to us nevertheless.
    app.break_next(Operation::UpdateNumber, FaultKind::AnswerLost, 4);
    let first = operator.post(&path(foreign, "adopt"), &to).await;
    assert!(matches!(first.status(), 200 | 202), "{}", first.text());
    let settled = eventually("the adoption", async || {
        let all = operator
            .get("/v1/admin/reconciliation?classification=foreign")
            .await
            .ok(200);
        (all["data"][0]["state"] == "resolved").then(|| all["data"][0].clone())
    })
    .await;
    let again = operator.post(&path(foreign, "adopt"), &to).await.ok(200);
    assert_eq!(again["resolved_at"], settled["resolved_at"]);
    let held = user.get("/v1/numbers").await.ok(200);
    assert_eq!(held["data"].as_array().map(Vec::len), Some(2), "{held}");
    run(&app, json!({})).await;
    assert_eq!(open(&app, "").await, [Value::Null; 0]);
    app.operator()
        .post("/v1/admin/reconciliation/run", &json!({ "provider": "hal" }))
        .await
        .problem(422, "invalid_request");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_object_of_a_deleted_agent_is_released_and_one_that_is_missing_is_made_again(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let scope = tenant_scope(tenant_of(&user));
    let platform = app
        .app()
        .voice_agents("elevenlabs")
        .expect("the platform is there");
    let dedicated = json!({ "name": "Front desk", "binding": "dedicated" });
    let agent = user.agent_with(dedicated).await;
    let id: AgentId = text(&agent, "id").parse().expect("an agent's id");
    let object = eventually("the agent's object", async || {
        let mut tx = app.app().store().begin(&scope).await.expect("it begins");
        tx.agents()
            .find(id)
            .await
            .expect("the agent is there")
            .provider_agent
    })
    .await;
    // Deleted at the platform by hand; another is left over from an agent that is in no book.
    platform
        .delete_agent(&object)
        .await
        .expect("the platform deletes it");
    let ids = app.app().ambient().ids();
    let stray = AgentSpec::new(AgentId::generate(ids), "Stray", "You answer.");
    let stray = stray.with_binding(voice_saas_core::provider::voice_agent::Binding::Dedicated);
    platform
        .ensure_agent(&stray, None)
        .await
        .expect("the platform makes it");
    come_of_age(&app).await;

    run(&app, json!({ "provider": "elevenlabs" })).await;
    let findings = open(&app, "&kind=agent").await;
    let expected = ["missing", "orphan"].map(|class| (class.to_owned(), 1));
    assert_eq!(tally(&findings), BTreeMap::from(expected), "{findings:#?}");
    for finding in &findings {
        let action = text(finding, "proposed_action");
        settle(&app, finding, &action, &json!({})).await;
    }
    eventually("another object", async || {
        let mut tx = app.app().store().begin(&scope).await.expect("it begins");
        let agent = tx.agents().find(id).await.expect("the agent is there");
        agent.provider_agent.filter(|now| *now != object)
    })
    .await;
    run(&app, json!({ "provider": "elevenlabs" })).await;
    assert_eq!(open(&app, "").await, [Value::Null; 0]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn all_webhooks_are_pointed_to_the_present_address_and_only_those_of_tenants(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let mut rows = Vec::new();
    for place in 0..5 {
        let (tag, old) = (saga(&app), webhooks(&app, Some("old.example")));
        let id = buy(&app, number(place), tag.to_string(), old).await;
        // The last is nobody's.
        if place < 4 {
            rows.push(row(&app, number(place), tag, id.as_str()));
        }
    }
    add_rows(&app, tenant_of(&user), &rows).await;
    let here = app.api().url("/webhooks/twilio/voice").to_string();
    let pointing = || {
        app.owned_numbers()
            .iter()
            .filter(|number| number["voice_url"] == here)
            .count()
    };
    let path = "/v1/admin/numbers/repoint-webhooks";
    let begun = app.operator().post(path, &json!({})).await.ok(202);
    let job = finished(&app, &begun).await;
    assert_eq!(
        (&begun["dry_run"], &job["progress"]["elsewhere"]),
        (&json!(true), &json!(4))
    );
    assert_eq!((&job["progress"]["repointed"], pointing()), (&json!(0), 0));

    app.break_next(Operation::UpdateNumber, FaultKind::RateLimited, 4);
    let begun = app
        .operator()
        .post(path, &json!({ "dry_run": false }))
        .await
        .ok(202);
    let job = finished(&app, &begun).await;
    assert_eq!(job["progress"]["refused"], 0, "{job}");
    assert_eq!(pointing(), 4);
    let begun = app
        .operator()
        .post(path, &json!({ "dry_run": true }))
        .await
        .ok(202);
    assert_eq!(finished(&app, &begun).await["progress"]["elsewhere"], 0);
    app.finish().await;
}

/// The platform's agents of this name.
fn agents_named(app: &TestApp, id: &str) -> usize {
    let state = app.emulator().state();
    let agents = state["elevenlabs"]["agents"]
        .as_array()
        .expect("agents are listed")
        .clone();
    agents
        .iter()
        .filter(|agent| agent.to_string().contains(id))
        .count()
}

async fn closed(user: &TestUser) {
    eventually("the end of the tenant", async || {
        let tenant = user.get("/v1/tenant").await.ok(200);
        (tenant["status"] == "closed").then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn a_tenant_that_leaves_leaves_nothing_at_any_provider_and_others_lose_nothing(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    let kept = grace.agent_with_number().await;
    let agent = ada
        .agent_with(json!({ "name": "Desk", "binding": "dedicated", "provision_phone": true }))
        .await;
    ada.post("/v1/numbers", &json!({})).await.ok(201);
    let agent = text(&agent, "id");
    eventually("the agent's object", async || {
        (agents_named(&app, &agent) == 1).then_some(())
    })
    .await;
    let key = ada.api_key(&["read", "write", "admin"]).await;
    key.delete("/v1/tenant").await.problem(403, "forbidden");

    // A carrier that fails for a while keeps nothing in the end.
    app.break_next(Operation::ReleaseNumber, FaultKind::AnswerLost, 4);
    let first = ada.delete("/v1/tenant").await.ok(202);
    let refused = ada.post("/v1/numbers", &json!({})).await;
    refused.problem(409, "tenant_closed");
    closed(&ada).await;
    assert_eq!(ada.delete("/v1/tenant").await.ok(202), first);

    let owned = app.owned_numbers();
    assert_eq!(owned.len(), 1, "{owned:#?}");
    assert_eq!(owned[0]["phone_number"], kept["phone_number"]);
    assert_eq!(agents_named(&app, &agent), 0);
    assert_eq!(ada.get("/v1/numbers").await.ok(200)["data"], json!([]));
    assert_eq!(ada.get("/v1/agents").await.ok(200)["data"], json!([]));
    key.get("/v1/agents").await.problem(401, "unauthenticated");
    let refresh = json!({ "refresh_token": ada.refresh_token() });
    app.api()
        .post("/v1/auth/refresh", &refresh)
        .await
        .problem(401, "unauthenticated");
    let refresh = json!({ "refresh_token": grace.refresh_token() });
    app.api().post("/v1/auth/refresh", &refresh).await.ok(200);
    assert_eq!(
        grace.get("/v1/agents").await.ok(200)["data"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    run(&app, json!({})).await;
    assert_eq!(
        open(&app, "").await,
        [Value::Null; 0],
        "nothing of the tenant is left anywhere"
    );
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_off_boarding_that_cannot_go_on_waits_for_an_operator_who_lets_it_go_on(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    user.post("/v1/numbers", &json!({})).await.ok(201);
    // An agent of a platform that this installation has no credentials for any more.
    let scope = tenant_scope(tenant_of(&user));
    let ambient = app.app().ambient();
    let spec = AgentSpec::new(AgentId::generate(ambient.ids()), "Old", "You answer.");
    let agent = Agent::new(spec, "hal", ambient.now());
    let bind = async |object: Option<&ProviderAgentId>, fresh: bool| {
        let mut tx = app.app().store().begin(&scope).await.expect("it begins");
        if fresh {
            tx.agents().add(&agent).await.expect("the agent is new");
        }
        tx.agents()
            .bind(agent.spec.id, object)
            .await
            .expect("the agent is there");
        tx.commit().await.expect("it commits");
    };
    bind(Some(&ProviderAgentId::new("hal-1")), true).await;

    let begun = user.delete("/v1/tenant").await.ok(202);
    let dead = eventually("a dead job", async || {
        let dead = app.operator().get("/v1/admin/jobs?state=dead").await.ok(200);
        dead["data"].get(0).cloned()
    })
    .await;
    assert_eq!(dead["kind"], "tenant.off_board");
    let why = text(&dead, "error");
    for word in [text(&begun, "id").as_str(), "delete agents", "hal"] {
        assert!(why.contains(word), "{why}");
    }
    assert_eq!(
        app.owned_numbers(),
        [Value::Null; 0],
        "what could be given back is given back"
    );
    assert_eq!(user.get("/v1/tenant").await.ok(200)["status"], "closing");
    assert_eq!(user.delete("/v1/tenant").await.ok(202), begun);

    bind(None, false).await;
    let retry = format!("/v1/admin/jobs/{}/retry", text(&dead, "id"));
    app.operator().post(&retry, &json!({})).await.ok(202);
    closed(&user).await;
    app.finish().await;
}
