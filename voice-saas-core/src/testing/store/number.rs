//! Numbers.

use futures_util::future::join_all;

use super::world::{Must, World, at, e164, refused, walk};
use crate::{
    id::{AgentId, NumberId, SagaId},
    money::{Currency, Money},
    number::{NumberFilter, NumberStatus, Ownership},
    page::PageRequest,
    provider::telephony::{NumberCapabilities, ProviderNumberId, ProviderSubaccountId},
    store::{Store, StoreErrorKind},
};

pub async fn a_number_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut number = world.number(&scope, 142).await;
    let mut tx = world.begin(&scope).await;
    assert_eq!(tx.numbers().find(number.id).await.must(), number);
    number.number = e164(143);
    number.provider = "knowlarity".into();
    number.account = Some(ProviderSubaccountId::new("AC1"));
    number.provider_id = Some(ProviderNumberId::new("PN1"));
    number.friendly_name = "Front desk".into();
    number.capabilities = NumberCapabilities {
        voice: true,
        sms: false,
        mms: true,
    };
    number.status = NumberStatus::Inactive;
    number.country = "CA".parse().expect("a country");
    number.monthly_cost = Some(Money::from_micros(1_150_000, Currency::USD));
    number.saga = None;
    number.provisioned_at = Some(at(1));
    number.owned = Ownership::Imported;
    number.release_at = Some(at(2));
    number.released_at = Some(at(3));
    tx.numbers().update(&number).await.must();
    tx.commit().await.must();
    assert_eq!(
        world.begin(&scope).await.numbers().find(number.id).await.must(),
        number
    );
    let unknown = world.new_number(144);
    let updated = world.begin(&scope).await.numbers().update(&unknown).await;
    assert_eq!(refused(updated), StoreErrorKind::NotFound);
}

pub async fn a_held_number_is_nobody_elses(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    world.number(&acme, 142).await;
    for scope in [&acme, &globex] {
        let added = world
            .begin(scope)
            .await
            .numbers()
            .add(&world.new_number(142))
            .await;
        assert_eq!(refused(added), StoreErrorKind::Conflict);
    }
}

pub async fn a_released_number_can_be_held_again(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let mut number = world.number(&acme, 142).await;
    number.status = NumberStatus::Released;
    let mut tx = world.begin(&acme).await;
    tx.numbers().update(&number).await.must();
    tx.commit().await.must();
    let again = world.number(&globex, 142).await;
    let route = world
        .system()
        .await
        .route(&e164(142))
        .await
        .must()
        .expect("a route");
    assert_eq!((route.tenant.id, route.number.id), (globex.tenant_id(), again.id));
    assert_eq!(
        world.begin(&acme).await.numbers().find(number.id).await.must(),
        number
    );
}

pub async fn of_many_who_reach_for_a_number_at_once_one_gets_it(store: &dyn Store) {
    let world = World::new(store);
    let mut scopes = Vec::new();
    for name in ["acme", "globex", "initech", "umbrella", "hooli"] {
        scopes.push(world.tenant(name).await);
    }
    let outcomes = join_all(scopes.iter().map(|scope| {
        let (world, number) = (&world, world.new_number(142));
        async move {
            let mut tx = world.begin(scope).await;
            tx.numbers().add(&number).await.map_err(|error| error.kind())?;
            tx.commit().await.map_err(|error| error.kind())
        }
    }))
    .await;
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        1,
        "{outcomes:?}"
    );
    let lost = |outcome: &Result<(), _>| outcome.is_ok() || *outcome == Err(StoreErrorKind::Conflict);
    assert!(outcomes.iter().all(lost), "{outcomes:?}");
}

pub async fn a_number_cannot_become_one_that_is_held(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    world.number(&acme, 142).await;
    let mut number = world.number(&globex, 143).await;
    number.number = e164(142);
    let updated = world.begin(&globex).await.numbers().update(&number).await;
    assert_eq!(refused(updated), StoreErrorKind::Conflict);
}

pub async fn a_number_is_found_by_its_saga(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let number = world.number(&scope, 142).await;
    let saga = number.saga.expect("it has one");
    let mut tx = world.begin(&scope).await;
    assert_eq!(tx.numbers().find_by_saga(saga).await.must(), Some(number));
    assert_eq!(
        tx.numbers()
            .find_by_saga(SagaId::generate(world.ids()))
            .await
            .must(),
        None
    );
}

pub async fn numbers_are_listed_by_status_and_agent(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (ada, bob) = (
        world.agent(&scope, "Ada").await.spec.id,
        world.agent(&scope, "Bob").await.spec.id,
    );
    let mut tx = world.begin(&scope).await;
    for (ending, status) in [
        (1, NumberStatus::Active),
        (2, NumberStatus::Pending),
        (3, NumberStatus::Released),
        (4, NumberStatus::Active),
    ] {
        let mut number = world.new_number(ending);
        (number.status, number.created_at) = (status, at(i64::from(ending)));
        tx.numbers().add(&number).await.must();
        tx.numbers().link(number.id, bob).await.must();
        if ending > 2 {
            tx.numbers().link(number.id, ada).await.must();
        }
    }
    for (status, agent, expected) in [
        (None, None, &[4, 2, 1][..]),
        (Some(NumberStatus::Active), None, &[4, 1]),
        (Some(NumberStatus::Released), None, &[3]),
        (None, Some(ada), &[4]),
        (Some(NumberStatus::Released), Some(ada), &[3]),
        (Some(NumberStatus::Inactive), Some(ada), &[]),
    ] {
        let filter = NumberFilter { status, agent };
        let page = tx.numbers().list(filter, PageRequest::default()).await.must();
        let expected: Vec<_> = expected.iter().map(|ending| e164(*ending)).collect();
        assert_eq!(
            page.data
                .iter()
                .map(|number| number.number.clone())
                .collect::<Vec<_>>(),
            expected,
            "{filter:?}"
        );
        assert_eq!(page.next, None);
    }
    let all = tx
        .numbers()
        .list(NumberFilter::default(), PageRequest::default())
        .await
        .must();
    assert_eq!(
        all.data
            .iter()
            .map(|number| number.agents.as_slice())
            .collect::<Vec<_>>(),
        [&[bob, ada][..], &[bob], &[bob]]
    );
}

pub async fn pages_of_numbers_hold_each_number_once(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let agents = [
        world.agent(&scope, "Ada").await.spec.id,
        world.agent(&scope, "Bob").await.spec.id,
    ];
    let mut tx = world.begin(&scope).await;
    let mut expected = Vec::new();
    for ending in 0..5 {
        // Two were made in the same microsecond: their ids decide.
        let mut number = world.new_number(ending);
        number.created_at = at(i64::from(ending / 2));
        number.agents = agents.to_vec();
        tx.numbers().add(&number).await.must();
        for agent in agents {
            tx.numbers().link(number.id, agent).await.must();
        }
        expected.insert(0, number);
    }
    assert_eq!(
        walk!(page => tx.numbers().list(NumberFilter::default(), page).await.must()),
        expected
    );
}

pub async fn agents_answer_in_the_order_in_which_they_were_linked(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let number = world.number(&scope, 142).await.id;
    let mut agents = Vec::new();
    for name in ["Ada", "Bob", "Cid"] {
        agents.push(world.agent(&scope, name).await.spec.id);
    }
    let (ada, bob, cid) = (agents[0], agents[1], agents[2]);
    let mut tx = world.begin(&scope).await;
    for agent in [cid, ada, bob, cid] {
        tx.numbers().link(number, agent).await.must();
    }
    assert_eq!(tx.numbers().find(number).await.must().agents, [cid, ada, bob]);
    for agent in [cid, cid] {
        tx.numbers().unlink(number, agent).await.must();
    }
    tx.numbers().link(number, cid).await.must();
    assert_eq!(tx.numbers().find(number).await.must().agents, [ada, bob, cid]);
}

pub async fn agents_that_are_linked_at_once_all_answer(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let number = world.number(&scope, 142).await.id;
    let mut agents = Vec::new();
    for name in ["Ada", "Bob", "Cid", "Dan"] {
        agents.push(world.agent(&scope, name).await.spec.id);
    }
    join_all(agents.iter().map(|agent| {
        let (world, scope) = (&world, &scope);
        async move {
            let mut tx = world.begin(scope).await;
            tx.numbers().link(number, *agent).await.must();
            tx.commit().await.must();
        }
    }))
    .await;
    let mut linked = world
        .begin(&scope)
        .await
        .numbers()
        .find(number)
        .await
        .must()
        .agents;
    linked.sort();
    assert_eq!(linked, agents);
}

pub async fn a_link_needs_both_its_ends(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (number, agent) = (
        world.number(&scope, 142).await.id,
        world.agent(&scope, "Ada").await.spec.id,
    );
    let (no_number, no_agent) = (NumberId::generate(world.ids()), AgentId::generate(world.ids()));
    for (number, agent) in [(number, no_agent), (no_number, agent)] {
        let linked = world.begin(&scope).await.numbers().link(number, agent).await;
        assert_eq!(refused(linked), StoreErrorKind::NotFound);
    }
}

pub async fn a_number_that_waits_for_documents_is_nobodys(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let mut waiting = world.number(&acme, 142).await;
    waiting.status = NumberStatus::WaitingForDocuments;
    let mut tx = world.begin(&acme).await;
    tx.numbers().update(&waiting).await.must();
    tx.commit().await.must();
    assert_eq!(world.system().await.route(&e164(142)).await.must(), None);
    let bought = world.number(&globex, 142).await;
    let route = world.system().await.route(&e164(142)).await.must();
    assert_eq!(route.expect("a route").number.id, bought.id);
    waiting.status = NumberStatus::Pending;
    let updated = world.begin(&acme).await.numbers().update(&waiting).await;
    assert_eq!(refused(updated), StoreErrorKind::Conflict);
}

pub async fn of_the_numbers_that_wait_the_newest_is_found(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let mut tx = world.begin(&acme).await;
    assert_eq!(tx.numbers().find_waiting(&e164(142)).await.must(), None);
    let mut newest = None;
    for seconds in [0, 1] {
        let mut number = world.new_number(142);
        (number.status, number.created_at) = (NumberStatus::WaitingForDocuments, at(seconds));
        tx.numbers().add(&number).await.must();
        newest = Some(number);
    }
    tx.numbers().add(&world.new_number(143)).await.must();
    assert_eq!(tx.numbers().find_waiting(&e164(142)).await.must(), newest);
    assert_eq!(tx.numbers().find_waiting(&e164(143)).await.must(), None);
    tx.commit().await.must();
    let found = world
        .begin(&globex)
        .await
        .numbers()
        .find_waiting(&e164(142))
        .await;
    assert_eq!(found.must(), None);
}
