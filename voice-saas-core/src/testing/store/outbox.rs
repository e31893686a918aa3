//! Domain events.

use serde_json::json;

use super::world::{Must, World, at};
use crate::{event::DomainEvent, id::EventId, store::Store};

fn event(world: &World<'_>, kind: &str) -> DomainEvent {
    DomainEvent::new(
        EventId::generate(world.ids()),
        kind,
        json!({ "call": "call_1", "cost": 0.5 }),
        at(0),
    )
}

pub async fn events_wait_in_order_until_they_are_delivered(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let mut expected = Vec::new();
    for scope in [&acme, &globex, &acme] {
        let mut tx = world.begin(scope).await;
        for kind in ["call.started", "call.ended"] {
            let event = event(&world, kind);
            tx.outbox().publish(&event).await.must();
            expected.push((scope.tenant_id(), event));
        }
        tx.commit().await.must();
    }
    let mut tx = world.system().await;
    assert_eq!(tx.outbox_queue().undelivered(4).await.must(), expected[..4]);
    let delivered = [expected[0].1.id, expected[2].1.id];
    tx.outbox_queue().delivered(&delivered, at(1)).await.must();
    tx.outbox_queue().delivered(&delivered, at(2)).await.must();
    tx.outbox_queue().delivered(&[], at(2)).await.must();
    tx.commit().await.must();
    let left = [&expected[1..2], &expected[3..]].concat();
    assert_eq!(
        world.system().await.outbox_queue().undelivered(100).await.must(),
        left
    );
}

pub async fn an_event_of_a_dropped_unit_of_work_is_never_delivered(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut tx = world.begin(&scope).await;
    tx.outbox().publish(&event(&world, "call.ended")).await.must();
    drop(tx);
    assert_eq!(
        world.system().await.outbox_queue().undelivered(100).await.must(),
        []
    );
}
