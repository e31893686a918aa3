//! In whose account at the carrier a number is bought.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Report, State};
use crate::{
    number::facet,
    provider::telephony::{Capability, NumberProvider, TelephonyProvider},
    saga::{SagaStep, StepContext, StepError},
    subaccount,
};

/// The carrier, in the account in which the number is bought.
pub(super) async fn carrier(
    context: &StepContext<'_>,
    state: &State,
) -> Result<Arc<dyn TelephonyProvider>, StepError> {
    let account = state.account.as_ref();
    let carrier = context
        .app
        .telephony_of(context.scope, &state.provider, account)
        .await;
    carrier.map_err(|error| error.into_step(Report::of))
}

/// Its numbers.
pub(super) fn numbers_of(carrier: &dyn TelephonyProvider) -> Result<&dyn NumberProvider, StepError> {
    facet(carrier).map_err(|error| StepError::provider(&error, Report::of(&error)))
}

/// Whether it can do this.
pub(super) fn can(carrier: &dyn TelephonyProvider, capability: Capability) -> bool {
    carrier.capabilities().contains(&capability)
}

/// Sees to it that the tenant has an account of its own, where the settings ask for one.
#[derive(Debug)]
pub(super) struct OpenAccount;

#[async_trait]
impl SagaStep<State> for OpenAccount {
    fn name(&self) -> &'static str {
        "open account"
    }

    async fn run(&self, context: &mut StepContext<'_>, state: &mut State) -> Result<(), StepError> {
        // What is lent is the operator's own.
        if state.account.is_none() && !state.lent {
            state.account = subaccount::ensure(context, &state.provider, Report::of).await?;
        }
        Ok(())
    }

    async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
        // An account costs nothing. Its row says that it may be there: the next purchase goes on with it, and closing the
        // tenant closes it.
        Ok(())
    }
}
