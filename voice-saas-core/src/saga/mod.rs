//! Work in several steps that undoes itself: each step is written down before it acts.

mod repo;
mod runner;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::SagaId;

pub use repo::SagaRepo;
pub use runner::{Saga, SagaStep, StepContext, StepError};

pub(crate) use runner::{SagaJob, begin, begin_as, resume};

/// Where a saga stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the runner handles each")]
pub enum SagaStatus {
    /// Going forward.
    Running,
    /// Going back.
    Undoing,
    /// All steps done.
    Done,
    /// All steps undone.
    Undone,
    /// It can go neither forward nor back: an operator must look.
    Stuck,
}

/// A saga's row.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SagaRecord {
    /// Its id; every resource that it buys carries it at the provider.
    pub id: SagaId,
    /// Which saga.
    pub kind: String,
    /// Where it stands.
    pub status: SagaStatus,
    /// The step that is next or under way, from 0.
    pub step: u16,
    /// How often the step was begun. More than once means that it may have acted already.
    pub attempts: u16,
    /// What the steps know so far.
    pub state: Value,
    /// Why it turned back or is stuck.
    pub error: Option<Value>,
    /// Grows with every write; a runner that lost its lease writes in vain.
    pub version: i64,
    /// Since when.
    pub created_at: Timestamp,
    /// Last written.
    pub updated_at: Timestamp,
}

impl SagaRecord {
    /// A saga that nobody has begun.
    pub fn new(id: SagaId, kind: impl Into<String>, state: Value, now: Timestamp) -> Self {
        Self {
            id,
            kind: kind.into(),
            status: SagaStatus::Running,
            step: 0,
            attempts: 0,
            state,
            error: None,
            version: 0,
            created_at: now,
            updated_at: now,
        }
    }
}
