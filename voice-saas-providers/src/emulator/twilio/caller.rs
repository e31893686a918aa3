//! The caller: a script played tick by tick against what the line brings.

use std::collections::VecDeque;

use super::script::{Action, Script, Step};
use crate::emulator::audio::{FRAME, SILENCE};

/// Ticks are 20 ms.
const PATIENCE: u32 = 150;
const QUIET: u32 = 10;
const BARGE_IN_AFTER: u32 = 15;
const BETWEEN_KEYS: u32 = 5;
const PROBES: usize = 25;
const LAST_ECHO: u32 = 50;

/// Plays a script. It knows no time but its ticks.
#[derive(Debug)]
pub(super) struct Caller {
    steps: VecDeque<Step>,
    /// Ticks spent in the first step.
    waited: u32,
    /// Ticks since the agent was last heard.
    quiet: u32,
    /// Ticks in the current step in which the agent was heard.
    heard: u32,
    /// How far the current step has come: bytes of speech, or probes.
    done: usize,
}

impl Caller {
    pub(super) fn new(script: &Script) -> Self {
        Self {
            steps: script.steps().into(),
            waited: 0,
            quiet: 0,
            heard: 0,
            done: 0,
        }
    }

    /// What the caller does in the next 20 ms. `voice` tells whether the agent is heard in them, `echoes` how many
    /// probes have come back. The second part is the text that begins to be said now.
    pub(super) fn tick(&mut self, voice: bool, echoes: usize) -> (Action, Option<String>) {
        if voice {
            self.heard += 1;
            self.quiet = 0;
        } else {
            self.quiet += 1;
        }
        // A step that has nothing to do in this tick gives way to the next one.
        loop {
            let Some(step) = self.steps.front() else {
                return (Action::HangUp, None);
            };
            self.waited += 1;
            match step {
                Step::AwaitAnswer => {
                    let answered = self.heard > 0 && self.quiet >= QUIET;
                    if !answered && (self.heard > 0 || self.waited < PATIENCE) {
                        return (Action::Send([SILENCE; FRAME]), None);
                    }
                }
                Step::AwaitVoice => {
                    if self.heard < BARGE_IN_AFTER && (self.heard > 0 || self.waited < PATIENCE) {
                        return (Action::Send([SILENCE; FRAME]), None);
                    }
                }
                Step::Speak { text, audio } => {
                    if let Some(rest) = audio.get(self.done..).filter(|rest| !rest.is_empty()) {
                        let begins = (self.done == 0).then(|| text.clone());
                        let part = rest.len().min(FRAME);
                        let mut frame = [SILENCE; FRAME];
                        frame[..part].copy_from_slice(&rest[..part]);
                        self.done += part;
                        // Only what is heard after the last word can be the answer to it.
                        self.heard = 0;
                        return (Action::Send(frame), begins);
                    }
                }
                Step::Press(key) => {
                    if self.waited == 1 {
                        return (Action::Press(*key), None);
                    }
                    if self.waited < BETWEEN_KEYS {
                        return (Action::Send([SILENCE; FRAME]), None);
                    }
                }
                Step::Probe => {
                    if self.done < PROBES {
                        self.done += 1;
                        self.waited = 0;
                        return (Action::Probe(self.done - 1), None);
                    }
                    if echoes < PROBES && self.waited < LAST_ECHO {
                        return (Action::Send([SILENCE; FRAME]), None);
                    }
                }
            }
            self.steps.pop_front();
            (self.waited, self.heard, self.done) = (0, 0, 0);
        }
    }

    /// Whether the round trip is being measured now.
    pub(super) fn probes(&self) -> bool {
        matches!(self.steps.front(), Some(Step::Probe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::twilio::script::CallerAudio;

    fn silent() -> Script {
        Script::new().with_audio(CallerAudio::Silence).without_probe()
    }

    /// Ticks until the caller does something else than sending silence.
    fn wait(caller: &mut Caller, voice: bool) -> (u32, Action) {
        for ticks in 1..1_000 {
            let (action, _) = caller.tick(voice, 0);
            if action != Action::Send([SILENCE; FRAME]) {
                return (ticks, action);
            }
        }
        panic!("the caller waits for ever");
    }

    #[test]
    fn an_agent_that_says_nothing_is_waited_for_three_seconds() {
        let (ticks, action) = wait(&mut Caller::new(&silent()), false);
        assert_eq!((ticks, action), (PATIENCE, Action::HangUp));
    }

    #[test]
    fn the_greeting_is_over_after_200_ms_of_quiet() {
        let mut caller = Caller::new(&silent());
        for _ in 0..300 {
            assert_eq!(caller.tick(true, 0).0, Action::Send([SILENCE; FRAME]));
        }
        assert_eq!(wait(&mut caller, false), (QUIET, Action::HangUp));
    }

    #[test]
    fn a_barge_in_starts_300_ms_into_the_greeting() {
        let mut caller = Caller::new(&silent().with_say("hi").with_barge_in());
        let (ticks, action) = wait(&mut caller, true);
        assert_eq!(ticks, BARGE_IN_AFTER);
        assert!(matches!(action, Action::Send(_)));
    }

    #[test]
    fn every_text_waits_for_the_answer_to_the_one_before() {
        let mut caller = Caller::new(&silent().with_say("a").with_say("b"));
        wait(&mut caller, false);
        let mut said = Vec::new();
        for tick in 0..400 {
            // The agent speaks for a while after each text.
            let (action, begins) = caller.tick(matches!(tick, 20..40 | 120..140), 0);
            said.extend(begins.map(|text| (tick, text)));
            if action == Action::HangUp {
                break;
            }
        }
        assert_eq!(said, [(49, "b".to_owned())]);
    }

    #[test]
    fn keys_and_probes_come_last_and_each_probe_once() {
        let script = Script::new().with_audio(CallerAudio::Silence).with_dtmf("1#");
        let mut caller = Caller::new(&script);
        let mut actions = Vec::new();
        loop {
            let (action, _) = caller.tick(false, actions.len());
            match action {
                Action::HangUp => break,
                Action::Send(_) => {}
                other => actions.push(other),
            }
        }
        assert_eq!(actions[..2], [Action::Press('1'), Action::Press('#')]);
        assert_eq!(actions[2..], (0..PROBES).map(Action::Probe).collect::<Vec<_>>());
    }
}
