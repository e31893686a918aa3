//! Units of work.

use super::world::{Must, World, at};
use crate::{
    id::JobId,
    job::NewJob,
    store::{Store, StoreErrorKind},
    tenant::Role,
    testing::fixtures,
};

pub async fn the_database_answers_a_ping(store: &dyn Store) {
    store.ping().await.must();
}

pub async fn what_is_committed_lasts(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let number = world.number(&scope, 142).await;
    assert_eq!(
        world.begin(&scope).await.numbers().find(number.id).await.must(),
        number
    );
}

pub async fn what_is_dropped_without_commit_leaves_nothing(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let number = world.new_number(142);
    let mut tx = world.begin(&scope).await;
    tx.numbers().add(&number).await.must();
    drop(tx);
    let found = world.begin(&scope).await.numbers().find(number.id).await;
    assert_eq!(found.map_err(|error| error.kind()), Err(StoreErrorKind::NotFound));

    let (user, tenant) = (world.new_user("ada@globex.example"), world.new_tenant("globex"));
    let job = NewJob::new(
        JobId::generate(world.ids()),
        "sweep",
        serde_json::Value::Null,
        at(0),
    );
    let mut tx = world.system().await;
    tx.accounts()
        .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
        .await
        .must();
    tx.job_queue().enqueue_system(&job, at(0)).await.must();
    drop(tx);
    let mut tx = world.system().await;
    assert_eq!(tx.accounts().user(user.id).await.must(), None);
    assert_eq!(tx.tenant(tenant.id).await.must(), None);
    assert_eq!(tx.job_queue().next_due().await.must(), None);
}

pub async fn a_wake_up_reaches_who_waits_for_jobs(store: &dyn Store) {
    let ((), woken) = tokio::join!(store.job_wakeup(), store.wake_jobs());
    woken.must();
}

pub async fn a_wake_up_is_kept_for_who_comes_next(store: &dyn Store) {
    store.wake_jobs().await.must();
    store.job_wakeup().await;
}
