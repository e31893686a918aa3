//! The setting up of a trunk, as a saga: the carrier's side, the media side, and the row that says so.
//!
//! Both sides are made with `ensure`, which looks by number and tag before it acts, so a step may be repeated after any
//! failure. Its tag is the trunk's id.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Trunk, TrunkFailure, TrunkStatus,
    side::{ensure_carrier, ensure_media, remove},
};
use crate::{
    VoiceSaas,
    event::DomainEvent,
    id::{EventId, JobId, TrunkId},
    number::{NumberStatus, PhoneNumber},
    provider::telephony::RouteHandle,
    saga::{self, Saga, SagaStep, StepContext, StepError},
    store::{StoreError, TenantTx},
};

/// What the saga and its job are called.
const KIND: &str = "trunk.set_up";

/// What the steps know. The password stays sealed in the trunk's row.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    trunk: TrunkId,
    carrier_route: Option<RouteHandle>,
    /// The carrier's host for calls out.
    sip_host: Option<String>,
    media_route: Option<RouteHandle>,
}

/// Writes the trunk, its saga and the saga's job.
pub(super) async fn begin(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    trunk: &mut Trunk,
) -> Result<Option<JobId>, StoreError> {
    let state = State {
        trunk: trunk.id,
        carrier_route: None,
        sip_host: None,
        media_route: None,
    };
    let key = format!("{KIND}:{}", trunk.number);
    let Some((saga, job)) = saga::begin(app, tx, &SetUpTrunk, &state, Some(key)).await? else {
        return Ok(None);
    };
    trunk.saga = Some(saga);
    tx.trunks().add(trunk).await?;
    Ok(Some(job))
}

/// Lets a set-up that is stuck try again; `None` when it does so already.
pub(super) async fn resume(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    trunk: &Trunk,
) -> Result<Option<JobId>, StoreError> {
    let Some(saga) = trunk.saga else { return Ok(None) };
    let key = format!("{KIND}:{}", trunk.number);
    saga::resume(app, tx, &SetUpTrunk, saga, Some(key)).await
}

/// The setting up of a trunk.
#[derive(Debug)]
pub(crate) struct SetUpTrunk;

#[async_trait]
impl Saga for SetUpTrunk {
    type State = State;

    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> &'static [&'static dyn SagaStep<State>] {
        &[&Begin, &CarrierSide, &MediaSide, &PutIntoService]
    }

    async fn stuck(&self, context: &StepContext<'_>, state: &State) -> Result<(), StoreError> {
        give_up(context, state, TrunkStatus::Stuck).await
    }
}

async fn rows(context: &StepContext<'_>, state: &State) -> Result<(Trunk, PhoneNumber), StoreError> {
    let mut tx = context.app.store().begin(context.scope).await?;
    let trunk = tx.trunks().find(state.trunk).await?;
    let number = tx.numbers().find(trunk.number).await?;
    Ok((trunk, number))
}

fn check_held(number: &PhoneNumber) -> Result<(), StepError> {
    let held = matches!(number.status, NumberStatus::Active | NumberStatus::Inactive);
    if held && number.release_at.is_none() {
        return Ok(());
    }
    Err(StepError::give_up(
        "the number was given back in the meantime",
        json!(TrunkFailure::NumberNotHeld),
    ))
}

/// Writes down that the trunk was not set up, and why. One that was taken away meanwhile stays so.
async fn give_up(context: &StepContext<'_>, state: &State, status: TrunkStatus) -> Result<(), StoreError> {
    let mut tx = context.app.store().begin(context.scope).await?;
    let mut trunk = tx.trunks().find(state.trunk).await?;
    if !matches!(trunk.status, TrunkStatus::Pending | TrunkStatus::Stuck) {
        return Ok(());
    }
    trunk.status = status;
    trunk.failure = context.error().and_then(TrunkFailure::of_saga);
    tx.trunks().update(&trunk).await?;
    tx.commit().await
}

async fn undo(
    context: &StepContext<'_>,
    state: &State,
    provider: impl Fn(&Trunk) -> Option<(String, Option<RouteHandle>)>,
) -> Result<(), StepError> {
    let (trunk, number) = rows(context, state).await?;
    let Some((provider, route)) = provider(&trunk) else {
        return Ok(());
    };
    let removed = remove(
        context.app,
        context.scope,
        &provider,
        route.as_ref(),
        &trunk,
        &number,
    )
    .await;
    removed.map_err(|error| StepError::again(format!("could not take the trunk away: {error}"), None))
}

/// Sees whether the number is still there. Undone last: then nothing is left of the trunk.
#[derive(Debug)]
struct Begin;

#[async_trait]
impl SagaStep<State> for Begin {
    fn name(&self) -> &'static str {
        "begin"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let (_, number) = rows(context, state).await?;
        check_held(&number)
    }

    async fn undo(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        Ok(give_up(context, state, TrunkStatus::Failed).await?)
    }
}

/// Makes the carrier's side.
#[derive(Debug)]
struct CarrierSide;

#[async_trait]
impl SagaStep<State> for CarrierSide {
    fn name(&self) -> &'static str {
        "carrier's side"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let (trunk, number) = rows(context, state).await?;
        let made = ensure_carrier(context.app, context.scope, &trunk, &number).await;
        if let Some(made) = made.map_err(|error| error.into_step(&trunk))? {
            state.carrier_route = Some(made.handle);
            state.sip_host = made.sip_host;
        }
        Ok(())
    }

    async fn undo(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let route = &state.carrier_route;
        undo(context, state, |trunk| {
            trunk.carrier.clone().map(|carrier| (carrier, route.clone()))
        })
        .await
    }
}

/// Makes the media side.
#[derive(Debug)]
struct MediaSide;

#[async_trait]
impl SagaStep<State> for MediaSide {
    fn name(&self) -> &'static str {
        "media side"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let (trunk, number) = rows(context, state).await?;
        let host = state.sip_host.as_deref();
        let made = ensure_media(context.app, context.scope, &trunk, &number, host).await;
        let made = made.map_err(|error| error.into_step(&trunk))?;
        state.media_route = Some(made.handle);
        Ok(())
    }

    async fn undo(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let route = &state.media_route;
        undo(context, state, |trunk| Some((trunk.media.clone(), route.clone()))).await
    }
}

/// Writes down what was made.
#[derive(Debug)]
struct PutIntoService;

#[async_trait]
impl SagaStep<State> for PutIntoService {
    fn name(&self) -> &'static str {
        "put into service"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let ambient = context.app.ambient();
        let mut tx = context.app.store().begin(context.scope).await?;
        let mut trunk = tx.trunks().find(state.trunk).await?;
        if trunk.status == TrunkStatus::Active {
            return Ok(());
        }
        let number = tx.numbers().find(trunk.number).await?;
        check_held(&number)?;
        trunk.status = TrunkStatus::Active;
        trunk.carrier_route = state.carrier_route.clone();
        trunk.media_route = state.media_route.clone();
        trunk.sip_host = state.sip_host.clone();
        tx.trunks().update(&trunk).await?;
        let payload = json!({ "trunk_id": trunk.id, "number_id": number.id, "phone_number": number.number });
        let id = EventId::generate(ambient.ids());
        let event = DomainEvent::new(id, "trunk.active", payload, ambient.now());
        tx.outbox().publish(&event).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        // It is the last step, and wrote nothing when it failed.
        Ok(())
    }
}
