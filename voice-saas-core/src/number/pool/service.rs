//! The pool as operators see it.

use super::{PoolFilter, PoolNumber, PoolStatus};
use crate::{
    VoiceSaas,
    page::{Page, PageRequest},
    provider::ProviderError,
    scope::SystemScope,
    store::{StoreError, SystemTx},
    validate::Invalid,
};

/// Why an operator's request about the pool is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// Something about the request itself.
    #[error("the request cannot be accepted")]
    Invalid(#[from] Invalid),
    /// The pool is being filled with the same numbers.
    #[error("the same is under way already")]
    UnderWay,
    /// The number cannot be given back now: it is being bought, or a tenant has it.
    #[error("the number is in use: {0:?}")]
    InUse(PoolStatus),
    /// The carrier cannot sell numbers.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The carrier refuses to take the number back.
    #[error("the carrier {0} refuses")]
    Carrier(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The operator's numbers: see [`VoiceSaas::number_pool`].
#[derive(Debug)]
pub struct NumberPool<'a> {
    app: &'a VoiceSaas,
}

impl<'a> NumberPool<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    pub(super) fn app(&self) -> &'a VoiceSaas {
        self.app
    }

    /// Newest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn list(&self, filter: PoolFilter, page: PageRequest) -> Result<Page<PoolNumber>, PoolError> {
        let mut tx = self.begin("an operator looks at the pool").await?;
        // What is over by now shows as what it is.
        tx.number_pool().end_quarantines(self.app.ambient().now()).await?;
        let listed = tx.number_pool().list(filter, page).await?;
        tx.commit().await?;
        Ok(listed)
    }

    pub(super) async fn begin(&self, reason: &'static str) -> Result<Box<dyn SystemTx>, StoreError> {
        self.app.store().begin_system(&SystemScope::mint(reason)).await
    }
}
