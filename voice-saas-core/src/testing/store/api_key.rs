//! API keys.

use super::world::{Must, World, at, hash, refused};
use crate::{
    auth::{ApiKey, ApiScope},
    id::ApiKeyId,
    store::{Store, StoreErrorKind},
};

fn key(world: &World<'_>, byte: u8) -> ApiKey {
    let scopes = vec![ApiScope::Read, ApiScope::Write];
    ApiKey::new(
        ApiKeyId::generate(world.ids()),
        "CRM",
        "vs_1234",
        hash(byte),
        scopes,
        at(i64::from(byte)),
    )
}

pub async fn a_key_is_found_by_its_hash_until_it_is_revoked(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut key = key(&world, 1);
    let mut tx = world.begin(&scope).await;
    tx.api_keys().add(&key).await.must();
    tx.api_keys().touch(key.id, at(7)).await.must();
    tx.commit().await.must();
    key.last_used_at = Some(at(7));
    let found = world.system().await.accounts().api_key(&hash(1)).await.must();
    assert_eq!(found, Some((scope.tenant_id(), key.clone())));
    assert_eq!(
        world.system().await.accounts().api_key(&hash(2)).await.must(),
        None
    );

    let mut tx = world.begin(&scope).await;
    tx.api_keys().revoke(key.id, at(8)).await.must();
    tx.api_keys().revoke(key.id, at(9)).await.must();
    tx.commit().await.must();
    assert_eq!(
        world.system().await.accounts().api_key(&hash(1)).await.must(),
        None
    );
}

pub async fn keys_are_listed_newest_first_without_the_revoked(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let keys = [key(&world, 1), key(&world, 2), key(&world, 3)];
    let mut tx = world.begin(&scope).await;
    for key in &keys {
        tx.api_keys().add(key).await.must();
    }
    tx.api_keys().revoke(keys[1].id, at(9)).await.must();
    assert_eq!(
        tx.api_keys().list().await.must(),
        [keys[2].clone(), keys[0].clone()]
    );
}

pub async fn a_key_that_is_not_there_cannot_be_revoked_or_touched(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let unknown = ApiKeyId::generate(world.ids());
    let mut tx = world.begin(&scope).await;
    assert_eq!(
        refused(tx.api_keys().revoke(unknown, at(1)).await),
        StoreErrorKind::NotFound
    );
    assert_eq!(
        refused(tx.api_keys().touch(unknown, at(1)).await),
        StoreErrorKind::NotFound
    );
}

pub async fn two_keys_never_have_one_hash(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let mut tx = world.begin(&acme).await;
    tx.api_keys().add(&key(&world, 1)).await.must();
    tx.commit().await.must();
    let again = world.begin(&globex).await.api_keys().add(&key(&world, 1)).await;
    assert_eq!(refused(again), StoreErrorKind::Conflict);
}
