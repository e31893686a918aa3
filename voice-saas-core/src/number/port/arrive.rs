//! Numbers that have moved in, put into service as a saga: look up, set up, answer. There is no way back: the numbers
//! are the tenant's, and what cannot go on is for an operator.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Port, PortStatus, follow};
use crate::{
    VoiceSaas,
    id::{NumberId, PortId},
    money::Money,
    number::{
        NumberStatus, PhoneNumber,
        provision::{Bought, Report, webhooks},
        service::{facet, publish_provisioned},
    },
    provider::telephony::{Capability, NumberProvider, ProviderSubaccountId, TelephonyProvider},
    saga::{self, Saga, SagaStep, StepContext, StepError},
    store::{StoreError, TenantTx},
};

/// What the saga and its job are called.
const KIND: &str = "number.port_in";

/// A carrier that says that a number is here, and does not show it, gets this long between two looks.
const PATIENCE: Duration = Duration::from_mins(10);

/// What the steps know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    port: PortId,
    provider: String,
    account: Option<ProviderSubaccountId>,
    arrived: Vec<Arrived>,
}

/// A number as the carrier has it now.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Arrived {
    number: NumberId,
    held: Bought,
    monthly_price: Option<Money>,
}

/// Lets the numbers of a port be put into service, in the unit of work that says that they are here.
pub(super) async fn begin(app: &VoiceSaas, tx: &mut dyn TenantTx, port: &Port) -> Result<(), StoreError> {
    let state = State {
        port: port.id,
        provider: port.provider.clone(),
        account: port.account.clone(),
        arrived: Vec::new(),
    };
    saga::begin_as(app, tx, &ArrivedNumbers, &state, port.saga, None).await?;
    Ok(())
}

/// Putting the numbers of a port into service.
#[derive(Debug)]
pub(crate) struct ArrivedNumbers;

impl Saga for ArrivedNumbers {
    type State = State;

    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> &'static [&'static dyn SagaStep<State>] {
        &[&LookUp, &SetUp, &PutIntoService]
    }

    fn is_forward_only(&self) -> bool {
        true
    }
}

fn no_way_back() -> StepError {
    StepError::give_up("there is no way back for numbers that have moved in", Value::Null)
}

/// The carrier, in the account that the numbers have moved to.
async fn carrier(context: &StepContext<'_>, state: &State) -> Result<Arc<dyn TelephonyProvider>, StepError> {
    let account = state.account.as_ref();
    let carrier = context
        .app
        .telephony_of(context.scope, &state.provider, account)
        .await;
    carrier.map_err(|error| error.into_step(Report::of))
}

fn numbers(carrier: &dyn TelephonyProvider) -> Result<&dyn NumberProvider, StepError> {
    facet(carrier).map_err(|error| StepError::provider(&error, Report::of(&error)))
}

async fn find_port(context: &StepContext<'_>, state: &State) -> Result<Port, StoreError> {
    let mut tx = context.app.store().begin(context.scope).await?;
    tx.ports().find(state.port).await
}

/// Sees which numbers are here, and under which ids.
#[derive(Debug)]
struct LookUp;

#[async_trait]
impl SagaStep<State> for LookUp {
    fn name(&self) -> &'static str {
        "look up"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let port = find_port(context, state).await?;
        let carrier = carrier(context, state).await?;
        let numbers = numbers(&*carrier)?;
        state.arrived.clear();
        for line in &port.lines {
            let found = numbers.find(&line.number).await;
            let found = found.map_err(|error| StepError::provider(&error, Report::of(&error)))?;
            match found {
                Some(found) => state.arrived.push(Arrived {
                    number: line.id,
                    monthly_price: found.monthly_price,
                    held: found.into(),
                }),
                // The losing carrier let the others go, and kept this one.
                None if line.reason.is_some() => {}
                None => {
                    let detail = "the carrier has moved the number in, and does not show it yet";
                    return Err(StepError::again(detail, Some(PATIENCE)));
                }
            }
        }
        Ok(())
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        Err(no_way_back())
    }
}

/// Gives each number our tag, and points its calls at us.
#[derive(Debug)]
struct SetUp;

#[async_trait]
impl SagaStep<State> for SetUp {
    fn name(&self) -> &'static str {
        "set up"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let carrier = carrier(context, state).await?;
        let numbers = numbers(&*carrier)?;
        let can = |capability| carrier.capabilities().contains(&capability);
        let webhooks = webhooks(context.app, &state.provider);
        // Both may be done twice without harm.
        for arrived in &state.arrived {
            if can(Capability::NameNumbers) {
                let renamed = numbers
                    .rename(&arrived.held.id, &context.saga().to_string())
                    .await;
                renamed.map_err(|error| StepError::provider(&error, Report::of(&error)))?;
            }
            if can(Capability::ConfigureNumbers) {
                let configured = numbers.configure(&arrived.held.id, &webhooks).await;
                configured.map_err(|error| StepError::provider(&error, Report::of(&error)))?;
            }
        }
        Ok(())
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        Err(no_way_back())
    }
}

/// Lets the numbers be answered, and ends the port.
#[derive(Debug)]
struct PutIntoService;

#[async_trait]
impl SagaStep<State> for PutIntoService {
    fn name(&self) -> &'static str {
        "put into service"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let app = context.app;
        let now = app.ambient().now();
        let mut tx = app.store().begin(context.scope).await?;
        let mut port = tx.ports().find(state.port).await?;
        if port.status == PortStatus::Completed {
            return Ok(());
        }
        for line in &port.lines {
            let mut number = tx.numbers().find(line.id).await?;
            match state.arrived.iter().find(|arrived| arrived.number == line.id) {
                Some(arrived) => {
                    turn(&mut number, NumberStatus::Active)?;
                    let rate = app
                        .rates()
                        .find("number_month", &number.provider, Some(number.country));
                    number.provider_id = Some(arrived.held.id.clone());
                    number.capabilities = arrived.held.capabilities;
                    number.provisioned_at = Some(now);
                    number.monthly_cost = arrived.monthly_price.or(rate.map(|rate| rate.amount));
                    tx.numbers().update(&number).await?;
                    if let Some(agent) = port.agent {
                        match tx.numbers().link(number.id, agent).await {
                            // The agent was deleted in the meantime; the number is the tenant's all the same.
                            Err(error) if error.is_not_found() => {}
                            linked => linked?,
                        }
                    }
                    publish_provisioned(app, &mut *tx, &number).await?;
                }
                None => {
                    turn(&mut number, NumberStatus::Released)?;
                    number.released_at = Some(now);
                    tx.numbers().update(&number).await?;
                }
            }
        }
        port.end(PortStatus::Completed, None, now);
        tx.ports().save(&mut port).await?;
        follow::publish(app, &mut *tx, &port).await?;
        tx.commit().await?;
        for line in &port.lines {
            app.routes().forget(&line.number).await;
        }
        Ok(())
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        Err(no_way_back())
    }
}

fn turn(number: &mut PhoneNumber, to: NumberStatus) -> Result<(), StepError> {
    number.turn(to).map_err(StoreError::from)?;
    Ok(())
}
