//! A number that the carrier's account holds already, taken into service: claim, look up, tag, set up, answer.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    NumberError, NumberStatus, Numbers, Ownership, PhoneNumber, Provisioned,
    provision::{Bought, Report, numbers, webhooks},
    release::mark_released,
    service::{PATIENCE, facet, outcome, publish_provisioned},
};
use crate::{
    auth::Principal,
    id::NumberId,
    money::Money,
    phone::{Country, E164},
    provider::telephony::Capability,
    saga::{self, Saga, SagaStep, StepContext, StepError},
    store::StoreErrorKind,
    tenant::Role,
    validate::{Checks, Invalid},
};

/// What the saga and its job are called.
pub(crate) const KIND: &str = "number.import";

/// Which number to take into service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImportRequest {
    /// The number.
    pub number: E164,
    /// The carrier whose account holds it.
    pub provider: String,
    /// What people shall call it; the number itself unless told otherwise.
    pub label: Option<String>,
}

impl ImportRequest {
    /// This number of this carrier.
    pub fn new(number: E164, provider: impl Into<String>) -> Self {
        Self {
            number,
            provider: provider.into(),
            label: None,
        }
    }

    /// Called this by people.
    #[must_use]
    pub fn with_label(mut self, label: Option<String>) -> Self {
        self.label = label;
        self
    }
}

impl Numbers<'_> {
    /// Takes a number into service that the carrier's account holds already. It is never given back to the carrier:
    /// releasing it lets go of it here.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Unavailable` when any tenant has it, `NotInAccount`, `Carrier`.
    pub async fn import(
        &self,
        principal: &Principal,
        request: ImportRequest,
    ) -> Result<Provisioned, NumberError> {
        let scope = principal.require(Role::Member)?;
        let mut checks = Checks::new();
        if let Some(label) = &request.label {
            checks.length(label, 1..=100, "/label");
        }
        checks.finish()?;
        let app = self.app();
        let carrier = app
            .telephony(&request.provider)
            .ok_or_else(|| Invalid::field("/provider", "unknown", "no such carrier"))?;
        facet(&**carrier)?;
        let mut tx = app.store().begin(scope).await?;
        let country = match request.number.country() {
            Some(country) => country,
            None => tx.tenant().get().await?.country,
        };
        let unique_key = format!("{KIND}:{}", request.number);
        let state = State {
            request,
            country,
            row: None,
            found: None,
        };
        let begun = saga::begin(app, &mut *tx, &ImportNumber, &state, Some(unique_key)).await?;
        // The same import is under way.
        let (saga, job) = begun.ok_or(NumberError::Pending)?;
        tx.commit().await?;
        app.jobs().run_now(job, PATIENCE).await?;
        outcome(app, scope, saga, carrier.name().as_str()).await
    }
}

/// What the steps know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    request: ImportRequest,
    country: Country,
    row: Option<NumberId>,
    found: Option<Found>,
}

/// The number as the carrier has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Found {
    held: Bought,
    monthly_price: Option<Money>,
}

/// The import of a number.
#[derive(Debug)]
pub(crate) struct ImportNumber;

impl Saga for ImportNumber {
    type State = State;

    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> &'static [&'static dyn SagaStep<State>] {
        &[&Claim, &LookUp, &Tag, &SetUp, &PutIntoService]
    }
}

fn nothing() -> StepError {
    StepError::give_up("nothing was found", json!(Report::Carrier { retryable: true }))
}

/// Makes the number this tenant's and nobody else's, before the carrier is asked: whose it is shows in no answer.
#[derive(Debug)]
struct Claim;

#[async_trait]
impl SagaStep<State> for Claim {
    fn name(&self) -> &'static str {
        "claim"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let ambient = context.app.ambient();
        let mut tx = context.app.store().begin(context.scope).await?;
        if let Some(row) = tx.numbers().find_by_saga(context.saga()).await? {
            state.row = Some(row.id);
            return Ok(());
        }
        let id = NumberId::generate(ambient.ids());
        let mut row = PhoneNumber::pending(
            id,
            state.request.number.clone(),
            &state.request.provider,
            state.country,
            context.saga(),
            ambient.now(),
        );
        row.owned = Ownership::Imported;
        if let Some(label) = &state.request.label {
            row.friendly_name.clone_from(label);
        }
        match tx.numbers().add(&row).await {
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                let report = Report::Unavailable {
                    nearby_area_codes: Vec::new(),
                };
                return Err(StepError::give_up("somebody has the number", json!(report)));
            }
            added => added?,
        }
        tx.commit().await?;
        state.row = Some(id);
        Ok(())
    }

    async fn undo(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        // A crash between writing the row and the saga leaves a row that only the saga's id finds.
        let mut tx = context.app.store().begin(context.scope).await?;
        let row = tx.numbers().find_by_saga(context.saga()).await?;
        drop(tx);
        if let Some(id) = row.map(|row| row.id).or(state.row) {
            mark_released(context.app, context.scope, id).await?;
        }
        Ok(())
    }
}

/// Sees whether the account holds it.
#[derive(Debug)]
struct LookUp;

#[async_trait]
impl SagaStep<State> for LookUp {
    fn name(&self) -> &'static str {
        "look up"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let numbers = numbers(context.app, &state.request.provider)?;
        let found = numbers.find(&state.request.number).await;
        let found = found.map_err(|error| StepError::provider(&error, Report::of(&error)))?;
        let found = found.ok_or_else(|| {
            StepError::give_up(
                "the account does not hold the number",
                json!(Report::NotInAccount),
            )
        })?;
        state.found = Some(Found {
            monthly_price: found.monthly_price,
            held: found.into(),
        });
        Ok(())
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        // It only looked.
        Ok(())
    }
}

/// Gives the number our tag, where the carrier keeps one.
#[derive(Debug)]
struct Tag;

#[async_trait]
impl SagaStep<State> for Tag {
    fn name(&self) -> &'static str {
        "tag"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        if !can(context, state, Capability::NameNumbers) {
            return Ok(());
        }
        let numbers = numbers(context.app, &state.request.provider)?;
        let found = state.found.as_ref().ok_or_else(nothing)?;
        // Renaming twice does no harm.
        let renamed = numbers.rename(&found.held.id, &context.saga().to_string()).await;
        renamed.map_err(|error| StepError::provider(&error, Report::of(&error)))
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        // What its name was before is nobody's secret to keep; the next import gives it another.
        Ok(())
    }
}

/// Points the number's calls at us, where the carrier lets us.
#[derive(Debug)]
struct SetUp;

#[async_trait]
impl SagaStep<State> for SetUp {
    fn name(&self) -> &'static str {
        "set up"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        if !can(context, state, Capability::ConfigureNumbers) {
            return Ok(());
        }
        let numbers = numbers(context.app, &state.request.provider)?;
        let found = state.found.as_ref().ok_or_else(nothing)?;
        let webhooks = webhooks(context.app, &state.request.provider);
        let configured = numbers.configure(&found.held.id, &webhooks).await;
        configured.map_err(|error| StepError::provider(&error, Report::of(&error)))
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        // Where its calls went before was not written down; calls to a number that is nobody's hear so.
        Ok(())
    }
}

fn can(context: &StepContext<'_>, state: &State, capability: Capability) -> bool {
    let carrier = context.app.telephony(&state.request.provider);
    carrier.is_some_and(|carrier| carrier.capabilities().contains(&capability))
}

/// Lets the number be answered.
#[derive(Debug)]
struct PutIntoService;

#[async_trait]
impl SagaStep<State> for PutIntoService {
    fn name(&self) -> &'static str {
        "put into service"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        let (row, found) = (
            state.row.ok_or_else(nothing)?,
            state.found.clone().ok_or_else(nothing)?,
        );
        let app = context.app;
        let mut tx = app.store().begin(context.scope).await?;
        let mut number = tx.numbers().find(row).await?;
        if number.status == NumberStatus::Active {
            return Ok(());
        }
        number
            .turn(NumberStatus::Active)
            .map_err(crate::store::StoreError::from)?;
        number.provider_id = Some(found.held.id);
        number.capabilities = found.held.capabilities;
        number.provisioned_at = Some(app.ambient().now());
        let rate = app
            .rates()
            .find("number_month", &state.request.provider, Some(state.country));
        number.monthly_cost = found.monthly_price.or(rate.map(|rate| rate.amount));
        tx.numbers().update(&number).await?;
        publish_provisioned(app, &mut *tx, &number).await?;
        tx.commit().await?;
        app.routes().forget(&number.number).await;
        Ok(())
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        // It is the last step, and wrote nothing when it failed.
        Ok(())
    }
}
