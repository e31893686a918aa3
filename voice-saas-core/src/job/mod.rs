//! Durable jobs: rows enqueued in the transaction of the change that needs them, done at least once.

mod handler;
mod repo;
mod service;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{JobId, TenantId};

pub use handler::{JobContext, JobError, JobHandler};
pub use repo::{JobQueue, JobRepo};
pub use service::Jobs;

pub(crate) use handler::Retry;
pub(crate) use service::Ran;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the queue handles each")]
pub enum JobState {
    /// Due now or later.
    Ready,
    /// A worker has it.
    Leased,
    /// Done.
    Finished,
    /// Given up; an operator may revive it.
    Dead,
}

/// A job to be enqueued.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Which handler does it.
    pub kind: String,
    /// With what.
    pub payload: Value,
    /// Not before.
    pub run_at: Timestamp,
    /// Dead after this many attempts.
    pub max_attempts: u16,
    /// While an unfinished job has this key, another is not enqueued.
    pub unique_key: Option<String>,
}

impl NewJob {
    /// A job that is due at `run_at` and tried up to ten times.
    pub fn new(id: JobId, kind: impl Into<String>, payload: Value, run_at: Timestamp) -> Self {
        Self {
            id,
            kind: kind.into(),
            payload,
            run_at,
            max_attempts: 10,
            unique_key: None,
        }
    }

    /// Dead after this many attempts.
    #[must_use]
    pub fn with_max_attempts(mut self, max_attempts: u16) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// Only one unfinished job has this key.
    #[must_use]
    pub fn with_unique_key(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }
}

/// A job as it lies in the store.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Whose; `None` = the platform's own.
    pub tenant: Option<TenantId>,
    /// Which handler does it.
    pub kind: String,
    /// With what.
    pub payload: Value,
    /// Where it stands.
    pub state: JobState,
    /// Not before.
    pub run_at: Timestamp,
    /// How often it was begun.
    pub attempt: u16,
    /// Dead after this many attempts.
    pub max_attempts: u16,
    /// Grows with every claim; only the latest claim may finish the job.
    pub fence: i64,
    /// Until when its worker may keep it.
    pub lease_until: Option<Timestamp>,
    /// Why the last attempt failed, for operators.
    pub error: Option<String>,
    /// How far it has come, of a job that says so.
    pub progress: Option<Value>,
    /// Since when.
    pub created_at: Timestamp,
}

impl Job {
    /// A job that nobody has begun.
    pub fn ready(new: NewJob, tenant: Option<TenantId>, created_at: Timestamp) -> Self {
        Self {
            id: new.id,
            tenant,
            kind: new.kind,
            payload: new.payload,
            state: JobState::Ready,
            run_at: new.run_at,
            attempt: 0,
            max_attempts: new.max_attempts,
            fence: 0,
            lease_until: None,
            error: None,
            progress: None,
            created_at,
        }
    }
}
