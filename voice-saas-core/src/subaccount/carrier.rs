//! The carrier for a tenant's resource: in the account that the resource is in.

use std::{fmt, sync::Arc, time::Duration};

use moka::future::Cache;
use serde_json::Value;

use super::{Subaccount, SubaccountStatus};
use crate::{
    VoiceSaas,
    id::TenantId,
    job::JobError,
    provider::{
        ErrorKind, ProviderError, ProviderName,
        telephony::{ProviderSubaccountId, TelephonyProvider},
    },
    saga::StepError,
    scope::{SystemScope, TenantScope},
    store::StoreError,
};

/// Accounts remembered at once: some kilobytes each.
const CAPACITY: u64 = 10_000;

/// That an account was closed at another replica is seen after this long at the latest.
const FRESH: Duration = Duration::from_mins(5);

type Key = (String, ProviderSubaccountId);

/// A carrier within a tenant's account.
pub(crate) struct Entered {
    /// Whose account it is.
    pub(crate) tenant: TenantId,
    pub(crate) carrier: Arc<dyn TelephonyProvider>,
}

/// Accounts that were entered lately. What is nobody's is not remembered.
pub(crate) struct SubaccountCache(Cache<Key, Arc<Entered>>);

impl Default for SubaccountCache {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(FRESH)
                .build(),
        )
    }
}

impl SubaccountCache {
    pub(crate) async fn forget(&self, provider: &str, id: &ProviderSubaccountId) {
        self.0.invalidate(&(provider.to_owned(), id.clone())).await;
    }
}

/// Why a carrier is out of reach.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarrierError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CarrierError {
    /// Whether the account is closed, and everything in it gone.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Provider(error) if error.kind() == ErrorKind::NotFound)
    }

    /// What it means for a saga's step.
    pub(crate) fn into_step(self, report: impl Fn(&ProviderError) -> Value) -> StepError {
        match self {
            Self::Provider(error) => StepError::provider(&error, report(&error)),
            Self::Store(error) => error.into(),
        }
    }
}

impl From<CarrierError> for JobError {
    fn from(error: CarrierError) -> Self {
        match error {
            CarrierError::Provider(error) => Self::provider(&error),
            CarrierError::Store(error) => error.into(),
        }
    }
}

fn refused(kind: ErrorKind, detail: impl fmt::Display) -> ProviderError {
    ProviderError::new(ProviderName::new("voice-saas"), "reach the carrier", kind)
        .with_detail(detail.to_string())
}

impl VoiceSaas {
    /// The carrier for a resource of the tenant's: in the tenant's own account when the resource is in one, else in the
    /// operator's.
    ///
    /// # Errors
    /// `Unsupported` when the carrier is not configured, `NotFound` when the account is closed, `Invalid` when the
    /// account is not the tenant's or its secret cannot be read; `Store`.
    pub(crate) async fn telephony_of(
        &self,
        scope: &TenantScope,
        provider: &str,
        account: Option<&ProviderSubaccountId>,
    ) -> Result<Arc<dyn TelephonyProvider>, CarrierError> {
        let Some(id) = account else {
            let missing = || refused(ErrorKind::Unsupported, format!("{provider} is not configured"));
            return Ok(Arc::clone(self.telephony(provider).ok_or_else(missing)?));
        };
        let key = (provider.to_owned(), id.clone());
        let cache = &self.subaccounts().0;
        if let Some(entered) = cache.get(&key).await
            && entered.tenant == scope.tenant_id()
        {
            return Ok(Arc::clone(&entered.carrier));
        }
        let found = self.store().begin(scope).await?;
        let found = { found }.subaccounts().find(provider, id).await?;
        let account = found
            .ok_or_else(|| refused(ErrorKind::Invalid, format!("{id} is no account of the tenant's")))?;
        if account.status == SubaccountStatus::Closed {
            return Err(refused(
                ErrorKind::NotFound,
                format!("the tenant's account {id} is closed"),
            )
            .into());
        }
        let entered = Arc::new(enter(self, scope.tenant_id(), &account)?);
        cache.insert(key, Arc::clone(&entered)).await;
        Ok(Arc::clone(&entered.carrier))
    }
}

/// The carrier within the account.
pub(super) fn enter(
    app: &VoiceSaas,
    tenant: TenantId,
    account: &Subaccount,
) -> Result<Entered, ProviderError> {
    let carrier = app.telephony(&account.provider);
    let accounts = carrier.and_then(|carrier| carrier.subaccounts()).ok_or_else(|| {
        let detail = format!("{} has no accounts within the account", account.provider);
        refused(ErrorKind::Unsupported, detail)
    })?;
    let (id, secret) = account.credentials(app).ok_or_else(|| {
        let detail = format!(
            "the secret of {} is missing or was sealed under another key",
            account.id
        );
        refused(ErrorKind::Invalid, detail)
    })?;
    Ok(Entered {
        tenant,
        carrier: accounts.enter(id, secret)?,
    })
}

/// The account that a webhook claims to come from, with whose it is; `None` when it is none of ours.
pub(crate) async fn named(
    app: &VoiceSaas,
    provider: &str,
    id: &ProviderSubaccountId,
) -> Result<Option<Arc<Entered>>, StoreError> {
    let key = (provider.to_owned(), id.clone());
    let cache = &app.subaccounts().0;
    if let Some(entered) = cache.get(&key).await {
        return Ok(Some(entered));
    }
    let system = SystemScope::mint("find the account that a webhook names");
    let mut tx = app.store().begin_reading(&system).await?;
    let Some((tenant, account)) = tx.subaccount(provider, id).await? else {
        return Ok(None);
    };
    drop(tx);
    if account.status != SubaccountStatus::Open {
        return Ok(None);
    }
    match enter(app, tenant, &account) {
        Ok(entered) => {
            let entered = Arc::new(entered);
            cache.insert(key, Arc::clone(&entered)).await;
            Ok(Some(entered))
        }
        Err(error) => {
            tracing::error!(
                detail = error.detail(),
                "a tenant's account cannot be entered: {error}"
            );
            Ok(None)
        }
    }
}
