//! Looking for calls whose end nobody told us of.

use std::time::Duration;

use super::settle;
use crate::{
    VoiceSaas,
    scope::{Actor, SystemScope, TenantScope},
    store::StoreError,
};

/// A call this old should have ended; one that has not is asked about.
const OLD: Duration = Duration::from_hours(2);

/// Calls looked at in one sweep.
const AT_ONCE: u16 = 500;

/// Enqueues the settling of calls that began long ago and have not ended. How many.
pub(crate) async fn sweep(app: &VoiceSaas) -> Result<usize, StoreError> {
    let before = app.ambient().now() - OLD;
    let system = SystemScope::mint("find calls whose end was lost");
    let lost = app
        .store()
        .begin_system(&system)
        .await?
        .unended_calls(before, AT_ONCE)
        .await?;
    for (tenant, call) in &lost {
        let scope = TenantScope::mint(*tenant, Actor::System("sweep calls"));
        let mut tx = app.store().begin(&scope).await?;
        settle::enqueue(app, &mut *tx, *call).await?;
        tx.commit().await?;
    }
    Ok(lost.len())
}
