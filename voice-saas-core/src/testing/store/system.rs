//! The named look-ups across tenants.

use serde_json::json;

use super::world::{Must, World, at, e164, incoming, walk};
use crate::{
    call::{CallStatus, UnroutedCall},
    event::DomainEvent,
    id::{EventId, UnroutedCallId},
    idempotency::KeyState,
    number::NumberStatus,
    page::PageRequest,
    provider::telephony::ProviderCallId,
    store::{Route, Store},
    tenant::TenantStatus,
    testing::system_scope,
};

pub async fn a_number_leads_to_its_tenant_and_its_agents_in_order(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    world.number(&globex, 143).await;
    let mut number = world.number(&acme, 142).await;
    let (ada, mut bob) = (world.agent(&acme, "Ada").await, world.agent(&acme, "Bob").await);
    bob.active = false;
    let mut tx = world.begin(&acme).await;
    tx.numbers().link(number.id, bob.spec.id).await.must();
    tx.numbers().link(number.id, ada.spec.id).await.must();
    let bob = tx.agents().save(&bob).await.must();
    number.status = NumberStatus::Inactive;
    tx.numbers().update(&number).await.must();
    let tenant = tx.tenant().get().await.must();
    tx.commit().await.must();
    number.agents = vec![bob.spec.id, ada.spec.id];
    let route = world.system().await.route(&e164(142)).await.must();
    assert_eq!(
        route,
        Some(Route {
            tenant,
            number,
            agents: vec![bob, ada]
        })
    );
    let route = world
        .system()
        .await
        .route(&e164(143))
        .await
        .must()
        .expect("a route");
    assert_eq!((route.tenant.id, route.agents), (globex.tenant_id(), vec![]));
}

pub async fn a_released_or_unknown_number_leads_nowhere(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut number = world.number(&scope, 142).await;
    number.status = NumberStatus::Released;
    let mut tx = world.begin(&scope).await;
    tx.numbers().update(&number).await.must();
    tx.commit().await.must();
    for ending in [142, 143] {
        assert_eq!(world.system().await.route(&e164(ending)).await.must(), None);
    }
}

pub async fn active_agents_without_a_number_are_found_page_by_page(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let number = world.number(&acme, 142).await.id;
    let mut expected = Vec::new();
    for (scope, name) in [
        (&acme, "Ada"),
        (&globex, "Bob"),
        (&acme, "Cid"),
        (&acme, "Dan"),
        (&acme, "Eve"),
    ] {
        let mut agent = world.agent(scope, name).await;
        let id = agent.spec.id;
        let mut tx = world.begin(scope).await;
        match name {
            "Cid" => tx.numbers().link(number, id).await.must(),
            "Dan" => tx.agents().delete(id).await.must(),
            "Eve" => {
                agent.active = false;
                tx.agents().save(&agent).await.must();
            }
            _ => expected.push((scope.tenant_id(), id)),
        }
        tx.commit().await.must();
    }
    let suspended = world.tenant("initech").await;
    world.agent(&suspended, "Fay").await;
    let mut tx = world.begin(&suspended).await;
    let mut tenant = tx.tenant().get().await.must();
    tenant.status = TenantStatus::Suspended;
    tx.tenant().update(&tenant).await.must();
    tx.commit().await.must();

    let mut tx = world.system().await;
    let (ada, bob) = (expected[0], expected[1]);
    for (tenant, after, limit, agents) in [
        (None, None, 10, vec![ada, bob]),
        (None, None, 1, vec![ada]),
        (None, Some(ada.1), 10, vec![bob]),
        (None, Some(bob.1), 10, vec![]),
        (Some(globex.tenant_id()), None, 10, vec![bob]),
        (Some(suspended.tenant_id()), None, 10, vec![]),
    ] {
        let found = tx.agents_without_number(tenant, after, limit).await;
        assert_eq!(found.must(), agents);
    }
}

pub async fn a_carriers_call_leads_to_its_tenant(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let (call, other) = (world.call(&acme, "CA1").await, world.call(&globex, "CA2").await);
    let mut tx = world.system().await;
    for (provider, id, expected) in [
        ("twilio", "CA1", Some((acme.tenant_id(), call.id))),
        ("twilio", "CA2", Some((globex.tenant_id(), other.id))),
        ("twilio", "CA3", None),
        ("knowlarity", "CA1", None),
    ] {
        assert_eq!(
            tx.owner_of_call(provider, &ProviderCallId::new(id)).await.must(),
            expected
        );
    }
}

pub async fn calls_that_have_not_ended_are_found_oldest_first(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let mut expected = Vec::new();
    for (scope, name, second, status) in [
        (&acme, "CA0", 3, CallStatus::InProgress),
        (&globex, "CA1", 1, CallStatus::Ringing),
        (&acme, "CA2", 2, CallStatus::Queued),
        (&acme, "CA3", 0, CallStatus::Completed),
        (&globex, "CA4", 9, CallStatus::Ringing),
    ] {
        let mut call = world.new_call(name, at(second));
        call.status = status;
        let mut tx = world.begin(scope).await;
        assert!(tx.calls().add(&call, &incoming()).await.must());
        tx.commit().await.must();
        if !status.is_terminal() && second < 9 {
            expected.push((second, (scope.tenant_id(), call.id)));
        }
    }
    expected.sort_unstable();
    let expected: Vec<_> = expected.into_iter().map(|(_, call)| call).collect();
    let mut tx = world.system().await;
    assert_eq!(tx.unended_calls(at(9), 100).await.must(), expected);
    assert_eq!(tx.unended_calls(at(9), 2).await.must(), expected[..2]);
    drop(tx);

    let mut tx = world.begin(&globex).await;
    let mut call = tx.calls().find_for_update(expected[0].1).await.must();
    call.status = CallStatus::Completed;
    tx.calls().update(&call).await.must();
    tx.commit().await.must();
    assert_eq!(
        world.system().await.unended_calls(at(9), 100).await.must(),
        expected[1..]
    );
}

fn unrouted(world: &World<'_>, provider_call: &str, second: i64) -> UnroutedCall {
    UnroutedCall {
        id: UnroutedCallId::generate(world.ids()),
        provider: "twilio".to_owned(),
        provider_call: ProviderCallId::new(provider_call),
        from: "anonymous".to_owned(),
        to: "+12125550199".to_owned(),
        at: at(second),
    }
}

pub async fn an_unrouted_call_is_kept_once(store: &dyn Store) {
    let world = World::new(store);
    let first = unrouted(&world, "CA1", 1);
    let mut tx = world.system().await;
    tx.add_unrouted_call(&first).await.must();
    tx.add_unrouted_call(&unrouted(&world, "CA1", 2)).await.must();
    assert_eq!(
        tx.unrouted_calls(PageRequest::default()).await.must().data,
        [first]
    );
}

pub async fn pages_of_unrouted_calls_hold_each_call_once(store: &dyn Store) {
    let world = World::new(store);
    let mut expected = Vec::new();
    let mut tx = world.system().await;
    for count in 0..5 {
        let call = unrouted(&world, &format!("CA{count}"), count / 2);
        tx.add_unrouted_call(&call).await.must();
        expected.insert(0, call);
    }
    assert_eq!(walk!(page => tx.unrouted_calls(page).await.must()), expected);
}

pub async fn what_has_served_its_time_is_forgotten_and_nothing_else(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let event = DomainEvent::new(EventId::generate(world.ids()), "call.ended", json!({}), at(0));
    let mut tx = world.begin(&scope).await;
    for (key, now) in [("old", 0), ("young", 100)] {
        tx.idempotency()
            .begin("POST /numbers", key, &[1; 32], at(now), at(0))
            .await
            .must();
    }
    tx.outbox().publish(&event).await.must();
    tx.commit().await.must();

    let mut tx = world.system().await;
    assert_eq!(
        tx.forget(at(50)).await.must(),
        1,
        "the old key alone: the event was not delivered"
    );
    tx.outbox_queue().delivered(&[event.id], at(10)).await.must();
    assert_eq!(tx.forget(at(50)).await.must(), 1, "the event");
    tx.commit().await.must();
    let mut tx = world.begin(&scope).await;
    let young = tx
        .idempotency()
        .begin("POST /numbers", "young", &[1; 32], at(101), at(0))
        .await
        .must();
    assert_eq!(young, KeyState::InFlight);
}

pub async fn numbers_that_are_called_at_once_are_looked_up_together(store: &dyn Store) {
    let world = World::new(store);
    let (one, other) = (world.tenant("acme").await, world.tenant("globex").await);
    world.number(&one, 142).await;
    world.number(&other, 143).await;
    let mut tx = store.begin_reading(&system_scope()).await.must();
    let routes = tx.routes(&[e164(143), e164(199), e164(142)]).await.must();
    let mut found: Vec<_> = routes
        .iter()
        .map(|route| (route.number.number.clone(), route.tenant.id))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [(e164(142), one.tenant_id()), (e164(143), other.tenant_id())]
    );
    assert!(tx.routes(&[]).await.must().is_empty());
}
