//! Durable jobs.

mod queue;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    id::{JobId, TenantId},
    job::{Job, JobRepo, NewJob},
    store::StoreError,
};

use super::{
    column::{CorruptRow, JsonText, Place},
    query::execute,
    unit::{TenantUnit, Tx},
};

#[derive(Debug, FromRow)]
struct JobRow {
    id: Uuid,
    tenant_id: Option<Uuid>,
    kind: String,
    payload: JsonText,
    state: String,
    run_at: i64,
    attempt: i32,
    max_attempts: i32,
    fence: i64,
    lease_until: Option<i64>,
    error: Option<String>,
    progress: Option<JsonText>,
    created_at: i64,
}

impl TryFrom<JobRow> for Job {
    type Error = CorruptRow;

    fn try_from(row: JobRow) -> Result<Self, CorruptRow> {
        let place = Place::new("jobs", row.id);
        let new = NewJob::new(
            JobId::from_uuid(row.id),
            row.kind,
            place.json("payload", &row.payload)?,
            place.time("run_at", row.run_at)?,
        )
        .with_max_attempts(place.number("max_attempts", row.max_attempts)?);
        let created_at = place.time("created_at", row.created_at)?;
        let mut job = Self::ready(new, row.tenant_id.map(TenantId::from_uuid), created_at);
        job.state = place.word("state", &row.state)?;
        job.attempt = place.number("attempt", row.attempt)?;
        job.fence = row.fence;
        job.lease_until = place.optional_time("lease_until", row.lease_until)?;
        job.error = row.error;
        job.progress = row
            .progress
            .map(|progress| place.json("progress", &progress))
            .transpose()?;
        Ok(job)
    }
}

macro_rules! enqueue {
    ($tenants:literal) => {
        concat!(
            "INSERT INTO jobs (id, tenant_id, kind, payload, state, run_at, attempt, max_attempts, fence, unique_key, ",
            "created_at) VALUES ($1, $2, $3, $4, 'ready', $5, 0, $6, 0, $7, $8) ON CONFLICT ",
            $tenants,
            " DO NOTHING"
        )
    };
}

const ENQUEUE: &str =
    enqueue!("(tenant_id, unique_key) WHERE state IN ('ready', 'leased') AND tenant_id IS NOT NULL");

const ENQUEUE_SYSTEM: &str =
    enqueue!("(unique_key) WHERE state IN ('ready', 'leased') AND tenant_id IS NULL");

/// Enqueues a job of the tenant, or of the platform; `false` when an unfinished one has its unique key.
async fn enqueue(
    tx: &mut Tx,
    tenant: Option<Uuid>,
    job: &NewJob,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = execute!(
        tx,
        "enqueue a job",
        if tenant.is_some() { ENQUEUE } else { ENQUEUE_SYSTEM },
        job.id.as_uuid(),
        tenant,
        &job.kind,
        Json(&job.payload),
        job.run_at.as_microsecond(),
        i32::from(job.max_attempts),
        job.unique_key.as_deref(),
        now.as_microsecond(),
    )?;
    Ok(rows == 1)
}

#[async_trait]
impl JobRepo for TenantUnit {
    async fn enqueue(&mut self, job: &NewJob, now: Timestamp) -> Result<bool, StoreError> {
        enqueue(&mut self.tx, Some(self.tenant), job, now).await
    }
}
