//! The purchase of a number, as a saga: choose, buy, put into service.
//!
//! The exact number and our saga's id go into the order, so that after an ambiguous failure or a crash the number
//! is found again instead of being bought twice.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    NumberError, NumberStatus, PhoneNumber,
    service::{area_codes, facet, mark_released},
};
use crate::{
    VoiceSaas,
    event::DomainEvent,
    id::{AgentId, EventId, NumberId},
    phone::{Country, E164},
    provider::{
        ErrorKind, ProviderError, Recovery,
        telephony::{
            AvailableNumber, NumberCapabilities, NumberKind, NumberOrder, NumberProvider, NumberQuery,
            NumberWebhooks, ProviderNumber, ProviderNumberId,
        },
    },
    saga::{Saga, SagaStep, StepContext, StepError},
    store::{StoreError, StoreErrorKind},
};

/// What the saga and its job are called.
pub(super) const KIND: &str = "number.provision";

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
        }
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
}

/// What the carrier sold us.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bought {
    id: ProviderNumberId,
    capabilities: NumberCapabilities,
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
        }
    }
}

/// Why a purchase was given up, for whoever asked for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub(super) enum Report {
    Unavailable { nearby_area_codes: Vec<String> },
    RequirementsMissing,
    AgentDeleted,
    Carrier { retryable: bool },
}

impl Report {
    pub(super) fn into_error(report: Option<Self>, provider: &str) -> NumberError {
        match report {
            Some(Self::Unavailable { nearby_area_codes }) => NumberError::Unavailable { nearby_area_codes },
            Some(Self::RequirementsMissing) => NumberError::RequirementsMissing,
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

    fn of(error: &ProviderError) -> Value {
        let retryable = !matches!(error.recovery(), Recovery::GiveUp);
        json!(match error.kind() {
            ErrorKind::RequirementsMissing => Self::RequirementsMissing,
            _ => Self::Carrier { retryable },
        })
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

fn numbers<'a>(app: &'a VoiceSaas, state: &State) -> Result<&'a dyn NumberProvider, StepError> {
    let carrier = app.telephony(&state.provider).ok_or_else(|| {
        StepError::give_up(
            "the carrier is not configured",
            json!(Report::Carrier { retryable: false }),
        )
    })?;
    facet(&**carrier).map_err(|error| StepError::provider(&error, Report::of(&error)))
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
        let numbers = numbers(context.app, state)?;
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
            let anywhere = NumberQuery::new(request.country)
                .with_kind(request.kind)
                .with_limit(30);
            let nearby = numbers.search(&anywhere).await.map_err(fail)?;
            let nearby_area_codes = area_codes(&nearby, request.country);
            return Err(StepError::give_up(
                "no number fits",
                json!(Report::Unavailable { nearby_area_codes }),
            ));
        }
        found.reverse();
        state.candidates = found;
        next_candidate(context, state).await
    }

    async fn undo(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        if let Some(row) = state.row {
            mark_released(context.app, context.scope, row).await?;
        }
        Ok(())
    }
}

/// Takes the best candidate that nobody here holds, and writes it down.
async fn next_candidate(context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
    let ambient = context.app.ambient();
    while let Some(candidate) = state.candidates.pop() {
        let mut tx = context.app.store().begin(context.scope).await?;
        // A crash between writing the row and the saga leaves a row that the next try finds.
        let known = tx.numbers().find_by_saga(context.saga()).await?;
        let written = match known {
            Some(mut row) => {
                row.number = candidate.number.clone();
                row.friendly_name = candidate.number.to_string();
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
        let numbers = numbers(context.app, state)?;
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
            let url = context.app.public_url();
            let webhooks = NumberWebhooks::new(
                url.webhook(&state.provider, "voice"),
                url.webhook(&state.provider, "fallback"),
                url.webhook(&state.provider, "status"),
            );
            let order = NumberOrder::new(number.clone(), context.saga().to_string(), webhooks);
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
                Err(error) => return Err(StepError::provider(&error, Report::of(&error))),
            }
        }
    }

    async fn undo(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let numbers = numbers(context.app, state)?;
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
        number.status = NumberStatus::Active;
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
        let payload = json!({ "number_id": row, "phone_number": number.number });
        let event = DomainEvent::new(
            EventId::generate(app.ambient().ids()),
            "number.provisioned",
            payload,
            now,
        );
        tx.outbox().publish(&event).await?;
        tx.commit().await?;
        app.routes().forget(&number.number).await;
        Ok(())
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        // It is the last step, and wrote nothing when it failed; the row is released with the first step.
        Ok(())
    }
}
