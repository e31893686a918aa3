//! What a tenant may use.

use super::world::{Must, World, at, refused};
use crate::{
    entitlement::{PaidPeriod, Source},
    id::TenantId,
    plan::PlanId,
    store::{Store, StoreErrorKind},
    testing::{fixtures, tenant_scope},
};

pub async fn an_entitlement_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut tx = world.begin(&scope).await;
    let mut entitlement = tx.entitlements().find_for_update().await.must();
    assert_eq!(entitlement, fixtures::entitlement());
    entitlement.plan = PlanId::new("business_basic");
    entitlement.source = Source::AppStore;
    entitlement.trial_ends_at = Some(at(1));
    entitlement.period = Some(PaidPeriod {
        from: at(2),
        until: at(3),
    });
    entitlement.grace_until = Some(at(4));
    entitlement.updated_at = at(5);
    let saved = tx.entitlements().save(&entitlement).await.must();
    entitlement.version += 1;
    assert_eq!(saved, entitlement);
    tx.commit().await.must();
    assert_eq!(
        world.begin(&scope).await.entitlements().get().await.must(),
        entitlement
    );
    let nobody = tenant_scope(TenantId::generate(world.ids()));
    let refusal = refused(world.begin(&nobody).await.entitlements().get().await);
    assert_eq!(refusal, StoreErrorKind::NotFound);
}

pub async fn of_two_writers_of_an_entitlement_one_is_stale(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let read = world.begin(&scope).await.entitlements().get().await.must();
    let mut tx = world.begin(&scope).await;
    tx.entitlements().save(&read).await.must();
    tx.commit().await.must();
    let again = world.begin(&scope).await.entitlements().save(&read).await;
    assert_eq!(refused(again), StoreErrorKind::Stale);
}
