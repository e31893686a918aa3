//! Closing a tenant's accounts, when the tenant is closed.

use serde_json::Value;

use super::{Subaccount, SubaccountStatus, carrier::enter, tag};
use crate::{
    VoiceSaas,
    provider::{
        ProviderError,
        telephony::{ProviderSubaccount, TelephonyProvider},
    },
    saga::StepError,
    scope::TenantScope,
};

/// Closes the tenant's accounts at all carriers, those too that were made without our having heard of it. Closing gives
/// up whatever is in an account, so one that still holds numbers is left to an operator. It may be repeated.
pub(crate) async fn close_all(app: &VoiceSaas, scope: &TenantScope) -> Result<(), StepError> {
    let accounts = app.store().begin(scope).await?.subaccounts().list().await?;
    for account in accounts {
        close(app, scope, account).await?;
    }
    Ok(())
}

async fn close(app: &VoiceSaas, scope: &TenantScope, mut account: Subaccount) -> Result<(), StepError> {
    let carrier = app.telephony(&account.provider);
    let Some(accounts) = carrier.and_then(|carrier| carrier.subaccounts()) else {
        let detail = format!(
            "{}, where the tenant has an account, is not configured",
            account.provider
        );
        return Err(StepError::give_up(detail, Value::Null));
    };
    let failed = |error: ProviderError| StepError::provider(&error, Value::Null);
    let tag = tag(scope.tenant_id());
    // There is more than one only when something went wrong that should not; a closed one is not found again.
    let mut last = None;
    while let Some(found) = accounts.find(&tag).await.map_err(failed)? {
        if last.as_ref() == Some(&found.id) {
            let detail = format!("the carrier has not closed the tenant's account {} yet", found.id);
            return Err(StepError::again(detail, None));
        }
        let left = numbers_left(app, scope, &account, &found).await?;
        if left > 0 {
            let detail = format!(
                "{left} numbers are left in the tenant's account {}: move them or give them back, and try again",
                found.id
            );
            return Err(StepError::give_up(detail, Value::Null));
        }
        accounts.close(&found.id).await.map_err(failed)?;
        app.subaccounts().forget(&account.provider, &found.id).await;
        tracing::info!(tenant.id = %scope.tenant_id(), account = %found.id, "a tenant's account was closed");
        last = Some(found.id);
    }
    account.status = SubaccountStatus::Closed;
    let mut tx = app.store().begin(scope).await?;
    tx.subaccounts().update(&account).await?;
    Ok(tx.commit().await?)
}

/// How many numbers the account's first page shows. One whose secret nobody knows was never entered, and so holds nothing
/// of ours.
async fn numbers_left(
    app: &VoiceSaas,
    scope: &TenantScope,
    account: &Subaccount,
    found: &ProviderSubaccount,
) -> Result<usize, StepError> {
    let failed = |error: ProviderError| StepError::provider(&error, Value::Null);
    let parent = app.telephony(&account.provider);
    let within = if account.provider_id.as_ref() == Some(&found.id) {
        Some(enter(app, scope.tenant_id(), account).map_err(failed)?.carrier)
    } else {
        match (parent.and_then(|parent| parent.subaccounts()), &found.secret) {
            (Some(accounts), Some(secret)) => {
                Some(accounts.enter(&found.id, secret.clone()).map_err(failed)?)
            }
            _ => None,
        }
    };
    let numbers = within.as_deref().and_then(TelephonyProvider::numbers);
    match numbers {
        Some(numbers) => Ok(numbers.list(None).await.map_err(failed)?.items.len()),
        None => Ok(0),
    }
}
