//! Who said what.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::types::{Json, Uuid};
use voice_saas_core::{
    call::{CallEvent, CallEventKind},
    id::CallId,
    provider::voice_agent::{Speaker, Turn},
    store::StoreError,
};

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

/// What was heard while the call ran. An agent that was cut short said what it was corrected to.
pub(super) fn heard(started_at: Timestamp, events: &[CallEvent]) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for event in events {
        match &event.kind {
            CallEventKind::Said { speaker, text } => {
                let offset = Duration::try_from(event.at.duration_since(started_at)).unwrap_or_default();
                turns.push(Turn::new(*speaker, text, offset));
            }
            CallEventKind::Corrected { text } => {
                if let Some(turn) = turns.iter_mut().rfind(|turn| turn.speaker == Speaker::Agent) {
                    turn.text.clone_from(text);
                }
            }
            _ => {}
        }
    }
    turns
}
