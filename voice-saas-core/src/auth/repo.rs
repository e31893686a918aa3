//! Rows behind logins and keys.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{ApiKey, CredentialHash, RefreshToken, User};
use crate::{
    entitlement::Entitlement,
    id::{ApiKeyId, TenantId, TokenFamilyId, UserId},
    store::StoreError,
    tenant::{Member, Role, Tenant},
};

/// People and their logins. They stand above tenants: a person is found by address before any tenant is known.
#[async_trait]
pub trait AccountRepo: Send {
    /// Writes a person, their tenant, their role in it, and what the tenant may use.
    ///
    /// # Errors
    /// `Conflict` when the address is taken.
    async fn register(
        &mut self,
        user: &User,
        tenant: &Tenant,
        role: Role,
        entitlement: &Entitlement,
    ) -> Result<(), StoreError>;
    /// The person with this address (lower case).
    async fn user_by_email(&mut self, email: &str) -> Result<Option<User>, StoreError>;
    /// The person.
    async fn user(&mut self, id: UserId) -> Result<Option<User>, StoreError>;
    /// The tenants that the person belongs to, longest first.
    async fn memberships(&mut self, user: UserId) -> Result<Vec<(Tenant, Member)>, StoreError>;
    /// Writes a fresh refresh token.
    async fn add_refresh_token(&mut self, token: &RefreshToken) -> Result<(), StoreError>;
    /// The refresh token that hashes to this.
    async fn refresh_token(&mut self, hash: &CredentialHash) -> Result<Option<RefreshToken>, StoreError>;
    /// Marks it as used; `false` when it was used or revoked before.
    async fn use_refresh_token(&mut self, hash: &CredentialHash, at: Timestamp) -> Result<bool, StoreError>;
    /// Ends all tokens of the family.
    async fn revoke_family(&mut self, family: TokenFamilyId, at: Timestamp) -> Result<(), StoreError>;
    /// Ends all tokens of all logins into the tenant.
    async fn revoke_tenant(&mut self, tenant: TenantId, at: Timestamp) -> Result<(), StoreError>;
    /// The key that hashes to this and whose it is, unless it was revoked.
    async fn api_key(&mut self, hash: &CredentialHash) -> Result<Option<(TenantId, ApiKey)>, StoreError>;
}

/// A tenant's API keys.
#[async_trait]
pub trait ApiKeyRepo: Send {
    /// Writes a fresh key.
    async fn add(&mut self, key: &ApiKey) -> Result<(), StoreError>;
    /// All keys that are still good, newest first.
    async fn list(&mut self) -> Result<Vec<ApiKey>, StoreError>;
    /// Makes a key worthless. `NotFound` when there is none; revoking twice is no error.
    async fn revoke(&mut self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError>;
    /// Remembers that the key was used.
    async fn touch(&mut self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError>;
}
