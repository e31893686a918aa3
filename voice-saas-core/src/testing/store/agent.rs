//! Agents.

use futures_util::future::join_all;
use serde_json::json;

use super::world::{Must, World, at, incoming, refused, walk};
use crate::{
    id::AgentId,
    page::PageRequest,
    provider::voice_agent::{AgentSpec, Binding, ProviderAgentId},
    store::{Store, StoreErrorKind},
};

pub async fn an_agent_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut agent = world.new_agent("Ada");
    agent.spec = AgentSpec::new(
        agent.spec.id,
        "Ada",
        "You are {{role}}.\n\"Quote\" and \u{1f4de}.",
    )
    .with_first_message("Hello")
    .with_language("de")
    .with_voice(Some("voice-1".to_owned()))
    .with_binding(Binding::Dedicated)
    .with_variables([("role".to_owned(), json!({ "name": "Ada", "age": 36.5 }))].into());
    agent.active = false;
    agent.tone = Some("warm".to_owned());
    agent.provider_agent = Some(ProviderAgentId::new("agent_1"));
    let mut tx = world.begin(&scope).await;
    tx.agents().add(&agent).await.must();
    assert_eq!(tx.agents().find(agent.spec.id).await.must(), agent);
    assert_eq!(tx.agents().version(agent.spec.id, 1).await.must(), agent);
    let unknown = AgentId::generate(world.ids());
    assert_eq!(refused(tx.agents().find(unknown).await), StoreErrorKind::NotFound);
    assert_eq!(
        refused(tx.agents().version(agent.spec.id, 2).await),
        StoreErrorKind::NotFound
    );
}

pub async fn an_edit_makes_the_next_version_and_keeps_the_last(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let first = world.agent(&scope, "Ada").await;
    let mut edited = first.clone();
    edited.spec.name = "Ada II".into();
    edited.active = false;
    edited.tone = Some("brisk".to_owned());
    edited.updated_at = at(5);
    let mut tx = world.begin(&scope).await;
    let saved = tx.agents().save(&edited).await.must();
    edited.version = 2;
    assert_eq!(saved, edited);
    assert_eq!(tx.agents().find(first.spec.id).await.must(), edited);
    assert_eq!(tx.agents().version(first.spec.id, 1).await.must(), first);
    assert_eq!(tx.agents().version(first.spec.id, 2).await.must(), edited);
}

pub async fn an_edit_of_an_old_version_is_stale(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let agent = world.agent(&scope, "Ada").await;
    let mut tx = world.begin(&scope).await;
    tx.agents().save(&agent).await.must();
    assert_eq!(refused(tx.agents().save(&agent).await), StoreErrorKind::Stale);
    let unknown = world.new_agent("Bob");
    assert_eq!(
        refused(tx.agents().save(&unknown).await),
        StoreErrorKind::NotFound
    );
}

pub async fn of_two_edits_at_once_one_is_stale(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let agent = world.agent(&scope, "Ada").await;
    let outcomes = join_all((0..2).map(|_| {
        let (world, scope, agent) = (&world, &scope, &agent);
        async move {
            let mut tx = world.begin(scope).await;
            tx.agents().save(agent).await.map_err(|error| error.kind())?;
            tx.commit().await.map_err(|error| error.kind())
        }
    }))
    .await;
    assert!(
        outcomes.contains(&Ok(())) && outcomes.contains(&Err(StoreErrorKind::Stale)),
        "{outcomes:?}"
    );
}

pub async fn binding_an_agent_makes_no_version(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut agent = world.agent(&scope, "Ada").await;
    let object = ProviderAgentId::new("agent_1");
    let mut tx = world.begin(&scope).await;
    tx.agents().bind(agent.spec.id, Some(&object)).await.must();
    agent.provider_agent = Some(object);
    assert_eq!(tx.agents().find(agent.spec.id).await.must(), agent);
    tx.agents().bind(agent.spec.id, None).await.must();
    agent.provider_agent = None;
    assert_eq!(tx.agents().find(agent.spec.id).await.must(), agent);
    let unknown = AgentId::generate(world.ids());
    assert_eq!(
        refused(tx.agents().bind(unknown, None).await),
        StoreErrorKind::NotFound
    );
}

pub async fn a_deleted_agent_answers_nothing_and_its_versions_stay(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (ada, bob) = (world.agent(&scope, "Ada").await, world.agent(&scope, "Bob").await);
    let (id, number) = (ada.spec.id, world.number(&scope, 142).await);
    let mut call = world.new_call("CA1", at(0));
    call.agent = Some((id, 1));
    let mut tx = world.begin(&scope).await;
    tx.numbers().link(number.id, id).await.must();
    tx.numbers().link(number.id, bob.spec.id).await.must();
    assert!(tx.calls().add(&call, &incoming()).await.must());
    tx.agents().delete(id).await.must();
    tx.commit().await.must();

    let mut tx = world.begin(&scope).await;
    assert_eq!(refused(tx.agents().find(id).await), StoreErrorKind::NotFound);
    let left = tx.agents().list(PageRequest::default()).await.must().data;
    assert_eq!(
        left.iter().map(|agent| agent.spec.id).collect::<Vec<_>>(),
        [bob.spec.id]
    );
    assert_eq!(tx.numbers().find(number.id).await.must().agents, [bob.spec.id]);
    assert_eq!(tx.calls().find(call.id).await.must().agent, Some((id, 1)));
    assert_eq!(tx.agents().version(id, 1).await.must(), ada);
    for refusal in [
        refused(tx.agents().delete(id).await),
        refused(tx.agents().bind(id, None).await),
        refused(tx.agents().save(&ada).await),
        refused(tx.numbers().link(number.id, id).await),
    ] {
        assert_eq!(refusal, StoreErrorKind::NotFound);
    }
}

pub async fn pages_of_agents_hold_each_agent_once(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut tx = world.begin(&scope).await;
    let mut expected = Vec::new();
    for count in 0..5 {
        let mut agent = world.new_agent("Ada");
        (agent.created_at, agent.updated_at) = (at(count / 2), at(count / 2));
        tx.agents().add(&agent).await.must();
        expected.insert(0, agent);
    }
    assert_eq!(walk!(page => tx.agents().list(page).await.must()), expected);
}
