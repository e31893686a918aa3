//! Trunks.

use futures_util::future::join_all;
use serde_json::json;

use super::world::{Must, World, at, refused, walk};
use crate::{
    id::{NumberId, SagaId, TrunkId},
    provider::telephony::RouteHandle,
    store::{Store, StoreErrorKind},
    trunk::{SealedPassword, Trunk, TrunkFailure, TrunkStatus},
};

fn new_trunk(world: &World<'_>, number: NumberId) -> Trunk {
    let password = SealedPassword::from_bytes(vec![0, 255, 7]);
    let id = TrunkId::generate(world.ids());
    Trunk::pending(id, number, "livekit", password, at(0))
}

pub async fn a_trunk_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut trunk = new_trunk(&world, world.number(&scope, 142).await.id);
    let mut tx = world.begin(&scope).await;
    tx.trunks().add(&trunk).await.must();
    assert_eq!(tx.trunks().find(trunk.id).await.must(), trunk);
    trunk.carrier = Some("twilio".into());
    trunk.tag = "another".into();
    trunk.carrier_route = Some(RouteHandle::new(json!({ "trunk": "TK1" })));
    trunk.media_route = Some(RouteHandle::new(json!(["ST_1", 7])));
    trunk.sip_host = Some("t1.pstn.twilio.com".into());
    trunk.password = SealedPassword::from_bytes(vec![1]);
    trunk.status = TrunkStatus::Active;
    trunk.failure = Some(TrunkFailure::Foreign {
        provider: "livekit".into(),
    });
    trunk.saga = Some(SagaId::generate(world.ids()));
    tx.trunks().update(&trunk).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&scope).await;
    assert_eq!(tx.trunks().find(trunk.id).await.must(), trunk);
    let unknown = new_trunk(&world, trunk.number);
    assert_eq!(
        refused(tx.trunks().update(&unknown).await),
        StoreErrorKind::NotFound
    );
    assert_eq!(
        refused(tx.trunks().find(unknown.id).await),
        StoreErrorKind::NotFound
    );
}

pub async fn a_number_has_one_trunk_that_is_not_over(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let number = world.number(&scope, 142).await.id;
    for over in [TrunkStatus::Failed, TrunkStatus::Deleted] {
        let mut trunk = new_trunk(&world, number);
        let mut tx = world.begin(&scope).await;
        assert_eq!(tx.trunks().of_number(number).await.must(), None);
        tx.trunks().add(&trunk).await.must();
        tx.commit().await.must();
        for live in [
            TrunkStatus::Pending,
            TrunkStatus::Active,
            TrunkStatus::Stuck,
            TrunkStatus::Deleting,
        ] {
            let mut tx = world.begin(&scope).await;
            trunk.status = live;
            tx.trunks().update(&trunk).await.must();
            assert_eq!(tx.trunks().of_number(number).await.must().as_ref(), Some(&trunk));
            tx.commit().await.must();
            let second = world
                .begin(&scope)
                .await
                .trunks()
                .add(&new_trunk(&world, number))
                .await;
            assert_eq!(refused(second), StoreErrorKind::Conflict);
        }
        let mut tx = world.begin(&scope).await;
        trunk.status = over;
        tx.trunks().update(&trunk).await.must();
        tx.commit().await.must();
    }
}

pub async fn of_many_who_add_a_numbers_trunk_at_once_one_does(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let number = world.number(&scope, 142).await.id;
    let outcomes = join_all((0..4).map(|_| {
        let (world, scope, trunk) = (&world, &scope, new_trunk(&world, number));
        async move {
            let mut tx = world.begin(scope).await;
            tx.trunks().add(&trunk).await.map_err(|error| error.kind())?;
            tx.commit().await.map_err(|error| error.kind())
        }
    }))
    .await;
    let added = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(added, 1, "{outcomes:?}");
    let lost = |outcome: &Result<(), _>| outcome.is_ok() || *outcome == Err(StoreErrorKind::Conflict);
    assert!(outcomes.iter().all(lost), "{outcomes:?}");
}

pub async fn a_trunk_needs_its_number(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let trunk = new_trunk(&world, NumberId::generate(world.ids()));
    let added = world.begin(&scope).await.trunks().add(&trunk).await;
    assert_eq!(refused(added), StoreErrorKind::NotFound);
}

pub async fn pages_of_trunks_hold_each_trunk_once_without_the_deleted(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut expected = Vec::new();
    for ending in 0..6 {
        // Two were made in the same microsecond: their ids decide.
        let mut trunk = new_trunk(&world, world.number(&scope, ending).await.id);
        trunk.created_at = at(i64::from(ending / 2));
        trunk.status = match ending {
            2 => TrunkStatus::Deleted,
            3 => TrunkStatus::Failed,
            _ => TrunkStatus::Active,
        };
        let mut tx = world.begin(&scope).await;
        tx.trunks().add(&trunk).await.must();
        tx.commit().await.must();
        if ending != 2 {
            expected.insert(0, trunk);
        }
    }
    let mut tx = world.begin(&scope).await;
    assert_eq!(walk!(page => tx.trunks().list(page).await.must()), expected);
}

pub async fn a_stranger_cannot_reach_trunks(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let trunk = new_trunk(&world, world.number(&owner, 142).await.id);
    let mut tx = world.begin(&owner).await;
    tx.trunks().add(&trunk).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&stranger).await;
    let mut deleted = trunk.clone();
    deleted.status = TrunkStatus::Deleted;
    for refusal in [
        refused(tx.trunks().find(trunk.id).await),
        refused(tx.trunks().update(&deleted).await),
    ] {
        assert_eq!(refusal, StoreErrorKind::NotFound);
    }
    assert_eq!(tx.trunks().of_number(trunk.number).await.must(), None);
    assert_eq!(
        tx.trunks()
            .list(crate::page::PageRequest::default())
            .await
            .must()
            .data,
        []
    );
    drop(tx);
    // The owner's number cannot be named in the stranger's own rows either.
    let mine = new_trunk(&world, trunk.number);
    let added = world.begin(&stranger).await.trunks().add(&mine).await;
    assert_eq!(refused(added), StoreErrorKind::NotFound);
    assert_eq!(
        world.begin(&owner).await.trunks().find(trunk.id).await.must(),
        trunk
    );
}
