//! The ledger.

use futures_util::future::join_all;

use super::world::{Must, World, at, refused, walk};
use crate::{
    id::{CallId, EntryId, NumberId},
    ledger::{Account, Balance, LedgerEntry, Subject},
    money::{Currency, Money},
    store::{Store, StoreErrorKind},
};

fn entry(world: &World<'_>, call: CallId, version: &str, second: i64) -> LedgerEntry {
    LedgerEntry {
        id: EntryId::generate(world.ids()),
        subject: Subject::Call(call),
        account: Account::Cost,
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
    let call = world.call(&scope, "CA1").await.id;
    let entry = entry(&world, call, "v1", 1);
    let mut tx = world.begin(&scope).await;
    assert!(tx.ledger().add(&entry).await.must());
    assert_eq!(tx.ledger().of_call(call).await.must(), [entry]);
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

/// The rent of a number, which no call caused.
fn rent(world: &World<'_>, micros: i64, second: i64) -> LedgerEntry {
    let number = NumberId::generate(world.ids());
    LedgerEntry {
        subject: Subject::number_month(number, "2026-11"),
        kind: "number_month".to_owned(),
        amount: Money::from_micros(micros, Currency::USD),
        ..entry(world, CallId::generate(world.ids()), "v1", second)
    }
}

pub async fn pages_of_entries_hold_each_entry_once_newest_first(store: &dyn Store) {
    let world = World::new(store);
    let (scope, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let call = world.call(&scope, "CA1").await.id;
    let mut written = Vec::new();
    let mut tx = world.begin(&scope).await;
    for (index, second) in [3, 1, 2, 2, 5].into_iter().enumerate() {
        let entry = match index {
            0 => rent(&world, 1_150_000, second),
            _ => entry(&world, call, &index.to_string(), second),
        };
        assert!(tx.ledger().add(&entry).await.must());
        written.push(entry);
    }
    let listed = walk!(page => tx.ledger().list(page).await.must());
    written.sort_by_key(|entry| std::cmp::Reverse((entry.at, entry.id)));
    assert_eq!(listed, written);
    drop(tx);
    let mut tx = world.begin(&stranger).await;
    assert_eq!(walk!(page => tx.ledger().list(page).await.must()), []);
}

pub async fn a_balance_is_the_sum_of_its_entries_by_month_and_account(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let december = 86_400 * 15;
    let in_dollars = |account, micros, second| LedgerEntry {
        account,
        ..rent(&world, micros, second)
    };
    let mut tx = world.begin(&scope).await;
    assert_eq!(tx.ledger().balances(None).await.must(), []);
    let rupees = LedgerEntry {
        amount: Money::from_micros(7, Currency::INR),
        ..rent(&world, 0, 0)
    };
    for entry in [
        in_dollars(Account::Cost, 1_000, 0),
        in_dollars(Account::Cost, -300, december),
        in_dollars(Account::Price, 5_000, 0),
        in_dollars(Account::Reservation, 400, 0),
        in_dollars(Account::Reservation, -400, december),
        rupees.clone(),
    ] {
        assert!(tx.ledger().add(&entry).await.must());
        // Once more changes nothing.
        assert!(!tx.ledger().add(&entry).await.must());
    }
    let sums = |currency, cost_micros, price_micros, reserved_micros| Balance {
        currency,
        cost_micros,
        price_micros,
        reserved_micros,
    };
    let (usd, inr) = (Currency::USD, Currency::INR);
    let ever = tx.ledger().balances(None).await.must();
    assert_eq!(ever, [sums(inr, 7, 0, 0), sums(usd, 700, 5_000, 0)]);
    assert_eq!(ever[1].margin(), Money::from_micros(4_300, usd));
    let november = tx.ledger().balances(Some("2026-11")).await.must();
    assert_eq!(november, [sums(inr, 7, 0, 0), sums(usd, 1_000, 5_000, 400)]);
    let december = tx.ledger().balances(Some("2026-12")).await.must();
    assert_eq!(december, [sums(usd, -300, 0, -400)]);
}

pub async fn an_entry_that_is_written_by_many_at_once_counts_once(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let subject = rent(&world, 0, 0).subject;
    let write = async |amount: i64| {
        let entry = LedgerEntry {
            subject: subject.clone(),
            ..rent(&world, amount, 0)
        };
        let mut tx = world.begin(&scope).await;
        let written = tx.ledger().add(&entry).await.must();
        tx.commit().await.must();
        written.then_some(amount)
    };
    let written: Vec<i64> = join_all((1..7).map(write)).await.into_iter().flatten().collect();
    let balances = world.begin(&scope).await.ledger().balances(None).await.must();
    assert_eq!(written.len(), 1);
    assert_eq!(balances[0].cost_micros, written[0]);
}

pub async fn the_balances_of_all_tenants_are_walked_in_order(store: &dyn Store) {
    let world = World::new(store);
    let mut expected = Vec::new();
    for (index, name) in ["acme", "globex", "initech"].into_iter().enumerate() {
        let scope = world.tenant(name).await;
        let micros = i64::try_from(index + 1).expect("a small number");
        let mut tx = world.begin(&scope).await;
        tx.ledger().add(&rent(&world, micros, 0)).await.must();
        tx.commit().await.must();
        expected.push((scope.tenant_id(), micros));
    }
    let mut walked = Vec::new();
    let mut after = None;
    loop {
        let mut tx = world.system().await;
        let page = tx.balances_of_tenants(Some("2026-11"), after, 2).await.must();
        walked.extend(
            page.iter()
                .map(|(tenant, balance)| (*tenant, balance.cost_micros)),
        );
        match page.last() {
            Some((last, _)) => after = Some(*last),
            None => break,
        }
    }
    assert_eq!(walked, expected);
    let none = world
        .system()
        .await
        .balances_of_tenants(Some("2025-01"), None, 2)
        .await
        .must();
    assert_eq!(none, []);
}
