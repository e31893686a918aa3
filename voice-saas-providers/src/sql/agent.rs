//! A tenant's agents. `agents` says which version is the present one; `agent_versions` holds what each says.

use async_trait::async_trait;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    agent::{Agent, AgentRepo},
    id::AgentId,
    page::{Cursor, Page, PageRequest},
    provider::voice_agent::ProviderAgentId,
    store::{StoreError, StoreErrorKind},
};

use super::{
    column::{CorruptRow, JsonText, Place},
    error::{changed, not_found},
    page::Keyset,
    query::{all, execute, optional},
    unit::TenantUnit,
};

#[derive(Debug, FromRow)]
pub(super) struct AgentRow {
    pub(super) id: Uuid,
    pub(super) spec: JsonText,
    pub(super) version: i64,
    pub(super) active: bool,
    pub(super) tone: Option<String>,
    pub(super) provider: String,
    pub(super) provider_agent_id: Option<String>,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

impl TryFrom<AgentRow> for Agent {
    type Error = CorruptRow;

    fn try_from(row: AgentRow) -> Result<Self, CorruptRow> {
        let place = Place::new("agent_versions of agent", row.id);
        let created_at = place.time("created_at", row.created_at)?;
        let mut agent = Self::new(place.json("spec", &row.spec)?, row.provider, created_at);
        agent.version = place.number("version", row.version)?;
        agent.active = row.active;
        agent.tone = row.tone;
        agent.provider_agent = row.provider_agent_id.map(ProviderAgentId::new);
        agent.updated_at = place.time("updated_at", row.updated_at)?;
        Ok(agent)
    }
}

fn agents(operation: &'static str, rows: Vec<AgentRow>) -> Result<Vec<Agent>, StoreError> {
    rows.into_iter()
        .map(Agent::try_from)
        .collect::<Result<_, _>>()
        .map_err(|row| row.during(operation))
}

macro_rules! select {
    ($version:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, v.spec, v.version, v.active, v.tone, v.provider, a.provider_agent_id, a.created_at, ",
            "v.updated_at FROM agents a JOIN agent_versions v ON v.tenant_id = a.tenant_id AND v.agent_id = a.id ",
            "AND v.version = ",
            $version,
            " ",
            $rest
        )
    };
}

const ADD: &str = "
    INSERT INTO agents (tenant_id, id, version, provider_agent_id, created_at, deleted)
    VALUES ($1, $2, $3, $4, $5, FALSE)";

const ADD_VERSION: &str = "
    INSERT INTO agent_versions (tenant_id, agent_id, version, spec, active, tone, provider, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const FIND: &str = select!(
    "a.version",
    "WHERE a.tenant_id = $1 AND a.id = $2 AND NOT a.deleted"
);

const VERSION: &str = select!("$3", "WHERE a.tenant_id = $1 AND a.id = $2");

const LIST: &str = select!(
    "a.version",
    "WHERE a.tenant_id = $1 AND NOT a.deleted AND (a.created_at, a.id) < ($2, $3)
    ORDER BY a.created_at DESC, a.id DESC LIMIT $4"
);

const NEXT_VERSION: &str = "
    UPDATE agents SET version = version + 1
    WHERE tenant_id = $1 AND id = $2 AND version = $3 AND NOT deleted";

const BIND: &str =
    "UPDATE agents SET provider_agent_id = $3 WHERE tenant_id = $1 AND id = $2 AND NOT deleted";

const DELETE: &str = "UPDATE agents SET deleted = TRUE WHERE tenant_id = $1 AND id = $2 AND NOT deleted";

const UNLINK: &str = "DELETE FROM agent_numbers WHERE tenant_id = $1 AND agent_id = $2";

impl TenantUnit {
    async fn add_agent_version(&mut self, operation: &'static str, agent: &Agent) -> Result<(), StoreError> {
        execute!(
            &mut self.tx,
            operation,
            ADD_VERSION,
            self.tenant,
            agent.spec.id.as_uuid(),
            i64::from(agent.version),
            Json(&agent.spec),
            agent.active,
            agent.tone.as_deref(),
            &agent.provider,
            agent.updated_at.as_microsecond(),
        )?;
        Ok(())
    }

    async fn find_agent(&mut self, operation: &'static str, id: AgentId) -> Result<Agent, StoreError> {
        let row = optional!(&mut self.tx, operation, AgentRow, FIND, self.tenant, id.as_uuid())?;
        let row = row.ok_or_else(|| not_found(operation))?;
        Agent::try_from(row).map_err(|row| row.during(operation))
    }
}

#[async_trait]
impl AgentRepo for TenantUnit {
    async fn add(&mut self, agent: &Agent) -> Result<(), StoreError> {
        const OPERATION: &str = "add an agent";
        execute!(
            &mut self.tx,
            OPERATION,
            ADD,
            self.tenant,
            agent.spec.id.as_uuid(),
            i64::from(agent.version),
            agent.provider_agent.as_ref().map(ProviderAgentId::as_str),
            agent.created_at.as_microsecond(),
        )?;
        self.add_agent_version(OPERATION, agent).await
    }

    async fn find(&mut self, id: AgentId) -> Result<Agent, StoreError> {
        self.find_agent("find an agent", id).await
    }

    async fn version(&mut self, id: AgentId, version: u32) -> Result<Agent, StoreError> {
        const OPERATION: &str = "find a version of an agent";
        let (id, version) = (id.as_uuid(), i64::from(version));
        let row = optional!(
            &mut self.tx,
            OPERATION,
            AgentRow,
            VERSION,
            self.tenant,
            id,
            version
        )?;
        let row = row.ok_or_else(|| not_found(OPERATION))?;
        Agent::try_from(row).map_err(|row| row.during(OPERATION))
    }

    async fn list(&mut self, page: PageRequest) -> Result<Page<Agent>, StoreError> {
        const OPERATION: &str = "list the agents";
        let keyset = Keyset::from(page);
        let rows = all!(
            &mut self.tx,
            OPERATION,
            AgentRow,
            LIST,
            self.tenant,
            keyset.at,
            keyset.id,
            keyset.rows
        )?;
        Ok(Page::of(page, agents(OPERATION, rows)?, |agent| {
            Cursor::new(agent.created_at, agent.spec.id.as_uuid())
        }))
    }

    async fn save(&mut self, agent: &Agent) -> Result<Agent, StoreError> {
        const OPERATION: &str = "save an agent";
        let (id, version) = (agent.spec.id.as_uuid(), i64::from(agent.version));
        if execute!(&mut self.tx, OPERATION, NEXT_VERSION, self.tenant, id, version)? == 0 {
            self.find_agent(OPERATION, agent.spec.id).await?;
            return Err(StoreError::new(OPERATION, StoreErrorKind::Stale));
        }
        let mut next = agent.clone();
        next.version += 1;
        self.add_agent_version(OPERATION, &next).await?;
        self.find_agent(OPERATION, agent.spec.id).await
    }

    async fn bind(&mut self, id: AgentId, object: Option<&ProviderAgentId>) -> Result<(), StoreError> {
        const OPERATION: &str = "bind an agent";
        let object = object.map(ProviderAgentId::as_str);
        changed(
            OPERATION,
            execute!(&mut self.tx, OPERATION, BIND, self.tenant, id.as_uuid(), object)?,
        )
    }

    async fn delete(&mut self, id: AgentId) -> Result<(), StoreError> {
        const OPERATION: &str = "delete an agent";
        changed(
            OPERATION,
            execute!(&mut self.tx, OPERATION, DELETE, self.tenant, id.as_uuid())?,
        )?;
        execute!(&mut self.tx, OPERATION, UNLINK, self.tenant, id.as_uuid())?;
        Ok(())
    }
}
