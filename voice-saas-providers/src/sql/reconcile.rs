//! Findings, and the look-ups of reconciliation, each a page of a provider's list at a time.

mod row;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::types::{Json, Uuid};
use voice_saas_core::{
    id::{AgentId, CallId, FindingId, JobId, NumberId, SagaId, SubaccountId, TenantId, TrunkId},
    money::Money,
    number::PhoneNumber,
    page::{Cursor, Page, PageRequest},
    phone::E164,
    provider::telephony::{ProviderCallId, ProviderSubaccountId},
    reconcile::{
        Finding, FindingFilter, KnownAgent, KnownSaga, KnownTrunk, LiveCall, ReconciliationRepo, Resolution,
        ResourceKind,
    },
    store::StoreError,
    subaccount::Subaccount,
};

use self::row::{FindingRow, KnownAgentRow, KnownTrunkRow, NumberOfTenantRow, numbers, trunks};
use super::{
    column::{CorruptRow, Place, micros, word},
    dialect::Dialects,
    error::not_found,
    page::Keyset,
    query::{all, execute, filtered, optional},
    subaccount,
    unit::SystemUnit,
};

// What was seen anew keeps its id and its beginning, and is open again.
const REPORT: &str = "
    INSERT INTO reconciliation_findings (id, provider, kind, provider_id, classification, subject, detail, holder_id,
        proposal, held_since, monthly_cost_micros, monthly_cost_code, state, created_at, seen_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'open', $13, $14)
    ON CONFLICT (provider, kind, provider_id, classification) DO UPDATE SET
        subject = excluded.subject, detail = excluded.detail, holder_id = excluded.holder_id,
        proposal = excluded.proposal, held_since = excluded.held_since,
        monthly_cost_micros = excluded.monthly_cost_micros, monthly_cost_code = excluded.monthly_cost_code,
        state = 'open', seen_at = excluded.seen_at, resolution = NULL, resolved_at = NULL";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, provider, kind, provider_id, classification, subject, detail, holder_id, proposal, held_since, ",
            "monthly_cost_micros, monthly_cost_code, state, resolution, created_at, seen_at, resolved_at ",
            "FROM reconciliation_findings WHERE ",
            $rest
        )
    };
}

const FIND: &str = select!("id = $1");

const LIST: &str = select!("(created_at, id) < (");

const RESOLVE: &str = "
    UPDATE reconciliation_findings SET state = 'resolved', resolution = $2, resolved_at = $3
    WHERE id = $1 AND state = 'open'";

const RESOLVE_UNSEEN: &str = "
    UPDATE reconciliation_findings SET state = 'resolved', resolution = 'gone', resolved_at = $4
    WHERE provider = $1 AND kind = $2 AND seen_at < $3 AND state = 'open'";

const MARK_SEEN: Dialects = Dialects {
    sqlite: "
        INSERT INTO reconciliation_seen (run_id, provider, kind, provider_id)
        SELECT $1, $2, $3, value FROM json_each($4) WHERE TRUE
        ON CONFLICT (run_id, provider, kind, provider_id) DO NOTHING",
    postgres: "
        INSERT INTO reconciliation_seen (run_id, provider, kind, provider_id)
        SELECT $1, $2, $3, jsonb_array_elements_text($4)
        ON CONFLICT (run_id, provider, kind, provider_id) DO NOTHING",
};

const FORGET_SEEN: &str = "DELETE FROM reconciliation_seen WHERE run_id = $1";

macro_rules! numbers {
    ($rest:literal) => {
        concat!(
            "SELECT n.tenant_id, n.id, n.e164, n.provider, n.provider_number_id, n.friendly_name, n.voice, n.sms, ",
            "n.mms, n.status, n.country, n.monthly_cost_micros, n.monthly_cost_code, n.saga_id, n.created_at, ",
            "n.provisioned_at, n.released_at, n.owned, n.release_at, n.account, NULL AS agent_id FROM numbers n WHERE ",
            $rest
        )
    };
}

/// The ones that are held, by their own index, and those that were released a moment ago, by theirs.
macro_rules! numbers_of {
    ($numbers:literal) => {
        concat!(
            numbers!("n.status <> 'released' AND n.status <> 'waiting_for_documents' AND n.provider = $1 AND n.e164 IN ("),
            $numbers,
            ") UNION ALL ",
            numbers!("n.status = 'released' AND n.released_at >= $3 AND n.provider = $1 AND n.e164 IN ("),
            $numbers,
            ")"
        )
    };
}

const NUMBERS: Dialects = Dialects {
    sqlite: numbers_of!("SELECT value FROM json_each($2)"),
    postgres: numbers_of!("SELECT jsonb_array_elements_text($2)"),
};

const UNSEEN_NUMBERS: &str = numbers!(
    "n.provider = $2 AND n.status = 'active' AND n.provisioned_at < $3 AND n.id > $4
        AND NOT EXISTS (SELECT 1 FROM reconciliation_seen s WHERE s.run_id = $1 AND s.provider = n.provider
            AND s.kind = 'number' AND s.provider_id = n.provider_number_id)
    ORDER BY n.id LIMIT $5"
);

macro_rules! agents {
    ($rest:literal) => {
        concat!(
            "SELECT a.tenant_id, a.id, v.provider, a.provider_agent_id, a.deleted FROM agents a ",
            "JOIN agent_versions v ON v.tenant_id = a.tenant_id AND v.agent_id = a.id AND v.version = a.version ",
            "WHERE ",
            $rest
        )
    };
}

const UNSEEN_AGENTS: &str = agents!(
    "NOT a.deleted AND a.provider_agent_id IS NOT NULL AND v.provider = $2 AND v.updated_at < $3 AND a.id > $4
        AND NOT EXISTS (SELECT 1 FROM reconciliation_seen s WHERE s.run_id = $1 AND s.provider = v.provider
            AND s.kind = 'agent' AND s.provider_id = a.provider_agent_id)
    ORDER BY a.id LIMIT $5"
);

macro_rules! trunks {
    ($rest:literal) => {
        concat!(
            "SELECT t.tenant_id, t.id, t.tag, t.status, t.created_at, n.e164, n.status = 'active' AS takes_calls ",
            "FROM trunks t JOIN numbers n ON n.tenant_id = t.tenant_id AND n.id = t.number_id WHERE ",
            $rest
        )
    };
}

const TRUNKS: &str = trunks!("t.id IN (");

const UNSEEN_TRUNKS: &str = trunks!(
    "t.status = 'active' AND (t.carrier = $2 OR t.media = $2) AND t.created_at < $3 AND t.id > $4
        AND NOT EXISTS (SELECT 1 FROM reconciliation_seen s WHERE s.run_id = $1 AND s.provider = $2
            AND s.kind = 'trunk' AND s.provider_id = t.tag)
    ORDER BY t.id LIMIT $5"
);

const LIVE_CALLS: &str = "
    SELECT c.tenant_id, c.id, c.provider_call_id, c.started_at, n.account FROM calls c
    LEFT JOIN numbers n ON n.tenant_id = c.tenant_id AND n.id = c.number_id
    WHERE c.live AND c.provider = $1 AND c.started_at < $2 AND c.id > $3 AND c.provider_call_id IS NOT NULL
    ORDER BY c.id LIMIT $4";

const AGENTS: &str = agents!("a.id IN (");

const SAGAS: &str = "SELECT tenant_id, id, kind, status IN ('running', 'undoing') FROM sagas WHERE id IN (";

#[async_trait]
impl ReconciliationRepo for SystemUnit {
    async fn report(&mut self, finding: &Finding) -> Result<(), StoreError> {
        let seen = &finding.seen;
        execute!(
            &mut self.tx,
            "report a finding",
            REPORT,
            finding.id.as_uuid(),
            &seen.provider,
            word(&seen.kind),
            &seen.provider_id,
            word(&seen.classification),
            &seen.subject,
            &seen.detail,
            seen.tenant.map(TenantId::as_uuid),
            word(&seen.proposal),
            micros(seen.held_since),
            seen.monthly_cost.map(Money::amount_micros),
            seen.monthly_cost.map(|cost| cost.currency().code()),
            finding.created_at.as_microsecond(),
            finding.seen_at.as_microsecond(),
        )?;
        Ok(())
    }

    async fn finding(&mut self, id: FindingId) -> Result<Finding, StoreError> {
        const OPERATION: &str = "find a finding";
        let row = optional!(&mut self.tx, OPERATION, FindingRow, FIND, id.as_uuid())?;
        let row = row.ok_or_else(|| not_found(OPERATION))?;
        Finding::try_from(row).map_err(|row| row.during(OPERATION))
    }

    async fn findings(
        &mut self,
        filter: &FindingFilter,
        page: PageRequest,
    ) -> Result<Page<Finding>, StoreError> {
        const OPERATION: &str = "list the findings";
        let keyset = Keyset::from(page);
        let rows = filtered!(&mut self.tx, OPERATION, FindingRow, LIST, query => {
            query.push_bind(keyset.at).push(", ").push_bind(keyset.id).push(")");
            if let Some(state) = &filter.state {
                query.push(" AND state = ").push_bind(word(state));
            }
            if let Some(provider) = filter.provider.clone() {
                query.push(" AND provider = ").push_bind(provider);
            }
            if let Some(kind) = &filter.kind {
                query.push(" AND kind = ").push_bind(word(kind));
            }
            if let Some(classification) = &filter.classification {
                query.push(" AND classification = ").push_bind(word(classification));
            }
            query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(keyset.rows);
        })?;
        let findings = rows
            .into_iter()
            .map(Finding::try_from)
            .collect::<Result<_, _>>()
            .map_err(|row| row.during(OPERATION))?;
        Ok(Page::of(page, findings, |finding: &Finding| {
            Cursor::new(finding.created_at, finding.id.as_uuid())
        }))
    }

    async fn resolve(
        &mut self,
        id: FindingId,
        resolution: Resolution,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (id, at) = (id.as_uuid(), at.as_microsecond());
        let rows = execute!(
            &mut self.tx,
            "settle a finding",
            RESOLVE,
            id,
            word(&resolution),
            at
        )?;
        Ok(rows == 1)
    }

    async fn resolve_unseen(
        &mut self,
        provider: &str,
        kind: ResourceKind,
        seen_before: Timestamp,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        execute!(
            &mut self.tx,
            "settle findings that are gone",
            RESOLVE_UNSEEN,
            provider,
            word(&kind),
            seen_before.as_microsecond(),
            at.as_microsecond()
        )
    }

    async fn mark_seen(
        &mut self,
        run: JobId,
        provider: &str,
        kind: ResourceKind,
        ids: &[String],
    ) -> Result<(), StoreError> {
        let sql = MARK_SEEN.of(&self.tx);
        let run = run.as_uuid();
        execute!(
            &mut self.tx,
            "remember what was seen",
            sql,
            run,
            provider,
            word(&kind),
            Json(ids)
        )?;
        Ok(())
    }

    async fn forget_seen(&mut self, run: JobId) -> Result<(), StoreError> {
        execute!(&mut self.tx, "forget what was seen", FORGET_SEEN, run.as_uuid())?;
        Ok(())
    }

    async fn numbers(
        &mut self,
        provider: &str,
        wanted: &[E164],
        released_since: Timestamp,
    ) -> Result<Vec<(TenantId, PhoneNumber)>, StoreError> {
        const OPERATION: &str = "find whose numbers these are";
        let sql = NUMBERS.of(&self.tx);
        let since = released_since.as_microsecond();
        let rows = all!(
            &mut self.tx,
            OPERATION,
            NumberOfTenantRow,
            sql,
            provider,
            Json(wanted),
            since
        )?;
        numbers(OPERATION, rows)
    }

    async fn unseen_numbers(
        &mut self,
        run: JobId,
        provider: &str,
        held_before: Timestamp,
        after: Option<NumberId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, PhoneNumber)>, StoreError> {
        const OPERATION: &str = "find numbers that were not seen";
        let rows = all!(
            &mut self.tx,
            OPERATION,
            NumberOfTenantRow,
            UNSEEN_NUMBERS,
            run.as_uuid(),
            provider,
            held_before.as_microsecond(),
            after.map_or(Uuid::nil(), NumberId::as_uuid),
            i64::from(limit)
        )?;
        numbers(OPERATION, rows)
    }

    async fn agents(&mut self, ids: &[AgentId]) -> Result<Vec<KnownAgent>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = filtered!(&mut self.tx, "find whose agents these are", KnownAgentRow, AGENTS, query => {
            let mut list = query.separated(", ");
            for id in ids {
                list.push_bind(id.as_uuid());
            }
            query.push(")");
        })?;
        Ok(rows.into_iter().map(KnownAgent::from).collect())
    }

    async fn unseen_agents(
        &mut self,
        run: JobId,
        provider: &str,
        changed_before: Timestamp,
        after: Option<AgentId>,
        limit: u16,
    ) -> Result<Vec<KnownAgent>, StoreError> {
        let rows = all!(
            &mut self.tx,
            "find agents that were not seen",
            KnownAgentRow,
            UNSEEN_AGENTS,
            run.as_uuid(),
            provider,
            changed_before.as_microsecond(),
            after.map_or(Uuid::nil(), AgentId::as_uuid),
            i64::from(limit)
        )?;
        Ok(rows.into_iter().map(KnownAgent::from).collect())
    }

    async fn trunks(&mut self, ids: &[TrunkId]) -> Result<Vec<KnownTrunk>, StoreError> {
        const OPERATION: &str = "find whose trunks these are";
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = filtered!(&mut self.tx, OPERATION, KnownTrunkRow, TRUNKS, query => {
            let mut list = query.separated(", ");
            for id in ids {
                list.push_bind(id.as_uuid());
            }
            query.push(")");
        })?;
        trunks(OPERATION, rows)
    }

    async fn unseen_trunks(
        &mut self,
        run: JobId,
        provider: &str,
        made_before: Timestamp,
        after: Option<TrunkId>,
        limit: u16,
    ) -> Result<Vec<KnownTrunk>, StoreError> {
        const OPERATION: &str = "find trunks that were not seen";
        let rows = all!(
            &mut self.tx,
            OPERATION,
            KnownTrunkRow,
            UNSEEN_TRUNKS,
            run.as_uuid(),
            provider,
            made_before.as_microsecond(),
            after.map_or(Uuid::nil(), TrunkId::as_uuid),
            i64::from(limit)
        )?;
        trunks(OPERATION, rows)
    }

    async fn live_calls(
        &mut self,
        provider: &str,
        started_before: Timestamp,
        after: Option<CallId>,
        limit: u16,
    ) -> Result<Vec<LiveCall>, StoreError> {
        const OPERATION: &str = "list live calls of a carrier";
        let rows = all!(
            &mut self.tx,
            OPERATION,
            (Uuid, Uuid, String, i64, Option<String>),
            LIVE_CALLS,
            provider,
            started_before.as_microsecond(),
            after.map_or(Uuid::nil(), CallId::as_uuid),
            i64::from(limit)
        )?;
        rows.into_iter()
            .map(|(tenant, id, provider_call, started_at, account)| {
                Ok(LiveCall {
                    tenant: TenantId::from_uuid(tenant),
                    id: CallId::from_uuid(id),
                    provider_call: ProviderCallId::new(provider_call),
                    account: account.map(ProviderSubaccountId::new),
                    started_at: Place::new("calls", id).time("started_at", started_at)?,
                })
            })
            .collect::<Result<_, CorruptRow>>()
            .map_err(|row| row.during(OPERATION))
    }

    async fn subaccounts(
        &mut self,
        provider: &str,
        after: Option<SubaccountId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, Subaccount)>, StoreError> {
        subaccount::walk(&mut self.tx, provider, after, limit).await
    }

    async fn known_subaccounts(
        &mut self,
        provider: &str,
        ids: &[ProviderSubaccountId],
        tenants: &[TenantId],
    ) -> Result<Vec<(TenantId, Subaccount)>, StoreError> {
        subaccount::known(&mut self.tx, provider, ids, tenants).await
    }

    async fn unseen_subaccounts(
        &mut self,
        run: JobId,
        provider: &str,
        made_before: Timestamp,
        after: Option<SubaccountId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, Subaccount)>, StoreError> {
        subaccount::unseen(&mut self.tx, run, provider, made_before, after, limit).await
    }

    async fn sagas(&mut self, ids: &[SagaId]) -> Result<Vec<KnownSaga>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = filtered!(&mut self.tx, "find whose sagas these are", (Uuid, Uuid, String, bool), SAGAS, query => {
            let mut list = query.separated(", ");
            for id in ids {
                list.push_bind(id.as_uuid());
            }
            query.push(")");
        })?;
        let sagas = rows.into_iter().map(|(tenant, id, kind, under_way)| KnownSaga {
            tenant: TenantId::from_uuid(tenant),
            id: SagaId::from_uuid(id),
            kind,
            under_way,
        });
        Ok(sagas.collect())
    }
}
