//! What a tenant may use.

use async_trait::async_trait;
use sqlx::{FromRow, types::Uuid};
use voice_saas_core::{
    entitlement::{Entitlement, EntitlementRepo, PaidPeriod},
    plan::PlanId,
    store::{StoreError, StoreErrorKind},
};

use super::{
    column::{CorruptRow, Place, micros, word},
    dialect,
    error::not_found,
    query::{execute, optional},
    unit::{TenantUnit, Tx},
};

#[derive(Debug, FromRow)]
pub(super) struct EntitlementRow {
    tenant_id: Uuid,
    plan: String,
    source: String,
    trial_ends_at: Option<i64>,
    period_from: Option<i64>,
    period_until: Option<i64>,
    grace_until: Option<i64>,
    version: i64,
    updated_at: i64,
}

impl TryFrom<EntitlementRow> for Entitlement {
    type Error = CorruptRow;

    fn try_from(row: EntitlementRow) -> Result<Self, CorruptRow> {
        let place = Place::new("entitlements", row.tenant_id);
        let source = place.word("source", &row.source)?;
        let updated_at = place.time("updated_at", row.updated_at)?;
        let mut entitlement = Self::new(PlanId::new(row.plan), source, updated_at);
        entitlement.trial_ends_at = place.optional_time("trial_ends_at", row.trial_ends_at)?;
        let from = place.optional_time("period_from", row.period_from)?;
        let until = place.optional_time("period_until", row.period_until)?;
        entitlement.period = from.zip(until).map(|(from, until)| PaidPeriod { from, until });
        entitlement.grace_until = place.optional_time("grace_until", row.grace_until)?;
        entitlement.version = row.version;
        Ok(entitlement)
    }
}

const INSERT: &str = "
    INSERT INTO entitlements (tenant_id, plan, source, trial_ends_at, period_from, period_until, grace_until, version,
        updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const FIND: &str = "
    SELECT tenant_id, plan, source, trial_ends_at, period_from, period_until, grace_until, version, updated_at
    FROM entitlements WHERE tenant_id = $1";

const FIND_FOR_UPDATE: &str = "
    SELECT tenant_id, plan, source, trial_ends_at, period_from, period_until, grace_until, version, updated_at
    FROM entitlements WHERE tenant_id = $1 /*pg FOR NO KEY UPDATE */";

const SAVE: &str = "
    UPDATE entitlements SET plan = $2, source = $3, trial_ends_at = $4, period_from = $5, period_until = $6,
        grace_until = $7, version = $8 + 1, updated_at = $9
    WHERE tenant_id = $1 AND version = $8";

macro_rules! write_row {
    ($tx:expr, $operation:expr, $sql:expr, $tenant:expr, $entitlement:expr) => {{
        let entitlement = $entitlement;
        execute!(
            $tx,
            $operation,
            $sql,
            $tenant,
            entitlement.plan.as_str(),
            word(&entitlement.source),
            micros(entitlement.trial_ends_at),
            micros(entitlement.period.map(|period| period.from)),
            micros(entitlement.period.map(|period| period.until)),
            micros(entitlement.grace_until),
            entitlement.version,
            entitlement.updated_at.as_microsecond(),
        )
    }};
}

/// Writes the first entitlement of a fresh tenant.
pub(super) async fn insert(
    tx: &mut Tx,
    operation: &'static str,
    tenant: Uuid,
    entitlement: &Entitlement,
) -> Result<(), StoreError> {
    write_row!(tx, operation, INSERT, tenant, entitlement).map(drop)
}

fn entitlement(operation: &'static str, row: Option<EntitlementRow>) -> Result<Entitlement, StoreError> {
    let row = row.ok_or_else(|| not_found(operation))?;
    Entitlement::try_from(row).map_err(|row| row.during(operation))
}

#[async_trait]
impl EntitlementRepo for TenantUnit {
    async fn get(&mut self) -> Result<Entitlement, StoreError> {
        const OPERATION: &str = "find the tenant's entitlement";
        let row = optional!(&mut self.tx, OPERATION, EntitlementRow, FIND, self.tenant)?;
        entitlement(OPERATION, row)
    }

    async fn find_for_update(&mut self) -> Result<Entitlement, StoreError> {
        const OPERATION: &str = "lock the tenant's entitlement";
        let sql = dialect::text(&self.tx, FIND_FOR_UPDATE);
        let row = optional!(&mut self.tx, OPERATION, EntitlementRow, sql, self.tenant)?;
        entitlement(OPERATION, row)
    }

    async fn save(&mut self, entitlement: &Entitlement) -> Result<Entitlement, StoreError> {
        const OPERATION: &str = "save the tenant's entitlement";
        let rows = write_row!(&mut self.tx, OPERATION, SAVE, self.tenant, entitlement)?;
        let saved = EntitlementRepo::get(self).await?;
        if rows == 0 {
            return Err(StoreError::new(OPERATION, StoreErrorKind::Stale));
        }
        Ok(saved)
    }
}
