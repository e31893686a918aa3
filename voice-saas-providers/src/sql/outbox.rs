//! Domain events on their way out.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{
    FromRow,
    types::{Json, Uuid},
};
use voice_saas_core::{
    event::{DomainEvent, Outbox, OutboxQueue},
    id::{EventId, TenantId},
    store::StoreError,
};

use super::{
    column::{CorruptRow, JsonText, Place},
    error::failed,
    query::{all, execute, on},
    unit::{SystemUnit, TenantUnit},
};

#[derive(Debug, FromRow)]
struct EventRow {
    tenant_id: Uuid,
    id: Uuid,
    kind: String,
    payload: JsonText,
    at: i64,
}

impl TryFrom<EventRow> for (TenantId, DomainEvent) {
    type Error = CorruptRow;

    fn try_from(row: EventRow) -> Result<Self, CorruptRow> {
        let place = Place::new("outbox", row.id);
        let payload = place.json("payload", &row.payload)?;
        let event = DomainEvent::new(
            EventId::from_uuid(row.id),
            row.kind,
            payload,
            place.time("at", row.at)?,
        );
        Ok((TenantId::from_uuid(row.tenant_id), event))
    }
}

const PUBLISH: &str = "INSERT INTO outbox (tenant_id, id, kind, payload, at) VALUES ($1, $2, $3, $4, $5)";

// Ids grow with time, also within a microsecond: their order is that of the events.
const UNDELIVERED: &str = "
    SELECT tenant_id, id, kind, payload, at FROM outbox
    WHERE delivered_at IS NULL
    ORDER BY id LIMIT $1";

#[async_trait]
impl Outbox for TenantUnit {
    async fn publish(&mut self, event: &DomainEvent) -> Result<(), StoreError> {
        execute!(
            &mut self.tx,
            "publish an event",
            PUBLISH,
            self.tenant,
            event.id.as_uuid(),
            &event.kind,
            Json(&event.payload),
            event.at.as_microsecond(),
        )?;
        Ok(())
    }
}

#[async_trait]
impl OutboxQueue for SystemUnit {
    async fn undelivered(&mut self, limit: u16) -> Result<Vec<(TenantId, DomainEvent)>, StoreError> {
        const OPERATION: &str = "list undelivered events";
        let rows = all!(&mut self.tx, OPERATION, EventRow, UNDELIVERED, i64::from(limit))?;
        rows.into_iter()
            .map(TryFrom::try_from)
            .collect::<Result<_, _>>()
            .map_err(|row: CorruptRow| row.during(OPERATION))
    }

    async fn delivered(&mut self, ids: &[EventId], at: Timestamp) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        on!(&mut self.tx, connection => {
            let mut query = sqlx::QueryBuilder::new("UPDATE outbox SET delivered_at = ");
            query.push_bind(at.as_microsecond()).push(" WHERE delivered_at IS NULL AND id IN (");
            let mut list = query.separated(", ");
            for id in ids {
                list.push_bind(id.as_uuid());
            }
            query.push(")").build().execute(connection).await.map(drop)
        })
        .map_err(|error| failed("mark events as delivered", error))
    }
}
