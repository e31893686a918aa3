//! The purchase of a number, as a saga: choose, buy, put into service.
//!
//! The exact number and our saga's id go into the order, so that after an ambiguous failure or a crash the number
//! is found again instead of being bought twice.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    NumberError, NumberFilter, NumberStatus, PhoneNumber,
    release::mark_released,
    service::{area_codes, facet, publish_provisioned},
};
use crate::{
    VoiceSaas,
    id::{AgentId, JobId, NumberId, SagaId},
    page::PageRequest,
    phone::{Country, E164},
    provider::{
        ErrorKind, ProviderError, Recovery,
        telephony::{
            AvailableNumber, NumberCapabilities, NumberKind, NumberOrder, NumberProvider, NumberQuery,
            NumberRequirements, NumberWebhooks, ProviderNumber, ProviderNumberId,
        },
    },
    saga::{self, Saga, SagaStep, StepContext, StepError},
    store::{StoreError, StoreErrorKind, TenantTx},
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
    /// Candidates that were not tried yet, the best last.
    candidates: Vec<AvailableNumber>,
    /// The candidate that is being bought, and our row for it.
    chosen: Option<E164>,
    row: Option<NumberId>,
    bought: Option<Bought>,
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
            candidates: Vec::new(),
            chosen: None,
            row: None,
            bought: None,
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
/// `AlreadyAssigned` when the agent has a number or is getting one; `Store` (`NotFound`) when there is no such agent.
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
        &[&Choose, &Buy, &PutIntoService]
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

/// Finds candidates. Nothing is paid for yet, so every failure turns the saga back at once.
#[derive(Debug)]
struct Choose;

#[async_trait]
impl SagaStep<State> for Choose {
    fn name(&self) -> &'static str {
        "choose"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let numbers = numbers(context.app, &state.provider)?;
        let fail = |error: ProviderError| {
            let detail = error.detail().unwrap_or_default();
            StepError::give_up(format!("{error}: {detail}"), Report::of(&error))
        };
        let request = &state.request;
        let mut query = NumberQuery::new(request.country).with_kind(request.kind);
        if let Some(number) = &request.number {
            query = query.with_contains(number.as_str().trim_start_matches('+'));
        }
        if let Some(area_code) = &request.area_code {
            query = query.with_area_code(area_code);
        }
        let mut found = numbers.search(&query).await.map_err(fail)?;
        if let Some(number) = &request.number {
            found.retain(|available| available.number == *number);
        }
        if found.is_empty() {
            let nearby_area_codes = nearby(numbers, request).await.map_err(fail)?;
            return Err(StepError::give_up(
                "no number fits",
                json!(Report::Unavailable { nearby_area_codes }),
            ));
        }
        found.reverse();
        state.candidates = found;
        next_candidate(context, state).await?;
        if state.request.address.is_some() || state.request.bundle.is_some() {
            return Ok(());
        }
        let request = &state.request;
        match numbers.requirements(request.country, request.kind).await {
            Ok(requirements) if !requirements.is_empty() => Err(state.wait_for(requirements)),
            Ok(_) => Ok(()),
            // Then the purchase says it.
            Err(error) => {
                tracing::debug!("what the country asks for is not known: {error}");
                Ok(())
            }
        }
    }

    async fn undo(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let Some(row) = state.row else { return Ok(()) };
        if state.missing.is_none() {
            return Ok(mark_released(context.app, context.scope, row).await?);
        }
        let mut tx = context.app.store().begin(context.scope).await?;
        let mut number = tx.numbers().find(row).await?;
        number
            .turn(NumberStatus::WaitingForDocuments)
            .map_err(StoreError::from)?;
        tx.numbers().update(&number).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// How far "nearby" is.
const NEARBY_MILES: u16 = 100;

/// Area codes that have numbers: around the wanted one where the carrier knows distances, else anywhere.
async fn nearby(
    numbers: &dyn NumberProvider,
    request: &ProvisionRequest,
) -> Result<Vec<String>, ProviderError> {
    let anywhere = NumberQuery::new(request.country)
        .with_kind(request.kind)
        .with_limit(30);
    if let Some(center) = center(request) {
        let near = anywhere.clone().with_near(center, NEARBY_MILES);
        match numbers.search(&near).await {
            Ok(found) if !found.is_empty() => return Ok(area_codes(&found, request.country)),
            Ok(_) => {}
            Err(error) => tracing::debug!("numbers nearby were not found: {error}"),
        }
    }
    Ok(area_codes(&numbers.search(&anywhere).await?, request.country))
}

/// A number in the wanted area, where the country has area codes (+1).
fn center(request: &ProvisionRequest) -> Option<E164> {
    match (&request.number, &request.area_code) {
        (Some(number), _) => number.as_str().starts_with("+1").then(|| number.clone()),
        (None, Some(area_code)) => {
            let in_nanp = matches!(&*request.country.code(), "US" | "CA") && area_code.len() == 3;
            // Where the exchange lies does not matter; that it can exist does.
            in_nanp.then(|| format!("+1{area_code}5550100").parse().ok())?
        }
        (None, None) => None,
    }
}

/// Takes the best candidate that nobody here holds, and writes it down.
async fn next_candidate(context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
    let ambient = context.app.ambient();
    while let Some(candidate) = state.candidates.pop() {
        let mut tx = context.app.store().begin(context.scope).await?;
        // A crash between writing the row and the saga leaves a row that the next try finds.
        let known = tx.numbers().find_by_saga(context.saga()).await?;
        let waiting = match known {
            Some(_) => None,
            None => tx.numbers().find_waiting(&candidate.number).await?,
        };
        let written = match known.or(waiting) {
            Some(mut row) => {
                row.turn(NumberStatus::Pending).map_err(StoreError::from)?;
                row.saga = Some(context.saga());
                row.number = candidate.number.clone();
                row.friendly_name = candidate.number.to_string();
                row.provider.clone_from(&state.provider);
                state.row = Some(row.id);
                tx.numbers().update(&row).await
            }
            None => {
                let id = NumberId::generate(ambient.ids());
                let row = PhoneNumber::pending(
                    id,
                    candidate.number.clone(),
                    &state.provider,
                    state.request.country,
                    context.saga(),
                    ambient.now(),
                );
                state.row = Some(id);
                tx.numbers().add(&row).await
            }
        };
        match written {
            Err(error) if error.kind() == StoreErrorKind::Conflict => continue,
            written => written?,
        }
        tx.commit().await?;
        state.chosen = Some(candidate.number);
        return context.save(state).await;
    }
    let report = Report::Unavailable {
        nearby_area_codes: Vec::new(),
    };
    Err(StepError::give_up(
        "every candidate was taken in the meantime",
        json!(report),
    ))
}

/// Buys the chosen number, or finds that it was bought.
#[derive(Debug)]
struct Buy;

impl Buy {
    async fn look(
        context: &StepContext<'_>,
        numbers: &dyn NumberProvider,
        number: &E164,
    ) -> Result<Option<ProviderNumber>, StepError> {
        let found = numbers.find(number).await;
        let found = found
            .map_err(|error| StepError::again(format!("could not look for the number: {error}"), None))?;
        Ok(found.filter(|found| found.friendly_name == context.saga().to_string()))
    }
}

#[async_trait]
impl SagaStep<State> for Buy {
    fn name(&self) -> &'static str {
        "buy"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let numbers = numbers(context.app, &state.provider)?;
        let mut look_first = context.begun_before();
        loop {
            let Some(number) = state.chosen.clone() else {
                next_candidate(context, state).await?;
                continue;
            };
            if look_first && let Some(found) = Self::look(context, numbers, &number).await? {
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
                    if let Some(found) = Self::look(context, numbers, &number).await? {
                        state.bought = Some(found.into());
                        return Ok(());
                    }
                    state.chosen = None;
                    look_first = false;
                }
                Err(error) if error.recovery() == Recovery::Reconcile => {
                    if let Some(found) = Self::look(context, numbers, &number).await? {
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
        let numbers = numbers(context.app, &state.provider)?;
        // What was bought is found by number and tag, whether or not we got to hear of it.
        let Some(number) = &state.chosen else {
            return Ok(());
        };
        let id = match state.bought.take() {
            Some(bought) => Some(bought.id),
            None => Self::look(context, numbers, number).await?.map(|found| found.id),
        };
        if let Some(id) = id {
            numbers.release(&id).await.map_err(|error| {
                StepError::again(format!("could not give the number back: {error}"), None)
            })?;
        }
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
