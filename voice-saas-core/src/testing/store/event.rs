//! What happened in a call, and who said what.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::world::{Must, World, at, incoming};
use crate::{
    call::{CallEvent, CallEventKind, CallStatus, EndReason, Transcript},
    provider::voice_agent::{ConversationId, Speaker, Turn},
    store::Store,
};

fn said(speaker: Speaker, text: &str) -> CallEventKind {
    CallEventKind::Said {
        speaker,
        text: text.to_owned(),
    }
}

pub async fn every_kind_of_event_reads_back_as_written(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let call = world.call(&scope, "CA1").await.id;
    let kinds = [
        CallEventKind::Refused {
            reason: EndReason::TenantSuspended,
        },
        CallEventKind::MediaConnected,
        CallEventKind::AgentReady {
            conversation: ConversationId::new("conv_1"),
        },
        CallEventKind::AgentFailed {
            detail: "503".to_owned(),
        },
        said(Speaker::Caller, "\"Grüß Gott\" \u{1f44b}"),
        CallEventKind::Interrupted,
        CallEventKind::Corrected { text: String::new() },
        CallEventKind::ToolCalled {
            tool: "book".to_owned(),
            arguments: json!({ "at": [1, 2.5, null] }),
        },
        CallEventKind::ToolAnswered {
            tool: "book".to_owned(),
            is_error: true,
        },
        CallEventKind::Dtmf { digit: '#' },
        CallEventKind::Progress {
            status: CallStatus::InProgress,
        },
        CallEventKind::Ended {
            reason: EndReason::CallerHungUp,
        },
    ];
    let mut tx = world.begin(&scope).await;
    for kind in &kinds {
        tx.calls().append(call, at(1), kind).await.must();
    }
    let events = tx.calls().events(call, 1, 100).await.must();
    assert_eq!(
        events.into_iter().map(|event| event.kind).collect::<Vec<_>>(),
        kinds
    );
}

pub async fn events_have_consecutive_places_from_one(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let (call, other) = (
        world.call(&scope, "CA1").await.id,
        world.call(&scope, "CA2").await.id,
    );
    let mut expected = vec![CallEvent {
        sequence: 1,
        at: at(0),
        kind: incoming(),
    }];
    let mut tx = world.begin(&scope).await;
    for (second, sequence) in (1..).zip(2..5) {
        let event = tx
            .calls()
            .append(call, at(second), &CallEventKind::Interrupted)
            .await
            .must();
        assert_eq!(
            event,
            CallEvent {
                sequence,
                at: at(second),
                kind: CallEventKind::Interrupted
            }
        );
        expected.push(event);
    }
    assert_eq!(tx.calls().events(call, 0, 10).await.must(), expected);
    assert_eq!(tx.calls().events(call, 1, 2).await.must(), expected[1..3]);
    assert_eq!(tx.calls().events(call, 4, 10).await.must(), []);
    assert_eq!(tx.calls().events(other, 0, 10).await.must(), expected[..1]);
}

pub async fn events_that_are_appended_at_once_have_different_places(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let call = world.call(&scope, "CA1").await.id;
    let mut places = join_all((0..8).map(|_| {
        let (world, scope) = (&world, &scope);
        async move {
            let mut tx = world.begin(scope).await;
            let event = tx
                .calls()
                .append(call, at(1), &CallEventKind::Interrupted)
                .await
                .must();
            tx.commit().await.must();
            event.sequence
        }
    }))
    .await;
    places.sort_unstable();
    assert_eq!(places, (2..10).collect::<Vec<_>>());
}

pub async fn a_transcript_is_what_was_heard_until_the_platform_sends_its_own(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let call = world.call(&scope, "CA1").await.id;
    let mut tx = world.begin(&scope).await;
    assert_eq!(
        tx.calls().transcript(call).await.must(),
        Transcript {
            turns: vec![],
            complete: false
        }
    );
    for (second, kind) in [
        (2, said(Speaker::Agent, "Hello, this is Acme.")),
        (3, said(Speaker::Caller, "Wait")),
        (4, CallEventKind::Interrupted),
        (
            5,
            CallEventKind::Corrected {
                text: "Hello, this".to_owned(),
            },
        ),
    ] {
        tx.calls().append(call, at(second), &kind).await.must();
    }
    let turn = |speaker, text: &str, second| Turn::new(speaker, text, Duration::from_secs(second));
    let heard = vec![
        turn(Speaker::Agent, "Hello, this", 2),
        turn(Speaker::Caller, "Wait", 3),
    ];
    assert_eq!(
        tx.calls().transcript(call).await.must(),
        Transcript {
            turns: heard,
            complete: false
        }
    );

    for turns in [
        vec![turn(Speaker::Agent, "Hello, this is", 2)],
        vec![turn(Speaker::Caller, "Wait.", 3)],
    ] {
        tx.calls().save_transcript(call, &turns).await.must();
        assert_eq!(
            tx.calls().transcript(call).await.must(),
            Transcript {
                turns,
                complete: true
            }
        );
    }
}
