//! Which number is bought: candidates that the carrier has, and the first of them that nobody here holds.

use async_trait::async_trait;
use serde_json::json;

use super::{
    ProvisionRequest, Report, State,
    account::{carrier, numbers_of},
    lent,
};
use crate::{
    id::NumberId,
    number::{NumberStatus, PhoneNumber, pool, release::mark_released, service::area_codes},
    phone::E164,
    provider::{
        ProviderError,
        telephony::{NumberProvider, NumberQuery},
    },
    saga::{SagaStep, StepContext, StepError},
    store::{StoreError, StoreErrorKind},
};

/// Finds candidates. Nothing is paid for yet, so every failure turns the saga back at once.
#[derive(Debug)]
pub(super) struct Choose;

#[async_trait]
impl SagaStep<State> for Choose {
    fn name(&self) -> &'static str {
        "choose"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        if lent::take(context, state).await? {
            return Ok(());
        }
        let carrier = carrier(context, state).await?;
        let numbers = numbers_of(&*carrier)?;
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
        if let Some(row) = state.row
            && state.missing.is_none()
        {
            mark_released(context.app, context.scope, row).await?;
        }
        // What was lent is found by our id, whether or not the state got to hear of it.
        pool::put_back(context.app, context.scope.tenant_id(), context.saga()).await?;
        let (Some(row), Some(_)) = (state.row, &state.missing) else {
            return Ok(());
        };
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
pub(super) async fn next_candidate(
    context: &mut StepContext<'_>,
    state: &mut State,
) -> Result<(), StepError> {
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
                row.account.clone_from(&state.account);
                state.row = Some(row.id);
                tx.numbers().update(&row).await
            }
            None => {
                let id = NumberId::generate(ambient.ids());
                let mut row = PhoneNumber::pending(
                    id,
                    candidate.number.clone(),
                    &state.provider,
                    state.request.country,
                    context.saga(),
                    ambient.now(),
                );
                row.account.clone_from(&state.account);
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
