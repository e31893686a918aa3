//! Registering, logging in, and keeping keys.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    ApiKey, ApiScope, AuthError, Forbidden, HashingFailed, Principal, RefreshToken, User, credential,
};
use crate::{
    VoiceSaas,
    entitlement::Entitlement,
    id::{ApiKeyId, TenantId, TokenFamilyId, UserId},
    scope::{Actor, SystemScope, TenantScope},
    store::{StoreError, StoreErrorKind, SystemTx},
    tenant::{Member, Platform, Role, Tenant},
    validate::{Checks, Invalid},
};

/// Why an account's request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// Something about the request itself.
    #[error("the request cannot be accepted")]
    Invalid(#[from] Invalid),
    /// Somebody registered with this address before.
    #[error("the email address is taken")]
    EmailTaken,
    /// Wrong address, password or token.
    #[error("the credentials are wrong or no longer good")]
    Unauthenticated,
    /// The caller's role is not enough.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// A password could not be hashed.
    #[error(transparent)]
    Hashing(#[from] HashingFailed),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AuthError> for AccountError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthenticated => Self::Unauthenticated,
            AuthError::Store(error) => Self::Store(error),
        }
    }
}

/// Somebody who wants an account.
#[derive(Debug)]
#[non_exhaustive]
pub struct Registration {
    email: String,
    password: SecretString,
    name: Option<String>,
    platform: Platform,
}

impl Registration {
    /// With this address and password.
    pub fn new(email: impl Into<String>, password: SecretString) -> Self {
        Self {
            email: email.into(),
            password,
            name: None,
            platform: Platform::default(),
        }
    }

    /// Called this.
    #[must_use]
    pub fn with_name(mut self, name: Option<String>) -> Self {
        self.name = name;
        self
    }

    /// Came through this.
    #[must_use]
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }
}

/// What a login gives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Session {
    /// Good for [`expires_in`](Self::expires_in), for every request.
    pub access_token: SecretString,
    /// Good once, for the next session.
    pub refresh_token: SecretString,
    /// How long the access token is good.
    pub expires_in: std::time::Duration,
    /// Who logged in.
    pub user: User,
    /// Where.
    pub tenant: Tenant,
    /// As what.
    pub role: Role,
}

/// Who the caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the three answers to 'who am I'")]
pub struct Me {
    /// The person; `None` for a program.
    pub user: Option<User>,
    /// The tenant.
    pub tenant: Tenant,
    /// What they may do.
    pub role: Role,
}

/// Accounts: see [`VoiceSaas::accounts`].
#[derive(Debug)]
pub struct Accounts<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Accounts<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// Makes a person and their tenant, and logs them in.
    ///
    /// # Errors
    /// `Invalid`, `EmailTaken`; a taken address takes as long as a free one.
    pub async fn register(&self, registration: Registration) -> Result<Session, AccountError> {
        let email = normal_email(&registration.email);
        let mut checks = Checks::new();
        checks.require(
            looks_like_email(&email),
            "/email",
            "email",
            "must be an email address",
        );
        let password_length = secrecy::ExposeSecret::expose_secret(&registration.password)
            .chars()
            .count();
        checks.require(
            (8..=200).contains(&password_length),
            "/password",
            "length",
            "must have 8 to 200 characters",
        );
        if let Some(name) = &registration.name {
            checks.length(name, 1..=200, "/name");
        }
        checks.finish()?;

        let ambient = self.app.ambient();
        let hash = self.app.passwords().hash(&registration.password, ambient).await?;
        let now = ambient.now();
        let user = User::new(
            UserId::generate(ambient.ids()),
            email.as_str(),
            registration.name.clone(),
            hash,
            now,
        );
        let name = registration.name.unwrap_or_else(|| email.clone());
        let mut tenant = Tenant::new(
            TenantId::generate(ambient.ids()),
            name,
            registration.platform,
            now,
        );
        let plan = self.app.plans().registration(registration.platform);
        let (entitlement, status) = Entitlement::registered(plan, now);
        tenant.status = status;

        let mut tx = self.begin("register").await?;
        let written = tx
            .accounts()
            .register(&user, &tenant, Role::Owner, &entitlement)
            .await;
        match written {
            Err(error) if error.kind() == StoreErrorKind::Conflict => return Err(AccountError::EmailTaken),
            written => written?,
        }
        let session = self
            .open_session(&mut *tx, user, tenant, Role::Owner, None)
            .await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Logs a person in, into the tenant that they belong to longest.
    ///
    /// # Errors
    /// `Unauthenticated`, whichever of the two is wrong.
    pub async fn login(&self, email: &str, password: &SecretString) -> Result<Session, AccountError> {
        let mut tx = self.begin("login").await?;
        let user = tx.accounts().user_by_email(&normal_email(email)).await?;
        // Hashing takes its time: no connection is held meanwhile.
        drop(tx);
        let right = self
            .app
            .passwords()
            .verify(password, user.as_ref().map(|user| &user.password_hash))
            .await?;
        let Some(user) = user.filter(|_| right) else {
            return Err(AccountError::Unauthenticated);
        };

        let mut tx = self.begin("login").await?;
        let (tenant, member) = first_membership(&mut *tx, user.id).await?;
        let session = self
            .open_session(&mut *tx, user, tenant, member.role, None)
            .await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Exchanges a refresh token for the next session. Whoever presents one a second time stole it or was stolen
    /// from: the whole family ends.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub async fn refresh(&self, token: &SecretString) -> Result<Session, AccountError> {
        let now = self.app.ambient().now();
        let hash = credential::hash(token);
        let mut tx = self.begin("refresh").await?;
        let Some(found) = tx.accounts().refresh_token(&hash).await? else {
            return Err(AccountError::Unauthenticated);
        };
        if found.revoked_at.is_some() || found.expires_at <= now {
            return Err(AccountError::Unauthenticated);
        }
        if !tx.accounts().use_refresh_token(&hash, now).await? {
            tx.accounts().revoke_family(found.family, now).await?;
            tx.commit().await?;
            tracing::warn!(user.id = %found.user, family = %found.family, "a refresh token was used twice");
            return Err(AccountError::Unauthenticated);
        }
        let user = tx
            .accounts()
            .user(found.user)
            .await?
            .ok_or(AccountError::Unauthenticated)?;
        let (tenant, member) = membership_in(&mut *tx, user.id, found.tenant).await?;
        let session = self
            .open_session(&mut *tx, user, tenant, member.role, Some(found.family))
            .await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Ends the login that this refresh token descends from. An unknown token is no error: there is nothing to end.
    ///
    /// # Errors
    /// `Store`.
    pub async fn logout(&self, token: &SecretString) -> Result<(), AccountError> {
        let mut tx = self.begin("logout").await?;
        if let Some(found) = tx.accounts().refresh_token(&credential::hash(token)).await? {
            tx.accounts()
                .revoke_family(found.family, self.app.ambient().now())
                .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Who the caller is.
    ///
    /// # Errors
    /// `Store`.
    pub async fn me(&self, principal: &Principal) -> Result<Me, AccountError> {
        let user = match principal.scope().actor() {
            Actor::User(id) => self.begin("who am I").await?.accounts().user(id).await?,
            _ => None,
        };
        let tenant = self
            .app
            .store()
            .begin(principal.scope())
            .await?
            .tenant()
            .get()
            .await?;
        Ok(Me {
            user,
            tenant,
            role: principal.role(),
        })
    }

    /// Everybody in the tenant.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn members(&self, principal: &Principal) -> Result<Vec<Member>, AccountError> {
        let scope = principal.require(Role::Viewer)?;
        Ok(self.app.store().begin(scope).await?.tenant().members().await?)
    }

    /// Makes an API key; the secret is shown this once.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Store`.
    pub async fn create_api_key(
        &self,
        principal: &Principal,
        name: &str,
        scopes: Vec<ApiScope>,
    ) -> Result<(ApiKey, SecretString), AccountError> {
        let scope = principal.require(Role::Admin)?;
        let mut checks = Checks::new();
        checks.length(name, 1..=100, "/name");
        checks.require(
            !scopes.is_empty(),
            "/scopes",
            "required",
            "must name at least one scope",
        );
        checks.finish()?;
        let mut tx = self.app.store().begin(scope).await?;
        let made = self.fresh_api_key(name, scopes);
        tx.api_keys().add(&made.0).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// The tenant's API keys.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn api_keys(&self, principal: &Principal) -> Result<Vec<ApiKey>, AccountError> {
        let scope = principal.require(Role::Admin)?;
        Ok(self.app.store().begin(scope).await?.api_keys().list().await?)
    }

    /// Makes a key worthless.
    ///
    /// # Errors
    /// `Forbidden`, `Store` (`NotFound`).
    pub async fn revoke_api_key(&self, principal: &Principal, id: ApiKeyId) -> Result<(), AccountError> {
        let scope = principal.require(Role::Admin)?;
        let mut tx = self.app.store().begin(scope).await?;
        tx.api_keys().revoke(id, self.app.ambient().now()).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(crate) fn fresh_api_key(&self, name: &str, scopes: Vec<ApiScope>) -> (ApiKey, SecretString) {
        let ambient = self.app.ambient();
        let secret = credential::fresh("vsk_", ambient);
        let hint: String = secrecy::ExposeSecret::expose_secret(&secret)
            .chars()
            .take(8)
            .collect();
        let id = ApiKeyId::generate(ambient.ids());
        (
            ApiKey::new(id, name, hint, credential::hash(&secret), scopes, ambient.now()),
            secret,
        )
    }

    /// Whose API key this is.
    pub(crate) async fn authenticate_api_key(&self, secret: &SecretString) -> Result<Principal, AuthError> {
        let mut tx = self
            .app
            .store()
            .begin_reading(&SystemScope::mint("authenticate an API key"))
            .await?;
        let found = tx.accounts().api_key(&credential::hash(secret)).await?;
        drop(tx);
        let (tenant, key) = found.ok_or(AuthError::Unauthenticated)?;
        let scope = TenantScope::mint(tenant, Actor::ApiKey(key.id));
        let now = self.app.ambient().now();
        if key
            .last_used_at
            .is_none_or(|last| now.duration_since(last).as_secs() >= 60)
        {
            self.touch(&scope, key.id, now).await?;
        }
        let role = key
            .scopes
            .iter()
            .copied()
            .max()
            .map_or(Role::Viewer, role_of_scope);
        Ok(Principal::new(scope, role))
    }

    async fn touch(&self, scope: &TenantScope, key: ApiKeyId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.app.store().begin(scope).await?;
        tx.api_keys().touch(key, now).await?;
        tx.commit().await
    }

    async fn begin(&self, reason: &'static str) -> Result<Box<dyn SystemTx>, StoreError> {
        self.app.store().begin_system(&SystemScope::mint(reason)).await
    }

    async fn open_session(
        &self,
        tx: &mut dyn SystemTx,
        user: User,
        tenant: Tenant,
        role: Role,
        family: Option<TokenFamilyId>,
    ) -> Result<Session, AccountError> {
        let ambient = self.app.ambient();
        let now = ambient.now();
        let refresh_token = credential::fresh("vsr_", ambient);
        let token = RefreshToken::new(
            credential::hash(&refresh_token),
            family.unwrap_or_else(|| TokenFamilyId::generate(ambient.ids())),
            user.id,
            tenant.id,
            now + self.app.settings().refresh_lifetime,
        );
        tx.accounts().add_refresh_token(&token).await?;
        let access = self.app.access_tokens();
        Ok(Session {
            access_token: access.issue(user.id, tenant.id, role, now).into(),
            refresh_token,
            expires_in: access.lifetime(),
            user,
            tenant,
            role,
        })
    }
}

async fn first_membership(tx: &mut dyn SystemTx, user: UserId) -> Result<(Tenant, Member), AccountError> {
    tx.accounts()
        .memberships(user)
        .await?
        .into_iter()
        .next()
        .ok_or(AccountError::Unauthenticated)
}

async fn membership_in(
    tx: &mut dyn SystemTx,
    user: UserId,
    tenant: TenantId,
) -> Result<(Tenant, Member), AccountError> {
    let memberships = tx.accounts().memberships(user).await?;
    memberships
        .into_iter()
        .find(|(found, _)| found.id == tenant)
        .ok_or(AccountError::Unauthenticated)
}

const fn role_of_scope(scope: ApiScope) -> Role {
    match scope {
        ApiScope::Read => Role::Viewer,
        ApiScope::Write => Role::Member,
        ApiScope::Admin => Role::Admin,
    }
}

fn normal_email(text: &str) -> String {
    text.trim().to_lowercase()
}

/// The mail itself is the real check; this only catches what can never be delivered.
pub(crate) fn looks_like_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(local, domain)| {
        !local.is_empty()
            && domain.contains('.')
            && !domain.starts_with('.')
            && !domain.ends_with('.')
            && text.len() <= 254
            && !text
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || matches!(c, ',' | ';' | '<' | '>'))
            && !domain.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_both_halves_and_a_dotted_domain() {
        for right in ["a@b.co", "first.last+tag@mail.example.com"] {
            assert!(looks_like_email(right), "{right}");
        }
        for wrong in [
            "", "a", "@b.co", "a@b", "a@.co", "a@b.", "a b@c.co", "a@b@c.co", "<a@b.co>",
        ] {
            assert!(!looks_like_email(wrong), "{wrong}");
        }
    }
}
