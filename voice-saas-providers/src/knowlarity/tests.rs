//! What goes over the wire, against a server that answers by the book and otherwise.

use std::time::Duration;

use serde_json::{Value, json};
use voice_saas_core::{
    phone::{Country, E164},
    provider::{
        ErrorKind, Recovery,
        telephony::{
            CallProvider, NumberKind, NumberOrder, NumberProvider, NumberQuery, NumberWebhooks,
            ProviderCallId, ProviderCallStatus,
        },
    },
};
use wiremock::{
    Mock, MockBuilder, MockServer, ResponseTemplate,
    matchers::{body_json, header, method, path, query_param},
};

use super::{Knowlarity, KnowlarityBuilder, LiveEventKind, MakeCall};
use crate::http::RetryPolicy;

const ROOT: &str = "/Basic/v1/account/";
const NUMBER: &str = "+918040123456";

fn builder(server: &MockServer) -> KnowlarityBuilder {
    Knowlarity::builder("sr-key".into(), "app-key".into())
        .with_base_url(server.uri().parse().unwrap())
        .with_retry(RetryPolicy::default().with_max_wait(Duration::ZERO))
}

fn knowlarity(server: &MockServer) -> Knowlarity {
    builder(server).build().unwrap()
}

fn e164(text: &str) -> E164 {
    text.parse().unwrap()
}

fn india() -> Country {
    "IN".parse().unwrap()
}

/// Every request carries both keys.
fn on(verb: &str, resource: &str) -> MockBuilder {
    Mock::given(method(verb))
        .and(path(format!("{ROOT}{resource}")))
        .and(header("authorization", "sr-key"))
        .and(header("x-api-key", "app-key"))
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn call() -> MakeCall {
    MakeCall::new(e164(NUMBER), e164("+919812345678"), e164("+919876543210")).with_reference("op-1")
}

#[tokio::test]
async fn a_call_is_placed_between_two_telephones() {
    let server = MockServer::start().await;
    on("POST", "call/makecall")
        .and(body_json(json!({
            "k_number": NUMBER, "agent_number": "+919812345678", "customer_number": "+919876543210",
            "caller_id": NUMBER, "additional_params": {"uniqueid": "op-1"},
        })))
        .respond_with(ok(json!({
            "success": {"status": "success", "message": "Call successfully placed", "call_id": "u1"}
        })))
        .expect(1)
        .mount(&server)
        .await;
    let placed = knowlarity(&server).make_call(&call()).await.unwrap();
    assert_eq!(placed.id.as_str(), "u1");
    assert_eq!(placed.message.as_deref(), Some("Call successfully placed"));
}

#[tokio::test]
async fn a_call_is_sent_once_whatever_is_answered() {
    for (answer, kind) in [
        (ResponseTemplate::new(500), ErrorKind::ServerError),
        (
            ResponseTemplate::new(429),
            ErrorKind::RateLimited { retry_after: None },
        ),
        (ResponseTemplate::new(401), ErrorKind::Unauthorized),
        (ResponseTemplate::new(200), ErrorKind::UnexpectedAnswer),
        (ok(json!({})), ErrorKind::UnexpectedAnswer),
        (
            ok(json!({"success": {"status": "success"}})),
            ErrorKind::UnexpectedAnswer,
        ),
        (
            ok(json!({"success": {"status": "queued", "call_id": "u1"}})),
            ErrorKind::UnexpectedAnswer,
        ),
        (
            ok(json!({"error": {"message": "Customer is in DND"}})),
            ErrorKind::Forbidden,
        ),
    ] {
        let server = MockServer::start().await;
        on("POST", "call/makecall")
            .respond_with(answer)
            .expect(1)
            .mount(&server)
            .await;
        let error = knowlarity(&server).make_call(&call()).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        server.verify().await;
    }
}

async fn with_circles(server: &MockServer) {
    on("GET", "numbers/Circle")
        .and(query_param("country", "IN"))
        .respond_with(ok(
            json!([{"id": 1, "name": "Delhi"}, {"id": 2, "name": "Karnataka"}]),
        ))
        .mount(server)
        .await;
    for (circle, number) in [("1", "+911140123456"), ("2", NUMBER)] {
        on("GET", "numbers/AvailablePhoneNumbers")
            .and(query_param("circle_id", circle))
            .and(query_param("number_type", "LANDLINE"))
            .respond_with(ok(
                json!({"numbers": [{"number": number, "number_type": "LANDLINE"}, {"number": "?"}]}),
            ))
            .mount(server)
            .await;
    }
}

#[tokio::test]
async fn numbers_are_searched_in_every_circle_or_in_the_one_that_is_named() {
    let server = MockServer::start().await;
    with_circles(&server).await;
    let search = async |query: NumberQuery| -> Vec<String> {
        let found = knowlarity(&server).search(&query).await.unwrap();
        found.iter().map(|it| it.number.to_string()).collect()
    };
    let anywhere = NumberQuery::new(india());
    assert_eq!(search(anywhere.clone()).await, ["+911140123456", NUMBER]);
    assert_eq!(search(anywhere.clone().with_limit(1)).await, ["+911140123456"]);
    assert_eq!(
        search(anywhere.clone().with_area_code("karnataka")).await,
        [NUMBER]
    );
    assert_eq!(search(anywhere.clone().with_area_code("2")).await, [NUMBER]);
    assert_eq!(search(anywhere.clone().with_contains("4012")).await.len(), 2);
    assert_eq!(search(anywhere.clone().with_contains("8040")).await, [NUMBER]);
    assert!(
        search(anywhere.clone().with_area_code("Atlantis"))
            .await
            .is_empty()
    );
    let near = anywhere.with_near(e164(NUMBER), 5);
    let error = knowlarity(&server).search(&near).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

fn order() -> NumberOrder {
    let url = |path: &str| format!("https://voice.example.com/{path}").parse().unwrap();
    let webhooks = NumberWebhooks::new(url("voice"), url("fallback"), url("status"));
    NumberOrder::new(e164(NUMBER), "the tag", webhooks)
}

#[tokio::test]
async fn a_number_is_taken_until_its_plan_ends() {
    let server = MockServer::start().await;
    on("GET", "plans/")
        .respond_with(ok(json!({"meta": {}, "objects": [
            {"id": 76, "plan": "Old"}, {"id": 77, "plan": "SR Pro", "expiry_time": "2027-01-01 00:00:00+05:30"},
        ]})))
        .mount(&server)
        .await;
    on("POST", "numbers/")
        .and(body_json(json!({
            "user_plan_id": "77", "number": NUMBER, "expiry_time": "2027-01-01 00:00:00+05:30",
        })))
        .respond_with(ok(
            json!({"message": "Number allocated successfully", "Number": NUMBER}),
        ))
        .expect(1)
        .mount(&server)
        .await;
    let bought = builder(&server)
        .with_plan("77")
        .build()
        .unwrap()
        .buy(&order())
        .await
        .unwrap();
    assert_eq!((bought.number, bought.id.as_str()), (e164(NUMBER), NUMBER));
    for (plan, said) in [("76", "with_plan_until"), ("1", "no plan with the id")] {
        let knowlarity = builder(&server).with_plan(plan).build().unwrap();
        let error = knowlarity.buy(&order()).await.unwrap_err();
        assert!(error.detail().unwrap().contains(said), "{error:?}");
    }
}

#[tokio::test]
async fn a_number_is_ordered_once_and_a_doubtful_answer_is_looked_into() {
    for (answer, kind) in [
        (
            ok(json!({"message": "Number allocated"})),
            ErrorKind::UnexpectedAnswer,
        ),
        (
            ok(json!({"Number": "+918040123457"})),
            ErrorKind::UnexpectedAnswer,
        ),
        (
            ok(json!({"message": "Number not available"})),
            ErrorKind::NumberUnavailable,
        ),
        (ResponseTemplate::new(503), ErrorKind::ServerError),
    ] {
        let server = MockServer::start().await;
        on("POST", "numbers/")
            .respond_with(answer)
            .expect(1)
            .mount(&server)
            .await;
        let until = "2027-01-01T00:00:00Z".parse().unwrap();
        let knowlarity = builder(&server).with_plan_until("77", until).build().unwrap();
        let error = knowlarity.buy(&order()).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        if kind == ErrorKind::UnexpectedAnswer {
            assert_eq!(error.recovery(), Recovery::Reconcile);
        }
        server.verify().await;
    }
}

#[tokio::test]
async fn a_number_is_found_even_where_the_filter_is_ignored() {
    let server = MockServer::start().await;
    let row = |number: &str, expired: bool| json!({"phone_number": number, "is_expired": expired});
    for (offset, rows) in [
        (
            "0",
            json!([row("+918040123455", false), row("+918040123454", true)]),
        ),
        ("2", json!([row("918040123456", false)])),
    ] {
        on("GET", "numbers/")
            .and(query_param("offset", offset))
            .and(query_param("limit", "2"))
            .respond_with(ok(
                json!({"meta": {"limit": "2", "total_count": "3"}, "objects": rows}),
            ))
            .mount(&server)
            .await;
    }
    let knowlarity = builder(&server).with_page_size(2).build().unwrap();
    let find = async |number| knowlarity.find(&e164(number)).await.unwrap();
    assert!(find(NUMBER).await.is_some());
    assert!(find("+918040123454").await.is_none(), "it has ended");
    assert!(find("+91804012345").await.is_none());
    let first = knowlarity.list(None).await.unwrap();
    assert_eq!((first.items.len(), first.next.as_deref()), (1, Some("2")));
    let second = knowlarity.list(Some("2")).await.unwrap();
    assert_eq!((second.items.len(), second.next), (1, None));
    assert_eq!(knowlarity.held_numbers(None).await.unwrap().items.len(), 2);
    let error = knowlarity.list(Some("?")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_call_is_looked_up_in_the_log_page_by_page() {
    let server = MockServer::start().await;
    for (offset, uuid) in [("0", "u0"), ("1", "u1")] {
        on("GET", "calllog")
            .and(query_param("offset", offset))
            .respond_with(ok(json!({"meta": {"total_count": 2}, "objects": [{
                "uuid": uuid, "agent_number": "+919812345678", "start_time": "2024-03-13 12:00:00+05:30",
                "call_duration": 42,
            }]})))
            .mount(&server)
            .await;
    }
    let knowlarity = builder(&server).with_page_size(1).build().unwrap();
    let fetch = async |id| knowlarity.fetch(&ProviderCallId::new(id)).await.unwrap();
    let call = fetch("u1").await;
    assert_eq!(
        (call.status, call.duration),
        (ProviderCallStatus::Completed, Some(Duration::from_secs(42)))
    );
    assert_eq!(
        fetch("u2").await.status,
        ProviderCallStatus::Unknown,
        "the log may have it later"
    );
    let error = knowlarity.hang_up(&ProviderCallId::new("u1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_an_error_and_not_an_empty_list() {
    let server = MockServer::start().await;
    for resource in [
        "numbers/",
        "plans/",
        "numbers/Circle",
        "numbers/AvailablePhoneNumbers",
    ] {
        on("GET", resource)
            .respond_with(ok(json!({"error": {"message": "Invalid API key"}})))
            .mount(&server)
            .await;
    }
    let knowlarity = knowlarity(&server);
    let query = NumberQuery::new(india())
        .with_kind(NumberKind::Mobile)
        .with_area_code("2");
    let errors = [
        knowlarity.list(None).await.unwrap_err(),
        knowlarity.plans().await.unwrap_err(),
        knowlarity.circles(india()).await.unwrap_err(),
        knowlarity.search(&query).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }
}

#[tokio::test]
async fn live_events_come_from_a_host_whose_address_is_the_key() {
    let server = MockServer::start().await;
    let body = "data: {\"event_type\": \"ORIGINATE\", \"uuid\": \"u1\"}\n\ndata: nonsense\n\n\
        data: {\"event_type\": \"BRIDGE\", \"uuid\": \"u1\"}\n\n";
    Mock::given(method("GET"))
        .and(path("/update-stream/sr-key/konnect"))
        .and(header("accept", "text/event-stream"))
        .respond_with(ResponseTemplate::new(200).set_body_raw(body, "text/event-stream"))
        .mount(&server)
        .await;
    let mut events = knowlarity(&server).live_events().await.unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = events.next().await {
        kinds.push(event.unwrap().kind);
    }
    assert_eq!(kinds, [LiveEventKind::Originate, LiveEventKind::Bridge]);
}

#[tokio::test]
async fn a_stream_that_is_refused_says_why_and_not_where() {
    let server = MockServer::start().await;
    let knowlarity = Knowlarity::builder("hunter2".into(), "app-key".into())
        .with_base_url(server.uri().parse().unwrap())
        .build()
        .unwrap();
    let error = knowlarity.live_events().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!format!("{error:?} {knowlarity:?}").contains("hunter2"));
    drop(server);
    let error = knowlarity.live_events().await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn numbers_are_registered_for_events() {
    let server = MockServer::start().await;
    on("POST", "notifications/")
        .and(body_json(json!({"knowlarity_number": [NUMBER]})))
        .respond_with(ResponseTemplate::new(201))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let knowlarity = knowlarity(&server);
    let numbers = [e164(NUMBER)];
    knowlarity.register_for_events(&numbers).await.unwrap();
    on("POST", "notifications/")
        .respond_with(ok(json!({"error": "not found"})))
        .mount(&server)
        .await;
    let error = knowlarity.register_for_events(&numbers).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
