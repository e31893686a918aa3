//! A number that the carrier's account holds already, taken into service: claim, look up, tag, set up, answer.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    NumberError, NumberStatus, Numbers, Ownership, PhoneNumber, Provisioned, is_pooled,
    provision::{Bought, Report, numbers, webhooks},
    release::mark_released,
    service::{PATIENCE, facet, outcome, publish_provisioned},
};
use crate::{
    VoiceSaas,
    auth::Principal,
    id::{NumberId, SagaId, TenantId},
    money::Money,
    phone::{Country, E164},
    provider::telephony::Capability,
    saga::{self, Saga, SagaStep, StepContext, StepError},
    scope::{Actor, SystemScope, TenantScope},
    store::{StoreError, StoreErrorKind},
    tenant::Role,
    usage::{Limit, require_room},
    validate::{Checks, Invalid},
};

/// What the saga and its job are called.
pub(crate) const KIND: &str = "number.import";

/// Who may take numbers into service that a carrier's account holds already. The account is shared by all tenants, and
/// carriers do not say which of its numbers belongs to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the use cases handle each")]
pub enum ImportPolicy {
    /// Members of a tenant too, as long as nobody holds the number and it was not bought through this library. It fits
    /// where the account's numbers are meant for whoever names them first.
    #[default]
    Members,
    /// Operators alone, on a tenant's behalf.
    Operators,
}

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
    /// Takes a number into service that the carrier's account holds already, where
    /// [`Settings::imports`](crate::Settings::imports) lets members do so. It is never given back to the carrier:
    /// releasing it lets go of it here.
    ///
    /// # Errors
    /// `Forbidden`, `ImportForbidden`, `Invalid`, `Unavailable` when any tenant has it or it was bought for one,
    /// `NotInAccount`, `Carrier`.
    pub async fn import(
        &self,
        principal: &Principal,
        request: ImportRequest,
    ) -> Result<Provisioned, NumberError> {
        let scope = principal.require(Role::Member)?;
        if self.app().settings().imports == ImportPolicy::Operators {
            return Err(NumberError::ImportForbidden);
        }
        self.import_as(scope, request, false).await
    }

    /// The same on a tenant's behalf: for operators, whom no policy binds.
    ///
    /// # Errors
    /// `Invalid`, also for an unknown or closed tenant; `Unavailable`, `NotInAccount`, `Carrier`, `Store`.
    pub async fn import_for(
        &self,
        tenant: TenantId,
        request: ImportRequest,
    ) -> Result<Provisioned, NumberError> {
        let system = SystemScope::mint("an operator imports a number for a tenant");
        let mut tx = self.app().store().begin_system(&system).await?;
        let found = tx.tenant(tenant).await?;
        drop(tx);
        if found.is_none_or(|tenant| tenant.status.is_ending()) {
            let detail = "no such tenant, or one that was closed";
            return Err(Invalid::field("/tenant_id", "unknown", detail).into());
        }
        tracing::info!(tenant.id = %tenant, provider = request.provider, "an operator imports a number");
        let scope = TenantScope::mint(tenant, Actor::System("an operator imports a number"));
        self.import_as(&scope, request, true).await
    }

    async fn import_as(
        &self,
        scope: &TenantScope,
        request: ImportRequest,
        by_operator: bool,
    ) -> Result<Provisioned, NumberError> {
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
        require_room(app, &mut *tx, Limit::Numbers).await??;
        let unique_key = format!("{KIND}:{}", request.number);
        let state = State {
            request,
            country,
            by_operator,
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
    /// An operator knows whose number it is.
    #[serde(default)]
    by_operator: bool,
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

fn taken(detail: &str) -> StepError {
    let nearby_area_codes = Vec::new();
    StepError::give_up(detail, json!(Report::Unavailable { nearby_area_codes }))
}

/// Whether the tag is an earlier import's: that number was in the account before, and stays there. Any other number
/// with a tag was bought by us, or by another installation: nobody takes it over unless an operator says so.
async fn was_imported(app: &VoiceSaas, tag: SagaId) -> Result<bool, StoreError> {
    let system = SystemScope::mint("look how a number that is to be imported came into the account");
    let mut tx = app.store().begin_system(&system).await?;
    let sagas = tx.reconciliation().sagas(&[tag]).await?;
    Ok(sagas.iter().any(|saga| saga.kind == KIND))
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
                return Err(taken("somebody has the number"));
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
        // Looked up after the carrier's answer: it was in our books before it was in the account.
        let State { request, .. } = &*state;
        if is_pooled(context.app, &request.provider, &request.number).await? {
            return Err(taken("the number is the operator's own"));
        }
        let tag = found.friendly_name.parse().ok();
        if let Some(tag) = tag.filter(|tag| !state.by_operator && *tag != context.saga())
            && !was_imported(context.app, tag).await?
        {
            // Whose it is shows in no answer.
            return Err(taken("the number was bought for somebody"));
        }
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
