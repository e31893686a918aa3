//! An agent's object at its platform: made, kept up to date and deleted by jobs, so that none is lost.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Agent;
use crate::{
    VoiceSaas,
    id::{AgentId, JobId},
    job::{JobContext, JobError, JobHandler, NewJob},
    provider::voice_agent::{Binding, ProviderAgentId},
    store::{StoreError, TenantTx},
};

const ENSURE: &str = "agent.ensure_object";
const DELETE: &str = "agent.delete_object";

#[derive(Serialize, Deserialize)]
struct Ensure {
    agent: AgentId,
}

#[derive(Serialize, Deserialize)]
struct Delete {
    agent: AgentId,
    provider: String,
    object: Option<ProviderAgentId>,
}

/// Enqueues making the object or bringing it up to date; `None` for an agent that has none of its own.
pub(crate) async fn enqueue_ensure(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    agent: &Agent,
) -> Result<Option<JobId>, StoreError> {
    if agent.spec.binding == Binding::Shared {
        return Ok(None);
    }
    tx.tenant().require_open().await?;
    let ambient = app.ambient();
    let id = JobId::generate(ambient.ids());
    let job = NewJob::new(id, ENSURE, json!(Ensure { agent: agent.spec.id }), ambient.now())
        .with_unique_key(format!("{ENSURE}:{}:{}", agent.spec.id, agent.version));
    Ok(tx.jobs().enqueue(&job, ambient.now()).await?.then_some(id))
}

/// Enqueues deleting the object of an agent that is gone.
pub(super) async fn enqueue_delete(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    agent: &Agent,
) -> Result<(), StoreError> {
    if agent.spec.binding == Binding::Shared {
        return Ok(());
    }
    let payload = Delete {
        agent: agent.spec.id,
        provider: agent.provider.clone(),
        object: agent.provider_agent.clone(),
    };
    let ambient = app.ambient();
    let job = NewJob::new(
        JobId::generate(ambient.ids()),
        DELETE,
        json!(payload),
        ambient.now(),
    );
    tx.jobs().enqueue(&job, ambient.now()).await?;
    Ok(())
}

/// Makes an agent's object, or brings it up to date.
#[derive(Debug)]
pub(crate) struct EnsureAgentObject;

#[async_trait]
impl JobHandler for EnsureAgentObject {
    fn kind(&self) -> &'static str {
        ENSURE
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Ensure { agent: id } = context.payload()?;
        let app = context.app();
        let scope = context.scope()?;
        let agent = app.store().begin(scope).await?.agents().find(id).await?;
        let provider = app
            .voice_agents(&agent.provider)
            .ok_or_else(|| JobError::give_up("the agent's platform is not configured"))?;
        let object = provider
            .ensure_agent(&agent.spec, agent.provider_agent.as_ref())
            .await
            .map_err(|error| JobError::provider(&error))?;
        let mut tx = app.store().begin(scope).await?;
        match tx.agents().bind(id, Some(&object)).await {
            // Deleted while its object was being made.
            Err(error) if error.is_not_found() => {
                drop(tx);
                provider
                    .delete_agent(&object)
                    .await
                    .map_err(|error| JobError::provider(&error))?;
            }
            bound => {
                bound?;
                tx.commit().await?;
                app.routes().forget_all();
            }
        }
        Ok(())
    }
}

/// Deletes the object of an agent that is gone.
#[derive(Debug)]
pub(crate) struct DeleteAgentObject;

#[async_trait]
impl JobHandler for DeleteAgentObject {
    fn kind(&self) -> &'static str {
        DELETE
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Delete {
            agent,
            provider,
            object,
        } = context.payload()?;
        let Some(provider) = context.app().voice_agents(&provider) else {
            return Err(JobError::give_up("the agent's platform is not configured"));
        };
        let Some(object) = object else {
            tracing::info!(agent.id = %agent, "the agent had no object at its platform yet");
            return Ok(());
        };
        provider
            .delete_agent(&object)
            .await
            .map_err(|error| JobError::provider(&error))?;
        Ok(())
    }
}
