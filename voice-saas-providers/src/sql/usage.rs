//! What a tenant used, and what its calls have reserved.

use async_trait::async_trait;
use sqlx::{FromRow, types::Uuid};
use voice_saas_core::{
    entitlement::Entitlement,
    id::CallId,
    money::{Currency, Money},
    plan::PlanId,
    store::StoreError,
    usage::{
        Admitted, Holdings, Reservation, ReservationState, Standing, UsageQuery, UsageRepo, Used, Windows,
    },
};

use super::{
    column::{CorruptRow, Place, word},
    dialect::Dialects,
    entitlement::EntitlementRow,
    query::{execute, optional},
    unit::TenantUnit,
};

#[derive(Debug, FromRow)]
struct StandingRow {
    #[sqlx(flatten)]
    entitlement: EntitlementRow,
    tenant_id: Uuid,
    status: String,
    calls_total: i64,
    calls_day: i64,
    calls_week: i64,
    calls_month: i64,
    seconds_month: i64,
    running: i64,
    cost_micros: i64,
    price_micros: i64,
    held_micros: i64,
}

impl TryFrom<StandingRow> for Standing {
    type Error = CorruptRow;

    fn try_from(row: StandingRow) -> Result<Self, CorruptRow> {
        let place = Place::new("usage", row.tenant_id);
        let number = |metric, used| place.number::<u64>(metric, used);
        Ok(Self {
            status: Place::new("tenants", row.tenant_id).word("status", &row.status)?,
            entitlement: Entitlement::try_from(row.entitlement)?,
            used: Used {
                calls_total: number("used", row.calls_total)?,
                calls_day: number("used", row.calls_day)?,
                calls_week: number("used", row.calls_week)?,
                calls_month: number("used", row.calls_month)?,
                seconds_month: number("used", row.seconds_month)?,
                running: number("used", row.running)?,
                cost_micros: row.cost_micros,
                price_micros: row.price_micros,
                held_micros: row.held_micros,
            },
        })
    }
}

macro_rules! used {
    ($metric:literal, $window:literal, $name:literal) => {
        concat!(
            "coalesce((SELECT u.used FROM usage u WHERE u.tenant_id = e.tenant_id AND u.metric = '",
            $metric,
            "' AND u.window_key = ",
            $window,
            "), 0) AS ",
            $name
        )
    };
}

macro_rules! spent {
    ($column:literal, $period:literal, $name:literal) => {
        concat!(
            "coalesce((SELECT b.",
            $column,
            " FROM ledger_balances b WHERE b.tenant_id = e.tenant_id AND b.currency = $5 AND b.period = ",
            $period,
            "), 0) AS ",
            $name
        )
    };
}

/// Everything in one statement, each part of it by a key.
const STANDING: &str = concat!(
    "SELECT e.tenant_id, e.plan, e.source, e.trial_ends_at, e.period_from, e.period_until, e.grace_until, e.version, ",
    "e.updated_at, t.status, ",
    used!("calls", "'all'", "calls_total"),
    ", ",
    used!("calls", "$2", "calls_day"),
    ", ",
    used!("calls", "$3", "calls_week"),
    ", ",
    used!("calls", "$4", "calls_month"),
    ", ",
    used!("seconds", "$4", "seconds_month"),
    ", (SELECT count(*) FROM reservations r WHERE r.tenant_id = e.tenant_id AND r.state = 'reserved') AS running, ",
    spent!("cost_micros", "$6", "cost_micros"),
    ", ",
    spent!("price_micros", "$6", "price_micros"),
    ", ",
    spent!("reserved_micros", "'all'", "held_micros"),
    " FROM entitlements e JOIN tenants t ON t.id = e.tenant_id WHERE e.tenant_id = $1"
);

/// By itself, because what a statement sees is from before it had to wait. `SQLite` has one writer, which this is.
#[cfg(feature = "postgres")]
const LOCK: &str = "SELECT 1 FROM entitlements WHERE tenant_id = $1 FOR NO KEY UPDATE";

/// A number that is being bought or imported has no row yet; its saga says so.
const HOLDINGS: &str = "
    SELECT
        (SELECT count(*) FROM numbers n
            WHERE n.tenant_id = $1 AND n.status NOT IN ('released', 'waiting_for_documents'))
        + (SELECT count(*) FROM sagas s
            WHERE s.tenant_id = $1 AND s.status = 'running' AND s.kind IN ('number.provision', 'number.import')
                AND NOT EXISTS (SELECT 1 FROM numbers n WHERE n.tenant_id = s.tenant_id AND n.saga_id = s.id)),
        (SELECT count(*) FROM agents a WHERE a.tenant_id = $1 AND NOT a.deleted)";

macro_rules! reserve {
    () => {
        "INSERT INTO reservations (tenant_id, call_id, state, day_key, week_key, month_key, plan, unit_price_micros,
        minute_price_micros, held_micros, currency, max_seconds, at)
    VALUES ($1, $2, 'reserved', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (tenant_id, call_id) DO NOTHING"
    };
}

/// The reservation and its counters, in one trip to the database. Counters are always locked in the order of their keys.
const RESERVE: Dialects = Dialects {
    sqlite: concat!(
        reserve!(),
        "; INSERT INTO usage (tenant_id, metric, window_key, used)
    SELECT $1, 'calls', w.column1, 1 FROM (VALUES ('all'), ($3), ($4), ($5)) AS w WHERE changes() > 0
    ON CONFLICT (tenant_id, metric, window_key) DO UPDATE SET used = usage.used + 1"
    ),
    postgres: concat!(
        "WITH reserved AS (",
        reserve!(),
        " RETURNING tenant_id)
    INSERT INTO usage (tenant_id, metric, window_key, used)
    SELECT r.tenant_id, 'calls', w.column1, 1 FROM reserved r, (VALUES ('all'), ($3), ($4), ($5)) AS w
    ORDER BY w.column1
    ON CONFLICT (tenant_id, metric, window_key) DO UPDATE SET used = usage.used + 1"
    ),
};

const FIND: &str = "
    SELECT call_id, state, day_key, week_key, month_key, plan, unit_price_micros, minute_price_micros, held_micros,
        currency, max_seconds, at
    FROM reservations WHERE tenant_id = $1 AND call_id = $2";

const SETTLE: &str = "
    UPDATE reservations SET state = $3 WHERE tenant_id = $1 AND call_id = $2 AND state = 'reserved'
    RETURNING call_id, state, day_key, week_key, month_key, plan, unit_price_micros, minute_price_micros, held_micros,
        currency, max_seconds, at";

const COUNT: &str = "
    INSERT INTO usage (tenant_id, metric, window_key, used)
    SELECT $1, $2, w.column1, CAST($6 AS BIGINT) FROM (VALUES ('all'), ($3), ($4), ($5)) AS w
    WHERE TRUE ORDER BY w.column1
    ON CONFLICT (tenant_id, metric, window_key) DO UPDATE SET used = usage.used + excluded.used";

#[derive(Debug, FromRow)]
struct ReservationRow {
    call_id: Uuid,
    state: String,
    day_key: String,
    week_key: String,
    month_key: String,
    plan: String,
    unit_price_micros: Option<i64>,
    minute_price_micros: Option<i64>,
    held_micros: Option<i64>,
    currency: Option<String>,
    max_seconds: Option<i64>,
    at: i64,
}

impl TryFrom<ReservationRow> for Reservation {
    type Error = CorruptRow;

    fn try_from(row: ReservationRow) -> Result<Self, CorruptRow> {
        let place = Place::new("reservations", row.call_id);
        let currency: Option<Currency> = row
            .currency
            .as_deref()
            .map(|code| place.word("currency", code))
            .transpose()?;
        let money = |micros: Option<i64>| {
            let pair = micros.zip(currency);
            pair.map(|(micros, currency)| Money::from_micros(micros, currency))
        };
        let mut admitted = Admitted::under(PlanId::new(row.plan));
        admitted.unit_price = money(row.unit_price_micros);
        admitted.minute_price = money(row.minute_price_micros);
        admitted.held = money(row.held_micros);
        admitted.max_seconds = row
            .max_seconds
            .map(|seconds| place.number("max_seconds", seconds))
            .transpose()?;
        let windows = Windows {
            day: row.day_key,
            week: row.week_key,
            month: row.month_key,
        };
        let call = CallId::from_uuid(row.call_id);
        let mut reservation = Self::new(call, &admitted, windows, place.time("at", row.at)?);
        reservation.state = place.word("state", &row.state)?;
        Ok(reservation)
    }
}

fn reservation(
    operation: &'static str,
    row: Option<ReservationRow>,
) -> Result<Option<Reservation>, StoreError> {
    row.map(Reservation::try_from)
        .transpose()
        .map_err(|row| row.during(operation))
}

impl TenantUnit {
    async fn count(
        &mut self,
        operation: &'static str,
        metric: &str,
        windows: &Windows,
        more: i64,
    ) -> Result<(), StoreError> {
        execute!(
            &mut self.tx,
            operation,
            COUNT,
            self.tenant,
            metric,
            &windows.day,
            &windows.week,
            &windows.month,
            more
        )
        .map(drop)
    }
}

#[async_trait]
impl UsageRepo for TenantUnit {
    async fn standing_for_update(&mut self, query: &UsageQuery<'_>) -> Result<Option<Standing>, StoreError> {
        #[cfg(feature = "postgres")]
        if matches!(self.tx, super::unit::Tx::Postgres(_)) {
            execute!(&mut self.tx, "lock the tenant's entitlement", LOCK, self.tenant)?;
        }
        self.standing(query).await
    }

    async fn standing(&mut self, query: &UsageQuery<'_>) -> Result<Option<Standing>, StoreError> {
        const OPERATION: &str = "see what the tenant may use";
        let row = optional!(
            &mut self.tx,
            OPERATION,
            StandingRow,
            STANDING,
            self.tenant,
            &query.windows.day,
            &query.windows.week,
            &query.windows.month,
            query.currency.code(),
            query.invoice_month
        )?;
        row.map(Standing::try_from)
            .transpose()
            .map_err(|row| row.during(OPERATION))
    }

    async fn holdings(&mut self) -> Result<Holdings, StoreError> {
        const OPERATION: &str = "count what the tenant holds";
        let row = optional!(&mut self.tx, OPERATION, (i64, i64), HOLDINGS, self.tenant)?;
        let (numbers, agents) = row.unwrap_or_default();
        let place = Place::new("tenants", self.tenant);
        let count = |column, rows| {
            place
                .number::<u64>(column, rows)
                .map_err(|row| row.during(OPERATION))
        };
        Ok(Holdings {
            numbers: count("numbers", numbers)?,
            agents: count("agents", agents)?,
        })
    }

    async fn reserve(&mut self, reservation: &Reservation) -> Result<bool, StoreError> {
        let money = [reservation.unit_price, reservation.minute_price, reservation.held];
        let currency = money.into_iter().flatten().next().map(Money::currency);
        let [unit_price, minute_price, held] = money.map(|money| money.map(Money::amount_micros));
        let sql = RESERVE.of(&self.tx);
        let rows = execute!(
            &mut self.tx,
            "reserve a call",
            sql,
            self.tenant,
            reservation.call.as_uuid(),
            &reservation.windows.day,
            &reservation.windows.week,
            &reservation.windows.month,
            reservation.plan.as_str(),
            unit_price,
            minute_price,
            held,
            currency.map(|currency| currency.code()),
            reservation.max_seconds.map(i64::from),
            reservation.at.as_microsecond(),
        )?;
        Ok(rows > 0)
    }

    async fn reservation(&mut self, call: CallId) -> Result<Option<Reservation>, StoreError> {
        const OPERATION: &str = "find a call's reservation";
        let row = optional!(
            &mut self.tx,
            OPERATION,
            ReservationRow,
            FIND,
            self.tenant,
            call.as_uuid()
        )?;
        reservation(OPERATION, row)
    }

    async fn settle(
        &mut self,
        call: CallId,
        connected: bool,
        seconds: u32,
    ) -> Result<Option<Reservation>, StoreError> {
        const OPERATION: &str = "settle a call's reservation";
        let Some(state) = ReservationState::Reserved.settle(connected) else {
            return Ok(None);
        };
        let row = optional!(
            &mut self.tx,
            OPERATION,
            ReservationRow,
            SETTLE,
            self.tenant,
            call.as_uuid(),
            word(&state)
        )?;
        let Some(settled) = reservation(OPERATION, row)? else {
            return Ok(None);
        };
        match state {
            ReservationState::Counted if seconds > 0 => {
                let seconds = i64::from(seconds);
                self.count(OPERATION, "seconds", &settled.windows, seconds)
                    .await?;
            }
            ReservationState::Returned => self.count(OPERATION, "calls", &settled.windows, -1).await?,
            ReservationState::Counted | ReservationState::Reserved => {}
        }
        Ok(Some(settled))
    }
}
