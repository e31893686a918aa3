//! The ledger.

use super::world::{Must, World, at, refused};
use crate::{
    id::{CallId, EntryId},
    ledger::LedgerEntry,
    money::{Currency, Money},
    store::{Store, StoreErrorKind},
};

fn entry(world: &World<'_>, call: CallId, version: &str, second: i64) -> LedgerEntry {
    LedgerEntry {
        id: EntryId::generate(world.ids()),
        call,
        kind: "telephony_inbound".to_owned(),
        provider: "twilio".to_owned(),
        quantity: 3,
        unit: "minute".to_owned(),
        amount: Money::from_micros(-25_500, Currency::INR),
        rating_version: version.to_owned(),
        at: at(second),
    }
}

pub async fn an_entry_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let entry = entry(&world, world.call(&scope, "CA1").await.id, "v1", 1);
    let mut tx = world.begin(&scope).await;
    assert!(tx.ledger().add(&entry).await.must());
    assert_eq!(tx.ledger().of_call(entry.call).await.must(), [entry]);
    let unknown = CallId::generate(world.ids());
    assert_eq!(tx.ledger().of_call(unknown).await.must(), []);
    let dangling = self::entry(&world, unknown, "v1", 1);
    assert_eq!(
        refused(tx.ledger().add(&dangling).await),
        StoreErrorKind::NotFound
    );
}

pub async fn an_entry_is_written_once_for_its_key(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (call, other) = (
        world.call(&scope, "CA1").await.id,
        world.call(&scope, "CA2").await.id,
    );
    let first = entry(&world, call, "v1", 1);
    let mut tx = world.begin(&scope).await;
    assert!(tx.ledger().add(&first).await.must());
    let mut again = entry(&world, call, "v1", 2);
    again.amount = Money::from_micros(1, Currency::USD);
    assert!(!tx.ledger().add(&again).await.must());
    assert_eq!(tx.ledger().of_call(call).await.must(), [first]);
    let mut other_kind = entry(&world, call, "v1", 2);
    other_kind.kind = "agent".into();
    for entry in [
        other_kind,
        entry(&world, call, "v2", 2),
        entry(&world, other, "v1", 2),
    ] {
        assert!(tx.ledger().add(&entry).await.must(), "{entry:?}");
    }
}

pub async fn entries_are_listed_oldest_first(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let call = world.call(&scope, "CA1").await.id;
    let mut tx = world.begin(&scope).await;
    for (version, second) in [("v3", 3), ("v1", 1), ("v2", 2)] {
        assert!(
            tx.ledger()
                .add(&entry(&world, call, version, second))
                .await
                .must()
        );
    }
    let entries = tx.ledger().of_call(call).await.must();
    let versions: Vec<_> = entries
        .iter()
        .map(|entry| entry.rating_version.as_str())
        .collect();
    assert_eq!(versions, ["v1", "v2", "v3"]);
}
