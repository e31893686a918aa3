//! A tenant's accounts at carriers.

use async_trait::async_trait;

use super::Subaccount;
use crate::{
    id::{SagaId, SubaccountId},
    provider::telephony::ProviderSubaccountId,
    store::StoreError,
};

/// A tenant's accounts at carriers.
#[async_trait]
pub trait SubaccountRepo: Send {
    /// Writes a fresh account.
    ///
    /// # Errors
    /// `Conflict` when the tenant has one at the carrier that is not closed.
    async fn add(&mut self, account: &Subaccount) -> Result<(), StoreError>;
    /// The tenant's account at the carrier that is not closed.
    async fn at(&mut self, provider: &str) -> Result<Option<Subaccount>, StoreError>;
    /// The tenant's account with this id at the carrier, closed or not.
    async fn find(
        &mut self,
        provider: &str,
        id: &ProviderSubaccountId,
    ) -> Result<Option<Subaccount>, StoreError>;
    /// Hands an account that is being opened on to another saga; `false` when somebody else was faster.
    async fn hand_on(&mut self, id: SubaccountId, from: SagaId, to: SagaId) -> Result<bool, StoreError>;
    /// Writes the account back.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when any tenant has an account with this id at the carrier.
    async fn update(&mut self, account: &Subaccount) -> Result<(), StoreError>;
    /// Those that are not closed, oldest first.
    async fn list(&mut self) -> Result<Vec<Subaccount>, StoreError>;
}
