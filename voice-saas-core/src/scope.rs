//! Who may touch which rows.
//!
//! Tenant data is reachable only through a unit of work opened from a [`TenantScope`], and a scope has no public
//! constructor: the authenticator mints one from a verified credential, the inbound path from a verified
//! webhook, the job runner from a claimed job.
//!
//! ```compile_fail
//! use voice_saas_core::scope::{Actor, TenantScope};
//!
//! fn forge(tenant: voice_saas_core::id::TenantId) -> TenantScope {
//!     TenantScope::mint(tenant, Actor::System("forged")) // private: this does not compile
//! }
//! ```

use crate::id::{ApiKeyId, CallId, JobId, TenantId, UserId};

/// On whose behalf something is done, for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// A person who logged in.
    User(UserId),
    /// A program with an API key.
    ApiKey(ApiKeyId),
    /// A phone call: its webhook, its media socket, its agent's tools.
    Call(CallId),
    /// A durable job.
    Job(JobId),
    /// The library itself, with its reason.
    System(&'static str),
}

/// The right to see and change one tenant's rows, and nobody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantScope {
    tenant: TenantId,
    actor: Actor,
}

impl TenantScope {
    pub(crate) const fn mint(tenant: TenantId, actor: Actor) -> Self {
        Self { tenant, actor }
    }

    /// The tenant.
    pub const fn tenant_id(&self) -> TenantId {
        self.tenant
    }

    /// On whose behalf.
    pub const fn actor(&self) -> Actor {
        self.actor
    }
}

/// The right to the named cross-tenant look-ups of [`SystemTx`](crate::store::SystemTx).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemScope {
    reason: &'static str,
}

impl SystemScope {
    pub(crate) const fn mint(reason: &'static str) -> Self {
        Self { reason }
    }

    /// Why it was opened.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}
