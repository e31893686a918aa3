//! However a talk is ended, the caller hears what the agent said, and does not wait for what never comes.

use std::time::Duration;

use tokio::time::advance;

use super::{
    fakes::{Talk, audio, frame},
    mark,
};
use crate::{
    media::{Audio, AudioFormat, BridgeEnd},
    provider::voice_agent::{AgentCommand, AgentEvent},
};

const SECOND: Duration = Duration::from_secs(1);

fn words(seconds: usize) -> Audio {
    Audio::encode(&vec![9; seconds * 8000], AudioFormat::Mulaw8k)
}

#[tokio::test(start_paused = true)]
async fn an_order_to_say_goodbye_lets_the_caller_hear_what_the_agent_said() {
    let mut talk = Talk::started().await;
    talk.agent.says(audio(1));
    talk.orders.say_goodbye();
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), [mark(), frame(1)]);

    // The mark before the goodbye says nothing; the one behind it does.
    talk.carrier.says(mark());
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), ["mark last-words-2"]);
    advance(SECOND).await;
    talk.goes_on().await;
    talk.carrier.says("mark last-words-2");
    assert!(matches!(talk.ends().await, BridgeEnd::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_is_spoken_after_the_order_is_heard_to_its_end() {
    let mut talk = Talk::started().await;
    talk.orders.say_goodbye();
    talk.goes_on().await;
    talk.carrier.says(mark());
    talk.goes_on().await;
    advance(SECOND / 2).await;
    talk.agent.says(audio(1));
    talk.goes_on().await;
    assert_eq!(
        talk.carrier.hears_text(),
        [mark(), frame(1), "mark last-words-2".to_owned()]
    );
    talk.carrier.says("mark last-words-2");
    talk.goes_on().await;
    advance(SECOND / 2).await;
    talk.carrier.says(frame(0));
    talk.goes_on().await;
    advance(SECOND / 2).await;
    talk.carrier.says(frame(0));
    assert!(matches!(talk.ends().await, BridgeEnd::Ended));
}

#[tokio::test(start_paused = true)]
async fn after_an_order_to_say_goodbye_an_agent_that_says_nothing_is_not_waited_for() {
    let mut talk = Talk::started().await;
    talk.orders.say_goodbye();
    talk.goes_on().await;
    talk.carrier.says(mark());
    advance(SECOND).await;
    assert!(matches!(talk.ends().await, BridgeEnd::Ended));
}

#[tokio::test(start_paused = true)]
async fn after_an_order_to_say_goodbye_the_caller_is_heard_and_the_agent_answered() {
    let mut talk = Talk::started().await;
    talk.orders.say_goodbye();
    talk.agent.says(super::tool("t1"));
    talk.carrier.says(frame(1));
    talk.goes_on().await;
    let answer = AgentCommand::Context("ended".to_owned());
    let request = talk.tools.try_recv().unwrap();
    request.answer.send(answer.clone()).await.unwrap();
    talk.goes_on().await;
    assert_eq!(talk.agent.hears(), [AgentCommand::Audio(audio(1)), answer]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_may_leave_in_any_way_after_an_order_to_say_goodbye() {
    for leave in [
        |talk: &Talk| talk.agent.ends(),
        |talk: &Talk| talk.agent.breaks(),
        |talk: &Talk| {
            talk.agent.refuses();
            talk.agent.breaks();
        },
    ] {
        let mut talk = Talk::started().await;
        talk.agent.says(audio(1));
        talk.goes_on().await;
        talk.orders.say_goodbye();
        leave(&talk);
        talk.carrier.says(frame(1));
        talk.goes_on().await;
        assert_eq!(talk.carrier.hears_text(), [frame(1), mark()]);
        // Nobody speaks any more, so there is no pause to wait for.
        talk.carrier.says(mark());
        assert!(matches!(talk.ends().await, BridgeEnd::Ended));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_interrupts_the_goodbye_does_not_keep_the_call_from_ending() {
    let mut talk = Talk::started().await;
    talk.carrier.blocks();
    talk.agent.says(words(5));
    talk.orders.say_goodbye();
    talk.goes_on().await;
    talk.agent.says(AgentEvent::Interrupted);
    talk.goes_on().await;
    talk.carrier.unblocks();
    talk.goes_on().await;
    // The first mark was dropped with the words before it.
    assert_eq!(talk.carrier.hears_text(), ["clear", "mark last-words-2"]);
    talk.carrier.says("mark last-words-2");
    advance(SECOND).await;
    assert!(matches!(talk.ends().await, BridgeEnd::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_during_an_ordered_goodbye_changes_nothing() {
    let mut talk = Talk::started().await;
    talk.orders.say_goodbye();
    talk.goes_on().await;
    talk.carrier.says("stop");
    assert!(matches!(talk.ends().await, BridgeEnd::Ended));
}

/// How many seconds pass until the agent's end is the call's, when the mark never comes back.
async fn lasts(mut talk: Talk) -> u64 {
    let (seconds, end) = talk.lasts().await;
    assert!(matches!(end, BridgeEnd::AgentEnded));
    seconds
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_never_comes_is_waited_for_as_long_as_there_is_something_to_play_and_a_moment_longer() {
    for (seconds, expected) in [(0, 2), (5, 7), (15, 17), (60, 30)] {
        let talk = Talk::started().await;
        if seconds > 0 {
            talk.agent.says(words(seconds));
        }
        talk.agent.ends();
        assert_eq!(lasts(talk).await, expected, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn words_that_were_played_or_interrupted_before_the_end_are_not_waited_for() {
    let mut talk = Talk::started().await;
    talk.agent.says(words(5));
    talk.goes_on().await;
    talk.lives_for(4).await;
    talk.agent.ends();
    assert_eq!(lasts(talk).await, 3);

    let talk = Talk::started().await;
    talk.agent.says(words(20));
    talk.agent.says(AgentEvent::Interrupted);
    talk.agent.ends();
    assert_eq!(lasts(talk).await, 2);
}

#[tokio::test(start_paused = true)]
async fn words_that_a_slow_carrier_takes_late_are_waited_for_from_then_on() {
    let mut talk = Talk::started().await;
    talk.carrier.blocks();
    talk.agent.says(words(5));
    talk.agent.ends();
    talk.lives_for(8).await;
    talk.carrier.unblocks();
    assert_eq!(lasts(talk).await, 7);
}

#[tokio::test(start_paused = true)]
async fn words_before_the_stream_starts_are_waited_for_too() {
    let talk = Talk::new();
    talk.agent.says(words(5));
    talk.agent.ends();
    talk.carrier.says("start CA1");
    assert_eq!(lasts(talk).await, 7);
}
