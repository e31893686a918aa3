//! The workers' and operators' side of the queue.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::types::{Json, Uuid};
use voice_saas_core::{
    id::JobId,
    job::{Job, JobQueue, JobState, NewJob},
    page::{Cursor, Page, PageRequest},
    store::StoreError,
};

use super::{JobRow, enqueue};
use crate::sql::{
    column::Place,
    dialect,
    error::{changed, not_found},
    page::Keyset,
    query::{all, execute, filtered, optional},
    unit::SystemUnit,
};

macro_rules! columns {
    () => {
        "id, tenant_id, kind, payload, state, run_at, attempt, max_attempts, fence, lease_until, error, progress, created_at"
    };
}

// Every tenant's first job comes before any tenant's second. What a claim costs must not grow with the queue, so that
// the turns are reckoned among the oldest thousand due jobs. When there are more, those may be of few tenants: then
// the first job of every other tenant joins them, found by leaping through the index from tenant to tenant. More are
// looked at than are taken, since other workers may hold the first of them. They are chosen once: a subquery that locks
// gives other rows each time that a plan asks it again, and more are taken than the limit says.
const CLAIM: &str = concat!(
    "WITH RECURSIVE due AS (
        SELECT id, tenant_id, run_at FROM jobs
        WHERE state = 'ready' AND run_at <= $1
        ORDER BY run_at, id LIMIT 1000
    ), tenant (id) AS (
        SELECT (SELECT tenant_id FROM jobs WHERE state = 'ready' AND tenant_id IS NOT NULL ORDER BY tenant_id LIMIT 1)
        WHERE (SELECT count(*) FROM due) = 1000
        UNION ALL
        SELECT (
            SELECT j.tenant_id FROM jobs j
            WHERE j.state = 'ready' AND j.tenant_id > tenant.id
            ORDER BY j.tenant_id LIMIT 1
        )
        FROM tenant WHERE tenant.id IS NOT NULL
    ), first (id) AS (
        SELECT (
            SELECT j.id FROM jobs j
            WHERE j.state = 'ready' AND j.tenant_id = tenant.id AND j.run_at <= $1
            ORDER BY j.run_at, j.id LIMIT 1
        )
        FROM tenant
        UNION ALL
        SELECT (
            SELECT j.id FROM jobs j
            WHERE j.state = 'ready' AND j.tenant_id IS NULL AND j.run_at <= $1
            ORDER BY j.run_at, j.id LIMIT 1
        )
    ), turns (id, run_at, turn) AS (
        SELECT id, run_at, row_number() OVER (PARTITION BY tenant_id ORDER BY run_at, id) FROM due
        UNION
        SELECT j.id, j.run_at, 1 FROM first JOIN jobs j ON j.id = first.id
    ), next (id, run_at, turn) AS (
        SELECT id, run_at, turn FROM turns ORDER BY turn, run_at, id LIMIT 4 * $3
    ), chosen (id) AS MATERIALIZED (
        SELECT j.id FROM jobs j JOIN next ON next.id = j.id
        WHERE j.lease_until IS NULL
        ORDER BY next.turn, next.run_at, next.id LIMIT $3
        /*pg FOR UPDATE OF j SKIP LOCKED */
    )
    UPDATE jobs SET state = 'leased', lease_until = $2, attempt = attempt + 1, fence = fence + 1
    WHERE state = 'ready' AND id IN (SELECT id FROM chosen)
    RETURNING ",
    columns!()
);

const CLAIM_ONE: &str = concat!(
    "UPDATE jobs SET state = 'leased', lease_until = $2, attempt = attempt + 1, fence = fence + 1 ",
    "WHERE id = $1 AND state = 'ready' RETURNING ",
    columns!()
);

const HEARTBEAT: &str = "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND fence = $2 AND state = 'leased'";

const SAVE_PROGRESS: &str = "UPDATE jobs SET progress = $3 WHERE id = $1 AND fence = $2 AND state = 'leased'";

const FINISH: &str = "
    UPDATE jobs SET state = 'finished', lease_until = NULL, error = NULL, finished_at = $3
    WHERE id = $1 AND fence = $2 AND state = 'leased'";

const RETRY: &str = "
    UPDATE jobs SET state = 'ready', lease_until = NULL, run_at = $3, error = $4
    WHERE id = $1 AND fence = $2 AND state = 'leased'";

const BURY: &str = "
    UPDATE jobs SET state = 'dead', lease_until = NULL, error = $3
    WHERE id = $1 AND fence = $2 AND state = 'leased'";

const REAP: &str = "
    UPDATE jobs SET
        state = CASE WHEN attempt >= max_attempts THEN 'dead' ELSE 'ready' END,
        error = 'its lease ended: the worker died or was too slow',
        lease_until = NULL
    WHERE state = 'leased' AND lease_until <= $1";

const FIND: &str = concat!("SELECT ", columns!(), " FROM jobs WHERE id = $1");

const LIST: &str = concat!("SELECT ", columns!(), " FROM jobs WHERE (created_at, id) < (");

const REVIVE: &str =
    "UPDATE jobs SET state = 'ready', attempt = 0, run_at = $2 WHERE id = $1 AND state = 'dead'";

const NEXT_DUE: &str = "SELECT run_at FROM jobs WHERE state = 'ready' ORDER BY run_at LIMIT 1";

const PRUNE: &str = "DELETE FROM jobs WHERE state = 'finished' AND finished_at < $1";

fn jobs(operation: &'static str, rows: Vec<JobRow>) -> Result<Vec<Job>, StoreError> {
    rows.into_iter()
        .map(Job::try_from)
        .collect::<Result<_, _>>()
        .map_err(|row| row.during(operation))
}

#[async_trait]
impl JobQueue for SystemUnit {
    async fn enqueue_system(&mut self, job: &NewJob, now: Timestamp) -> Result<bool, StoreError> {
        enqueue(&mut self.tx, None, job, now).await
    }

    async fn claim(
        &mut self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u16,
    ) -> Result<Vec<Job>, StoreError> {
        const OPERATION: &str = "claim jobs";
        let sql = dialect::text(&self.tx, CLAIM);
        let (now, lease_until) = (now.as_microsecond(), lease_until.as_microsecond());
        let rows = all!(
            &mut self.tx,
            OPERATION,
            JobRow,
            sql,
            now,
            lease_until,
            i64::from(limit)
        )?;
        let mut jobs = jobs(OPERATION, rows)?;
        jobs.sort_by_key(|job| (job.run_at, job.id));
        Ok(jobs)
    }

    async fn claim_one(&mut self, id: JobId, lease_until: Timestamp) -> Result<Option<Job>, StoreError> {
        const OPERATION: &str = "claim a job";
        let (id, lease_until) = (id.as_uuid(), lease_until.as_microsecond());
        let row = optional!(&mut self.tx, OPERATION, JobRow, CLAIM_ONE, id, lease_until)?;
        row.map(Job::try_from)
            .transpose()
            .map_err(|row| row.during(OPERATION))
    }

    async fn heartbeat(&mut self, id: JobId, fence: i64, lease_until: Timestamp) -> Result<bool, StoreError> {
        let (id, lease_until) = (id.as_uuid(), lease_until.as_microsecond());
        Ok(execute!(&mut self.tx, "keep a job", HEARTBEAT, id, fence, lease_until)? == 1)
    }

    async fn save_progress(&mut self, id: JobId, fence: i64, progress: &Value) -> Result<bool, StoreError> {
        let (id, progress) = (id.as_uuid(), Json(progress));
        Ok(execute!(
            &mut self.tx,
            "write a job's progress",
            SAVE_PROGRESS,
            id,
            fence,
            progress
        )? == 1)
    }

    async fn finish(&mut self, id: JobId, fence: i64, now: Timestamp) -> Result<bool, StoreError> {
        let (id, now) = (id.as_uuid(), now.as_microsecond());
        Ok(execute!(&mut self.tx, "finish a job", FINISH, id, fence, now)? == 1)
    }

    async fn retry(
        &mut self,
        id: JobId,
        fence: i64,
        run_at: Timestamp,
        error: &str,
    ) -> Result<bool, StoreError> {
        let (id, run_at) = (id.as_uuid(), run_at.as_microsecond());
        Ok(execute!(&mut self.tx, "retry a job", RETRY, id, fence, run_at, error)? == 1)
    }

    async fn bury(&mut self, id: JobId, fence: i64, error: &str) -> Result<bool, StoreError> {
        Ok(execute!(&mut self.tx, "bury a job", BURY, id.as_uuid(), fence, error)? == 1)
    }

    async fn reap(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        execute!(&mut self.tx, "take jobs back", REAP, now.as_microsecond())
    }

    async fn job(&mut self, id: JobId) -> Result<Job, StoreError> {
        const OPERATION: &str = "find a job";
        let row = optional!(&mut self.tx, OPERATION, JobRow, FIND, id.as_uuid())?;
        let row = row.ok_or_else(|| not_found(OPERATION))?;
        Job::try_from(row).map_err(|row| row.during(OPERATION))
    }

    async fn jobs(&mut self, state: Option<JobState>, page: PageRequest) -> Result<Page<Job>, StoreError> {
        const OPERATION: &str = "list the jobs";
        let keyset = Keyset::from(page);
        let rows = filtered!(&mut self.tx, OPERATION, JobRow, LIST, query => {
            query.push_bind(keyset.at).push(", ").push_bind(keyset.id).push(")");
            // Not a parameter: a planner uses the partial indexes only for a state that it can see.
            query.push(match state {
                None => "",
                Some(JobState::Ready) => " AND state = 'ready'",
                Some(JobState::Leased) => " AND state = 'leased'",
                Some(JobState::Finished) => " AND state = 'finished'",
                Some(JobState::Dead) => " AND state = 'dead'",
            });
            query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(keyset.rows);
        })?;
        Ok(Page::of(page, jobs(OPERATION, rows)?, |job| {
            Cursor::new(job.created_at, job.id.as_uuid())
        }))
    }

    async fn revive(&mut self, id: JobId, run_at: Timestamp) -> Result<(), StoreError> {
        const OPERATION: &str = "revive a job";
        changed(
            OPERATION,
            execute!(
                &mut self.tx,
                OPERATION,
                REVIVE,
                id.as_uuid(),
                run_at.as_microsecond()
            )?,
        )
    }

    async fn next_due(&mut self) -> Result<Option<Timestamp>, StoreError> {
        const OPERATION: &str = "find when the next job is due";
        let row = optional!(&mut self.tx, OPERATION, (i64,), NEXT_DUE)?;
        row.map(|(run_at,)| Place::new("jobs", Uuid::nil()).time("run_at", run_at))
            .transpose()
            .map_err(|row| row.during(OPERATION))
    }

    async fn prune(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        execute!(&mut self.tx, "prune jobs", PRUNE, before.as_microsecond())
    }
}
