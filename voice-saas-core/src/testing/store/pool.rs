//! The operator's numbers, and who contacted whom from those that are shared.

use std::collections::BTreeSet;

use super::world::{Must, World, at, e164, refused, walk};
use crate::{
    id::{JobId, PoolNumberId, SagaId},
    money::{Currency, Money},
    number::{
        Lending, NumberStatus, Ownership, PoolFilter, PoolNumber, PoolStatus, SharedContact, Sharing, Wish,
    },
    phone::Country,
    provider::telephony::{NumberCapabilities, NumberKind, ProviderNumberId},
    reconcile::ResourceKind,
    scope::TenantScope,
    store::{Store, StoreErrorKind},
};

/// A number that nobody has written down yet, free since this many seconds.
fn free(world: &World<'_>, ending: u16, since: i64) -> PoolNumber {
    let (id, fill) = (PoolNumberId::generate(world.ids()), JobId::generate(world.ids()));
    let (country, kind) = (Country::US, NumberKind::Local);
    let mut number = PoolNumber::buying(id, e164(ending), "twilio", country, kind, fill, at(0));
    number.status = PoolStatus::Free;
    number.provider_id = Some(ProviderNumberId::new(format!("PN{ending}")));
    number.provisioned_at = Some(at(0));
    number.unused_since = at(since);
    number
}

async fn add(world: &World<'_>, number: &PoolNumber) {
    let mut tx = world.system().await;
    tx.number_pool().add(number).await.must();
    tx.commit().await.must();
}

fn wish(prefix: &str) -> Wish {
    Wish {
        provider: "twilio".to_owned(),
        country: Country::US,
        kind: NumberKind::Local,
        prefix: prefix.to_owned(),
    }
}

fn lending(world: &World<'_>, scope: &TenantScope) -> Lending {
    Lending {
        tenant: scope.tenant_id(),
        saga: SagaId::generate(world.ids()),
        since: at(5),
    }
}

pub async fn a_number_of_the_pool_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut number = free(&world, 142, 3).with_sharing(Sharing::Shared);
    number.capabilities = NumberCapabilities {
        voice: true,
        sms: true,
        mms: false,
    };
    number.monthly_cost = Some(Money::from_micros(1_150_000, Currency::USD));
    number.free_at = Some(at(9));
    add(&world, &number).await;
    let mut tx = world.system().await;
    assert_eq!(tx.number_pool().find(number.id).await.must(), number);
    number.status = PoolStatus::Lent;
    number.lending = Some(lending(&world, &scope));
    (number.free_at, number.retired_at) = (None, Some(at(11)));
    tx.number_pool().update(&mut number).await.must();
    assert_eq!(number.version, 1);
    assert_eq!(tx.number_pool().find(number.id).await.must(), number);
    tx.commit().await.must();
}

pub async fn a_number_is_in_the_pool_once_until_it_is_retired(store: &dyn Store) {
    let world = World::new(store);
    let mut first = free(&world, 142, 0);
    add(&world, &first).await;
    let second = free(&world, 142, 0);
    let mut tx = world.system().await;
    let kind = refused(tx.number_pool().add(&second).await);
    assert_eq!(kind, StoreErrorKind::Conflict);
    drop(tx);
    first.status = PoolStatus::Retired;
    first.retired_at = Some(at(7));
    let mut tx = world.system().await;
    tx.number_pool().update(&mut first).await.must();
    tx.number_pool().add(&second).await.must();
    let numbers = [e164(142), e164(143)];
    for (since, ids) in [(8, vec![second.id]), (7, vec![first.id, second.id])] {
        let found = tx
            .number_pool()
            .numbers("twilio", &numbers, at(since))
            .await
            .must();
        let mut found: Vec<_> = found.iter().map(|number| number.id).collect();
        found.sort();
        assert_eq!(found, ids);
    }
    let elsewhere = tx.number_pool().numbers("telnyx", &numbers, at(0)).await.must();
    assert_eq!(elsewhere, []);
    tx.commit().await.must();
}

pub async fn who_read_an_old_version_of_a_pools_number_writes_in_vain(store: &dyn Store) {
    let world = World::new(store);
    let mut number = free(&world, 142, 0);
    add(&world, &number).await;
    let mut old = number.clone();
    let mut tx = world.system().await;
    tx.number_pool().update(&mut number).await.must();
    assert_eq!(
        refused(tx.number_pool().update(&mut old).await),
        StoreErrorKind::Stale
    );
    let mut unknown = free(&world, 143, 0);
    assert_eq!(
        refused(tx.number_pool().update(&mut unknown).await),
        StoreErrorKind::NotFound
    );
}

pub async fn the_longest_unused_number_that_fits_is_lent_first(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (younger, older) = (free(&world, 142, 2), free(&world, 143, 1));
    let mut shared = free(&world, 144, 0);
    shared.sharing = Sharing::Shared;
    let mut buying = free(&world, 145, 0);
    buying.status = PoolStatus::Buying;
    let mut elsewhere = free(&world, 146, 0);
    "telnyx".clone_into(&mut elsewhere.provider);
    let mut toll_free = free(&world, 147, 0);
    toll_free.kind = NumberKind::TollFree;
    for number in [&younger, &older, &shared, &buying, &elsewhere, &toll_free] {
        add(&world, number).await;
    }
    let mut tx = world.system().await;
    let pool = tx.number_pool();
    for prefix in ["+1646", "+12125550999"] {
        let lent = pool.lend(&wish(prefix), lending(&world, &scope)).await;
        assert_eq!(lent.must(), None, "{prefix}");
    }
    let exact = wish(e164(142).as_str());
    for (wish, expected) in [
        (wish("+1212"), Some(older.id)),
        (exact, Some(younger.id)),
        (wish("+1"), None),
    ] {
        let to = lending(&world, &scope);
        let lent = pool.lend(&wish, to).await.must();
        assert_eq!(lent.as_ref().map(|number| number.id), expected);
        if let Some(lent) = lent {
            assert_eq!((lent.status, lent.lending), (PoolStatus::Lent, Some(to)));
            assert_eq!(pool.lent_by(to.tenant, to.saga).await.must(), Some(lent));
        }
    }
    let nothing = lending(&world, &scope);
    assert_eq!(pool.lent_by(nothing.tenant, nothing.saga).await.must(), None);
    tx.commit().await.must();
}

pub async fn of_many_who_want_a_number_of_the_pool_at_once_each_gets_another(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    for ending in 142..145 {
        add(&world, &free(&world, ending, 0)).await;
    }
    let asked = (0..6).map(|_| async {
        let mut tx = world.system().await;
        let lent = tx
            .number_pool()
            .lend(&wish("+1"), lending(&world, &scope))
            .await
            .must();
        tx.commit().await.must();
        lent.map(|number| number.id)
    });
    let lent: Vec<_> = futures_util::future::join_all(asked)
        .await
        .into_iter()
        .flatten()
        .collect();
    let distinct: BTreeSet<_> = lent.iter().collect();
    assert_eq!(distinct.len(), lent.len(), "{lent:?}");
    // Who came while another held the row got none, and asks again.
    let mut tx = world.system().await;
    let filter = PoolFilter {
        status: Some(PoolStatus::Free),
    };
    let remaining = walk!(page => tx.number_pool().list(filter, page).await.must());
    assert_eq!(remaining.len() + lent.len(), 3);
}

pub async fn a_quarantine_ends_when_its_time_has_come(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut number = free(&world, 142, 0);
    (number.status, number.free_at) = (PoolStatus::Quarantined, Some(at(10)));
    add(&world, &number).await;
    let mut tx = world.system().await;
    let pool = tx.number_pool();
    assert_eq!(pool.end_quarantines(at(9)).await.must(), 0);
    let to = lending(&world, &scope);
    assert_eq!(pool.lend(&wish("+1"), to).await.must(), None);
    assert_eq!(pool.end_quarantines(at(10)).await.must(), 1);
    let freed = pool.find(number.id).await.must();
    assert_eq!((freed.status, freed.free_at), (PoolStatus::Free, None));
    let lent = pool.lend(&wish("+1"), to).await.must();
    assert_eq!(lent.map(|number| number.id), Some(number.id));
    // A reader of the quarantined row writes in vain.
    let stale = refused(pool.update(&mut number).await);
    assert_eq!(stale, StoreErrorKind::Stale);
}

pub async fn the_pool_is_listed_newest_first_without_the_retired_and_by_fill(store: &dyn Store) {
    let world = World::new(store);
    let mut ids = Vec::new();
    let fill = JobId::generate(world.ids());
    for (ending, status) in [
        (142, PoolStatus::Free),
        (143, PoolStatus::Retired),
        (144, PoolStatus::Buying),
        (145, PoolStatus::Free),
    ] {
        let mut number = free(&world, ending, 0);
        (number.status, number.created_at, number.fill) = (status, at(i64::from(ending)), fill);
        add(&world, &number).await;
        ids.push(number.id);
    }
    let mut tx = world.system().await;
    for (status, expected) in [
        (None, vec![ids[3], ids[2], ids[0]]),
        (Some(PoolStatus::Free), vec![ids[3], ids[0]]),
        (Some(PoolStatus::Retired), vec![ids[1]]),
    ] {
        let filter = PoolFilter { status };
        let listed = walk!(page => tx.number_pool().list(filter, page).await.must());
        let listed: Vec<_> = listed.iter().map(|number| number.id).collect();
        assert_eq!(listed, expected);
    }
    let bought = tx.number_pool().of_fill(fill).await.must();
    let bought: Vec<_> = bought.iter().map(|number| number.id).collect();
    assert_eq!(bought, ids);
    let other = JobId::generate(world.ids());
    assert_eq!(tx.number_pool().of_fill(other).await.must(), []);
}

pub async fn numbers_of_the_pool_that_a_run_did_not_see_are_found_in_order(store: &dyn Store) {
    let world = World::new(store);
    let mut expected = Vec::new();
    for (ending, status, since) in [
        (142, PoolStatus::Free, 0),
        (143, PoolStatus::Quarantined, 0),
        (144, PoolStatus::Lent, 0),
        (145, PoolStatus::Retired, 0),
        (146, PoolStatus::Free, 20),
        (147, PoolStatus::Free, 0),
    ] {
        let mut number = free(&world, ending, 0);
        (number.status, number.provisioned_at) = (status, Some(at(since)));
        add(&world, &number).await;
        if ending < 144 {
            expected.push(number.id);
        }
    }
    let run = JobId::generate(world.ids());
    let mut tx = world.system().await;
    tx.reconciliation()
        .mark_seen(run, "twilio", ResourceKind::Number, &["PN147".to_owned()])
        .await
        .must();
    for (after, limit, ids) in [
        (None, 9, expected.clone()),
        (None, 1, vec![expected[0]]),
        (Some(expected[0]), 9, vec![expected[1]]),
    ] {
        let unseen = tx
            .number_pool()
            .unseen(run, "twilio", at(10), after, limit)
            .await
            .must();
        let unseen: Vec<_> = unseen.iter().map(|number| number.id).collect();
        assert_eq!(unseen, ids);
    }
}

pub async fn a_caller_of_a_shared_number_reaches_whoever_called_them_last(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let (ada, bob) = (world.agent(&acme, "Ada").await, world.agent(&globex, "Bob").await);
    let shared = free(&world, 142, 0).with_sharing(Sharing::Shared);
    add(&world, &shared).await;
    add(&world, &free(&world, 143, 0)).await;
    let contact = |number, scope: &TenantScope, agent, seconds| SharedContact {
        number: e164(number),
        peer: e164(200),
        tenant: scope.tenant_id(),
        agent,
        at: at(seconds),
    };
    let mut tx = world.system().await;
    let pool = tx.number_pool();
    let first = contact(142, &acme, ada.spec.id, 1);
    assert!(pool.record_contact(&first).await.must());
    let latest = contact(142, &globex, bob.spec.id, 3);
    assert!(pool.record_contact(&latest).await.must());
    // What happened before, and is told later, changes nothing.
    let late = contact(142, &acme, ada.spec.id, 2);
    assert!(pool.record_contact(&late).await.must());
    for ending in [143, 144] {
        let exclusive = contact(ending, &acme, ada.spec.id, 4);
        assert!(!pool.record_contact(&exclusive).await.must());
    }
    tx.commit().await.must();

    let mut tx = world.system().await;
    let pool = tx.number_pool();
    let route = pool.shared_route(&e164(142), &e164(200), at(3)).await.must();
    let route = route.expect("a route");
    assert_eq!(
        (route.tenant.id, route.agents),
        (globex.tenant_id(), vec![bob.clone()])
    );
    assert_eq!(
        (route.number.number, route.number.status, route.number.owned),
        (e164(142), NumberStatus::Active, Ownership::Pool)
    );
    for (number, peer, since) in [(142, 200, 4), (142, 201, 0), (143, 200, 0)] {
        let none = pool.shared_route(&e164(number), &e164(peer), at(since)).await;
        assert_eq!(none.must(), None);
    }
    assert_eq!(tx.route(&e164(142)).await.must(), None, "it is no tenant's own");
    drop(tx);

    let mut tx = world.begin(&globex).await;
    tx.agents().delete(bob.spec.id).await.must();
    tx.commit().await.must();
    let mut tx = world.system().await;
    let pool = tx.number_pool();
    let route = pool.shared_route(&e164(142), &e164(200), at(3)).await.must();
    assert_eq!(route.expect("a route").agents, []);
    assert_eq!(pool.forget_contacts(at(3)).await.must(), 0);
    assert_eq!(pool.forget_contacts(at(4)).await.must(), 1);
    let none = pool.shared_route(&e164(142), &e164(200), at(0)).await.must();
    assert_eq!(none, None);
}
