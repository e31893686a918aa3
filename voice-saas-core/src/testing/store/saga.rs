//! Sagas.

use futures_util::future::join_all;
use serde_json::json;

use super::world::{Must, World, at, refused};
use crate::{
    id::SagaId,
    saga::{SagaRecord, SagaStatus},
    store::{Store, StoreErrorKind},
};

fn saga(world: &World<'_>) -> SagaRecord {
    SagaRecord::new(
        SagaId::generate(world.ids()),
        "provision_number",
        json!({ "number": "+12125550142" }),
        at(0),
    )
}

pub async fn a_saga_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut saga = saga(&world);
    let mut tx = world.begin(&scope).await;
    tx.sagas().add(&saga).await.must();
    assert_eq!(tx.sagas().find(saga.id).await.must(), saga);
    saga.status = SagaStatus::Undoing;
    (saga.step, saga.attempts) = (2, 3);
    saga.state = json!({ "bought": ["PN1"] });
    saga.error = Some(json!("no funds"));
    saga.updated_at = at(5);
    tx.sagas().save(&mut saga).await.must();
    assert_eq!(saga.version, 1);
    assert_eq!(tx.sagas().find(saga.id).await.must(), saga);
    let unknown = SagaId::generate(world.ids());
    assert_eq!(refused(tx.sagas().find(unknown).await), StoreErrorKind::NotFound);
}

pub async fn a_runner_that_read_an_old_version_writes_in_vain(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut saga = saga(&world);
    let mut tx = world.begin(&scope).await;
    tx.sagas().add(&saga).await.must();
    let mut old = saga.clone();
    saga.step = 1;
    tx.sagas().save(&mut saga).await.must();
    old.step = 7;
    assert_eq!(refused(tx.sagas().save(&mut old).await), StoreErrorKind::Stale);
    assert_eq!(old.version, 0);
    assert_eq!(tx.sagas().find(saga.id).await.must(), saga);
    let mut unknown = self::saga(&world);
    assert_eq!(
        refused(tx.sagas().save(&mut unknown).await),
        StoreErrorKind::NotFound
    );
}

pub async fn of_two_runners_at_once_one_writes(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let saga = saga(&world);
    let mut tx = world.begin(&scope).await;
    tx.sagas().add(&saga).await.must();
    tx.commit().await.must();
    let outcomes = join_all((0..2).map(|_| {
        let (world, scope, mut saga) = (&world, &scope, saga.clone());
        async move {
            let mut tx = world.begin(scope).await;
            tx.sagas().save(&mut saga).await.map_err(|error| error.kind())?;
            tx.commit().await.map_err(|error| error.kind())
        }
    }))
    .await;
    assert!(
        outcomes.contains(&Ok(())) && outcomes.contains(&Err(StoreErrorKind::Stale)),
        "{outcomes:?}"
    );
    assert_eq!(
        world
            .begin(&scope)
            .await
            .sagas()
            .find(saga.id)
            .await
            .must()
            .version,
        1
    );
}

pub async fn sagas_that_are_not_over_are_listed_oldest_first(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut tx = world.begin(&scope).await;
    let mut waiting = Vec::new();
    for status in [
        SagaStatus::Running,
        SagaStatus::Done,
        SagaStatus::Undoing,
        SagaStatus::Undone,
        SagaStatus::Stuck,
    ] {
        let mut saga = saga(&world);
        saga.status = status;
        tx.sagas().add(&saga).await.must();
        if !matches!(status, SagaStatus::Done | SagaStatus::Undone) {
            waiting.push(saga);
        }
    }
    assert_eq!(tx.sagas().unfinished().await.must(), waiting);
}
