//! A tenant's trunks.

use async_trait::async_trait;

use super::Trunk;
use crate::{
    id::{NumberId, TrunkId},
    page::{Page, PageRequest},
    store::StoreError,
};

/// A tenant's trunks.
#[async_trait]
pub trait TrunkRepo: Send {
    /// Writes a fresh trunk.
    ///
    /// # Errors
    /// `Conflict` when the number has one that is not over (neither failed nor deleted); `NotFound` when it is not this tenant's.
    async fn add(&mut self, trunk: &Trunk) -> Result<(), StoreError>;
    /// The trunk.
    async fn find(&mut self, id: TrunkId) -> Result<Trunk, StoreError>;
    /// The number's trunk that is not over, if it has one.
    async fn of_number(&mut self, number: NumberId) -> Result<Option<Trunk>, StoreError>;
    /// Writes the trunk back.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its number has another one by now.
    async fn update(&mut self, trunk: &Trunk) -> Result<(), StoreError>;
    /// Newest first; deleted ones are left out.
    async fn list(&mut self, page: PageRequest) -> Result<Page<Trunk>, StoreError>;
}
