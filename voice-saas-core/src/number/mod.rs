//! A phone number that a tenant holds: `pending → active ⇄ inactive → (quarantined →) released`.

mod import;
mod missing;
mod pool;
mod port;
mod provision;
mod release;
mod repo;
mod repoint;
mod service;
mod status;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    id::{AgentId, NumberId, SagaId},
    money::Money,
    phone::{Country, E164},
    provider::telephony::{NumberCapabilities, ProviderNumberId, ProviderSubaccountId},
};

pub use import::{ImportPolicy, ImportRequest};
pub use missing::{MissingNumbers, MissingRequest};
pub use pool::{
    FillRequest, IllegalPoolChange, Lending, NumberPolicy, NumberPool, NumberPoolRepo, PoolError, PoolFilter,
    PoolNumber, PoolStatus, Retired, SharedContact, Sharing, Wish,
};
pub use port::{Canceled, NewPort, Port, PortError, PortLine, PortRepo, PortStatus, Ports, SealedOrder};
pub use provision::ProvisionRequest;
pub use release::Released;
pub use repo::{NumberFilter, NumberRepo};
pub use service::{NumberError, Numbers, Provisioned};
pub use status::{IllegalChange, NumberStatus};

pub(crate) use import::{ImportNumber, KIND as IMPORT};
pub(crate) use missing::ProvisionMissing;
pub(crate) use pool::{FillPool, RetireNumber, is_pooled, shared_route, take_back};
pub(crate) use port::{ArrivedNumbers, FollowPort, end_for_off_boarding};
pub(crate) use provision::{ProvisionNumber, webhooks};
pub(crate) use release::{ReleaseNumber, give_back};
pub(crate) use repoint::RepointWebhooks;
pub(crate) use service::facet;

/// How a tenant came by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is no other way")]
pub enum Ownership {
    /// Bought by us, and given back to the carrier when it is released.
    Bought,
    /// It was in the carrier's account before, and stays there when it is released.
    Imported,
    /// Lent from the operator's pool, and given back to it when it is released.
    Pool,
}

/// A phone number that a tenant holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PhoneNumber {
    /// Our id.
    pub id: NumberId,
    /// The number.
    pub number: E164,
    /// The name of the carrier.
    pub provider: String,
    /// The tenant's own account at the carrier that it is in; `None` = the operator's.
    pub account: Option<ProviderSubaccountId>,
    /// The carrier's id, once it is bought.
    pub provider_id: Option<ProviderNumberId>,
    /// What people call it.
    pub friendly_name: String,
    /// What it can carry.
    pub capabilities: NumberCapabilities,
    /// Where it stands. Use cases change it with [`turn`](Self::turn).
    pub status: NumberStatus,
    /// How the tenant came by it.
    pub owned: Ownership,
    /// The country that numbers it.
    pub country: Country,
    /// What it costs a month.
    pub monthly_cost: Option<Money>,
    /// The agents that answer it, first choice first.
    pub agents: Vec<AgentId>,
    /// The work that bought or imported it.
    pub saga: Option<SagaId>,
    /// Since when it is known here.
    pub created_at: Timestamp,
    /// Since when it is paid for.
    pub provisioned_at: Option<Timestamp>,
    /// From when on it is to be given back: somebody asked for that, and there is no way back.
    pub release_at: Option<Timestamp>,
    /// Since when it is no longer paid for.
    pub released_at: Option<Timestamp>,
}

impl PhoneNumber {
    /// A number whose purchase begins.
    pub fn pending(
        id: NumberId,
        number: E164,
        provider: impl Into<String>,
        country: Country,
        saga: SagaId,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            friendly_name: number.to_string(),
            number,
            provider: provider.into(),
            account: None,
            provider_id: None,
            capabilities: NumberCapabilities::default(),
            status: NumberStatus::Pending,
            owned: Ownership::Bought,
            country,
            monthly_cost: None,
            agents: Vec::new(),
            saga: Some(saga),
            created_at,
            provisioned_at: None,
            release_at: None,
            released_at: None,
        }
    }

    /// The next stop of its life.
    ///
    /// # Errors
    /// `IllegalChange`; the number stays as it is.
    pub fn turn(&mut self, to: NumberStatus) -> Result<(), IllegalChange> {
        self.status = self.status.change(to)?;
        Ok(())
    }
}
