//! What happened in a call.

use jiff::Timestamp;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    call::{CallEvent, CallEventKind},
    id::CallId,
    store::StoreError,
};

use crate::sql::{
    column::{CorruptRow, JsonText, Place},
    dialect,
    error::not_found,
    query::{all, optional},
    unit::Tx,
};

#[derive(Debug, FromRow)]
struct EventRow {
    call_id: Uuid,
    sequence: i64,
    at: i64,
    body: JsonText,
}

impl TryFrom<EventRow> for CallEvent {
    type Error = CorruptRow;

    fn try_from(row: EventRow) -> Result<Self, CorruptRow> {
        let place = Place::new("call_events of call", row.call_id);
        Ok(Self {
            sequence: place.number("sequence", row.sequence)?,
            at: place.time("at", row.at)?,
            kind: place.json("body", &row.body)?,
        })
    }
}

const LOCK: &str = "SELECT id FROM calls WHERE tenant_id = $1 AND id = $2 /*pg FOR NO KEY UPDATE */";

const APPEND: &str = "
    INSERT INTO call_events (tenant_id, call_id, sequence, at, body)
    SELECT $1, $2, coalesce(max(sequence), 0) + 1, $3, $4
    FROM call_events WHERE tenant_id = $1 AND call_id = $2
    RETURNING call_id, sequence, at, body";

/// Appends an event. The call is locked meanwhile: two writers would give out the same place.
pub(super) async fn append(
    tx: &mut Tx,
    tenant: Uuid,
    call: CallId,
    at: Timestamp,
    kind: &CallEventKind,
) -> Result<CallEvent, StoreError> {
    const OPERATION: &str = "append to a call";
    let (call, lock) = (call.as_uuid(), dialect::text(tx, LOCK));
    optional!(tx, OPERATION, (Uuid,), lock, tenant, call)?.ok_or_else(|| not_found(OPERATION))?;
    let row = optional!(
        tx,
        OPERATION,
        EventRow,
        APPEND,
        tenant,
        call,
        at.as_microsecond(),
        Json(kind)
    )?;
    let row = row.ok_or_else(|| not_found(OPERATION))?;
    CallEvent::try_from(row).map_err(|row| row.during(OPERATION))
}

const LIST: &str = "
    SELECT call_id, sequence, at, body FROM call_events
    WHERE tenant_id = $1 AND call_id = $2 AND sequence > $3
    ORDER BY sequence LIMIT $4";

/// What happened after this place.
pub(super) async fn list(
    tx: &mut Tx,
    tenant: Uuid,
    call: CallId,
    after: u32,
    limit: i64,
) -> Result<Vec<CallEvent>, StoreError> {
    const OPERATION: &str = "list a call's events";
    let rows = all!(
        tx,
        OPERATION,
        EventRow,
        LIST,
        tenant,
        call.as_uuid(),
        i64::from(after),
        limit
    )?;
    rows.into_iter()
        .map(CallEvent::try_from)
        .collect::<Result<_, _>>()
        .map_err(|row| row.during(OPERATION))
}
