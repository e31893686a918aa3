//! The tenant's own row and its members.

use super::world::{Must, World, at, e164, refused};
use crate::{
    id::{TenantId, UserId},
    store::{Store, StoreErrorKind},
    tenant::{Member, Profile, Role, TenantStatus},
    testing::{fixtures, tenant_scope},
};

pub async fn a_tenant_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut tx = world.begin(&scope).await;
    let mut tenant = tx.tenant().get().await.must();
    assert_eq!(
        (tenant.id, tenant.name.as_str(), tenant.status),
        (scope.tenant_id(), "acme", TenantStatus::Trial)
    );
    tenant.name = "Acme HVAC".into();
    tenant.status = TenantStatus::PastDue;
    tenant.country = "IN".parse().expect("a country");
    tenant.timezone = "Asia/Kolkata".parse().expect("a zone");
    tenant.profile = Profile {
        industry: Some("HVAC".to_owned()),
        owner_name: Some("Ada \"the boss\" Løvelace".to_owned()),
        phone: Some(e164(1)),
        emergency_phone: Some(e164(2)),
        greeting: Some("नमस्ते".to_owned()),
        services: vec!["heating".to_owned(), "cooling".to_owned()],
        hours: [("mon".to_owned(), vec![("09:00".to_owned(), "17:00".to_owned())])].into(),
    };
    tx.tenant().update(&tenant).await.must();
    tx.commit().await.must();
    assert_eq!(world.begin(&scope).await.tenant().get().await.must(), tenant);
}

pub async fn members_are_listed_with_their_roles(store: &dyn Store) {
    let world = World::new(store);
    world.tenant("globex").await;
    let (user, tenant) = (world.new_user("ada@acme.example"), world.new_tenant("acme"));
    let mut tx = world.system().await;
    tx.accounts()
        .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
        .await
        .must();
    tx.commit().await.must();
    let mut tx = world.begin(&tenant_scope(tenant.id)).await;
    let member = Member::new(
        user.id,
        "ada@acme.example",
        Some("Ada".to_owned()),
        Role::Owner,
        at(0),
    );
    assert_eq!(tx.tenant().members().await.must(), [member]);
    assert_eq!(tx.tenant().role_of(user.id).await.must(), Some(Role::Owner));
    assert_eq!(
        tx.tenant().role_of(UserId::from_uuid(world.uuid())).await.must(),
        None
    );
}

pub async fn a_tenant_that_is_not_there_has_nothing_and_can_write_nothing(store: &dyn Store) {
    let world = World::new(store);
    let nobody = tenant_scope(TenantId::generate(world.ids()));
    assert_eq!(
        refused(world.begin(&nobody).await.tenant().get().await),
        StoreErrorKind::NotFound
    );
    let number = world.new_number(142);
    let added = world.begin(&nobody).await.numbers().add(&number).await;
    assert_eq!(refused(added), StoreErrorKind::NotFound);
}

pub async fn a_tenant_that_is_being_closed_begins_nothing(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut tx = world.begin(&scope).await;
    tx.tenant().require_open().await.must();
    let mut tenant = tx.tenant().get().await.must();
    for status in [TenantStatus::Closing, TenantStatus::Closed] {
        tenant.status = status;
        tx.tenant().update(&tenant).await.must();
        let refusal = refused(tx.tenant().require_open().await);
        assert_eq!(refusal, StoreErrorKind::TenantClosed);
    }
    drop(tx);
    let nobody = tenant_scope(TenantId::generate(world.ids()));
    let refusal = refused(world.begin(&nobody).await.tenant().require_open().await);
    assert_eq!(refusal, StoreErrorKind::NotFound);
}
