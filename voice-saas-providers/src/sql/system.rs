//! The named look-ups across tenants.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{FromRow, types::Uuid};
use voice_saas_core::{
    auth::AccountRepo,
    call::UnroutedCall,
    event::OutboxQueue,
    id::{AgentId, CallId, TenantId, UnroutedCallId},
    job::JobQueue,
    ledger::Balance,
    number::NumberPoolRepo,
    page::{Cursor, Page, PageRequest},
    phone::E164,
    provider::telephony::{ProviderCallId, ProviderSubaccountId},
    reconcile::ReconciliationRepo,
    store::{Route, StoreError, SystemTx},
    subaccount::Subaccount,
    tenant::Tenant,
};

use super::{
    column::{CorruptRow, Place},
    ledger,
    page::Keyset,
    query::{all, execute, optional},
    route, subaccount, tenant,
    unit::SystemUnit,
};

const OWNER_OF_CALL: &str = "SELECT tenant_id, id FROM calls WHERE provider = $1 AND provider_call_id = $2";

const UNENDED_CALLS: &str =
    "SELECT tenant_id, id FROM calls WHERE live AND started_at < $1 ORDER BY started_at LIMIT $2";

// Links go with the number: one that is linked is not released.
const AGENTS_WITHOUT_NUMBER: &str = "
    SELECT a.tenant_id, a.id FROM agents a
    JOIN agent_versions v ON v.tenant_id = a.tenant_id AND v.agent_id = a.id AND v.version = a.version
    JOIN tenants t ON t.id = a.tenant_id
    WHERE NOT a.deleted AND v.active AND t.status IN ('trial', 'active', 'past_due')
        AND ($1 IS NULL OR a.tenant_id = $1) AND a.id > $2
        AND NOT EXISTS (SELECT 1 FROM agent_numbers l WHERE l.tenant_id = a.tenant_id AND l.agent_id = a.id)
    ORDER BY a.id LIMIT $3";

const ADD_UNROUTED_CALL: &str = "
    INSERT INTO unrouted_calls (id, provider, provider_call_id, caller, callee, at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (provider, provider_call_id) DO NOTHING";

const UNROUTED_CALLS: &str = "
    SELECT id, provider, provider_call_id, caller, callee, at FROM unrouted_calls
    WHERE (at, id) < ($1, $2)
    ORDER BY at DESC, id DESC LIMIT $3";

const FORGET: [&str; 3] = [
    "DELETE FROM idempotency_keys WHERE started_at < $1",
    "DELETE FROM outbox WHERE delivered_at < $1",
    "DELETE FROM refresh_tokens WHERE expires_at < $1",
];

#[derive(Debug, FromRow)]
struct UnroutedCallRow {
    id: Uuid,
    provider: String,
    provider_call_id: String,
    caller: String,
    callee: String,
    at: i64,
}

impl TryFrom<UnroutedCallRow> for UnroutedCall {
    type Error = CorruptRow;

    fn try_from(row: UnroutedCallRow) -> Result<Self, CorruptRow> {
        Ok(Self {
            id: UnroutedCallId::from_uuid(row.id),
            provider: row.provider,
            provider_call: ProviderCallId::new(row.provider_call_id),
            from: row.caller,
            to: row.callee,
            at: Place::new("unrouted_calls", row.id).time("at", row.at)?,
        })
    }
}

fn call_of_tenant((tenant, call): (Uuid, Uuid)) -> (TenantId, CallId) {
    (TenantId::from_uuid(tenant), CallId::from_uuid(call))
}

#[async_trait]
impl SystemTx for SystemUnit {
    fn accounts(&mut self) -> &mut dyn AccountRepo {
        self
    }

    fn job_queue(&mut self) -> &mut dyn JobQueue {
        self
    }

    fn outbox_queue(&mut self) -> &mut dyn OutboxQueue {
        self
    }

    fn number_pool(&mut self) -> &mut dyn NumberPoolRepo {
        self
    }

    fn reconciliation(&mut self) -> &mut dyn ReconciliationRepo {
        self
    }

    async fn routes(&mut self, numbers: &[E164]) -> Result<Vec<Route>, StoreError> {
        route::find(&mut self.tx, numbers).await
    }

    async fn owner_of_call(
        &mut self,
        provider: &str,
        call: &ProviderCallId,
    ) -> Result<Option<(TenantId, CallId)>, StoreError> {
        const OPERATION: &str = "find whose call it is";
        let row = optional!(
            &mut self.tx,
            OPERATION,
            (Uuid, Uuid),
            OWNER_OF_CALL,
            provider,
            call.as_str()
        )?;
        Ok(row.map(call_of_tenant))
    }

    async fn subaccount(
        &mut self,
        provider: &str,
        id: &ProviderSubaccountId,
    ) -> Result<Option<(TenantId, Subaccount)>, StoreError> {
        subaccount::of_any_tenant(&mut self.tx, provider, id).await
    }

    async fn tenant(&mut self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        tenant::find(&mut self.tx, "find a tenant", id.as_uuid()).await
    }

    async fn agents_without_number(
        &mut self,
        tenant: Option<TenantId>,
        after: Option<AgentId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, AgentId)>, StoreError> {
        let rows = all!(
            &mut self.tx,
            "find agents without a number",
            (Uuid, Uuid),
            AGENTS_WITHOUT_NUMBER,
            tenant.map(TenantId::as_uuid),
            after.map_or(Uuid::nil(), AgentId::as_uuid),
            i64::from(limit)
        )?;
        let agents = rows.into_iter();
        Ok(agents
            .map(|(tenant, agent)| (TenantId::from_uuid(tenant), AgentId::from_uuid(agent)))
            .collect())
    }

    async fn unended_calls(
        &mut self,
        started_before: Timestamp,
        limit: u16,
    ) -> Result<Vec<(TenantId, CallId)>, StoreError> {
        const OPERATION: &str = "list calls that have not ended";
        let started_before = started_before.as_microsecond();
        let rows = all!(
            &mut self.tx,
            OPERATION,
            (Uuid, Uuid),
            UNENDED_CALLS,
            started_before,
            i64::from(limit)
        )?;
        Ok(rows.into_iter().map(call_of_tenant).collect())
    }

    async fn balances_of_tenants(
        &mut self,
        month: Option<&str>,
        after: Option<TenantId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, Balance)>, StoreError> {
        ledger::balances_of_tenants(&mut self.tx, month, after, limit).await
    }

    async fn add_unrouted_call(&mut self, call: &UnroutedCall) -> Result<(), StoreError> {
        execute!(
            &mut self.tx,
            "add an unrouted call",
            ADD_UNROUTED_CALL,
            call.id.as_uuid(),
            &call.provider,
            call.provider_call.as_str(),
            &call.from,
            &call.to,
            call.at.as_microsecond(),
        )?;
        Ok(())
    }

    async fn unrouted_calls(&mut self, page: PageRequest) -> Result<Page<UnroutedCall>, StoreError> {
        const OPERATION: &str = "list the unrouted calls";
        let keyset = Keyset::from(page);
        let rows = all!(
            &mut self.tx,
            OPERATION,
            UnroutedCallRow,
            UNROUTED_CALLS,
            keyset.at,
            keyset.id,
            keyset.rows
        )?;
        let calls = rows
            .into_iter()
            .map(UnroutedCall::try_from)
            .collect::<Result<_, _>>()
            .map_err(|row| row.during(OPERATION))?;
        Ok(Page::of(page, calls, |call: &UnroutedCall| {
            Cursor::new(call.at, call.id.as_uuid())
        }))
    }

    async fn forget(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        let mut rows = 0;
        for sql in FORGET {
            rows += execute!(&mut self.tx, "forget old rows", sql, before.as_microsecond())?;
        }
        Ok(rows)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.tx.commit().await
    }
}
