//! Bringing a trunk that is set up in line with its number: one that is out of service takes no calls by SIP either.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Trunk, TrunkStatus,
    side::{ensure_carrier, ensure_media, remove_both, takes_calls},
};
use crate::{
    VoiceSaas,
    id::{JobId, NumberId, TrunkId},
    job::{JobContext, JobError, JobHandler, NewJob},
    number::PhoneNumber,
    scope::TenantScope,
    store::{StoreError, TenantTx},
};

const KIND: &str = "trunk.align";

#[derive(Serialize, Deserialize)]
struct Payload {
    trunk: TrunkId,
}

/// Enqueues bringing the number's trunk in line with it; `None` when it has none. Every change enqueues a job of its
/// own: one that runs already may have read the number before.
pub(crate) async fn enqueue_align(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    number: NumberId,
) -> Result<Option<JobId>, StoreError> {
    let Some(trunk) = tx.trunks().of_number(number).await? else {
        return Ok(None);
    };
    let now = app.ambient().now();
    let id = JobId::generate(app.ambient().ids());
    let payload = json!(Payload { trunk: trunk.id });
    let job = NewJob::new(id, KIND, payload, now).with_max_attempts(50);
    Ok(tx.jobs().enqueue(&job, now).await?.then_some(id))
}

/// Brings a trunk in line with its number. It may be repeated.
#[derive(Debug)]
pub(crate) struct AlignTrunk;

#[async_trait]
impl JobHandler for AlignTrunk {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Payload { trunk } = context.payload()?;
        align(context.app(), context.scope()?, trunk).await
    }
}

async fn rows(app: &VoiceSaas, scope: &TenantScope, id: TrunkId) -> Result<(Trunk, PhoneNumber), StoreError> {
    let mut tx = app.store().begin(scope).await?;
    let trunk = tx.trunks().find(id).await?;
    let number = tx.numbers().find(trunk.number).await?;
    Ok((trunk, number))
}

/// Makes both sides of an active trunk as they should be, with all their parts; repeating it does no harm.
///
/// The number is looked at again after the act, so that of two that do this at once the later one acts on the number as
/// it is. A trunk that was taken away meanwhile is taken away again.
pub(crate) async fn align(app: &VoiceSaas, scope: &TenantScope, id: TrunkId) -> Result<(), JobError> {
    loop {
        let (trunk, number) = rows(app, scope, id).await?;
        match trunk.status {
            TrunkStatus::Active => {}
            TrunkStatus::Pending => return Err(JobError::again("the trunk is still being set up")),
            TrunkStatus::Failed | TrunkStatus::Stuck | TrunkStatus::Deleting | TrunkStatus::Deleted => {
                return Ok(());
            }
        }
        // Its release takes the trunk away.
        if number.release_at.is_some() || !number.status.holds() {
            return Ok(());
        }
        let carrier = ensure_carrier(app, scope, &trunk, &number).await?;
        let (carrier_route, sip_host) = match carrier {
            Some(made) => (Some(made.handle), made.sip_host),
            None => (None, trunk.sip_host.clone()),
        };
        let media = ensure_media(app, scope, &trunk, &number, sip_host.as_deref()).await?;

        let (mut now, number_now) = rows(app, scope, id).await?;
        if now.status != TrunkStatus::Active {
            now.carrier_route = carrier_route;
            now.media_route = Some(media.handle);
            return Ok(remove_both(app, scope, &now, &number_now).await?);
        }
        let routes = (carrier_route, Some(media.handle), sip_host);
        if routes != (now.carrier_route, now.media_route, now.sip_host) {
            write_routes(app, scope, id, routes).await?;
        }
        if takes_calls(&number_now) == takes_calls(&number) {
            return Ok(());
        }
    }
}

type Routes = (
    Option<crate::provider::telephony::RouteHandle>,
    Option<crate::provider::telephony::RouteHandle>,
    Option<String>,
);

async fn write_routes(
    app: &VoiceSaas,
    scope: &TenantScope,
    id: TrunkId,
    (carrier_route, media_route, sip_host): Routes,
) -> Result<(), StoreError> {
    let mut tx = app.store().begin(scope).await?;
    let mut trunk = tx.trunks().find(id).await?;
    trunk.carrier_route = carrier_route;
    trunk.media_route = media_route;
    trunk.sip_host = sip_host;
    tx.trunks().update(&trunk).await?;
    tx.commit().await
}
