//! Taking trunks away.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{TrunkStatus, side::remove_both};
use crate::{
    VoiceSaas,
    id::{JobId, NumberId, TrunkId},
    job::{JobContext, JobError, JobHandler, NewJob},
    scope::TenantScope,
    store::{StoreError, TenantTx},
};

const KIND: &str = "trunk.delete";

/// The setting up of a trunk gets this long between two looks. A doubling wait would go on long after it.
const SET_UP: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Payload {
    trunk: TrunkId,
}

/// Enqueues the deletion; `None` when it is under way.
pub(super) async fn enqueue(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    trunk: TrunkId,
) -> Result<Option<JobId>, StoreError> {
    let now = app.ambient().now();
    let id = JobId::generate(app.ambient().ids());
    let job = NewJob::new(id, KIND, json!(Payload { trunk }), now)
        .with_unique_key(format!("{KIND}:{trunk}"))
        .with_max_attempts(1_000);
    Ok(tx.jobs().enqueue(&job, now).await?.then_some(id))
}

/// Enqueues the deletion of the number's trunk, if it has one.
pub(crate) async fn enqueue_delete_of_number(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    number: NumberId,
) -> Result<(), StoreError> {
    if let Some(trunk) = tx.trunks().of_number(number).await? {
        enqueue(app, tx, trunk.id).await?;
    }
    Ok(())
}

/// Takes the number's trunk away, if it has one, before the number itself goes.
pub(crate) async fn delete_of_number(
    app: &VoiceSaas,
    scope: &TenantScope,
    number: NumberId,
) -> Result<(), JobError> {
    let trunk = app.store().begin(scope).await?.trunks().of_number(number).await?;
    match trunk {
        Some(trunk) => delete(app, scope, trunk.id).await,
        None => Ok(()),
    }
}

/// Takes a trunk away at its providers. It may be repeated.
#[derive(Debug)]
pub(crate) struct DeleteTrunk;

#[async_trait]
impl JobHandler for DeleteTrunk {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Payload { trunk } = context.payload()?;
        delete(context.app(), context.scope()?, trunk).await
    }
}

/// Takes the trunk away at its providers now; repeating it does no harm. What a set-up that is stuck has left goes too.
pub(crate) async fn delete(app: &VoiceSaas, scope: &TenantScope, id: TrunkId) -> Result<(), JobError> {
    let mut tx = app.store().begin(scope).await?;
    let mut trunk = tx.trunks().find(id).await?;
    let number = tx.numbers().find(trunk.number).await?;
    match trunk.status {
        TrunkStatus::Failed | TrunkStatus::Deleted => return Ok(()),
        TrunkStatus::Pending => return Err(JobError::again_after(SET_UP, "the trunk is still being set up")),
        TrunkStatus::Deleting => {}
        // Written before the act, so that nobody who looks makes a part of it anew.
        TrunkStatus::Active | TrunkStatus::Stuck => {
            trunk.status = TrunkStatus::Deleting;
            tx.trunks().update(&trunk).await?;
        }
    }
    // Nothing is open while providers are asked: SQLite has one unit of work at a time.
    tx.commit().await?;
    remove_both(app, scope, &trunk, &number).await?;
    let mut tx = app.store().begin(scope).await?;
    let mut trunk = tx.trunks().find(id).await?;
    trunk.status = TrunkStatus::Deleted;
    tx.trunks().update(&trunk).await?;
    Ok(tx.commit().await?)
}
