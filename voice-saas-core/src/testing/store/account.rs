//! People and their logins.

use futures_util::future::join_all;

use super::world::{Must, World, at, hash, refused};
use crate::{
    auth::RefreshToken,
    id::{TokenFamilyId, UserId},
    store::{Store, StoreErrorKind},
    tenant::{Member, Role},
    testing::fixtures,
};

pub async fn a_registered_person_is_found_by_address_and_by_id(store: &dyn Store) {
    let world = World::new(store);
    let (user, tenant) = (world.new_user("ada@acme.example"), world.new_tenant("acme"));
    let mut tx = world.system().await;
    tx.accounts()
        .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
        .await
        .must();
    tx.commit().await.must();
    let mut tx = world.system().await;
    assert_eq!(
        tx.accounts().user_by_email("ada@acme.example").await.must(),
        Some(user.clone())
    );
    assert_eq!(tx.accounts().user(user.id).await.must(), Some(user));
    assert_eq!(tx.accounts().user_by_email("bob@acme.example").await.must(), None);
    assert_eq!(
        tx.accounts().user(UserId::from_uuid(world.uuid())).await.must(),
        None
    );
    assert_eq!(tx.tenant(tenant.id).await.must(), Some(tenant));
}

pub async fn an_address_belongs_to_one_person(store: &dyn Store) {
    let world = World::new(store);
    world.tenant("acme").await;
    let (user, tenant) = (world.new_user("owner@acme.example"), world.new_tenant("globex"));
    let mut tx = world.system().await;
    let again = tx
        .accounts()
        .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
        .await;
    assert_eq!(refused(again), StoreErrorKind::Conflict);
    drop(tx);
    assert_eq!(world.system().await.tenant(tenant.id).await.must(), None);
}

pub async fn a_person_belongs_to_the_tenant_that_they_registered(store: &dyn Store) {
    let world = World::new(store);
    world.tenant("globex").await;
    let (user, tenant) = (world.new_user("ada@acme.example"), world.new_tenant("acme"));
    let mut tx = world.system().await;
    tx.accounts()
        .register(&user, &tenant, Role::Admin, &fixtures::entitlement())
        .await
        .must();
    let member = Member::new(
        user.id,
        "ada@acme.example",
        Some("Ada".to_owned()),
        Role::Admin,
        at(0),
    );
    assert_eq!(
        tx.accounts().memberships(user.id).await.must(),
        [(tenant, member)]
    );
}

async fn token(world: &World<'_>, byte: u8, family: TokenFamilyId) -> RefreshToken {
    let (user, tenant) = (
        world.new_user(&format!("{byte}@acme.example")),
        world.new_tenant("acme"),
    );
    let token = RefreshToken::new(hash(byte), family, user.id, tenant.id, at(60));
    let mut tx = world.system().await;
    tx.accounts()
        .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
        .await
        .must();
    tx.accounts().add_refresh_token(&token).await.must();
    tx.commit().await.must();
    token
}

pub async fn a_refresh_token_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let mut expected = token(&world, 1, TokenFamilyId::from_uuid(world.uuid())).await;
    let mut tx = world.system().await;
    assert_eq!(
        tx.accounts().refresh_token(&hash(1)).await.must(),
        Some(expected.clone())
    );
    assert_eq!(tx.accounts().refresh_token(&hash(2)).await.must(), None);
    assert!(tx.accounts().use_refresh_token(&hash(1), at(5)).await.must());
    tx.accounts().revoke_family(expected.family, at(6)).await.must();
    (expected.used_at, expected.revoked_at) = (Some(at(5)), Some(at(6)));
    assert_eq!(tx.accounts().refresh_token(&hash(1)).await.must(), Some(expected));
}

pub async fn a_refresh_token_is_used_once_however_many_try(store: &dyn Store) {
    let world = World::new(store);
    token(&world, 1, TokenFamilyId::from_uuid(world.uuid())).await;
    let used = join_all((0..8).map(|second| {
        let world = &world;
        async move {
            let mut tx = world.system().await;
            let used = tx.accounts().use_refresh_token(&hash(1), at(second)).await.must();
            tx.commit().await.must();
            used
        }
    }))
    .await;
    assert_eq!(used.iter().filter(|used| **used).count(), 1);
    assert!(
        !world
            .system()
            .await
            .accounts()
            .use_refresh_token(&hash(2), at(9))
            .await
            .must()
    );
}

pub async fn a_revoked_family_has_no_usable_token_and_others_do(store: &dyn Store) {
    let world = World::new(store);
    let (ended, other) = (
        TokenFamilyId::from_uuid(world.uuid()),
        TokenFamilyId::from_uuid(world.uuid()),
    );
    token(&world, 1, ended).await;
    token(&world, 2, ended).await;
    token(&world, 3, other).await;
    let mut tx = world.system().await;
    tx.accounts().revoke_family(ended, at(1)).await.must();
    let mut used = Vec::new();
    for byte in 1..=3 {
        used.push(tx.accounts().use_refresh_token(&hash(byte), at(2)).await.must());
    }
    assert_eq!(used, [false, false, true]);
}

pub async fn a_closed_tenant_has_no_usable_token_and_others_do(store: &dyn Store) {
    let world = World::new(store);
    let closed = token(&world, 1, TokenFamilyId::from_uuid(world.uuid())).await;
    token(&world, 2, TokenFamilyId::from_uuid(world.uuid())).await;
    let mut tx = world.system().await;
    tx.accounts().revoke_tenant(closed.tenant, at(1)).await.must();
    let mut used = Vec::new();
    for byte in 1..=2 {
        used.push(tx.accounts().use_refresh_token(&hash(byte), at(2)).await.must());
    }
    assert_eq!(used, [false, true]);
}
