//! Handing domain events to those who want to know.

use super::DomainEvent;
use crate::{VoiceSaas, id::TenantId, scope::SystemScope, store::StoreError};

/// Events handed on in one go.
const BATCH: u16 = 100;

/// Hands the events that wait to every sink. One that a sink refuses stays, and so do those after it.
pub(crate) async fn dispatch(app: &VoiceSaas) -> Result<(), StoreError> {
    let system = SystemScope::mint("deliver domain events");
    let waiting = app
        .store()
        .begin_system(&system)
        .await?
        .outbox_queue()
        .undelivered(BATCH)
        .await?;
    let mut delivered = Vec::with_capacity(waiting.len());
    for (tenant, event) in waiting {
        if !deliver(app, tenant, &event).await {
            break;
        }
        delivered.push(event.id);
    }
    if !delivered.is_empty() {
        let mut tx = app.store().begin_system(&system).await?;
        tx.outbox_queue()
            .delivered(&delivered, app.ambient().now())
            .await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn deliver(app: &VoiceSaas, tenant: TenantId, event: &DomainEvent) -> bool {
    for sink in app.sinks() {
        if let Err(error) = sink.deliver(tenant, event).await {
            tracing::warn!(event.id = %event.id, kind = event.kind, "a sink refused an event: {error}");
            return false;
        }
    }
    true
}
