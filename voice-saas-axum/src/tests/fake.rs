//! A store that keeps idempotency keys and nothing else, a login by header, and a carrier that checks its webhooks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use jiff::Timestamp;
use serde_json::Value;
use tower::ServiceExt;
use uuid::Uuid;
use voice_saas_core::{
    VoiceSaas, agent, auth, call, entitlement, event,
    id::{ApiKeyId, TenantId},
    idempotency::{IdempotencyRepo, KeyState, StoredAnswer},
    job, ledger,
    media::MediaCodec,
    number,
    provider::{
        ProviderName,
        telephony::{
            CallPlan, CallProvider, Capability, InboundWebhook, IncomingCall, NumberProvider, ProviderCallId,
            TelephonyEvent, TelephonyProvider, WebhookAnswer, WebhookError, WebhookKind, WebhookRequest,
        },
    },
    saga,
    scope::{Actor, SystemScope, TenantScope},
    store::{Store, StoreError, StoreErrorKind, SystemTx, TenantTx},
    subaccount,
    tenant::{self, Role},
    trunk, usage,
};

use crate::ApiState;

type Keys = HashMap<(TenantId, String, String), ([u8; 32], Option<StoredAnswer>)>;

/// Has idempotency keys; everything else is not available.
#[derive(Debug, Default)]
pub(super) struct KeysOnly(Arc<Mutex<Keys>>);

impl KeysOnly {
    /// The bodies that were kept, as a thief of the database would find them.
    pub(super) fn kept(&self) -> Vec<Vec<u8>> {
        let keys = self.0.lock().unwrap();
        keys.values()
            .filter_map(|(_, answer)| Some(answer.clone()?.body))
            .collect()
    }
}

fn unavailable(operation: &'static str) -> StoreError {
    StoreError::new(operation, StoreErrorKind::Unavailable)
}

#[async_trait]
impl Store for KeysOnly {
    async fn begin(&self, scope: &TenantScope) -> Result<Box<dyn TenantTx>, StoreError> {
        Ok(Box::new(Tx {
            tenant: scope.tenant_id(),
            keys: Arc::clone(&self.0),
        }))
    }

    async fn begin_system(&self, _: &SystemScope) -> Result<Box<dyn SystemTx>, StoreError> {
        Err(unavailable("look across tenants"))
    }

    async fn job_wakeup(&self) {
        std::future::pending::<()>().await;
    }

    async fn wake_jobs(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Err(unavailable("answer"))
    }
}

struct Tx {
    tenant: TenantId,
    keys: Arc<Mutex<Keys>>,
}

#[async_trait]
impl TenantTx for Tx {
    fn tenant(&mut self) -> &mut dyn tenant::TenantRepo {
        panic!("no tenants are kept here")
    }
    fn entitlements(&mut self) -> &mut dyn entitlement::EntitlementRepo {
        panic!("no entitlements are kept here")
    }
    fn usage(&mut self) -> &mut dyn usage::UsageRepo {
        panic!("no usage is kept here")
    }
    fn api_keys(&mut self) -> &mut dyn auth::ApiKeyRepo {
        panic!("no API keys are kept here")
    }
    fn numbers(&mut self) -> &mut dyn number::NumberRepo {
        panic!("no numbers are kept here")
    }
    fn subaccounts(&mut self) -> &mut dyn subaccount::SubaccountRepo {
        panic!("no subaccounts are kept here")
    }
    fn ports(&mut self) -> &mut dyn number::PortRepo {
        panic!("no ports are kept here")
    }
    fn trunks(&mut self) -> &mut dyn trunk::TrunkRepo {
        panic!("no trunks are kept here")
    }
    fn agents(&mut self) -> &mut dyn agent::AgentRepo {
        panic!("no agents are kept here")
    }
    fn calls(&mut self) -> &mut dyn call::CallRepo {
        panic!("no calls are kept here")
    }
    fn ledger(&mut self) -> &mut dyn ledger::LedgerRepo {
        panic!("no ledger is kept here")
    }
    fn sagas(&mut self) -> &mut dyn saga::SagaRepo {
        panic!("no sagas are kept here")
    }
    fn jobs(&mut self) -> &mut dyn job::JobRepo {
        panic!("no jobs are kept here")
    }
    fn outbox(&mut self) -> &mut dyn event::Outbox {
        panic!("no events are kept here")
    }
    fn idempotency(&mut self) -> &mut dyn IdempotencyRepo {
        self
    }
    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl IdempotencyRepo for Tx {
    async fn begin(
        &mut self,
        route: &str,
        key: &str,
        request_hash: &[u8; 32],
        _: Timestamp,
        _: Timestamp,
    ) -> Result<KeyState, StoreError> {
        let mut keys = self.keys.lock().unwrap();
        let place = (self.tenant, route.to_owned(), key.to_owned());
        Ok(match keys.get(&place) {
            Some((hash, _)) if hash != request_hash => KeyState::OtherRequest,
            Some((_, Some(answer))) => KeyState::Answered(answer.clone()),
            Some((_, None)) => KeyState::InFlight,
            None => {
                keys.insert(place, (*request_hash, None));
                KeyState::Fresh
            }
        })
    }

    async fn complete(&mut self, route: &str, key: &str, answer: &StoredAnswer) -> Result<(), StoreError> {
        let place = (self.tenant, route.to_owned(), key.to_owned());
        if let Some((_, kept)) = self.keys.lock().unwrap().get_mut(&place) {
            *kept = Some(answer.clone());
        }
        Ok(())
    }

    async fn release(&mut self, route: &str, key: &str) -> Result<(), StoreError> {
        let place = (self.tenant, route.to_owned(), key.to_owned());
        self.keys.lock().unwrap().remove(&place);
        Ok(())
    }
}

/// Believes the header `x-test`: `TENANT ROLE`, such as `1 admin`.
#[derive(Debug)]
struct HeaderLogin;

#[async_trait]
impl auth::Authenticator for HeaderLogin {
    async fn authenticate(
        &self,
        credentials: &auth::Credentials<'_>,
        mint: &auth::Mint,
    ) -> Result<Option<auth::Principal>, auth::AuthError> {
        let Some(text) = credentials.headers().get("x-test") else {
            return Ok(None);
        };
        let (tenant, role) = text.to_str().unwrap().split_once(' ').unwrap();
        let tenant = TenantId::from_uuid(Uuid::from_u128(tenant.parse().unwrap()));
        let role: Role = serde_json::from_value(role.into()).unwrap();
        let actor = Actor::ApiKey(ApiKeyId::from_uuid(Uuid::nil()));
        Ok(Some(mint.principal(tenant, actor, role)))
    }
}

/// Takes webhooks whose `x-signature` is their path and query and their body.
#[derive(Debug)]
struct Carrier;

impl TelephonyProvider for Carrier {
    fn name(&self) -> ProviderName {
        ProviderName::new("twilio")
    }
    fn numbers(&self) -> Option<&dyn NumberProvider> {
        None
    }
    fn calls(&self) -> Option<&dyn CallProvider> {
        None
    }
    fn webhook(&self) -> Option<&dyn InboundWebhook> {
        Some(self)
    }
    fn media(&self) -> Option<&dyn MediaCodec> {
        None
    }
    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::AnswerCalls]
    }
}

impl InboundWebhook for Carrier {
    fn receive(&self, _: WebhookKind, request: &WebhookRequest<'_>) -> Result<TelephonyEvent, WebhookError> {
        let body = std::str::from_utf8(request.body).unwrap();
        let expected = format!("{} {} {body}", request.method, request.path_and_query);
        match request.headers.get("x-signature") {
            Some(signature) if signature.as_bytes() == expected.as_bytes() => {
                let call = IncomingCall::new(ProviderCallId::new("CA1"), "+12125550100", "not a number");
                Ok(TelephonyEvent::Incoming(call))
            }
            _ => Err(WebhookError::Forged("the path or the body is another")),
        }
    }

    fn answer(&self, _: &CallPlan) -> WebhookAnswer {
        WebhookAnswer {
            content_type: "text/xml",
            body: "<Response/>".to_owned(),
        }
    }
}

/// The routes' state over `store`.
pub(super) fn api(store: Arc<KeysOnly>) -> ApiState {
    let key = auth::SecretKey::new([7; 32]).unwrap();
    let app = VoiceSaas::builder(store, key, "http://127.0.0.1:8080".parse().unwrap())
        .with_authenticator(HeaderLogin)
        .with_telephony(Carrier)
        .build();
    ApiState::new(app)
}

/// What came back.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the status and the problem's code.
    #[track_caller]
    pub(super) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(
            (self.status, body["code"].as_str()),
            (status, Some(code)),
            "{body}"
        );
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"], self.header("x-request-id"));
    }
}

/// Sends `METHOD /path` with these headers and this body.
pub(super) async fn send(
    router: &Router,
    line: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Got {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router
        .clone()
        .oneshot(request.body(body.into()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    Got {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec(),
    }
}

/// The status of an answer to a plain GET.
pub(super) async fn get(router: &Router, path: &str) -> Got {
    send(router, &format!("GET {path}"), &[], Body::empty()).await
}

/// 201, for handlers of tests.
pub(super) const CREATED: StatusCode = StatusCode::CREATED;
