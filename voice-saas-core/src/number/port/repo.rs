//! A tenant's ports.

use async_trait::async_trait;

use super::Port;
use crate::{
    id::PortId,
    page::{Page, PageRequest},
    store::StoreError,
};

/// A tenant's ports.
#[async_trait]
pub trait PortRepo: Send {
    /// Writes a fresh port. That its numbers are nobody else's is up to their rows.
    async fn add(&mut self, port: &Port) -> Result<(), StoreError>;
    /// The port.
    async fn find(&mut self, id: PortId) -> Result<Port, StoreError>;
    /// Writes the port back; its version must be the one that was read, and is one more afterwards.
    ///
    /// # Errors
    /// `NotFound`; `Stale` when another writer came first.
    async fn save(&mut self, port: &mut Port) -> Result<(), StoreError>;
    /// Newest first.
    async fn list(&mut self, page: PageRequest) -> Result<Page<Port>, StoreError>;
    /// Up to a hundred ports that are not over, oldest first.
    async fn unfinished(&mut self) -> Result<Vec<Port>, StoreError>;
}
