//! Tenants' own accounts at carriers.

use futures_util::future::join_all;

use super::world::{Must, World, at, refused};
use crate::{
    id::{JobId, SagaId, SubaccountId},
    provider::telephony::ProviderSubaccountId,
    reconcile::ResourceKind,
    store::{Store, StoreErrorKind},
    subaccount::{SealedSecret, Subaccount, SubaccountStatus},
};

fn opening(world: &World<'_>, provider: &str) -> Subaccount {
    let (id, saga) = (SubaccountId::generate(world.ids()), SagaId::generate(world.ids()));
    Subaccount::opening(id, provider, saga, at(0))
}

fn open(world: &World<'_>, provider: &str, id: &str) -> Subaccount {
    let mut account = opening(world, provider);
    account.provider_id = Some(ProviderSubaccountId::new(id));
    account.secret = Some(SealedSecret::from_bytes(vec![0, 255, 7]));
    account.status = SubaccountStatus::Open;
    account
}

pub async fn an_account_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut account = opening(&world, "twilio");
    let mut tx = world.begin(&scope).await;
    assert_eq!(tx.subaccounts().at("twilio").await.must(), None);
    tx.subaccounts().add(&account).await.must();
    assert_eq!(
        tx.subaccounts().at("twilio").await.must().as_ref(),
        Some(&account)
    );
    assert_eq!(tx.subaccounts().at("livekit").await.must(), None);
    let id = ProviderSubaccountId::new("AC1");
    assert_eq!(tx.subaccounts().find("twilio", &id).await.must(), None);
    account.provider_id = Some(id.clone());
    account.secret = Some(SealedSecret::from_bytes(vec![1, 2]));
    account.status = SubaccountStatus::Open;
    account.opener = SagaId::generate(world.ids());
    tx.subaccounts().update(&account).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&scope).await;
    assert_eq!(tx.subaccounts().list().await.must(), [account.clone()]);
    assert_eq!(
        tx.subaccounts().find("twilio", &id).await.must().as_ref(),
        Some(&account)
    );
    let unknown = opening(&world, "twilio");
    assert_eq!(
        refused(tx.subaccounts().update(&unknown).await),
        StoreErrorKind::NotFound
    );
}

pub async fn a_tenant_has_one_account_at_a_carrier_that_is_not_closed(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut first = open(&world, "twilio", "AC1");
    let mut tx = world.begin(&scope).await;
    tx.subaccounts().add(&first).await.must();
    tx.commit().await.must();
    let second = opening(&world, "twilio");
    let added = world.begin(&scope).await.subaccounts().add(&second).await;
    assert_eq!(refused(added), StoreErrorKind::Conflict);

    let mut tx = world.begin(&scope).await;
    first.status = SubaccountStatus::Closed;
    tx.subaccounts().update(&first).await.must();
    assert_eq!(tx.subaccounts().at("twilio").await.must(), None);
    tx.subaccounts().add(&second).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&scope).await;
    assert_eq!(tx.subaccounts().list().await.must(), [second]);
    // What was in it may still be asked for.
    let id = ProviderSubaccountId::new("AC1");
    assert_eq!(tx.subaccounts().find("twilio", &id).await.must(), Some(first));
}

pub async fn of_many_who_go_on_with_an_account_at_once_one_does(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let account = opening(&world, "twilio");
    let mut tx = world.begin(&scope).await;
    tx.subaccounts().add(&account).await.must();
    tx.commit().await.must();
    let taken = join_all((0..4).map(|_| {
        let (world, scope, account) = (&world, &scope, &account);
        let saga = SagaId::generate(world.ids());
        async move {
            let mut tx = world.begin(scope).await;
            let taken = tx.subaccounts().hand_on(account.id, account.opener, saga).await;
            let taken = taken.must();
            tx.commit().await.must();
            taken.then_some(saga)
        }
    }))
    .await;
    let taken: Vec<SagaId> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1, "{taken:?}");
    let mut tx = world.begin(&scope).await;
    let mut now = tx.subaccounts().at("twilio").await.must().expect("it is there");
    assert_eq!(now.opener, taken[0]);
    // One that is open is nobody's to go on with.
    now.status = SubaccountStatus::Open;
    tx.subaccounts().update(&now).await.must();
    let again = tx.subaccounts().hand_on(now.id, now.opener, account.opener).await;
    assert!(!again.must());
}

pub async fn an_account_at_a_carrier_leads_to_its_one_tenant(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let account = open(&world, "twilio", "AC1");
    let mut tx = world.begin(&owner).await;
    tx.subaccounts().add(&account).await.must();
    tx.commit().await.must();
    let id = ProviderSubaccountId::new("AC1");
    let mut tx = world.system().await;
    let found = tx.subaccount("twilio", &id).await.must();
    assert_eq!(found, Some((owner.tenant_id(), account.clone())));
    assert_eq!(tx.subaccount("livekit", &id).await.must(), None);
    let unknown = ProviderSubaccountId::new("AC2");
    assert_eq!(tx.subaccount("twilio", &unknown).await.must(), None);
    drop(tx);
    let mine = open(&world, "twilio", "AC1");
    let added = world.begin(&stranger).await.subaccounts().add(&mine).await;
    assert_eq!(refused(added), StoreErrorKind::Conflict);
}

pub async fn a_stranger_cannot_reach_accounts(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let account = opening(&world, "twilio");
    let opened = open(&world, "livekit", "AC1");
    let mut tx = world.begin(&owner).await;
    tx.subaccounts().add(&account).await.must();
    tx.subaccounts().add(&opened).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&stranger).await;
    let id = ProviderSubaccountId::new("AC1");
    assert_eq!(tx.subaccounts().at("twilio").await.must(), None);
    assert_eq!(tx.subaccounts().find("livekit", &id).await.must(), None);
    assert_eq!(tx.subaccounts().list().await.must(), []);
    let mine = SagaId::generate(world.ids());
    let taken = tx.subaccounts().hand_on(account.id, account.opener, mine).await;
    assert!(!taken.must());
    let mut closed = account.clone();
    closed.status = SubaccountStatus::Closed;
    assert_eq!(
        refused(tx.subaccounts().update(&closed).await),
        StoreErrorKind::NotFound
    );
    drop(tx);
    let mut tx = world.begin(&owner).await;
    assert_eq!(tx.subaccounts().at("twilio").await.must(), Some(account));
}

pub async fn accounts_are_walked_in_order_and_those_that_a_run_did_not_see_are_found(store: &dyn Store) {
    let world = World::new(store);
    let mut rows = Vec::new();
    for (name, id) in [("acme", "AC1"), ("globex", "AC2"), ("initech", "AC3")] {
        let (scope, account) = (world.tenant(name).await, open(&world, "twilio", id));
        let mut tx = world.begin(&scope).await;
        tx.subaccounts().add(&account).await.must();
        tx.commit().await.must();
        rows.push((scope.tenant_id(), account));
    }
    let scope = world.tenant("umbrella").await;
    let underway = opening(&world, "twilio");
    let mut tx = world.begin(&scope).await;
    tx.subaccounts().add(&underway).await.must();
    tx.commit().await.must();

    let mut tx = world.system().await;
    let repo = tx.reconciliation();
    assert_eq!(repo.subaccounts("twilio", None, 2).await.must(), rows[..2]);
    let after = Some(rows[1].1.id);
    assert_eq!(repo.subaccounts("twilio", after, 2).await.must(), rows[2..]);
    assert_eq!(repo.subaccounts("livekit", None, 2).await.must(), []);

    let ids = ["AC2", "AC9"].map(ProviderSubaccountId::new);
    let mut known = repo
        .known_subaccounts("twilio", &ids, &[scope.tenant_id(), rows[0].0])
        .await
        .must();
    known.sort_by_key(|(_, account)| account.id);
    assert_eq!(known, [rows[1].clone(), (scope.tenant_id(), underway)]);
    assert_eq!(repo.known_subaccounts("twilio", &[], &[]).await.must(), []);

    let run = JobId::generate(world.ids());
    repo.mark_seen(run, "twilio", ResourceKind::Subaccount, &["AC2".to_owned()])
        .await
        .must();
    let missed = repo.unseen_subaccounts(run, "twilio", at(1), None, 10).await;
    assert_eq!(missed.must(), [rows[0].clone(), rows[2].clone()]);
    let missed = repo
        .unseen_subaccounts(run, "twilio", at(1), Some(rows[0].1.id), 10)
        .await;
    assert_eq!(missed.must(), rows[2..]);
    let missed = repo.unseen_subaccounts(run, "twilio", at(0), None, 10).await;
    assert_eq!(missed.must(), []);
}
