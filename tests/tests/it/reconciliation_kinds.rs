//! Reconciliation over every kind of resource: of a thousand, exactly those that disagree are found and come to agree.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use reqwest::Method;
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use voice_saas_core::{
    agent::Agent,
    call::{Call, CallEventKind},
    id::{AgentId, CallId, TenantId, TrunkId},
    number::PhoneNumber,
    provider::{
        telephony::{AgentDispatch, ProviderCallId, ProviderTrunk, TrunkOrder, TrunkProvider},
        voice_agent::{AgentSpec, Binding, ProviderAgentId, VoiceAgentProvider},
    },
    testing::tenant_scope,
    trunk::{SealedPassword, Trunk, TrunkStatus},
};
use voice_saas_tests::{Answer, Database, TestApp, eventually, text};

use crate::reconciliation::{
    add_rows, buy, list_pages, number, open, row, run, saga, settle, tenant_of, webhooks,
};

use Database::{Postgres, Sqlite};

/// How many of each kind there are, the disagreeing ones among them.
const NUMBERS: u16 = 500;
const TRUNKS: u16 = 250;
const AGENTS: u16 = 200;
const CALLS: u16 = 50;
/// How many requests are under way at once while the accounts are furnished.
const AT_ONCE: usize = 16;

/// How often each disagreement is there: 50 of 1,000.
const EXPECTED: [(&str, &str, usize); 12] = [
    ("number", "orphan", 6),
    ("number", "missing", 5),
    ("number", "drifted", 5),
    ("number", "foreign", 4),
    ("trunk", "orphan", 4),
    ("trunk", "missing", 4),
    ("trunk", "drifted", 4),
    ("trunk", "foreign", 3),
    ("agent", "orphan", 4),
    ("agent", "missing", 4),
    ("agent", "foreign", 2),
    ("call", "missing", 5),
];

fn expected(kind: &str, class: &str) -> u16 {
    let found = EXPECTED.iter().find(|row| (row.0, row.1) == (kind, class));
    found.map_or(0, |row| u16::try_from(row.2).expect("a small number"))
}

/// In which way each of these many disagrees; `None` = not at all.
fn classes(kind: &'static str, all: u16) -> Vec<Option<&'static str>> {
    let rows = EXPECTED.iter().filter(|row| row.0 == kind);
    let mut classes: Vec<_> = rows
        .flat_map(|row| std::iter::repeat_n(Some(row.1), row.2))
        .collect();
    classes.resize(usize::from(all), None);
    classes
}

fn livekit(app: &TestApp) -> &dyn TrunkProvider {
    let livekit = app.app().telephony("livekit").expect("LiveKit is there");
    livekit.trunks().expect("LiveKit has trunks")
}

fn elevenlabs(app: &TestApp) -> &dyn VoiceAgentProvider {
    &**app.app().voice_agents("elevenlabs").expect("ElevenLabs is there")
}

/// The tenant's numbers that agree are given back: some are to have trunks.
async fn furnish_numbers(app: &TestApp, tenant: TenantId) -> Vec<PhoneNumber> {
    let seeded = stream::iter(classes("number", NUMBERS).into_iter().enumerate());
    let seeded = seeded.map(|(place, class)| async move {
        let number = number(u16::try_from(place).expect("a small number"));
        let (tag, here) = (saga(app), webhooks(app, None));
        let elsewhere = webhooks(app, Some("elsewhere.example"));
        let id = match class {
            Some("missing") => return Some((row(app, number, tag, format!("PNmissing{place}")), false)),
            Some("foreign") => buy(app, number.clone(), "Front desk".to_owned(), elsewhere).await,
            Some("drifted") => buy(app, number.clone(), tag.to_string(), elsewhere).await,
            _ => buy(app, number.clone(), tag.to_string(), here).await,
        };
        let held = class.is_none() || class == Some("drifted");
        held.then(|| (row(app, number, tag, id.as_str()), class.is_none()))
    });
    let rows: Vec<_> = seeded.buffered(AT_ONCE).collect().await;
    let rows: Vec<_> = rows.into_iter().flatten().collect();
    let all: Vec<PhoneNumber> = rows.iter().map(|(row, _)| row.clone()).collect();
    add_rows(app, tenant, &all).await;
    rows.into_iter()
        .filter_map(|(row, agrees)| agrees.then_some(row))
        .collect()
}

async fn make_trunk(app: &TestApp, order: TrunkOrder) -> ProviderTrunk {
    let dispatch = AgentDispatch::new("receptionist", "{}", "call-");
    let made = livekit(app).ensure(&order.with_dispatch(dispatch)).await;
    made.expect("LiveKit makes the trunk")
}

/// Trunks of these numbers; those of somebody else's are given back.
async fn furnish_trunks(app: &TestApp, tenant: TenantId, numbers: Vec<PhoneNumber>) -> Vec<ProviderTrunk> {
    let classes = classes("trunk", TRUNKS);
    assert!(numbers.len() >= classes.len(), "every trunk has a number");
    let seeded = stream::iter(classes.into_iter().zip(numbers)).map(|(class, number)| async move {
        let ambient = app.app().ambient();
        let password = SealedPassword::from_bytes(vec![1]);
        let id = TrunkId::generate(ambient.ids());
        let mut trunk = Trunk::pending(id, number.id, "livekit", password, ambient.now());
        trunk.status = TrunkStatus::Active;
        let order = TrunkOrder::new(&trunk.tag, number.number.clone());
        match class {
            Some("missing") => {}
            Some("foreign") => {
                let order = TrunkOrder::new("by hand", number.number);
                return (None, Some(make_trunk(app, order).await));
            }
            Some("orphan") => {
                make_trunk(app, order).await;
                return (None, None);
            }
            // A trunk without its rule.
            Some("drifted") => drop(make_trunk(app, order.without_calls_in()).await),
            _ => drop(make_trunk(app, order).await),
        }
        (Some(trunk), None)
    });
    let seeded: Vec<_> = seeded.buffer_unordered(AT_ONCE).collect().await;
    let (rows, foreign): (Vec<_>, Vec<_>) = seeded.into_iter().unzip();
    let mut tx = app
        .app()
        .store()
        .begin(&tenant_scope(tenant))
        .await
        .expect("it begins");
    for trunk in rows.iter().flatten() {
        tx.trunks().add(trunk).await.expect("the number has no trunk");
    }
    tx.commit().await.expect("it commits");
    foreign.into_iter().flatten().collect()
}

/// An agent that somebody made at the platform by hand.
async fn make_foreign_agent(app: &TestApp) -> ProviderAgentId {
    let url = app
        .emulator()
        .url()
        .join("/v1/convai/agents/create")
        .expect("a URL");
    let key = app.emulator().elevenlabs_api_key().expose_secret();
    let body = json!({ "name": "By hand", "conversation_config": {} });
    let request = app.api().request(Method::POST, url.as_str());
    let answer = Answer::of(request.header("xi-api-key", key).json(&body)).await;
    ProviderAgentId::new(text(&answer.ok(200), "agent_id"))
}

/// Agents with objects of their own; the objects of somebody else's are given back.
async fn furnish_agents(app: &TestApp, tenant: TenantId) -> Vec<ProviderAgentId> {
    let seeded = stream::iter(classes("agent", AGENTS).into_iter().enumerate());
    let seeded = seeded.map(|(place, class)| async move {
        if class == Some("foreign") {
            return (None, Some(make_foreign_agent(app).await));
        }
        let ambient = app.app().ambient();
        let id = AgentId::generate(ambient.ids());
        let spec =
            AgentSpec::new(id, format!("Desk {place}"), "You answer.").with_binding(Binding::Dedicated);
        if class == Some("missing") {
            let object = ProviderAgentId::new(format!("agent_gone{place}"));
            return (
                Some((Agent::new(spec, "elevenlabs", ambient.now()), object)),
                None,
            );
        }
        let object = elevenlabs(app).ensure_agent(&spec, None).await;
        let object = object.expect("the platform makes it");
        let held = class.is_none();
        (
            held.then(|| (Agent::new(spec, "elevenlabs", ambient.now()), object)),
            None,
        )
    });
    let seeded: Vec<_> = seeded.buffer_unordered(AT_ONCE).collect().await;
    let (rows, foreign): (Vec<_>, Vec<_>) = seeded.into_iter().unzip();
    let mut tx = app
        .app()
        .store()
        .begin(&tenant_scope(tenant))
        .await
        .expect("it begins");
    for (agent, object) in rows.iter().flatten() {
        tx.agents().add(agent).await.expect("the agent is new");
        let bound = tx.agents().bind(agent.spec.id, Some(object)).await;
        bound.expect("the agent is there");
    }
    tx.commit().await.expect("it commits");
    foreign.into_iter().flatten().collect()
}

/// Calls that the store takes for live and the carrier does not know, among others that came a moment ago.
async fn furnish_calls(app: &TestApp, tenant: TenantId) {
    let ambient = app.app().ambient();
    let mut tx = app
        .app()
        .store()
        .begin(&tenant_scope(tenant))
        .await
        .expect("it begins");
    for (place, class) in classes("call", CALLS).into_iter().enumerate() {
        let age = if class.is_some() { 20 } else { 0 };
        let call = Call::inbound(
            CallId::generate(ambient.ids()),
            "twilio",
            ProviderCallId::new(format!("CA{place:032}")),
            "+12125550123",
            "+14155550100",
            ambient.now() - Duration::from_mins(age),
        );
        let incoming = CallEventKind::Incoming {
            decision: json!({ "outcome": "answer" }),
        };
        assert!(tx.calls().add(&call, &incoming).await.expect("it is written"));
    }
    tx.commit().await.expect("it commits");
}

fn tally(findings: &[Value]) -> BTreeMap<(String, String), usize> {
    let mut tally = BTreeMap::new();
    for finding in findings {
        *tally
            .entry((text(finding, "kind"), text(finding, "classification")))
            .or_default() += 1;
    }
    tally
}

fn all_expected() -> BTreeMap<(String, String), usize> {
    EXPECTED
        .iter()
        .map(|(kind, class, count)| (((*kind).to_owned(), (*class).to_owned()), *count))
        .collect()
}

/// What providers hold: numbers, trunks with their rules, agents.
fn held(app: &TestApp) -> [Value; 4] {
    let state = app.emulator().state();
    [
        &state["twilio"]["numbers"],
        &state["livekit"]["inbound_trunks"],
        &state["livekit"]["dispatch_rules"],
        &state["elevenlabs"]["agents"],
    ]
    .map(Value::clone)
}

/// How often agents were listed, a page at a time; those that were searched for by name are not meant.
fn agent_pages(app: &TestApp) -> usize {
    let requests = app.emulator().requests();
    let pages = requests.iter().filter(|request| {
        let query = request.query.as_deref().unwrap_or_default();
        request.method == "GET" && request.path == "/v1/convai/agents" && !query.contains("search=")
    });
    pages.count()
}

#[rstest]
#[tokio::test]
async fn of_a_thousand_resources_exactly_those_that_disagree_are_found_and_come_to_agree(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let tenant = tenant_of(&user);
    let numbers = furnish_numbers(&app, tenant).await;
    let foreign_trunks = furnish_trunks(&app, tenant, numbers).await;
    let foreign_agents = furnish_agents(&app, tenant).await;
    // What bears our tag and nobody holds is no purchase that is under way so much later.
    app.advance_system(Duration::from_mins(16)).await;
    furnish_calls(&app, tenant).await;
    assert_eq!(NUMBERS + TRUNKS + AGENTS + CALLS, 1_000);
    assert_eq!(EXPECTED.iter().map(|row| row.2).sum::<usize>(), 50);

    let (before, pages) = (held(&app), (list_pages(&app), agent_pages(&app)));
    let job = run(&app, json!({})).await;
    assert_eq!(job["progress"]["failed"], json!({}), "{job}");
    let findings = open(&app, "").await;
    assert_eq!(tally(&findings), all_expected());
    assert_eq!(held(&app), before, "a dry run changes nothing");
    assert!(
        findings.iter().all(|finding| {
            let foreign = finding["classification"] == "foreign";
            (foreign || finding["age_seconds"].is_i64())
                && (finding["kind"] != "number" || foreign || !finding["held_since"].is_null())
        }),
        "{findings:#?}"
    );
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    assert_eq!(
        (list_pages(&app) - pages.0, agent_pages(&app) - pages.1),
        (count(&before[0]).div_ceil(200), count(&before[3]).div_ceil(100)),
        "a page is asked for once"
    );

    for finding in &findings {
        let (kind, class) = (text(finding, "kind"), text(finding, "classification"));
        match (&*kind, &*class) {
            ("number", "foreign") => {
                let to = json!({ "tenant_id": user.tenant_id() });
                assert_eq!(settle(&app, finding, "adopt", &to).await["resolution"], "adopted");
            }
            // Nobody here may touch what is somebody else's.
            (_, "foreign") => {
                let path = format!("/v1/admin/reconciliation/{}/release", text(finding, "id"));
                let refused = app.operator().post(&path, &json!({})).await;
                refused.problem(409, "action_refused");
            }
            _ => {
                let action = text(finding, "proposed_action");
                let settled = settle(&app, finding, &action, &json!({})).await;
                assert_eq!(settled["state"], "resolved", "{settled}");
            }
        }
    }
    for trunk in &foreign_trunks {
        livekit(&app)
            .delete(&trunk.handle)
            .await
            .expect("it goes by hand");
    }
    for agent in &foreign_agents {
        elevenlabs(&app)
            .delete_agent(agent)
            .await
            .expect("it goes by hand");
    }
    let agents = usize::from(AGENTS - expected("agent", "orphan") - expected("agent", "foreign"));
    eventually("the agents that were made again", async || {
        let listed = held(&app)[3].as_array().cloned().unwrap_or_default();
        let named = listed.iter().filter(|agent| agent.to_string().contains("agt_"));
        (named.count() == agents).then_some(())
    })
    .await;
    let job = run(&app, json!({})).await;
    assert_eq!(open(&app, "").await, [Value::Null; 0], "{job}");
    let counts = &job["progress"]["counts"];
    let found = ["orphans", "missing", "drifted", "foreign"].map(|class| &counts[class]);
    assert_eq!(found, [0; 4], "{job}");
    let [numbers, trunks, rules, _] = held(&app);
    let left = NUMBERS - expected("number", "orphan") - expected("number", "missing");
    assert_eq!(count(&numbers), usize::from(left));
    let left = TRUNKS - expected("trunk", "orphan") - expected("trunk", "foreign");
    assert_eq!(
        (count(&trunks), count(&rules)),
        (usize::from(left), usize::from(left))
    );
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_trunk_is_repaired_at_the_side_where_it_is_broken(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let number = user.post("/v1/numbers", &json!({})).await.ok(201);
    let e164 = text(&number, "phone_number");
    let path = format!("/v1/numbers/{}/trunk", text(&number, "id"));
    let trunk = user.post(&path, &json!({})).await.ok(201);
    let (tag, parsed) = (text(&trunk, "id"), e164.parse().expect("E.164"));
    for side in ["livekit", "twilio"] {
        let provider = app.app().telephony(side).expect("it is there");
        let trunks = provider.trunks().expect("it has trunks");
        let found = trunks.find(&tag, &parsed).await.expect("an answer");
        let handle = found.expect("the trunk is there").handle;
        trunks.delete(&handle).await.expect("it goes by hand");
        run(&app, json!({})).await;
        let findings = open(&app, "").await;
        assert_eq!(findings.len(), 1, "{findings:#?}");
        let finding = &findings[0];
        assert_eq!(
            (
                &finding["provider"],
                &finding["classification"],
                &finding["tenant_id"]
            ),
            (&json!(side), &json!("missing"), &json!(user.tenant_id()))
        );
        let settled = settle(&app, finding, "repair", &json!({})).await;
        assert_eq!(settled["resolution"], "repaired");
        app.emulator()
            .ring_livekit("+12125550123", &e164)
            .expect("the call is taken");
        run(&app, json!({})).await;
        assert_eq!(open(&app, "").await, [Value::Null; 0]);
    }
    app.finish().await;
}
