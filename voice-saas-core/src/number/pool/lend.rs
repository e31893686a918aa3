//! Numbers of the pool go to tenants, and come back.

use std::time::Duration;

use super::{Lending, PoolNumber, PoolStatus, Wish};
use crate::{
    VoiceSaas,
    id::{SagaId, TenantId},
    phone::E164,
    scope::SystemScope,
    store::{StoreError, SystemTx},
};

/// How long a number that comes back is kept out of use, unless the settings say otherwise.
const QUARANTINE: Duration = Duration::from_hours(30 * 24);

async fn begin(app: &VoiceSaas, reason: &'static str) -> Result<Box<dyn SystemTx>, StoreError> {
    app.store().begin_system(&SystemScope::mint(reason)).await
}

/// Takes the fitting number that is unused for longest out of the pool, for this work of the tenant; the one that it
/// has taken already, if it has.
pub(crate) async fn lend(
    app: &VoiceSaas,
    wish: &Wish,
    tenant: TenantId,
    saga: SagaId,
) -> Result<Option<PoolNumber>, StoreError> {
    let now = app.ambient().now();
    let mut tx = begin(app, "lend a number of the pool").await?;
    let pool = tx.number_pool();
    if let Some(lent) = pool.lent_by(tenant, saga).await? {
        return Ok(Some(lent));
    }
    pool.end_quarantines(now).await?;
    let to = Lending {
        tenant,
        saga,
        since: now,
    };
    let lent = pool.lend(wish, to).await?;
    tx.commit().await?;
    if let Some(number) = &lent {
        tracing::info!(pool.id = %number.id, tenant.id = %tenant, saga.id = %saga, "a number of the pool was lent");
    }
    Ok(lent)
}

/// The number that this work of the tenant has taken out of the pool.
pub(crate) async fn lent_to(
    app: &VoiceSaas,
    tenant: TenantId,
    saga: SagaId,
) -> Result<Option<PoolNumber>, StoreError> {
    let mut tx = begin(app, "find what was lent").await?;
    tx.number_pool().lent_by(tenant, saga).await
}

/// Puts a number back that was lent and never answered: it is free at once, at the end of the line, because it may be
/// the number that made the work fail. Doing it again does no harm.
pub(crate) async fn put_back(app: &VoiceSaas, tenant: TenantId, saga: SagaId) -> Result<(), StoreError> {
    returned(app, tenant, saga, None).await
}

/// Takes the number back that this work took for the tenant, who has let go of it, into its quarantine. Doing it again does no harm.
pub(crate) async fn take_back(app: &VoiceSaas, tenant: TenantId, saga: SagaId) -> Result<(), StoreError> {
    let quarantine = app.settings().quarantine.unwrap_or(QUARANTINE);
    returned(app, tenant, saga, Some(quarantine)).await
}

async fn returned(
    app: &VoiceSaas,
    tenant: TenantId,
    saga: SagaId,
    quarantine: Option<Duration>,
) -> Result<(), StoreError> {
    let now = app.ambient().now();
    let mut tx = begin(app, "take a number of the pool back").await?;
    let Some(mut number) = tx.number_pool().lent_by(tenant, saga).await? else {
        return Ok(());
    };
    number.turn(if quarantine.is_some() {
        PoolStatus::Quarantined
    } else {
        PoolStatus::Free
    })?;
    number.lending = None;
    number.unused_since = now;
    number.free_at = quarantine.map(|quarantine| now + quarantine);
    tx.number_pool().update(&mut number).await?;
    tx.commit().await?;
    tracing::info!(pool.id = %number.id, tenant.id = %tenant, "a number of the pool came back");
    Ok(())
}

/// Whether the number is the operator's own.
pub(crate) async fn is_pooled(app: &VoiceSaas, provider: &str, number: &E164) -> Result<bool, StoreError> {
    let mut tx = begin(app, "look whether a number is the operator's own").await?;
    let wanted = std::slice::from_ref(number);
    let pooled = tx
        .number_pool()
        .numbers(provider, wanted, jiff::Timestamp::MAX)
        .await?;
    Ok(!pooled.is_empty())
}
