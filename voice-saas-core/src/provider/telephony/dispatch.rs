//! Agents sent into rooms, at a provider whose calls happen in rooms.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Removal, opaque_ids};
use crate::provider::ProviderError;

opaque_ids! {
    /// A provider's id of a dispatch, such as `LiveKit`'s `AD_…`.
    ProviderDispatchId;
}

/// An agent to be sent into a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DispatchOrder {
    /// The name under which its workers have registered. Never empty: workers without a name go into every room.
    pub agent_name: String,
    /// The room; made when it is not there.
    pub room: String,
    /// What its job is told, as the worker wants it. Whoever holds the provider's credentials can read it.
    pub metadata: String,
}

impl DispatchOrder {
    /// Sends `agent_name` into `room`.
    pub fn new(agent_name: impl Into<String>, room: impl Into<String>, metadata: impl Into<String>) -> Self {
        Self {
            agent_name: agent_name.into(),
            room: room.into(),
            metadata: metadata.into(),
        }
    }
}

/// How far the work of a dispatched agent has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DispatchJobStatus {
    /// No worker has taken it yet.
    Pending,
    /// An agent is in the room.
    Running,
    /// The agent has done its work.
    Succeeded,
    /// No worker took it, or the agent broke off.
    Failed,
    /// A word that this library does not know.
    Unknown,
}

/// One agent's work in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DispatchJob {
    /// The provider's id.
    pub id: String,
    /// How far it has come.
    pub status: DispatchJobStatus,
    /// Why it failed, for operators.
    pub error: Option<String>,
}

impl DispatchJob {
    /// A job.
    pub fn new(id: impl Into<String>, status: DispatchJobStatus, error: Option<String>) -> Self {
        Self {
            id: id.into(),
            status,
            error,
        }
    }
}

/// A dispatch as its provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderDispatch {
    /// The provider's id.
    pub id: ProviderDispatchId,
    /// The agent.
    pub agent_name: String,
    /// The room.
    pub room: String,
    /// What the job was told.
    pub metadata: String,
    /// What came of it; empty until a worker is asked.
    pub jobs: Vec<DispatchJob>,
}

impl ProviderDispatch {
    /// A dispatch of which nothing has come yet.
    pub fn new(id: ProviderDispatchId, order: DispatchOrder) -> Self {
        Self {
            id,
            agent_name: order.agent_name,
            room: order.room,
            metadata: order.metadata,
            jobs: Vec::new(),
        }
    }

    /// What came of it.
    #[must_use]
    pub fn with_jobs(mut self, jobs: Vec<DispatchJob>) -> Self {
        self.jobs = jobs;
        self
    }
}

/// Agents sent into rooms.
#[async_trait]
pub trait DispatchProvider: fmt::Debug + Send + Sync + 'static {
    /// Sends an agent into a room. Succeeds even when no worker runs: [`list`](Self::list) shows what came of it.
    ///
    /// Sent twice, two agents come. After a failure that asks to reconcile, look at the list first.
    async fn dispatch(&self, order: &DispatchOrder) -> Result<ProviderDispatch, ProviderError>;

    /// The dispatches of a room. A room that is not there has none.
    async fn list(&self, room: &str) -> Result<Vec<ProviderDispatch>, ProviderError>;

    /// Calls an agent back.
    async fn delete(&self, room: &str, id: &ProviderDispatchId) -> Result<Removal, ProviderError>;
}
