//! A tenant's numbers.

use async_trait::async_trait;

use super::{NumberStatus, PhoneNumber};
use crate::{
    id::{AgentId, NumberId, SagaId},
    page::{Page, PageRequest},
    phone::E164,
    store::StoreError,
};

/// Which numbers to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NumberFilter {
    /// Only these; `None` = all but the released.
    pub status: Option<NumberStatus>,
    /// Only those that this agent answers.
    pub agent: Option<AgentId>,
}

/// A tenant's numbers.
#[async_trait]
pub trait NumberRepo: Send {
    /// Writes a fresh number.
    ///
    /// # Errors
    /// `Conflict` when any tenant [holds](NumberStatus::holds) it already.
    async fn add(&mut self, number: &PhoneNumber) -> Result<(), StoreError>;
    /// The number, with the agents that answer it.
    async fn find(&mut self, id: NumberId) -> Result<PhoneNumber, StoreError>;
    /// The number that this saga is buying, if it has come that far.
    async fn find_by_saga(&mut self, saga: SagaId) -> Result<Option<PhoneNumber>, StoreError>;
    /// The tenant's row for this number that waits for documents, if there is one; of several, the newest.
    async fn find_waiting(&mut self, number: &E164) -> Result<Option<PhoneNumber>, StoreError>;
    /// Writes the number back (its `agents` are left alone).
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its new number is held by any tenant.
    async fn update(&mut self, number: &PhoneNumber) -> Result<(), StoreError>;
    /// Newest first.
    async fn list(
        &mut self,
        filter: NumberFilter,
        page: PageRequest,
    ) -> Result<Page<PhoneNumber>, StoreError>;
    /// Lets the agent answer the number; linking twice is no error.
    ///
    /// # Errors
    /// `NotFound` when either is not this tenant's.
    async fn link(&mut self, number: NumberId, agent: AgentId) -> Result<(), StoreError>;
    /// Takes the agent off the number; it need not be on it.
    async fn unlink(&mut self, number: NumberId, agent: AgentId) -> Result<(), StoreError>;
}
