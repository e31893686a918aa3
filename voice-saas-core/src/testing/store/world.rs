//! What cases begin with: tenants and their rows.

use std::fmt;

use jiff::{Timestamp, ToSpan};
use uuid::Uuid;

use crate::{
    agent::Agent,
    auth::{CredentialHash, PasswordHash, User},
    call::{Call, CallEventKind},
    clock::IdSource,
    id::{AgentId, CallId, NumberId, SagaId, TenantId, UserId},
    number::{NumberStatus, PhoneNumber},
    page::{Page, PageRequest},
    phone::{Country, E164},
    provider::{telephony::ProviderCallId, voice_agent::AgentSpec},
    scope::TenantScope,
    store::{Store, StoreError, StoreErrorKind, SystemTx, TenantTx},
    tenant::{Platform, Role, Tenant},
    testing::{CountingIds, fixtures, system_scope, tenant_scope},
};

/// A time, this many seconds into the story.
pub(super) fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-11-21T09:00:00Z".parse().expect("a time");
    start + seconds.seconds()
}

/// What a credential might hash to.
pub(super) fn hash(byte: u8) -> CredentialHash {
    CredentialHash::from_bytes([byte; 32])
}

/// The number that ends in these four digits.
pub(super) fn e164(ending: u16) -> E164 {
    format!("+1212555{ending:04}").parse().expect("E.164")
}

/// Unwraps what must work, with the whole chain of causes when it did not.
pub(super) trait Must<T> {
    fn must(self) -> T;
}

impl<T> Must<T> for Result<T, StoreError> {
    #[track_caller]
    fn must(self) -> T {
        self.unwrap_or_else(|error| {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            panic!("{text}")
        })
    }
}

/// The kind of what must fail.
#[track_caller]
pub(super) fn refused<T: fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    result.expect_err("a refusal").kind()
}

/// Walks all pages of two rows. `$list` asks for a page.
macro_rules! walk {
    ($page:ident => $list:expr) => {{
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let $page = crate::page::PageRequest::new(2, after).expect("two rows are a page");
            let got = $list;
            $crate::testing::store::world::assert_page(&got, $page);
            rows.extend(got.data);
            after = got.next;
            if after.is_none() {
                break rows;
            }
        }
    }};
}
pub(super) use walk;

/// A page is never longer than was asked, and only the last is shorter.
#[track_caller]
pub(super) fn assert_page<T>(page: &Page<T>, request: PageRequest) {
    let limit = usize::from(request.limit());
    assert!(page.data.len() <= limit && (page.next.is_none() || page.data.len() == limit));
}

/// An empty store that becomes a story.
#[derive(Debug)]
pub(super) struct World<'a> {
    store: &'a dyn Store,
    ids: CountingIds,
}

impl<'a> World<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self {
            store,
            ids: CountingIds::default(),
        }
    }

    pub(super) fn uuid(&self) -> Uuid {
        self.ids.uuid()
    }

    pub(super) fn ids(&self) -> &dyn IdSource {
        &self.ids
    }

    pub(super) async fn begin(&self, scope: &TenantScope) -> Box<dyn TenantTx> {
        self.store.begin(scope).await.must()
    }

    pub(super) async fn system(&self) -> Box<dyn SystemTx> {
        self.store.begin_system(&system_scope()).await.must()
    }

    pub(super) fn new_user(&self, email: &str) -> User {
        let hash = PasswordHash::from_phc("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA");
        User::new(
            UserId::generate(&self.ids),
            email,
            Some("Ada".to_owned()),
            hash,
            at(0),
        )
    }

    pub(super) fn new_tenant(&self, name: &str) -> Tenant {
        Tenant::new(TenantId::generate(&self.ids), name, Platform::Web, at(0))
    }

    /// A tenant with one owner.
    pub(super) async fn tenant(&self, name: &str) -> TenantScope {
        let tenant = self.new_tenant(name);
        let user = self.new_user(&format!("owner@{name}.example"));
        let mut tx = self.system().await;
        tx.accounts()
            .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
            .await
            .must();
        tx.commit().await.must();
        tenant_scope(tenant.id)
    }

    /// A number that nobody has written down yet.
    pub(super) fn new_number(&self, ending: u16) -> PhoneNumber {
        let (id, saga) = (NumberId::generate(&self.ids), SagaId::generate(&self.ids));
        let mut number = PhoneNumber::pending(id, e164(ending), "twilio", Country::US, saga, at(0));
        number.status = NumberStatus::Active;
        number
    }

    /// A tenant's number.
    pub(super) async fn number(&self, scope: &TenantScope, ending: u16) -> PhoneNumber {
        let number = self.new_number(ending);
        let mut tx = self.begin(scope).await;
        tx.numbers().add(&number).await.must();
        tx.commit().await.must();
        number
    }

    /// An agent that nobody has written down yet.
    pub(super) fn new_agent(&self, name: &str) -> Agent {
        let spec = AgentSpec::new(AgentId::generate(&self.ids), name, "You answer the phone.");
        Agent::new(spec, "elevenlabs", at(0))
    }

    /// A tenant's agent.
    pub(super) async fn agent(&self, scope: &TenantScope, name: &str) -> Agent {
        let agent = self.new_agent(name);
        let mut tx = self.begin(scope).await;
        tx.agents().add(&agent).await.must();
        tx.commit().await.must();
        agent
    }

    /// A call that nobody has written down yet.
    pub(super) fn new_call(&self, provider_call: &str, started_at: Timestamp) -> Call {
        let id = CallId::generate(&self.ids);
        Call::inbound(
            id,
            "twilio",
            ProviderCallId::new(provider_call),
            "+15550100",
            "+12125550142",
            started_at,
        )
    }

    /// A tenant's call.
    pub(super) async fn call(&self, scope: &TenantScope, provider_call: &str) -> Call {
        let call = self.new_call(provider_call, at(0));
        let mut tx = self.begin(scope).await;
        assert!(tx.calls().add(&call, &incoming()).await.must());
        tx.commit().await.must();
        call
    }
}

/// A call's first event.
pub(super) fn incoming() -> CallEventKind {
    CallEventKind::Incoming {
        decision: serde_json::json!({ "outcome": "answer" }),
    }
}
