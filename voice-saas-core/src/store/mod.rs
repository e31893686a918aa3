//! The store: where everything is written down.
//!
//! Tenant data is reached through a [`TenantTx`] alone, which [`Store::begin`] opens from a
//! [`TenantScope`]. What must look across tenants has a named method in [`SystemTx`].

mod error;

use std::{fmt, slice};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    agent::{Agent, AgentRepo},
    auth::{AccountRepo, ApiKeyRepo},
    call::{CallRepo, UnroutedCall},
    entitlement::EntitlementRepo,
    event::{Outbox, OutboxQueue},
    id::{AgentId, CallId, TenantId},
    idempotency::IdempotencyRepo,
    job::{JobQueue, JobRepo},
    ledger::{Balance, LedgerRepo},
    number::{NumberPoolRepo, NumberRepo, PhoneNumber, PortRepo},
    page::{Page, PageRequest},
    phone::E164,
    provider::telephony::{ProviderCallId, ProviderSubaccountId},
    reconcile::ReconciliationRepo,
    saga::SagaRepo,
    scope::{SystemScope, TenantScope},
    subaccount::{Subaccount, SubaccountRepo},
    tenant::{Tenant, TenantRepo},
    trunk::TrunkRepo,
    usage::UsageRepo,
};

pub use error::{StoreError, StoreErrorKind};

/// A database.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Opens a unit of work that sees one tenant's rows and nobody else's.
    async fn begin(&self, scope: &TenantScope) -> Result<Box<dyn TenantTx>, StoreError>;

    /// Opens a unit of work for the cross-tenant look-ups that [`SystemTx`] names.
    async fn begin_system(&self, scope: &SystemScope) -> Result<Box<dyn SystemTx>, StoreError>;

    /// Opens the same for looking alone, where a store has a shorter way for that: each look-up sees what is committed
    /// by then, and what is written through it is refused or lost.
    async fn begin_reading(&self, scope: &SystemScope) -> Result<Box<dyn SystemTx>, StoreError> {
        self.begin_system(scope).await
    }

    /// Resolves when jobs may have become due, at any replica; resolving too often does no harm.
    async fn job_wakeup(&self);

    /// Says that a job was enqueued and committed.
    async fn wake_jobs(&self) -> Result<(), StoreError>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// A unit of work within one tenant. Dropped without [`commit`](Self::commit) = rolled back.
#[async_trait]
pub trait TenantTx: Send {
    /// The tenant's own row and its members.
    fn tenant(&mut self) -> &mut dyn TenantRepo;
    /// What it may use.
    fn entitlements(&mut self) -> &mut dyn EntitlementRepo;
    /// What it used.
    fn usage(&mut self) -> &mut dyn UsageRepo;
    /// Its API keys.
    fn api_keys(&mut self) -> &mut dyn ApiKeyRepo;
    /// Its numbers.
    fn numbers(&mut self) -> &mut dyn NumberRepo;
    /// Its own accounts at carriers.
    fn subaccounts(&mut self) -> &mut dyn SubaccountRepo;
    /// Its ports: numbers that move in.
    fn ports(&mut self) -> &mut dyn PortRepo;
    /// Its SIP trunks.
    fn trunks(&mut self) -> &mut dyn TrunkRepo;
    /// Its agents.
    fn agents(&mut self) -> &mut dyn AgentRepo;
    /// Its calls.
    fn calls(&mut self) -> &mut dyn CallRepo;
    /// Its ledger.
    fn ledger(&mut self) -> &mut dyn LedgerRepo;
    /// Its sagas.
    fn sagas(&mut self) -> &mut dyn SagaRepo;
    /// Its jobs.
    fn jobs(&mut self) -> &mut dyn JobRepo;
    /// Its domain events.
    fn outbox(&mut self) -> &mut dyn Outbox;
    /// Its idempotency keys.
    fn idempotency(&mut self) -> &mut dyn IdempotencyRepo;
    /// Makes it all true.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// A number with all that decides what becomes of its calls.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Route {
    /// Whose number it is.
    pub tenant: Tenant,
    /// The number.
    pub number: PhoneNumber,
    /// The agents that are linked to it, first choice first, in their present versions.
    pub agents: Vec<Agent>,
}

/// A unit of work across tenants. Each method says why it must look across.
#[async_trait]
pub trait SystemTx: Send {
    /// People and their logins: a person is found by address before any tenant is known.
    fn accounts(&mut self) -> &mut dyn AccountRepo;
    /// The job queue: workers take jobs of all tenants.
    fn job_queue(&mut self) -> &mut dyn JobQueue;
    /// The outbox: one dispatcher delivers the events of all tenants.
    fn outbox_queue(&mut self) -> &mut dyn OutboxQueue;
    /// The operator's numbers: they are no tenant's.
    fn number_pool(&mut self) -> &mut dyn NumberPoolRepo;
    /// Findings, and what reconciliation looks up: a provider's account is shared by all tenants.
    fn reconciliation(&mut self) -> &mut dyn ReconciliationRepo;
    /// Whose number is called: a carrier's webhook names no tenant. Released numbers are nobody's.
    async fn route(&mut self, number: &E164) -> Result<Option<Route>, StoreError> {
        Ok(self.routes(slice::from_ref(number)).await?.pop())
    }
    /// Whose numbers are called, when many are at once; in any order, without those that are nobody's.
    async fn routes(&mut self, numbers: &[E164]) -> Result<Vec<Route>, StoreError>;
    /// Whose call it is: a carrier's status callback names no tenant.
    async fn owner_of_call(
        &mut self,
        provider: &str,
        call: &ProviderCallId,
    ) -> Result<Option<(TenantId, CallId)>, StoreError>;
    /// Whose account at a carrier it is: a carrier's webhook names the account before any tenant is known.
    async fn subaccount(
        &mut self,
        provider: &str,
        id: &ProviderSubaccountId,
    ) -> Result<Option<(TenantId, Subaccount)>, StoreError>;
    /// The tenant: an embedder's own authenticator names one.
    async fn tenant(&mut self, id: TenantId) -> Result<Option<Tenant>, StoreError>;
    /// Active agents without a number, of one tenant or of all that take calls, in the order of their ids: an operator
    /// gives each one.
    async fn agents_without_number(
        &mut self,
        tenant: Option<TenantId>,
        after: Option<AgentId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, AgentId)>, StoreError>;
    /// Calls that began before this time and have not ended: their end may have been lost.
    async fn unended_calls(
        &mut self,
        started_before: Timestamp,
        limit: u16,
    ) -> Result<Vec<(TenantId, CallId)>, StoreError>;
    /// The sums of every tenant's ledger, ever or in a month (UTC) such as `2026-11`, in the order of the tenants' ids: an
    /// operator looks at margins. A tenant with several currencies has several; `limit` counts tenants.
    async fn balances_of_tenants(
        &mut self,
        month: Option<&str>,
        after: Option<TenantId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, Balance)>, StoreError>;
    /// Keeps a call that reached nobody; the same call is kept once.
    async fn add_unrouted_call(&mut self, call: &UnroutedCall) -> Result<(), StoreError>;
    /// Calls that reached nobody, newest first.
    async fn unrouted_calls(&mut self, page: PageRequest) -> Result<Page<UnroutedCall>, StoreError>;
    /// Forgets what has served its time, of all tenants: idempotency keys that were taken before `before`, events that
    /// were delivered before it, refresh tokens that have expired by it. How many rows.
    async fn forget(&mut self, before: Timestamp) -> Result<u64, StoreError>;
    /// Makes it all true.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}
