//! The ledger: what every call cost, append-only.

mod rate;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    id::{CallId, EntryId},
    money::Money,
    store::StoreError,
};

pub use rate::{Rate, RateError, RateTable};

/// One cost of one call. Keyed by `(call, kind, rating version)`: writing it again changes nothing, and a better
/// figure is a new entry with a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct LedgerEntry {
    /// Its id.
    pub id: EntryId,
    /// The call.
    pub call: CallId,
    /// What for, such as `telephony_inbound` or `agent`.
    pub kind: String,
    /// Who charges it.
    pub provider: String,
    /// How much of it.
    pub quantity: i64,
    /// Of what, such as `minute`.
    pub unit: String,
    /// The cost; negative for a correction downwards.
    pub amount: Money,
    /// By which rates it was reckoned.
    pub rating_version: String,
    /// When it was written.
    pub at: Timestamp,
}

impl LedgerEntry {
    /// A cost of `quantity` times `rate`.
    pub fn rated(
        id: EntryId,
        call: CallId,
        rate: &Rate,
        quantity: i64,
        version: &str,
        at: Timestamp,
    ) -> Self {
        Self {
            id,
            call,
            kind: rate.kind.clone(),
            provider: rate.provider.clone(),
            quantity,
            unit: rate.unit.clone(),
            amount: rate.amount.times(quantity),
            rating_version: version.to_owned(),
            at,
        }
    }
}

/// A tenant's ledger.
#[async_trait]
pub trait LedgerRepo: Send {
    /// Writes an entry; `false` when its key is there already.
    async fn add(&mut self, entry: &LedgerEntry) -> Result<bool, StoreError>;
    /// The entries of a call, oldest first.
    async fn of_call(&mut self, call: CallId) -> Result<Vec<LedgerEntry>, StoreError>;
}
