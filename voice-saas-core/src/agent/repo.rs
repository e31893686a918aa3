//! A tenant's agents.

use async_trait::async_trait;

use super::Agent;
use crate::{
    id::AgentId,
    page::{Page, PageRequest},
    provider::voice_agent::ProviderAgentId,
    store::StoreError,
};

/// A tenant's agents.
#[async_trait]
pub trait AgentRepo: Send {
    /// Writes a fresh agent with its first version.
    async fn add(&mut self, agent: &Agent) -> Result<(), StoreError>;
    /// The agent in its present version.
    async fn find(&mut self, id: AgentId) -> Result<Agent, StoreError>;
    /// The agent as it was in this version.
    async fn version(&mut self, id: AgentId, version: u32) -> Result<Agent, StoreError>;
    /// Newest first; deleted ones are left out.
    async fn list(&mut self, page: PageRequest) -> Result<Page<Agent>, StoreError>;
    /// Writes `agent` as its next version. `agent.version` is the version that was edited.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when another edit came first.
    async fn save(&mut self, agent: &Agent) -> Result<Agent, StoreError>;
    /// Remembers the agent's object at the platform; no new version.
    async fn bind(&mut self, id: AgentId, object: Option<&ProviderAgentId>) -> Result<(), StoreError>;
    /// Takes the agent off all its numbers and out of all lists. Calls keep the versions they ran.
    async fn delete(&mut self, id: AgentId) -> Result<(), StoreError>;
}
