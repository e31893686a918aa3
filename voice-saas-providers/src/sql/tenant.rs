//! The tenant's own row and its members.

use async_trait::async_trait;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    id::{TenantId, UserId},
    store::{StoreError, StoreErrorKind},
    tenant::{Member, Role, Tenant, TenantRepo, TenantStatus},
};

use super::{
    column::{CorruptRow, JsonText, Place, word},
    dialect,
    error::{changed, not_found},
    query::{all, execute, optional},
    unit::{TenantUnit, Tx},
};

#[derive(Debug, FromRow)]
pub(super) struct TenantRow {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) platform: String,
    pub(super) country: String,
    pub(super) timezone: String,
    pub(super) profile: JsonText,
    pub(super) created_at: i64,
}

impl TryFrom<TenantRow> for Tenant {
    type Error = CorruptRow;

    fn try_from(row: TenantRow) -> Result<Self, CorruptRow> {
        let place = Place::new("tenants", row.id);
        let mut tenant = Self::new(
            TenantId::from_uuid(row.id),
            row.name,
            place.word("platform", &row.platform)?,
            place.time("created_at", row.created_at)?,
        );
        tenant.status = place.word("status", &row.status)?;
        tenant.country = place.read("country", row.country.parse())?;
        tenant.timezone = place.read("timezone", row.timezone.parse())?;
        tenant.profile = place.json("profile", &row.profile)?;
        Ok(tenant)
    }
}

#[derive(Debug, FromRow)]
pub(super) struct MemberRow {
    user_id: Uuid,
    email: String,
    user_name: Option<String>,
    role: String,
    joined_at: i64,
}

impl TryFrom<MemberRow> for Member {
    type Error = CorruptRow;

    fn try_from(row: MemberRow) -> Result<Self, CorruptRow> {
        let place = Place::new("members", row.user_id);
        let role = place.word("role", &row.role)?;
        let joined_at = place.time("joined_at", row.joined_at)?;
        Ok(Self::new(
            UserId::from_uuid(row.user_id),
            row.email,
            row.user_name,
            role,
            joined_at,
        ))
    }
}

const FIND: &str =
    "SELECT id, name, status, platform, country, timezone, profile, created_at FROM tenants WHERE id = $1";

/// The tenant with this id.
pub(super) async fn find(
    tx: &mut Tx,
    operation: &'static str,
    id: Uuid,
) -> Result<Option<Tenant>, StoreError> {
    let row = optional!(tx, operation, TenantRow, FIND, id)?;
    row.map(Tenant::try_from)
        .transpose()
        .map_err(|row| row.during(operation))
}

const INSERT: &str = "
    INSERT INTO tenants (id, name, status, platform, country, timezone, profile, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// Writes a fresh tenant.
pub(super) async fn insert(tx: &mut Tx, operation: &'static str, tenant: &Tenant) -> Result<(), StoreError> {
    execute!(
        tx,
        operation,
        INSERT,
        tenant.id.as_uuid(),
        &tenant.name,
        word(&tenant.status),
        word(&tenant.platform),
        tenant.country.code(),
        tenant.timezone.name(),
        Json(&tenant.profile),
        tenant.created_at.as_microsecond(),
    )?;
    Ok(())
}

const UPDATE: &str = "
    UPDATE tenants SET name = $3, status = $4, platform = $5, country = $6, timezone = $7, profile = $8
    WHERE id = $1 AND id = $2";

// Shared, so that only who closes the tenant waits.
const LOCK_STATUS: &str = "SELECT status FROM tenants WHERE id = $1 /*pg FOR SHARE */";

const MEMBERS: &str = "
    SELECT members.user_id, users.email, users.name AS user_name, members.role, members.joined_at
    FROM members JOIN users ON users.id = members.user_id
    WHERE members.tenant_id = $1
    ORDER BY members.joined_at, members.user_id";

const ROLE_OF: &str = "SELECT role FROM members WHERE tenant_id = $1 AND user_id = $2";

#[async_trait]
impl TenantRepo for TenantUnit {
    async fn get(&mut self) -> Result<Tenant, StoreError> {
        const OPERATION: &str = "find the tenant";
        find(&mut self.tx, OPERATION, self.tenant)
            .await?
            .ok_or_else(|| not_found(OPERATION))
    }

    async fn require_open(&mut self) -> Result<(), StoreError> {
        const OPERATION: &str = "begin something for the tenant";
        let sql = dialect::text(&self.tx, LOCK_STATUS);
        let row = optional!(&mut self.tx, OPERATION, (String,), sql, self.tenant)?;
        let (status,) = row.ok_or_else(|| not_found(OPERATION))?;
        let status: TenantStatus = Place::new("tenants", self.tenant)
            .word("status", &status)
            .map_err(|row| row.during(OPERATION))?;
        if status.is_ending() {
            return Err(StoreError::new(OPERATION, StoreErrorKind::TenantClosed));
        }
        Ok(())
    }

    async fn update(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        const OPERATION: &str = "update the tenant";
        let rows = execute!(
            &mut self.tx,
            OPERATION,
            UPDATE,
            self.tenant,
            tenant.id.as_uuid(),
            &tenant.name,
            word(&tenant.status),
            word(&tenant.platform),
            tenant.country.code(),
            tenant.timezone.name(),
            Json(&tenant.profile),
        )?;
        changed(OPERATION, rows)
    }

    async fn members(&mut self) -> Result<Vec<Member>, StoreError> {
        const OPERATION: &str = "list the members";
        let rows = all!(&mut self.tx, OPERATION, MemberRow, MEMBERS, self.tenant)?;
        rows.into_iter()
            .map(Member::try_from)
            .collect::<Result<_, _>>()
            .map_err(|row| row.during(OPERATION))
    }

    async fn role_of(&mut self, user: UserId) -> Result<Option<Role>, StoreError> {
        const OPERATION: &str = "find a member's role";
        let user = user.as_uuid();
        let row = optional!(&mut self.tx, OPERATION, (String,), ROLE_OF, self.tenant, user)?;
        row.map(|(role,)| Place::new("members", user).word("role", &role))
            .transpose()
            .map_err(|row| row.during(OPERATION))
    }
}
