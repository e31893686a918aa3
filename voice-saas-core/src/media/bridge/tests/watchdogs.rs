//! What ends a bridge from outside, or when nobody says anything.

use std::time::Duration;

use tokio::time::advance;

use super::fakes::{LIMITS, Talk, audio, frame};
use crate::{media::BridgeEnd, provider::voice_agent::AgentEvent};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn it_ends_when_it_is_told_to() {
    let mut talk = Talk::started().await;
    talk.orders.end();
    assert!(matches!(talk.ends().await, BridgeEnd::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_media_socket_that_brings_nothing_is_dead() {
    for started in [true, false] {
        let mut talk = if started {
            Talk::started().await
        } else {
            Talk::new()
        };
        talk.goes_on().await;
        advance(Duration::from_secs(9)).await;
        talk.carrier.says("mark other");
        talk.goes_on().await;
        advance(SECOND).await;
        assert!(matches!(talk.ends().await, BridgeEnd::Silence));
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_says_nothing_is_dead() {
    let mut talk = Talk::started().await;
    talk.lives_for(50).await;
    talk.agent.says(AgentEvent::Idle);
    talk.goes_on().await;
    talk.lives_for(59).await;
    talk.carrier.says(frame(0));
    advance(SECOND).await;
    assert!(matches!(talk.ends().await, BridgeEnd::AgentFailed(None)));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_not_longer_than_calls_may_be() {
    let mut talk = Talk::started().await;
    for _ in 0..71 {
        talk.agent.says(AgentEvent::Idle);
        talk.lives_for(50).await;
    }
    talk.agent.says(AgentEvent::Idle);
    talk.lives_for(49).await;
    talk.carrier.says(frame(0));
    advance(SECOND).await;
    assert!(matches!(talk.ends().await, BridgeEnd::MaxDuration));
}

#[tokio::test(start_paused = true)]
async fn a_media_socket_that_dies_while_the_last_words_are_played_is_no_loss() {
    let mut talk = Talk::started().await;
    talk.agent.ends();
    talk.goes_on().await;
    advance(LIMITS.media_silence).await;
    assert!(matches!(talk.ends().await, BridgeEnd::AgentEnded));
}

#[tokio::test(start_paused = true)]
async fn a_carrier_that_speaks_but_takes_nothing_is_lost() {
    let mut talk = Talk::started().await;
    talk.lives_for(15).await;
    talk.carrier.blocks();
    talk.agent.says(audio(1));
    talk.lives_for(9).await;
    talk.carrier.says(frame(0));
    advance(SECOND).await;
    assert!(matches!(talk.ends().await, BridgeEnd::MediaLost));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_finds_the_proof_of_life_in_its_sockets() {
    let mut talk = Talk::started().await;
    talk.carrier.says(frame(1));
    talk.agent.says(audio(1));
    advance(LIMITS.agent_silence).await;
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), [frame(1)]);
}

#[tokio::test(start_paused = true)]
async fn sockets_that_never_pause_do_not_outrun_the_watchdogs() {
    let mut talk = Talk::started().await;
    talk.carrier.says_without_end(frame(1));
    talk.agent.says_without_end(audio(1));
    assert!(talk.poll().is_none());
    talk.orders.end();
    assert!(matches!(talk.ends().await, BridgeEnd::Ended));

    let mut talk = Talk::started().await;
    talk.carrier.says_without_end(frame(1));
    talk.agent.says_without_end(audio(1));
    assert!(talk.poll().is_none());
    advance(LIMITS.max_call).await;
    assert!(matches!(talk.ends().await, BridgeEnd::MaxDuration));
}
