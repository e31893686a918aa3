//! What a tenant has used, and what its calls have reserved.

use async_trait::async_trait;

use super::{Reservation, Used, Windows};
use crate::{entitlement::Entitlement, id::CallId, money::Currency, store::StoreError, tenant::TenantStatus};

/// Where a tenant stands, for admission.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Standing {
    /// In its life.
    pub status: TenantStatus,
    /// What it may use.
    pub entitlement: Entitlement,
    /// What it used.
    pub used: Used,
}

/// In which windows, and of which money, use is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers put it together")]
pub struct UsageQuery<'a> {
    /// The windows of the present moment.
    pub windows: &'a Windows,
    /// The present month of the ledger.
    pub invoice_month: &'a str,
    /// The money that plans are in.
    pub currency: Currency,
}

/// What a tenant holds of the things that plans limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Holdings {
    /// Numbers that are its own, and those that it is getting.
    pub numbers: u64,
    /// Agents that were not deleted.
    pub agents: u64,
}

/// What a tenant has used, and what its calls have reserved.
#[async_trait]
pub trait UsageRepo: Send {
    /// Where the tenant stands; nobody else is admitted, and nothing is begun that a plan limits, until the end of this unit
    /// of work. `None` when the tenant has no entitlement.
    async fn standing_for_update(&mut self, query: &UsageQuery<'_>) -> Result<Option<Standing>, StoreError>;
    /// The same, for looking alone.
    async fn standing(&mut self, query: &UsageQuery<'_>) -> Result<Option<Standing>, StoreError>;
    /// What the tenant holds.
    async fn holdings(&mut self) -> Result<Holdings, StoreError>;
    /// Writes the reservation of a call that is admitted and counts the call; `false`, and nothing counted, when the call
    /// has one already.
    ///
    /// # Errors
    /// `NotFound` when there is no such call.
    async fn reserve(&mut self, reservation: &Reservation) -> Result<bool, StoreError>;
    /// The reservation of a call, if it has one.
    async fn reservation(&mut self, call: CallId) -> Result<Option<Reservation>, StoreError>;
    /// Settles a call's reservation: its seconds are counted when it was connected; otherwise it is taken out of the windows
    /// in which it was counted. What it is then; `None`, and nothing counted, when it has none or was settled before.
    async fn settle(
        &mut self,
        call: CallId,
        connected: bool,
        seconds: u32,
    ) -> Result<Option<Reservation>, StoreError>;
}
