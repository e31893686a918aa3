//! Who is calling: people with passwords and tokens, programs with API keys.

mod access;
mod credential;
mod key;
mod password;
mod principal;
mod repo;
mod service;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{ApiKeyId, TenantId, TokenFamilyId, UserId};

pub use key::{SecretKey, WeakKey};
pub use password::HashingFailed;
pub use principal::{AuthError, Authenticator, Credentials, Forbidden, Mint, Principal};
pub use repo::{AccountRepo, ApiKeyRepo};
pub use service::{AccountError, Accounts, Me, Registration, Session};

pub(crate) use access::AccessTokens;
pub(crate) use key::mac;
pub(crate) use password::Passwords;
pub(crate) use service::looks_like_email;

/// A person who can log in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// Who.
    pub id: UserId,
    /// Their address, in lower case; unique.
    pub email: String,
    /// Their name.
    pub name: Option<String>,
    /// The PHC string of their password.
    pub password_hash: PasswordHash,
    /// Since when.
    pub created_at: Timestamp,
}

impl User {
    /// A person.
    pub fn new(
        id: UserId,
        email: impl Into<String>,
        name: Option<String>,
        password_hash: PasswordHash,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            email: email.into(),
            name,
            password_hash,
            created_at,
        }
    }
}

/// An argon2id hash in PHC form. Not a secret like the password, but nothing to print either.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash that a store's column holds.
    pub fn from_phc(phc: impl Into<String>) -> Self {
        Self(phc.into())
    }

    /// The value for a store's column.
    pub fn as_phc(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// The SHA-256 of an opaque credential: what the store keeps instead of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CredentialHash([u8; 32]);

impl CredentialHash {
    /// The hash that a store's column holds.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The value for a store's column.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for CredentialHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CredentialHash(…)")
    }
}

/// One link in a chain of refresh tokens. Each may be used once; using one twice ends the whole family.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefreshToken {
    /// What it hashes to.
    pub hash: CredentialHash,
    /// The login that it descends from.
    pub family: TokenFamilyId,
    /// Whose.
    pub user: UserId,
    /// For which tenant.
    pub tenant: TenantId,
    /// Until when.
    pub expires_at: Timestamp,
    /// When it was exchanged for the next.
    pub used_at: Option<Timestamp>,
    /// When its family was ended.
    pub revoked_at: Option<Timestamp>,
}

impl RefreshToken {
    /// A fresh one.
    pub fn new(
        hash: CredentialHash,
        family: TokenFamilyId,
        user: UserId,
        tenant: TenantId,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            hash,
            family,
            user,
            tenant,
            expires_at,
            used_at: None,
            revoked_at: None,
        }
    }
}

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApiScope {
    /// Look at everything.
    Read,
    /// Change everything except the tenant, its members and its keys.
    Write,
    /// Everything.
    Admin,
}

/// A program's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// Its first characters, to tell it from others.
    pub hint: String,
    /// What it hashes to.
    pub hash: CredentialHash,
    /// What it may do.
    pub scopes: Vec<ApiScope>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Since when it is no longer good.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// A fresh one.
    pub fn new(
        id: ApiKeyId,
        name: impl Into<String>,
        hint: impl Into<String>,
        hash: CredentialHash,
        scopes: Vec<ApiScope>,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            name: name.into(),
            hint: hint.into(),
            hash,
            scopes,
            created_at,
            last_used_at: None,
            revoked_at: None,
        }
    }
}
