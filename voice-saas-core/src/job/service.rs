//! Running jobs: at once within a request, or by workers.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Job, JobContext, JobError, JobHandler, JobState, Retry};
use crate::{
    VoiceSaas,
    agent::{DeleteAgentObject, EnsureAgentObject},
    call::{deadline::CutCall, settle::SettleCall, sweep},
    event::dispatch,
    id::JobId,
    mail::SendMail,
    number::{
        ArrivedNumbers, FillPool, FollowPort, ImportNumber, ProvisionMissing, ProvisionNumber, ReleaseNumber,
        RepointWebhooks, RetireNumber,
    },
    page::{Page, PageRequest},
    reconcile::{self, ApplyFinding, RunReconciliation},
    saga::SagaJob,
    scope::{Actor, SystemScope, TenantScope},
    store::StoreError,
    tenant::OffBoardTenant,
    trunk::{AlignTrunk, DeleteTrunk, SetUpTrunk},
};

/// With less, a busy machine would take jobs away from those that do them.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// Jobs that one process runs at once.
const AT_ONCE: u16 = 16;
/// The longest time between two looks for due jobs.
const POLL: Duration = Duration::from_secs(5);
/// How often leases, lost calls and old rows are looked after at least.
const HOUSEKEEPING: Duration = Duration::from_secs(30);
/// How long finished jobs are kept.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// How long a request may be repeated under the same idempotency key.
const REPEATABLE: Duration = Duration::from_hours(24);

/// What came of running a job at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ran {
    /// It is done.
    Finished,
    /// It is not done, and will be tried again by a worker.
    Later,
    /// It was given up.
    GivenUp,
}

/// Durable jobs: see [`VoiceSaas::jobs`].
#[derive(Debug)]
pub struct Jobs<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Jobs<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// Runs jobs until `stop`; then lets those that run finish. Any number of processes may do so.
    pub async fn work(&self, stop: CancellationToken) {
        let slots = Arc::new(tokio::sync::Semaphore::new(usize::from(AT_ONCE)));
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING.min(self.lease()));
        housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let free = u16::try_from(slots.available_permits()).unwrap_or(AT_ONCE);
            let claimed = if free == 0 {
                Vec::new()
            } else {
                self.claim(free).await
            };
            let busy = !claimed.is_empty();
            for job in claimed {
                let (app, slots) = (self.app.clone(), Arc::clone(&slots));
                tokio::spawn(async move {
                    let Ok(_slot) = slots.acquire().await else { return };
                    // What came of it is written in the job's row.
                    let _ = app.jobs().run(&job).await;
                    // A slot is free again: perhaps there is more to do.
                    let _ = app.store().wake_jobs().await;
                });
            }
            if let Err(error) = dispatch(self.app).await {
                tracing::warn!("domain events were not delivered: {error}");
            }
            let pause = if busy {
                Duration::from_millis(10)
            } else {
                self.pause().await
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.app.store().job_wakeup() => {}
                () = tokio::time::sleep(pause) => {}
                _ = housekeeping.tick() => self.keep_house().await,
            }
        }
        // All slots back = all jobs ended.
        let _ = slots.acquire_many(u32::from(AT_ONCE)).await;
    }

    /// Jobs by state, newest first: for operators.
    ///
    /// # Errors
    /// `Store`.
    pub async fn list(&self, state: Option<JobState>, page: PageRequest) -> Result<Page<Job>, StoreError> {
        self.app
            .store()
            .begin_system(&SystemScope::mint("an operator looks at jobs"))
            .await?
            .job_queue()
            .jobs(state, page)
            .await
    }

    /// The job: for operators.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn get(&self, id: JobId) -> Result<Job, StoreError> {
        self.begin("an operator looks at a job")
            .await?
            .job_queue()
            .job(id)
            .await
    }

    /// Gives a dead job another set of attempts.
    ///
    /// # Errors
    /// `NotFound` when it is not dead.
    pub async fn revive(&self, id: JobId) -> Result<(), StoreError> {
        let mut tx = self
            .app
            .store()
            .begin_system(&SystemScope::mint("an operator revives a job"))
            .await?;
        tx.job_queue().revive(id, self.app.ambient().now()).await?;
        tx.commit().await?;
        self.app.store().wake_jobs().await
    }

    /// Runs this job at once, again and again until it is done or `patience` is used up; workers go on with it then.
    pub(crate) async fn run_now(&self, id: JobId, patience: Duration) -> Result<Ran, StoreError> {
        let deadline = Instant::now() + patience;
        loop {
            let mut tx = self.begin("run a job at once").await?;
            let claimed = tx
                .job_queue()
                .claim_one(id, self.app.ambient().now() + self.lease())
                .await?;
            tx.commit().await?;
            let wait = match claimed {
                Some(job) => match self.run(&job).await {
                    Ok(()) => return Ok(Ran::Finished),
                    Err(JobError {
                        retry: Retry::Never, ..
                    }) => return Ok(Ran::GivenUp),
                    Err(JobError {
                        retry: Retry::Later, ..
                    }) => Duration::from_millis(500),
                    Err(JobError {
                        retry: Retry::After(wait),
                        ..
                    }) => wait,
                },
                // A worker has it; see how it does.
                None => Duration::from_millis(100),
            };
            let state = self
                .begin("look at a job")
                .await?
                .job_queue()
                .job(id)
                .await?
                .state;
            match state {
                JobState::Finished => return Ok(Ran::Finished),
                JobState::Dead => return Ok(Ran::GivenUp),
                JobState::Ready | JobState::Leased if Instant::now() + wait >= deadline => {
                    return Ok(Ran::Later);
                }
                JobState::Ready | JobState::Leased => tokio::time::sleep(wait).await,
            }
        }
    }

    /// How long a worker may keep a job without a sign of life; it gives three in that time.
    fn lease(&self) -> Duration {
        self.app.settings().job_lease.max(SHORTEST_LEASE)
    }

    async fn begin(&self, reason: &'static str) -> Result<Box<dyn crate::store::SystemTx>, StoreError> {
        self.app.store().begin_system(&SystemScope::mint(reason)).await
    }

    async fn claim(&self, limit: u16) -> Vec<Job> {
        let claimed = async {
            let now = self.app.ambient().now();
            let mut tx = self.begin("claim jobs").await?;
            let jobs = tx.job_queue().claim(now, now + self.lease(), limit).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(jobs)
        };
        claimed.await.unwrap_or_else(|error| {
            tracing::warn!("no jobs were claimed: {error}");
            Vec::new()
        })
    }

    async fn pause(&self) -> Duration {
        let next = async {
            self.begin("look when a job is due")
                .await?
                .job_queue()
                .next_due()
                .await
        };
        match next.await {
            Ok(Some(due)) => {
                let wait =
                    Duration::try_from(due.duration_since(self.app.ambient().now())).unwrap_or_default();
                wait.clamp(Duration::from_millis(10), POLL)
            }
            _ => POLL,
        }
    }

    async fn keep_house(&self) {
        let kept = async {
            let now = self.app.ambient().now();
            let mut tx = self.begin("look after the queue").await?;
            let reaped = tx.job_queue().reap(now).await?;
            tx.job_queue().prune(now - KEPT).await?;
            tx.forget(now - REPEATABLE).await?;
            let pool = tx.number_pool();
            pool.end_quarantines(now).await?;
            pool.forget_contacts(now - self.app.settings().shared_contact_lifetime)
                .await?;
            reconcile::schedule(self.app, &mut *tx).await?;
            tx.commit().await?;
            let swept = sweep::sweep(self.app).await?;
            if reaped > 0 || swept > 0 {
                tracing::warn!(
                    reaped,
                    swept,
                    "took back jobs of dead workers and looked for lost calls"
                );
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = kept.await {
            tracing::warn!("the queue was not looked after: {error}");
        }
    }

    /// Runs a claimed job and writes down what came of it.
    #[tracing::instrument(name = "job", skip_all, fields(job.id = %job.id, kind = job.kind, attempt = job.attempt))]
    async fn run(&self, job: &Job) -> Result<(), JobError> {
        let scope = job
            .tenant
            .map(|tenant| TenantScope::mint(tenant, Actor::Job(job.id)));
        let context = JobContext {
            app: self.app,
            job,
            scope,
        };
        let result = match handler(&job.kind) {
            Some(handler) => tokio::select! {
                result = handler.run(&context) => result,
                () = self.keep_lease(job) => Err(JobError::again("the lease was lost to another worker")),
            },
            None => Err(JobError::give_up("nothing does this kind of job")),
        };
        if let Err(error) = self.write_result(job, &result).await {
            tracing::warn!("the result of a job was not written; it will be run again: {error}");
        }
        result
    }

    /// Gives signs of life; returns when the job was taken away.
    async fn keep_lease(&self, job: &Job) {
        loop {
            tokio::time::sleep(self.lease() / 3).await;
            let kept = async {
                let mut tx = self.begin("keep a job").await?;
                let until = self.app.ambient().now() + self.lease();
                let kept = tx.job_queue().heartbeat(job.id, job.fence, until).await?;
                tx.commit().await?;
                Ok::<_, StoreError>(kept)
            };
            match kept.await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!("a job's sign of life was not written: {error}"),
            }
        }
    }

    async fn write_result(&self, job: &Job, result: &Result<(), JobError>) -> Result<(), StoreError> {
        let now = self.app.ambient().now();
        let mut tx = self.begin("write what came of a job").await?;
        let queue = tx.job_queue();
        let held = match result {
            Ok(()) => queue.finish(job.id, job.fence, now).await?,
            Err(JobError { detail, retry }) if *retry != Retry::Never && job.attempt < job.max_attempts => {
                let wait = match retry {
                    Retry::After(wait) => *wait,
                    _ => backoff(job.attempt, self.app.ambient().jitter()),
                };
                tracing::info!(detail, ?wait, "a job will be tried again");
                queue.retry(job.id, job.fence, now + wait, detail).await?
            }
            Err(JobError { detail, .. }) => {
                tracing::error!(detail, "a job was given up");
                metrics::counter!("voice_saas_jobs_dead_total", "kind" => job.kind.clone()).increment(1);
                queue.bury(job.id, job.fence, detail).await?
            }
        };
        tx.commit().await?;
        if !held {
            tracing::warn!("a job was taken away from this worker before it ended");
        }
        Ok(())
    }
}

/// One, two, four … seconds up to ten minutes, less up to half of it.
fn backoff(attempt: u16, jitter: f64) -> Duration {
    let full = Duration::from_secs(1 << attempt.saturating_sub(1).min(10)).min(Duration::from_mins(10));
    full.mul_f64(1.0 - jitter / 2.0)
}

fn handler(kind: &str) -> Option<Box<dyn JobHandler>> {
    let all: &[fn() -> Box<dyn JobHandler>] = &[
        || Box::new(SettleCall),
        || Box::new(CutCall),
        || Box::new(SagaJob::new(ProvisionNumber)),
        || Box::new(SagaJob::new(ImportNumber)),
        || Box::new(FollowPort),
        || Box::new(SagaJob::new(ArrivedNumbers)),
        || Box::new(ProvisionMissing),
        || Box::new(ReleaseNumber),
        || Box::new(FillPool),
        || Box::new(RetireNumber),
        || Box::new(SagaJob::new(SetUpTrunk)),
        || Box::new(AlignTrunk),
        || Box::new(DeleteTrunk),
        || Box::new(EnsureAgentObject),
        || Box::new(DeleteAgentObject),
        || Box::new(RunReconciliation),
        || Box::new(ApplyFinding),
        || Box::new(RepointWebhooks),
        || Box::new(SendMail),
        || Box::new(SagaJob::new(OffBoardTenant)),
    ];
    all.iter()
        .map(|make| make())
        .find(|handler| handler.kind() == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_minutes_and_jitter_only_shortens_them() {
        assert_eq!(backoff(1, 0.0), Duration::from_secs(1));
        assert_eq!(backoff(4, 0.0), Duration::from_secs(8));
        assert_eq!(backoff(60, 0.0), Duration::from_mins(10));
        assert_eq!(backoff(1, 1.0), Duration::from_millis(500));
    }
}
