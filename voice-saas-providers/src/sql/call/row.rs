//! A call's row.

use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    call::{Call, CallEventKind, CallStatus, EndReason},
    id::{AgentId, CallId, NumberId},
    provider::{telephony::ProviderCallId, voice_agent::ConversationId},
    store::StoreError,
};

use crate::sql::{
    column::{CorruptRow, JsonText, Place, micros, word},
    dialect::Dialects,
    query::execute,
    unit::Tx,
};

#[derive(Debug, FromRow)]
pub(super) struct CallRow {
    id: Uuid,
    direction: String,
    status: String,
    caller: String,
    callee: String,
    number_id: Option<Uuid>,
    agent_id: Option<Uuid>,
    agent_version: Option<i64>,
    provider: String,
    provider_call_id: Option<String>,
    answer: Option<JsonText>,
    conversation_id: Option<String>,
    end_reason: Option<String>,
    progress: Option<i64>,
    started_at: i64,
    media_at: Option<i64>,
    answered_at: Option<i64>,
    ended_at: Option<i64>,
    duration_seconds: Option<i64>,
    summary: Option<String>,
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, direction, status, caller, callee, number_id, agent_id, agent_version, provider, ",
            "provider_call_id, answer, conversation_id, end_reason, progress, started_at, media_at, answered_at, ",
            "ended_at, duration_seconds, summary FROM calls WHERE ",
            $condition
        )
    };
}
pub(super) use select;

/// To be completed by a condition.
pub(super) const SELECT: &str = select!("");

impl TryFrom<CallRow> for Call {
    type Error = CorruptRow;

    fn try_from(row: CallRow) -> Result<Self, CorruptRow> {
        let place = Place::new("calls", row.id);
        let mut call = Self::inbound(
            CallId::from_uuid(row.id),
            row.provider,
            ProviderCallId::new(""),
            row.caller,
            row.callee,
            place.time("started_at", row.started_at)?,
        );
        call.direction = place.word("direction", &row.direction)?;
        call.status = place.read(
            "status",
            CallStatus::from_word(&row.status).ok_or("an unknown status"),
        )?;
        call.number = row.number_id.map(NumberId::from_uuid);
        call.agent = match (row.agent_id, row.agent_version) {
            (Some(agent), Some(version)) => {
                Some((AgentId::from_uuid(agent), place.number("agent_version", version)?))
            }
            _ => None,
        };
        call.provider_call = row.provider_call_id.map(ProviderCallId::new);
        call.answer = row
            .answer
            .map(|answer| place.json("answer", &answer))
            .transpose()?;
        call.conversation = row.conversation_id.map(ConversationId::new);
        call.end_reason = match row.end_reason {
            Some(reason) => Some(place.read(
                "end_reason",
                EndReason::from_word(&reason).ok_or("an unknown reason"),
            )?),
            None => None,
        };
        call.progress = row
            .progress
            .map(|progress| place.number("progress", progress))
            .transpose()?;
        call.media_at = place.optional_time("media_at", row.media_at)?;
        call.answered_at = place.optional_time("answered_at", row.answered_at)?;
        call.ended_at = place.optional_time("ended_at", row.ended_at)?;
        call.duration_seconds = row
            .duration_seconds
            .map(|seconds| place.number("duration_seconds", seconds))
            .transpose()?;
        call.summary = row.summary;
        Ok(call)
    }
}

/// Writes nothing when the carrier's call is known, whoever's it is.
macro_rules! add {
    () => {
        "    INSERT INTO calls (tenant_id, id, direction, status, live, caller, callee, number_id, agent_id, agent_version,
        provider, provider_call_id, answer, conversation_id, end_reason, progress, started_at, media_at, answered_at,
        ended_at, duration_seconds, summary)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
    ON CONFLICT (provider, provider_call_id) WHERE provider_call_id IS NOT NULL DO NOTHING"
    };
}

/// A call and its first event, in one trip to the database; what is known already is left alone, with its events.
pub(super) const ADD: Dialects = Dialects {
    sqlite: concat!(
        add!(),
        "; INSERT INTO call_events (tenant_id, call_id, sequence, at, body) SELECT $1, $2, 1, $17, $23 WHERE changes() > 0"
    ),
    postgres: concat!(
        "WITH added AS (",
        add!(),
        " RETURNING tenant_id, id) INSERT INTO call_events (tenant_id, call_id, sequence, at, body)
        SELECT tenant_id, id, 1, $17, $23 FROM added"
    ),
};

/// The media socket that was let in stays in, even if this writer read the call before it came.
const UPDATE: &str = "
    UPDATE calls SET direction = $3, status = $4, live = $5, caller = $6, callee = $7, number_id = $8, agent_id = $9,
        agent_version = $10, provider = $11, provider_call_id = $12, answer = $13, conversation_id = $14,
        end_reason = $15, progress = $16, started_at = $17, media_at = coalesce(media_at, $18), answered_at = $19,
        ended_at = $20, duration_seconds = $21, summary = $22
    WHERE tenant_id = $1 AND id = $2";

/// Runs a statement with every column of the call bound, `$1` to `$22`, and what else it needs; how many rows it changed.
macro_rules! write_row {
    ($tx:expr, $operation:expr, $sql:expr, $tenant:expr, $call:expr $(, $more:expr)*) => {{
        let (tenant, call) = ($tenant, $call);
        execute!(
            $tx,
            $operation,
            $sql,
            tenant,
            call.id.as_uuid(),
            word(&call.direction),
            call.status.as_str(),
            !call.status.is_terminal(),
            &call.from,
            &call.to,
            call.number.map(NumberId::as_uuid),
            call.agent.map(|(agent, _)| agent.as_uuid()),
            call.agent.map(|(_, version)| i64::from(version)),
            &call.provider,
            call.provider_call.as_ref().map(ProviderCallId::as_str),
            call.answer.as_ref().map(Json),
            call.conversation.as_ref().map(ConversationId::as_str),
            call.end_reason.map(EndReason::as_str),
            call.progress.map(i64::from),
            call.started_at.as_microsecond(),
            micros(call.media_at),
            micros(call.answered_at),
            micros(call.ended_at),
            call.duration_seconds.map(i64::from),
            call.summary.as_deref(),
            $($more,)*
        )
    }};
}

/// Writes a fresh call and its first event; whether it was fresh.
pub(super) async fn add(
    tx: &mut Tx,
    operation: &'static str,
    tenant: Uuid,
    call: &Call,
    first: &CallEventKind,
) -> Result<bool, StoreError> {
    let sql = ADD.of(tx);
    Ok(write_row!(tx, operation, sql, tenant, call, Json(first))? > 0)
}

/// Writes a call back; how many rows that changed.
pub(super) async fn update(
    tx: &mut Tx,
    operation: &'static str,
    tenant: Uuid,
    call: &Call,
) -> Result<u64, StoreError> {
    write_row!(tx, operation, UPDATE, tenant, call)
}
