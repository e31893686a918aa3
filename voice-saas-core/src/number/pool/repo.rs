//! The pool's rows. No tenant reaches them: they are read and written across tenants alone.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Lending, PoolNumber, PoolStatus, SharedContact};
use crate::{
    id::{JobId, PoolNumberId, SagaId, TenantId},
    page::{Page, PageRequest},
    phone::{Country, E164},
    provider::telephony::NumberKind,
    store::{Route, StoreError},
};

/// Which numbers of the pool to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PoolFilter {
    /// Only these; `None` = all but the retired.
    pub status: Option<PoolStatus>,
}

/// Which number a tenant wants from the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores read all of it")]
pub struct Wish {
    /// Of this carrier.
    pub provider: String,
    /// Of this country.
    pub country: Country,
    /// Of this kind.
    pub kind: NumberKind,
    /// Beginning so: a plus and digits, perhaps all of a number's.
    pub prefix: String,
}

/// The pool. Its look-ups go across tenants because its numbers are the operator's.
#[async_trait]
pub trait NumberPoolRepo: Send {
    /// Writes a fresh number.
    ///
    /// # Errors
    /// `Conflict` when the pool has it already, other than retired.
    async fn add(&mut self, number: &PoolNumber) -> Result<(), StoreError>;
    /// The number.
    async fn find(&mut self, id: PoolNumberId) -> Result<PoolNumber, StoreError>;
    /// Writes the number back; its version must be the one that was read, and is one more afterwards.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when somebody wrote it in between.
    async fn update(&mut self, number: &mut PoolNumber) -> Result<(), StoreError>;
    /// Newest first.
    async fn list(&mut self, filter: PoolFilter, page: PageRequest) -> Result<Page<PoolNumber>, StoreError>;
    /// The numbers that this job set out to buy, oldest first.
    async fn of_fill(&mut self, job: JobId) -> Result<Vec<PoolNumber>, StoreError>;
    /// Of the free numbers that are not shared and fit, lends the one that is unused for longest. Of many who ask at
    /// once, each gets another.
    async fn lend(&mut self, wish: &Wish, to: Lending) -> Result<Option<PoolNumber>, StoreError>;
    /// The number that is lent to the tenant by this work.
    async fn lent_by(&mut self, tenant: TenantId, saga: SagaId) -> Result<Option<PoolNumber>, StoreError>;
    /// Those of these numbers that are in the pool at the carrier, without those that were retired before
    /// `retired_since`.
    async fn numbers(
        &mut self,
        provider: &str,
        numbers: &[E164],
        retired_since: Timestamp,
    ) -> Result<Vec<PoolNumber>, StoreError>;
    /// Frees the numbers whose quarantine is over by now. How many.
    async fn end_quarantines(&mut self, now: Timestamp) -> Result<u64, StoreError>;
    /// Free and quarantined numbers of the carrier that are held since before `held_before` and were not seen by the
    /// run of reconciliation, in the order of their ids, after this one.
    async fn unseen(
        &mut self,
        run: JobId,
        provider: &str,
        held_before: Timestamp,
        after: Option<PoolNumberId>,
        limit: u16,
    ) -> Result<Vec<PoolNumber>, StoreError>;
    /// Remembers who contacted somebody last from a shared number; `false`, and nothing written, when the number is not
    /// a shared one of the pool. What happened before what is known changes nothing.
    async fn record_contact(&mut self, contact: &SharedContact) -> Result<bool, StoreError>;
    /// Who contacted this peer last from this shared number, not before `since`: the tenant, the number as if it were
    /// its own, and the agent, unless it was deleted.
    async fn shared_route(
        &mut self,
        number: &E164,
        peer: &E164,
        since: Timestamp,
    ) -> Result<Option<Route>, StoreError>;
    /// Forgets contacts from before this time. How many.
    async fn forget_contacts(&mut self, before: Timestamp) -> Result<u64, StoreError>;
}
