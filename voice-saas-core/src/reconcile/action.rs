//! Settling a finding, as a job: what an operator decided outlives the process.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    Action, Finding, FindingState, Resolution,
    inventory::{self, ActionError, Inventory},
    run::job_error,
};
use crate::{
    VoiceSaas,
    id::{FindingId, JobId, TenantId},
    job::{JobContext, JobError, JobHandler, NewJob},
    scope::SystemScope,
};

/// What the job is called.
pub(super) const KIND: &str = "reconcile.apply";

#[derive(Serialize, Deserialize)]
struct Payload {
    finding: FindingId,
    action: Action,
    /// A tenant's id as a store's column holds it: a job's payload is written by us alone.
    tenant: Option<Uuid>,
}

/// The job that settles the finding this way. While it is unfinished, no other is enqueued for the same finding.
pub(super) fn job(app: &VoiceSaas, finding: FindingId, action: Action, tenant: Option<TenantId>) -> NewJob {
    let ambient = app.ambient();
    let payload = Payload {
        finding,
        action,
        tenant: tenant.map(TenantId::as_uuid),
    };
    NewJob::new(
        JobId::generate(ambient.ids()),
        KIND,
        json!(payload),
        ambient.now(),
    )
    .with_unique_key(format!("{KIND}:{finding}"))
    .with_max_attempts(50)
}

/// Takes the action if it still may be taken, and settles the finding.
pub(super) async fn take(
    app: &VoiceSaas,
    inventory: &dyn Inventory,
    finding: &Finding,
    action: Action,
    tenant: Option<TenantId>,
    key: JobId,
) -> Result<Resolution, ActionError> {
    // An adoption that was begun before holds the number itself already.
    if action != Action::Adopt {
        inventory.check(app, finding, action).await?;
    }
    let resolution = inventory.apply(app, finding, action, tenant, key).await?;
    let system = SystemScope::mint("an operator settles a finding");
    let mut tx = app.store().begin_system(&system).await?;
    tx.reconciliation()
        .resolve(finding.id, resolution, app.ambient().now())
        .await?;
    tx.commit().await?;
    tracing::info!(
        reason = system.reason(),
        finding.id = %finding.id,
        provider = finding.seen.provider,
        provider_id = finding.seen.provider_id,
        tenant.id = ?tenant.or(finding.seen.tenant),
        ?action,
        ?resolution,
        "a finding was settled"
    );
    Ok(resolution)
}

/// Settles a finding.
#[derive(Debug)]
pub(crate) struct ApplyFinding;

#[async_trait]
impl JobHandler for ApplyFinding {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Payload {
            finding,
            action,
            tenant,
        } = context.payload()?;
        let app = context.app();
        let system = SystemScope::mint("settle a finding");
        let mut tx = app.store().begin_system(&system).await?;
        let finding = tx.reconciliation().finding(finding).await?;
        drop(tx);
        if finding.state == FindingState::Resolved {
            return Ok(());
        }
        let inventory = inventory::of(finding.seen.kind)
            .ok_or_else(|| JobError::give_up("nothing settles findings of this kind"))?;
        let tenant = tenant.map(TenantId::from_uuid);
        let key = context.job().id;
        let taken = take(app, inventory, &finding, action, tenant, key).await;
        taken.map(drop).map_err(job_error)
    }
}
