//! A tenant's calls.

mod event;
mod row;
mod transcript;

use async_trait::async_trait;
use jiff::Timestamp;
use voice_saas_core::{
    call::{Call, CallEvent, CallEventKind, CallFilter, CallRepo, Transcript},
    id::CallId,
    page::{Cursor, Page, PageRequest},
    provider::{telephony::ProviderCallId, voice_agent::Turn},
    store::StoreError,
};

use self::row::{CallRow, SELECT, select};
use super::{
    column::word,
    dialect,
    error::{changed, not_found},
    page::Keyset,
    query::{execute, filtered, optional},
    unit::TenantUnit,
};

const FIND: &str = select!("tenant_id = $1 AND id = $2");

const FIND_FOR_UPDATE: &str = select!("tenant_id = $1 AND id = $2 /*pg FOR NO KEY UPDATE */");

const FIND_BY_PROVIDER_CALL: &str = select!("tenant_id = $1 AND provider = $2 AND provider_call_id = $3");

const CLAIM_MEDIA: &str =
    "UPDATE calls SET media_at = $3 WHERE tenant_id = $1 AND id = $2 AND media_at IS NULL AND live";

fn call(operation: &'static str, row: CallRow) -> Result<Call, StoreError> {
    Call::try_from(row).map_err(|row| row.during(operation))
}

impl TenantUnit {
    async fn find_call(&mut self, operation: &'static str, id: CallId) -> Result<Call, StoreError> {
        let row = optional!(&mut self.tx, operation, CallRow, FIND, self.tenant, id.as_uuid())?;
        call(operation, row.ok_or_else(|| not_found(operation))?)
    }
}

#[async_trait]
impl CallRepo for TenantUnit {
    async fn add(&mut self, call: &Call, first: &CallEventKind) -> Result<bool, StoreError> {
        row::add(&mut self.tx, "add a call", self.tenant, call, first).await
    }

    async fn find(&mut self, id: CallId) -> Result<Call, StoreError> {
        self.find_call("find a call", id).await
    }

    async fn find_for_update(&mut self, id: CallId) -> Result<Call, StoreError> {
        const OPERATION: &str = "lock a call";
        let sql = dialect::text(&self.tx, FIND_FOR_UPDATE);
        let row = optional!(&mut self.tx, OPERATION, CallRow, sql, self.tenant, id.as_uuid())?;
        call(OPERATION, row.ok_or_else(|| not_found(OPERATION))?)
    }

    async fn find_by_provider_call(
        &mut self,
        provider: &str,
        id: &ProviderCallId,
    ) -> Result<Option<Call>, StoreError> {
        const OPERATION: &str = "find a call by the carrier's id";
        let id = id.as_str();
        let row = optional!(
            &mut self.tx,
            OPERATION,
            CallRow,
            FIND_BY_PROVIDER_CALL,
            self.tenant,
            provider,
            id
        )?;
        row.map(|row| call(OPERATION, row)).transpose()
    }

    async fn update(&mut self, call: &Call) -> Result<(), StoreError> {
        const OPERATION: &str = "update a call";
        changed(
            OPERATION,
            row::update(&mut self.tx, OPERATION, self.tenant, call).await?,
        )
    }

    async fn claim_media(&mut self, id: CallId, at: Timestamp) -> Result<bool, StoreError> {
        const OPERATION: &str = "claim a call's media";
        let rows = execute!(
            &mut self.tx,
            OPERATION,
            CLAIM_MEDIA,
            self.tenant,
            id.as_uuid(),
            at.as_microsecond()
        )?;
        if rows == 0 {
            self.find_call(OPERATION, id).await?;
        }
        Ok(rows == 1)
    }

    async fn append(
        &mut self,
        id: CallId,
        at: Timestamp,
        kind: &CallEventKind,
    ) -> Result<CallEvent, StoreError> {
        event::append(&mut self.tx, self.tenant, id, at, kind).await
    }

    async fn events(&mut self, id: CallId, after: u32, limit: u16) -> Result<Vec<CallEvent>, StoreError> {
        event::list(&mut self.tx, self.tenant, id, after, i64::from(limit)).await
    }

    async fn save_transcript(&mut self, id: CallId, turns: &[Turn]) -> Result<(), StoreError> {
        transcript::save(&mut self.tx, self.tenant, id, turns).await
    }

    async fn transcript(&mut self, id: CallId) -> Result<Transcript, StoreError> {
        if let Some(turns) = transcript::saved(&mut self.tx, self.tenant, id).await? {
            return Ok(Transcript::recorded(turns));
        }
        let call = self.find_call("find a transcript", id).await?;
        let events = event::list(&mut self.tx, self.tenant, id, 0, i64::MAX).await?;
        Ok(Transcript::heard(call.started_at, &events))
    }

    async fn list(&mut self, filter: &CallFilter, page: PageRequest) -> Result<Page<Call>, StoreError> {
        const OPERATION: &str = "list the calls";
        let keyset = Keyset::from(page);
        let rows = filtered!(&mut self.tx, OPERATION, CallRow, SELECT, query => {
            query.push("tenant_id = ").push_bind(self.tenant);
            if let Some(status) = filter.status {
                query.push(" AND status = ").push_bind(status.as_str());
            }
            if let Some(direction) = filter.direction {
                query.push(" AND direction = ").push_bind(word(&direction));
            }
            if let Some(agent) = filter.agent {
                query.push(" AND agent_id = ").push_bind(agent.as_uuid());
            }
            if let Some(from) = &filter.from {
                query.push(" AND caller = ").push_bind(from.as_str());
            }
            if let Some(to) = &filter.to {
                query.push(" AND callee = ").push_bind(to.as_str());
            }
            if let Some(since) = filter.since {
                query.push(" AND started_at >= ").push_bind(since.as_microsecond());
            }
            if let Some(until) = filter.until {
                query.push(" AND started_at < ").push_bind(until.as_microsecond());
            }
            query.push(" AND (started_at, id) < (").push_bind(keyset.at).push(", ").push_bind(keyset.id);
            query.push(") ORDER BY started_at DESC, id DESC LIMIT ").push_bind(keyset.rows);
        })?;
        let calls = rows
            .into_iter()
            .map(|row| call(OPERATION, row))
            .collect::<Result<_, _>>()?;
        Ok(Page::of(page, calls, |call: &Call| {
            Cursor::new(call.started_at, call.id.as_uuid())
        }))
    }
}
