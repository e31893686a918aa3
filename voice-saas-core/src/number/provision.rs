//! The purchase of a number, as a saga: choose, open the tenant's account where it is to have one, buy, put into service.
//!
//! The exact number and our saga's id go into the order, so that after an ambiguous failure or a crash the number
//! is found again instead of being bought twice.

mod account;
mod choose;
mod lent;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::{
    account::{OpenAccount, can, carrier, numbers_of},
    choose::{Choose, next_candidate},
};
use super::{
    NumberError, NumberFilter, NumberStatus,
    service::{facet, publish_provisioned},
};
use crate::{
    VoiceSaas,
    id::{AgentId, JobId, NumberId, SagaId},
    page::PageRequest,
    phone::{Country, E164},
    provider::{
        ErrorKind, ProviderError, Recovery,
        telephony::{
            AvailableNumber, Capability, NumberCapabilities, NumberKind, NumberOrder, NumberProvider,
            NumberRequirements, NumberWebhooks, ProviderNumber, ProviderNumberId, ProviderSubaccountId,
            TelephonyProvider,
        },
    },
    reconcile,
    saga::{self, Saga, SagaStep, StepContext, StepError},
    store::{StoreError, StoreErrorKind, TenantTx},
    usage::{Limit, require_room},
};

/// What the saga and its job are called.
const KIND: &str = "number.provision";

/// Which number to buy, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProvisionRequest {
    /// In this country.
    pub country: Country,
    /// Of this kind.
    pub kind: NumberKind,
    /// In this area.
    pub area_code: Option<String>,
    /// Exactly this one.
    pub number: Option<E164>,
    /// To be answered by this agent.
    pub agent: Option<AgentId>,
    /// From this carrier.
    pub provider: Option<String>,
    /// The carrier's id of the buyer's address, where the country asks for one.
    #[serde(default)]
    pub address: Option<String>,
    /// The carrier's id of the buyer's approved papers, where the country asks for some.
    #[serde(default)]
    pub bundle: Option<String>,
}

impl ProvisionRequest {
    /// Any local number of the country, from the default carrier.
    pub fn new(country: Country) -> Self {
        Self {
            country,
            kind: NumberKind::default(),
            area_code: None,
            number: None,
            agent: None,
            provider: None,
            address: None,
            bundle: None,
        }
    }

    /// With what the country asks for, by the carrier's ids.
    #[must_use]
    pub fn with_requirements(mut self, address: Option<String>, bundle: Option<String>) -> Self {
        self.address = address;
        self.bundle = bundle;
        self
    }

    /// In this area.
    #[must_use]
    pub fn with_area_code(mut self, area_code: Option<String>) -> Self {
        self.area_code = area_code;
        self
    }

    /// Exactly this number.
    #[must_use]
    pub fn with_number(mut self, number: Option<E164>) -> Self {
        self.number = number;
        self
    }

    /// From this carrier.
    #[must_use]
    pub fn with_provider(mut self, provider: Option<String>) -> Self {
        self.provider = provider;
        self
    }

    /// To be answered by this agent.
    #[must_use]
    pub fn for_agent(mut self, agent: AgentId) -> Self {
        self.agent = Some(agent);
        self
    }
}

/// What the steps know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    request: ProvisionRequest,
    provider: String,
    /// The tenant's own account at the carrier, in which it is bought; `None` = the operator's.
    #[serde(default)]
    account: Option<ProviderSubaccountId>,
    /// Candidates that were not tried yet, the best last.
    candidates: Vec<AvailableNumber>,
    /// The candidate that is being bought, and our row for it.
    chosen: Option<E164>,
    row: Option<NumberId>,
    bought: Option<Bought>,
    /// Whether the chosen number is the pool's: then nothing is bought.
    #[serde(default)]
    lent: bool,
    /// What the country asks for and the request does not have.
    #[serde(default)]
    missing: Option<NumberRequirements>,
}

/// What the carrier sold us.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Bought {
    pub(super) id: ProviderNumberId,
    pub(super) capabilities: NumberCapabilities,
}

impl From<ProviderNumber> for Bought {
    fn from(number: ProviderNumber) -> Self {
        Self {
            id: number.id,
            capabilities: number.capabilities,
        }
    }
}

impl State {
    pub(super) fn new(request: ProvisionRequest, provider: &str) -> Self {
        Self {
            request,
            provider: provider.to_owned(),
            account: None,
            candidates: Vec::new(),
            chosen: None,
            row: None,
            bought: None,
            lent: false,
            missing: None,
        }
    }

    /// The country asks for this first.
    fn wait_for(&mut self, requirements: NumberRequirements) -> StepError {
        let report = json!(Report::RequirementsMissing {
            requirements: requirements.clone()
        });
        self.missing = Some(requirements);
        StepError::give_up("the country asks for an address or documents first", report)
    }
}

/// Begins a purchase: writes the saga and its job.
///
/// # Errors
/// `AlreadyAssigned` when the agent has a number or is getting one; `Plan` when the tenant's plan has no room; `Store` (`NotFound`) when there is no such agent.
pub(super) async fn begin(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    request: ProvisionRequest,
    provider: &str,
) -> Result<(SagaId, JobId), NumberError> {
    let mut unique_key = None;
    if let Some(agent) = request.agent {
        tx.agents().find(agent).await?;
        let filter = NumberFilter {
            agent: Some(agent),
            ..NumberFilter::default()
        };
        let linked = tx.numbers().list(filter, PageRequest::default()).await?;
        if !linked.data.is_empty() {
            return Err(NumberError::AlreadyAssigned);
        }
        unique_key = Some(format!("{KIND}:{agent}"));
    }
    require_room(app, tx, Limit::Numbers).await??;
    let state = State::new(request, provider);
    let begun = saga::begin(app, tx, &ProvisionNumber, &state, unique_key).await?;
    begun.ok_or(NumberError::AlreadyAssigned)
}

/// Why a purchase was given up, for whoever asked for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub(super) enum Report {
    Unavailable {
        nearby_area_codes: Vec<String>,
    },
    RequirementsMissing {
        #[serde(default)]
        requirements: NumberRequirements,
    },
    NotInAccount,
    AgentDeleted,
    Carrier {
        retryable: bool,
    },
}

impl Report {
    pub(super) fn into_error(report: Option<Self>, provider: &str) -> NumberError {
        match report {
            Some(Self::Unavailable { nearby_area_codes }) => NumberError::Unavailable { nearby_area_codes },
            Some(Self::RequirementsMissing { requirements }) => {
                NumberError::RequirementsMissing { requirements }
            }
            Some(Self::NotInAccount) => NumberError::NotInAccount {
                provider: provider.to_owned(),
            },
            Some(Self::AgentDeleted) => StoreError::new("find the agent", StoreErrorKind::NotFound).into(),
            Some(Self::Carrier { retryable }) => NumberError::Carrier {
                provider: provider.to_owned(),
                retryable,
            },
            None => NumberError::Carrier {
                provider: provider.to_owned(),
                retryable: true,
            },
        }
    }

    pub(super) fn of(error: &ProviderError) -> Value {
        let retryable = !matches!(error.recovery(), Recovery::GiveUp);
        json!(Self::Carrier { retryable })
    }
}

/// The purchase of a number.
#[derive(Debug)]
pub(crate) struct ProvisionNumber;

impl Saga for ProvisionNumber {
    type State = State;

    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> &'static [&'static dyn SagaStep<State>] {
        &[&Choose, &OpenAccount, &Buy, &PutIntoService]
    }
}

pub(super) fn numbers<'a>(app: &'a VoiceSaas, provider: &str) -> Result<&'a dyn NumberProvider, StepError> {
    let carrier = app.telephony(provider).ok_or_else(|| {
        StepError::give_up(
            "the carrier is not configured",
            json!(Report::Carrier { retryable: false }),
        )
    })?;
    facet(&**carrier).map_err(|error| StepError::provider(&error, Report::of(&error)))
}

/// Where the carrier reports the calls of its numbers.
pub(crate) fn webhooks(app: &VoiceSaas, provider: &str) -> NumberWebhooks {
    let url = app.public_url();
    NumberWebhooks::new(
        url.webhook(provider, "voice"),
        url.webhook(provider, "fallback"),
        url.webhook(provider, "status"),
    )
}

/// Buys the chosen number, or finds that it was bought.
#[derive(Debug)]
struct Buy;

impl Buy {
    /// The number, if we bought it: our tag says so. Where numbers bear no names, having ordered exactly this one says
    /// so; nobody else here has it, because the row holds it.
    async fn look(
        context: &StepContext<'_>,
        carrier: &dyn TelephonyProvider,
        number: &E164,
    ) -> Result<Option<ProviderNumber>, StepError> {
        let found = numbers_of(carrier)?.find(number).await;
        let found = found
            .map_err(|error| StepError::again(format!("could not look for the number: {error}"), None))?;
        let named = can(carrier, Capability::NameNumbers);
        Ok(found.filter(|found| !named || found.friendly_name == context.saga().to_string()))
    }
}

#[async_trait]
impl SagaStep<State> for Buy {
    fn name(&self) -> &'static str {
        "buy"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        if state.lent {
            return lent::point(context, state).await;
        }
        let carrier = carrier(context, state).await?;
        let numbers = numbers_of(&*carrier)?;
        let named = can(&*carrier, Capability::NameNumbers);
        let mut look_first = context.begun_before();
        loop {
            let Some(number) = state.chosen.clone() else {
                next_candidate(context, state).await?;
                continue;
            };
            if look_first && let Some(found) = Self::look(context, &*carrier, &number).await? {
                state.bought = Some(found.into());
                return Ok(());
            }
            let webhooks = webhooks(context.app, &state.provider);
            let order = NumberOrder::new(number.clone(), context.saga().to_string(), webhooks)
                .with_requirements(state.request.address.clone(), state.request.bundle.clone());
            match numbers.buy(&order).await {
                Ok(bought) => {
                    state.bought = Some(bought.into());
                    return Ok(());
                }
                // Also the answer for a number that we bought a moment ago.
                Err(error) if error.kind() == ErrorKind::NumberUnavailable => {
                    // Without a name, one that was never ordered before is not ours.
                    if (named || look_first)
                        && let Some(found) = Self::look(context, &*carrier, &number).await?
                    {
                        state.bought = Some(found.into());
                        return Ok(());
                    }
                    state.chosen = None;
                    look_first = false;
                }
                Err(error) if error.recovery() == Recovery::Reconcile => {
                    if let Some(found) = Self::look(context, &*carrier, &number).await? {
                        state.bought = Some(found.into());
                        return Ok(());
                    }
                    return Err(StepError::again(format!("{error}: it may have acted"), None));
                }
                Err(error) if error.kind() == ErrorKind::RequirementsMissing => {
                    let request = &state.request;
                    let asked = numbers.requirements(request.country, request.kind).await;
                    return Err(state.wait_for(asked.unwrap_or_default()));
                }
                Err(error) => return Err(StepError::provider(&error, Report::of(&error))),
            }
        }
    }

    async fn undo(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        if state.lent {
            // The pool's own, whom it goes back to with the first step.
            return Ok(());
        }
        // What was bought is found by number and tag, whether or not we got to hear of it.
        let Some(number) = &state.chosen else {
            return Ok(());
        };
        let carrier = carrier(context, state).await?;
        let id = match &state.bought {
            Some(bought) => Some(bought.id.clone()),
            None => Self::look(context, &*carrier, number)
                .await?
                .map(|found| found.id),
        };
        let Some(id) = id else { return Ok(()) };
        if can(&*carrier, Capability::ReleaseNumbers) {
            let released = numbers_of(&*carrier)?.release(&id).await;
            released.map_err(|error| {
                StepError::again(format!("could not give the number back: {error}"), None)
            })?;
        } else {
            let tenant = context.scope.tenant_id();
            reconcile::leave_by_hand(context.app, tenant, &state.provider, id.as_str(), number).await?;
        }
        state.bought = None;
        Ok(())
    }
}

/// Makes the number the tenant's own and lets the agent answer it.
#[derive(Debug)]
struct PutIntoService;

#[async_trait]
impl SagaStep<State> for PutIntoService {
    fn name(&self) -> &'static str {
        "put into service"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let nothing = || StepError::give_up("nothing was bought", json!(Report::Carrier { retryable: true }));
        let (row, bought) = (
            state.row.ok_or_else(nothing)?,
            state.bought.clone().ok_or_else(nothing)?,
        );
        let app = context.app;
        let now = app.ambient().now();
        let mut tx = app.store().begin(context.scope).await?;
        let mut number = tx.numbers().find(row).await?;
        if number.status == NumberStatus::Active {
            return Ok(());
        }
        number.turn(NumberStatus::Active).map_err(StoreError::from)?;
        number.account.clone_from(&state.account);
        number.provider_id = Some(bought.id);
        number.capabilities = bought.capabilities;
        number.provisioned_at = Some(now);
        let rates = app.rates();
        let rate = rates.find("number_month", &state.provider, Some(state.request.country));
        number.monthly_cost = rate.map(|rate| rate.amount);
        tx.numbers().update(&number).await?;
        if let Some(agent) = state.request.agent {
            match tx.numbers().link(row, agent).await {
                // The agent was deleted meanwhile: nobody wants the number any more.
                Err(error) if error.is_not_found() => {
                    let report = json!(Report::AgentDeleted);
                    return Err(StepError::give_up(
                        "the agent was deleted in the meantime",
                        report,
                    ));
                }
                linked => linked?,
            }
        }
        publish_provisioned(app, &mut *tx, &number).await?;
        tx.commit().await?;
        app.routes().forget(&number.number).await;
        Ok(())
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        // It is the last step, and wrote nothing when it failed; the row is released with the first step.
        Ok(())
    }
}
