//! The tenant's own row and its members.

use async_trait::async_trait;

use super::{Member, Role, Tenant};
use crate::{id::UserId, store::StoreError};

/// The tenant's own row and its members.
#[async_trait]
pub trait TenantRepo: Send {
    /// The tenant itself.
    async fn get(&mut self) -> Result<Tenant, StoreError>;
    /// Keeps the tenant from being closed until the end of this unit of work: whoever begins something that costs money
    /// asks for this first.
    ///
    /// # Errors
    /// `NotFound`; `TenantClosed`.
    async fn require_open(&mut self) -> Result<(), StoreError>;
    /// Writes the tenant back.
    async fn update(&mut self, tenant: &Tenant) -> Result<(), StoreError>;
    /// Everybody in it, longest first.
    async fn members(&mut self) -> Result<Vec<Member>, StoreError>;
    /// What this person may do here; `None` for a stranger.
    async fn role_of(&mut self, user: UserId) -> Result<Option<Role>, StoreError>;
}
