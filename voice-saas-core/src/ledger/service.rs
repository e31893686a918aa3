//! Looking at the ledger.

use super::{Balance, LedgerEntry};
use crate::{
    VoiceSaas,
    auth::Principal,
    call::CallError,
    id::TenantId,
    page::{Page, PageRequest},
    scope::SystemScope,
    store::StoreError,
    tenant::Role,
};

/// The ledger: see [`VoiceSaas::ledger`].
#[derive(Debug)]
pub struct Ledgers<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Ledgers<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// The entries of the caller's tenant, newest first, and the sums of all of them.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn of_tenant(
        &self,
        principal: &Principal,
        page: PageRequest,
    ) -> Result<(Page<LedgerEntry>, Vec<Balance>), CallError> {
        let scope = principal.require(Role::Viewer)?;
        let mut tx = self.app.store().begin(scope).await?;
        let entries = tx.ledger().list(page).await?;
        let balances = tx.ledger().balances(None).await?;
        Ok((entries, balances))
    }

    /// What each tenant brought and cost, ever or in a month (UTC) such as `2026-11`, in the order of their ids: for
    /// operators.
    ///
    /// # Errors
    /// `Store`.
    pub async fn of_all_tenants(
        &self,
        month: Option<&str>,
        after: Option<TenantId>,
        limit: u16,
    ) -> Result<Vec<(TenantId, Balance)>, StoreError> {
        let scope = SystemScope::mint("an operator looks at the margin of each tenant");
        let mut tx = self.app.store().begin_reading(&scope).await?;
        tx.balances_of_tenants(month, after, limit).await
    }
}
