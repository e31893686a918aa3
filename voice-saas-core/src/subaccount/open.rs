//! Opening a tenant's account, as a step of whatever needs it first.
//!
//! The row is written before the carrier is asked, and names the saga that asks. Others wait while that saga goes on, so
//! that no two open one each; when it is over without having opened the account, the next goes on with the same row. The
//! account bears the tenant's id, by which it is found again.

use std::time::Duration;

use serde_json::Value;

use super::{AccountPolicy, Subaccount, SubaccountStatus, tag};
use crate::{
    id::SubaccountId,
    provider::{
        ErrorKind, ProviderError,
        telephony::{ProviderSubaccountId, SubaccountState},
    },
    saga::{SagaStatus, StepContext, StepError},
    store::StoreErrorKind,
};

/// Between two looks at somebody else's opening.
const PAUSE: Duration = Duration::from_secs(1);

/// The tenant's account at the carrier, opened where it is not there yet; `None` where tenants share the operator's.
/// It may be repeated after any failure.
pub(crate) async fn ensure(
    context: &StepContext<'_>,
    provider: &str,
    report: impl Fn(&ProviderError) -> Value,
) -> Result<Option<ProviderSubaccountId>, StepError> {
    let app = context.app;
    let carrier = app.telephony(provider);
    let Some((carrier, accounts)) = carrier.and_then(|carrier| Some((carrier, carrier.subaccounts()?)))
    else {
        return Ok(None);
    };
    if app.settings().accounts == AccountPolicy::Shared {
        return Ok(None);
    }
    let mut account = claim(context, provider).await?;
    if account.status == SubaccountStatus::Open {
        return Ok(account.provider_id);
    }
    let tenant = context.scope.tenant_id();
    let made = accounts.ensure(&tag(tenant)).await;
    let made = made.map_err(|error| StepError::provider(&error, report(&error)))?;
    let unusable = |detail: &str| {
        let error = ProviderError::new(carrier.name(), "open a tenant's account", ErrorKind::Forbidden)
            .with_detail(format!("{detail} ({})", made.id));
        StepError::provider(&error, report(&error))
    };
    if made.state != SubaccountState::Active {
        return Err(unusable(
            "the tenant's account is suspended at the carrier: resume it there",
        ));
    }
    let Some(secret) = &made.secret else {
        return Err(unusable(
            "the carrier does not show the account's secret again: close the empty account there, and try again",
        ));
    };
    account.opened(app, made.id.clone(), secret);
    let mut tx = app.store().begin(context.scope).await?;
    tx.subaccounts().update(&account).await?;
    tx.commit().await?;
    tracing::info!(tenant.id = %tenant, provider, account = %made.id, "a tenant has an account of its own");
    Ok(account.provider_id)
}

/// The tenant's account: open, or being opened by this saga and no other.
async fn claim(context: &StepContext<'_>, provider: &str) -> Result<Subaccount, StepError> {
    let ambient = context.app.ambient();
    let own = context.saga();
    let busy = || {
        let detail = "the tenant's account is being opened by other work";
        Err(StepError::again(detail, Some(PAUSE)))
    };
    let mut tx = context.app.store().begin(context.scope).await?;
    let Some(mut account) = tx.subaccounts().at(provider).await? else {
        let id = SubaccountId::generate(ambient.ids());
        let account = Subaccount::opening(id, provider, own, ambient.now());
        return match tx.subaccounts().add(&account).await {
            Err(error) if error.kind() == StoreErrorKind::Conflict => busy(),
            added => {
                added?;
                tx.commit().await?;
                Ok(account)
            }
        };
    };
    if account.status == SubaccountStatus::Open || account.opener == own {
        return Ok(account);
    }
    let opener = tx.sagas().find(account.opener).await?;
    if matches!(opener.status, SagaStatus::Running | SagaStatus::Undoing)
        || !tx.subaccounts().hand_on(account.id, account.opener, own).await?
    {
        return busy();
    }
    tx.commit().await?;
    account.opener = own;
    Ok(account)
}
