//! An agent's object at its platform: made, kept up to date and deleted by jobs, so that none is lost.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Agent;
use crate::{
    VoiceSaas,
    id::{AgentId, JobId},
    job::{JobContext, JobError, JobHandler, NewJob},
    provider::voice_agent::{Binding, ProviderAgentId, VoiceAgentProvider},
    store::{StoreError, TenantTx},
};

const ENSURE: &str = "agent.ensure_object";
const DELETE: &str = "agent.delete_object";

#[derive(Serialize, Deserialize)]
struct Ensure {
    agent: AgentId,
    /// `None` in rows of an earlier version.
    provider: Option<String>,
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
    let payload = Ensure {
        agent: agent.spec.id,
        provider: Some(agent.provider.clone()),
    };
    let job = NewJob::new(id, ENSURE, json!(payload), ambient.now())
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
        let Ensure {
            agent: id,
            provider: platform,
        } = context.payload()?;
        let app = context.app();
        let scope = context.scope()?;
        let agent = match app.store().begin(scope).await?.agents().find(id).await {
            // Deleted before its object was known here; an attempt that was cut off may have made it all the same.
            Err(error) if error.is_not_found() => {
                let platform = platform.and_then(|name| app.voice_agents(&name));
                return match platform {
                    Some(platform) => delete_by_name(&**platform, id).await,
                    None => Ok(()),
                };
            }
            found => found?,
        };
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
            return delete_by_name(&**provider, agent).await;
        };
        provider
            .delete_agent(&object)
            .await
            .map_err(|error| JobError::provider(&error))?;
        Ok(())
    }
}

/// Deletes whatever was made for an agent, whether or not we got to hear of it.
async fn delete_by_name(provider: &dyn VoiceAgentProvider, agent: AgentId) -> Result<(), JobError> {
    let failed = |error| JobError::provider(&error);
    let name = agent.to_string();
    let (mut objects, mut page) = (Vec::new(), None);
    loop {
        let listed = provider.list_agents(page.as_deref()).await.map_err(failed)?;
        objects.extend(listed.items.into_iter().filter(|object| object.name == name));
        page = listed.next;
        if page.is_none() {
            break;
        }
    }
    for object in objects {
        tracing::info!(agent.id = %agent, object = object.id.as_str(), "found the object of an agent that is gone");
        provider.delete_agent(&object.id).await.map_err(failed)?;
    }
    Ok(())
}
