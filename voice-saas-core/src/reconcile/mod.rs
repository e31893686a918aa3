//! Reconciliation: what exists at providers against what the store says.
//!
//! A run lists each provider page by page and looks each page up in the store; what it finds is a [`Finding`]. Nothing
//! is held in memory but one page, and a run that was cut off goes on at the page where it stopped. Each kind of
//! resource is one file here, an `Inventory`.

pub(crate) mod accounts;
mod action;
mod agents;
mod calls;
mod inventory;
mod numbers;
mod pool;
mod repo;
mod run;
mod service;
mod subaccounts;
mod trunks;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    id::{FindingId, TenantId},
    money::Money,
};

pub use repo::{FindingFilter, KnownAgent, KnownSaga, KnownTrunk, LiveCall, ReconciliationRepo};
pub use service::{Applied, Reconciliation, ReconciliationError, RunRequest};

pub(crate) use action::ApplyFinding;
pub(crate) use inventory::LookError;
pub(crate) use numbers::leave_by_hand;
pub(crate) use run::{RunReconciliation, schedule};

/// Kinds of resources that are reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResourceKind {
    /// Tenants' own accounts at carriers.
    Subaccount,
    /// Phone numbers at carriers.
    Number,
    /// SIP trunks.
    Trunk,
    /// Agents at voice-agent platforms.
    Agent,
    /// Calls that the store takes for live.
    Call,
}

/// How provider and store disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is no fifth way to disagree")]
pub enum Classification {
    /// It bears our tag and no row holds it: it may be paid for in vain.
    Orphan,
    /// Our row says that it is there, and the provider does not have it.
    Missing,
    /// Both have it, and it is not set up as we left it.
    Drifted,
    /// It bears no tag of ours and no row holds it: somebody else's, and never touched unless adopted.
    Foreign,
}

/// What would settle a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "each has a route")]
pub enum Action {
    /// Give it to a tenant.
    Adopt,
    /// Give it back at the provider.
    Release,
    /// Set it up again, or stop pretending that it is there.
    Repair,
}

/// Whether a finding is still true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
pub enum FindingState {
    /// As far as we know.
    Open,
    /// No longer.
    Resolved,
}

/// How a finding was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resolution {
    /// Given to a tenant.
    Adopted,
    /// Given back.
    Released,
    /// Set up again, or its row put right.
    Repaired,
    /// A later look did not see it any more.
    Gone,
}

/// What a run saw.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observation {
    /// Where.
    pub provider: String,
    /// Of what kind.
    pub kind: ResourceKind,
    /// The provider's id of it.
    pub provider_id: String,
    /// How provider and store disagree.
    pub classification: Classification,
    /// What people call it: the number, the agent's name.
    pub subject: String,
    /// What is wrong, for operators.
    pub detail: String,
    /// Whose it is, if that is known.
    pub tenant: Option<TenantId>,
    /// What would settle it.
    pub proposal: Action,
    /// Since when it is held at the provider, or in our books.
    pub held_since: Option<Timestamp>,
    /// What it costs a month, when that is known.
    pub monthly_cost: Option<Money>,
}

impl Observation {
    /// Something of which nothing else is known.
    pub fn new(
        provider: impl Into<String>,
        kind: ResourceKind,
        provider_id: impl Into<String>,
        classification: Classification,
        subject: impl Into<String>,
    ) -> Self {
        Self {
            provider: provider.into(),
            kind,
            provider_id: provider_id.into(),
            classification,
            subject: subject.into(),
            detail: String::new(),
            tenant: None,
            proposal: match classification {
                Classification::Orphan => Action::Release,
                Classification::Missing | Classification::Drifted => Action::Repair,
                Classification::Foreign => Action::Adopt,
            },
            held_since: None,
            monthly_cost: None,
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Whose it is.
    #[must_use]
    pub fn of_tenant(mut self, tenant: Option<TenantId>) -> Self {
        self.tenant = tenant;
        self
    }

    /// Since when it is held, and what it costs a month.
    #[must_use]
    pub fn with_terms(mut self, held_since: Option<Timestamp>, monthly_cost: Option<Money>) -> Self {
        self.held_since = held_since;
        self.monthly_cost = monthly_cost;
        self
    }
}

/// A disagreement between a provider and the store. The same one is one finding, however often it is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Its id.
    pub id: FindingId,
    /// What was seen last.
    pub seen: Observation,
    /// Whether it is still true.
    pub state: FindingState,
    /// How it was settled.
    pub resolution: Option<Resolution>,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When it was last seen.
    pub seen_at: Timestamp,
    /// When it was settled.
    pub resolved_at: Option<Timestamp>,
}

impl Finding {
    /// An open finding, seen for the first time.
    pub fn new(id: FindingId, seen: Observation, at: Timestamp) -> Self {
        Self {
            id,
            seen,
            state: FindingState::Open,
            resolution: None,
            created_at: at,
            seen_at: at,
            resolved_at: None,
        }
    }
}
