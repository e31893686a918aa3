//! The wall between tenants: each method of every repository, called by a stranger with the owner's ids.

use serde_json::json;

use super::{
    usage,
    world::{Must, World, at, hash, incoming, refused},
};
use crate::{
    auth::{ApiKey, ApiScope},
    call::{CallFilter, CallStatus},
    id::{ApiKeyId, EntryId, SagaId},
    idempotency::{KeyState, StoredAnswer},
    ledger::{Account, LedgerEntry, Subject},
    money::{Currency, Money},
    number::{NumberFilter, NumberStatus},
    page::PageRequest,
    plan::PlanId,
    provider::{telephony::ProviderCallId, voice_agent::ProviderAgentId},
    saga::{SagaRecord, SagaStatus},
    store::{Store, StoreErrorKind},
    usage::Used,
};

pub async fn a_stranger_cannot_reach_a_tenants_row_or_members(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let mut tx = world.begin(&owner).await;
    let (tenant, members) = (tx.tenant().get().await.must(), tx.tenant().members().await.must());
    drop(tx);
    let mut tx = world.begin(&stranger).await;
    let mut renamed = tenant.clone();
    renamed.name = "mine".into();
    assert_eq!(
        refused(tx.tenant().update(&renamed).await),
        StoreErrorKind::NotFound
    );
    assert_eq!(tx.tenant().get().await.must().id, stranger.tenant_id());
    assert_eq!(tx.tenant().role_of(members[0].user).await.must(), None);
    assert!(
        tx.tenant()
            .members()
            .await
            .must()
            .iter()
            .all(|member| member.user != members[0].user)
    );
    tx.commit().await.must();
    assert_eq!(world.begin(&owner).await.tenant().get().await.must(), tenant);
}

pub async fn a_stranger_cannot_reach_keys(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let id = ApiKeyId::generate(world.ids());
    let key = ApiKey::new(id, "CRM", "vs_1234", hash(1), vec![ApiScope::Admin], at(0));
    let mut tx = world.begin(&owner).await;
    tx.api_keys().add(&key).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&stranger).await;
    assert_eq!(
        refused(tx.api_keys().revoke(id, at(1)).await),
        StoreErrorKind::NotFound
    );
    assert_eq!(
        refused(tx.api_keys().touch(id, at(1)).await),
        StoreErrorKind::NotFound
    );
    assert_eq!(tx.api_keys().list().await.must(), []);
    tx.commit().await.must();
    assert_eq!(world.begin(&owner).await.api_keys().list().await.must(), [key]);
}

pub async fn a_stranger_cannot_reach_numbers(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let (mut number, agent) = (
        world.number(&owner, 142).await,
        world.agent(&owner, "Ada").await.spec.id,
    );
    let (mine, my_agent) = (
        world.number(&stranger, 143).await,
        world.agent(&stranger, "Bob").await.spec.id,
    );
    let mut tx = world.begin(&owner).await;
    tx.numbers().link(number.id, agent).await.must();
    tx.commit().await.must();
    number.agents = vec![agent];
    let mut tx = world.begin(&stranger).await;
    let mut released = number.clone();
    released.status = NumberStatus::Released;
    for refusal in [
        refused(tx.numbers().find(number.id).await),
        refused(tx.numbers().update(&released).await),
        refused(tx.numbers().link(number.id, my_agent).await),
        refused(tx.numbers().link(mine.id, agent).await),
    ] {
        assert_eq!(refusal, StoreErrorKind::NotFound);
    }
    tx.numbers().unlink(number.id, agent).await.must();
    let saga = number.saga.expect("it has one");
    assert_eq!(tx.numbers().find_by_saga(saga).await.must(), None);
    let all = tx
        .numbers()
        .list(NumberFilter::default(), PageRequest::default())
        .await
        .must();
    assert_eq!(all.data, [mine]);
    let of_agent = NumberFilter {
        status: None,
        agent: Some(agent),
    };
    assert_eq!(
        tx.numbers()
            .list(of_agent, PageRequest::default())
            .await
            .must()
            .data,
        []
    );
    tx.commit().await.must();
    assert_eq!(
        world.begin(&owner).await.numbers().find(number.id).await.must(),
        number
    );
}

pub async fn a_stranger_cannot_reach_agents(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let agent = world.agent(&owner, "Ada").await;
    let id = agent.spec.id;
    let object = ProviderAgentId::new("agent_1");
    let mut tx = world.begin(&stranger).await;
    for refusal in [
        refused(tx.agents().find(id).await),
        refused(tx.agents().version(id, 1).await),
        refused(tx.agents().save(&agent).await),
        refused(tx.agents().bind(id, Some(&object)).await),
        refused(tx.agents().delete(id).await),
    ] {
        assert_eq!(refusal, StoreErrorKind::NotFound);
    }
    assert_eq!(tx.agents().list(PageRequest::default()).await.must().data, []);
    tx.commit().await.must();
    assert_eq!(world.begin(&owner).await.agents().find(id).await.must(), agent);
}

pub async fn a_stranger_cannot_reach_calls(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let call = world.call(&owner, "CA1").await;
    let id = call.id;
    let mut tx = world.begin(&stranger).await;
    let mut ended = call.clone();
    ended.status = CallStatus::Completed;
    for refusal in [
        refused(tx.calls().find(id).await),
        refused(tx.calls().find_for_update(id).await),
        refused(tx.calls().update(&ended).await),
        refused(tx.calls().claim_media(id, at(1)).await),
        refused(tx.calls().append(id, at(1), &incoming()).await),
        refused(tx.calls().transcript(id).await),
    ] {
        assert_eq!(refusal, StoreErrorKind::NotFound);
    }
    let carriers = ProviderCallId::new("CA1");
    assert_eq!(
        tx.calls().find_by_provider_call("twilio", &carriers).await.must(),
        None
    );
    assert_eq!(tx.calls().events(id, 0, 10).await.must(), []);
    assert_eq!(
        tx.calls()
            .list(&CallFilter::default(), PageRequest::default())
            .await
            .must()
            .data,
        []
    );
    assert_eq!(
        refused(tx.calls().save_transcript(id, &[]).await),
        StoreErrorKind::NotFound
    );
    drop(tx);

    // What is the owner's cannot be named in the stranger's own rows either.
    let (number, agent) = (world.number(&owner, 142).await, world.agent(&owner, "Ada").await);
    let mut with_number = world.new_call("CA2", at(0));
    with_number.number = Some(number.id);
    let mut with_agent = world.new_call("CA3", at(0));
    with_agent.agent = Some((agent.spec.id, 1));
    for call in [with_number, with_agent] {
        let added = world.begin(&stranger).await.calls().add(&call, &incoming()).await;
        assert_eq!(refused(added), StoreErrorKind::NotFound);
    }
    let mut tx = world.begin(&owner).await;
    assert_eq!(tx.calls().find(id).await.must(), call);
    assert_eq!(tx.calls().events(id, 0, 10).await.must().len(), 1);
    assert!(!tx.calls().transcript(id).await.must().complete);
}

pub async fn a_stranger_cannot_reach_the_ledger(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let call = world.call(&owner, "CA1").await.id;
    let entry = LedgerEntry {
        id: EntryId::generate(world.ids()),
        subject: Subject::Call(call),
        account: Account::Cost,
        kind: "agent".to_owned(),
        provider: "elevenlabs".to_owned(),
        quantity: 1,
        unit: "minute".to_owned(),
        amount: Money::from_micros(80_000, Currency::USD),
        rating_version: "v1".to_owned(),
        at: at(0),
    };
    let mut tx = world.begin(&owner).await;
    assert!(tx.ledger().add(&entry).await.must());
    tx.commit().await.must();
    let mut tx = world.begin(&stranger).await;
    assert_eq!(tx.ledger().of_call(call).await.must(), []);
    assert_eq!(tx.ledger().list(PageRequest::default()).await.must().data, []);
    assert_eq!(tx.ledger().balances(None).await.must(), []);
    assert_eq!(refused(tx.ledger().add(&entry).await), StoreErrorKind::NotFound);
    drop(tx);
    assert_eq!(
        world.begin(&owner).await.ledger().of_call(call).await.must(),
        [entry]
    );
}

pub async fn a_stranger_cannot_reach_what_a_tenant_may_use_and_used(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let reservation = usage::reservation(&world, &owner, "CA1", at(0)).await;
    let mut tx = world.begin(&owner).await;
    let mut mine = tx.entitlements().get().await.must();
    mine.plan = PlanId::new("of_the_owner");
    let mine = tx.entitlements().save(&mine).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&stranger).await;
    assert_ne!(tx.entitlements().get().await.must().plan, mine.plan);
    assert_eq!(tx.usage().reservation(reservation.call).await.must(), None);
    assert_eq!(tx.usage().settle(reservation.call, true, 60).await.must(), None);
    assert_eq!(
        refused(tx.usage().reserve(&reservation).await),
        StoreErrorKind::NotFound
    );
    drop(tx);
    assert_eq!(usage::used(&world, &stranger, at(0)).await, Used::default());
    let used = usage::used(&world, &owner, at(0)).await;
    assert_eq!((used.calls_total, used.running, used.seconds_month), (1, 1, 0));
    assert_eq!(world.begin(&owner).await.entitlements().get().await.must(), mine);
}

pub async fn a_stranger_cannot_reach_sagas(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let saga = SagaRecord::new(
        SagaId::generate(world.ids()),
        "provision_number",
        json!({}),
        at(0),
    );
    let mut tx = world.begin(&owner).await;
    tx.sagas().add(&saga).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&stranger).await;
    let mut stuck = saga.clone();
    stuck.status = SagaStatus::Stuck;
    assert_eq!(refused(tx.sagas().find(saga.id).await), StoreErrorKind::NotFound);
    assert_eq!(
        refused(tx.sagas().save(&mut stuck).await),
        StoreErrorKind::NotFound
    );
    tx.commit().await.must();
    assert_eq!(world.begin(&owner).await.sagas().find(saga.id).await.must(), saga);
}

pub async fn a_stranger_cannot_reach_idempotency_keys(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let answer = StoredAnswer {
        status: 200,
        body: b"{}".to_vec(),
    };
    let mut tx = world.begin(&owner).await;
    assert_eq!(
        tx.idempotency()
            .begin("r", "k", &[1; 32], at(0), at(-60))
            .await
            .must(),
        KeyState::Fresh
    );
    tx.commit().await.must();
    let mut tx = world.begin(&stranger).await;
    assert_eq!(
        refused(tx.idempotency().complete("r", "k", &answer).await),
        StoreErrorKind::NotFound
    );
    tx.idempotency().release("r", "k").await.must();
    assert_eq!(
        tx.idempotency()
            .begin("r", "k", &[2; 32], at(0), at(-60))
            .await
            .must(),
        KeyState::Fresh
    );
    tx.commit().await.must();
    let mut tx = world.begin(&owner).await;
    assert_eq!(
        tx.idempotency()
            .begin("r", "k", &[1; 32], at(1), at(-59))
            .await
            .must(),
        KeyState::InFlight
    );
}
