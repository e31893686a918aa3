//! The setting up of a trunk, as a saga: the carrier's side, the media side, and the row that says so.
//!
//! Both sides are made with `ensure`, which looks by number and tag before it acts, so a step may be repeated after any
//! failure. Its tag is the trunk's id.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Trunk, TrunkError, TrunkStatus, delete::remove};
use crate::{
    VoiceSaas,
    event::DomainEvent,
    id::{EventId, JobId, TrunkId},
    number::{NumberStatus, PhoneNumber},
    provider::{
        ErrorKind, ProviderError, Recovery,
        telephony::{AgentDispatch, RouteHandle, SipCredentials, TrunkOrder, TrunkProvider},
    },
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

/// Why a trunk was given up, for whoever asked for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub(super) enum Report {
    NumberNotHeld,
    NotConfigured,
    Foreign { provider: String },
    Provider { provider: String, retryable: bool },
}

impl Report {
    pub(super) fn into_error(error: Option<Value>, media: &str) -> TrunkError {
        let report = error.and_then(|error| serde_json::from_value(error["report"].clone()).ok());
        match report {
            Some(Self::NumberNotHeld) => TrunkError::NumberNotHeld,
            Some(Self::NotConfigured) => TrunkError::NotConfigured,
            Some(Self::Foreign { provider }) => TrunkError::Foreign { provider },
            Some(Self::Provider { provider, retryable }) => TrunkError::Provider { provider, retryable },
            None => TrunkError::Provider {
                provider: media.to_owned(),
                retryable: true,
            },
        }
    }

    fn of(error: &ProviderError) -> Value {
        let provider = error.provider().to_string();
        json!(match error.kind() {
            ErrorKind::Conflict => Self::Foreign { provider },
            _ => Self::Provider {
                provider,
                retryable: !matches!(error.recovery(), Recovery::GiveUp),
            },
        })
    }
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

/// The SIP trunks of this provider; `None` when it has none.
///
/// # Errors
/// `Unsupported` when no such provider is configured.
pub(super) fn side<'a>(
    app: &'a VoiceSaas,
    provider: &str,
) -> Result<Option<&'a dyn TrunkProvider>, ProviderError> {
    let side = app.telephony(provider).ok_or_else(|| {
        let ours = crate::provider::ProviderName::new("voice-saas");
        ProviderError::new(ours, "find a trunk's provider", ErrorKind::Unsupported)
            .with_detail("the provider of the trunk is not configured any more")
    })?;
    Ok(side.trunks())
}

/// The setting up of a trunk.
#[derive(Debug)]
pub(crate) struct SetUpTrunk;

impl Saga for SetUpTrunk {
    type State = State;

    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> &'static [&'static dyn SagaStep<State>] {
        &[&Begin, &CarrierSide, &MediaSide, &PutIntoService]
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
        json!(Report::NumberNotHeld),
    ))
}

fn credentials(app: &VoiceSaas, trunk: &Trunk) -> Result<SipCredentials, StepError> {
    trunk.credentials(app).ok_or_else(|| {
        StepError::give_up(
            "the password was sealed under another key",
            json!(Report::Provider {
                provider: trunk.media.clone(),
                retryable: false
            }),
        )
    })
}

fn failed(error: &ProviderError) -> StepError {
    StepError::provider(error, Report::of(error))
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
    let removed = remove(context.app, &provider, route.as_ref(), &trunk, &number).await;
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
        let mut tx = context.app.store().begin(context.scope).await?;
        let mut trunk = tx.trunks().find(state.trunk).await?;
        trunk.status = TrunkStatus::Failed;
        tx.trunks().update(&trunk).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The carrier's trunk, where the carrier has trunks: it sends the number's calls to the media side, and takes calls
/// out from whoever has the password.
#[derive(Debug)]
struct CarrierSide;

#[async_trait]
impl SagaStep<State> for CarrierSide {
    fn name(&self) -> &'static str {
        "carrier's side"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let (trunk, number) = rows(context, state).await?;
        let Some(carrier) = &trunk.carrier else {
            return Ok(());
        };
        let app = context.app;
        let Some(trunks) = side(app, carrier).map_err(|error| failed(&error))? else {
            return Ok(());
        };
        let host = app.settings().sip.as_ref().map(|media| media.host.clone());
        let host = host
            .ok_or_else(|| StepError::give_up("no media side is configured", json!(Report::NotConfigured)))?;
        let order = TrunkOrder::new(&trunk.tag, number.number.clone())
            .with_peer(host, Some(credentials(app, &trunk)?));
        let made = trunks.ensure(&order).await.map_err(|error| failed(&error))?;
        state.carrier_route = Some(made.handle);
        state.sip_host = made.sip_host;
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

/// The media side's trunk, and the rule that says who answers.
#[derive(Debug)]
struct MediaSide;

#[async_trait]
impl SagaStep<State> for MediaSide {
    fn name(&self) -> &'static str {
        "media side"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let (trunk, number) = rows(context, state).await?;
        let app = context.app;
        let media = app.settings().sip.as_ref();
        let trunks = side(app, &trunk.media).map_err(|error| failed(&error))?;
        let (Some(media), Some(trunks)) = (media, trunks) else {
            return Err(StepError::give_up(
                "no media side is configured",
                json!(Report::NotConfigured),
            ));
        };
        let metadata = json!({
            "tenant_id": context.scope.tenant_id(), "number_id": number.id, "phone_number": number.number,
            "trunk_id": trunk.id,
        });
        let dispatch = AgentDispatch::new(&media.agent_name, metadata.to_string(), &media.room_prefix);
        let mut order = TrunkOrder::new(&trunk.tag, number.number.clone()).with_dispatch(dispatch);
        if let Some(host) = &state.sip_host {
            order = order.with_peer(host, Some(credentials(app, &trunk)?));
        }
        let made = trunks.ensure(&order).await.map_err(|error| failed(&error))?;
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
