//! Who said what.

use sqlx::types::{Json, Uuid};
use voice_saas_core::{id::CallId, provider::voice_agent::Turn, store::StoreError};

use crate::sql::{
    column::{JsonText, Place},
    query::{execute, optional},
    unit::Tx,
};

const SAVE: &str = "
    INSERT INTO call_transcripts (tenant_id, call_id, turns) VALUES ($1, $2, $3)
    ON CONFLICT (tenant_id, call_id) DO UPDATE SET turns = excluded.turns";

/// Keeps the platform's own record.
pub(super) async fn save(tx: &mut Tx, tenant: Uuid, call: CallId, turns: &[Turn]) -> Result<(), StoreError> {
    execute!(tx, "save a transcript", SAVE, tenant, call.as_uuid(), Json(turns))?;
    Ok(())
}

const SAVED: &str = "SELECT turns FROM call_transcripts WHERE tenant_id = $1 AND call_id = $2";

/// The platform's own record, if it was kept.
pub(super) async fn saved(tx: &mut Tx, tenant: Uuid, call: CallId) -> Result<Option<Vec<Turn>>, StoreError> {
    const OPERATION: &str = "find a transcript";
    let call = call.as_uuid();
    let row = optional!(tx, OPERATION, (JsonText,), SAVED, tenant, call)?;
    row.map(|(turns,)| Place::new("call_transcripts of call", call).json("turns", &turns))
        .transpose()
        .map_err(|row| row.during(OPERATION))
}
