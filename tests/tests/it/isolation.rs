//! The two-tenant sweep. Every route of the OpenAPI document that needs a tenant is called by tenant B with the ids of
//! tenant A: it must answer as if they did not exist, show nothing of A, and leave no trace in A's data.

mod exempt;

use std::collections::BTreeSet;

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_tests::{Answer, Api, Database, TestApp, TestUser, caller_says, text};

use self::exempt::{Audience, EXEMPT};

/// What tenant B must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sees {
    /// 404.
    Nothing,
    /// An answer of its own, in which nothing of A appears.
    ItsOwn,
    /// Its own end, after which nothing is left to sweep with: what that leaves of others is a test of its own.
    Apart,
    /// A refusal with this status, because the thing is taken, not because of whose it is.
    Taken(u16),
}

/// One way to call a route with somebody else's ids.
struct Probe {
    path: String,
    body: Option<Value>,
    sees: Sees,
}

/// A tenant with one of everything.
struct Furnished {
    user: TestUser,
    agent: String,
    number: String,
    phone_number: String,
    call: String,
    key: String,
    trunk: String,
    port: String,
    /// The number that moves in.
    ported: String,
    /// Everything that must never be seen by others: ids, numbers, names, words.
    secrets: Vec<String>,
}

impl Furnished {
    async fn new(app: &TestApp, business: &str) -> Self {
        let user = app.register(business).await;
        let agent = user.agent_with_number().await;
        let phone_number = text(&agent, "phone_number");
        app.call(&phone_number, caller_says("hi")).await;
        let call = user.the_call().await;
        user.recorded(&call).await;
        let ended = user.ended_call(&call).await;
        let keys = user.get("/v1/api-keys").await.ok(200);
        let key = text(&keys["data"][0], "id");
        let number = text(&agent, "phone_number_id");
        // Where calls go nowhere by SIP, nobody has a trunk.
        let trunk = user
            .post(&format!("/v1/numbers/{number}/trunk"), &json!({}))
            .await;
        let trunk = match trunk.status() {
            201 => text(&trunk.ok(201), "id"),
            _ => "trk_018f3c1e5d0f7a3b9c2d4e5f60718293".to_owned(),
        };
        let ported = format!("+1617555{:04}", 1200 + u16::from(business.as_bytes()[0]));
        let port = user
            .post("/v1/numbers/ports", &crate::porting::order(&ported))
            .await
            .ok(202);
        let port = text(&port, "id");
        let secrets = vec![
            port.clone(),
            ported.clone(),
            trunk.clone(),
            business.to_owned(),
            user.email(),
            user.tenant_id(),
            user.user_id(),
            text(&agent, "id"),
            text(&agent, "phone_number_sid"),
            text(&ended, "provider_call_id"),
            text(&ended, "conversation_id"),
            number.clone(),
            phone_number.clone(),
            call.clone(),
            key.clone(),
        ];
        Self {
            agent: text(&agent, "id"),
            user,
            number,
            phone_number,
            call,
            key,
            trunk,
            port,
            ported,
            secrets,
        }
    }

    fn agent_path(&self, rest: &str) -> String {
        format!("/v1/agents/{}{rest}", self.agent)
    }

    fn number_path(&self) -> String {
        format!("/v1/numbers/{}", self.number)
    }

    fn port_path(&self) -> String {
        format!("/v1/numbers/ports/{}", self.port)
    }

    fn call_path(&self, rest: &str) -> String {
        format!("/v1/calls/{}{rest}", self.call)
    }

    /// All that this tenant can see of itself, on every route that the table can read from.
    async fn everything(&self) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        for (method, path) in swept() {
            // The carrier's stock is nobody's data.
            if method != "GET"
                || ["/v1/numbers/available", "/v1/numbers/portability"].contains(&path.as_str())
            {
                continue;
            }
            for probe in probes("GET", &path, self, self) {
                let answer = self.user.get(&probe.path).await;
                assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
                seen.push((probe.path, answer.text().to_owned()));
            }
        }
        assert!(seen.len() >= 14, "{seen:#?}");
        seen
    }
}

/// How a route is called with the ids of the first tenant by the second.
type Probing = fn(&Furnished, &Furnished) -> Vec<Probe>;

/// Every route that needs a tenant. A path without an id is called as it is; what it answers is the caller's own.
const SWEPT: &[(&str, &str, Probing)] = &[
    ("GET", "/v1/auth/me", |_, _| ask("/v1/auth/me", Sees::ItsOwn)),
    ("GET", "/v1/members", |_, _| ask("/v1/members", Sees::ItsOwn)),
    ("GET", "/v1/tenant", |_, _| ask("/v1/tenant", Sees::ItsOwn)),
    ("PATCH", "/v1/tenant", |_, _| {
        tell("/v1/tenant", json!({ "greeting": "Hi" }), Sees::ItsOwn)
    }),
    ("DELETE", "/v1/tenant", |_, _| ask("/v1/tenant", Sees::Apart)),
    ("GET", "/v1/usage", |_, _| ask("/v1/usage", Sees::ItsOwn)),
    ("POST", "/v1/usage/check-call", |_, _| {
        ask("/v1/usage/check-call", Sees::ItsOwn)
    }),
    ("GET", "/v1/billing/ledger", |_, _| {
        ask("/v1/billing/ledger", Sees::ItsOwn)
    }),
    ("GET", "/v1/api-keys", |_, _| ask("/v1/api-keys", Sees::ItsOwn)),
    ("POST", "/v1/api-keys", |_, _| {
        tell("/v1/api-keys", json!({ "name": "sweep" }), Sees::ItsOwn)
    }),
    ("DELETE", "/v1/api-keys/{id}", |a, _| {
        ask(format!("/v1/api-keys/{}", a.key), Sees::Nothing)
    }),
    ("GET", "/v1/agents", |_, _| ask("/v1/agents", Sees::ItsOwn)),
    ("POST", "/v1/agents", |_, _| {
        tell("/v1/agents", json!({ "name": "Sweep" }), Sees::ItsOwn)
    }),
    ("GET", "/v1/agents/{id}", |a, _| {
        ask(a.agent_path(""), Sees::Nothing)
    }),
    ("PATCH", "/v1/agents/{id}", |a, _| {
        tell(a.agent_path(""), json!({ "name": "Swept" }), Sees::Nothing)
    }),
    ("DELETE", "/v1/agents/{id}", |a, _| {
        ask(a.agent_path(""), Sees::Nothing)
    }),
    ("GET", "/v1/agents/{id}/numbers", |a, _| {
        ask(a.agent_path("/numbers"), Sees::Nothing)
    }),
    ("PUT", "/v1/agents/{id}/numbers", |a, b| {
        let put = |path, numbers: Value| tell(path, json!({ "number_ids": numbers }), Sees::Nothing);
        let mut all = put(a.agent_path("/numbers"), json!([b.number]));
        all.extend(put(a.agent_path("/numbers"), json!([])));
        all.extend(put(b.agent_path("/numbers"), json!([b.number, a.number])));
        all
    }),
    ("POST", "/v1/agents/{id}/phone-number", |a, _| {
        tell(a.agent_path("/phone-number"), json!({}), Sees::Nothing)
    }),
    ("DELETE", "/v1/agents/{id}/phone-number", |a, _| {
        ask(a.agent_path("/phone-number"), Sees::Nothing)
    }),
    ("GET", "/v1/numbers/available", |a, _| {
        let digits = a.phone_number.trim_start_matches('+');
        ask(format!("/v1/numbers/available?contains={digits}"), Sees::ItsOwn)
    }),
    ("GET", "/v1/numbers", |a, _| {
        let mut all = ask("/v1/numbers", Sees::ItsOwn);
        all.extend(ask(format!("/v1/numbers?agent_id={}", a.agent), Sees::ItsOwn));
        all
    }),
    ("POST", "/v1/numbers", |a, _| {
        let mut all = tell("/v1/numbers", json!({ "agent_id": a.agent }), Sees::Nothing);
        let taken = json!({ "phone_number": a.phone_number });
        all.extend(tell("/v1/numbers", taken, Sees::Taken(409)));
        all
    }),
    ("POST", "/v1/numbers/import", |a, _| {
        let body = json!({ "phone_number": a.phone_number, "provider": "twilio" });
        tell("/v1/numbers/import", body, Sees::Taken(409))
    }),
    ("GET", "/v1/numbers/portability", |a, _| {
        let number = a.ported.replace('+', "%2B");
        ask(
            format!("/v1/numbers/portability?phone_number={number}"),
            Sees::ItsOwn,
        )
    }),
    ("GET", "/v1/numbers/ports", |_, _| {
        ask("/v1/numbers/ports", Sees::ItsOwn)
    }),
    ("POST", "/v1/numbers/ports", |a, _| {
        let taken = |number: &str| {
            let order = crate::porting::order(number);
            tell("/v1/numbers/ports", order, Sees::Taken(409))
        };
        let mut all = taken(&a.ported);
        all.extend(taken(&a.phone_number));
        let mut linked = crate::porting::order("+16175551999");
        linked["agent_id"] = json!(a.agent);
        all.extend(tell("/v1/numbers/ports", linked, Sees::Nothing));
        all
    }),
    ("GET", "/v1/numbers/ports/{id}", |a, _| {
        ask(a.port_path(), Sees::Nothing)
    }),
    ("DELETE", "/v1/numbers/ports/{id}", |a, _| {
        ask(a.port_path(), Sees::Nothing)
    }),
    ("GET", "/v1/trunks", |_, _| ask("/v1/trunks", Sees::ItsOwn)),
    ("DELETE", "/v1/trunks/{id}", |a, _| {
        ask(format!("/v1/trunks/{}", a.trunk), Sees::Nothing)
    }),
    ("POST", "/v1/numbers/{id}/trunk", |a, _| {
        ask(format!("{}/trunk", a.number_path()), Sees::Nothing)
    }),
    ("GET", "/v1/numbers/{id}", |a, _| {
        ask(a.number_path(), Sees::Nothing)
    }),
    ("PATCH", "/v1/numbers/{id}", |a, _| {
        tell(a.number_path(), json!({ "status": "inactive" }), Sees::Nothing)
    }),
    ("DELETE", "/v1/numbers/{id}", |a, _| {
        ask(a.number_path(), Sees::Nothing)
    }),
    ("POST", "/v1/routing/explain", |a, _| {
        let body = json!({ "phone_number": a.phone_number });
        tell("/v1/routing/explain", body, Sees::Nothing)
    }),
    ("GET", "/v1/calls", |a, _| {
        let mut all = ask("/v1/calls", Sees::ItsOwn);
        all.extend(ask(format!("/v1/calls?agent_id={}", a.agent), Sees::ItsOwn));
        let to = a.phone_number.replace('+', "%2B");
        all.extend(ask(format!("/v1/calls?to={to}"), Sees::ItsOwn));
        all
    }),
    ("GET", "/v1/calls/{id}", |a, _| {
        ask(a.call_path(""), Sees::Nothing)
    }),
    ("GET", "/v1/calls/{id}/transcript", |a, _| {
        ask(a.call_path("/transcript"), Sees::Nothing)
    }),
    ("GET", "/v1/calls/{id}/events", |a, _| {
        ask(a.call_path("/events"), Sees::Nothing)
    }),
    ("POST", "/v1/calls/{id}/hangup", |a, _| {
        ask(a.call_path("/hangup"), Sees::Nothing)
    }),
];

fn ask(path: impl Into<String>, sees: Sees) -> Vec<Probe> {
    vec![Probe {
        path: path.into(),
        body: None,
        sees,
    }]
}

fn tell(path: impl Into<String>, body: Value, sees: Sees) -> Vec<Probe> {
    vec![Probe {
        path: path.into(),
        body: Some(body),
        sees,
    }]
}

/// How a route is called with the ids of `theirs` by somebody who has `own`; nothing for routes that have no row.
fn probes(method: &str, path: &str, theirs: &Furnished, own: &Furnished) -> Vec<Probe> {
    let row = SWEPT.iter().find(|(m, p, _)| (*m, *p) == (method, path));
    row.map(|(_, _, probing)| probing(theirs, own))
        .unwrap_or_default()
}

/// Every operation of the document: method, path, and its own `security`, if it has one.
fn operations() -> Vec<(String, String, Option<Value>)> {
    let document = serde_json::to_value(voice_saas_axum::openapi()).expect("the document is JSON");
    let paths = document["paths"].as_object().expect("the document has paths");
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("a path has operations") {
            let security = operation.get("security").cloned();
            all.push((method.to_uppercase(), path.clone(), security));
        }
    }
    assert!(all.len() > 40, "{all:?}");
    all
}

fn exemption(method: &str, path: &str) -> Option<Audience> {
    let found = EXEMPT.iter().find(|(m, p, _)| (*m, *p) == (method, path));
    found.map(|(_, _, audience)| *audience)
}

/// Every route that needs a tenant, as the document has them.
fn swept() -> Vec<(String, String)> {
    operations()
        .into_iter()
        .filter(|(method, path, _)| exemption(method, path).is_none())
        .map(|(method, path, _)| (method, path))
        .collect()
}

async fn send(api: &Api, method: &str, probe: &Probe) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    api.send(method, &probe.path, probe.body.as_ref()).await
}

#[test]
fn every_route_is_swept_or_exempt_and_every_row_is_a_route() {
    let routes: BTreeSet<(String, String)> = operations()
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let rows = SWEPT.iter().map(|(method, path, _)| (*method, *path));
    let exempt = EXEMPT.iter().map(|(method, path, _)| (*method, *path));
    let mut covered = BTreeSet::new();
    for (method, path) in rows.chain(exempt) {
        let fresh = covered.insert((method.to_owned(), path.to_owned()));
        assert!(fresh, "{method} {path} has two rows");
    }
    let missing: Vec<_> = routes.difference(&covered).collect();
    assert!(missing.is_empty(), "no row in the sweep: {missing:?}");
    let stale: Vec<_> = covered.difference(&routes).collect();
    assert!(stale.is_empty(), "no such route: {stale:?}");
}

#[test]
fn the_document_says_who_every_exempt_route_is_for() {
    let all = operations();
    for (method, path, security) in &all {
        let schemes: BTreeSet<String> = security
            .iter()
            .flat_map(|security| security.as_array().expect("security is a list"))
            .flat_map(|scheme| scheme.as_object().expect("a scheme is an object").keys().cloned())
            .collect();
        let schemes: Vec<&str> = schemes.iter().map(String::as_str).collect();
        let right = match exemption(method, path) {
            // The document's own default: a tenant's credentials.
            None => security.is_none(),
            Some(Audience::Public) => security.is_some() && schemes.is_empty(),
            Some(Audience::Operator) => schemes == ["operator"],
            Some(Audience::Call) => schemes == ["bearer", "call_token"],
            // A media socket's token is a part of its path, as is the secret of a carrier that signs nothing.
            Some(Audience::Provider) if path.starts_with("/media/") || path.ends_with("/{secret}") => {
                schemes.is_empty()
            }
            Some(Audience::Provider) => {
                schemes.len() == 1
                    && ["twilio", "elevenlabs", "livekit"]
                        .iter()
                        .any(|name| schemes[0].starts_with(name))
            }
        };
        assert!(right, "{method} {path} needs {schemes:?}");
    }
}

#[rstest]
#[tokio::test]
async fn another_tenants_ids_name_nothing_on_any_route(
    #[values(Database::Sqlite, Database::Postgres)] database: Database,
) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let (a, b) = tokio::join!(
        Furnished::new(&app, "Ada Plumbing"),
        Furnished::new(&app, "Grace Dental")
    );
    let (before, owned_before) = (a.everything().await, app.owned_numbers());
    // With all rights that a tenant can have: only whose the ids are is wrong.
    for (method, path) in swept() {
        let probes = probes(&method, &path, &a, &b);
        assert!(!probes.is_empty(), "{method} {path} has no row in the sweep");
        for probe in probes {
            if probe.sees == Sees::Apart {
                continue;
            }
            let answer = send(&b.user, &method, &probe).await;
            let what = format!("{method} {}: {} {}", probe.path, answer.status(), answer.text());
            match probe.sees {
                Sees::Nothing => drop(answer.problem(404, "not_found")),
                Sees::ItsOwn => assert!((200..300).contains(&answer.status()), "{what}"),
                Sees::Taken(status) => assert_eq!(answer.status(), status, "{what}"),
                Sees::Apart => {}
            }
            for secret in &a.secrets {
                assert!(
                    !answer.text().contains(secret.as_str()),
                    "{secret} shows in {what}"
                );
            }
        }
    }
    assert_eq!(a.everything().await, before, "B left a trace in A's data");
    assert_eq!(app.owned_numbers(), owned_before, "B left a trace at the carrier");
    // B's own things were there all the time: the refusals above were about whose they are.
    for (method, path) in swept() {
        if method == "GET" {
            for probe in probes("GET", &path, &b, &b) {
                assert_eq!(b.user.get(&probe.path).await.status(), 200, "{}", probe.path);
            }
        }
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn no_route_but_the_public_ones_answers_without_good_credentials(
    #[values(Database::Sqlite, Database::Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let a = Furnished::new(&app, "Ada Plumbing").await;
    let (before, owned_before) = (a.everything().await, app.owned_numbers());
    let nobody = app.api();
    let strangers = [
        nobody.clone(),
        nobody.with_bearer("vsk_0000000000000000000000000000000000000000000"),
        nobody.with_bearer("not a token"),
        nobody.with_bearer(a.user.refresh_token()),
    ];
    let operator_routes = EXEMPT
        .iter()
        .filter(|(_, _, audience)| *audience == Audience::Operator)
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
    for (method, path) in swept().into_iter().chain(operator_routes) {
        let mut probes = probes(&method, &path, &a, &a);
        if probes.is_empty() {
            let path = path.replace("{id}", "job_018f3c1e5d0f7a3b9c2d4e5f60718293");
            probes.push(Probe {
                path,
                body: None,
                sees: Sees::Nothing,
            });
        }
        for probe in probes {
            for stranger in &strangers {
                send(stranger, &method, &probe)
                    .await
                    .problem(401, "unauthenticated");
            }
        }
    }
    for &(method, path, audience) in EXEMPT {
        let path = path.replace("{id}", "job_018f3c1e5d0f7a3b9c2d4e5f60718293");
        let probe = Probe {
            path: path.replace("{tool}", "end_call").replace("{token}", "x"),
            body: (method == "POST").then(|| json!({})),
            sees: Sees::Nothing,
        };
        // A tenant's own good credentials are not an operator's, a call's or a provider's.
        let status = send(&a.user, method, &probe).await.status();
        match audience {
            Audience::Public => {}
            // Not even asked for credentials before it is a socket.
            Audience::Provider if path.starts_with("/media/") => assert_eq!(status, 426),
            // Not configured here: it is nobody who could call.
            Audience::Provider if path.starts_with("/webhooks/knowlarity") || path.ends_with("/livekit") => {
                assert_eq!(status, 404, "{method} {path}");
            }
            Audience::Operator | Audience::Call | Audience::Provider => {
                assert_eq!(status, 403, "{method} {path}");
            }
        }
    }
    assert_eq!(a.everything().await, before);
    assert_eq!(app.owned_numbers(), owned_before);
    app.finish().await;
}

/// Routes that change nothing although they are no GET.
const QUESTIONS: [&str; 2] = ["/v1/routing/explain", "/v1/usage/check-call"];

#[rstest]
#[tokio::test]
async fn a_key_that_may_only_read_changes_nothing(
    #[values(Database::Sqlite, Database::Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let a = Furnished::new(&app, "Ada Plumbing").await;
    let reader = a.user.api_key(&["read"]).await;
    // The first use of a key is noted in it.
    reader.get("/v1/tenant").await.ok(200);
    let (before, owned_before) = (a.everything().await, app.owned_numbers());
    let mut refused = 0;
    for (method, path) in swept() {
        for probe in probes(&method, &path, &a, &a) {
            let answer = send(&reader, &method, &probe).await;
            if method == "GET" && path != "/v1/api-keys" || QUESTIONS.contains(&path.as_str()) {
                assert_eq!(answer.status(), 200, "{method} {path}: {}", answer.text());
            } else {
                answer.problem(403, "forbidden");
                refused += 1;
            }
        }
    }
    assert!(refused >= 14, "{refused}");
    assert_eq!(a.everything().await, before);
    assert_eq!(app.owned_numbers(), owned_before);
    app.finish().await;
}
