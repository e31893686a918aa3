//! A phone number that a tenant holds: `pending → active → inactive → released`.

mod provision;
mod repo;
mod service;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    id::{AgentId, NumberId, SagaId},
    money::Money,
    phone::{Country, E164},
    provider::telephony::{NumberCapabilities, ProviderNumberId},
};

pub use provision::ProvisionRequest;
pub use repo::{NumberFilter, NumberRepo};
pub use service::{NumberError, Numbers, Provisioned, Released};

pub(crate) use provision::ProvisionNumber;
pub(crate) use service::ReleaseNumber;

/// Where a number stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NumberStatus {
    /// Chosen; the purchase is under way.
    Pending,
    /// Paid for and answered.
    Active,
    /// Paid for and not answered.
    Inactive,
    /// Given back.
    Released,
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
    /// The carrier's id, once it is bought.
    pub provider_id: Option<ProviderNumberId>,
    /// What people call it.
    pub friendly_name: String,
    /// What it can carry.
    pub capabilities: NumberCapabilities,
    /// Where it stands.
    pub status: NumberStatus,
    /// The country that numbers it.
    pub country: Country,
    /// What it costs a month.
    pub monthly_cost: Option<Money>,
    /// The agents that answer it, first choice first.
    pub agents: Vec<AgentId>,
    /// The work that bought it.
    pub saga: Option<SagaId>,
    /// Since when it is known here.
    pub created_at: Timestamp,
    /// Since when it is paid for.
    pub provisioned_at: Option<Timestamp>,
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
            provider_id: None,
            capabilities: NumberCapabilities::default(),
            status: NumberStatus::Pending,
            country,
            monthly_cost: None,
            agents: Vec::new(),
            saga: Some(saga),
            created_at,
            provisioned_at: None,
            released_at: None,
        }
    }
}
