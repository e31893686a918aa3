//! Rows behind reconciliation: findings, and look-ups across tenants, a page of them at a time.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Classification, Finding, FindingState, Resolution, ResourceKind};
use crate::{
    id::{AgentId, CallId, FindingId, JobId, NumberId, SagaId, SubaccountId, TenantId, TrunkId},
    number::PhoneNumber,
    page::{Page, PageRequest},
    phone::E164,
    provider::{
        telephony::{ProviderCallId, ProviderSubaccountId},
        voice_agent::ProviderAgentId,
    },
    store::StoreError,
    subaccount::Subaccount,
    trunk::TrunkStatus,
};

/// Which findings to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FindingFilter {
    /// Only these.
    pub state: Option<FindingState>,
    /// Only those at this provider.
    pub provider: Option<String>,
    /// Only these.
    pub kind: Option<ResourceKind>,
    /// Only these.
    pub classification: Option<Classification>,
}

/// An agent's row as far as its object at the platform goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct KnownAgent {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: AgentId,
    /// The platform of its present version.
    pub provider: String,
    /// Its object, when it has one of its own.
    pub object: Option<ProviderAgentId>,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// A trunk's row as far as its providers go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct KnownTrunk {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: TrunkId,
    /// Its name at its providers.
    pub tag: String,
    /// Where it stands.
    pub status: TrunkStatus,
    /// Since when.
    pub created_at: Timestamp,
    /// The number whose calls it carries.
    pub number: E164,
    /// Whether that number is in service.
    pub takes_calls: bool,
}

/// Work that may have bought something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct KnownSaga {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: SagaId,
    /// Of what kind, such as `number.provision`.
    pub kind: String,
    /// Whether it still goes forward or back, so that what it buys is about to be held or given back.
    pub under_way: bool,
}

/// A call that has not ended as far as the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct LiveCall {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub id: CallId,
    /// The carrier's id.
    pub provider_call: ProviderCallId,
    /// The tenant's own account at the carrier that its number is in.
    pub account: Option<ProviderSubaccountId>,
    /// When it began.
    pub started_at: Timestamp,
}

/// Findings, and what a run looks up. It looks across tenants because a provider's account is shared by all of them.
#[async_trait]
pub trait ReconciliationRepo: Send {
    /// Writes a finding, or what was seen anew of the one with the same provider, kind, id at the provider and
    /// classification: that keeps its id and its beginning, and is open again.
    async fn report(&mut self, finding: &Finding) -> Result<(), StoreError>;
    /// The finding.
    async fn finding(&mut self, id: FindingId) -> Result<Finding, StoreError>;
    /// Newest first.
    async fn findings(
        &mut self,
        filter: &FindingFilter,
        page: PageRequest,
    ) -> Result<Page<Finding>, StoreError>;
    /// Settles a finding; `false` when it was settled before.
    async fn resolve(
        &mut self,
        id: FindingId,
        resolution: Resolution,
        at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Settles as gone what is open at the provider and was last seen before this time. How many.
    async fn resolve_unseen(
        &mut self,
        provider: &str,
        kind: ResourceKind,
        seen_before: Timestamp,
        at: Timestamp,
    ) -> Result<u64, StoreError>;
    /// Remembers that this run saw these ids at the provider; twice is no error.
    async fn mark_seen(
        &mut self,
        run: JobId,
        provider: &str,
        kind: ResourceKind,
        ids: &[String],
    ) -> Result<(), StoreError>;
    /// Forgets what this run saw.
    async fn forget_seen(&mut self, run: JobId) -> Result<(), StoreError>;
    /// The rows of these numbers at the provider, without those that were released before `released_since`.
    async fn numbers(
        &mut self,
        provider: &str,
        numbers: &[E164],
        released_since: Timestamp,
    ) -> Result<Vec<(TenantId, PhoneNumber)>, StoreError>;
    /// Active numbers of the provider that are held since before `held_before` and were not seen by the run, in the
    /// order of their ids, after this one.
    async fn unseen_numbers(
        &mut self,
        run: JobId,
        provider: &str,
        held_before: Timestamp,
        after: Option<NumberId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, PhoneNumber)>, StoreError>;
    /// The rows of these agents, the deleted too.
    async fn agents(&mut self, ids: &[AgentId]) -> Result<Vec<KnownAgent>, StoreError>;
    /// Agents of the platform that have an object which was not seen by the run, changed last before `changed_before`,
    /// in the order of their ids, after this one.
    async fn unseen_agents(
        &mut self,
        run: JobId,
        provider: &str,
        changed_before: Timestamp,
        after: Option<AgentId>,
        limit: u16,
    ) -> Result<Vec<KnownAgent>, StoreError>;
    /// The rows of these trunks, those that are over too.
    async fn trunks(&mut self, ids: &[TrunkId]) -> Result<Vec<KnownTrunk>, StoreError>;
    /// Active trunks with a side at the provider that were made before `made_before` and not seen by the run, in the
    /// order of their ids, after this one.
    async fn unseen_trunks(
        &mut self,
        run: JobId,
        provider: &str,
        made_before: Timestamp,
        after: Option<TrunkId>,
        limit: u16,
    ) -> Result<Vec<KnownTrunk>, StoreError>;
    /// Calls at the carrier that began before this time and have not ended, in the order of their ids, after this one.
    async fn live_calls(
        &mut self,
        provider: &str,
        started_before: Timestamp,
        after: Option<CallId>,
        limit: u16,
    ) -> Result<Vec<LiveCall>, StoreError>;
    /// Open accounts of tenants at the carrier, in the order of their ids, after this one.
    async fn subaccounts(
        &mut self,
        provider: &str,
        after: Option<SubaccountId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, Subaccount)>, StoreError>;
    /// The rows of these accounts at the carrier, and those of accounts that are being opened for these tenants.
    async fn known_subaccounts(
        &mut self,
        provider: &str,
        ids: &[ProviderSubaccountId],
        tenants: &[TenantId],
    ) -> Result<Vec<(TenantId, Subaccount)>, StoreError>;
    /// Open accounts of tenants at the carrier that were made before `made_before` and not seen by the run, in the
    /// order of their ids, after this one.
    async fn unseen_subaccounts(
        &mut self,
        run: JobId,
        provider: &str,
        made_before: Timestamp,
        after: Option<SubaccountId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, Subaccount)>, StoreError>;
    /// The sagas of these, which bear tags at providers, that are in our books.
    async fn sagas(&mut self, ids: &[SagaId]) -> Result<Vec<KnownSaga>, StoreError>;
}
