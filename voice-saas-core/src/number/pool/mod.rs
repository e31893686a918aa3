//! Numbers that the operator owns: lent to one tenant at a time, or shared by many.
//!
//! A number of the pool is no tenant's. While it is lent, its holder has a row of its own for it and sees it like any
//! other number; afterwards it is kept out of use for a while, so that the callers of one tenant do not reach the next.
//! A shared number is lent to nobody: tenants call from it, and who calls back reaches whoever called last.

mod contact;
mod fill;
mod lend;
mod repo;
mod retire;
mod service;
mod status;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    id::{JobId, PoolNumberId, SagaId, TenantId},
    money::Money,
    phone::{Country, E164},
    provider::telephony::{NumberCapabilities, NumberKind, ProviderNumberId},
};

pub use contact::SharedContact;
pub use fill::FillRequest;
pub use repo::{NumberPoolRepo, PoolFilter, Wish};
pub use retire::Retired;
pub use service::{NumberPool, PoolError};
pub use status::{IllegalPoolChange, PoolStatus};

pub(crate) use contact::shared_route;
pub(crate) use fill::FillPool;
pub(crate) use lend::{is_pooled, lend, lent_to, put_back, take_back};
pub(crate) use retire::RetireNumber;

/// Where a tenant's numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the purchase handles each")]
pub enum NumberPolicy {
    /// Each is bought for its tenant.
    #[default]
    Dedicated,
    /// From the pool; bought when the pool has none that fits.
    Pool,
    /// From the pool alone.
    PoolOnly,
}

/// How many tenants use a number of the pool at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "one or many")]
pub enum Sharing {
    /// It is lent to one, who is called on it.
    #[default]
    Exclusive,
    /// Many call from it.
    Shared,
}

/// To whom a number of the pool is lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "to whom, by which work, since when")]
pub struct Lending {
    /// Who has it.
    pub tenant: TenantId,
    /// The work that took it out of the pool.
    pub saga: SagaId,
    /// Since when.
    pub since: Timestamp,
}

/// A number that the operator owns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolNumber {
    /// Its id: the tag under which it is bought, and by which it is found again at the carrier.
    pub id: PoolNumberId,
    /// The number.
    pub number: E164,
    /// The name of the carrier.
    pub provider: String,
    /// The carrier's id, once it is bought.
    pub provider_id: Option<ProviderNumberId>,
    /// Which kind.
    pub kind: NumberKind,
    /// The country that numbers it.
    pub country: Country,
    /// What it can carry.
    pub capabilities: NumberCapabilities,
    /// How many tenants use it at once.
    pub sharing: Sharing,
    /// Where it stands. Use cases change it with [`turn`](Self::turn).
    pub status: PoolStatus,
    /// To whom it is lent, while it is.
    pub lending: Option<Lending>,
    /// What it costs a month.
    pub monthly_cost: Option<Money>,
    /// The job that bought it.
    pub fill: JobId,
    /// Since when nobody uses it, or when it came; the longest unused number is lent first.
    pub unused_since: Timestamp,
    /// When its quarantine is over, while it is in one.
    pub free_at: Option<Timestamp>,
    /// Grows with every write; who read an older one writes in vain.
    pub version: i64,
    /// Since when it is known here.
    pub created_at: Timestamp,
    /// Since when it is paid for.
    pub provisioned_at: Option<Timestamp>,
    /// Since when it is no longer paid for.
    pub retired_at: Option<Timestamp>,
}

impl PoolNumber {
    /// A number whose purchase begins.
    pub fn buying(
        id: PoolNumberId,
        number: E164,
        provider: impl Into<String>,
        country: Country,
        kind: NumberKind,
        fill: JobId,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            number,
            provider: provider.into(),
            provider_id: None,
            kind,
            country,
            capabilities: NumberCapabilities::default(),
            sharing: Sharing::Exclusive,
            status: PoolStatus::Buying,
            lending: None,
            monthly_cost: None,
            fill,
            unused_since: created_at,
            free_at: None,
            version: 0,
            created_at,
            provisioned_at: None,
            retired_at: None,
        }
    }

    /// Used by so many tenants at once.
    #[must_use]
    pub fn with_sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// The next stop of its life.
    ///
    /// # Errors
    /// `IllegalPoolChange`; the number stays as it is.
    pub fn turn(&mut self, to: PoolStatus) -> Result<(), IllegalPoolChange> {
        self.status = self.status.change(to)?;
        Ok(())
    }
}
