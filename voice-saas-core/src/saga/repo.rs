//! Rows behind sagas.

use async_trait::async_trait;

use super::SagaRecord;
use crate::{id::SagaId, store::StoreError};

/// A tenant's sagas.
#[async_trait]
pub trait SagaRepo: Send {
    /// Writes a fresh saga.
    async fn add(&mut self, saga: &SagaRecord) -> Result<(), StoreError>;
    /// The saga.
    async fn find(&mut self, id: SagaId) -> Result<SagaRecord, StoreError>;
    /// Up to a hundred sagas that are neither done nor undone, oldest first.
    async fn unfinished(&mut self) -> Result<Vec<SagaRecord>, StoreError>;
    /// Writes the saga back; its version must be the one that was read, and is one more afterwards.
    ///
    /// # Errors
    /// `Stale` when another runner wrote it in between.
    async fn save(&mut self, saga: &mut SagaRecord) -> Result<(), StoreError>;
}
