//! A tenant's API keys.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    auth::{ApiKey, ApiKeyRepo, CredentialHash},
    id::{ApiKeyId, TenantId},
    store::StoreError,
};

use super::{
    column::{CorruptRow, JsonText, Place, micros},
    error::changed,
    query::{all, execute, optional},
    unit::{TenantUnit, Tx},
};

#[derive(Debug, FromRow)]
struct ApiKeyRow {
    tenant_id: Uuid,
    id: Uuid,
    name: String,
    hint: String,
    hash: Vec<u8>,
    scopes: JsonText,
    created_at: i64,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = CorruptRow;

    fn try_from(row: ApiKeyRow) -> Result<Self, CorruptRow> {
        let place = Place::new("api_keys", row.id);
        let mut key = Self::new(
            ApiKeyId::from_uuid(row.id),
            row.name,
            row.hint,
            CredentialHash::from_bytes(place.read("hash", row.hash.as_slice().try_into())?),
            place.json("scopes", &row.scopes)?,
            place.time("created_at", row.created_at)?,
        );
        key.last_used_at = place.optional_time("last_used_at", row.last_used_at)?;
        key.revoked_at = place.optional_time("revoked_at", row.revoked_at)?;
        Ok(key)
    }
}

const BY_HASH: &str = "
    SELECT tenant_id, id, name, hint, hash, scopes, created_at, last_used_at, revoked_at
    FROM api_keys WHERE hash = $1 AND revoked_at IS NULL";

/// The key that hashes to this and whose it is, unless it was revoked.
pub(super) async fn by_hash(
    tx: &mut Tx,
    hash: &CredentialHash,
) -> Result<Option<(TenantId, ApiKey)>, StoreError> {
    const OPERATION: &str = "find an API key";
    let Some(row) = optional!(tx, OPERATION, ApiKeyRow, BY_HASH, &hash.as_bytes()[..])? else {
        return Ok(None);
    };
    let tenant = TenantId::from_uuid(row.tenant_id);
    let key = ApiKey::try_from(row).map_err(|row| row.during(OPERATION))?;
    Ok(Some((tenant, key)))
}

const ADD: &str = "
    INSERT INTO api_keys (tenant_id, id, name, hint, hash, scopes, created_at, last_used_at, revoked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const LIST: &str = "
    SELECT tenant_id, id, name, hint, hash, scopes, created_at, last_used_at, revoked_at
    FROM api_keys WHERE tenant_id = $1 AND revoked_at IS NULL
    ORDER BY created_at DESC, id DESC";

const REVOKE: &str =
    "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE tenant_id = $1 AND id = $2";

const TOUCH: &str = "UPDATE api_keys SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2";

#[async_trait]
impl ApiKeyRepo for TenantUnit {
    async fn add(&mut self, key: &ApiKey) -> Result<(), StoreError> {
        execute!(
            &mut self.tx,
            "add an API key",
            ADD,
            self.tenant,
            key.id.as_uuid(),
            &key.name,
            &key.hint,
            &key.hash.as_bytes()[..],
            Json(&key.scopes),
            key.created_at.as_microsecond(),
            micros(key.last_used_at),
            micros(key.revoked_at),
        )?;
        Ok(())
    }

    async fn list(&mut self) -> Result<Vec<ApiKey>, StoreError> {
        const OPERATION: &str = "list the API keys";
        let rows = all!(&mut self.tx, OPERATION, ApiKeyRow, LIST, self.tenant)?;
        rows.into_iter()
            .map(ApiKey::try_from)
            .collect::<Result<_, _>>()
            .map_err(|row| row.during(OPERATION))
    }

    async fn revoke(&mut self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError> {
        const OPERATION: &str = "revoke an API key";
        let rows = execute!(
            &mut self.tx,
            OPERATION,
            REVOKE,
            self.tenant,
            id.as_uuid(),
            at.as_microsecond()
        )?;
        changed(OPERATION, rows)
    }

    async fn touch(&mut self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError> {
        const OPERATION: &str = "touch an API key";
        let rows = execute!(
            &mut self.tx,
            OPERATION,
            TOUCH,
            self.tenant,
            id.as_uuid(),
            at.as_microsecond()
        )?;
        changed(OPERATION, rows)
    }
}
