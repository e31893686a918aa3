//! Requests that are done once.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{Extension, Router, extract::Path, response::Response, routing};
use serde_json::{Value, json};

use super::{
    JSON, MEMBER,
    fake::{CREATED, Got, KeysOnly, api, send},
};
use crate::{
    Problem,
    idempotency::{Answer, Once},
    with_conventions,
};

/// Spends, and says how often it did. `{"fail": 503}` fails so, after spending.
async fn spend(Extension(spent): Extension<Arc<AtomicU32>>, once: Once<Value>) -> Result<Response, Problem> {
    once.answer(async move |_, _, request: Value| {
        let count = spent.fetch_add(1, Ordering::Relaxed) + 1;
        match request["fail"].as_u64() {
            Some(status) => {
                let status = u16::try_from(status).unwrap().try_into().unwrap();
                Err(Problem::new(status, "failed", format!("failure {count}")))
            }
            None if request["panic"] == true => panic!("in the middle"),
            None => Answer::json(CREATED, &json!({ "secret": format!("vsk_{count}") })),
        }
    })
    .await
}

struct Shop {
    store: Arc<KeysOnly>,
    routes: Router,
}

impl Shop {
    fn new() -> Self {
        let store = Arc::new(KeysOnly::default());
        let api = api(Arc::clone(&store));
        let other = async |_: Path<String>, spent, once| spend(spent, once).await;
        let routes = Router::new()
            .route("/spend", routing::post(spend))
            .route("/spend/{id}", routing::post(other))
            .layer(Extension(Arc::new(AtomicU32::new(0))));
        let routes = with_conventions(routes, &api).with_state(api);
        Self { store, routes }
    }

    async fn spend(&self, who: &str, key: &str, body: &str) -> Got {
        let headers = [JSON, ("x-test", who), ("idempotency-key", key)];
        send(&self.routes, "POST /spend", &headers, body.to_owned()).await
    }
}

#[tokio::test]
async fn the_same_key_and_body_get_the_same_answer() {
    let shop = Shop::new();
    let first = shop.spend("1 admin", "k", "{}").await;
    let second = shop.spend("1 admin", "k", "{}").await;
    assert_eq!(
        (first.status, first.body.as_slice()),
        (201, br#"{"secret":"vsk_1"}"#.as_slice())
    );
    assert_eq!((second.status, second.body), (first.status, first.body));
    assert_eq!(second.headers["content-type"], "application/json");
}

#[tokio::test]
async fn without_a_key_everything_is_done_again() {
    let shop = Shop::new();
    send(&shop.routes, "POST /spend", &[MEMBER, JSON], "{}").await;
    let second = send(&shop.routes, "POST /spend", &[MEMBER, JSON], "{}").await;
    assert_eq!(second.json()["secret"], "vsk_2");
}

#[tokio::test]
async fn a_key_is_good_for_one_request_of_one_caller() {
    let shop = Shop::new();
    shop.spend("1 admin", "k", "{}").await;
    shop.spend("1 admin", "k", r#"{"more":1}"#)
        .await
        .is_problem(409, "idempotency_conflict");
    // A colleague with fewer rights must not be shown the secret.
    shop.spend("1 viewer", "k", "{}")
        .await
        .is_problem(409, "idempotency_conflict");
    // Another tenant has keys of its own.
    assert_eq!(shop.spend("2 admin", "k", "{}").await.json()["secret"], "vsk_2");
}

#[tokio::test]
async fn the_same_key_for_another_thing_of_the_same_route_is_a_conflict() {
    let shop = Shop::new();
    let headers = [JSON, MEMBER, ("idempotency-key", "k")];
    assert_eq!(
        send(&shop.routes, "POST /spend/1", &headers, "{}").await.status,
        201
    );
    let got = send(&shop.routes, "POST /spend/2", &headers, "{}").await;
    got.is_problem(409, "idempotency_conflict");
}

#[tokio::test]
async fn a_refusal_is_final_and_a_failure_is_not() {
    let shop = Shop::new();
    let refused = shop.spend("1 admin", "refused", r#"{"fail":409}"#).await;
    let again = shop.spend("1 admin", "refused", r#"{"fail":409}"#).await;
    assert_eq!((again.status, again.body), (refused.status, refused.body));
    assert_eq!(again.headers["content-type"], "application/problem+json");

    shop.spend("1 admin", "failed", r#"{"fail":503}"#).await;
    let again = shop.spend("1 admin", "failed", r#"{"fail":503}"#).await;
    assert_eq!(again.json()["detail"], "failure 3", "the key was let go");
}

#[tokio::test]
async fn a_panic_lets_the_key_go() {
    let shop = Shop::new();
    for _ in 0..2 {
        shop.spend("1 admin", "k", r#"{"panic":true}"#)
            .await
            .is_problem(500, "internal");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    let shop = Shop::new();
    for key in ["", &"x".repeat(256)] {
        shop.spend("1 admin", key, "{}")
            .await
            .is_problem(422, "invalid_idempotency_key");
    }
}

#[tokio::test]
async fn the_store_cannot_read_the_answers_that_it_keeps() {
    let shop = Shop::new();
    shop.spend("1 admin", "k", "{}").await;
    let kept = shop.store.kept();
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].windows(4).any(|window| window == b"vsk_"));
}
