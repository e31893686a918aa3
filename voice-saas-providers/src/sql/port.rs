//! A tenant's ports.

use async_trait::async_trait;
use jiff::civil::Date;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    id::{AgentId, JobId, PortId, SagaId},
    number::{Port, PortRepo, SealedOrder},
    page::{Cursor, Page, PageRequest},
    provider::telephony::{PortRequestId, ProviderSubaccountId},
    store::{StoreError, StoreErrorKind},
};

use super::{
    column::{CorruptRow, JsonText, Place, micros, word},
    error::not_found,
    page::Keyset,
    query::{all, execute, optional},
    unit::TenantUnit,
};

#[derive(Debug, FromRow)]
struct PortRow {
    id: Uuid,
    provider: String,
    account: Option<String>,
    lines: JsonText,
    agent_id: Option<Uuid>,
    target_date: Option<String>,
    status: String,
    carrier_status: Option<String>,
    signature_url: Option<String>,
    reason: Option<String>,
    request_id: Option<String>,
    sealed_order: Option<Vec<u8>>,
    attempts: i32,
    cancel: bool,
    job_id: Uuid,
    saga_id: Uuid,
    checked_at: Option<i64>,
    submitted_at: Option<i64>,
    ended_at: Option<i64>,
    created_at: i64,
    version: i64,
}

impl TryFrom<PortRow> for Port {
    type Error = CorruptRow;

    fn try_from(row: PortRow) -> Result<Self, CorruptRow> {
        let place = Place::new("ports", row.id);
        let mut port = Self::ordered(
            PortId::from_uuid(row.id),
            row.provider,
            place.json("lines", &row.lines)?,
            SealedOrder::from_bytes(Vec::new()),
            JobId::from_uuid(row.job_id),
            SagaId::from_uuid(row.saga_id),
            place.time("created_at", row.created_at)?,
        );
        port.account = row.account.map(ProviderSubaccountId::new);
        port.agent = row.agent_id.map(AgentId::from_uuid);
        let date = row.target_date.as_deref().map(str::parse::<Date>);
        port.target_date = place.read("target_date", date.transpose())?;
        port.status = place.word("status", &row.status)?;
        port.carrier_status = row.carrier_status;
        port.signature_url = row.signature_url;
        port.reason = row.reason;
        port.request = row.request_id.map(PortRequestId::new);
        port.order = row.sealed_order.map(SealedOrder::from_bytes);
        port.attempts = place.number("attempts", row.attempts)?;
        port.cancel = row.cancel;
        port.checked_at = place.optional_time("checked_at", row.checked_at)?;
        port.submitted_at = place.optional_time("submitted_at", row.submitted_at)?;
        port.ended_at = place.optional_time("ended_at", row.ended_at)?;
        port.version = row.version;
        Ok(port)
    }
}

fn ports(operation: &'static str, rows: Vec<PortRow>) -> Result<Vec<Port>, StoreError> {
    rows.into_iter()
        .map(Port::try_from)
        .collect::<Result<_, _>>()
        .map_err(|row| row.during(operation))
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, provider, lines, agent_id, target_date, status, carrier_status, signature_url, reason, ",
            "request_id, sealed_order, attempts, cancel, job_id, saga_id, checked_at, submitted_at, ended_at, ",
            "created_at, account, version FROM ports ",
            $rest
        )
    };
}

const ADD: &str = "
    INSERT INTO ports (tenant_id, id, version, provider, lines, agent_id, target_date, status, carrier_status,
        signature_url, reason, request_id, sealed_order, attempts, cancel, job_id, saga_id, checked_at, submitted_at,
        ended_at, created_at, account)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)";

const SAVE: &str = "
    UPDATE ports SET version = version + 1, provider = $4, lines = $5, agent_id = $6, target_date = $7, status = $8,
        carrier_status = $9, signature_url = $10, reason = $11, request_id = $12, sealed_order = $13, attempts = $14,
        cancel = $15, job_id = $16, saga_id = $17, checked_at = $18, submitted_at = $19, ended_at = $20,
        created_at = $21, account = $22
    WHERE tenant_id = $1 AND id = $2 AND version = $3";

const FIND: &str = select!("WHERE tenant_id = $1 AND id = $2");

const LIST: &str = select!(
    "WHERE tenant_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4"
);

const UNFINISHED: &str = select!(
    "WHERE tenant_id = $1 AND status NOT IN ('completed', 'canceled', 'expired', 'refused')
    ORDER BY created_at, id LIMIT 100"
);

impl TenantUnit {
    /// Writes all columns of a port; how many rows it changed.
    async fn write_port(
        &mut self,
        operation: &'static str,
        sql: &'static str,
        port: &Port,
    ) -> Result<u64, StoreError> {
        execute!(
            &mut self.tx,
            operation,
            sql,
            self.tenant,
            port.id.as_uuid(),
            port.version,
            &port.provider,
            Json(&port.lines),
            port.agent.map(AgentId::as_uuid),
            port.target_date.map(|date| date.to_string()),
            word(&port.status),
            port.carrier_status.as_deref(),
            port.signature_url.as_deref(),
            port.reason.as_deref(),
            port.request.as_ref().map(PortRequestId::as_str),
            port.order.as_ref().map(SealedOrder::as_bytes),
            i32::from(port.attempts),
            port.cancel,
            port.job.as_uuid(),
            port.saga.as_uuid(),
            micros(port.checked_at),
            micros(port.submitted_at),
            micros(port.ended_at),
            port.created_at.as_microsecond(),
            port.account.as_ref().map(ProviderSubaccountId::as_str),
        )
    }

    async fn find_port(&mut self, operation: &'static str, id: PortId) -> Result<Port, StoreError> {
        let row = optional!(&mut self.tx, operation, PortRow, FIND, self.tenant, id.as_uuid())?;
        let row = row.ok_or_else(|| not_found(operation))?;
        Port::try_from(row).map_err(|row| row.during(operation))
    }
}

#[async_trait]
impl PortRepo for TenantUnit {
    async fn add(&mut self, port: &Port) -> Result<(), StoreError> {
        self.write_port("add a port", ADD, port).await?;
        Ok(())
    }

    async fn find(&mut self, id: PortId) -> Result<Port, StoreError> {
        self.find_port("find a port", id).await
    }

    async fn save(&mut self, port: &mut Port) -> Result<(), StoreError> {
        const OPERATION: &str = "save a port";
        if self.write_port(OPERATION, SAVE, port).await? == 0 {
            self.find_port(OPERATION, port.id).await?;
            return Err(StoreError::new(OPERATION, StoreErrorKind::Stale));
        }
        port.version += 1;
        Ok(())
    }

    async fn list(&mut self, page: PageRequest) -> Result<Page<Port>, StoreError> {
        const OPERATION: &str = "list the ports";
        let keyset = Keyset::from(page);
        let rows = all!(
            &mut self.tx,
            OPERATION,
            PortRow,
            LIST,
            self.tenant,
            keyset.at,
            keyset.id,
            keyset.rows
        )?;
        Ok(Page::of(page, ports(OPERATION, rows)?, |port| {
            Cursor::new(port.created_at, port.id.as_uuid())
        }))
    }

    async fn unfinished(&mut self) -> Result<Vec<Port>, StoreError> {
        const OPERATION: &str = "list the ports that are not over";
        let rows = all!(&mut self.tx, OPERATION, PortRow, UNFINISHED, self.tenant)?;
        ports(OPERATION, rows)
    }
}
