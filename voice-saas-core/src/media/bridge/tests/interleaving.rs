//! However the sides take turns in blocking, nothing is lost that must not be, and nobody sleeps on work.

use proptest::{collection::vec, prelude::*};

use super::fakes::{Talk, audio, frame, samples};

#[derive(Debug, Clone, Copy)]
enum Step {
    CallerSpeaks,
    AgentSpeaks,
    PressKey,
    BlockAgent,
    UnblockAgent,
    BlockCarrier,
    UnblockCarrier,
    Run,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::CallerSpeaks),
        4 => Just(Step::AgentSpeaks),
        1 => Just(Step::PressKey),
        1 => Just(Step::BlockAgent),
        1 => Just(Step::UnblockAgent),
        1 => Just(Step::BlockCarrier),
        1 => Just(Step::UnblockCarrier),
        4 => Just(Step::Run),
    ]
}

async fn play(steps: &[Step]) {
    let mut talk = Talk::started().await;
    let (mut caller, mut agent) = (0, 0);
    for step in steps {
        match step {
            Step::CallerSpeaks => {
                caller += 1;
                talk.carrier.says(frame(caller));
            }
            Step::AgentSpeaks => {
                agent += 1;
                talk.agent.says(audio(agent));
            }
            Step::PressKey => talk.carrier.says("dtmf 1"),
            Step::BlockAgent => talk.agent.blocks(),
            Step::UnblockAgent => talk.agent.unblocks(),
            Step::BlockCarrier => talk.carrier.blocks(),
            Step::UnblockCarrier => talk.carrier.unblocks(),
            Step::Run => talk.goes_on().await,
        }
    }
    talk.agent.unblocks();
    talk.carrier.unblocks();
    talk.goes_on().await;

    assert_eq!(
        talk.carrier.hears_text(),
        (1..=agent).map(frame).collect::<Vec<_>>()
    );
    let heard = samples(&talk.agent.hears());
    assert!(heard.is_sorted(), "{heard:?}");
    assert_eq!(heard.last(), (caller > 0).then_some(&caller));
    assert_eq!((talk.carrier.unread(), talk.agent.unread()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_word_of_the_agent_and_the_callers_newest_audio_arrive_in_order(steps in vec(step(), 0..250)) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(play(&steps));
    }
}
