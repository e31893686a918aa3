//! An AI agent: what it says and how, in versions.

mod object;
mod repo;
mod service;

use jiff::Timestamp;

use crate::provider::voice_agent::{AgentSpec, ProviderAgentId};

pub use repo::AgentRepo;
pub use service::{AgentChange, AgentError, AgentWithNumber, Agents};

pub(crate) use object::{DeleteAgentObject, EnsureAgentObject, enqueue_ensure};

/// An agent in its present version. Each edit makes a new version; a call keeps the one that it began with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agent {
    /// What it says and how, under its id.
    pub spec: AgentSpec,
    /// The version, from 1.
    pub version: u32,
    /// Whether it answers.
    pub active: bool,
    /// Its manner of speaking, in the tenant's words.
    pub tone: Option<String>,
    /// The name of its platform.
    pub provider: String,
    /// Its object at the platform, when it has one of its own.
    pub provider_agent: Option<ProviderAgentId>,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when in this version.
    pub updated_at: Timestamp,
}

impl Agent {
    /// A first version, active.
    pub fn new(spec: AgentSpec, provider: impl Into<String>, created_at: Timestamp) -> Self {
        Self {
            spec,
            version: 1,
            active: true,
            tone: None,
            provider: provider.into(),
            provider_agent: None,
            created_at,
            updated_at: created_at,
        }
    }
}
