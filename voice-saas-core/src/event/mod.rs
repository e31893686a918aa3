//! Domain events: written in the transaction of the change they tell of, delivered afterwards at least once.

mod dispatch;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    id::{EventId, TenantId},
    store::StoreError,
};

pub(crate) use dispatch::dispatch;

/// Something that happened to a tenant.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DomainEvent {
    /// Its id: the same at every delivery.
    pub id: EventId,
    /// What, such as `call.ended`.
    pub kind: String,
    /// To what.
    pub payload: Value,
    /// When.
    pub at: Timestamp,
}

impl DomainEvent {
    /// An event.
    pub fn new(id: EventId, kind: impl Into<String>, payload: Value, at: Timestamp) -> Self {
        Self {
            id,
            kind: kind.into(),
            payload,
            at,
        }
    }
}

/// Where domain events are written down.
#[async_trait]
pub trait Outbox: Send {
    /// Writes an event, to be delivered once this unit of work is committed.
    async fn publish(&mut self, event: &DomainEvent) -> Result<(), StoreError>;
}

/// Where domain events are taken from.
#[async_trait]
pub trait OutboxQueue: Send {
    /// The oldest events that were not delivered yet.
    async fn undelivered(&mut self, limit: u16) -> Result<Vec<(TenantId, DomainEvent)>, StoreError>;
    /// Marks them as delivered.
    async fn delivered(&mut self, ids: &[EventId], at: Timestamp) -> Result<(), StoreError>;
}

/// Who wants to know. Called at least once for every event; the same event has the same id.
#[async_trait]
pub trait EventSink: std::fmt::Debug + Send + Sync + 'static {
    /// Takes an event. It is offered again when this fails.
    async fn deliver(
        &self,
        tenant: TenantId,
        event: &DomainEvent,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}
