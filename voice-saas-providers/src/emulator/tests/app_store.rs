//! The App Store over HTTP: what tests of other languages and demos use.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Bench, answer};

impl Bench {
    async fn act(&self, id: &Value, body: Value) -> Answer {
        let path = format!(
            "/_control/app_store/subscriptions/{}",
            id.as_str().expect("an id")
        );
        self.control(Method::POST, &path, body).await
    }
}

fn state(bench: &Bench) -> Value {
    bench.emulator.state()["app_store"]["subscriptions"][0].clone()
}

#[tokio::test]
async fn a_subscription_is_bought_and_renewed_as_the_clock_moves() {
    let bench = Bench::start().await;
    let purchase = json!({
        "product": "pro.weekly", "days": 7, "grace_days": 3,
        "app_account_token": "7e3fb204-2110-4fc4-9df2-1bc00f4e2b10",
    });
    let (status, receipt) = bench
        .control(Method::POST, "/_control/app_store/purchases", purchase)
        .await;
    assert_eq!(status, 201, "{receipt}");
    let signed = receipt["signed_transaction"].as_str().expect("a signed text");
    assert_eq!(signed.split('.').count(), 3);
    let id = &receipt["original_transaction_id"];
    let week = json!({"advance_seconds": 7 * 24 * 3_600});
    bench.control(Method::POST, "/_control/clock", week.clone()).await;
    assert_eq!(state(&bench)["periods"].as_array().map(Vec::len), Some(2));
    let (status, declined) = bench.act(id, json!({"action": "decline_payments"})).await;
    assert_eq!(status, 201, "{declined}");
    bench.control(Method::POST, "/_control/clock", week).await;
    assert_eq!(state(&bench)["status"], 4);
    bench.act(id, json!({"action": "accept_payments"})).await;
    assert_eq!(state(&bench)["status"], 1);
    let (_, upgraded) = bench
        .act(id, json!({"action": "upgrade", "product": "max"}))
        .await;
    assert_ne!(upgraded["transaction_id"], receipt["transaction_id"]);
    bench.act(id, json!({"action": "refund"})).await;
    assert_eq!(state(&bench)["status"], 5);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let bench = Bench::start().await;
    let buy = async |body| {
        bench
            .control(Method::POST, "/_control/app_store/purchases", body)
            .await
    };
    assert_eq!(buy(json!({"product": ""})).await.0, 422);
    assert_eq!(buy(json!({"product": "pro", "days": 0})).await.0, 422);
    assert_eq!(buy(json!({"product": "pro", "price": 1})).await.0, 400);
    let (_, receipt) = buy(json!({"product": "pro"})).await;
    let id = &receipt["original_transaction_id"];
    assert_eq!(bench.act(id, json!({"action": "resume"})).await.0, 409);
    assert_eq!(bench.act(id, json!({"action": "explode"})).await.0, 400);
    assert_eq!(bench.act(&json!("1"), json!({"action": "refund"})).await.0, 404);
}

#[tokio::test]
async fn nobody_asks_without_a_token() {
    let bench = Bench::start().await;
    for path in ["/inApps/v1/subscriptions/1", "/sandbox/inApps/v2/history/1"] {
        let request = bench.http.get(bench.url(path));
        assert_eq!(answer(request.bearer_auth("a.b.c")).await.0, 401, "{path}");
        assert_eq!(answer(bench.http.get(bench.url(path))).await.0, 401, "{path}");
    }
}
