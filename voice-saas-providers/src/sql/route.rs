//! Numbers with all that decides what becomes of their calls, in one statement: it stands between a caller and the
//! first ring.

use jiff::Timestamp;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    agent::Agent,
    id::AgentId,
    number::PhoneNumber,
    phone::E164,
    store::{Route, StoreError},
    tenant::Tenant,
};

use super::{
    agent::AgentRow,
    column::{CorruptRow, JsonText},
    dialect::Dialects,
    number::NumberRow,
    query::all,
    tenant::TenantRow,
    unit::Tx,
};

/// The number and its tenant, with one of its agents, or with none: a number with three agents is three rows.
#[derive(Debug, FromRow)]
struct RouteRow {
    #[sqlx(flatten)]
    number: NumberRow,

    tenant_id: Uuid,
    tenant_name: String,
    tenant_status: String,
    platform: String,
    tenant_country: String,
    timezone: String,
    profile: JsonText,
    tenant_created_at: i64,

    // Of an agent all of these or none.
    spec: Option<JsonText>,
    version: Option<i64>,
    active: Option<bool>,
    tone: Option<String>,
    agent_provider: Option<String>,
    provider_agent_id: Option<String>,
    agent_created_at: Option<i64>,
    agent_updated_at: Option<i64>,
}

impl RouteRow {
    fn agent(&mut self) -> Option<AgentRow> {
        Some(AgentRow {
            id: self.number.agent_id?,
            spec: self.spec.take()?,
            version: self.version?,
            active: self.active?,
            tone: self.tone.take(),
            provider: self.agent_provider.take()?,
            provider_agent_id: self.provider_agent_id.take(),
            created_at: self.agent_created_at?,
            updated_at: self.agent_updated_at?,
        })
    }
}

macro_rules! holder {
    () => {
        "t.id AS tenant_id, t.name AS tenant_name, t.status AS tenant_status, t.platform, \
        t.country AS tenant_country, t.timezone, t.profile, t.created_at AS tenant_created_at, v.spec, v.version, \
        v.active, v.tone, v.provider AS agent_provider, a.provider_agent_id, a.created_at AS agent_created_at, \
        v.updated_at AS agent_updated_at "
    };
}

macro_rules! find {
    ($numbers:literal) => {
        concat!(
            "SELECT n.id, n.e164, n.provider, n.provider_number_id, n.friendly_name, n.voice, n.sms, n.mms, ",
            "n.status, n.country, n.monthly_cost_micros, n.monthly_cost_code, n.saga_id, n.created_at, ",
            "n.provisioned_at, n.released_at, n.owned, n.release_at, n.account, l.agent_id, ",
            holder!(),
            "FROM numbers n
            JOIN tenants t ON t.id = n.tenant_id
            LEFT JOIN agent_numbers l ON l.tenant_id = n.tenant_id AND l.number_id = n.id
            LEFT JOIN agents a ON a.tenant_id = l.tenant_id AND a.id = l.agent_id
            LEFT JOIN agent_versions v
                ON v.tenant_id = a.tenant_id AND v.agent_id = a.id AND v.version = a.version
            WHERE n.e164 IN (",
            $numbers,
            ") AND n.status <> 'released' AND n.status <> 'waiting_for_documents' ORDER BY n.id, l.position"
        )
    };
}

const FIND: Dialects = Dialects {
    sqlite: find!("SELECT value FROM json_each($1)"),
    postgres: find!("SELECT jsonb_array_elements_text($1)"),
};

/// Whose numbers they are and who answers them, without those that were released.
pub(super) async fn find(tx: &mut Tx, numbers: &[E164]) -> Result<Vec<Route>, StoreError> {
    const OPERATION: &str = "find whose number it is";
    let numbers = Json(numbers);
    let sql = FIND.of(tx);
    let rows = all!(tx, OPERATION, RouteRow, sql, numbers)?;
    gather(rows).map_err(|row| row.during(OPERATION))
}

// A shared number has no row among the tenants'; it is as if it were the one's who called last.
const FIND_SHARED: &str = concat!(
    "SELECT n.id, n.e164, n.provider, n.provider_number_id, n.e164 AS friendly_name, n.voice, n.sms, n.mms, ",
    "'active' AS status, n.country, n.monthly_cost_micros, n.monthly_cost_code, NULL AS saga_id, n.created_at, ",
    "n.provisioned_at, NULL AS released_at, 'pool' AS owned, NULL AS release_at, NULL AS account, a.id AS agent_id, ",
    holder!(),
    "FROM shared_contacts c
    JOIN pool_numbers n ON n.e164 = c.e164 AND n.status = 'free' AND n.sharing = 'shared'
    JOIN tenants t ON t.id = c.holder_id
    LEFT JOIN agents a ON a.tenant_id = c.holder_id AND a.id = c.agent_id AND NOT a.deleted
    LEFT JOIN agent_versions v ON v.tenant_id = a.tenant_id AND v.agent_id = a.id AND v.version = a.version
    WHERE c.e164 = $1 AND c.peer = $2 AND c.at >= $3"
);

/// Who contacted this peer last from this shared number.
pub(super) async fn find_shared(
    tx: &mut Tx,
    number: &E164,
    peer: &E164,
    since: Timestamp,
) -> Result<Option<Route>, StoreError> {
    const OPERATION: &str = "find who called from a shared number";
    let (number, peer, since) = (number.as_str(), peer.as_str(), since.as_microsecond());
    let rows = all!(tx, OPERATION, RouteRow, FIND_SHARED, number, peer, since)?;
    Ok(gather(rows).map_err(|row| row.during(OPERATION))?.pop())
}

/// Routes from rows in which those of one number stand together.
fn gather(rows: Vec<RouteRow>) -> Result<Vec<Route>, CorruptRow> {
    let mut routes: Vec<Route> = Vec::new();
    for mut row in rows {
        let agent = row.agent().map(Agent::try_from).transpose()?;
        match routes.last_mut() {
            Some(route) if route.number.id.as_uuid() == row.number.id => route
                .number
                .agents
                .extend(row.number.agent_id.map(AgentId::from_uuid)),
            _ => routes.push(Route {
                tenant: Tenant::try_from(TenantRow {
                    id: row.tenant_id,
                    name: row.tenant_name,
                    status: row.tenant_status,
                    platform: row.platform,
                    country: row.tenant_country,
                    timezone: row.timezone,
                    profile: row.profile,
                    created_at: row.tenant_created_at,
                })?,
                number: PhoneNumber::try_from(row.number)?,
                agents: Vec::new(),
            }),
        }
        if let Some(route) = routes.last_mut() {
            route.agents.extend(agent);
        }
    }
    Ok(routes)
}
