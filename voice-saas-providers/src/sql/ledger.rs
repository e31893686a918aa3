//! A tenant's ledger, and the sums of it.

use async_trait::async_trait;
use sqlx::{FromRow, types::Uuid};
use voice_saas_core::{
    id::{CallId, EntryId, TenantId},
    ledger::{Account, Balance, LedgerEntry, LedgerRepo, Subject},
    money::{Currency, Money},
    page::{Cursor, Page, PageRequest},
    store::StoreError,
    usage::{Windows, invoice_month},
};

use super::{
    column::{CorruptRow, Place, word},
    dialect::Dialects,
    page::Keyset,
    query::{all, execute},
    unit::{TenantUnit, Tx},
};

#[derive(Debug, FromRow)]
struct EntryRow {
    id: Uuid,
    subject: String,
    account: String,
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
            subject: Subject::named(row.subject),
            account: place.word("account", &row.account)?,
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

#[derive(Debug, FromRow)]
struct BalanceRow {
    tenant_id: Uuid,
    currency: String,
    cost_micros: i64,
    price_micros: i64,
    reserved_micros: i64,
}

impl TryFrom<BalanceRow> for Balance {
    type Error = CorruptRow;

    fn try_from(row: BalanceRow) -> Result<Self, CorruptRow> {
        Ok(Self {
            currency: Place::new("ledger_balances", row.tenant_id).word("currency", &row.currency)?,
            cost_micros: row.cost_micros,
            price_micros: row.price_micros,
            reserved_micros: row.reserved_micros,
        })
    }
}

macro_rules! add {
    () => {
        "INSERT INTO ledger (tenant_id, id, subject, call_id, account, kind, provider, quantity, unit, amount_micros,
        currency, rating_version, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (tenant_id, subject, kind, rating_version) DO NOTHING"
    };
}

macro_rules! balance {
    () => {
        "ON CONFLICT (tenant_id, currency, period) DO UPDATE SET
        cost_micros = ledger_balances.cost_micros + excluded.cost_micros,
        price_micros = ledger_balances.price_micros + excluded.price_micros,
        reserved_micros = ledger_balances.reserved_micros + excluded.reserved_micros"
    };
}

/// An entry and the sums that it belongs to, in one trip to the database; what is there already is added to nothing. Sums
/// are always locked in the order of their periods.
const ADD: Dialects = Dialects {
    sqlite: concat!(
        add!(),
        "; INSERT INTO ledger_balances (tenant_id, currency, period, cost_micros, price_micros, reserved_micros)
    SELECT $1, $11, p.column1, $15, $16, $17 FROM (VALUES ('all'), ($14)) AS p WHERE changes() > 0 ",
        balance!()
    ),
    postgres: concat!(
        "WITH added AS (",
        add!(),
        " RETURNING tenant_id, currency)
    INSERT INTO ledger_balances (tenant_id, currency, period, cost_micros, price_micros, reserved_micros)
    SELECT a.tenant_id, a.currency, p.column1, $15, $16, $17 FROM added a, (VALUES ('all'), ($14)) AS p
    ORDER BY p.column1 ",
        balance!()
    ),
};

const OF_SUBJECT: &str = "
    SELECT id, subject, account, kind, provider, quantity, unit, amount_micros, currency, rating_version, at
    FROM ledger WHERE tenant_id = $1 AND subject = $2
    ORDER BY at, id";

const LIST: &str = "
    SELECT id, subject, account, kind, provider, quantity, unit, amount_micros, currency, rating_version, at
    FROM ledger WHERE tenant_id = $1 AND (at, id) < ($2, $3)
    ORDER BY at DESC, id DESC LIMIT $4";

const BALANCES: &str = "
    SELECT tenant_id, currency, cost_micros, price_micros, reserved_micros
    FROM ledger_balances WHERE tenant_id = $1 AND period = $2
    ORDER BY currency";

const BALANCES_OF_TENANTS: &str = "
    SELECT tenant_id, currency, cost_micros, price_micros, reserved_micros
    FROM ledger_balances
    WHERE period = $1 AND tenant_id IN (
        SELECT DISTINCT tenant_id FROM ledger_balances WHERE period = $1 AND tenant_id > $2 ORDER BY tenant_id LIMIT $3)
    ORDER BY tenant_id, currency";

/// The sums of every tenant.
pub(super) async fn balances_of_tenants(
    tx: &mut Tx,
    month: Option<&str>,
    after: Option<TenantId>,
    limit: u16,
) -> Result<Vec<(TenantId, Balance)>, StoreError> {
    const OPERATION: &str = "list the balances of all tenants";
    let period = month.unwrap_or(Windows::TOTAL);
    let after = after.map_or(Uuid::nil(), TenantId::as_uuid);
    let rows = all!(
        tx,
        OPERATION,
        BalanceRow,
        BALANCES_OF_TENANTS,
        period,
        after,
        i64::from(limit)
    )?;
    rows.into_iter()
        .map(|row| Ok((TenantId::from_uuid(row.tenant_id), Balance::try_from(row)?)))
        .collect::<Result<_, CorruptRow>>()
        .map_err(|row| row.during(OPERATION))
}

fn entries(operation: &'static str, rows: Vec<EntryRow>) -> Result<Vec<LedgerEntry>, StoreError> {
    rows.into_iter()
        .map(LedgerEntry::try_from)
        .collect::<Result<_, _>>()
        .map_err(|row| row.during(operation))
}

#[async_trait]
impl LedgerRepo for TenantUnit {
    async fn add(&mut self, entry: &LedgerEntry) -> Result<bool, StoreError> {
        let micros = entry.amount.amount_micros();
        let of = |account| if entry.account == account { micros } else { 0 };
        let sql = ADD.of(&self.tx);
        let rows = execute!(
            &mut self.tx,
            "add a ledger entry",
            sql,
            self.tenant,
            entry.id.as_uuid(),
            entry.subject.to_string(),
            entry.subject.call().map(CallId::as_uuid),
            word(&entry.account),
            &entry.kind,
            &entry.provider,
            entry.quantity,
            &entry.unit,
            micros,
            entry.amount.currency().code(),
            &entry.rating_version,
            entry.at.as_microsecond(),
            invoice_month(entry.at),
            of(Account::Cost),
            of(Account::Price),
            of(Account::Reservation),
        )?;
        Ok(rows > 0)
    }

    async fn of_call(&mut self, call: CallId) -> Result<Vec<LedgerEntry>, StoreError> {
        const OPERATION: &str = "list a call's entries";
        let subject = call.to_string();
        let rows = all!(
            &mut self.tx,
            OPERATION,
            EntryRow,
            OF_SUBJECT,
            self.tenant,
            subject.as_str()
        )?;
        entries(OPERATION, rows)
    }

    async fn list(&mut self, page: PageRequest) -> Result<Page<LedgerEntry>, StoreError> {
        const OPERATION: &str = "list the ledger";
        let keyset = Keyset::from(page);
        let rows = all!(
            &mut self.tx,
            OPERATION,
            EntryRow,
            LIST,
            self.tenant,
            keyset.at,
            keyset.id,
            keyset.rows
        )?;
        let cursor = |entry: &LedgerEntry| Cursor::new(entry.at, entry.id.as_uuid());
        Ok(Page::of(page, entries(OPERATION, rows)?, cursor))
    }

    async fn balances(&mut self, month: Option<&str>) -> Result<Vec<Balance>, StoreError> {
        const OPERATION: &str = "find the tenant's balances";
        let period = month.unwrap_or(Windows::TOTAL);
        let rows = all!(&mut self.tx, OPERATION, BalanceRow, BALANCES, self.tenant, period)?;
        rows.into_iter()
            .map(Balance::try_from)
            .collect::<Result<_, _>>()
            .map_err(|row| row.during(OPERATION))
    }
}
