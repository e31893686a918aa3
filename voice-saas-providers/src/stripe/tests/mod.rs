#[cfg(all(feature = "emulator", feature = "testing"))]
mod conformance;
#[cfg(feature = "emulator")]
mod life;
mod webhook;

use serde_json::{Value, json};
use voice_saas_core::{
    money::{Currency, Money},
    provider::{
        ErrorKind, Recovery,
        billing::{BillingPeriod, Charge, PaymentMethodId, ProviderPriceId, Trial},
    },
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_string_contains, header, method, path, query_param, query_param_is_missing},
};

use super::*;
use crate::http::RetryPolicy;

const TENANT: &str = "ten_018f3c1e5d0f7a3b9c2d4e5f60718293";

fn stripe(server: &MockServer) -> Stripe {
    builder(server).with_retry(RetryPolicy::none()).build().unwrap()
}

fn builder(server: &MockServer) -> StripeBuilder {
    Stripe::builder("sk_test_1".into()).with_base_url(server.uri().parse().unwrap())
}

fn operation() -> Operation {
    Operation::new("saga_1").unwrap()
}

fn customer_order() -> CustomerOrder {
    CustomerOrder::new(TENANT.parse().unwrap(), operation(), "ada@example.com")
}

fn refused(status: u16, error: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "error": error }))
}

#[tokio::test]
async fn a_request_says_who_sends_it_in_which_version_and_under_which_key() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/customers"))
        .and(header("authorization", "Bearer sk_test_1"))
        .and(header("stripe-version", API_VERSION))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .and(body_string_contains("metadata%5Btenant_id%5D=ten_018f3c"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"id": "cus_1", "object": "customer"})))
        .expect(2)
        .mount(&server)
        .await;
    let stripe = stripe(&server);
    for _ in 0..2 {
        let made = stripe.create_customer(&customer_order()).await.unwrap();
        assert_eq!(made.id.as_str(), "cus_1");
    }
    let keys: Vec<_> = server
        .received_requests()
        .await
        .unwrap()
        .iter()
        .map(|request| request.headers["idempotency-key"].clone())
        .collect();
    assert_eq!(keys[0], keys[1]);
    let key = keys[0].to_str().unwrap();
    assert!(
        key.starts_with("vs1:create_customer:saga_1:") && !key.contains("ada"),
        "{key}"
    );
}

#[tokio::test]
async fn a_timeout_of_a_keyed_request_is_sent_again_under_the_same_key() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/customers"))
        .respond_with(refused(500, &json!({"type": "api_error"})))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(path("/v1/customers"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"id": "cus_1"})))
        .mount(&server)
        .await;
    let stripe = builder(&server).build().unwrap();
    stripe.create_customer(&customer_order()).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        requests[0].headers["idempotency-key"],
        requests[1].headers["idempotency-key"]
    );
}

#[tokio::test]
async fn a_replayed_failure_is_looked_into_and_not_sent_again() {
    let server = MockServer::start().await;
    let replayed = refused(500, &json!({"type": "api_error"})).insert_header("stripe-should-retry", "false");
    Mock::given(path("/v1/customers"))
        .respond_with(replayed)
        .expect(1)
        .mount(&server)
        .await;
    let stripe = builder(&server).build().unwrap();
    let error = stripe.create_customer(&customer_order()).await.unwrap_err();
    assert_eq!(error.recovery(), Recovery::Reconcile);
}

#[tokio::test]
async fn a_lock_is_waited_for() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/subscriptions/sub_1"))
        .respond_with(refused(
            429,
            &json!({"type": "invalid_request_error", "code": "lock_timeout"}),
        ))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(path("/v1/subscriptions/sub_1"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"id": "sub_1", "status": "canceled"})))
        .mount(&server)
        .await;
    let stripe = builder(&server).build().unwrap();
    let id = ProviderSubscriptionId::new("sub_1");
    let ended = stripe.cancel(&id, Cancellation::Now).await.unwrap();
    assert!(ended.status.is_final());
}

#[tokio::test]
async fn a_list_is_read_to_its_end() {
    let server = MockServer::start().await;
    let page = |ids: &[&str], more: bool| {
        let data: Vec<_> = ids
            .iter()
            .map(|id| {
                json!({"id": id, "status": "active", "customer": "cus_1",
                "metadata": {"operation_id": format!("op_{id}")}})
            })
            .collect();
        ResponseTemplate::new(200).set_body_json(json!({"object": "list", "data": data, "has_more": more}))
    };
    Mock::given(method("GET"))
        .and(path("/v1/subscriptions"))
        .and(query_param("status", "all"))
        .and(query_param_is_missing("starting_after"))
        .respond_with(page(&["sub_2", "sub_1"], true))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(query_param("starting_after", "sub_1"))
        .respond_with(page(&["sub_0"], false))
        .mount(&server)
        .await;
    let stripe = stripe(&server);
    let find = async |operation: &str| {
        let operation = Operation::new(operation).unwrap();
        let customer = ProviderCustomerId::new("cus_1");
        stripe.find_subscription(&customer, &operation).await.unwrap()
    };
    assert_eq!(find("op_sub_0").await.unwrap().id.as_str(), "sub_0");
    assert_eq!(find("op_sub_9").await, None);
    let first = stripe.list_subscriptions(None).await.unwrap();
    assert_eq!(first.next.as_deref(), Some("sub_1"));
    let last = stripe.list_subscriptions(first.next).await.unwrap();
    assert_eq!((last.items.len(), last.next), (1, None));
}

#[tokio::test]
async fn a_price_of_somebody_elses_is_used_when_it_charges_the_same() {
    let server = MockServer::start().await;
    let price = json!({"id": "price_1", "active": true, "currency": "usd", "lookup_key": "basic_month",
        "unit_amount": 4999, "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"}});
    Mock::given(method("GET"))
        .and(path("/v1/prices"))
        .and(query_param("lookup_keys[0]", "basic_month"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"data": [price], "has_more": false})))
        .mount(&server)
        .await;
    let wanted = PlanPrice {
        lookup_key: "basic_month".to_owned(),
        plan: "basic".to_owned(),
        plan_name: "Basic".to_owned(),
        charge: Charge::Flat(Money::from_micros(49_990_000, Currency::USD)),
        period: BillingPeriod::MONTH,
    };
    let published = stripe(&server).publish(&[wanted]).await.unwrap();
    assert_eq!(published[0].id, ProviderPriceId::new("price_1"));
}

#[tokio::test]
async fn a_subscription_is_asked_for_with_its_trial_and_its_tags() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/subscriptions"))
        .and(body_string_contains("items%5B0%5D%5Bprice%5D=price_1"))
        .and(body_string_contains("trial_period_days=14"))
        .and(body_string_contains(
            "trial_settings%5Bend_behavior%5D%5Bmissing_payment_method%5D=cancel",
        ))
        .and(body_string_contains("metadata%5Boperation_id%5D=saga_1"))
        .and(body_string_contains("default_payment_method=pm_1"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "id": "sub_1", "status": "a_word_that_came_later", "customer": {"id": "cus_1", "object": "customer"},
            "current_period_start": 1_700_000_000, "current_period_end": 1_702_592_000,
            "metadata": {"tenant_id": TENANT}, "something_new": {"a": 1},
        })))
        .mount(&server)
        .await;
    let order = SubscriptionOrder::new(
        TENANT.parse().unwrap(),
        ProviderCustomerId::new("cus_1"),
        operation(),
        "basic",
        vec![ProviderPriceId::new("price_1")],
    )
    .with_trial(Trial::days(14))
    .with_payment_method(PaymentMethodId::new("pm_1"));
    let made = stripe(&server).create_subscription(&order).await.unwrap();
    assert_eq!(made.status.as_str(), "a_word_that_came_later");
    assert_eq!(made.customer.as_str(), "cus_1");
    assert_eq!(made.tenant.as_deref(), Some(TENANT));
    assert_eq!(made.period.unwrap().end.as_second(), 1_702_592_000);
}

#[tokio::test]
async fn usage_that_was_reported_before_is_no_failure() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/billing/meter_events"))
        .and(body_string_contains("payload%5Bstripe_customer_id%5D=cus_1"))
        .respond_with(refused(
            400,
            &json!({"type": "invalid_request_error", "code": "resource_already_exists"}),
        ))
        .mount(&server)
        .await;
    let report = UsageReport {
        event_name: "answers".to_owned(),
        customer: ProviderCustomerId::new("cus_1"),
        quantity: 3,
        identifier: "call_1".to_owned(),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    stripe(&server).report_usage(&report).await.unwrap();
}

#[tokio::test]
async fn a_customer_that_was_deleted_is_not_found() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/customers/cus_1"))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(json!({"id": "cus_1", "object": "customer", "deleted": true})),
        )
        .mount(&server)
        .await;
    let error = stripe(&server)
        .customer(&ProviderCustomerId::new("cus_1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_card_that_is_attached_already_is_made_the_one_that_pays() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/payment_methods/pm_1/attach"))
        .respond_with(refused(400, &json!({"type": "invalid_request_error"})))
        .mount(&server)
        .await;
    let listed = json!({"object": "list", "has_more": false, "data": [{"id": "pm_1"}]});
    Mock::given(method("GET"))
        .and(path("/v1/customers/cus_1/payment_methods"))
        .respond_with(ResponseTemplate::new(200).set_body_json(listed))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/v1/customers/cus_1"))
        .and(body_string_contains("default_payment_method%5D=pm_1"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"id": "cus_1"})))
        .expect(1)
        .mount(&server)
        .await;
    let mut order = PaymentMethodOrder {
        customer: ProviderCustomerId::new("cus_1"),
        payment_method: PaymentMethodId::new("pm_1"),
        operation: operation(),
    };
    let attached = stripe(&server).attach_payment_method(&order).await.unwrap();
    assert_eq!(attached.id, order.payment_method);

    order.payment_method = PaymentMethodId::new("pm_2");
    Mock::given(path("/v1/payment_methods/pm_2/attach"))
        .respond_with(refused(400, &json!({"type": "invalid_request_error"})))
        .mount(&server)
        .await;
    let error = stripe(&server).attach_payment_method(&order).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
