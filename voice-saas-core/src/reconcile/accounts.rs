//! A provider's list across accounts: the operator's first, then each tenant's own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::inventory::{ActionError, LookError};
use crate::{
    VoiceSaas,
    id::{SubaccountId, TenantId},
    provider::{
        ErrorKind, ProviderError, ProviderName,
        telephony::{NumberProvider, ProviderSubaccountId, TelephonyProvider, TrunkProvider},
    },
    scope::{Actor, SystemScope, TenantScope},
    subaccount::CarrierError,
};

/// An account at a provider.
pub(crate) struct Account {
    pub(crate) carrier: Arc<dyn TelephonyProvider>,
    /// Whose it is; `None` = the operator's.
    pub(crate) tenant: Option<TenantId>,
    /// The provider's id of it, unless it is the operator's.
    pub(crate) id: Option<ProviderSubaccountId>,
    row: Option<SubaccountId>,
}

fn out_of_reach(name: &str) -> ProviderError {
    ProviderError::new(
        ProviderName::new("voice-saas"),
        "find a provider",
        ErrorKind::Unsupported,
    )
    .with_detail(format!("{name} is not configured, or has no such resources"))
}

impl Account {
    pub(crate) fn numbers(&self) -> Result<&dyn NumberProvider, ProviderError> {
        let numbers = self.carrier.numbers();
        numbers.ok_or_else(|| out_of_reach(self.carrier.name().as_str()))
    }

    pub(crate) fn trunks(&self) -> Result<&dyn TrunkProvider, ProviderError> {
        let trunks = self.carrier.trunks();
        trunks.ok_or_else(|| out_of_reach(self.carrier.name().as_str()))
    }

    pub(super) fn operators(app: &VoiceSaas, provider: &str) -> Result<Self, ProviderError> {
        let carrier = app.telephony(provider).ok_or_else(|| out_of_reach(provider))?;
        Ok(Self {
            carrier: Arc::clone(carrier),
            tenant: None,
            id: None,
            row: None,
        })
    }
}

/// Where a walk stands: in which account, and at which page there.
#[derive(Serialize, Deserialize)]
struct Place {
    row: Option<SubaccountId>,
    // A tenant is read from JSON by its text alone.
    tenant: Option<String>,
    id: Option<ProviderSubaccountId>,
    page: Option<String>,
}

impl Place {
    fn text(&self) -> Result<Option<String>, LookError> {
        serde_json::to_string(self)
            .map(Some)
            .map_err(|_| LookError::Cursor)
    }
}

pub(crate) fn scope(tenant: TenantId) -> TenantScope {
    TenantScope::mint(tenant, Actor::System("reconcile with providers"))
}

/// The account and its page that a cursor of [`next`] names; the operator's account to begin with.
pub(crate) async fn enter(
    app: &VoiceSaas,
    provider: &str,
    cursor: Option<&str>,
) -> Result<(Account, Option<String>), LookError> {
    let Some(cursor) = cursor else {
        return Ok((Account::operators(app, provider)?, None));
    };
    let place: Place = serde_json::from_str(cursor).map_err(|_| LookError::Cursor)?;
    let Some(tenant) = &place.tenant else {
        return Ok((Account::operators(app, provider)?, place.page));
    };
    let tenant: TenantId = tenant.parse().map_err(|_| LookError::Cursor)?;
    let scope = scope(tenant);
    let carrier = app.telephony_of(&scope, provider, place.id.as_ref()).await;
    let account = Account {
        carrier: carrier?,
        tenant: Some(tenant),
        id: place.id,
        row: place.row,
    };
    Ok((account, place.page))
}

/// The cursor of the next page: in this account, or else of the next account's first.
pub(crate) async fn next(
    app: &VoiceSaas,
    account: &Account,
    page: Option<String>,
) -> Result<Option<String>, LookError> {
    if page.is_some() {
        let place = Place {
            row: account.row,
            tenant: account.tenant.map(|tenant| tenant.to_string()),
            id: account.id.clone(),
            page,
        };
        return place.text();
    }
    let provider = account.carrier.name();
    if app
        .telephony(provider.as_str())
        .is_none_or(|carrier| carrier.subaccounts().is_none())
    {
        return Ok(None);
    }
    let system = SystemScope::mint("walk the accounts at a carrier");
    let mut tx = app.store().begin_system(&system).await?;
    let next = tx
        .reconciliation()
        .subaccounts(provider.as_str(), account.row, 1)
        .await?;
    match next.into_iter().next() {
        None => Ok(None),
        Some((tenant, row)) => Place {
            row: Some(row.id),
            tenant: Some(tenant.to_string()),
            id: row.provider_id,
            page: None,
        }
        .text(),
    }
}

/// Where a tenant's resource may be: in the operator's account, or in the tenant's own.
pub(crate) async fn candidates(
    app: &VoiceSaas,
    provider: &str,
    tenant: Option<TenantId>,
) -> Result<Vec<Account>, CarrierError> {
    let mut accounts = vec![Account::operators(app, provider)?];
    let Some(tenant) = tenant else { return Ok(accounts) };
    let scope = scope(tenant);
    let own = app
        .store()
        .begin(&scope)
        .await?
        .subaccounts()
        .at(provider)
        .await?;
    if let Some(own) = own
        && let Some(id) = own.provider_id
    {
        accounts.push(Account {
            carrier: app.telephony_of(&scope, provider, Some(&id)).await?,
            tenant: Some(tenant),
            id: Some(id),
            row: Some(own.id),
        });
    }
    Ok(accounts)
}

impl From<CarrierError> for LookError {
    fn from(error: CarrierError) -> Self {
        match error {
            CarrierError::Provider(error) => Self::Provider(error),
            CarrierError::Store(error) => Self::Store(error),
        }
    }
}

impl From<CarrierError> for ActionError {
    fn from(error: CarrierError) -> Self {
        match error {
            CarrierError::Provider(error) => Self::Provider(error),
            CarrierError::Store(error) => Self::Store(error),
        }
    }
}
