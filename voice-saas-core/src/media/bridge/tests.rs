//! Stories of a bridge between two lines in memory.

mod fakes;
mod farewell;
mod interleaving;
mod opening;
mod watchdogs;

use bytes::Bytes;
use serde_json::json;

use self::fakes::{Talk, audio, frame, samples};
use super::BridgeEnd;
use crate::{
    call::CallEventKind,
    media::{Audio, AudioFormat},
    provider::voice_agent::{AgentCommand, AgentEvent, Speaker, ToolCall},
};

fn said(speaker: Speaker, text: &str) -> AgentEvent {
    AgentEvent::Said {
        speaker,
        text: text.to_owned(),
    }
}

fn tool(id: &str) -> AgentEvent {
    AgentEvent::ToolCall(ToolCall::new(id, "book", json!({ "at": "noon" })))
}

fn mark() -> String {
    "mark last-words-1".to_owned()
}

#[tokio::test(start_paused = true)]
async fn audio_passes_unchanged_in_both_directions() {
    let mut talk = Talk::started().await;
    for sample in 1..=3 {
        talk.carrier.says(frame(sample));
        talk.agent.says(audio(sample + 100));
    }
    talk.goes_on().await;

    let expected: Vec<_> = (1..=3).map(audio).map(AgentCommand::Audio).collect();
    assert_eq!(talk.agent.hears(), expected);
    let expected: Vec<_> = (101..=103).map(frame).collect();
    assert_eq!(talk.carrier.hears_text(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_callers_audio_is_not_copied() {
    let mut talk = Talk::started().await;
    let message = Bytes::from(frame(7));
    talk.carrier.says(message.clone());
    talk.goes_on().await;

    let [AgentCommand::Audio(audio)] = &talk.agent.hears()[..] else {
        panic!("one frame");
    };
    assert_eq!(audio.base64().as_ptr(), message[6..].as_ptr());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_to_the_carrier_before_the_stream_starts_and_early_audio_follows_in_order() {
    let mut talk = Talk::new();
    talk.agent.says(audio(1));
    talk.agent.says(audio(2));
    talk.goes_on().await;
    assert!(talk.carrier.hears().is_empty());

    talk.carrier.says("start CA1");
    talk.agent.says(audio(3));
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), [frame(1), frame(2), frame(3)]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_does_not_hear_a_stream_that_has_not_started() {
    let mut talk = Talk::new();
    talk.carrier.says(frame(1));
    talk.carrier.says("dtmf 1");
    talk.carrier.says("start CA1");
    talk.carrier.says(frame(2));
    talk.goes_on().await;
    assert_eq!(samples(&talk.agent.hears()), [2]);
    assert!(!talk.events().contains(&CallEventKind::Dtmf { digit: '1' }));
}

#[tokio::test(start_paused = true)]
async fn another_calls_stream_is_refused_and_hears_nothing() {
    let mut talk = Talk::new();
    talk.agent.says(audio(1));
    talk.carrier.says("start CA2");
    talk.carrier.says(frame(2));
    assert!(matches!(talk.ends().await, BridgeEnd::MediaLost));
    assert!(talk.carrier.hears().is_empty());
    assert!(talk.agent.hears().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_interruption_drops_what_is_queued_clears_what_the_carrier_holds_and_lets_new_audio_through() {
    let mut talk = Talk::started().await;
    talk.carrier.blocks();
    for sample in 1..=3 {
        talk.agent.says(audio(sample));
    }
    talk.goes_on().await;
    talk.agent.says(AgentEvent::Interrupted);
    talk.agent.says(audio(4));
    talk.goes_on().await;
    talk.carrier.unblocks();
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), ["clear".to_owned(), frame(4)]);
    assert_eq!(talk.events(), [CallEventKind::Interrupted]);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_before_the_stream_starts_drops_early_audio() {
    let mut talk = Talk::new();
    talk.agent.says(audio(1));
    talk.agent.says(AgentEvent::Interrupted);
    talk.agent.says(audio(2));
    talk.carrier.says("start CA1");
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text().last(), Some(&frame(2)));
    assert!(!talk.carrier.hears_text().contains(&frame(1)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_carrier_does_not_keep_the_agent_from_hearing() {
    let mut talk = Talk::started().await;
    talk.carrier.blocks();
    talk.agent.says(audio(100));
    for sample in 1..=50 {
        talk.carrier.says(frame(sample));
    }
    talk.goes_on().await;
    assert_eq!(samples(&talk.agent.hears()), (1..=50).collect::<Vec<_>>());
    assert!(talk.carrier.hears().is_empty());

    talk.carrier.unblocks();
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), [frame(100)]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_listen_does_not_keep_the_caller_from_hearing_and_then_hears_the_present() {
    let mut talk = Talk::started().await;
    talk.agent.blocks();
    for sample in 1..=100 {
        talk.carrier.says(frame(sample));
        talk.agent.says(audio(sample));
    }
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text().len(), 100);
    assert_eq!(talk.carrier.unread(), 0);

    talk.agent.unblocks();
    talk.goes_on().await;
    // Half a second in frames of 20 milliseconds.
    assert_eq!(samples(&talk.agent.hears()), (76..=100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_frame_longer_than_the_backlog_is_heard_and_an_empty_one_is_not_kept() {
    let mut talk = Talk::started().await;
    talk.agent.blocks();
    let long = Audio::encode(&[9; 8000], AudioFormat::Mulaw8k);
    talk.carrier.says(frame(1));
    talk.carrier.says([b"audio ", &long.base64()[..]].concat());
    talk.carrier.says("audio ");
    talk.goes_on().await;
    talk.agent.unblocks();
    talk.goes_on().await;
    assert_eq!(talk.agent.hears(), [AgentCommand::Audio(long)]);
}

fn second(sample: u8) -> Audio {
    Audio::encode(&[sample; 8000], AudioFormat::Mulaw8k)
}

#[tokio::test(start_paused = true)]
async fn an_agent_waits_for_a_carrier_that_takes_nothing_and_no_word_is_lost() {
    for started in [true, false] {
        let mut talk = Talk::new();
        talk.carrier.blocks();
        if started {
            talk.carrier.says("start CA1");
        }
        for sample in 1..=120 {
            talk.agent.says(second(sample));
        }
        talk.goes_on().await;
        assert!((20..40).contains(&talk.agent.unread()), "{}", talk.agent.unread());

        talk.carrier.unblocks();
        talk.carrier.says("start CA1");
        talk.goes_on().await;
        talk.lives_for(50).await;
        talk.agent.says(AgentEvent::Idle);
        talk.lives_for(59).await;
        let expected: Vec<_> = (1..=120)
            .map(|sample| [b"audio ", &second(sample).base64()[..]].concat())
            .collect();
        assert_eq!(talk.carrier.hears(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_carrier_is_never_far_ahead_of_what_it_plays_and_never_has_nothing_to_play() {
    let mut talk = Talk::started().await;
    for sample in 1..=50 {
        talk.agent.says(second(sample));
    }
    talk.goes_on().await;
    let mut given = talk.carrier.hears().len();
    for played in 0..50 {
        assert!(
            (played + 9..=played + 11).contains(&given) || given == 50,
            "{given} given, {played} played"
        );
        talk.lives_for(1).await;
        given += talk.carrier.hears().len();
    }
    assert_eq!(given, 50);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_drops_what_the_carrier_was_not_given_yet_and_the_answer_is_heard_at_once() {
    let mut talk = Talk::started().await;
    for sample in 1..=60 {
        talk.agent.says(second(sample));
    }
    talk.goes_on().await;
    talk.carrier.hears();
    talk.agent.says(AgentEvent::Interrupted);
    talk.agent.says(audio(99));
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), ["clear".to_owned(), frame(99)]);
    talk.lives_for(30).await;
    assert!(talk.carrier.hears().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_up_is_heard_out() {
    let mut talk = Talk::started().await;
    talk.agent.says(audio(1));
    talk.agent.ends();
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), [frame(1), mark()]);

    talk.carrier.says(frame(2));
    talk.carrier.says("mark another");
    talk.goes_on().await;
    assert!(talk.agent.hears().is_empty());

    talk.carrier.says(mark());
    assert!(matches!(talk.ends().await, BridgeEnd::AgentEnded));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_up_before_the_stream_starts_is_heard_out_too() {
    let mut talk = Talk::new();
    talk.agent.says(audio(1));
    talk.agent.ends();
    talk.goes_on().await;
    talk.carrier.says("start CA1");
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), [frame(1), mark()]);
    talk.carrier.says(mark());
    assert!(matches!(talk.ends().await, BridgeEnd::AgentEnded));
}

#[tokio::test(start_paused = true)]
async fn however_the_caller_goes_while_the_last_words_are_played_the_agent_ended_the_call() {
    for leave in [
        |talk: &Talk| talk.carrier.says("stop"),
        |talk: &Talk| talk.carrier.ends(),
        |talk: &Talk| talk.carrier.breaks(),
        |talk: &Talk| talk.carrier.refuses(),
    ] {
        let mut talk = Talk::started().await;
        talk.carrier.blocks();
        talk.agent.says(audio(1));
        talk.agent.ends();
        talk.goes_on().await;
        leave(&talk);
        assert!(matches!(talk.ends().await, BridgeEnd::AgentEnded));
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_an_agent_that_hung_up_does_not_hold_the_call() {
    for keys in [10, 100] {
        let mut talk = Talk::started().await;
        talk.agent.blocks();
        for sample in 0..keys {
            talk.carrier.says(frame(sample));
            talk.carrier.says("dtmf 1");
        }
        talk.goes_on().await;
        talk.agent.ends();
        talk.agent.refuses();
        talk.goes_on().await;
        assert_eq!(talk.carrier.hears_text(), [mark()]);
        for _ in 0..100 {
            talk.carrier.says("dtmf 2");
        }
        talk.carrier.says(mark());
        assert!(matches!(talk.ends().await, BridgeEnd::AgentEnded));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_and_a_line_that_breaks_are_told_apart() {
    #[track_caller]
    fn check(end: &BridgeEnd, expected: &str) {
        assert_eq!(format!("{end:?}"), expected);
    }
    let mut talk = Talk::started().await;
    talk.carrier.says("stop");
    check(&talk.ends().await, "CallerHungUp");

    let mut talk = Talk::started().await;
    talk.carrier.ends();
    check(&talk.ends().await, "MediaLost");

    let mut talk = Talk::started().await;
    talk.carrier.breaks();
    check(&talk.ends().await, "MediaLost");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_while_the_agent_speaks_has_hung_up() {
    let mut talk = Talk::started().await;
    talk.carrier.refuses();
    talk.agent.says(audio(1));
    talk.carrier.says(frame(1));
    talk.carrier.says("stop");
    assert!(matches!(talk.ends().await, BridgeEnd::CallerHungUp));

    let mut talk = Talk::started().await;
    talk.carrier.refuses();
    talk.agent.says(audio(1));
    talk.carrier.says(frame(1));
    assert!(matches!(talk.ends().await, BridgeEnd::MediaLost));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_up_while_the_caller_speaks_has_hung_up() {
    let mut talk = Talk::started().await;
    talk.agent.refuses();
    talk.carrier.says(frame(1));
    talk.agent.says(AgentEvent::Idle);
    talk.agent.says(said(Speaker::Agent, "Goodbye."));
    talk.agent.ends();
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), [mark()]);
    assert_eq!(talk.events().len(), 1);

    let mut talk = Talk::started().await;
    talk.agent.refuses();
    talk.carrier.says(frame(1));
    talk.agent.says(audio(1));
    assert!(matches!(talk.ends().await, BridgeEnd::AgentFailed(Some(_))));
    assert_eq!(talk.carrier.hears_text(), [frame(1)]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_breaks_while_the_carrier_is_slow_is_heard_out_whatever_the_caller_does() {
    let mut talk = Talk::started().await;
    talk.carrier.blocks();
    for sample in 1..=120 {
        talk.agent.says(second(sample));
    }
    talk.goes_on().await;
    talk.agent.refuses();
    for _ in 0..100 {
        talk.carrier.says("dtmf 1");
    }
    talk.goes_on().await;
    assert!(talk.agent.unread() > 0);

    talk.carrier.unblocks();
    let (_, broken) = talk.lasts().await;
    assert!(matches!(broken, BridgeEnd::AgentFailed(Some(_))));
    assert_eq!(talk.agent.unread(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_agents_socket_that_breaks_ends_the_talk() {
    let mut talk = Talk::started().await;
    talk.agent.breaks();
    assert!(matches!(talk.ends().await, BridgeEnd::AgentFailed(Some(_))));
}

#[tokio::test(start_paused = true)]
async fn a_tool_is_answered_over_the_agents_socket() {
    let mut talk = Talk::started().await;
    talk.agent.says(tool("t1"));
    talk.goes_on().await;
    let request = talk.tools.try_recv().unwrap();
    assert_eq!(request.call, ToolCall::new("t1", "book", json!({ "at": "noon" })));

    let answer = AgentCommand::ToolResult {
        id: request.call.id,
        result: "Done.".to_owned(),
        is_error: false,
    };
    request.answer.send(answer.clone()).await.unwrap();
    talk.goes_on().await;
    assert_eq!(talk.agent.hears(), [answer]);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_finds_no_place_is_answered_with_an_error() {
    let mut talk = Talk::started().await;
    for id in ["t1", "t2", "t3"] {
        talk.agent.says(tool(id));
    }
    talk.goes_on().await;
    let heard = talk.agent.hears();
    assert!(
        matches!(&heard[..], [AgentCommand::ToolResult { id, is_error: true, .. }] if id == "t3"),
        "{heard:?}"
    );
    let called = CallEventKind::ToolCalled {
        tool: "book".to_owned(),
        arguments: json!({ "at": "noon" }),
    };
    let refused = CallEventKind::ToolAnswered {
        tool: "book".to_owned(),
        is_error: true,
    };
    assert_eq!(talk.events(), [called.clone(), called.clone(), called, refused]);
}

#[tokio::test(start_paused = true)]
async fn tools_called_without_end_by_an_agent_that_does_not_listen_do_not_pile_up() {
    let mut talk = Talk::started().await;
    talk.agent.blocks();
    for _ in 0..1000 {
        talk.agent.says(tool("t"));
    }
    talk.goes_on().await;
    assert!(talk.agent.unread() > 900);

    talk.agent.unblocks();
    talk.goes_on().await;
    assert_eq!(talk.agent.unread(), 0);
    assert_eq!(talk.agent.hears().len(), 998);
}

#[tokio::test(start_paused = true)]
async fn a_key_becomes_context_for_the_agent() {
    let mut talk = Talk::started().await;
    talk.carrier.says("dtmf 5");
    talk.goes_on().await;
    assert_eq!(
        talk.agent.hears(),
        [AgentCommand::Context("The caller pressed the key 5.".to_owned())]
    );
    assert_eq!(talk.events(), [CallEventKind::Dtmf { digit: '5' }]);
}

#[tokio::test(start_paused = true)]
async fn keys_pressed_without_end_do_not_pile_up_and_the_hang_up_is_heard() {
    let mut talk = Talk::started().await;
    talk.agent.blocks();
    for _ in 0..1000 {
        talk.carrier.says("dtmf 5");
    }
    talk.goes_on().await;
    assert_eq!(talk.carrier.unread(), 0);
    talk.agent.unblocks();
    talk.goes_on().await;
    assert_eq!(talk.agent.hears().len(), 32);

    talk.agent.blocks();
    for _ in 0..1000 {
        talk.carrier.says("dtmf 5");
    }
    talk.carrier.says("stop");
    assert!(matches!(talk.ends().await, BridgeEnd::CallerHungUp));
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_noted_in_order() {
    let mut talk = Talk::started().await;
    talk.agent.says(said(Speaker::Caller, "Hello?"));
    talk.agent.says(said(Speaker::Agent, "Good morning, this is"));
    talk.agent.says(AgentEvent::Interrupted);
    let text = "Good morning".to_owned();
    talk.agent.says(AgentEvent::Corrected { text: text.clone() });
    talk.agent.says(AgentEvent::Idle);
    talk.agent.says(tool("t1"));
    talk.goes_on().await;

    let said = |speaker, text: &str| CallEventKind::Said {
        speaker,
        text: text.to_owned(),
    };
    assert_eq!(
        talk.events(),
        [
            said(Speaker::Caller, "Hello?"),
            said(Speaker::Agent, "Good morning, this is"),
            CallEventKind::Interrupted,
            CallEventKind::Corrected { text },
            CallEventKind::ToolCalled {
                tool: "book".to_owned(),
                arguments: json!({ "at": "noon" }),
            },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_journal_does_not_hold_the_audio() {
    let mut talk = Talk::with(1);
    talk.carrier.says("start CA1");
    for _ in 0..10 {
        talk.agent.says(said(Speaker::Agent, "One."));
    }
    talk.agent.says(audio(1));
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), [frame(1)]);
    assert_eq!(talk.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_understood_is_passed_over() {
    let mut talk = Talk::started().await;
    talk.carrier.says("gibberish");
    talk.carrier.says(frame(1));
    talk.goes_on().await;
    assert_eq!(samples(&talk.agent.hears()), [1]);
}
