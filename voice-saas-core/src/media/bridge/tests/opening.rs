//! What happens while the agent's socket is yet to be opened, and what it brings when it is.

use std::time::Duration;

use tokio::time::advance;

use super::fakes::{LIMITS, Talk, audio, frame, samples};
use crate::{
    call::{CallEventKind, OpenFailure},
    media::{Audio, AudioFormat, BridgeEnd, Transcoder},
    provider::voice_agent::{AgentCommand, AgentEvent, ConversationId},
};

const PCM: AudioFormat = AudioFormat::Pcm16 { rate: 16_000 };

async fn opening() -> Talk {
    let mut talk = Talk::opening(64);
    talk.carrier.says("start CA1");
    talk.goes_on().await;
    talk
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_before_the_agent_is_there_is_not_waited_for() {
    let mut talk = opening().await;
    talk.carrier.says("stop");
    assert!(matches!(talk.ends().await, BridgeEnd::CallerHungUp));

    let mut talk = opening().await;
    talk.carrier.ends();
    assert!(matches!(talk.ends().await, BridgeEnd::MediaLost));

    let mut talk = opening().await;
    advance(LIMITS.media_silence).await;
    assert!(matches!(talk.ends().await, BridgeEnd::Silence));
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_from_outside_does_not_wait_for_the_agent() {
    let mut talk = opening().await;
    talk.orders.end();
    assert!(matches!(talk.ends().await, BridgeEnd::Ended));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_be_had_ends_the_talk() {
    let mut talk = opening().await;
    talk.fails(OpenFailure::Format {
        input: PCM,
        output: PCM,
    });
    assert!(matches!(
        talk.ends().await,
        BridgeEnd::AgentUnavailable(OpenFailure::Format { .. })
    ));
    assert!(talk.events().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_late_hears_the_present_and_every_key() {
    let mut talk = opening().await;
    for sample in 1..=100 {
        talk.carrier.says(frame(sample));
    }
    talk.carrier.says("dtmf 5");
    talk.goes_on().await;
    talk.opens(|_| {});
    talk.goes_on().await;

    let heard = talk.agent.hears();
    assert_eq!(
        heard[0],
        AgentCommand::Context("The caller pressed the key 5.".to_owned())
    );
    assert_eq!(samples(&heard), (76..=100).collect::<Vec<_>>());
    let conversation = ConversationId::new("conv_1");
    assert_eq!(
        talk.events(),
        [
            CallEventKind::Dtmf { digit: '5' },
            CallEventKind::AgentReady { conversation }
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_agents_silence_is_counted_from_when_it_was_there() {
    let mut talk = opening().await;
    talk.lives_for(50).await;
    talk.opens(|_| {});
    talk.goes_on().await;
    talk.lives_for(59).await;
    talk.carrier.says(frame(0));
    advance(Duration::from_secs(1)).await;
    assert!(matches!(talk.ends().await, BridgeEnd::AgentFailed(None)));
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_said_ahead_of_its_caller_comes_first() {
    let mut talk = opening().await;
    talk.agent.says(audio(3));
    talk.opens(|opened| opened.early.extend([audio(1).into(), audio(2).into()]));
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text(), [frame(1), frame(2), frame(3)]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_of_another_format_hears_and_speaks_its_own() {
    let between = |from, to| Transcoder::between(from, to).map(Box::new);
    let mut talk = opening().await;
    // Before it is known what the agent wants to hear.
    talk.carrier.says(frame(0xff));
    talk.goes_on().await;
    talk.opens(|opened| {
        opened.to_agent = between(AudioFormat::Mulaw8k, PCM);
        opened.to_caller = between(PCM, AudioFormat::Mulaw8k);
    });
    talk.carrier.says(frame(0xff));
    talk.carrier.says("audio ***");
    talk.agent.says(Audio::encode(&[0; 640], PCM));
    talk.agent.says(Audio::from_base64("***".into(), PCM));
    talk.goes_on().await;

    let silence = AgentCommand::Audio(Audio::encode(&[0; 640], PCM));
    assert_eq!(talk.agent.hears(), [silence.clone(), silence]);
    assert_eq!(talk.carrier.hears_text(), [frame(0xff)]);

    // What follows an interruption does not go on from what was said before.
    let loud: Vec<u8> = 20_000_i16.to_le_bytes().repeat(320);
    talk.agent.says(Audio::encode(&loud, PCM));
    talk.agent.says(AgentEvent::Interrupted);
    talk.agent.says(Audio::encode(&[0; 640], PCM));
    talk.goes_on().await;
    assert_eq!(talk.carrier.hears_text().last(), Some(&frame(0xff)));
}
