//! What tenants use, and what their calls reserve.

use futures_util::future::join_all;
use jiff::Timestamp;

use super::world::{Must, World, at, incoming, refused};
use crate::{
    id::CallId,
    ledger::{Account, LedgerEntry, Subject},
    money::{Currency, Money},
    number::NumberStatus,
    plan::PlanId,
    saga::{SagaRecord, SagaStatus},
    scope::TenantScope,
    store::{Store, StoreErrorKind, TenantTx},
    tenant::{TenantStatus, Zone},
    usage::{
        Admitted, Holdings, Reservation, ReservationState, UsageQuery, Used, WindowKind, Windows,
        invoice_month,
    },
};

fn windows(now: Timestamp) -> Windows {
    Windows::at(now, &Zone::utc())
}

fn query<'a>(windows: &'a Windows, month: &'a str) -> UsageQuery<'a> {
    UsageQuery {
        windows,
        invoice_month: month,
        currency: Currency::USD,
    }
}

async fn used_in(tx: &mut dyn TenantTx, now: Timestamp) -> Used {
    let (windows, month) = (windows(now), invoice_month(now));
    let standing = tx
        .usage()
        .standing_for_update(&query(&windows, &month))
        .await
        .must();
    standing.expect("the tenant has an entitlement").used
}

/// What a tenant has used, as it looks at this moment.
pub(super) async fn used(world: &World<'_>, scope: &TenantScope, now: Timestamp) -> Used {
    used_in(&mut *world.begin(scope).await, now).await
}

fn reservation_of(call: CallId, now: Timestamp) -> Reservation {
    Reservation::new(call, &Admitted::under(PlanId::new("basic")), windows(now), now)
}

/// The reservation of a tenant's call.
pub(super) async fn reservation(
    world: &World<'_>,
    scope: &TenantScope,
    provider_call: &str,
    now: Timestamp,
) -> Reservation {
    let call = world.call(scope, provider_call).await.id;
    let reservation = reservation_of(call, now);
    let mut tx = world.begin(scope).await;
    assert!(tx.usage().reserve(&reservation).await.must());
    tx.commit().await.must();
    reservation
}

async fn settle(world: &World<'_>, scope: &TenantScope, call: CallId, connected: bool, seconds: u32) -> bool {
    let mut tx = world.begin(scope).await;
    let settled = tx.usage().settle(call, connected, seconds).await.must();
    tx.commit().await.must();
    settled.is_some()
}

pub async fn a_reservation_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let dollars = |micros| Some(Money::from_micros(micros, Currency::EUR));
    let mut admitted = Admitted::under(PlanId::new("basic"));
    admitted.unit_price = dollars(500_000);
    admitted.minute_price = dollars(10_000);
    admitted.held = dollars(1_000_000);
    admitted.max_seconds = Some(120);
    let mut tx = world.begin(&scope).await;
    for (call, admitted) in [("CA1", admitted), ("CA2", Admitted::under(PlanId::new("basic")))] {
        let call = world.new_call(call, at(0));
        assert!(tx.calls().add(&call, &incoming()).await.must());
        let reservation = Reservation::new(call.id, &admitted, windows(at(1)), at(2));
        assert!(tx.usage().reserve(&reservation).await.must());
        assert_eq!(tx.usage().reservation(call.id).await.must(), Some(reservation));
    }
    let unknown = CallId::generate(world.ids());
    assert_eq!(tx.usage().reservation(unknown).await.must(), None);
    assert_eq!(
        refused(tx.usage().reserve(&reservation_of(unknown, at(0))).await),
        StoreErrorKind::NotFound
    );
}

pub async fn a_call_is_reserved_once(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let reservation = reservation(&world, &scope, "CA1", at(0)).await;
    let mut tx = world.begin(&scope).await;
    assert!(!tx.usage().reserve(&reservation).await.must());
    tx.commit().await.must();
    let used = used(&world, &scope, at(0)).await;
    let calls = (
        used.calls_total,
        used.calls_day,
        used.calls_week,
        used.calls_month,
    );
    assert_eq!((calls, used.running), ((1, 1, 1, 1), 1));
}

pub async fn a_connected_call_is_counted_once_with_its_seconds(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let call = reservation(&world, &scope, "CA1", at(0)).await.call;
    assert!(settle(&world, &scope, call, true, 61).await);
    for connected in [true, false] {
        assert!(!settle(&world, &scope, call, connected, 61).await);
    }
    let used = used(&world, &scope, at(0)).await;
    assert_eq!((used.calls_total, used.running, used.seconds_month), (1, 0, 61));
    let state = world.begin(&scope).await.usage().reservation(call).await.must();
    assert_eq!(state.map(|row| row.state), Some(ReservationState::Counted));
    let unknown = CallId::generate(world.ids());
    assert!(!settle(&world, &scope, unknown, true, 61).await);
}

pub async fn a_call_that_never_connected_is_given_back_once(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    reservation(&world, &scope, "CA1", at(0)).await;
    let call = reservation(&world, &scope, "CA2", at(0)).await.call;
    assert!(settle(&world, &scope, call, false, 0).await);
    for connected in [false, true] {
        assert!(!settle(&world, &scope, call, connected, 10).await);
    }
    let used = used(&world, &scope, at(0)).await;
    let calls = (
        used.calls_total,
        used.calls_day,
        used.calls_week,
        used.calls_month,
    );
    assert_eq!((calls, used.running, used.seconds_month), ((1, 1, 1, 1), 1, 0));
}

pub async fn calls_are_counted_in_the_windows_in_which_they_were_admitted(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    // A Sunday, and the last day of a month.
    let sunday: Timestamp = "2027-01-31T23:59:59Z".parse().expect("a time");
    let monday: Timestamp = "2027-02-01T00:00:00Z".parse().expect("a time");
    let (first, second) = (
        reservation(&world, &scope, "CA1", sunday).await.call,
        reservation(&world, &scope, "CA2", sunday).await.call,
    );
    reservation(&world, &scope, "CA3", monday).await;
    let look = async |now| {
        let used = used(&world, &scope, now).await;
        [
            used.calls_day,
            used.calls_week,
            used.calls_month,
            used.seconds_month,
        ]
    };
    assert_eq!(look(sunday).await, [2, 2, 2, 0]);
    assert_eq!(look(monday).await, [1, 1, 1, 0]);
    // They end when it is Monday already.
    settle(&world, &scope, first, true, 90).await;
    settle(&world, &scope, second, false, 0).await;
    assert_eq!(look(sunday).await, [1, 1, 1, 90]);
    assert_eq!(look(monday).await, [1, 1, 1, 0]);
    assert_eq!(WindowKind::Week.ends_at(sunday, &Zone::utc()), Some(monday));
}

pub async fn everything_in_one_look(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let call = reservation(&world, &scope, "CA1", at(0)).await.call;
    let entry = |account, kind: &str, micros, currency| LedgerEntry {
        id: crate::id::EntryId::generate(world.ids()),
        subject: Subject::Call(call),
        account,
        kind: kind.to_owned(),
        provider: "twilio".to_owned(),
        quantity: 1,
        unit: "minute".to_owned(),
        amount: Money::from_micros(micros, currency),
        rating_version: "1".to_owned(),
        at: at(0),
    };
    let mut tx = world.begin(&scope).await;
    for entry in [
        entry(Account::Cost, "agent", 700, Currency::USD),
        entry(Account::Price, "call", 900, Currency::USD),
        entry(Account::Reservation, "reservation", 50, Currency::USD),
        entry(Account::Cost, "telephony_inbound", 5_000, Currency::INR),
    ] {
        tx.ledger().add(&entry).await.must();
    }
    let mut tenant = tx.tenant().get().await.must();
    tenant.status = TenantStatus::PastDue;
    tx.tenant().update(&tenant).await.must();
    let (windows, month) = (windows(at(0)), invoice_month(at(0)));
    let standing = tx.usage().standing(&query(&windows, &month)).await.must();
    let standing = standing.expect("the tenant has an entitlement");
    assert_eq!(standing.status, TenantStatus::PastDue);
    assert_eq!(standing.entitlement, tx.entitlements().get().await.must());
    let expected = Used {
        calls_total: 1,
        calls_day: 1,
        calls_week: 1,
        calls_month: 1,
        seconds_month: 0,
        running: 1,
        cost_micros: 700,
        price_micros: 900,
        held_micros: 50,
    };
    assert_eq!(standing.used, expected);
    // In another month, what is held is held still.
    let later = used_in(&mut *tx, "2027-05-01T00:00:00Z".parse().expect("a time")).await;
    assert_eq!((later.calls_total, later.calls_month), (1, 0));
    assert_eq!(
        (later.cost_micros, later.price_micros, later.held_micros),
        (0, 0, 50)
    );
}

pub async fn of_many_who_settle_at_once_one_does(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let call = reservation(&world, &scope, "CA1", at(0)).await.call;
    let many = (0..6).map(|turn| settle(&world, &scope, call, turn % 2 == 0, 30));
    let settled = join_all(many).await;
    assert_eq!(settled.iter().filter(|settled| **settled).count(), 1);
    let used = used(&world, &scope, at(0)).await;
    assert_eq!(used.running, 0);
    assert_eq!(used.seconds_month, used.calls_total * 30);
}

pub async fn of_many_who_are_admitted_at_once_no_more_than_the_limit_are(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let admit = async |turn: u32| {
        let mut tx = world.begin(&scope).await;
        let used = used_in(&mut *tx, at(0)).await;
        if used.calls_week >= 5 {
            return false;
        }
        let call = world.new_call(&format!("CA{turn}"), at(0));
        assert!(tx.calls().add(&call, &incoming()).await.must());
        assert!(tx.usage().reserve(&reservation_of(call.id, at(0))).await.must());
        tx.commit().await.must();
        true
    };
    let admitted = join_all((0..12).map(admit)).await;
    assert_eq!(admitted.iter().filter(|admitted| **admitted).count(), 5);
    assert_eq!(used(&world, &scope, at(0)).await.running, 5);
}

pub async fn what_a_tenant_holds_is_counted_with_what_it_is_getting(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let stranger = world.tenant("globex").await;
    world.number(&stranger, 1).await;
    let (kept, mut released) = (world.number(&scope, 2).await, world.number(&scope, 3).await);
    let (agent, deleted) = (world.agent(&scope, "Ada").await, world.agent(&scope, "Bob").await);
    let mut tx = world.begin(&scope).await;
    released.status = NumberStatus::Released;
    tx.numbers().update(&released).await.must();
    tx.agents().delete(deleted.spec.id).await.must();
    let holds = |numbers, agents| Holdings { numbers, agents };
    assert_eq!(tx.usage().holdings().await.must(), holds(1, 1));
    // Two are being bought, of which one is chosen; a third purchase came to nothing.
    let saga = |status| {
        let id = crate::id::SagaId::generate(world.ids());
        let mut saga = SagaRecord::new(id, "number.provision", serde_json::json!({}), at(0));
        saga.status = status;
        saga
    };
    let chosen = saga(SagaStatus::Running);
    let mut number = world.new_number(4);
    number.status = NumberStatus::Pending;
    number.saga = Some(chosen.id);
    tx.numbers().add(&number).await.must();
    for saga in [chosen, saga(SagaStatus::Running), saga(SagaStatus::Undone)] {
        tx.sagas().add(&saga).await.must();
    }
    assert_eq!(
        tx.usage().holdings().await.must(),
        holds(3, 1),
        "{} {}",
        kept.id,
        agent.spec.id
    );
}
