//! Who is calling, and what they may do.

use async_trait::async_trait;
use http::HeaderMap;
use secrecy::SecretString;

use crate::{
    id::TenantId,
    scope::{Actor, TenantScope},
    store::StoreError,
    tenant::Role,
};

/// An authenticated caller: a scope and a role in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    scope: TenantScope,
    role: Role,
}

/// The caller's role is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this needs the role {needed:?} or higher")]
pub struct Forbidden {
    /// The least role that would do.
    pub needed: Role,
}

impl Principal {
    pub(crate) fn new(scope: TenantScope, role: Role) -> Self {
        Self { scope, role }
    }

    /// The tenant that they act in.
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// What they may do there.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The scope, if the caller's role is `needed` or higher.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn require(&self, needed: Role) -> Result<&TenantScope, Forbidden> {
        if self.role >= needed {
            Ok(&self.scope)
        } else {
            Err(Forbidden { needed })
        }
    }
}

/// A request's credentials, before anything was believed of them.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    headers: &'a HeaderMap,
}

impl<'a> Credentials<'a> {
    /// Those of a request with these headers.
    pub fn new(headers: &'a HeaderMap) -> Self {
        Self { headers }
    }

    /// All headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What follows `Authorization: Bearer`.
    pub fn bearer(&self) -> Option<SecretString> {
        let value = self.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().into())
    }
}

/// The right to make principals, lent to an [`Authenticator`] while it authenticates.
#[derive(Debug)]
pub struct Mint(());

impl Mint {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// The caller is `actor`, acting for `tenant` with this role.
    pub fn principal(&self, tenant: TenantId, actor: Actor, role: Role) -> Principal {
        Principal::new(TenantScope::mint(tenant, actor), role)
    }
}

/// Why a caller is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No credentials, wrong ones, or ones that are no longer good.
    #[error("the credentials are missing, wrong or expired")]
    Unauthenticated,
    /// The credentials could not be checked.
    #[error("the credentials could not be checked")]
    Store(#[from] StoreError),
}

/// An embedder's own login. It is asked before the library's own tokens and keys.
///
/// ```
/// use async_trait::async_trait;
/// use voice_saas_core::{
///     auth::{AuthError, Authenticator, Credentials, Mint, Principal},
///     scope::Actor,
///     tenant::Role,
/// };
///
/// /// Trusts the header that our gateway sets.
/// #[derive(Debug)]
/// struct Gateway;
///
/// #[async_trait]
/// impl Authenticator for Gateway {
///     async fn authenticate(
///         &self,
///         credentials: &Credentials<'_>,
///         mint: &Mint,
///     ) -> Result<Option<Principal>, AuthError> {
///         let Some(tenant) = credentials.headers().get("x-gateway-tenant") else { return Ok(None) };
///         let tenant = tenant.to_str().ok().and_then(|text| text.parse().ok()).ok_or(AuthError::Unauthenticated)?;
///         Ok(Some(mint.principal(tenant, Actor::System("gateway"), Role::Member)))
///     }
/// }
/// ```
#[async_trait]
pub trait Authenticator: std::fmt::Debug + Send + Sync + 'static {
    /// Who is calling; `None` when the credentials are not of this kind.
    ///
    /// # Errors
    /// `Unauthenticated` when they are of this kind but wrong.
    async fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        mint: &Mint,
    ) -> Result<Option<Principal>, AuthError>;
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_viewer_may_look_and_not_change() {
        let viewer = Mint::new().principal(
            TenantId::from_uuid(Uuid::nil()),
            Actor::System("test"),
            Role::Viewer,
        );
        assert!(viewer.require(Role::Viewer).is_ok());
        assert_eq!(viewer.require(Role::Member).unwrap_err().needed, Role::Member);
    }

    #[test]
    fn the_bearer_scheme_is_read_in_any_case_and_no_other_scheme_is() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "bearer abc".parse().unwrap());
        assert!(Credentials::new(&headers).bearer().is_some());
        headers.insert("authorization", "Basic abc".parse().unwrap());
        assert!(Credentials::new(&headers).bearer().is_none());
    }
}
