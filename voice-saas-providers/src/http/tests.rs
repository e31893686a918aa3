use std::{cell::RefCell, error::Error, future::ready, time::Duration};

use http::{HeaderName, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;
use voice_saas_core::provider::{ErrorKind, ProviderError, ProviderName};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, body_string, header, method, path, query_param},
};

use super::{
    Auth, Client, Effect, Failure, Request, RetryPolicy,
    client::{ClientBuilder, Response},
};

const PROVIDER: ProviderName = ProviderName::new("acme");

fn builder(base_url: &str) -> ClientBuilder {
    Client::builder(PROVIDER, Url::parse(base_url).unwrap())
        .with_auth(Auth::Header {
            name: HeaderName::from_static("x-key"),
            value: "hunter2".into(),
        })
        .with_concurrency(1)
}

/// Sends without waiting; returns the waits that were asked for, in milliseconds.
async fn send(client: &Client, request: Request) -> (Result<Response, ProviderError>, Vec<u128>) {
    let slept = RefCell::new(Vec::new());
    let answer = client
        .send_with(
            &request,
            |wait| {
                slept.borrow_mut().push(wait.as_millis());
                ready(())
            },
            || 1.0,
        )
        .await;
    (answer, slept.into_inner())
}

async fn answering(template: ResponseTemplate, times: u64) -> (MockServer, Client) {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(template)
        .expect(times)
        .mount(&server)
        .await;
    let client = builder(&server.uri()).build().unwrap();
    (server, client)
}

fn whole_text(error: &ProviderError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text} {cause}");
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn a_request_carries_credentials_parameters_and_body() {
    let server = MockServer::start().await;
    Mock::given(method("PATCH"))
        .and(path("/v1/things"))
        .and(query_param("StartTime>", "a b"))
        .and(header("x-key", "hunter2"))
        .and(header("accept", "text/plain"))
        .and(header(
            "user-agent",
            concat!("voice-saas/", env!("CARGO_PKG_VERSION")),
        ))
        .and(header("content-type", "application/json"))
        .and(body_string(r#"{"a":1}"#))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"b": 2})))
        .expect(1)
        .mount(&server)
        .await;
    // A path of the base URL begins every path.
    let client = builder(&format!("{}/v1/", server.uri())).build().unwrap();
    let request = Request::patch("change a thing", "/things")
        .query("StartTime>", "a b")
        .accept("text/plain")
        .json(&json!({"a": 1}));
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.json::<Value>().unwrap(), json!({"b": 2}));
    assert_eq!(response.text().unwrap(), r#"{"b":2}"#);
}

#[tokio::test]
async fn an_answer_of_another_shape_is_unexpected() {
    let (_server, client) = answering(ResponseTemplate::new(200).set_body_string("<html>"), 1).await;
    let response = client.send(Request::get("read", "/")).await.unwrap();
    let error = response.json::<Value>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedAnswer);
    assert_eq!(error.operation(), "read");
}

#[tokio::test]
async fn a_refusal_is_what_the_classifier_says() {
    let (server, _) = answering(ResponseTemplate::new(400).set_body_string("gone"), 1).await;
    let client = builder(&server.uri())
        .with_classifier(|status, _, body| Failure {
            kind: ErrorKind::NumberUnavailable,
            detail: Some(format!("{status} {}", String::from_utf8_lossy(body))),
            request_id: Some("r1".to_owned()),
            source: Some("no".into()),
        })
        .build()
        .unwrap();
    let (answer, slept) = send(&client, Request::post("buy", "/")).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NumberUnavailable);
    assert_eq!(error.detail(), Some("400 Bad Request gone"));
    assert_eq!(error.request_id(), Some("r1"));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no");
    assert!(slept.is_empty());
}

#[tokio::test]
async fn a_server_that_failed_may_have_acted_whatever_the_classifier_says() {
    let (server, _) = answering(ResponseTemplate::new(503), 1).await;
    let client = builder(&server.uri())
        .with_classifier(|_, _, _| Failure::by_status(StatusCode::TOO_MANY_REQUESTS))
        .build()
        .unwrap();
    let (answer, _) = send(&client, Request::post("buy", "/")).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::ServerError);
}

#[test]
fn a_status_alone_says_what_may_be_done() {
    for (status, kind) in [
        (302, ErrorKind::UnexpectedAnswer),
        (400, ErrorKind::Invalid),
        (401, ErrorKind::Unauthorized),
        (402, ErrorKind::QuotaExceeded),
        (403, ErrorKind::Forbidden),
        (404, ErrorKind::NotFound),
        (408, ErrorKind::TimedOut),
        (409, ErrorKind::Conflict),
        (429, ErrorKind::RateLimited { retry_after: None }),
        (500, ErrorKind::ServerError),
    ] {
        assert_eq!(
            Failure::by_status(StatusCode::from_u16(status).unwrap()).kind,
            kind,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_purchase_refused_for_load_is_sent_again_after_the_wait_asked_for() {
    let template = ResponseTemplate::new(429).insert_header("retry-after", "7");
    let (_server, client) = answering(template, 3).await;
    let (answer, slept) = send(&client, Request::post("buy", "/")).await;
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::RateLimited { retry_after });
    assert_eq!(slept, [7000, 7000]);
}

#[tokio::test]
async fn too_long_a_wait_is_left_to_the_caller() {
    let template = ResponseTemplate::new(429).insert_header("retry-after", "60");
    let (_server, client) = answering(template, 1).await;
    let (answer, slept) = send(&client, Request::get("read", "/")).await;
    let retry_after = Some(Duration::from_mins(1));
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::RateLimited { retry_after });
    assert!(slept.is_empty());
}

#[tokio::test]
async fn a_purchase_that_met_a_server_error_is_not_sent_again() {
    let (_server, client) = answering(ResponseTemplate::new(500), 1).await;
    let (answer, slept) = send(&client, Request::post("buy", "/")).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::ServerError);
    assert!(slept.is_empty());
}

#[tokio::test]
async fn a_purchase_that_timed_out_is_not_sent_again() {
    let template = ResponseTemplate::new(200).set_delay(Duration::from_mins(10));
    let (server, _) = answering(template, 1).await;
    let client = builder(&server.uri())
        .with_timeout(Duration::from_mins(10))
        .build()
        .unwrap();
    let request = Request::post("buy", "/").timeout(Duration::from_secs(1));
    let (answer, slept) = send(&client, request).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(slept.is_empty());
}

#[tokio::test]
async fn what_the_provider_recognises_is_sent_again_after_a_server_error() {
    for request in [
        Request::get("read", "/"),
        Request::delete("release", "/"),
        Request::post("end", "/").effect(Effect::Keyed),
    ] {
        let (_server, client) = answering(ResponseTemplate::new(502), 3).await;
        let (answer, slept) = send(&client, request).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::ServerError);
        assert_eq!(slept, [100, 200]);
    }
}

#[tokio::test]
async fn without_a_policy_nothing_is_sent_again() {
    let (server, _) = answering(ResponseTemplate::new(429), 1).await;
    let client = builder(&server.uri())
        .with_retry(RetryPolicy::none())
        .build()
        .unwrap();
    let (answer, _) = send(&client, Request::get("read", "/")).await;
    assert!(answer.is_err());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let template = ResponseTemplate::new(302).insert_header("location", "/elsewhere");
    let (_server, client) = answering(template, 1).await;
    let (answer, _) = send(&client, Request::post("buy", "/")).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::UnexpectedAnswer);
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_did_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = builder(&format!("http://{address}")).build().unwrap();
    let request = Request::post("buy", "/secret-path").query("To", "secret-query");
    let (answer, slept) = send(&client, request).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(slept, [100, 200]);
    assert!(!whole_text(&error).contains("secret"), "{}", whole_text(&error));
}

/// Takes one connection and reads one request from it.
async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    stream
}

#[tokio::test]
async fn a_connection_that_breaks_mid_way_leaves_it_open_what_happened() {
    for half_an_answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = builder(&format!("http://{}", listener.local_addr().unwrap()))
            .build()
            .unwrap();
        let server = async {
            let mut stream = accept(&listener).await;
            stream.write_all(half_an_answer.as_bytes()).await.unwrap();
        };
        let ((answer, slept), ()) = tokio::join!(send(&client, Request::post("buy", "/")), server);
        assert_eq!(
            answer.unwrap_err().kind(),
            ErrorKind::Interrupted,
            "{half_an_answer}"
        );
        assert!(slept.is_empty());
    }
}

#[tokio::test]
async fn a_refusal_whose_body_is_lost_is_still_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = builder(&format!("http://{}", listener.local_addr().unwrap()))
        .build()
        .unwrap();
    let server = async {
        let mut stream = accept(&listener).await;
        let half = b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
    };
    let ((answer, _), ()) = tokio::join!(send(&client, Request::get("read", "/")), server);
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.detail(), Some("HTTP 404"));
}

#[tokio::test]
async fn an_attempt_holds_one_of_the_accounts_slots() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = builder(&format!("http://{}", listener.local_addr().unwrap()))
        .build()
        .unwrap();
    assert_eq!(client.free_slots(), 1);
    let server = async {
        let mut stream = accept(&listener).await;
        assert_eq!(client.free_slots(), 0);
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
    };
    let (answer, ()) = tokio::join!(client.send(Request::get("read", "/")), server);
    assert!(answer.unwrap().body.is_empty());
    assert_eq!(client.free_slots(), 1);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let template = ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 16 * 1024 * 1024 + 1]);
    let (_server, client) = answering(template, 1).await;
    let (answer, _) = send(&client, Request::post("buy", "/")).await;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::UnexpectedAnswer);
}

#[tokio::test]
async fn credentials_go_to_no_other_host() {
    let (server, client) = answering(ResponseTemplate::new(200), 1).await;
    let other = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&other)
        .await;
    let at = format!("@{}/", other.address());
    for next in [
        &*format!("{}/page2", other.uri()),
        &at,
        "page2",
        "",
        "http://",
        "ftp://127.0.0.1/",
    ] {
        let (answer, _) = send(&client, Request::get("list", next)).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Invalid, "{next}");
    }
    let (answer, _) = send(
        &client,
        Request::get("list", format!("{}/page2?a=%2B", server.uri())),
    )
    .await;
    assert!(answer.is_ok());
    assert_eq!(
        server.received_requests().await.unwrap()[0].url.query(),
        Some("a=%2B")
    );
}

#[test]
fn a_client_prints_no_secret() {
    let builder = builder("https://user:hunter2@example.com/hunter2");
    let printed = [format!("{builder:?}"), format!("{:?}", builder.build().unwrap())].concat();
    assert!(printed.contains("acme"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_sent() {
    assert!(builder("ftp://example.com").build().is_err());
    let broken = builder("https://example.com").with_auth(Auth::Header {
        name: HeaderName::from_static("x-key"),
        value: "line\nbreak".into(),
    });
    let error = broken.build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!whole_text(&error).contains("line"));
}

#[tokio::test]
async fn an_answer_prints_neither_its_body_nor_its_secrets() {
    let template = ResponseTemplate::new(200)
        .insert_header("set-cookie", "hunter2")
        .set_body_string("hunter2");
    let (_server, client) = answering(template, 1).await;
    let response = client.send(Request::get("read", "/")).await.unwrap();
    assert_eq!(response.headers["set-cookie"], "hunter2");
    let printed = format!("{response:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("body_bytes: 7"), "{printed}");
}

#[tokio::test]
async fn a_request_may_bring_its_own_token_body_and_patience() {
    let server = MockServer::start().await;
    Mock::given(any())
        .and(header("authorization", "Bearer hunter3"))
        .and(header("x-key", "hunter2"))
        .and(header("content-type", "application/protobuf"))
        .and(body_string("\u{1}\u{2}"))
        .respond_with(ResponseTemplate::new(429))
        .expect(1)
        .mount(&server)
        .await;
    let client = builder(&server.uri()).build().unwrap();
    let request = Request::post("dial", "/")
        .bytes("application/protobuf", vec![1, 2])
        .bearer("hunter3".into())
        .retry(RetryPolicy::none());
    let printed = format!("{request:?}");
    assert!(!printed.contains("hunter3"), "{printed}");
    let (answer, slept) = send(&client, request).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited { retry_after: None });
    assert!(slept.is_empty());
    assert!(!whole_text(&error).contains("hunter"));
}
