//! Numbers for all agents that have none: how tenants that existed before move in.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    NumberError, Numbers, ProvisionRequest, provision,
    service::{area_code, facet},
};
use crate::{
    VoiceSaas,
    id::{AgentId, JobId, TenantId},
    job::{JobContext, JobError, JobHandler, NewJob},
    phone::Country,
    scope::{Actor, SystemScope, TenantScope},
    store::StoreError,
    validate::Checks,
};

const KIND: &str = "number.provision_missing";

/// Agents looked at with one query.
const AT_ONCE: u16 = 100;

/// Which agents to give numbers to, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MissingRequest {
    /// Only those of this tenant.
    pub tenant: Option<TenantId>,
    /// Numbers of this country; of the tenant's own unless told otherwise.
    pub country: Option<Country>,
    /// Numbers of this area.
    pub area_code: Option<String>,
}

/// Agents without a number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the answer of one question")]
pub struct MissingNumbers {
    /// The first of them, in the order in which they get theirs.
    pub agents: Vec<(TenantId, AgentId)>,
    /// Whether there are more.
    pub more: bool,
}

impl Numbers<'_> {
    /// Active agents of tenants in good standing that have no number: for operators, before they buy any.
    ///
    /// # Errors
    /// `Invalid`, `Store`.
    pub async fn missing(&self, request: &MissingRequest, limit: u16) -> Result<MissingNumbers, NumberError> {
        check(request)?;
        let mut agents = page(self.app(), request.tenant, None, limit.saturating_add(1)).await?;
        let more = agents.len() > usize::from(limit);
        agents.truncate(limit.into());
        Ok(MissingNumbers { agents, more })
    }

    /// Gives each of them a number, in the background and each by a purchase of its own. Asking again goes on where it
    /// stopped: an agent that has a number, or is getting one, is left alone. `None` when it is under way.
    ///
    /// # Errors
    /// `Invalid`, `Provider` when there is no carrier, `Store`.
    pub async fn provision_missing(&self, request: &MissingRequest) -> Result<Option<JobId>, NumberError> {
        check(request)?;
        let app = self.app();
        facet(&**app.default_telephony()?)?;
        let now = app.ambient().now();
        let payload = Payload {
            tenant: request.tenant.map(|tenant| tenant.to_string()),
            country: request.country,
            area_code: request.area_code.clone(),
        };
        let whose = payload.tenant.clone().unwrap_or_else(|| "all".to_owned());
        let id = JobId::generate(app.ambient().ids());
        let job = NewJob::new(id, KIND, json!(payload), now).with_unique_key(format!("{KIND}:{whose}"));
        let mut tx = app
            .store()
            .begin_system(&SystemScope::mint("an operator gives numbers to agents"))
            .await?;
        let fresh = tx.job_queue().enqueue_system(&job, now).await?;
        tx.commit().await?;
        app.store().wake_jobs().await?;
        Ok(fresh.then_some(id))
    }
}

fn check(request: &MissingRequest) -> Result<(), NumberError> {
    let mut checks = Checks::new();
    area_code(request.area_code.as_deref(), &mut checks);
    Ok(checks.finish()?)
}

async fn page(
    app: &VoiceSaas,
    tenant: Option<TenantId>,
    after: Option<AgentId>,
    limit: u16,
) -> Result<Vec<(TenantId, AgentId)>, StoreError> {
    let scope = SystemScope::mint("find agents without a number");
    let mut tx = app.store().begin_system(&scope).await?;
    tx.agents_without_number(tenant, after, limit).await
}

// A tenant is written to JSON and never read from it, but by its text.
#[derive(Serialize, Deserialize)]
struct Payload {
    tenant: Option<String>,
    country: Option<Country>,
    area_code: Option<String>,
}

/// Begins a purchase for each agent without a number.
#[derive(Debug)]
pub(crate) struct ProvisionMissing;

#[async_trait]
impl JobHandler for ProvisionMissing {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let payload: Payload = context.payload()?;
        let app = context.app();
        let tenant = payload.tenant.as_deref().map(str::parse).transpose();
        let tenant = tenant.map_err(|error| JobError::give_up(format!("whose agents? {error}")))?;
        let mut after = None;
        loop {
            let agents = page(app, tenant, after, AT_ONCE).await?;
            for (tenant, agent) in &agents {
                let scope = TenantScope::mint(*tenant, Actor::Job(context.job().id));
                begin(app, &scope, *agent, &payload).await?;
            }
            app.store().wake_jobs().await?;
            match agents.last() {
                Some((_, last)) if agents.len() == usize::from(AT_ONCE) => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }
}

async fn begin(
    app: &VoiceSaas,
    scope: &TenantScope,
    agent: AgentId,
    payload: &Payload,
) -> Result<(), JobError> {
    let carrier = app
        .default_telephony()
        .map_err(|error| JobError::provider(&error))?;
    let mut tx = app.store().begin(scope).await?;
    let country = match payload.country {
        Some(country) => country,
        None => tx.tenant().get().await?.country,
    };
    let request = ProvisionRequest::new(country)
        .with_area_code(payload.area_code.clone())
        .for_agent(agent);
    match provision::begin(app, &mut *tx, request, carrier.name().as_str()).await {
        Ok(_) => Ok(tx.commit().await?),
        Err(NumberError::AlreadyAssigned) => Ok(()),
        // Deleted in the meantime.
        Err(NumberError::Store(error)) if error.is_not_found() => Ok(()),
        // The tenant's plan has no room: its other agents stay without one too.
        Err(NumberError::Plan(refusal)) => {
            tracing::info!(tenant.id = %scope.tenant_id(), agent.id = %agent, "no number for an agent: {refusal}");
            Ok(())
        }
        Err(NumberError::Store(error)) => Err(error.into()),
        Err(error) => Err(JobError::again(error.to_string())),
    }
}
