//! One sentence spoken by a speech synthesiser, and the ear that recognises it.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{FRAME, is_silent};

/// A spoken sentence of about four seconds: headerless μ-law, 8 kHz, whole frames.
pub(crate) const SPEECH: &[u8] = include_bytes!("speech.ulaw");
/// What [`SPEECH`] says.
pub(crate) const SPEECH_TEXT: &str =
    "Hello, I would like to book an appointment for tomorrow morning, please.";

/// Where each voiced frame of the recording stands in it.
static POSITIONS: LazyLock<HashMap<&'static [u8], usize>> = LazyLock::new(|| {
    SPEECH
        .chunks(FRAME)
        .enumerate()
        .filter(|(_, frame)| !is_silent(frame))
        .map(swap)
        .collect()
});
static LAST_VOICED: LazyLock<usize> = LazyLock::new(|| POSITIONS.values().copied().max().unwrap_or_default());

fn swap((at, frame): (usize, &'static [u8])) -> (&'static [u8], usize) {
    (frame, at)
}

/// Recognises the recording by its frames: most of them, unchanged and in order.
#[derive(Debug, Default)]
pub(crate) struct Recogniser {
    next: usize,
    matched: usize,
}

impl Recogniser {
    /// Takes the next voiced frame; answers the text when the recording has come to its end.
    pub(crate) fn push(&mut self, frame: &[u8]) -> Option<&'static str> {
        let at = *POSITIONS.get(frame)?;
        if at < self.next {
            *self = Self::default();
        }
        self.next = at + 1;
        self.matched += 1;
        if at == *LAST_VOICED { self.conclude() } else { None }
    }

    /// The utterance is over: the text if enough of the recording was in it. Forgets it in either case.
    pub(crate) fn conclude(&mut self) -> Option<&'static str> {
        let recognised = self.matched * 10 >= POSITIONS.len() * 6;
        *self = Self::default();
        recognised.then_some(SPEECH_TEXT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frames: impl Iterator<Item = &'static [u8]>, expected: Option<&str>) {
        let mut recogniser = Recogniser::default();
        let mut heard = None;
        for frame in frames {
            heard = heard.or(recogniser.push(frame));
        }
        assert_eq!(heard.or_else(|| recogniser.conclude()), expected);
    }

    #[test]
    fn the_recording_is_recognised_at_its_last_frame() {
        let mut recogniser = Recogniser::default();
        let heard: Vec<usize> = SPEECH
            .chunks(FRAME)
            .enumerate()
            .filter_map(|(at, frame)| recogniser.push(frame).map(|_| at))
            .collect();
        assert_eq!(heard, [*LAST_VOICED]);
    }

    #[test]
    fn a_few_lost_frames_do_not_matter() {
        check(
            SPEECH
                .chunks(FRAME)
                .enumerate()
                .filter(|(at, _)| at % 10 != 3)
                .map(|(_, f)| f),
            Some(SPEECH_TEXT),
        );
        check(SPEECH.chunks(FRAME).take(190), Some(SPEECH_TEXT));
    }

    #[test]
    fn half_of_the_recording_is_not_recognised() {
        check(SPEECH.chunks(FRAME).take(100), None);
    }

    #[test]
    fn frames_out_of_order_are_not_recognised() {
        let mut frames: Vec<_> = SPEECH.chunks(FRAME).collect();
        frames.reverse();
        check(frames.into_iter(), None);
    }
}
