//! Findings, and the look-ups of reconciliation.

use super::world::{Must, World, at, e164, refused, walk};
use crate::{
    id::{AgentId, FindingId, JobId, SagaId, TrunkId},
    number::NumberStatus,
    provider::{telephony::ProviderNumberId, voice_agent::ProviderAgentId},
    reconcile::{
        Classification, Finding, FindingFilter, FindingState, KnownAgent, KnownSaga, KnownTrunk, Observation,
        Resolution, ResourceKind,
    },
    saga::{SagaRecord, SagaStatus},
    store::{Store, StoreErrorKind},
    trunk::{SealedPassword, Trunk, TrunkStatus},
};

use crate::money::{Currency, Money};

fn observation(id: &str, classification: Classification) -> Observation {
    Observation::new("twilio", ResourceKind::Number, id, classification, "+12125550142")
        .with_detail("nobody holds it")
        .with_terms(Some(at(-9)), Some(Money::from_micros(1_150_000, Currency::USD)))
}

async fn report(world: &World<'_>, seen: Observation, seconds: i64) -> Finding {
    let finding = Finding::new(FindingId::generate(world.ids()), seen, at(seconds));
    let mut tx = world.system().await;
    tx.reconciliation().report(&finding).await.must();
    tx.commit().await.must();
    finding
}

pub async fn a_finding_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let seen = observation("PN1", Classification::Drifted).of_tenant(Some(scope.tenant_id()));
    let finding = report(&world, seen, 1).await;
    let mut tx = world.system().await;
    assert_eq!(tx.reconciliation().finding(finding.id).await.must(), finding);
    let unknown = FindingId::generate(world.ids());
    let gone = refused(tx.reconciliation().finding(unknown).await);
    assert_eq!(gone, StoreErrorKind::NotFound);
}

pub async fn a_disagreement_is_one_finding_however_often_it_is_seen(store: &dyn Store) {
    let world = World::new(store);
    let first = report(&world, observation("PN1", Classification::Orphan), 1).await;
    let mut tx = world.system().await;
    let repo = tx.reconciliation();
    assert!(repo.resolve(first.id, Resolution::Released, at(2)).await.must());
    assert!(!repo.resolve(first.id, Resolution::Gone, at(3)).await.must());
    let settled = repo.finding(first.id).await.must();
    assert_eq!(
        (settled.state, settled.resolution, settled.resolved_at),
        (FindingState::Resolved, Some(Resolution::Released), Some(at(2)))
    );
    tx.commit().await.must();
    let anew = observation("PN1", Classification::Orphan).with_detail("it is there again");
    report(&world, anew.clone(), 4).await;
    report(&world, observation("PN1", Classification::Foreign), 5).await;
    let again = Finding {
        seen: anew,
        seen_at: at(4),
        ..first
    };
    let mut tx = world.system().await;
    assert_eq!(tx.reconciliation().finding(again.id).await.must(), again);
    let all = FindingFilter::default();
    let rows = walk!(page => tx.reconciliation().findings(&all, page).await.must());
    assert_eq!(rows.len(), 2);
}

pub async fn findings_are_listed_newest_first_by_every_filter(store: &dyn Store) {
    let world = World::new(store);
    let orphan = report(&world, observation("PN1", Classification::Orphan), 1).await;
    let foreign = report(&world, observation("PN2", Classification::Foreign), 2).await;
    let mut agent = observation("agent1", Classification::Orphan);
    (agent.provider, agent.kind) = ("elevenlabs".to_owned(), ResourceKind::Agent);
    let agent = report(&world, agent, 3).await;
    let mut tx = world.system().await;
    assert!(
        tx.reconciliation()
            .resolve(orphan.id, Resolution::Gone, at(4))
            .await
            .must()
    );
    let check = async |tx: &mut Box<dyn crate::store::SystemTx>, filter: FindingFilter, ids: &[FindingId]| {
        let rows = walk!(page => tx.reconciliation().findings(&filter, page).await.must());
        let found: Vec<_> = rows.iter().map(|row| row.id).collect();
        assert_eq!(found, ids, "{filter:?}");
    };
    let all = FindingFilter::default;
    check(&mut tx, all(), &[agent.id, foreign.id, orphan.id]).await;
    let state = Some(FindingState::Open);
    check(&mut tx, FindingFilter { state, ..all() }, &[agent.id, foreign.id]).await;
    let provider = Some("elevenlabs".to_owned());
    check(&mut tx, FindingFilter { provider, ..all() }, &[agent.id]).await;
    let kind = Some(ResourceKind::Number);
    check(&mut tx, FindingFilter { kind, ..all() }, &[foreign.id, orphan.id]).await;
    let classification = Some(Classification::Orphan);
    check(
        &mut tx,
        FindingFilter {
            classification,
            ..all()
        },
        &[agent.id, orphan.id],
    )
    .await;
}

pub async fn what_a_run_did_not_see_again_is_gone(store: &dyn Store) {
    let world = World::new(store);
    let old = report(&world, observation("PN1", Classification::Orphan), 1).await;
    let fresh = report(&world, observation("PN2", Classification::Orphan), 5).await;
    let mut tx = world.system().await;
    let repo = tx.reconciliation();
    let gone = repo
        .resolve_unseen("twilio", ResourceKind::Agent, at(5), at(6))
        .await
        .must();
    assert_eq!(gone, 0);
    let gone = repo
        .resolve_unseen("twilio", ResourceKind::Number, at(5), at(6))
        .await
        .must();
    assert_eq!(gone, 1);
    assert_eq!(
        repo.finding(old.id).await.must().resolution,
        Some(Resolution::Gone)
    );
    assert_eq!(repo.finding(fresh.id).await.must().state, FindingState::Open);
}

pub async fn numbers_of_a_page_are_looked_up_with_those_released_a_moment_ago(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let held = world.number(&acme, 142).await;
    let mut released = Vec::new();
    for (ending, seconds) in [(143, 10), (144, 20)] {
        let mut number = world.number(&globex, ending).await;
        number.status = NumberStatus::Released;
        number.released_at = Some(at(seconds));
        let mut tx = world.begin(&globex).await;
        tx.numbers().update(&number).await.must();
        tx.commit().await.must();
        released.push(number);
    }
    let wanted = [e164(142), e164(143), e164(144), e164(199)];
    let mut tx = world.system().await;
    let repo = tx.reconciliation();
    let mut rows = repo.numbers("twilio", &wanted, at(20)).await.must();
    rows.sort_by(|a, b| a.1.number.cmp(&b.1.number));
    let expected = [(acme.tenant_id(), held), (globex.tenant_id(), released.remove(1))];
    assert_eq!(rows, expected);
    assert!(repo.numbers("livekit", &wanted, at(0)).await.must().is_empty());
    assert!(repo.numbers("twilio", &[], at(0)).await.must().is_empty());
}

pub async fn active_numbers_that_a_run_did_not_see_are_found_in_order(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (run, other) = (JobId::generate(world.ids()), JobId::generate(world.ids()));
    let mut numbers = Vec::new();
    for ending in 140..146 {
        let mut number = world.new_number(ending);
        number.provider_id = Some(ProviderNumberId::new(format!("PN{ending}")));
        number.provisioned_at = Some(at(if ending == 145 { 9 } else { 1 }));
        if ending == 144 {
            number.status = NumberStatus::Inactive;
        }
        let mut tx = world.begin(&scope).await;
        tx.numbers().add(&number).await.must();
        tx.commit().await.must();
        numbers.push(number);
    }
    let mut tx = world.system().await;
    let repo = tx.reconciliation();
    let number = ResourceKind::Number;
    let seen = ["PN141".to_owned()];
    repo.mark_seen(run, "twilio", number, &seen).await.must();
    repo.mark_seen(run, "twilio", number, &seen).await.must();
    repo.mark_seen(run, "twilio", ResourceKind::Agent, &["PN140".to_owned()])
        .await
        .must();
    repo.mark_seen(other, "twilio", number, &["PN142".to_owned()])
        .await
        .must();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let rows = repo.unseen_numbers(run, "twilio", at(5), after, 2).await.must();
        after = rows.last().map(|(_, row)| row.id);
        found.extend(rows);
        if after.is_none() {
            break;
        }
    }
    let tenant = scope.tenant_id();
    let expected = [0, 2, 3].map(|place: usize| (tenant, numbers[place].clone()));
    assert_eq!(found, expected);
    repo.forget_seen(run).await.must();
    let rows = repo.unseen_numbers(run, "twilio", at(5), None, 10).await.must();
    assert_eq!(rows.len(), 4);
    let rows = repo.unseen_numbers(other, "twilio", at(5), None, 10).await.must();
    assert_eq!(rows.len(), 3);
}

pub async fn agents_are_looked_up_and_those_that_a_run_did_not_see_are_found(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut known = Vec::new();
    for (name, object, deleted) in [
        ("Ada", Some("obj1"), false),
        ("Bob", Some("obj2"), false),
        ("Cy", None, false),
        ("Di", Some("obj4"), true),
    ] {
        let agent = world.agent(&scope, name).await;
        let id = agent.spec.id;
        let object = object.map(ProviderAgentId::new);
        let mut tx = world.begin(&scope).await;
        tx.agents().bind(id, object.as_ref()).await.must();
        if deleted {
            tx.agents().delete(id).await.must();
        }
        tx.commit().await.must();
        known.push(KnownAgent {
            tenant: scope.tenant_id(),
            id,
            provider: agent.provider,
            object,
            deleted,
        });
    }
    let run = JobId::generate(world.ids());
    let mut ids: Vec<AgentId> = known.iter().map(|agent| agent.id).collect();
    ids.push(AgentId::generate(world.ids()));
    let mut tx = world.system().await;
    let repo = tx.reconciliation();
    let mut rows = repo.agents(&ids).await.must();
    rows.sort_by_key(|row| row.id);
    assert_eq!(rows, known);
    assert!(repo.agents(&[]).await.must().is_empty());
    let seen = ["obj1".to_owned()];
    repo.mark_seen(run, "elevenlabs", ResourceKind::Agent, &seen)
        .await
        .must();
    let rows = repo
        .unseen_agents(run, "elevenlabs", at(1), None, 10)
        .await
        .must();
    assert_eq!(rows, [known[1].clone()]);
    let after = Some(known[1].id);
    assert!(
        repo.unseen_agents(run, "elevenlabs", at(1), after, 10)
            .await
            .must()
            .is_empty()
    );
    assert!(
        repo.unseen_agents(run, "elevenlabs", at(0), None, 10)
            .await
            .must()
            .is_empty()
    );
}

pub async fn trunks_are_looked_up_and_those_that_a_run_did_not_see_are_found(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut known = Vec::new();
    for (ending, status) in [
        (140, TrunkStatus::Active),
        (141, TrunkStatus::Active),
        (142, TrunkStatus::Pending),
        (143, TrunkStatus::Deleted),
    ] {
        let number = world.number(&scope, ending).await;
        let takes_calls = number.status == NumberStatus::Active;
        let id = TrunkId::from_uuid(world.uuid());
        let mut trunk = Trunk::pending(
            id,
            number.id,
            "livekit",
            SealedPassword::from_bytes(vec![1]),
            at(0),
        );
        trunk.carrier = Some("twilio".to_owned());
        trunk.status = status;
        let mut tx = world.begin(&scope).await;
        tx.trunks().add(&trunk).await.must();
        tx.commit().await.must();
        let (tenant, tag) = (scope.tenant_id(), trunk.tag);
        known.push(KnownTrunk {
            tenant,
            id,
            tag,
            status,
            created_at: at(0),
            number: number.number,
            takes_calls,
        });
    }
    let run = JobId::generate(world.ids());
    let ids: Vec<TrunkId> = known.iter().map(|trunk| trunk.id).collect();
    let mut tx = world.system().await;
    let repo = tx.reconciliation();
    let mut rows = repo.trunks(&ids).await.must();
    rows.sort_by_key(|row| row.id);
    assert_eq!(rows, known);
    let seen = [known[0].tag.clone()];
    repo.mark_seen(run, "twilio", ResourceKind::Trunk, &seen)
        .await
        .must();
    let rows = repo.unseen_trunks(run, "twilio", at(1), None, 10).await.must();
    assert_eq!(rows, known[1..2]);
    let rows = repo.unseen_trunks(run, "livekit", at(1), None, 1).await.must();
    assert_eq!(rows, known[..1]);
    let rows = repo
        .unseen_trunks(run, "livekit", at(1), Some(known[0].id), 10)
        .await
        .must();
    assert_eq!(rows, known[1..2]);
    assert!(
        repo.unseen_trunks(run, "livekit", at(0), None, 10)
            .await
            .must()
            .is_empty()
    );
}

pub async fn live_calls_of_a_carrier_are_walked_in_order(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (one, two) = (world.call(&scope, "CA1").await, world.call(&scope, "CA2").await);
    let mut tx = world.system().await;
    let repo = tx.reconciliation();
    let first = repo.live_calls("twilio", at(1), None, 1).await.must();
    assert_eq!(
        (first[0].tenant, first[0].id, first[0].provider_call.as_str()),
        (scope.tenant_id(), one.id, "CA1")
    );
    let rest = repo.live_calls("twilio", at(1), Some(one.id), 10).await.must();
    assert_eq!(rest.iter().map(|call| call.id).collect::<Vec<_>>(), [two.id]);
    assert!(repo.live_calls("twilio", at(0), None, 10).await.must().is_empty());
    assert!(
        repo.live_calls("livekit", at(1), None, 10)
            .await
            .must()
            .is_empty()
    );
}

pub async fn a_tag_leads_to_whoever_began_its_saga(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (id, unknown) = (SagaId::generate(world.ids()), SagaId::generate(world.ids()));
    let mut record = SagaRecord::new(id, "number.provision", serde_json::json!({}), at(0));
    let mut tx = world.begin(&scope).await;
    tx.sagas().add(&record).await.must();
    tx.commit().await.must();
    for (status, under_way) in [
        (SagaStatus::Running, true),
        (SagaStatus::Undoing, true),
        (SagaStatus::Stuck, false),
        (SagaStatus::Undone, false),
        (SagaStatus::Done, false),
    ] {
        record.status = status;
        let mut tx = world.begin(&scope).await;
        tx.sagas().save(&mut record).await.must();
        tx.commit().await.must();
        let mut tx = world.system().await;
        let found = tx.reconciliation().sagas(&[unknown, id]).await.must();
        let known = KnownSaga {
            tenant: scope.tenant_id(),
            id,
            kind: "number.provision".to_owned(),
            under_way,
        };
        assert_eq!(found, [known], "{status:?}");
    }
    let mut tx = world.system().await;
    assert!(tx.reconciliation().sagas(&[]).await.must().is_empty());
}
