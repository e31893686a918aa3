//! A tenant's ledger.

use async_trait::async_trait;
use sqlx::{FromRow, types::Uuid};
use voice_saas_core::{
    id::{CallId, EntryId},
    ledger::{LedgerEntry, LedgerRepo},
    money::{Currency, Money},
    store::StoreError,
};

use super::{
    column::{CorruptRow, Place},
    query::{all, execute},
    unit::TenantUnit,
};

#[derive(Debug, FromRow)]
struct EntryRow {
    id: Uuid,
    call_id: Uuid,
    kind: String,
    provider: String,
    quantity: i64,
    unit: String,
    amount_micros: i64,
    currency: String,
    rating_version: String,
    at: i64,
}

impl TryFrom<EntryRow> for LedgerEntry {
    type Error = CorruptRow;

    fn try_from(row: EntryRow) -> Result<Self, CorruptRow> {
        let place = Place::new("ledger", row.id);
        let currency: Currency = place.word("currency", &row.currency)?;
        Ok(Self {
            id: EntryId::from_uuid(row.id),
            call: CallId::from_uuid(row.call_id),
            kind: row.kind,
            provider: row.provider,
            quantity: row.quantity,
            unit: row.unit,
            amount: Money::from_micros(row.amount_micros, currency),
            rating_version: row.rating_version,
            at: place.time("at", row.at)?,
        })
    }
}

const ADD: &str = "
    INSERT INTO ledger (tenant_id, id, call_id, kind, provider, quantity, unit, amount_micros, currency,
        rating_version, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (tenant_id, call_id, kind, rating_version) DO NOTHING";

const OF_CALL: &str = "
    SELECT id, call_id, kind, provider, quantity, unit, amount_micros, currency, rating_version, at
    FROM ledger WHERE tenant_id = $1 AND call_id = $2
    ORDER BY at, id";

#[async_trait]
impl LedgerRepo for TenantUnit {
    async fn add(&mut self, entry: &LedgerEntry) -> Result<bool, StoreError> {
        let rows = execute!(
            &mut self.tx,
            "add a ledger entry",
            ADD,
            self.tenant,
            entry.id.as_uuid(),
            entry.call.as_uuid(),
            &entry.kind,
            &entry.provider,
            entry.quantity,
            &entry.unit,
            entry.amount.amount_micros(),
            entry.amount.currency().code(),
            &entry.rating_version,
            entry.at.as_microsecond(),
        )?;
        Ok(rows == 1)
    }

    async fn of_call(&mut self, call: CallId) -> Result<Vec<LedgerEntry>, StoreError> {
        const OPERATION: &str = "list a call's costs";
        let rows = all!(
            &mut self.tx,
            OPERATION,
            EntryRow,
            OF_CALL,
            self.tenant,
            call.as_uuid()
        )?;
        rows.into_iter()
            .map(LedgerEntry::try_from)
            .collect::<Result<_, _>>()
            .map_err(|row| row.during(OPERATION))
    }
}
