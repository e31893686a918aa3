//! Rows behind the job queue.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::{Job, JobState, NewJob};
use crate::{
    id::JobId,
    page::{Page, PageRequest},
    store::StoreError,
};

/// A tenant's way into the queue.
#[async_trait]
pub trait JobRepo: Send {
    /// Enqueues a job; `false` when an unfinished one has its unique key.
    async fn enqueue(&mut self, job: &NewJob, now: Timestamp) -> Result<bool, StoreError>;
}

/// The workers' and operators' side of the queue.
#[async_trait]
pub trait JobQueue: Send {
    /// Enqueues a job of the platform's own; `false` when an unfinished one has its unique key.
    async fn enqueue_system(&mut self, job: &NewJob, now: Timestamp) -> Result<bool, StoreError>;
    /// Takes up to `limit` due jobs until `lease_until`, oldest first, tenants in turn. Attempt and fence grow by one.
    async fn claim(
        &mut self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u16,
    ) -> Result<Vec<Job>, StoreError>;
    /// Takes this job, due or not; `None` when somebody has it or it is over.
    async fn claim_one(&mut self, id: JobId, lease_until: Timestamp) -> Result<Option<Job>, StoreError>;
    /// Keeps a job for longer; `false` when it was taken away.
    async fn heartbeat(&mut self, id: JobId, fence: i64, lease_until: Timestamp) -> Result<bool, StoreError>;
    /// Writes down how far a job has come, for its next attempt and for operators; `false`, and nothing changed, when it
    /// was taken away.
    async fn save_progress(&mut self, id: JobId, fence: i64, progress: &Value) -> Result<bool, StoreError>;
    /// Done; `false`, and nothing changed, when it was taken away.
    async fn finish(&mut self, id: JobId, fence: i64, now: Timestamp) -> Result<bool, StoreError>;
    /// Again at `run_at`; `false`, and nothing changed, when it was taken away.
    async fn retry(
        &mut self,
        id: JobId,
        fence: i64,
        run_at: Timestamp,
        error: &str,
    ) -> Result<bool, StoreError>;
    /// Given up; `false`, and nothing changed, when it was taken away.
    async fn bury(&mut self, id: JobId, fence: i64, error: &str) -> Result<bool, StoreError>;
    /// Takes jobs back whose lease has ended: ready again, or dead when their attempts are used up. How many.
    async fn reap(&mut self, now: Timestamp) -> Result<u64, StoreError>;
    /// The job.
    async fn job(&mut self, id: JobId) -> Result<Job, StoreError>;
    /// Newest first.
    async fn jobs(&mut self, state: Option<JobState>, page: PageRequest) -> Result<Page<Job>, StoreError>;
    /// Gives a dead job another set of attempts, due at `run_at`. `NotFound` when it is not dead.
    async fn revive(&mut self, id: JobId, run_at: Timestamp) -> Result<(), StoreError>;
    /// When the next job is due, if any is waiting.
    async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError>;
    /// Forgets jobs that were finished before this time. How many.
    async fn prune(&mut self, before: Timestamp) -> Result<u64, StoreError>;
}
