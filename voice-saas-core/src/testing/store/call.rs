//! Calls.

use futures_util::future::join_all;
use url::Url;

use super::world::{Must, World, at, incoming, refused, walk};
use crate::{
    call::{CallAnswer, CallFilter, CallStatus, EndReason},
    id::CallId,
    page::PageRequest,
    provider::{
        telephony::{CallPlan, ProviderCallId},
        voice_agent::{ConversationId, Direction},
    },
    store::{Store, StoreErrorKind},
};

pub async fn a_call_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (number, agent) = (world.number(&scope, 142).await, world.agent(&scope, "Ada").await);
    let mut call = world.call(&scope, "CA1").await;
    let mut tx = world.begin(&scope).await;
    assert_eq!(tx.calls().find(call.id).await.must(), call);
    let url = |path: &str| {
        Url::parse("wss://voice.example/")
            .and_then(|url| url.join(path))
            .expect("a URL")
    };
    call.direction = Direction::Outbound;
    call.status = CallStatus::NoAnswer;
    call.from = "sip:ada@acme.example".into();
    call.to = "anonymous".into();
    call.number = Some(number.id);
    call.agent = Some((agent.spec.id, 1));
    call.provider_call = Some(ProviderCallId::new("CA2"));
    call.answer = Some(CallAnswer::Plan(CallPlan::Bridge {
        media_url: url("media"),
        then: url("then"),
    }));
    call.conversation = Some(ConversationId::new("conv_1"));
    call.end_reason = Some(EndReason::CarrierFailed);
    call.progress = Some(u32::MAX);
    call.started_at = at(1);
    call.media_at = Some(at(2));
    call.answered_at = Some(at(3));
    call.ended_at = Some(at(4));
    call.duration_seconds = Some(61);
    call.summary = Some("They asked for a quote.".to_owned());
    tx.calls().update(&call).await.must();
    tx.commit().await.must();
    let mut tx = world.begin(&scope).await;
    assert_eq!(tx.calls().find(call.id).await.must(), call);
    assert_eq!(tx.calls().find_for_update(call.id).await.must(), call);
    call.answer = Some(CallAnswer::Bridge);
    tx.calls().update(&call).await.must();
    assert_eq!(tx.calls().find(call.id).await.must(), call);
}

pub async fn a_carriers_call_is_added_once(store: &dyn Store) {
    let world = World::new(store);
    let (acme, globex) = (world.tenant("acme").await, world.tenant("globex").await);
    let call = world.call(&acme, "CA1").await;
    for scope in [&acme, &globex] {
        let again = world.new_call("CA1", at(9));
        let mut tx = world.begin(scope).await;
        assert!(!tx.calls().add(&again, &incoming()).await.must());
        tx.commit().await.must();
        let mut tx = world.begin(scope).await;
        assert_eq!(refused(tx.calls().find(again.id).await), StoreErrorKind::NotFound);
        assert_eq!(tx.calls().events(again.id, 0, 10).await.must(), []);
    }
    assert_eq!(
        world
            .begin(&acme)
            .await
            .calls()
            .events(call.id, 0, 10)
            .await
            .must()
            .len(),
        1
    );
    let mut other_carrier = world.new_call("CA1", at(9));
    other_carrier.provider = "knowlarity".into();
    assert!(
        world
            .begin(&globex)
            .await
            .calls()
            .add(&other_carrier, &incoming())
            .await
            .must()
    );
}

pub async fn of_many_who_add_a_carriers_call_at_once_one_does(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let added = join_all((0..8).map(|_| {
        let (world, scope, call) = (&world, &scope, world.new_call("CA1", at(0)));
        async move {
            let mut tx = world.begin(scope).await;
            let added = tx.calls().add(&call, &incoming()).await.must();
            tx.commit().await.must();
            added
        }
    }))
    .await;
    assert_eq!(added.iter().filter(|added| **added).count(), 1);
    let page = world
        .begin(&scope)
        .await
        .calls()
        .list(&CallFilter::default(), PageRequest::default())
        .await
        .must();
    assert_eq!(page.data.len(), 1);
}

pub async fn calls_that_the_carrier_does_not_know_yet_are_told_apart(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut tx = world.begin(&scope).await;
    for _ in 0..2 {
        let mut call = world.new_call("", at(0));
        call.provider_call = None;
        assert!(tx.calls().add(&call, &incoming()).await.must());
    }
}

pub async fn a_call_is_found_by_the_carriers_id(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let call = world.call(&scope, "CA1").await;
    let mut tx = world.begin(&scope).await;
    for (provider, id, expected) in [
        ("twilio", "CA1", Some(call)),
        ("twilio", "CA2", None),
        ("knowlarity", "CA1", None),
    ] {
        let found = tx
            .calls()
            .find_by_provider_call(provider, &ProviderCallId::new(id))
            .await
            .must();
        assert_eq!(found, expected, "{provider} {id}");
    }
}

pub async fn the_media_of_a_call_is_claimed_once_however_many_try(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let call = world.call(&scope, "CA1").await;
    let claimed = join_all((1..9).map(|second| {
        let (world, scope) = (&world, &scope);
        async move {
            let mut tx = world.begin(scope).await;
            let claimed = tx.calls().claim_media(call.id, at(second)).await.must();
            tx.commit().await.must();
            claimed.then(|| at(second))
        }
    }))
    .await;
    let claimed: Vec<_> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 1);
    assert_eq!(
        world
            .begin(&scope)
            .await
            .calls()
            .find(call.id)
            .await
            .must()
            .media_at,
        Some(claimed[0])
    );
}

pub async fn the_media_of_a_call_that_is_over_cannot_be_claimed(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut call = world.call(&scope, "CA1").await;
    call.status = CallStatus::Completed;
    let mut tx = world.begin(&scope).await;
    tx.calls().update(&call).await.must();
    assert!(!tx.calls().claim_media(call.id, at(1)).await.must());
    let unknown = CallId::generate(world.ids());
    assert_eq!(
        refused(tx.calls().claim_media(unknown, at(1)).await),
        StoreErrorKind::NotFound
    );
}

pub async fn a_writer_who_saw_no_media_does_not_take_it_away(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let seen_before = world.call(&scope, "CA1").await;
    let mut tx = world.begin(&scope).await;
    assert!(tx.calls().claim_media(seen_before.id, at(1)).await.must());
    tx.calls().update(&seen_before).await.must();
    assert!(!tx.calls().claim_media(seen_before.id, at(2)).await.must());
}

pub async fn a_locked_call_is_changed_by_one_at_a_time(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let id = world.call(&scope, "CA1").await.id;
    join_all((0..8).map(|_| {
        let (world, scope) = (&world, &scope);
        async move {
            let mut tx = world.begin(scope).await;
            let mut call = tx.calls().find_for_update(id).await.must();
            call.progress = Some(call.progress.unwrap_or(0) + 1);
            tx.calls().update(&call).await.must();
            tx.commit().await.must();
        }
    }))
    .await;
    assert_eq!(
        world.begin(&scope).await.calls().find(id).await.must().progress,
        Some(8)
    );
}

pub async fn calls_are_listed_by_every_filter(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let agent = world.agent(&scope, "Ada").await.spec.id;
    let mut calls = Vec::new();
    let mut tx = world.begin(&scope).await;
    for (index, name) in ["CA0", "CA1", "CA2"].into_iter().enumerate() {
        let mut call = world.new_call(name, at(i64::try_from(index).expect("a small number")));
        match index {
            1 => {
                call.agent = Some((agent, 1));
                call.direction = Direction::Outbound;
                call.from = "+15550111".into();
            }
            2 => {
                call.status = CallStatus::Rejected;
                call.to = "+15550122".into();
            }
            _ => {}
        }
        assert!(tx.calls().add(&call, &incoming()).await.must());
        calls.push(call);
    }
    let filter = |narrow: fn(&mut CallFilter)| {
        let mut filter = CallFilter::default();
        narrow(&mut filter);
        filter
    };
    let agent_and_status = CallFilter {
        agent: Some(agent),
        ..filter(|f| f.status = Some(CallStatus::Rejected))
    };
    for (filter, expected) in [
        (CallFilter::default(), &[2, 1, 0][..]),
        (filter(|f| f.status = Some(CallStatus::Ringing)), &[1, 0]),
        (filter(|f| f.status = Some(CallStatus::Rejected)), &[2]),
        (filter(|f| f.direction = Some(Direction::Outbound)), &[1]),
        (filter(|f| f.direction = Some(Direction::Inbound)), &[2, 0]),
        (
            CallFilter {
                agent: Some(agent),
                ..CallFilter::default()
            },
            &[1],
        ),
        (filter(|f| f.from = Some("+15550111".into())), &[1]),
        (filter(|f| f.to = Some("+15550122".into())), &[2]),
        (filter(|f| f.since = Some(at(1))), &[2, 1]),
        (filter(|f| f.until = Some(at(1))), &[0]),
        (filter(|f| (f.since, f.until) = (Some(at(1)), Some(at(2)))), &[1]),
        (agent_and_status, &[]),
    ] {
        let page = tx.calls().list(&filter, PageRequest::default()).await.must();
        let expected: Vec<_> = expected
            .iter()
            .map(|index: &usize| calls[*index].clone())
            .collect();
        assert_eq!(page.data, expected, "{filter:?}");
    }
}

pub async fn pages_of_calls_hold_each_call_once(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut tx = world.begin(&scope).await;
    let mut expected = Vec::new();
    for count in 0..5 {
        let call = world.new_call(&format!("CA{count}"), at(count / 2));
        assert!(tx.calls().add(&call, &incoming()).await.must());
        expected.insert(0, call);
    }
    let filter = CallFilter {
        status: Some(CallStatus::Ringing),
        ..Default::default()
    };
    assert_eq!(
        walk!(page => tx.calls().list(&filter, page).await.must()),
        expected
    );
}

pub async fn a_call_that_is_not_there_cannot_be_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let call = world.new_call("CA1", at(0));
    let mut tx = world.begin(&scope).await;
    for refusal in [
        refused(tx.calls().update(&call).await),
        refused(tx.calls().find_for_update(call.id).await),
        refused(tx.calls().append(call.id, at(1), &incoming()).await),
        refused(tx.calls().transcript(call.id).await),
        refused(tx.calls().save_transcript(call.id, &[]).await),
    ] {
        assert_eq!(refusal, StoreErrorKind::NotFound);
    }
}
