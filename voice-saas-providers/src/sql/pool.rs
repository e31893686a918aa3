//! The operator's numbers, and who contacted whom from those that are shared.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    id::{JobId, PoolNumberId, SagaId, TenantId},
    money::{Currency, Money},
    number::{Lending, NumberPoolRepo, PoolFilter, PoolNumber, SharedContact, Wish},
    page::{Cursor, Page, PageRequest},
    phone::E164,
    provider::telephony::{NumberCapabilities, ProviderNumberId},
    store::{Route, StoreError, StoreErrorKind},
};

use super::{
    column::{CorruptRow, Place, micros, word},
    dialect::{self, Dialects},
    error::not_found,
    page::Keyset,
    query::{all, execute, filtered, optional},
    route,
    unit::SystemUnit,
};

#[derive(Debug, FromRow)]
struct PoolRow {
    id: Uuid,
    e164: String,
    provider: String,
    provider_number_id: Option<String>,
    kind: String,
    country: String,
    voice: bool,
    sms: bool,
    mms: bool,
    sharing: String,
    status: String,
    holder_id: Option<Uuid>,
    saga_id: Option<Uuid>,
    lent_at: Option<i64>,
    monthly_cost_micros: Option<i64>,
    monthly_cost_code: Option<String>,
    fill_id: Uuid,
    unused_since: i64,
    free_at: Option<i64>,
    version: i64,
    created_at: i64,
    provisioned_at: Option<i64>,
    retired_at: Option<i64>,
}

impl TryFrom<PoolRow> for PoolNumber {
    type Error = CorruptRow;

    fn try_from(row: PoolRow) -> Result<Self, CorruptRow> {
        let place = Place::new("pool_numbers", row.id);
        let mut number = Self::buying(
            PoolNumberId::from_uuid(row.id),
            place.read("e164", row.e164.parse())?,
            row.provider,
            place.read("country", row.country.parse())?,
            place.word("kind", &row.kind)?,
            JobId::from_uuid(row.fill_id),
            place.time("created_at", row.created_at)?,
        )
        .with_sharing(place.word("sharing", &row.sharing)?);
        number.provider_id = row.provider_number_id.map(ProviderNumberId::new);
        number.capabilities = NumberCapabilities {
            voice: row.voice,
            sms: row.sms,
            mms: row.mms,
        };
        number.status = place.word("status", &row.status)?;
        number.lending = match (row.holder_id, row.saga_id, row.lent_at) {
            (Some(tenant), Some(saga), Some(since)) => Some(Lending {
                tenant: TenantId::from_uuid(tenant),
                saga: SagaId::from_uuid(saga),
                since: place.time("lent_at", since)?,
            }),
            _ => None,
        };
        number.monthly_cost = match (row.monthly_cost_micros, row.monthly_cost_code) {
            (Some(micros), Some(code)) => {
                let currency: Currency = place.word("monthly_cost_code", &code)?;
                Some(Money::from_micros(micros, currency))
            }
            _ => None,
        };
        number.unused_since = place.time("unused_since", row.unused_since)?;
        number.free_at = place.optional_time("free_at", row.free_at)?;
        number.version = row.version;
        number.provisioned_at = place.optional_time("provisioned_at", row.provisioned_at)?;
        number.retired_at = place.optional_time("retired_at", row.retired_at)?;
        Ok(number)
    }
}

fn one(operation: &'static str, row: Option<PoolRow>) -> Result<Option<PoolNumber>, StoreError> {
    row.map(PoolNumber::try_from)
        .transpose()
        .map_err(|row| row.during(operation))
}

fn many(operation: &'static str, rows: Vec<PoolRow>) -> Result<Vec<PoolNumber>, StoreError> {
    rows.into_iter()
        .map(PoolNumber::try_from)
        .collect::<Result<_, _>>()
        .map_err(|row| row.during(operation))
}

macro_rules! columns {
    () => {
        "id, e164, provider, provider_number_id, kind, country, voice, sms, mms, sharing, status, holder_id, saga_id, \
        lent_at, monthly_cost_micros, monthly_cost_code, fill_id, unused_since, free_at, version, created_at, \
        provisioned_at, retired_at"
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM pool_numbers WHERE ", $rest)
    };
}

const ADD: &str = concat!(
    "INSERT INTO pool_numbers (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)"
);

// What a number is never changes; where it stands does.
const UPDATE: &str = "
    UPDATE pool_numbers SET provider_number_id = $3, voice = $4, sms = $5, mms = $6, status = $7, holder_id = $8,
        saga_id = $9, lent_at = $10, monthly_cost_micros = $11, monthly_cost_code = $12, unused_since = $13,
        free_at = $14, provisioned_at = $15, retired_at = $16, version = version + 1
    WHERE id = $1 AND version = $2";

const FIND: &str = select!("id = $1");

const LIST: &str = select!("(created_at, id) < (");

const OF_FILL: &str = select!("fill_id = $1 ORDER BY created_at, id");

// Chosen once: a subquery that locks gives other rows each time that a plan asks it again.
const LEND: &str = concat!(
    "WITH chosen (id) AS MATERIALIZED (
        SELECT id FROM pool_numbers
        WHERE status = 'free' AND sharing = 'exclusive' AND provider = $4 AND country = $5 AND kind = $6
            AND e164 LIKE $7
        ORDER BY unused_since, id LIMIT 1
        /*pg FOR UPDATE SKIP LOCKED */
    )
    UPDATE pool_numbers SET status = 'lent', holder_id = $1, saga_id = $2, lent_at = $3, free_at = NULL,
        version = version + 1
    WHERE status = 'free' AND id IN (SELECT id FROM chosen)
    RETURNING ",
    columns!()
);

const LENT_BY: &str = select!("holder_id = $1 AND saga_id = $2 AND status = 'lent'");

macro_rules! numbers_of {
    ($numbers:literal) => {
        concat!(
            select!("status <> 'retired' AND provider = $1 AND e164 IN ("),
            $numbers,
            ") UNION ALL ",
            select!("status = 'retired' AND retired_at >= $3 AND provider = $1 AND e164 IN ("),
            $numbers,
            ")"
        )
    };
}

const NUMBERS: Dialects = Dialects {
    sqlite: numbers_of!("SELECT value FROM json_each($2)"),
    postgres: numbers_of!("SELECT jsonb_array_elements_text($2)"),
};

const END_QUARANTINES: &str = "
    UPDATE pool_numbers SET status = 'free', free_at = NULL, version = version + 1
    WHERE status = 'quarantined' AND free_at <= $1";

const UNSEEN: &str = select!(
    "provider = $2 AND status IN ('free', 'quarantined') AND provisioned_at < $3 AND id > $4
        AND NOT EXISTS (SELECT 1 FROM reconciliation_seen s WHERE s.run_id = $1
            AND s.provider = pool_numbers.provider AND s.kind = 'number'
            AND s.provider_id = pool_numbers.provider_number_id)
    ORDER BY id LIMIT $5"
);

const RECORD_CONTACT: &str = "
    INSERT INTO shared_contacts (e164, peer, holder_id, agent_id, at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (e164, peer) DO UPDATE SET
        holder_id = excluded.holder_id, agent_id = excluded.agent_id, at = excluded.at
    WHERE shared_contacts.at <= excluded.at";

const IS_SHARED: &str = "
    SELECT id FROM pool_numbers WHERE e164 = $1 AND status = 'free' AND sharing = 'shared'";

const FORGET_CONTACTS: &str = "DELETE FROM shared_contacts WHERE at < $1";

#[async_trait]
impl NumberPoolRepo for SystemUnit {
    async fn add(&mut self, number: &PoolNumber) -> Result<(), StoreError> {
        execute!(
            &mut self.tx,
            "add a number to the pool",
            ADD,
            number.id.as_uuid(),
            number.number.as_str(),
            &number.provider,
            number.provider_id.as_ref().map(ProviderNumberId::as_str),
            word(&number.kind),
            number.country.code(),
            number.capabilities.voice,
            number.capabilities.sms,
            number.capabilities.mms,
            word(&number.sharing),
            word(&number.status),
            number.lending.map(|lending| lending.tenant.as_uuid()),
            number.lending.map(|lending| lending.saga.as_uuid()),
            micros(number.lending.map(|lending| lending.since)),
            number.monthly_cost.map(Money::amount_micros),
            number.monthly_cost.map(|cost| cost.currency().code()),
            number.fill.as_uuid(),
            number.unused_since.as_microsecond(),
            micros(number.free_at),
            number.version,
            number.created_at.as_microsecond(),
            micros(number.provisioned_at),
            micros(number.retired_at),
        )?;
        Ok(())
    }

    async fn find(&mut self, id: PoolNumberId) -> Result<PoolNumber, StoreError> {
        const OPERATION: &str = "find a number of the pool";
        let row = optional!(&mut self.tx, OPERATION, PoolRow, FIND, id.as_uuid())?;
        one(OPERATION, row)?.ok_or_else(|| not_found(OPERATION))
    }

    async fn update(&mut self, number: &mut PoolNumber) -> Result<(), StoreError> {
        const OPERATION: &str = "update a number of the pool";
        let rows = execute!(
            &mut self.tx,
            OPERATION,
            UPDATE,
            number.id.as_uuid(),
            number.version,
            number.provider_id.as_ref().map(ProviderNumberId::as_str),
            number.capabilities.voice,
            number.capabilities.sms,
            number.capabilities.mms,
            word(&number.status),
            number.lending.map(|lending| lending.tenant.as_uuid()),
            number.lending.map(|lending| lending.saga.as_uuid()),
            micros(number.lending.map(|lending| lending.since)),
            number.monthly_cost.map(Money::amount_micros),
            number.monthly_cost.map(|cost| cost.currency().code()),
            number.unused_since.as_microsecond(),
            micros(number.free_at),
            micros(number.provisioned_at),
            micros(number.retired_at),
        )?;
        if rows == 0 {
            NumberPoolRepo::find(self, number.id).await?;
            return Err(StoreError::new(OPERATION, StoreErrorKind::Stale));
        }
        number.version += 1;
        Ok(())
    }

    async fn list(&mut self, filter: PoolFilter, page: PageRequest) -> Result<Page<PoolNumber>, StoreError> {
        const OPERATION: &str = "list the pool";
        let keyset = Keyset::from(page);
        let rows = filtered!(&mut self.tx, OPERATION, PoolRow, LIST, query => {
            query.push_bind(keyset.at).push(", ").push_bind(keyset.id).push(")");
            match filter.status {
                Some(status) => query.push(" AND status = ").push_bind(word(&status)),
                None => query.push(" AND status <> 'retired'"),
            };
            query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(keyset.rows);
        })?;
        Ok(Page::of(page, many(OPERATION, rows)?, |number| {
            Cursor::new(number.created_at, number.id.as_uuid())
        }))
    }

    async fn of_fill(&mut self, job: JobId) -> Result<Vec<PoolNumber>, StoreError> {
        const OPERATION: &str = "find what a job set out to buy";
        let rows = all!(&mut self.tx, OPERATION, PoolRow, OF_FILL, job.as_uuid())?;
        many(OPERATION, rows)
    }

    async fn lend(&mut self, wish: &Wish, to: Lending) -> Result<Option<PoolNumber>, StoreError> {
        const OPERATION: &str = "lend a number of the pool";
        let sql = dialect::text(&self.tx, LEND);
        let row = optional!(
            &mut self.tx,
            OPERATION,
            PoolRow,
            sql,
            to.tenant.as_uuid(),
            to.saga.as_uuid(),
            to.since.as_microsecond(),
            &wish.provider,
            wish.country.code(),
            word(&wish.kind),
            format!("{}%", wish.prefix),
        )?;
        one(OPERATION, row)
    }

    async fn lent_by(&mut self, tenant: TenantId, saga: SagaId) -> Result<Option<PoolNumber>, StoreError> {
        const OPERATION: &str = "find the number that was lent";
        let (tenant, saga) = (tenant.as_uuid(), saga.as_uuid());
        let row = optional!(&mut self.tx, OPERATION, PoolRow, LENT_BY, tenant, saga)?;
        one(OPERATION, row)
    }

    async fn numbers(
        &mut self,
        provider: &str,
        numbers: &[E164],
        retired_since: Timestamp,
    ) -> Result<Vec<PoolNumber>, StoreError> {
        const OPERATION: &str = "find which numbers are in the pool";
        let sql = NUMBERS.of(&self.tx);
        let since = retired_since.as_microsecond();
        let rows = all!(
            &mut self.tx,
            OPERATION,
            PoolRow,
            sql,
            provider,
            Json(numbers),
            since
        )?;
        many(OPERATION, rows)
    }

    async fn end_quarantines(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let now = now.as_microsecond();
        execute!(&mut self.tx, "end quarantines", END_QUARANTINES, now)
    }

    async fn unseen(
        &mut self,
        run: JobId,
        provider: &str,
        held_before: Timestamp,
        after: Option<PoolNumberId>,
        limit: u16,
    ) -> Result<Vec<PoolNumber>, StoreError> {
        const OPERATION: &str = "find numbers of the pool that were not seen";
        let rows = all!(
            &mut self.tx,
            OPERATION,
            PoolRow,
            UNSEEN,
            run.as_uuid(),
            provider,
            held_before.as_microsecond(),
            after.map_or(Uuid::nil(), PoolNumberId::as_uuid),
            i64::from(limit)
        )?;
        many(OPERATION, rows)
    }

    async fn record_contact(&mut self, contact: &SharedContact) -> Result<bool, StoreError> {
        const OPERATION: &str = "note who calls from a shared number";
        let number = contact.number.as_str();
        let shared = optional!(&mut self.tx, OPERATION, (Uuid,), IS_SHARED, number)?;
        if shared.is_none() {
            return Ok(false);
        }
        execute!(
            &mut self.tx,
            OPERATION,
            RECORD_CONTACT,
            number,
            contact.peer.as_str(),
            contact.tenant.as_uuid(),
            contact.agent.as_uuid(),
            contact.at.as_microsecond(),
        )?;
        Ok(true)
    }

    async fn shared_route(
        &mut self,
        number: &E164,
        peer: &E164,
        since: Timestamp,
    ) -> Result<Option<Route>, StoreError> {
        route::find_shared(&mut self.tx, number, peer, since).await
    }

    async fn forget_contacts(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        let before = before.as_microsecond();
        execute!(
            &mut self.tx,
            "forget who called from shared numbers",
            FORGET_CONTACTS,
            before
        )
    }
}
