//! A tenant's numbers.

use async_trait::async_trait;
use sqlx::{FromRow, types::Uuid};
use voice_saas_core::{
    id::{AgentId, NumberId, SagaId},
    money::{Currency, Money},
    number::{NumberFilter, NumberRepo, PhoneNumber},
    page::{Cursor, Page, PageRequest},
    phone::E164,
    provider::telephony::{NumberCapabilities, ProviderNumberId, ProviderSubaccountId},
    store::StoreError,
};

use super::{
    column::{CorruptRow, Place, micros, word},
    dialect,
    error::{changed, not_found},
    page::Keyset,
    query::{all, execute, filtered, optional},
    unit::TenantUnit,
};

/// A number with one of its agents, or with none: a number with three agents is three rows.
#[derive(Debug, FromRow)]
pub(super) struct NumberRow {
    pub(super) id: Uuid,
    pub(super) e164: String,
    pub(super) provider: String,
    pub(super) provider_number_id: Option<String>,
    pub(super) friendly_name: String,
    pub(super) voice: bool,
    pub(super) sms: bool,
    pub(super) mms: bool,
    pub(super) status: String,
    pub(super) country: String,
    pub(super) monthly_cost_micros: Option<i64>,
    pub(super) monthly_cost_code: Option<String>,
    pub(super) saga_id: Option<Uuid>,
    pub(super) created_at: i64,
    pub(super) provisioned_at: Option<i64>,
    pub(super) owned: String,
    pub(super) release_at: Option<i64>,
    pub(super) released_at: Option<i64>,
    pub(super) account: Option<String>,
    pub(super) agent_id: Option<Uuid>,
}

impl TryFrom<NumberRow> for PhoneNumber {
    type Error = CorruptRow;

    fn try_from(row: NumberRow) -> Result<Self, CorruptRow> {
        let place = Place::new("numbers", row.id);
        let mut number = Self::pending(
            NumberId::from_uuid(row.id),
            place.read("e164", row.e164.parse())?,
            row.provider,
            place.read("country", row.country.parse())?,
            SagaId::from_uuid(row.saga_id.unwrap_or_default()),
            place.time("created_at", row.created_at)?,
        );
        number.provider_id = row.provider_number_id.map(ProviderNumberId::new);
        number.friendly_name = row.friendly_name;
        number.capabilities = NumberCapabilities {
            voice: row.voice,
            sms: row.sms,
            mms: row.mms,
        };
        number.status = place.word("status", &row.status)?;
        number.monthly_cost = match (row.monthly_cost_micros, row.monthly_cost_code) {
            (Some(micros), Some(code)) => {
                let currency: Currency = place.word("monthly_cost_code", &code)?;
                Some(Money::from_micros(micros, currency))
            }
            _ => None,
        };
        number.agents = row.agent_id.map(AgentId::from_uuid).into_iter().collect();
        number.saga = row.saga_id.map(SagaId::from_uuid);
        number.provisioned_at = place.optional_time("provisioned_at", row.provisioned_at)?;
        number.owned = place.word("owned", &row.owned)?;
        number.release_at = place.optional_time("release_at", row.release_at)?;
        number.released_at = place.optional_time("released_at", row.released_at)?;
        number.account = row.account.map(ProviderSubaccountId::new);
        Ok(number)
    }
}

/// Numbers from rows in which those of one number stand together.
fn gather(operation: &'static str, rows: Vec<NumberRow>) -> Result<Vec<PhoneNumber>, StoreError> {
    let mut numbers: Vec<PhoneNumber> = Vec::new();
    for row in rows {
        match numbers.last_mut() {
            Some(number) if number.id.as_uuid() == row.id => {
                number.agents.extend(row.agent_id.map(AgentId::from_uuid));
            }
            _ => numbers.push(PhoneNumber::try_from(row).map_err(|row| row.during(operation))?),
        }
    }
    Ok(numbers)
}

macro_rules! select {
    ($numbers:literal) => {
        concat!(
            "SELECT n.id, n.e164, n.provider, n.provider_number_id, n.friendly_name, n.voice, n.sms, ",
            "n.mms, n.status, n.country, n.monthly_cost_micros, n.monthly_cost_code, n.saga_id, n.created_at, ",
            "n.provisioned_at, n.released_at, n.owned, n.release_at, n.account, l.agent_id FROM ",
            $numbers
        )
    };
    ($numbers:literal, $rest:literal) => {
        concat!(select!($numbers), " n ", links!(), $rest)
    };
}

macro_rules! links {
    () => {
        "LEFT JOIN agent_numbers l ON l.tenant_id = n.tenant_id AND l.number_id = n.id "
    };
}

const ADD: &str = "
    INSERT INTO numbers (tenant_id, id, e164, provider, provider_number_id, friendly_name, voice, sms, mms, status,
        country, monthly_cost_micros, monthly_cost_code, saga_id, created_at, provisioned_at, released_at,
        owned, release_at, account)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

const UPDATE: &str = "
    UPDATE numbers SET e164 = $3, provider = $4, provider_number_id = $5, friendly_name = $6, voice = $7, sms = $8,
        mms = $9, status = $10, country = $11, monthly_cost_micros = $12, monthly_cost_code = $13, saga_id = $14,
        created_at = $15, provisioned_at = $16, released_at = $17, owned = $18, release_at = $19, account = $20
    WHERE tenant_id = $1 AND id = $2";

const FIND: &str = select!(
    "numbers",
    "WHERE n.tenant_id = $1 AND n.id = $2 ORDER BY l.position"
);

const FIND_BY_SAGA: &str = select!(
    "numbers",
    "WHERE n.tenant_id = $1 AND n.saga_id = $2 ORDER BY n.created_at, n.id, l.position"
);

const FIND_WAITING: &str = select!(
    "numbers",
    "WHERE n.tenant_id = $1 AND n.e164 = $2 AND n.status = 'waiting_for_documents'
    ORDER BY n.created_at, n.id, l.position"
);

// The page is cut before the agents join: it counts numbers, not rows.
const PAGE: &str = select!("(SELECT * FROM numbers p WHERE p.tenant_id = ");
const PAGE_OF_AGENT: &str = " AND EXISTS (SELECT 1 FROM agent_numbers a \
    WHERE a.tenant_id = p.tenant_id AND a.number_id = p.id AND a.agent_id = ";
const PAGE_END: &str = concat!(
    ") n ",
    links!(),
    "ORDER BY n.created_at DESC, n.id DESC, l.position"
);

// NO KEY leaves the foreign keys of other writers alone.
const LOCK_NUMBER: &str = "SELECT id FROM numbers WHERE tenant_id = $1 AND id = $2 /*pg FOR NO KEY UPDATE */";

const LOCK_AGENT: &str =
    "SELECT id FROM agents WHERE tenant_id = $1 AND id = $2 AND NOT deleted /*pg FOR NO KEY UPDATE */";

const LINK: &str = "
    INSERT INTO agent_numbers (tenant_id, number_id, agent_id, position)
    SELECT $1, $2, $3, coalesce(max(position), 0) + 1
    FROM agent_numbers WHERE tenant_id = $1 AND number_id = $2
    ON CONFLICT (tenant_id, number_id, agent_id) DO NOTHING";

const UNLINK: &str = "DELETE FROM agent_numbers WHERE tenant_id = $1 AND number_id = $2 AND agent_id = $3";

impl TenantUnit {
    /// Writes all columns of a number; how many rows it changed.
    async fn write_number(
        &mut self,
        operation: &'static str,
        sql: &'static str,
        number: &PhoneNumber,
    ) -> Result<u64, StoreError> {
        execute!(
            &mut self.tx,
            operation,
            sql,
            self.tenant,
            number.id.as_uuid(),
            number.number.as_str(),
            &number.provider,
            number.provider_id.as_ref().map(ProviderNumberId::as_str),
            &number.friendly_name,
            number.capabilities.voice,
            number.capabilities.sms,
            number.capabilities.mms,
            word(&number.status),
            number.country.code(),
            number.monthly_cost.map(Money::amount_micros),
            number.monthly_cost.map(|cost| cost.currency().code()),
            number.saga.map(SagaId::as_uuid),
            number.created_at.as_microsecond(),
            micros(number.provisioned_at),
            micros(number.released_at),
            word(&number.owned),
            micros(number.release_at),
            number.account.as_ref().map(ProviderSubaccountId::as_str),
        )
    }
}

#[async_trait]
impl NumberRepo for TenantUnit {
    async fn add(&mut self, number: &PhoneNumber) -> Result<(), StoreError> {
        self.write_number("add a number", ADD, number).await?;
        Ok(())
    }

    async fn find(&mut self, id: NumberId) -> Result<PhoneNumber, StoreError> {
        const OPERATION: &str = "find a number";
        let rows = all!(
            &mut self.tx,
            OPERATION,
            NumberRow,
            FIND,
            self.tenant,
            id.as_uuid()
        )?;
        gather(OPERATION, rows)?.pop().ok_or_else(|| not_found(OPERATION))
    }

    async fn find_by_saga(&mut self, saga: SagaId) -> Result<Option<PhoneNumber>, StoreError> {
        const OPERATION: &str = "find a saga's number";
        let rows = all!(
            &mut self.tx,
            OPERATION,
            NumberRow,
            FIND_BY_SAGA,
            self.tenant,
            saga.as_uuid()
        )?;
        Ok(gather(OPERATION, rows)?.pop())
    }

    async fn find_waiting(&mut self, number: &E164) -> Result<Option<PhoneNumber>, StoreError> {
        const OPERATION: &str = "find a number that waits for documents";
        let number = number.as_str();
        let rows = all!(
            &mut self.tx,
            OPERATION,
            NumberRow,
            FIND_WAITING,
            self.tenant,
            number
        )?;
        Ok(gather(OPERATION, rows)?.pop())
    }

    async fn update(&mut self, number: &PhoneNumber) -> Result<(), StoreError> {
        const OPERATION: &str = "update a number";
        changed(OPERATION, self.write_number(OPERATION, UPDATE, number).await?)
    }

    async fn list(
        &mut self,
        filter: NumberFilter,
        page: PageRequest,
    ) -> Result<Page<PhoneNumber>, StoreError> {
        const OPERATION: &str = "list the numbers";
        let keyset = Keyset::from(page);
        let rows = filtered!(&mut self.tx, OPERATION, NumberRow, PAGE, query => {
            query.push_bind(self.tenant);
            match filter.status {
                Some(status) => query.push(" AND p.status = ").push_bind(word(&status)),
                None => query.push(" AND p.status <> 'released'"),
            };
            if let Some(agent) = filter.agent {
                query.push(PAGE_OF_AGENT).push_bind(agent.as_uuid()).push(")");
            }
            query.push(" AND (p.created_at, p.id) < (").push_bind(keyset.at).push(", ").push_bind(keyset.id);
            query.push(") ORDER BY p.created_at DESC, p.id DESC LIMIT ").push_bind(keyset.rows).push(PAGE_END);
        })?;
        let numbers = gather(OPERATION, rows)?;
        Ok(Page::of(page, numbers, |number| {
            Cursor::new(number.created_at, number.id.as_uuid())
        }))
    }

    async fn link(&mut self, number: NumberId, agent: AgentId) -> Result<(), StoreError> {
        const OPERATION: &str = "link an agent to a number";
        let (number, agent) = (number.as_uuid(), agent.as_uuid());
        // Both rows stay locked, so that two links do not take one position and a deleted agent gets no link.
        for (select, id) in [(LOCK_NUMBER, number), (LOCK_AGENT, agent)] {
            let sql = dialect::text(&self.tx, select);
            optional!(&mut self.tx, OPERATION, (Uuid,), sql, self.tenant, id)?
                .ok_or_else(|| not_found(OPERATION))?;
        }
        execute!(&mut self.tx, OPERATION, LINK, self.tenant, number, agent)?;
        Ok(())
    }

    async fn unlink(&mut self, number: NumberId, agent: AgentId) -> Result<(), StoreError> {
        let (number, agent) = (number.as_uuid(), agent.as_uuid());
        execute!(
            &mut self.tx,
            "unlink an agent from a number",
            UNLINK,
            self.tenant,
            number,
            agent
        )?;
        Ok(())
    }
}
