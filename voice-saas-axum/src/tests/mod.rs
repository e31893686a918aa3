//! The routes without a database: what is refused before one is asked, and in which shape.

mod fake;
mod idempotency;
mod openapi;

use std::sync::Arc;

use axum::{Router, body::Body, extract::FromRef, routing};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{ApiState, Rate, RateLimits, router, with_conventions};
use fake::{KeysOnly, api, get, send};

const MEMBER: (&str, &str) = ("x-test", "1 member");
const JSON: (&str, &str) = ("content-type", "application/json");

fn state() -> ApiState {
    api(Arc::new(KeysOnly::default()))
}

fn routes() -> Router {
    router(state())
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let routes = routes();
    get(&routes, "/nowhere").await.is_problem(404, "not_found");
    get(&routes, "/v1/numbers/").await.is_problem(404, "not_found");
    let got = send(&routes, "DELETE /v1/numbers", &[MEMBER], Body::empty()).await;
    got.is_problem(405, "method_not_allowed");
    let allowed = got.header("allow");
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

#[tokio::test]
async fn a_request_keeps_its_id_or_gets_one() {
    let routes = routes();
    let got = send(
        &routes,
        "GET /nowhere",
        &[("x-request-id", "abc-123")],
        Body::empty(),
    )
    .await;
    assert_eq!(got.header("x-request-id"), "abc-123");
    let got = send(
        &routes,
        "GET /nowhere",
        &[("x-request-id", "two words")],
        Body::empty(),
    )
    .await;
    assert!(got.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn a_panic_is_an_answer_without_a_word_about_it() {
    let boom = async || -> &'static str { panic!("the password is hunter2") };
    let api = state();
    let routes = with_conventions(Router::new().route("/boom", routing::get(boom)), &api);
    let got = get(&routes, "/boom").await;
    got.is_problem(500, "internal");
    assert_eq!(got.json()["detail"], "");
}

#[tokio::test]
async fn who_says_nothing_about_themselves_is_nobody() {
    let routes = routes();
    for line in [
        "GET /v1/numbers",
        "POST /v1/numbers",
        "GET /v1/auth/me",
        "GET /v1/calls/x/events",
    ] {
        let got = send(&routes, line, &[], Body::empty()).await;
        got.is_problem(401, "unauthenticated");
        assert_eq!(got.header("www-authenticate"), "Bearer");
    }
    let got = send(
        &routes,
        "GET /v1/numbers",
        &[("authorization", "Bearer e30.e30.x")],
        Body::empty(),
    )
    .await;
    got.is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn what_is_no_id_names_nothing() {
    let routes = routes();
    for line in [
        "GET /v1/numbers/1",
        "GET /v1/numbers/agt_00000000000000000000000000000007",
        "DELETE /v1/agents/%F0%9F%98%80",
        "GET /v1/calls/%FF",
        "GET /v1/calls/x/events",
    ] {
        send(&routes, line, &[MEMBER], Body::empty())
            .await
            .is_problem(404, "not_found");
    }
}

#[tokio::test]
async fn bodies_and_queries_are_refused_by_name() {
    let routes = router(state().with_body_limit(64));
    let create = "POST /v1/agents";
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(64));
    send(&routes, create, &[MEMBER, JSON], long)
        .await
        .is_problem(413, "body_too_large");
    send(&routes, create, &[MEMBER], "{}")
        .await
        .is_problem(415, "unsupported_media_type");
    send(&routes, create, &[MEMBER, JSON], "{")
        .await
        .is_problem(400, "malformed_json");
    let got = send(&routes, create, &[MEMBER, JSON], r#"{"name":"a","nmae":"b"}"#).await;
    got.is_problem(422, "invalid_request");
    assert_eq!(got.json()["errors"][0]["pointer"], "/nmae");
    let got = send(&routes, "GET /v1/calls?stauts=x", &[MEMBER], Body::empty()).await;
    got.is_problem(422, "invalid_request");
    assert_eq!(got.json()["errors"][0]["pointer"], "/stauts");
    let got = send(&routes, "GET /v1/agents?limit=0", &[MEMBER], Body::empty()).await;
    assert_eq!(got.json()["errors"][0]["pointer"], "/limit");
}

#[tokio::test]
async fn only_the_operator_token_opens_the_operators_routes() {
    let jobs = "GET /v1/admin/jobs";
    let routes = router(state().with_operator_token("open sesame".into()));
    // The store of these tests is down: 503 means that the door was passed.
    let open = [("authorization", "Bearer open sesame")];
    send(&routes, jobs, &open, Body::empty())
        .await
        .is_problem(503, "unavailable");
    let wrong = [("authorization", "Bearer open barley")];
    send(&routes, jobs, &wrong, Body::empty())
        .await
        .is_problem(401, "unauthenticated");
    send(&routes, jobs, &[("x-test", "1 owner")], Body::empty())
        .await
        .is_problem(403, "forbidden");
    let nobody = router(state());
    send(&nobody, jobs, &open, Body::empty())
        .await
        .is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn browsers_of_configured_origins_are_let_in() {
    let api = state().with_cors_origins(["https://app.example.com"]).unwrap();
    let routes = router(api);
    let ask = |origin| [("origin", origin), ("access-control-request-method", "POST")];
    let got = send(
        &routes,
        "OPTIONS /v1/numbers",
        &ask("https://app.example.com"),
        Body::empty(),
    )
    .await;
    assert_eq!(got.status, 200);
    assert_eq!(
        got.header("access-control-allow-origin"),
        "https://app.example.com"
    );
    assert!(
        got.header("access-control-allow-headers")
            .contains("idempotency-key")
    );
    let got = send(
        &routes,
        "OPTIONS /v1/numbers",
        &ask("https://evil.example"),
        Body::empty(),
    )
    .await;
    assert_eq!(got.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_tenant_that_asks_too_often_waits_and_another_does_not() {
    let mut limits = RateLimits::off();
    limits.tenant = Some(Rate::per_minute(1));
    let routes = router(state().with_rate_limits(limits));
    let ask = |tenant| send(&routes, "GET /v1/numbers/1", tenant, Body::empty());
    ask(&[("x-test", "1 member")]).await.is_problem(404, "not_found");
    let got = ask(&[("x-test", "1 member")]).await;
    got.is_problem(429, "rate_limited");
    assert!(got.header("retry-after").parse::<u64>().unwrap() > 0);
    ask(&[("x-test", "2 member")]).await.is_problem(404, "not_found");
}

#[tokio::test]
async fn guessing_a_password_becomes_slow_for_this_address_alone() {
    let mut limits = RateLimits::off();
    limits.login = Some(Rate::per_minute(1));
    let routes = router(state().with_rate_limits(limits));
    let login = |email| {
        let body = format!(r#"{{"email":"{email}","password":"12345678"}}"#);
        send(&routes, "POST /v1/auth/login", &[JSON], body)
    };
    login("a@b.co").await.is_problem(503, "unavailable");
    login("A@b.co").await.is_problem(429, "rate_limited");
    login("c@b.co").await.is_problem(503, "unavailable");
}

#[tokio::test]
async fn a_webhook_is_verified_on_the_path_that_the_provider_called() {
    let routes = Router::new().nest("/phone", routes());
    let line = "POST /phone/webhooks/twilio/voice?a=%20b";
    let signature = format!("{line} CallSid=CA1&To=%2B1");
    let got = send(
        &routes,
        line,
        &[("x-signature", &signature)],
        "CallSid=CA1&To=%2B1",
    )
    .await;
    assert_eq!((got.status, got.header("content-type")), (200, "text/xml"));
    assert_eq!(got.body, b"<Response/>");
    let got = send(
        &routes,
        line,
        &[("x-signature", &signature)],
        "CallSid=CA2&To=%2B1",
    )
    .await;
    got.is_problem(403, "forbidden_signature");
    let got = send(&routes, line, &[], "").await;
    got.is_problem(403, "forbidden_signature");
}

#[tokio::test]
async fn a_media_socket_is_a_web_socket() {
    get(&routes(), "/media/twilio/token")
        .await
        .is_problem(426, "upgrade_required");
}

#[tokio::test]
async fn a_tool_needs_its_calls_token() {
    let routes = routes();
    let run = "POST /v1/tools/end_call";
    send(&routes, run, &[JSON], "{}")
        .await
        .is_problem(403, "forbidden");
    for token in [("authorization", "Bearer guess"), ("x-call-token", "guess")] {
        send(&routes, run, &[JSON, token], "{}")
            .await
            .is_problem(403, "forbidden");
    }
    send(&routes, run, &[MEMBER, JSON], "{}")
        .await
        .is_problem(403, "forbidden");
}

#[tokio::test]
async fn the_service_is_alive_while_its_database_is_not() {
    let api = state().with_banner("Twilio is emulated");
    let routes = router(api);
    let got = get(&routes, "/healthz").await;
    assert_eq!(
        (got.status, &got.json()["banner"]),
        (200, &"Twilio is emulated".into())
    );
    get(&routes, "/readyz").await.is_problem(503, "not_ready");
}

#[tokio::test]
async fn two_routers_count_into_the_same_metrics() {
    let (one, other) = (routes(), routes());
    get(&one, "/healthz").await;
    get(&one, "/media/twilio/secret-token").await;
    let got = get(&other, "/metrics").await;
    let text = String::from_utf8(got.body).unwrap();
    assert!(
        got.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert!(
        text.contains(r#"voice_saas_http_requests_total{method="GET",route="/healthz",status="200"}"#),
        "{text}"
    );
    assert!(text.contains(r#"route="/media/twilio/{token}""#) && !text.contains("secret-token"));
}

#[tokio::test]
async fn one_concept_can_be_mounted_in_a_state_of_the_hosts_own() {
    #[derive(Clone)]
    struct Host {
        api: ApiState,
    }
    impl FromRef<Host> for ApiState {
        fn from_ref(host: &Host) -> Self {
            host.api.clone()
        }
    }
    let host = Host { api: state() };
    let (numbers, document) = crate::numbers_router::<Host>().split_for_parts();
    assert!(document.paths.paths.contains_key("/v1/numbers"));
    let routes = with_conventions(numbers, &host.api).with_state(host);
    get(&routes, "/v1/numbers")
        .await
        .is_problem(401, "unauthenticated");
    assert_eq!(get(&routes, "/v1/agents").await.status, 404);
}

#[tokio::test]
async fn serving_ends_when_it_is_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(crate::serve(listener, routes(), async {
        let _ = stopped.await;
    }));
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}
