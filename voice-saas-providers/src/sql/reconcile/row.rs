//! Rows of reconciliation, and what they say.

use sqlx::{FromRow, types::Uuid};
use voice_saas_core::{
    id::{AgentId, FindingId, TenantId, TrunkId},
    money::{Currency, Money},
    number::PhoneNumber,
    provider::voice_agent::ProviderAgentId,
    reconcile::{Finding, KnownAgent, KnownTrunk, Observation},
    store::StoreError,
};

use crate::sql::{
    column::{CorruptRow, Place},
    number::NumberRow,
};

#[derive(Debug, FromRow)]
pub(super) struct FindingRow {
    id: Uuid,
    provider: String,
    kind: String,
    provider_id: String,
    classification: String,
    subject: String,
    detail: String,
    holder_id: Option<Uuid>,
    proposal: String,
    held_since: Option<i64>,
    monthly_cost_micros: Option<i64>,
    monthly_cost_code: Option<String>,
    state: String,
    resolution: Option<String>,
    created_at: i64,
    seen_at: i64,
    resolved_at: Option<i64>,
}

impl TryFrom<FindingRow> for Finding {
    type Error = CorruptRow;

    fn try_from(row: FindingRow) -> Result<Self, CorruptRow> {
        let place = Place::new("reconciliation_findings", row.id);
        let monthly_cost = match (row.monthly_cost_micros, row.monthly_cost_code) {
            (Some(micros), Some(code)) => {
                let currency: Currency = place.word("monthly_cost_code", &code)?;
                Some(Money::from_micros(micros, currency))
            }
            _ => None,
        };
        let mut seen = Observation::new(
            row.provider,
            place.word("kind", &row.kind)?,
            row.provider_id,
            place.word("classification", &row.classification)?,
            row.subject,
        )
        .with_detail(row.detail)
        .of_tenant(row.holder_id.map(TenantId::from_uuid))
        .with_terms(place.optional_time("held_since", row.held_since)?, monthly_cost);
        seen.proposal = place.word("proposal", &row.proposal)?;
        let created_at = place.time("created_at", row.created_at)?;
        let mut finding = Self::new(FindingId::from_uuid(row.id), seen, created_at);
        finding.state = place.word("state", &row.state)?;
        let resolution = row.resolution.as_deref();
        finding.resolution = resolution
            .map(|resolution| place.word("resolution", resolution))
            .transpose()?;
        finding.seen_at = place.time("seen_at", row.seen_at)?;
        finding.resolved_at = place.optional_time("resolved_at", row.resolved_at)?;
        Ok(finding)
    }
}

#[derive(Debug, FromRow)]
pub(super) struct NumberOfTenantRow {
    tenant_id: Uuid,
    #[sqlx(flatten)]
    number: NumberRow,
}

#[derive(Debug, FromRow)]
pub(super) struct KnownAgentRow {
    tenant_id: Uuid,
    id: Uuid,
    provider: String,
    provider_agent_id: Option<String>,
    deleted: bool,
}

impl From<KnownAgentRow> for KnownAgent {
    fn from(row: KnownAgentRow) -> Self {
        Self {
            tenant: TenantId::from_uuid(row.tenant_id),
            id: AgentId::from_uuid(row.id),
            provider: row.provider,
            object: row.provider_agent_id.map(ProviderAgentId::new),
            deleted: row.deleted,
        }
    }
}

#[derive(Debug, FromRow)]
pub(super) struct KnownTrunkRow {
    tenant_id: Uuid,
    id: Uuid,
    tag: String,
    status: String,
    created_at: i64,
    e164: String,
    takes_calls: bool,
}

pub(super) fn trunks(
    operation: &'static str,
    rows: Vec<KnownTrunkRow>,
) -> Result<Vec<KnownTrunk>, StoreError> {
    rows.into_iter()
        .map(|row| {
            let place = Place::new("trunks", row.id);
            Ok(KnownTrunk {
                tenant: TenantId::from_uuid(row.tenant_id),
                id: TrunkId::from_uuid(row.id),
                tag: row.tag,
                status: place.word("status", &row.status)?,
                created_at: place.time("created_at", row.created_at)?,
                number: place.word("number_id", &row.e164)?,
                takes_calls: row.takes_calls,
            })
        })
        .collect::<Result<_, CorruptRow>>()
        .map_err(|row| row.during(operation))
}

pub(super) fn numbers(
    operation: &'static str,
    rows: Vec<NumberOfTenantRow>,
) -> Result<Vec<(TenantId, PhoneNumber)>, StoreError> {
    rows.into_iter()
        .map(|row| {
            Ok((
                TenantId::from_uuid(row.tenant_id),
                PhoneNumber::try_from(row.number)?,
            ))
        })
        .collect::<Result<_, CorruptRow>>()
        .map_err(|row| row.during(operation))
}
