//! A purchase that the pool serves: nothing is bought, and what was taken goes back there.

use serde_json::json;

use super::{Report, State, webhooks};
use crate::{
    id::NumberId,
    number::{NumberPolicy, Ownership, PhoneNumber, Wish, pool, service::facet},
    saga::{StepContext, StepError},
    store::StoreErrorKind,
};

/// Takes a number from the pool, where the settings say so and one fits; whether it did.
pub(super) async fn take(context: &mut StepContext<'_>, state: &mut State) -> Result<bool, StepError> {
    let (app, tenant) = (context.app, context.scope.tenant_id());
    let policy = app.settings().number_policy;
    loop {
        let lent = match policy {
            // The settings were others when the step was begun, perhaps.
            NumberPolicy::Dedicated if context.begun_before() => {
                pool::lent_to(app, tenant, context.saga()).await?
            }
            NumberPolicy::Dedicated => return Ok(false),
            NumberPolicy::Pool | NumberPolicy::PoolOnly => {
                pool::lend(app, &wish(state), tenant, context.saga()).await?
            }
        };
        let Some(lent) = lent else { break };
        let mut tx = app.store().begin(context.scope).await?;
        let row = match tx.numbers().find_by_saga(context.saga()).await? {
            Some(row) => row.id,
            None => {
                let id = NumberId::generate(app.ambient().ids());
                let (saga, now) = (context.saga(), app.ambient().now());
                let mut row =
                    PhoneNumber::pending(id, lent.number.clone(), &lent.provider, lent.country, saga, now);
                row.owned = Ownership::Pool;
                match tx.numbers().add(&row).await {
                    // Its last holder's row is not over yet.
                    Err(error) if error.kind() == StoreErrorKind::Conflict => {
                        drop(tx);
                        pool::take_back(app, tenant, context.saga()).await?;
                        continue;
                    }
                    added => added?,
                }
                tx.commit().await?;
                id
            }
        };
        // It is in the operator's account, whichever the tenant's own is.
        state.account = None;
        state.row = Some(row);
        state.chosen = Some(lent.number);
        state.lent = true;
        context.save(state).await?;
        return Ok(true);
    }
    if policy == NumberPolicy::PoolOnly {
        let report = Report::Unavailable {
            nearby_area_codes: Vec::new(),
        };
        return Err(StepError::give_up(
            "the pool has no number that fits",
            json!(report),
        ));
    }
    Ok(false)
}

/// What the request is to the pool.
fn wish(state: &State) -> Wish {
    let request = &state.request;
    let prefix = match &request.number {
        Some(number) => number.to_string(),
        None => {
            let code = request.country.calling_code().unwrap_or_else(|| "+".to_owned());
            format!("{code}{}", request.area_code.as_deref().unwrap_or_default())
        }
    };
    Wish {
        provider: state.provider.clone(),
        country: request.country,
        kind: request.kind,
        prefix,
    }
}

/// A number of the pool is paid for already; it may have been bought under another address of ours.
pub(super) async fn point(context: &StepContext<'_>, state: &mut State) -> Result<(), StepError> {
    let carrier = context.app.telephony(&state.provider).ok_or_else(|| {
        let report = json!(Report::Carrier { retryable: false });
        StepError::give_up("the carrier is not configured", report)
    })?;
    let numbers = facet(&**carrier).map_err(|error| StepError::provider(&error, Report::of(&error)))?;
    let number = state
        .chosen
        .as_ref()
        .ok_or_else(|| StepError::give_up("nothing was lent", json!(Report::Carrier { retryable: true })))?;
    let found = numbers.find(number).await;
    let found = found.map_err(|error| StepError::provider(&error, Report::of(&error)))?;
    let found = found.ok_or_else(|| {
        // Reconciliation says so to operators; the pool's next number may be there.
        tracing::error!(number = ?number, "the carrier does not have a number of the pool");
        let report = json!(Report::Carrier { retryable: true });
        StepError::give_up("the carrier does not have the number of the pool", report)
    })?;
    let webhooks = webhooks(context.app, &state.provider);
    if found.voice_url.as_deref() != Some(webhooks.voice.as_str()) {
        let configured = numbers.configure(&found.id, &webhooks).await;
        configured.map_err(|error| StepError::provider(&error, Report::of(&error)))?;
    }
    state.bought = Some(found.into());
    Ok(())
}
