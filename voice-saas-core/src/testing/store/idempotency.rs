//! Idempotency keys.

use futures_util::future::join_all;

use super::world::{Must, World, at, refused};
use crate::{
    idempotency::{KeyState, StoredAnswer},
    scope::TenantScope,
    store::{Store, StoreErrorKind},
};

const ROUTE: &str = "POST /numbers";

/// Takes the key `k` for the request that hashes to `hash`, in the second `now`; servers die after a minute.
async fn take(world: &World<'_>, scope: &TenantScope, route: &str, hash: u8, now: i64) -> KeyState {
    let mut tx = world.begin(scope).await;
    let state = tx
        .idempotency()
        .begin(route, "k", &[hash; 32], at(now), at(now - 60))
        .await
        .must();
    tx.commit().await.must();
    state
}

fn answer() -> StoredAnswer {
    StoredAnswer {
        status: 201,
        body: br#"{"id":"num_1"}"#.to_vec(),
    }
}

pub async fn a_key_is_fresh_then_in_flight_then_answered(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    assert_eq!(take(&world, &scope, ROUTE, 1, 0).await, KeyState::Fresh);
    assert_eq!(take(&world, &scope, ROUTE, 1, 1).await, KeyState::InFlight);
    let mut tx = world.begin(&scope).await;
    tx.idempotency().complete(ROUTE, "k", &answer()).await.must();
    tx.commit().await.must();
    for now in [2, 10_000] {
        assert_eq!(
            take(&world, &scope, ROUTE, 1, now).await,
            KeyState::Answered(answer())
        );
    }
    let unknown = world
        .begin(&scope)
        .await
        .idempotency()
        .complete(ROUTE, "other", &answer())
        .await;
    assert_eq!(refused(unknown), StoreErrorKind::NotFound);
}

pub async fn a_key_of_another_request_is_refused(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    assert_eq!(take(&world, &scope, ROUTE, 1, 0).await, KeyState::Fresh);
    assert_eq!(take(&world, &scope, ROUTE, 2, 1).await, KeyState::OtherRequest);
    let mut tx = world.begin(&scope).await;
    tx.idempotency().complete(ROUTE, "k", &answer()).await.must();
    tx.commit().await.must();
    assert_eq!(
        take(&world, &scope, ROUTE, 2, 10_000).await,
        KeyState::OtherRequest
    );
}

pub async fn a_released_key_is_fresh_again(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    assert_eq!(take(&world, &scope, ROUTE, 1, 0).await, KeyState::Fresh);
    let mut tx = world.begin(&scope).await;
    tx.idempotency().release(ROUTE, "k").await.must();
    tx.idempotency().release(ROUTE, "k").await.must();
    tx.commit().await.must();
    assert_eq!(take(&world, &scope, ROUTE, 2, 1).await, KeyState::Fresh);
}

pub async fn a_key_of_a_dead_server_is_fresh_again(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    assert_eq!(take(&world, &scope, ROUTE, 1, 0).await, KeyState::Fresh);
    assert_eq!(take(&world, &scope, ROUTE, 1, 60).await, KeyState::InFlight);
    assert_eq!(take(&world, &scope, ROUTE, 1, 61).await, KeyState::Fresh);
    assert_eq!(take(&world, &scope, ROUTE, 1, 62).await, KeyState::InFlight);
}

pub async fn of_many_who_take_a_key_at_once_one_does(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let states = join_all((0..8).map(|_| take(&world, &scope, ROUTE, 1, 0))).await;
    assert_eq!(
        states.iter().filter(|state| **state == KeyState::Fresh).count(),
        1,
        "{states:?}"
    );
    assert_eq!(
        states
            .iter()
            .filter(|state| **state == KeyState::InFlight)
            .count(),
        7,
        "{states:?}"
    );
}

pub async fn keys_are_kept_by_route(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    for route in [ROUTE, "POST /agents"] {
        assert_eq!(take(&world, &scope, route, 1, 0).await, KeyState::Fresh);
    }
}
