//! Knowlarity pushes, and the library believes what the call log bears out.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use url::Url;
use uuid::Uuid;
use voice_saas_axum::{ApiState, RateLimits};
use voice_saas_core::{
    VoiceSaas,
    auth::{PasswordHash, SecretKey, User},
    call::{Call, CallEventKind, CallStatus},
    id::{CallId, TenantId, UserId},
    page::PageRequest,
    provider::telephony::ProviderCallId,
    store::Store,
    tenant::{Platform, Role, Tenant},
    testing::{fixtures, system_scope, tenant_scope},
};
use voice_saas_providers::{
    emulator::{FaultKind, KnowlarityPush, KnowlarityScript, Operation, PushMethod, PushParameters},
    sql::SqliteStore,
};
use voice_saas_tests::eventually;

use crate::contract_knowlarity::{AGENT, Bench, CUSTOMER, SECRET, TALK};

/// The account with the library behind it, which knows of one call.
struct Served {
    bench: Bench,
    store: Arc<dyn Store>,
    tenant: TenantId,
    url: Url,
    _server: AbortOnDropHandle<()>,
}

impl Served {
    async fn start() -> Self {
        let bench = Bench::start().await;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().await.expect("a database"));
        let tenant = register(&*store).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let url: Url = format!("http://{addr}").parse().expect("a URL");
        let key = SecretKey::new([7; SecretKey::MIN_BYTES]).expect("the key is long enough");
        let app = VoiceSaas::builder(Arc::clone(&store), key, url.clone())
            .with_telephony(bench.knowlarity.clone())
            .build();
        let api = ApiState::new(app).with_rate_limits(RateLimits::off());
        let router = voice_saas_axum::router(api);
        let forever = CancellationToken::new().cancelled_owned();
        let server = tokio::spawn(async move {
            voice_saas_axum::serve(listener, router, forever)
                .await
                .expect("the server runs until it is stopped");
        });
        Self {
            bench,
            store,
            tenant,
            url,
            _server: AbortOnDropHandle::new(server),
        }
    }

    fn push_to(&self, secret: &str) -> Url {
        self.url
            .join(&format!("/webhooks/knowlarity/{secret}"))
            .expect("a URL")
    }

    /// A customer calls, and the library is told of the call before anybody pushes it.
    async fn ring(&self) -> CallId {
        let number = self.bench.number.as_str();
        let uuid = self
            .bench
            .emulator
            .call_knowlarity(CUSTOMER, number)
            .expect("it rings");
        let id = CallId::from_uuid(Uuid::parse_str(&uuid).expect("a UUID"));
        let now = Timestamp::UNIX_EPOCH;
        let call = Call::inbound(id, "knowlarity", ProviderCallId::new(uuid), CUSTOMER, number, now);
        let decision = CallEventKind::Incoming {
            decision: Value::Null,
        };
        let mut tx = self
            .store
            .begin(&tenant_scope(self.tenant))
            .await
            .expect("it begins");
        assert!(tx.calls().add(&call, &decision).await.expect("it is written"));
        tx.commit().await.expect("it commits");
        id
    }

    async fn call(&self, id: CallId) -> Call {
        let mut tx = self
            .store
            .begin(&tenant_scope(self.tenant))
            .await
            .expect("it begins");
        tx.calls().find(id).await.expect("the call is there")
    }

    async fn jobs(&self) -> Vec<String> {
        let mut tx = self.store.begin_system(&system_scope()).await.expect("it begins");
        let jobs = tx
            .job_queue()
            .jobs(None, PageRequest::default())
            .await
            .expect("a list");
        jobs.data.into_iter().map(|job| job.kind).collect()
    }

    /// The statuses of the pushes so far, once there are this many.
    async fn pushes(&self, wanted: usize) -> Vec<Value> {
        eventually("the push", async || {
            let state = self.bench.emulator.state();
            let pushes = state["knowlarity"]["pushes"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            (pushes.len() >= wanted).then(|| pushes.iter().map(|it| it["status"].clone()).collect())
        })
        .await
    }

    async fn push(&self, secret: &str, body: &Value) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        post(client.post(self.push_to(secret)).json(body)).await
    }
}

#[expect(clippy::disallowed_methods, reason = "a stranger has no adapter")]
async fn post(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

async fn register(store: &dyn Store) -> TenantId {
    let now = Timestamp::UNIX_EPOCH;
    let id = TenantId::from_uuid(Uuid::from_u128(1));
    let tenant = Tenant::new(id, "acme", Platform::Web, now);
    let password = PasswordHash::from_phc("$argon2id$…");
    let user = User::new(
        UserId::from_uuid(Uuid::from_u128(2)),
        "a@b.example",
        None,
        password,
        now,
    );
    let mut tx = store.begin_system(&system_scope()).await.expect("it begins");
    tx.accounts()
        .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
        .await
        .expect("nobody has the address");
    tx.commit().await.expect("it commits");
    id
}

#[rstest]
#[tokio::test]
async fn a_push_ends_the_call_as_the_log_says(
    #[values(PushParameters::Classic, PushParameters::Newer, PushParameters::Custom)]
    parameters: PushParameters,
    #[values(PushMethod::Form, PushMethod::Json, PushMethod::Get)] method: PushMethod,
) {
    let served = Served::start().await;
    let push = KnowlarityPush::new(served.push_to(SECRET));
    let push = push.with_parameters(parameters).with_method(method);
    served.bench.emulator.set_knowlarity_push(push);
    let id = served.ring().await;
    served.bench.emulator.advance_clock(TALK);
    assert_eq!(served.pushes(1).await, [200]);
    let call = served.call(id).await;
    assert_eq!(
        (call.status, call.duration_seconds),
        (CallStatus::Completed, Some(30))
    );
}

#[tokio::test]
async fn a_push_that_comes_twice_or_late_changes_nothing_more() {
    let served = Served::start().await;
    served
        .bench
        .emulator
        .set_knowlarity_push(KnowlarityPush::new(served.push_to(SECRET)));
    served.bench.fault(Operation::UrlPush, FaultKind::Reorder);
    served.bench.fault(Operation::UrlPush, FaultKind::Duplicate);
    let (first, second) = (served.ring().await, served.ring().await);
    served.bench.emulator.advance_clock(TALK);
    assert_eq!(served.pushes(3).await, [200, 200, 200]);
    for id in [first, second] {
        assert_eq!(served.call(id).await.status, CallStatus::Completed);
    }
}

#[tokio::test]
async fn a_push_that_the_log_does_not_bear_out_moves_no_call() {
    let served = Served::start().await;
    let id = served.ring().await;
    let claim = json!({"uuid": id.as_uuid().to_string(), "call_duration": "99", "agent_number": AGENT});
    assert_eq!(served.push(SECRET, &claim).await, 200);
    assert_eq!(served.call(id).await.status, CallStatus::Ringing);
    assert_eq!(served.jobs().await, ["call.settle"], "it is looked into again");
    assert_eq!(
        served
            .push(SECRET, &json!({"uuid": "a call of somebody else's"}))
            .await,
        200
    );
    assert_eq!(served.jobs().await.len(), 1);
}

#[tokio::test]
async fn a_push_before_the_log_knows_is_settled_later() {
    let served = Served::start().await;
    served
        .bench
        .emulator
        .set_knowlarity_push(KnowlarityPush::new(served.push_to(SECRET)));
    served
        .bench
        .script(KnowlarityScript::talks(TALK).with_log_delay(Duration::from_mins(5)));
    let id = served.ring().await;
    served.bench.emulator.advance_clock(TALK);
    assert_eq!(served.pushes(1).await, [200]);
    assert_eq!(served.call(id).await.status, CallStatus::Ringing);
    assert_eq!(served.jobs().await, ["call.settle"]);
    served.bench.emulator.advance_clock(Duration::from_mins(5));
    let claim = json!({"callid": id.as_uuid().to_string()});
    assert_eq!(served.push(SECRET, &claim).await, 200);
    assert_eq!(served.call(id).await.status, CallStatus::Completed);
}

#[tokio::test]
async fn a_push_to_another_address_is_forged() {
    let served = Served::start().await;
    served
        .bench
        .emulator
        .set_knowlarity_push(KnowlarityPush::new(served.push_to(SECRET)));
    served.bench.fault(Operation::UrlPush, FaultKind::BadSignature);
    let id = served.ring().await;
    served.bench.emulator.advance_clock(TALK);
    assert_eq!(served.pushes(1).await, [403]);
    assert_eq!(
        served.call(id).await.status,
        CallStatus::Ringing,
        "though the log knows better"
    );
    assert_eq!(
        served
            .push(SECRET, &json!({"dispnumber": served.bench.number}))
            .await,
        400
    );
    assert!(served.jobs().await.is_empty());
}
