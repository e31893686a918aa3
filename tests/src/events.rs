//! What the library tells of.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use voice_saas_core::{
    event::{DomainEvent, EventSink},
    id::TenantId,
};

/// Keeps every domain event that is delivered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<DomainEvent>>>);

impl Events {
    /// Those of this kind, oldest first, each once.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<DomainEvent> {
        let mut events: Vec<DomainEvent> = Vec::new();
        for event in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            if event.kind == kind && events.iter().all(|other| other.id != event.id) {
                events.push(event.clone());
            }
        }
        events
    }
}

#[async_trait]
impl EventSink for Events {
    async fn deliver(
        &self,
        _: TenantId,
        event: &DomainEvent,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event.clone());
        Ok(())
    }
}
