//! A call comes further: carriers' status callbacks, late, repeated and out of order.

use jiff::Timestamp;
use serde_json::json;

use super::{Call, CallEventKind, CallStatus, EndReason, cost, settle};
use crate::{
    VoiceSaas,
    event::DomainEvent,
    id::{CallId, EventId},
    provider::telephony::{CallProgress, ProviderCallStatus},
    scope::{Actor, SystemScope, TenantScope},
    store::{StoreError, TenantTx},
    usage,
};

/// Applies a carrier's word to the call that it is about. A word about a call that we do not know is no error.
pub(crate) async fn apply(
    app: &VoiceSaas,
    provider: &str,
    progress: &CallProgress,
) -> Result<(), StoreError> {
    let system = SystemScope::mint("find the call that has come further");
    let owner = app
        .store()
        .begin_reading(&system)
        .await?
        .owner_of_call(provider, &progress.id)
        .await?;
    let Some((tenant, id)) = owner else {
        tracing::info!(provider_call = %progress.id, "a status callback names a call that is not ours");
        return Ok(());
    };
    let scope = TenantScope::mint(tenant, Actor::Call(id));
    let mut tx = app.store().begin(&scope).await?;
    if advance(app, &mut *tx, id, progress).await? {
        tx.commit().await?;
        app.store().wake_jobs().await?;
    }
    Ok(())
}

/// Moves the call forward; `false`, and nothing written, when the word says nothing new.
pub(crate) async fn advance(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    id: CallId,
    progress: &CallProgress,
) -> Result<bool, StoreError> {
    let mut call = tx.calls().find_for_update(id).await?;
    let refused = call.status == CallStatus::Rejected;
    let Some(next) = CallStatus::of_provider(progress.status) else {
        return Ok(false);
    };
    // A refused call was answered with a few words; its end is known, only how long they took is new.
    if refused && next.is_terminal() && call.duration_seconds.is_none() && progress.duration.is_some() {
        call.duration_seconds = seconds(progress);
        tx.calls().update(&call).await?;
        cost::record(app, tx, &call).await?;
        return Ok(true);
    }
    if !call.status.may_become(next) {
        return Ok(false);
    }
    let now = app.ambient().now();
    let at = progress.at.unwrap_or(now);
    call.status = next;
    call.progress = progress.sequence.or(call.progress);
    if next == CallStatus::InProgress {
        call.answered_at.get_or_insert(at);
    }
    if next.is_terminal() {
        end(app, tx, &mut call, progress, at, now).await?;
    } else {
        tx.calls().update(&call).await?;
        tx.calls()
            .append(id, now, &CallEventKind::Progress { status: next })
            .await?;
    }
    Ok(true)
}

async fn end(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    call: &mut Call,
    progress: &CallProgress,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    call.ended_at = Some(at.max(call.started_at));
    call.duration_seconds = seconds(progress);
    let reason = *call
        .end_reason
        .get_or_insert(call.status.end_reason().unwrap_or(EndReason::Completed));
    tx.calls().update(call).await?;
    tx.calls()
        .append(call.id, now, &CallEventKind::Ended { reason })
        .await?;
    cost::record(app, tx, call).await?;
    usage::settle(app, tx, call).await?;
    let payload = json!({
        "call_id": call.id,
        "status": call.status,
        "end_reason": reason,
        "duration_seconds": call.duration_seconds,
    });
    let event = DomainEvent::new(EventId::generate(app.ambient().ids()), "call.ended", payload, now);
    tx.outbox().publish(&event).await?;
    settle::enqueue(app, tx, call.id).await?;
    metrics::counter!("voice_saas_calls_ended_total", "reason" => reason.as_str()).increment(1);
    Ok(())
}

fn seconds(progress: &CallProgress) -> Option<u32> {
    let over = matches!(progress.status, ProviderCallStatus::Completed);
    let length = progress
        .duration
        .map(|duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX));
    if over { length } else { length.or(Some(0)) }
}
