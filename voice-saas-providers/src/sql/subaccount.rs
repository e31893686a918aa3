//! Tenants' own accounts at carriers.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{FromRow, types::Uuid};
use voice_saas_core::{
    id::{JobId, SagaId, SubaccountId, TenantId},
    provider::telephony::ProviderSubaccountId,
    store::StoreError,
    subaccount::{SealedSecret, Subaccount, SubaccountRepo},
};

use super::{
    column::{CorruptRow, Place, word},
    error::changed,
    query::{all, execute, filtered, optional},
    unit::{TenantUnit, Tx},
};

#[derive(Debug, FromRow)]
struct SubaccountRow {
    tenant_id: Uuid,
    id: Uuid,
    provider: String,
    provider_account_id: Option<String>,
    secret: Option<Vec<u8>>,
    status: String,
    opener_id: Uuid,
    created_at: i64,
}

impl TryFrom<SubaccountRow> for Subaccount {
    type Error = CorruptRow;

    fn try_from(row: SubaccountRow) -> Result<Self, CorruptRow> {
        let place = Place::new("subaccounts", row.id);
        let mut account = Self::opening(
            SubaccountId::from_uuid(row.id),
            row.provider,
            SagaId::from_uuid(row.opener_id),
            place.time("created_at", row.created_at)?,
        );
        account.provider_id = row.provider_account_id.map(ProviderSubaccountId::new);
        account.secret = row.secret.map(SealedSecret::from_bytes);
        account.status = place.word("status", &row.status)?;
        Ok(account)
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT tenant_id, id, provider, provider_account_id, secret, status, opener_id, created_at ",
            "FROM subaccounts WHERE ",
            $rest
        )
    };
}
const ADD: &str = "
    INSERT INTO subaccounts (tenant_id, id, provider, provider_account_id, secret, status, opener_id, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const UPDATE: &str = "
    UPDATE subaccounts SET provider = $3, provider_account_id = $4, secret = $5, status = $6, opener_id = $7,
        created_at = $8
    WHERE tenant_id = $1 AND id = $2";

const AT: &str = select!("tenant_id = $1 AND provider = $2 AND status <> 'closed'");

const FIND: &str = select!("tenant_id = $1 AND provider = $2 AND provider_account_id = $3");

const HAND_ON: &str = "
    UPDATE subaccounts SET opener_id = $4
    WHERE tenant_id = $1 AND id = $2 AND opener_id = $3 AND status = 'opening'";

const LIST: &str = select!("tenant_id = $1 AND status <> 'closed' ORDER BY created_at, id");

const OF_ANY_TENANT: &str = select!("provider = $1 AND provider_account_id = $2");

const WALK: &str = select!("provider = $1 AND status = 'open' AND id > $2 ORDER BY id LIMIT $3");

const KNOWN: &str = select!("provider = ");

const UNSEEN: &str = select!(
    "provider = $2 AND status = 'open' AND created_at < $3 AND id > $4
        AND NOT EXISTS (SELECT 1 FROM reconciliation_seen s WHERE s.run_id = $1 AND s.provider = $2
            AND s.kind = 'subaccount' AND s.provider_id = subaccounts.provider_account_id)
    ORDER BY id LIMIT $5"
);

fn one(operation: &'static str, row: Option<SubaccountRow>) -> Result<Option<Subaccount>, StoreError> {
    row.map(Subaccount::try_from)
        .transpose()
        .map_err(|row| row.during(operation))
}

/// Accounts with whose they are.
fn of_tenants(
    operation: &'static str,
    rows: Vec<SubaccountRow>,
) -> Result<Vec<(TenantId, Subaccount)>, StoreError> {
    rows.into_iter()
        .map(|row| Ok((TenantId::from_uuid(row.tenant_id), Subaccount::try_from(row)?)))
        .collect::<Result<_, CorruptRow>>()
        .map_err(|row| row.during(operation))
}

/// Whose account it is.
pub(super) async fn of_any_tenant(
    tx: &mut Tx,
    provider: &str,
    id: &ProviderSubaccountId,
) -> Result<Option<(TenantId, Subaccount)>, StoreError> {
    const OPERATION: &str = "find whose account it is";
    let row = optional!(tx, OPERATION, SubaccountRow, OF_ANY_TENANT, provider, id.as_str())?;
    Ok(of_tenants(OPERATION, row.into_iter().collect())?.pop())
}

/// Open accounts at the carrier, in the order of their ids, after this one.
pub(super) async fn walk(
    tx: &mut Tx,
    provider: &str,
    after: Option<SubaccountId>,
    limit: u16,
) -> Result<Vec<(TenantId, Subaccount)>, StoreError> {
    const OPERATION: &str = "list the subaccounts of a carrier";
    let after = after.map_or(Uuid::nil(), SubaccountId::as_uuid);
    let limit = i64::from(limit);
    let rows = all!(tx, OPERATION, SubaccountRow, WALK, provider, after, limit)?;
    of_tenants(OPERATION, rows)
}

/// The rows of these accounts at the carrier, and those that are being opened for these tenants.
pub(super) async fn known(
    tx: &mut Tx,
    provider: &str,
    ids: &[ProviderSubaccountId],
    tenants: &[TenantId],
) -> Result<Vec<(TenantId, Subaccount)>, StoreError> {
    const OPERATION: &str = "find whose subaccounts these are";
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = filtered!(tx, OPERATION, SubaccountRow, KNOWN, query => {
        query.push_bind(provider.to_owned()).push(" AND (provider_account_id IN (");
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id.as_str().to_owned());
        }
        query.push(") OR status = 'opening' AND tenant_id IN (");
        let mut list = query.separated(", ");
        list.push("NULL");
        for tenant in tenants {
            list.push_bind(tenant.as_uuid());
        }
        query.push("))");
    })?;
    of_tenants(OPERATION, rows)
}

/// Open accounts at the carrier that were made before this time and not seen by the run, in the order of their ids,
/// after this one.
pub(super) async fn unseen(
    tx: &mut Tx,
    run: JobId,
    provider: &str,
    made_before: Timestamp,
    after: Option<SubaccountId>,
    limit: u16,
) -> Result<Vec<(TenantId, Subaccount)>, StoreError> {
    const OPERATION: &str = "find subaccounts that were not seen";
    let rows = all!(
        tx,
        OPERATION,
        SubaccountRow,
        UNSEEN,
        run.as_uuid(),
        provider,
        made_before.as_microsecond(),
        after.map_or(Uuid::nil(), SubaccountId::as_uuid),
        i64::from(limit)
    )?;
    of_tenants(OPERATION, rows)
}

impl TenantUnit {
    /// Writes all columns of an account; how many rows it changed.
    async fn write_subaccount(
        &mut self,
        operation: &'static str,
        sql: &'static str,
        account: &Subaccount,
    ) -> Result<u64, StoreError> {
        execute!(
            &mut self.tx,
            operation,
            sql,
            self.tenant,
            account.id.as_uuid(),
            &account.provider,
            account.provider_id.as_ref().map(ProviderSubaccountId::as_str),
            account.secret.as_ref().map(SealedSecret::as_bytes),
            word(&account.status),
            account.opener.as_uuid(),
            account.created_at.as_microsecond(),
        )
    }
}

#[async_trait]
impl SubaccountRepo for TenantUnit {
    async fn add(&mut self, account: &Subaccount) -> Result<(), StoreError> {
        self.write_subaccount("add a subaccount", ADD, account).await?;
        Ok(())
    }

    async fn at(&mut self, provider: &str) -> Result<Option<Subaccount>, StoreError> {
        const OPERATION: &str = "find a tenant's subaccount";
        let row = optional!(&mut self.tx, OPERATION, SubaccountRow, AT, self.tenant, provider)?;
        one(OPERATION, row)
    }

    async fn find(
        &mut self,
        provider: &str,
        id: &ProviderSubaccountId,
    ) -> Result<Option<Subaccount>, StoreError> {
        const OPERATION: &str = "find a subaccount";
        let id = id.as_str();
        let row = optional!(
            &mut self.tx,
            OPERATION,
            SubaccountRow,
            FIND,
            self.tenant,
            provider,
            id
        )?;
        one(OPERATION, row)
    }

    async fn hand_on(&mut self, id: SubaccountId, from: SagaId, to: SagaId) -> Result<bool, StoreError> {
        let (id, from, to) = (id.as_uuid(), from.as_uuid(), to.as_uuid());
        let rows = execute!(
            &mut self.tx,
            "hand a subaccount on",
            HAND_ON,
            self.tenant,
            id,
            from,
            to
        )?;
        Ok(rows == 1)
    }

    async fn update(&mut self, account: &Subaccount) -> Result<(), StoreError> {
        const OPERATION: &str = "update a subaccount";
        changed(
            OPERATION,
            self.write_subaccount(OPERATION, UPDATE, account).await?,
        )
    }

    async fn list(&mut self) -> Result<Vec<Subaccount>, StoreError> {
        const OPERATION: &str = "list the subaccounts";
        let rows = all!(&mut self.tx, OPERATION, SubaccountRow, LIST, self.tenant)?;
        let accounts = of_tenants(OPERATION, rows)?.into_iter();
        Ok(accounts.map(|(_, account)| account).collect())
    }
}
