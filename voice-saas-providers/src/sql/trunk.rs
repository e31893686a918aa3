//! A tenant's SIP trunks.

use async_trait::async_trait;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    id::{NumberId, SagaId, TrunkId},
    page::{Cursor, Page, PageRequest},
    store::StoreError,
    trunk::{SealedPassword, Trunk, TrunkRepo},
};

use super::{
    column::{CorruptRow, JsonText, Place, word},
    error::{changed, not_found},
    page::Keyset,
    query::{all, execute, optional},
    unit::TenantUnit,
};

#[derive(Debug, FromRow)]
struct TrunkRow {
    id: Uuid,
    number_id: Uuid,
    carrier: Option<String>,
    media: String,
    tag: String,
    carrier_route: Option<JsonText>,
    media_route: Option<JsonText>,
    sip_host: Option<String>,
    password: Vec<u8>,
    status: String,
    failure: Option<JsonText>,
    saga_id: Option<Uuid>,
    created_at: i64,
}

impl TryFrom<TrunkRow> for Trunk {
    type Error = CorruptRow;

    fn try_from(row: TrunkRow) -> Result<Self, CorruptRow> {
        let place = Place::new("trunks", row.id);
        let route = |column, json: Option<JsonText>| json.map(|json| place.json(column, &json)).transpose();
        let failure = row.failure.map(|json| place.json("failure", &json)).transpose()?;
        let mut trunk = Self::pending(
            TrunkId::from_uuid(row.id),
            NumberId::from_uuid(row.number_id),
            row.media,
            SealedPassword::from_bytes(row.password),
            place.time("created_at", row.created_at)?,
        );
        trunk.carrier = row.carrier;
        trunk.tag = row.tag;
        trunk.carrier_route = route("carrier_route", row.carrier_route)?;
        trunk.media_route = route("media_route", row.media_route)?;
        trunk.sip_host = row.sip_host;
        trunk.status = place.word("status", &row.status)?;
        trunk.failure = failure;
        trunk.saga = row.saga_id.map(SagaId::from_uuid);
        Ok(trunk)
    }
}

fn trunks(operation: &'static str, rows: Vec<TrunkRow>) -> Result<Vec<Trunk>, StoreError> {
    rows.into_iter()
        .map(Trunk::try_from)
        .collect::<Result<_, _>>()
        .map_err(|row| row.during(operation))
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, number_id, carrier, media, tag, carrier_route, media_route, sip_host, password, status, ",
            "failure, saga_id, created_at FROM trunks ",
            $rest
        )
    };
}

const ADD: &str = "
    INSERT INTO trunks (tenant_id, id, number_id, carrier, media, tag, carrier_route, media_route, sip_host, password,
        status, saga_id, created_at, failure)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";

const UPDATE: &str = "
    UPDATE trunks SET number_id = $3, carrier = $4, media = $5, tag = $6, carrier_route = $7, media_route = $8,
        sip_host = $9, password = $10, status = $11, saga_id = $12, created_at = $13,
        failure = $14
    WHERE tenant_id = $1 AND id = $2";

const FIND: &str = select!("WHERE tenant_id = $1 AND id = $2");

const OF_NUMBER: &str =
    select!("WHERE tenant_id = $1 AND number_id = $2 AND status NOT IN ('failed', 'deleted')");

const LIST: &str = select!(
    "WHERE tenant_id = $1 AND status <> 'deleted' AND (created_at, id) < ($2, $3)
    ORDER BY created_at DESC, id DESC LIMIT $4"
);

impl TenantUnit {
    /// Writes all columns of a trunk; how many rows it changed.
    async fn write_trunk(
        &mut self,
        operation: &'static str,
        sql: &'static str,
        trunk: &Trunk,
    ) -> Result<u64, StoreError> {
        execute!(
            &mut self.tx,
            operation,
            sql,
            self.tenant,
            trunk.id.as_uuid(),
            trunk.number.as_uuid(),
            trunk.carrier.as_deref(),
            &trunk.media,
            &trunk.tag,
            trunk.carrier_route.as_ref().map(Json),
            trunk.media_route.as_ref().map(Json),
            trunk.sip_host.as_deref(),
            trunk.password.as_bytes(),
            word(&trunk.status),
            trunk.saga.map(SagaId::as_uuid),
            trunk.created_at.as_microsecond(),
            trunk.failure.as_ref().map(Json),
        )
    }
}

#[async_trait]
impl TrunkRepo for TenantUnit {
    async fn add(&mut self, trunk: &Trunk) -> Result<(), StoreError> {
        self.write_trunk("add a trunk", ADD, trunk).await?;
        Ok(())
    }

    async fn find(&mut self, id: TrunkId) -> Result<Trunk, StoreError> {
        const OPERATION: &str = "find a trunk";
        let row = optional!(&mut self.tx, OPERATION, TrunkRow, FIND, self.tenant, id.as_uuid())?;
        let row = row.ok_or_else(|| not_found(OPERATION))?;
        Trunk::try_from(row).map_err(|row| row.during(OPERATION))
    }

    async fn of_number(&mut self, number: NumberId) -> Result<Option<Trunk>, StoreError> {
        const OPERATION: &str = "find a number's trunk";
        let number = number.as_uuid();
        let row = optional!(&mut self.tx, OPERATION, TrunkRow, OF_NUMBER, self.tenant, number)?;
        row.map(Trunk::try_from)
            .transpose()
            .map_err(|row| row.during(OPERATION))
    }

    async fn update(&mut self, trunk: &Trunk) -> Result<(), StoreError> {
        const OPERATION: &str = "update a trunk";
        changed(OPERATION, self.write_trunk(OPERATION, UPDATE, trunk).await?)
    }

    async fn list(&mut self, page: PageRequest) -> Result<Page<Trunk>, StoreError> {
        const OPERATION: &str = "list the trunks";
        let keyset = Keyset::from(page);
        let rows = all!(
            &mut self.tx,
            OPERATION,
            TrunkRow,
            LIST,
            self.tenant,
            keyset.at,
            keyset.id,
            keyset.rows
        )?;
        Ok(Page::of(page, trunks(OPERATION, rows)?, |trunk| {
            Cursor::new(trunk.created_at, trunk.id.as_uuid())
        }))
    }
}
