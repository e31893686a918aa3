//! A tenant's sagas.

use async_trait::async_trait;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    id::SagaId,
    saga::{SagaRecord, SagaRepo},
    store::{StoreError, StoreErrorKind},
};

use super::{
    column::{CorruptRow, JsonText, Place, word},
    error::not_found,
    query::{all, execute, optional},
    unit::TenantUnit,
};

#[derive(Debug, FromRow)]
struct SagaRow {
    id: Uuid,
    kind: String,
    status: String,
    step: i32,
    attempts: i32,
    state: JsonText,
    error: Option<JsonText>,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<SagaRow> for SagaRecord {
    type Error = CorruptRow;

    fn try_from(row: SagaRow) -> Result<Self, CorruptRow> {
        let place = Place::new("sagas", row.id);
        let created_at = place.time("created_at", row.created_at)?;
        let mut saga = Self::new(
            SagaId::from_uuid(row.id),
            row.kind,
            place.json("state", &row.state)?,
            created_at,
        );
        saga.status = place.word("status", &row.status)?;
        saga.step = place.number("step", row.step)?;
        saga.attempts = place.number("attempts", row.attempts)?;
        saga.error = row.error.map(|error| place.json("error", &error)).transpose()?;
        saga.version = row.version;
        saga.updated_at = place.time("updated_at", row.updated_at)?;
        Ok(saga)
    }
}

const ADD: &str = "
    INSERT INTO sagas (tenant_id, id, kind, status, step, attempts, state, error, version, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const FIND: &str = "
    SELECT id, kind, status, step, attempts, state, error, version, created_at, updated_at
    FROM sagas WHERE tenant_id = $1 AND id = $2";

const SAVE: &str = "
    UPDATE sagas SET status = $4, step = $5, attempts = $6, state = $7, error = $8, updated_at = $9,
        version = version + 1
    WHERE tenant_id = $1 AND id = $2 AND version = $3";

const UNFINISHED: &str = "
    SELECT id, kind, status, step, attempts, state, error, version, created_at, updated_at
    FROM sagas WHERE tenant_id = $1 AND status IN ('running', 'undoing', 'stuck')
    ORDER BY created_at, id LIMIT 100";

impl TenantUnit {
    async fn find_saga(&mut self, operation: &'static str, id: SagaId) -> Result<SagaRecord, StoreError> {
        let row = optional!(&mut self.tx, operation, SagaRow, FIND, self.tenant, id.as_uuid())?;
        let row = row.ok_or_else(|| not_found(operation))?;
        SagaRecord::try_from(row).map_err(|row| row.during(operation))
    }
}

#[async_trait]
impl SagaRepo for TenantUnit {
    async fn add(&mut self, saga: &SagaRecord) -> Result<(), StoreError> {
        execute!(
            &mut self.tx,
            "add a saga",
            ADD,
            self.tenant,
            saga.id.as_uuid(),
            &saga.kind,
            word(&saga.status),
            i32::from(saga.step),
            i32::from(saga.attempts),
            Json(&saga.state),
            saga.error.as_ref().map(Json),
            saga.version,
            saga.created_at.as_microsecond(),
            saga.updated_at.as_microsecond(),
        )?;
        Ok(())
    }

    async fn find(&mut self, id: SagaId) -> Result<SagaRecord, StoreError> {
        self.find_saga("find a saga", id).await
    }

    async fn unfinished(&mut self) -> Result<Vec<SagaRecord>, StoreError> {
        const OPERATION: &str = "list the sagas that are not over";
        let rows = all!(&mut self.tx, OPERATION, SagaRow, UNFINISHED, self.tenant)?;
        rows.into_iter()
            .map(SagaRecord::try_from)
            .collect::<Result<_, _>>()
            .map_err(|row| row.during(OPERATION))
    }

    async fn save(&mut self, saga: &mut SagaRecord) -> Result<(), StoreError> {
        const OPERATION: &str = "save a saga";
        let rows = execute!(
            &mut self.tx,
            OPERATION,
            SAVE,
            self.tenant,
            saga.id.as_uuid(),
            saga.version,
            word(&saga.status),
            i32::from(saga.step),
            i32::from(saga.attempts),
            Json(&saga.state),
            saga.error.as_ref().map(Json),
            saga.updated_at.as_microsecond(),
        )?;
        if rows == 0 {
            self.find_saga(OPERATION, saga.id).await?;
            return Err(StoreError::new(OPERATION, StoreErrorKind::Stale));
        }
        saga.version += 1;
        Ok(())
    }
}
