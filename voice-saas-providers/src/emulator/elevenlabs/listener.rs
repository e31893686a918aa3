//! The agent's ear: silence, tone-speech, the known recording, and probes.

use crate::emulator::audio::{Heard, Recogniser, ToneReader, is_silent};

/// Frames of 20 ms.
const VOICE_ONSET: u32 = 3;
const END_OF_UTTERANCE: u32 = 25;
/// What is shorter was a noise.
const SHORTEST_UTTERANCE: u32 = 10;
/// What speech-to-text makes of sounds without words.
const NO_WORDS: &str = "...";

/// What a frame means to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hearing {
    /// The caller began to speak.
    VoiceStarted,
    /// A probe, to be echoed at once.
    Probe,
    /// The caller has finished saying this.
    Utterance(String),
}

#[derive(Debug, Default)]
pub(super) struct Listener {
    reader: ToneReader,
    recogniser: Recogniser,
    in_text: bool,
    voiced: u32,
    silent: u32,
}

impl Listener {
    /// Takes the next frame.
    pub(super) fn push(&mut self, frame: &[u8]) -> Option<Hearing> {
        if !self.in_text && is_silent(frame) {
            return self.silence();
        }
        self.silent = 0;
        match self.reader.push(frame) {
            Some(Heard::Start) => {
                let started = self.voiced >= VOICE_ONSET;
                self.forget();
                self.in_text = true;
                (!started).then_some(Hearing::VoiceStarted)
            }
            Some(Heard::Text { text, .. }) => {
                self.forget();
                (!text.trim().is_empty()).then_some(Hearing::Utterance(text))
            }
            Some(Heard::Probe) => Some(Hearing::Probe),
            Some(Heard::Part) => None,
            None if self.in_text => None,
            None => {
                self.voiced += 1;
                if let Some(text) = self.recogniser.push(frame) {
                    self.forget();
                    return Some(Hearing::Utterance(text.to_owned()));
                }
                (self.voiced == VOICE_ONSET).then_some(Hearing::VoiceStarted)
            }
        }
    }

    fn silence(&mut self) -> Option<Hearing> {
        if self.voiced == 0 {
            return None;
        }
        self.silent += 1;
        if self.silent < END_OF_UTTERANCE {
            return None;
        }
        let long_enough = self.voiced >= SHORTEST_UTTERANCE;
        let recognised = self.recogniser.conclude();
        self.forget();
        let text = recognised.or(long_enough.then_some(NO_WORDS))?;
        Some(Hearing::Utterance(text.to_owned()))
    }

    fn forget(&mut self) {
        // The reader keeps its utterance, which has perhaps only begun.
        let reader = std::mem::take(&mut self.reader);
        *self = Self {
            reader,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::audio::{FRAME, SILENCE, SPEECH, SPEECH_TEXT, probe, speak, test_tone};

    #[track_caller]
    fn check(audio: &[u8], expected: &[Hearing]) {
        let mut listener = Listener::default();
        let heard: Vec<_> = audio
            .chunks(FRAME)
            .filter_map(|frame| listener.push(frame))
            .collect();
        assert_eq!(heard, expected);
    }

    fn utterance(text: &str) -> Vec<Hearing> {
        vec![Hearing::VoiceStarted, Hearing::Utterance(text.into())]
    }

    fn silence(frames: usize) -> Vec<u8> {
        vec![SILENCE; frames * FRAME]
    }

    #[test]
    fn tone_speech_is_understood_at_its_end() {
        check(
            &[silence(7), speak("book me in"), silence(3)].concat(),
            &utterance("book me in"),
        );
    }

    #[test]
    fn the_recording_is_understood_once() {
        check(
            &[silence(7), SPEECH.to_vec(), silence(60)].concat(),
            &utterance(SPEECH_TEXT),
        );
    }

    #[test]
    fn a_tone_has_no_words() {
        check(&[test_tone(50), silence(30)].concat(), &utterance("..."));
    }

    #[test]
    fn a_click_is_no_utterance() {
        check(&[silence(3), test_tone(2), silence(60)].concat(), &[]);
    }

    #[test]
    fn a_probe_is_heard_at_once() {
        check(
            &[silence(2), probe(3).to_vec(), silence(40)].concat(),
            &[Hearing::Probe],
        );
    }

    #[test]
    fn speech_that_is_cut_off_counts_as_far_as_it_went() {
        let audio = [speak("hello there")[..6 * FRAME].to_vec(), silence(10)].concat();
        check(&audio, &utterance("hello"));
    }
}
