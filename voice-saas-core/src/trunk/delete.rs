//! Taking trunks away.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Trunk, TrunkStatus};
use crate::{
    VoiceSaas,
    id::{JobId, NumberId, TrunkId},
    job::{JobContext, JobError, JobHandler, NewJob},
    number::PhoneNumber,
    provider::{ProviderError, telephony::RouteHandle},
    scope::TenantScope,
    store::{StoreError, TenantTx},
};

const KIND: &str = "trunk.delete";

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
        .with_max_attempts(50);
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

/// Takes the trunk away at its providers now; repeating it does no harm.
pub(crate) async fn delete(app: &VoiceSaas, scope: &TenantScope, id: TrunkId) -> Result<(), JobError> {
    let mut tx = app.store().begin(scope).await?;
    let trunk = tx.trunks().find(id).await?;
    let number = tx.numbers().find(trunk.number).await?;
    drop(tx);
    match trunk.status {
        TrunkStatus::Failed | TrunkStatus::Deleted => return Ok(()),
        TrunkStatus::Pending => return Err(JobError::again("the trunk is still being set up")),
        TrunkStatus::Active => {}
    }
    // The carrier first: no call is sent any more to where nobody answers.
    if let Some(carrier) = &trunk.carrier {
        let removed = remove(app, carrier, trunk.carrier_route.as_ref(), &trunk, &number).await;
        removed.map_err(|error| JobError::provider(&error))?;
    }
    let removed = remove(app, &trunk.media, trunk.media_route.as_ref(), &trunk, &number).await;
    removed.map_err(|error| JobError::provider(&error))?;
    let mut tx = app.store().begin(scope).await?;
    let mut trunk = tx.trunks().find(id).await?;
    trunk.status = TrunkStatus::Deleted;
    tx.trunks().update(&trunk).await?;
    Ok(tx.commit().await?)
}

/// Takes away what one provider made for a trunk: what we know of, or else what is found by its tag.
pub(super) async fn remove(
    app: &VoiceSaas,
    provider: &str,
    route: Option<&RouteHandle>,
    trunk: &Trunk,
    number: &PhoneNumber,
) -> Result<(), ProviderError> {
    let Some(trunks) = super::set_up::side(app, provider)? else {
        return Ok(());
    };
    if let Some(route) = route {
        trunks.delete(route).await?;
    }
    // Also what an act made whose answer was lost.
    if let Some(found) = trunks.find(&trunk.tag, &number.number).await?
        && found.tag == trunk.tag
    {
        trunks.delete(&found.handle).await?;
    }
    Ok(())
}
