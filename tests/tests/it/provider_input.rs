//! What comes in a provider's name and is not theirs, or is about nothing of ours.

use std::time::Duration;

use reqwest::{
    Method,
    header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use voice_saas_providers::{emulator::CallStatus, twilio::sign_for_tests};
use voice_saas_tests::{Answer, CALLER, Database, TestApp, caller_says, eventually, listener, text};

use Database::{Postgres, Sqlite};

/// A number that exists and that nobody here has bought.
const NOBODYS: &str = "+12125550199";

fn incoming<'a>(app: &'a TestApp, sid: &'a str, to: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("CallSid", sid),
        ("AccountSid", app.emulator().twilio_account_sid()),
        ("From", CALLER),
        ("To", to),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ApiVersion", "2010-04-01"),
    ]
}

async fn unrouted(app: &TestApp) -> Vec<Value> {
    let listed = app.operator().get("/v1/admin/unrouted-calls").await.ok(200);
    listed["data"].as_array().expect("a list").clone()
}

#[rstest]
#[tokio::test]
async fn a_forged_webhook_is_refused_and_leaves_no_row(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = user.agent_with_number().await;
    let number = text(&agent, "phone_number");
    let path = "/webhooks/twilio/voice";
    let url = app.api().url(path);
    let token = app.emulator().twilio_auth_token().expose_secret().to_owned();
    for to in [number.as_str(), NOBODYS] {
        let form = incoming(&app, "CA0123456789abcdef0123456789abcdef", to);
        let other = incoming(&app, "CAffffffffffffffffffffffffffffffff", to);
        for signature in [
            None,
            Some(String::new()),
            Some("bm90IGEgc2lnbmF0dXJl".to_owned()),
            Some(sign_for_tests("another token", url.as_str(), &form)),
            Some(sign_for_tests(&token, url.as_str(), &other)),
            Some(sign_for_tests(
                &token,
                "https://elsewhere.example/webhooks/twilio/voice",
                &form,
            )),
        ] {
            let mut request = app.api().request(Method::POST, path).form(&form);
            if let Some(signature) = signature {
                request = request.header("x-twilio-signature", signature);
            }
            Answer::of(request).await.problem(403, "forbidden_signature");
        }
    }
    assert_eq!(user.calls().await, [Value::Null; 0]);
    assert_eq!(unrouted(&app).await, [Value::Null; 0]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_call_to_nobodys_number_is_answered_politely_and_shown_to_operators_alone(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let sid = "CA0123456789abcdef0123456789abcdef";
    // Twice: it is one call.
    for _ in 0..2 {
        let answer = app
            .carrier_webhook("/webhooks/twilio/voice", &incoming(&app, sid, NOBODYS))
            .await;
        assert_eq!(answer.status(), 200);
        assert!(answer.header("content-type").starts_with("text/xml"));
        for part in ["<Say", "not in service", "<Hangup"] {
            assert!(answer.text().contains(part), "{}", answer.text());
        }
    }
    let rows = unrouted(&app).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (&rows[0]["from"], &rows[0]["to"]),
        (&json!(CALLER), &json!(NOBODYS))
    );
    assert_eq!(rows[0]["provider_call_id"], sid);
    assert_eq!(user.calls().await, [Value::Null; 0]);
    user.get("/v1/admin/unrouted-calls")
        .await
        .problem(403, "forbidden");
    // Its end is nobody's either.
    let mut ended = incoming(&app, sid, NOBODYS);
    ended[4].1 = "completed";
    assert_eq!(
        app.carrier_webhook("/webhooks/twilio/status", &ended)
            .await
            .status(),
        204
    );
    app.finish().await;
}

/// Asks for a media socket with this token.
async fn handshake(app: &TestApp, token: &str) -> Answer {
    let path = format!("/media/twilio/{token}");
    let url = app.api().url(&path).to_string().replacen("http", "ws", 1);
    let signing = app.emulator().twilio_auth_token().expose_secret();
    let request = app
        .api()
        .request(Method::GET, &path)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
        .header("x-twilio-signature", sign_for_tests(signing, &url, &[]));
    Answer::of(request).await
}

/// The token of the media socket that TwiML sends the carrier to.
fn media_token(twiml: &str) -> String {
    let (_, rest) = twiml
        .split_once("/media/twilio/")
        .expect("TwiML names a media socket");
    rest.split(['"', '\'']).next().unwrap_or_default().to_owned()
}

#[rstest]
#[tokio::test]
async fn a_media_socket_without_a_good_token_is_refused_before_it_is_one(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = user.agent_with_number().await;
    let number = text(&agent, "phone_number");
    let sid = app.place_call(&number, caller_says("a story of some length"));
    let id = user.the_call().await;
    let running = eventually("the media socket", async || {
        let events = user.call(&id).await;
        (events["status"] == "in_progress")
            .then(|| app.emulator().call(&sid))
            .flatten()
    })
    .await;

    let token = media_token(&running.answers[0]);
    handshake(&app, &token).await.problem(403, "forbidden");
    for garbled in ["x", &token[1..], &format!("{token}A"), &token.to_uppercase()] {
        handshake(&app, garbled).await.problem(403, "forbidden");
    }
    assert_eq!(app.api().get("/media/twilio/").await.status(), 404);
    // Not a socket at all; and asking does not use the token up.
    app.api()
        .get(&format!("/media/twilio/{token}"))
        .await
        .problem(426, "upgrade_required");

    // The call was not disturbed.
    let report = app.wait_for_call(&sid).await;
    assert_eq!(report.status, CallStatus::Completed);
    assert!(
        report
            .transcript
            .iter()
            .any(|line| line.text.ends_with("a story of some length"))
    );
    user.ended_call(&id).await;
    handshake(&app, &token).await.problem(403, "forbidden");

    // A token that nobody used, of a call that is over.
    let other = "CA0123456789abcdef0123456789abcdef";
    let twiml = app
        .carrier_webhook("/webhooks/twilio/voice", &incoming(&app, other, &number))
        .await;
    let mut ended = incoming(&app, other, &number);
    ended[4].1 = "completed";
    ended.push(("CallDuration", "1"));
    app.carrier_webhook("/webhooks/twilio/status", &ended).await;
    handshake(&app, &media_token(twiml.text()))
        .await
        .problem(403, "forbidden");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_forged_record_of_a_conversation_changes_nothing(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = user.agent_with_number().await;
    app.call(&text(&agent, "phone_number"), listener()).await;
    let id = user.the_call().await;
    user.ended_call(&id).await;
    let before = user.recorded(&id).await;

    let path = "/webhooks/elevenlabs/post-call";
    let conversation = app.emulator().state()["elevenlabs"]["conversations"][0].clone();
    let mut forged = conversation.clone();
    forged["transcript"] =
        json!([{ "role": "agent", "message": "I owe you a million", "time_in_call_secs": 0 }]);
    let now = app.app().ambient().now();
    let body =
        json!({ "type": "post_call_transcription", "event_timestamp": now.as_second(), "data": forged });
    let body = body.to_string();
    let secret = app.emulator().elevenlabs_webhook_secret().clone();
    let sign = voice_saas_providers::elevenlabs::sign_for_tests;
    let hour_ago = now - Duration::from_hours(1);
    for signature in [
        None,
        Some("t=1,v0=00".to_owned()),
        Some(sign(&"wsec_another".into(), now, body.as_bytes())),
        Some(sign(&secret, now, b"another body")),
        Some(sign(&secret, hour_ago, body.as_bytes())),
    ] {
        let mut request = app
            .api()
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/json");
        if let Some(signature) = signature {
            request = request.header("elevenlabs-signature", signature);
        }
        Answer::of(request.body(body.clone()))
            .await
            .problem(403, "forbidden_signature");
    }
    assert_eq!(user.transcript(&id).await, before);

    // Rightly signed, but about a call that is not ours: taken and forgotten.
    forged["conversation_initiation_client_data"] = json!({ "dynamic_variables": {} });
    forged["conversation_id"] = json!("conv_elsewhere");
    let body =
        json!({ "type": "post_call_transcription", "event_timestamp": now.as_second(), "data": forged });
    let body = body.to_string();
    let signature = sign(&secret, now, body.as_bytes());
    let request = app
        .api()
        .request(Method::POST, path)
        .header(CONTENT_TYPE, "application/json");
    let answer = Answer::of(request.header("elevenlabs-signature", signature).body(body)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(user.transcript(&id).await, before);
    app.finish().await;
}
