//! Ports.

use super::world::{Must, World, at, e164, refused, walk};
use crate::{
    id::{AgentId, JobId, NumberId, PortId, SagaId},
    number::{Port, PortLine, PortStatus, SealedOrder},
    page::PageRequest,
    provider::telephony::{PortRequestId, ProviderSubaccountId},
    store::{Store, StoreErrorKind},
};

fn new_port(world: &World<'_>, ending: u16) -> Port {
    let line = PortLine::new(e164(ending), NumberId::generate(world.ids()));
    Port::ordered(
        PortId::generate(world.ids()),
        "twilio",
        vec![line],
        SealedOrder::from_bytes(vec![0, 255, 7]),
        JobId::generate(world.ids()),
        SagaId::generate(world.ids()),
        at(0),
    )
}

pub async fn a_port_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut port = new_port(&world, 142);
    let mut tx = world.begin(&scope).await;
    tx.ports().add(&port).await.must();
    assert_eq!(tx.ports().find(port.id).await.must(), port);
    port.lines
        .push(PortLine::new(e164(143), NumberId::generate(world.ids())));
    port.lines[0].status = Some("Rejected".into());
    port.lines[0].reason = Some("INVALID_PIN".into());
    port.lines[0].port_date = Some(at(60));
    port.provider = "another".into();
    port.account = Some(ProviderSubaccountId::new("AC2"));
    port.agent = Some(AgentId::generate(world.ids()));
    port.target_date = Some("2026-12-01".parse().expect("a date"));
    port.status = PortStatus::ActionRequired;
    port.carrier_status = Some("Action Required".into());
    port.signature_url = Some("https://signature.example.com/1".into());
    port.reason = Some("nobody signed".into());
    port.request = Some(PortRequestId::new("KW1"));
    port.order = None;
    port.attempts = 2;
    port.cancel = true;
    port.job = JobId::generate(world.ids());
    port.saga = SagaId::generate(world.ids());
    port.checked_at = Some(at(1));
    port.submitted_at = Some(at(2));
    port.ended_at = Some(at(3));
    tx.ports().save(&mut port).await.must();
    assert_eq!(port.version, 1);
    tx.commit().await.must();
    let mut tx = world.begin(&scope).await;
    assert_eq!(tx.ports().find(port.id).await.must(), port);
    let mut unknown = new_port(&world, 144);
    assert_eq!(
        refused(tx.ports().save(&mut unknown).await),
        StoreErrorKind::NotFound
    );
    assert_eq!(
        refused(tx.ports().find(unknown.id).await),
        StoreErrorKind::NotFound
    );
}

pub async fn who_read_an_old_version_of_a_port_writes_in_vain(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut port = new_port(&world, 142);
    let mut tx = world.begin(&scope).await;
    tx.ports().add(&port).await.must();
    tx.commit().await.must();
    let mut old = port.clone();
    let mut tx = world.begin(&scope).await;
    port.attempts = 1;
    tx.ports().save(&mut port).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&scope).await;
    old.cancel = true;
    assert_eq!(refused(tx.ports().save(&mut old).await), StoreErrorKind::Stale);
    drop(tx);
    assert_eq!(world.begin(&scope).await.ports().find(port.id).await.must(), port);
}

pub async fn pages_of_ports_hold_each_port_once(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (mut all, mut unfinished) = (Vec::new(), Vec::new());
    for (ending, status) in (0..).zip(PortStatus::ALL) {
        // Two were made in the same microsecond: their ids decide.
        let mut port = new_port(&world, ending);
        port.created_at = at(i64::from(ending / 2));
        port.status = status;
        let mut tx = world.begin(&scope).await;
        tx.ports().add(&port).await.must();
        tx.commit().await.must();
        if !status.is_over() {
            unfinished.push(port.clone());
        }
        all.insert(0, port);
    }
    let mut tx = world.begin(&scope).await;
    assert_eq!(walk!(page => tx.ports().list(page).await.must()), all);
    assert_eq!(tx.ports().unfinished().await.must(), unfinished);
}

pub async fn a_stranger_cannot_reach_ports(store: &dyn Store) {
    let world = World::new(store);
    let (owner, stranger) = (world.tenant("acme").await, world.tenant("globex").await);
    let port = new_port(&world, 142);
    let mut tx = world.begin(&owner).await;
    tx.ports().add(&port).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&stranger).await;
    let mut canceled = port.clone();
    canceled.status = PortStatus::Canceled;
    for refusal in [
        refused(tx.ports().find(port.id).await),
        refused(tx.ports().save(&mut canceled).await),
    ] {
        assert_eq!(refusal, StoreErrorKind::NotFound);
    }
    assert_eq!(tx.ports().unfinished().await.must(), []);
    let listed = tx.ports().list(PageRequest::default()).await.must();
    assert_eq!(listed.data, []);
    tx.commit().await.must();
    assert_eq!(world.begin(&owner).await.ports().find(port.id).await.must(), port);
}
