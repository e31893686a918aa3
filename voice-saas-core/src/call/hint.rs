//! A word about a call that nobody signed: the carrier is asked before the call moves.

use std::time::Duration;

use super::settle;
use crate::{
    VoiceSaas,
    provider::telephony::ProviderCallId,
    scope::{Actor, SystemScope, TenantScope},
    store::StoreError,
};

/// Whoever sent the hint waits for the answer, and the job asks again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the carrier how the call stands, at once and, until the call has ended, in a job. A hint about a call that we
/// do not know is no error.
pub(crate) async fn follow(app: &VoiceSaas, provider: &str, id: &ProviderCallId) -> Result<(), StoreError> {
    let system = SystemScope::mint("find the call that a hint names");
    let owner = app
        .store()
        .begin_system(&system)
        .await?
        .owner_of_call(provider, id)
        .await?;
    let Some((tenant, call)) = owner else {
        tracing::info!(provider_call = %id, "a hint names a call that is not ours");
        return Ok(());
    };
    let scope = TenantScope::mint(tenant, Actor::Call(call));
    let mut tx = app.store().begin(&scope).await?;
    let row = tx.calls().find(call).await?;
    if row.status.is_terminal() {
        return Ok(());
    }
    settle::enqueue(app, &mut *tx, call).await?;
    tx.commit().await?;
    match tokio::time::timeout(PATIENCE, settle::ended_at_carrier(app, &scope, &row)).await {
        Ok(Ok(ended)) => tracing::debug!(call.id = %call, ended, "the carrier was asked about a call"),
        Ok(Err(error)) => tracing::info!(call.id = %call, ?error, "the carrier is asked again later"),
        Err(_) => tracing::info!(call.id = %call, "the carrier took too long, and is asked again later"),
    }
    app.store().wake_jobs().await?;
    Ok(())
}
