//! What is wrong is refused with a typed answer, and leaves nothing behind.

use reqwest::{Method, header::CONTENT_TYPE};
use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_tests::{Answer, Database, PASSWORD, TestApp, text};

use Database::{Postgres, Sqlite};

#[rstest]
#[tokio::test]
async fn a_body_that_cannot_be_read_is_a_typed_failure(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let post = |path: &'static str, content_type: &'static str, body: Vec<u8>| {
        let request = user.request(Method::POST, path);
        Answer::of(request.header(CONTENT_TYPE, content_type).body(body))
    };
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(300 * 1024)).into_bytes();
    let json = "application/json";
    for (content_type, body, status, code) in [
        (json, large.clone(), 413, "body_too_large"),
        (json, b"{\"name\":\"\xff\xfe\"}".to_vec(), 400, "malformed_json"),
        (json, b"{\"".to_vec(), 400, "malformed_json"),
        (json, Vec::new(), 400, "malformed_json"),
        (
            "text/plain",
            b"{\"name\":\"x\"}".to_vec(),
            415,
            "unsupported_media_type",
        ),
        (
            "application/x-www-form-urlencoded",
            b"name=x".to_vec(),
            415,
            "unsupported_media_type",
        ),
        (json, b"[\"x\"]".to_vec(), 422, "invalid_request"),
    ] {
        for path in ["/v1/agents", "/v1/numbers", "/v1/auth/register", "/v1/api-keys"] {
            post(path, content_type, body.clone()).await.problem(status, code);
        }
    }
    // Webhooks are not signed over what is too large, so nobody looks.
    for path in [
        "/webhooks/twilio/voice",
        "/webhooks/twilio/status",
        "/webhooks/elevenlabs/conversation-init",
    ] {
        post(path, "application/x-www-form-urlencoded", large.clone())
            .await
            .problem(413, "body_too_large");
    }
    let agents = user.get("/v1/agents").await.ok(200);
    assert_eq!(agents["data"], json!([]));
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_wrong_field_is_named_and_nothing_is_done(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = user.agent_with_number().await;
    let (agent_path, number_path) = (
        format!("/v1/agents/{}", text(&agent, "id")),
        format!("/v1/numbers/{}", text(&agent, "phone_number_id")),
    );
    let (numbers_path, purchase_path) = (
        format!("{agent_path}/numbers"),
        format!("{agent_path}/phone-number"),
    );
    let state = async || {
        let mut all = Vec::new();
        for path in ["/v1/tenant", "/v1/agents", "/v1/numbers", "/v1/api-keys"] {
            all.push(user.get(path).await.ok(200));
        }
        (all, app.owned_numbers())
    };
    let before = state().await;
    let wrong: &[(Method, &str, Value, &str)] = &[
        (
            Method::POST,
            "/v1/agents",
            json!({ "name": "x", "promt": "y" }),
            "/promt",
        ),
        (
            Method::POST,
            "/v1/agents",
            json!({ "first_message": "x" }),
            "/name",
        ),
        (Method::POST, "/v1/agents", json!({ "name": "" }), "/name"),
        (Method::POST, "/v1/agents", json!({ "name": 7 }), "/name"),
        (
            Method::POST,
            "/v1/agents",
            json!({ "name": "x", "binding": "loose" }),
            "/binding",
        ),
        (
            Method::POST,
            "/v1/agents",
            json!({ "name": "x", "provider": "hal" }),
            "/provider",
        ),
        (
            Method::POST,
            "/v1/agents",
            json!({ "name": "x", "provision_phone": true, "area_code": "2x2" }),
            "/area_code",
        ),
        (Method::PATCH, &agent_path, json!({ "nmae": "x" }), "/nmae"),
        (
            Method::PATCH,
            &agent_path,
            json!({ "binding": "dedicated" }),
            "/binding",
        ),
        (
            Method::PUT,
            &numbers_path,
            json!({ "number_ids": ["num_1"] }),
            "/number_ids/0",
        ),
        (Method::PUT, &numbers_path, json!({}), "/number_ids"),
        (
            Method::POST,
            &purchase_path,
            json!({ "areacode": "212" }),
            "/areacode",
        ),
        (
            Method::POST,
            "/v1/numbers",
            json!({ "agent_id": "num_1" }),
            "/agent_id",
        ),
        (
            Method::POST,
            "/v1/numbers",
            json!({ "tenant_id": "ten_1" }),
            "/tenant_id",
        ),
        (
            Method::POST,
            "/v1/numbers",
            json!({ "phone_number": "call me" }),
            "/phone_number",
        ),
        (
            Method::POST,
            "/v1/numbers",
            json!({ "country": "Utopia" }),
            "/country",
        ),
        (
            Method::POST,
            "/v1/numbers",
            json!({ "provider": "acme" }),
            "/provider",
        ),
        (
            Method::POST,
            "/v1/numbers",
            json!({ "phone_number": "+12125550150", "area_code": "212" }),
            "/area_code",
        ),
        (
            Method::PATCH,
            &number_path,
            json!({ "status": "released" }),
            "/status",
        ),
        (
            Method::PATCH,
            &number_path,
            json!({ "friendly_name": "" }),
            "/friendly_name",
        ),
        (
            Method::PATCH,
            "/v1/tenant",
            json!({ "timezone": "Mars/Olympus" }),
            "/timezone",
        ),
        (
            Method::PATCH,
            "/v1/tenant",
            json!({ "status": "active" }),
            "/status",
        ),
        (
            Method::POST,
            "/v1/api-keys",
            json!({ "name": "x", "scopes": ["root"] }),
            "/scopes/0",
        ),
        (
            Method::POST,
            "/v1/api-keys",
            json!({ "name": "x", "scopes": [] }),
            "/scopes",
        ),
        (
            Method::POST,
            "/v1/routing/explain",
            json!({ "phone_number": "911?" }),
            "/phone_number",
        ),
        (
            Method::POST,
            "/v1/auth/register",
            json!({ "email": "nobody", "password": PASSWORD }),
            "/email",
        ),
        (
            Method::POST,
            "/v1/auth/register",
            json!({ "email": "a@b.co", "password": "short" }),
            "/password",
        ),
        (Method::GET, "/v1/calls?status=finished", Value::Null, "/status"),
        (Method::GET, "/v1/calls?since=yesterday", Value::Null, "/since"),
        (Method::GET, "/v1/calls?staus=completed", Value::Null, "/staus"),
        (Method::GET, "/v1/agents?limit=0", Value::Null, "/limit"),
        (Method::GET, "/v1/agents?limit=201", Value::Null, "/limit"),
        (Method::GET, "/v1/numbers?limit=many", Value::Null, "/limit"),
        (Method::GET, "/v1/numbers?cursor=page2", Value::Null, "/cursor"),
        (Method::GET, "/v1/calls?cursor=", Value::Null, "/cursor"),
        (Method::GET, "/v1/members?limit=-1", Value::Null, "/limit"),
        (
            Method::GET,
            "/v1/numbers/available?area_code=x",
            Value::Null,
            "/area_code",
        ),
    ];
    for (method, path, body, pointer) in wrong {
        let body = (!body.is_null()).then_some(body);
        let answer = user.send(method.clone(), path, body).await;
        assert_eq!(answer.wrong_field().0, *pointer, "{method} {path} {body:?}");
    }
    assert_eq!(state().await, before);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_does_not_exist_is_not_found(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = user.agent_with_number().await;
    let (agent, number) = (text(&agent, "id"), text(&agent, "phone_number_id"));
    let unknown = "018f3c1e5d0f7a3b9c2d4e5f60718293";
    for path in [
        format!("/v1/agents/agt_{unknown}"),
        // Right, but for another kind of thing.
        format!("/v1/agents/{number}"),
        format!("/v1/numbers/{agent}"),
        "/v1/agents/1".to_owned(),
        "/v1/numbers/%00".to_owned(),
        "/v1/numbers/num_'--".to_owned(),
        format!("/v1/calls/call_{unknown}"),
        format!("/v1/calls/call_{unknown}/transcript"),
        format!("/v1/calls/call_{unknown}/events"),
        "/v1/nothing".to_owned(),
        "/v2/agents".to_owned(),
    ] {
        user.get(&path).await.problem(404, "not_found");
    }
    user.delete("/v1/calls").await.problem(405, "method_not_allowed");
    let unknown_number = json!({ "number_ids": [number, format!("num_{unknown}")] });
    let path = format!("/v1/agents/{agent}/numbers");
    user.put(&path, &unknown_number).await.problem(404, "not_found");
    assert_eq!(user.get(&path).await.ok(200)["data"][0]["id"], json!(number));
    app.operator()
        .post(&format!("/v1/admin/jobs/job_{unknown}/retry"), &json!({}))
        .await
        .problem(404, "not_found");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_number_is_released_once_however_often_it_is_asked_for(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = user.agent_with_number().await;
    let path = format!("/v1/numbers/{}", text(&agent, "phone_number_id"));
    for _ in 0..3 {
        assert_eq!(user.delete(&path).await.ok(200), json!({ "released": true }));
    }
    let releases = app.emulator().requests();
    let releases = releases
        .iter()
        .filter(|request| request.method == "DELETE")
        .count();
    assert_eq!((releases, app.owned_numbers().len()), (1, 0));
    user.patch(&path, &json!({ "status": "active" }))
        .await
        .problem(404, "not_found");
    let agent = format!("/v1/agents/{}", text(&agent, "id"));
    assert_eq!(
        user.get(&format!("{agent}/numbers")).await.ok(200)["data"],
        json!([])
    );
    user.delete(&format!("{agent}/phone-number"))
        .await
        .problem(404, "not_found");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_area_without_numbers_names_areas_that_have_some(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    for (path, body) in [
        ("/v1/numbers", json!({ "area_code": "907" })),
        (
            "/v1/agents",
            json!({ "name": "x", "provision_phone": true, "area_code": "907" }),
        ),
    ] {
        let problem = user.post(path, &body).await.problem(409, "number_unavailable");
        let nearby = problem["nearby_area_codes"].as_array().expect("areas are named");
        assert!(!nearby.is_empty() && !nearby.contains(&json!("907")), "{problem}");
    }
    for path in ["/v1/agents", "/v1/api-keys", "/v1/numbers"] {
        assert_eq!(user.get(path).await.ok(200)["data"], json!([]), "{path}");
    }
    assert_eq!(app.owned_numbers(), [Value::Null; 0]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_idempotency_key_is_good_for_one_request_of_one_tenant(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    let body = json!({ "name": "Receptionist", "provision_phone": true });
    let first = ada.post_once("/v1/agents", "one", &body).await;
    let again = ada.post_once("/v1/agents", "one", &body).await;
    first.ok(201);
    assert_eq!((again.status(), again.text()), (201, first.text()));
    ada.post_once("/v1/agents", "one", &json!({ "name": "Another" }))
        .await
        .problem(409, "idempotency_conflict");
    assert_eq!(app.owned_numbers().len(), 1);

    let hers = grace.post_once("/v1/agents", "one", &body).await;
    assert_ne!(hers.ok(201)["id"], first.json()["id"]);
    let any = json!({});
    let (left, right) = tokio::join!(
        ada.post_once("/v1/numbers", "two", &any),
        ada.post_once("/v1/numbers", "two", &any)
    );
    let mut statuses = [left.status(), right.status()];
    statuses.sort_unstable();
    // The second waits for nobody: it is told that the first is under way, or gets its answer.
    assert!(statuses == [201, 201] || statuses == [201, 409], "{statuses:?}");
    assert_eq!(app.owned_numbers().len(), 3);
    app.finish().await;
}
