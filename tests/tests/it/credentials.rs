//! A credential is good for what it was given for, while it is.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_providers::elevenlabs::AttachMode;
use voice_saas_tests::{Answer, Api, Database, PASSWORD, TestApp, TestUser, caller_says, eventually, text};

use Database::{Postgres, Sqlite};

async fn me(api: &Api) -> Answer {
    api.get("/v1/auth/me").await
}

#[rstest]
#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_all_that_came_of_it(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let refresh = async |token: &str| {
        let body = json!({ "refresh_token": token });
        app.api().post("/v1/auth/refresh", &body).await
    };
    let login = json!({ "email": user.email(), "password": PASSWORD });
    let elsewhere = app.api().post("/v1/auth/login", &login).await.ok(200);
    let second = refresh(&user.refresh_token()).await.ok(200);
    me(&app.api().with_bearer(text(&second, "token"))).await.ok(200);
    refresh(&user.refresh_token())
        .await
        .problem(401, "unauthenticated");
    // The thief's or the owner's, whoever was first: both are out.
    refresh(&text(&second, "refresh_token"))
        .await
        .problem(401, "unauthenticated");
    // Another login is another family.
    refresh(&text(&elsewhere, "refresh_token")).await.ok(200);
    app.api()
        .post(
            "/v1/auth/login",
            &json!({ "email": user.email(), "password": "another password" }),
        )
        .await
        .problem(401, "unauthenticated");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_credential_that_is_old_garbled_or_revoked_is_none(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let token = user.token();
    let mut parts = token.split('.');
    let (head, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    // {"alg":"none","typ":"JWT"}
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    for garbled in [
        unsigned.as_str(),
        &format!("{head}.{claims}."),
        &format!("{head}.{claims}.AAAA"),
        &token[..token.len() - 4],
        &token.replacen('.', "", 1),
        "",
    ] {
        me(&app.api().with_bearer(garbled))
            .await
            .problem(401, "unauthenticated");
    }
    let key = user.api_key(&["read", "write"]).await;
    me(&key).await.ok(200);
    let keys = user.get("/v1/api-keys").await.ok(200);
    let path = format!("/v1/api-keys/{}", text(&keys["data"][0], "id"));
    assert_eq!(user.delete(&path).await.status(), 204);
    me(&key).await.problem(401, "unauthenticated");

    me(&user).await.ok(200);
    app.advance(Duration::from_mins(31)).await;
    me(&user).await.problem(401, "unauthenticated");
    let body = json!({ "refresh_token": user.refresh_token() });
    let session = app.api().post("/v1/auth/refresh", &body).await.ok(200);
    me(&app.api().with_bearer(text(&session, "token"))).await.ok(200);
    app.advance(Duration::from_hours(24 * 8)).await;
    let body = json!({ "refresh_token": text(&session, "refresh_token") });
    app.api()
        .post("/v1/auth/refresh", &body)
        .await
        .problem(401, "unauthenticated");
    app.finish().await;
}

/// The tokens that the platform was given for the tools of each call, in the order of the calls.
fn tool_tokens(app: &TestApp) -> Vec<String> {
    let requests = app.emulator().requests();
    let registrations = requests
        .iter()
        .filter(|request| request.path.ends_with("/register-call"));
    registrations
        .map(|request| {
            let body: Value = serde_json::from_slice(&request.body).expect("a registration is JSON");
            let variables = &body["conversation_initiation_client_data"]["dynamic_variables"];
            text(variables, "secret__call_token")
        })
        .collect()
}

async fn end_call(app: &TestApp, token: &str) -> Answer {
    app.api()
        .with_bearer(token)
        .post("/v1/tools/end_call", &json!({}))
        .await
}

async fn called(user: &TestUser, app: &TestApp) -> (String, String) {
    let agent = user.agent_with_number().await;
    let script = caller_says("a very long story ".repeat(20).trim());
    let sid = app.place_call(&text(&agent, "phone_number"), script);
    (sid, user.the_call().await)
}

#[rstest]
#[tokio::test]
async fn a_tools_token_is_good_for_its_own_call_while_that_runs(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let building = TestApp::on(database).with_attach(AttachMode::RegisterCall);
    let Some(app) = building.start().await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    let (first, ada_call) = called(&ada, &app).await;
    let tokens = eventually("the first token", async || {
        Some(tool_tokens(&app)).filter(|tokens| tokens.len() == 1)
    })
    .await;
    let (second, grace_call) = called(&grace, &app).await;
    eventually("the second token", async || {
        (tool_tokens(&app).len() == 2).then_some(())
    })
    .await;

    let ours = &tokens[0];
    for garbled in ["x", &ours[1..], &format!("{ours}A")] {
        end_call(&app, garbled).await.problem(403, "forbidden");
    }
    // A person's token is no call's.
    end_call(&app, &ada.token()).await.problem(403, "forbidden");
    app.api()
        .with_bearer(ours)
        .post("/v1/tools/launch_rocket", &json!({}))
        .await
        .problem(422, "tool_failed");
    // Naming another call or tenant changes nothing: the token says which call it is.
    let answer = app
        .api()
        .with_bearer(ours)
        .post(
            "/v1/tools/end_call",
            &json!({ "call_id": grace_call, "tenant_id": grace.tenant_id() }),
        )
        .await;
    assert_eq!(answer.ok(200), json!({ "ended": true }));
    app.wait_for_call(&first).await;
    assert_eq!(ada.ended_call(&ada_call).await["end_reason"], "hung_up");
    assert!(grace.call(&grace_call).await["ended_at"].is_null());
    end_call(&app, ours).await.problem(403, "forbidden");

    end_call(&app, &tool_tokens(&app)[1]).await.ok(200);
    app.wait_for_call(&second).await;
    grace.ended_call(&grace_call).await;
    app.finish().await;
}
