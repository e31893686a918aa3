//! A tenant's idempotency keys.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::FromRow;
use voice_saas_core::{
    idempotency::{IdempotencyRepo, KeyState, StoredAnswer},
    store::StoreError,
};

use super::{
    column::Place,
    error::changed,
    query::{execute, optional},
    unit::TenantUnit,
};

#[derive(Debug, FromRow)]
struct KeyRow {
    request_hash: Vec<u8>,
    status: Option<i32>,
    body: Option<Vec<u8>>,
}

// One statement decides: of two requests with one key, the second waits for the first to commit this and sees it.
const BEGIN: &str = "
    INSERT INTO idempotency_keys (tenant_id, route, key, request_hash, started_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant_id, route, key) DO UPDATE
        SET request_hash = excluded.request_hash, started_at = excluded.started_at
        WHERE idempotency_keys.status IS NULL AND idempotency_keys.started_at < $6";

const FIND: &str = "
    SELECT request_hash, status, body FROM idempotency_keys WHERE tenant_id = $1 AND route = $2 AND key = $3";

const COMPLETE: &str = "
    UPDATE idempotency_keys SET status = $4, body = $5 WHERE tenant_id = $1 AND route = $2 AND key = $3";

const RELEASE: &str = "
    DELETE FROM idempotency_keys WHERE tenant_id = $1 AND route = $2 AND key = $3 AND status IS NULL";

#[async_trait]
impl IdempotencyRepo for TenantUnit {
    async fn begin(
        &mut self,
        route: &str,
        key: &str,
        request_hash: &[u8; 32],
        now: Timestamp,
        stale_before: Timestamp,
    ) -> Result<KeyState, StoreError> {
        const OPERATION: &str = "take an idempotency key";
        let (now, stale_before) = (now.as_microsecond(), stale_before.as_microsecond());
        let hash = &request_hash[..];
        if execute!(
            &mut self.tx,
            OPERATION,
            BEGIN,
            self.tenant,
            route,
            key,
            hash,
            now,
            stale_before
        )? == 1
        {
            return Ok(KeyState::Fresh);
        }
        let Some(row) = optional!(&mut self.tx, OPERATION, KeyRow, FIND, self.tenant, route, key)? else {
            // Its holder let it go in between; a moment ago it was in flight, and the client will ask again.
            return Ok(KeyState::InFlight);
        };
        if row.request_hash != hash {
            return Ok(KeyState::OtherRequest);
        }
        let (Some(status), Some(body)) = (row.status, row.body) else {
            return Ok(KeyState::InFlight);
        };
        let status = Place::new("idempotency_keys of tenant", self.tenant)
            .number("status", status)
            .map_err(|row| row.during(OPERATION))?;
        Ok(KeyState::Answered(StoredAnswer { status, body }))
    }

    async fn complete(&mut self, route: &str, key: &str, answer: &StoredAnswer) -> Result<(), StoreError> {
        const OPERATION: &str = "complete an idempotency key";
        let (status, body) = (i32::from(answer.status), &answer.body[..]);
        changed(
            OPERATION,
            execute!(
                &mut self.tx,
                OPERATION,
                COMPLETE,
                self.tenant,
                route,
                key,
                status,
                body
            )?,
        )
    }

    async fn release(&mut self, route: &str, key: &str) -> Result<(), StoreError> {
        execute!(
            &mut self.tx,
            "release an idempotency key",
            RELEASE,
            self.tenant,
            route,
            key
        )?;
        Ok(())
    }
}
