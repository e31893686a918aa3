//! People and their logins.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{FromRow, types::Uuid};
use voice_saas_core::{
    auth::{AccountRepo, ApiKey, CredentialHash, PasswordHash, RefreshToken, User},
    entitlement::Entitlement,
    id::{TenantId, TokenFamilyId, UserId},
    store::StoreError,
    tenant::{Member, Role, Tenant},
};

use super::{
    api_key,
    column::{CorruptRow, Place, micros, word},
    entitlement,
    query::{all, execute, optional},
    tenant::{self, MemberRow, TenantRow},
    unit::SystemUnit,
};

#[derive(Debug, FromRow)]
struct UserRow {
    id: Uuid,
    email: String,
    name: Option<String>,
    password_hash: String,
    created_at: i64,
}

impl TryFrom<UserRow> for User {
    type Error = CorruptRow;

    fn try_from(row: UserRow) -> Result<Self, CorruptRow> {
        let created_at = Place::new("users", row.id).time("created_at", row.created_at)?;
        let password_hash = PasswordHash::from_phc(row.password_hash);
        Ok(Self::new(
            UserId::from_uuid(row.id),
            row.email,
            row.name,
            password_hash,
            created_at,
        ))
    }
}

#[derive(Debug, FromRow)]
struct MembershipRow {
    #[sqlx(flatten)]
    tenant: TenantRow,
    #[sqlx(flatten)]
    member: MemberRow,
}

#[derive(Debug, FromRow)]
struct RefreshTokenRow {
    hash: Vec<u8>,
    family_id: Uuid,
    user_id: Uuid,
    tenant_id: Uuid,
    expires_at: i64,
    used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<RefreshTokenRow> for RefreshToken {
    type Error = CorruptRow;

    fn try_from(row: RefreshTokenRow) -> Result<Self, CorruptRow> {
        let place = Place::new("refresh_tokens of family", row.family_id);
        let mut token = Self::new(
            CredentialHash::from_bytes(place.read("hash", row.hash.as_slice().try_into())?),
            TokenFamilyId::from_uuid(row.family_id),
            UserId::from_uuid(row.user_id),
            TenantId::from_uuid(row.tenant_id),
            place.time("expires_at", row.expires_at)?,
        );
        token.used_at = place.optional_time("used_at", row.used_at)?;
        token.revoked_at = place.optional_time("revoked_at", row.revoked_at)?;
        Ok(token)
    }
}

const ADD_USER: &str =
    "INSERT INTO users (id, email, name, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)";

const ADD_MEMBER: &str = "INSERT INTO members (tenant_id, user_id, role, joined_at) VALUES ($1, $2, $3, $4)";

const USER_BY_EMAIL: &str = "SELECT id, email, name, password_hash, created_at FROM users WHERE email = $1";

const USER: &str = "SELECT id, email, name, password_hash, created_at FROM users WHERE id = $1";

const MEMBERSHIPS: &str = "
    SELECT t.id, t.name, t.status, t.platform, t.country, t.timezone, t.profile, t.created_at,
        m.user_id, u.email, u.name AS user_name, m.role, m.joined_at
    FROM members m JOIN tenants t ON t.id = m.tenant_id JOIN users u ON u.id = m.user_id
    WHERE m.user_id = $1
    ORDER BY m.joined_at, m.tenant_id";

const ADD_REFRESH_TOKEN: &str = "
    INSERT INTO refresh_tokens (hash, family_id, user_id, tenant_id, expires_at, used_at, revoked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const REFRESH_TOKEN: &str = "
    SELECT hash, family_id, user_id, tenant_id, expires_at, used_at, revoked_at
    FROM refresh_tokens WHERE hash = $1";

const USE_REFRESH_TOKEN: &str =
    "UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND revoked_at IS NULL";

const REVOKE_FAMILY: &str =
    "UPDATE refresh_tokens SET revoked_at = $2 WHERE family_id = $1 AND revoked_at IS NULL";

const REVOKE_TENANT: &str =
    "UPDATE refresh_tokens SET revoked_at = $2 WHERE tenant_id = $1 AND revoked_at IS NULL";

#[async_trait]
impl AccountRepo for SystemUnit {
    async fn register(
        &mut self,
        user: &User,
        tenant: &Tenant,
        role: Role,
        entitlement: &Entitlement,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "register a person";
        execute!(
            &mut self.tx,
            OPERATION,
            ADD_USER,
            user.id.as_uuid(),
            &user.email,
            user.name.as_deref(),
            user.password_hash.as_phc(),
            user.created_at.as_microsecond(),
        )?;
        tenant::insert(&mut self.tx, OPERATION, tenant).await?;
        entitlement::insert(&mut self.tx, OPERATION, tenant.id.as_uuid(), entitlement).await?;
        execute!(
            &mut self.tx,
            OPERATION,
            ADD_MEMBER,
            tenant.id.as_uuid(),
            user.id.as_uuid(),
            word(&role),
            tenant.created_at.as_microsecond(),
        )?;
        Ok(())
    }

    async fn user_by_email(&mut self, email: &str) -> Result<Option<User>, StoreError> {
        const OPERATION: &str = "find a person by address";
        let row = optional!(&mut self.tx, OPERATION, UserRow, USER_BY_EMAIL, email)?;
        row.map(User::try_from)
            .transpose()
            .map_err(|row| row.during(OPERATION))
    }

    async fn user(&mut self, id: UserId) -> Result<Option<User>, StoreError> {
        const OPERATION: &str = "find a person";
        let row = optional!(&mut self.tx, OPERATION, UserRow, USER, id.as_uuid())?;
        row.map(User::try_from)
            .transpose()
            .map_err(|row| row.during(OPERATION))
    }

    async fn memberships(&mut self, user: UserId) -> Result<Vec<(Tenant, Member)>, StoreError> {
        const OPERATION: &str = "list a person's tenants";
        let rows = all!(
            &mut self.tx,
            OPERATION,
            MembershipRow,
            MEMBERSHIPS,
            user.as_uuid()
        )?;
        rows.into_iter()
            .map(|row| Ok((Tenant::try_from(row.tenant)?, Member::try_from(row.member)?)))
            .collect::<Result<_, CorruptRow>>()
            .map_err(|row| row.during(OPERATION))
    }

    async fn add_refresh_token(&mut self, token: &RefreshToken) -> Result<(), StoreError> {
        execute!(
            &mut self.tx,
            "add a refresh token",
            ADD_REFRESH_TOKEN,
            &token.hash.as_bytes()[..],
            token.family.as_uuid(),
            token.user.as_uuid(),
            token.tenant.as_uuid(),
            token.expires_at.as_microsecond(),
            micros(token.used_at),
            micros(token.revoked_at),
        )?;
        Ok(())
    }

    async fn refresh_token(&mut self, hash: &CredentialHash) -> Result<Option<RefreshToken>, StoreError> {
        const OPERATION: &str = "find a refresh token";
        let row = optional!(
            &mut self.tx,
            OPERATION,
            RefreshTokenRow,
            REFRESH_TOKEN,
            &hash.as_bytes()[..]
        )?;
        row.map(RefreshToken::try_from)
            .transpose()
            .map_err(|row| row.during(OPERATION))
    }

    async fn use_refresh_token(&mut self, hash: &CredentialHash, at: Timestamp) -> Result<bool, StoreError> {
        let (hash, at) = (&hash.as_bytes()[..], at.as_microsecond());
        let rows = execute!(&mut self.tx, "use a refresh token", USE_REFRESH_TOKEN, hash, at)?;
        Ok(rows == 1)
    }

    async fn revoke_family(&mut self, family: TokenFamilyId, at: Timestamp) -> Result<(), StoreError> {
        let (family, at) = (family.as_uuid(), at.as_microsecond());
        execute!(
            &mut self.tx,
            "revoke a family of refresh tokens",
            REVOKE_FAMILY,
            family,
            at
        )?;
        Ok(())
    }

    async fn revoke_tenant(&mut self, tenant: TenantId, at: Timestamp) -> Result<(), StoreError> {
        let (tenant, at) = (tenant.as_uuid(), at.as_microsecond());
        execute!(
            &mut self.tx,
            "end the sessions of a tenant",
            REVOKE_TENANT,
            tenant,
            at
        )?;
        Ok(())
    }

    async fn api_key(&mut self, hash: &CredentialHash) -> Result<Option<(TenantId, ApiKey)>, StoreError> {
        api_key::by_hash(&mut self.tx, hash).await
    }
}
