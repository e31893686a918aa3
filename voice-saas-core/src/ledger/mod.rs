//! The ledger: what every call cost, what its tenant was charged, and what is kept for calls that run. Append-only.

mod rate;
mod service;

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    id::{CallId, EntryId, NumberId},
    money::{Currency, Money},
    page::{Page, PageRequest},
    store::StoreError,
};

pub use rate::{Rate, RateError, RateTable};
pub use service::Ledgers;

/// Which sum an entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "balances have a sum for each")]
pub enum Account {
    /// What a provider charges us.
    Cost,
    /// What we charge the tenant.
    Price,
    /// What is kept of a spend cap while a call runs.
    Reservation,
}

/// What an entry is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "stores write both")]
pub enum Subject {
    /// A call.
    Call(CallId),
    /// Something else, by a name that nothing else has.
    Other(String),
}

impl Subject {
    /// A number's rent for a month such as `2026-11`.
    pub fn number_month(number: NumberId, month: &str) -> Self {
        Self::Other(format!("{number}:{month}"))
    }

    /// The subject of this name.
    pub fn named(name: String) -> Self {
        match name.parse() {
            Ok(call) => Self::Call(call),
            Err(_) => Self::Other(name),
        }
    }

    /// The call, if it is one.
    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::Call(call) => Some(*call),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => call.fmt(f),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// One entry. Keyed by `(subject, kind, rating version)`: writing it again changes nothing, and a better figure is a new
/// entry with a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct LedgerEntry {
    /// Its id.
    pub id: EntryId,
    /// What for.
    pub subject: Subject,
    /// Which sum it belongs to.
    pub account: Account,
    /// What of it, such as `telephony_inbound` or `agent`.
    pub kind: String,
    /// Who charges it.
    pub provider: String,
    /// How much of it.
    pub quantity: i64,
    /// Of what, such as `minute`.
    pub unit: String,
    /// The amount; negative for a correction downwards.
    pub amount: Money,
    /// By which rates it was reckoned.
    pub rating_version: String,
    /// When it was written.
    pub at: Timestamp,
}

impl LedgerEntry {
    /// A provider's charge of `quantity` times `rate`.
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
            subject: Subject::Call(call),
            account: Account::Cost,
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

/// The sums of a tenant's entries in one currency, in millionths of its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Balance {
    /// The currency.
    pub currency: Currency,
    /// What providers charged us.
    pub cost_micros: i64,
    /// What we charged the tenant.
    pub price_micros: i64,
    /// What is kept for calls that run.
    pub reserved_micros: i64,
}

impl Balance {
    /// What is left of the price when the providers are paid; negative when we lose.
    pub fn margin(&self) -> Money {
        Money::from_micros(self.price_micros.saturating_sub(self.cost_micros), self.currency)
    }
}

/// A tenant's ledger.
#[async_trait]
pub trait LedgerRepo: Send {
    /// Writes an entry and adds it to the balances; `false`, and nothing added, when its key is there already.
    ///
    /// # Errors
    /// `NotFound` when it is for a call that is not there.
    async fn add(&mut self, entry: &LedgerEntry) -> Result<bool, StoreError>;
    /// The entries of a call, oldest first.
    async fn of_call(&mut self, call: CallId) -> Result<Vec<LedgerEntry>, StoreError>;
    /// Newest first.
    async fn list(&mut self, page: PageRequest) -> Result<Page<LedgerEntry>, StoreError>;
    /// The sums, one per currency: of everything, or of the entries of a month (UTC) such as `2026-11`. It takes as long
    /// for a million entries as for one.
    async fn balances(&mut self, month: Option<&str>) -> Result<Vec<Balance>, StoreError>;
}
