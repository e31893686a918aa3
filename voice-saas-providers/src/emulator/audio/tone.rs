//! Speech made of tones, which gives the emulated agent a voice and an ear.
//!
//! A byte of text is one 20 ms frame: the sum of a low tone for its high nibble (400 to 1150 Hz) and a high tone
//! for its low nibble (1500 to 2250 Hz), both in steps of 50 Hz. A frame holds a whole number of periods of each,
//! so the tones are orthogonal within it and a Goertzel filter per tone finds them again after μ-law coding.
//! Text stands between two bytes that no text holds, [`START`] and [`END`]; a byte between [`FIRST_PROBE`] and
//! [`LAST_PROBE`] outside any text is a probe of the round trip.

use std::sync::LazyLock;

use super::{FRAME, clamp, is_silent, ulaw};

const START: u8 = 0x02;
const END: u8 = 0x03;
const FIRST_PROBE: u8 = 0x80;
const LAST_PROBE: u8 = 0xBF;
/// The longest text of one utterance, in bytes: about two and a half minutes.
const LONGEST_TEXT: usize = 8_000;
/// An utterance that misses this many frames in a row was cut off.
const LOST_FRAMES: u32 = 5;

const STEP_HZ: usize = 50;
const LOW_HZ: usize = 400;
const HIGH_HZ: usize = 1_500;
const TONES: usize = 16;
const AMPLITUDE: f32 = 8_000.0;

/// The frame of every byte, made once.
static SYMBOLS: LazyLock<Vec<[u8; FRAME]>> = LazyLock::new(|| (0..=u8::MAX).map(synthesize).collect());
/// One full turn of the unit circle in `FRAME` steps: bin `k` of a frame advances by `k` steps a sample.
static CIRCLE: LazyLock<[f32; FRAME]> = LazyLock::new(|| std::array::from_fn(|step| angle(step).cos()));

#[expect(clippy::cast_precision_loss, reason = "steps of the circle are below FRAME")]
fn angle(step: usize) -> f32 {
    std::f32::consts::TAU * (step % FRAME) as f32 / FRAME as f32
}

fn low_bin(nibble: usize) -> usize {
    (LOW_HZ + nibble * STEP_HZ) / STEP_HZ
}

fn high_bin(nibble: usize) -> usize {
    (HIGH_HZ + nibble * STEP_HZ) / STEP_HZ
}

fn synthesize(byte: u8) -> [u8; FRAME] {
    let (low, high) = (
        low_bin(usize::from(byte >> 4)),
        high_bin(usize::from(byte & 0x0F)),
    );
    std::array::from_fn(|at| {
        ulaw::encode(clamp(
            AMPLITUDE * (angle(low * at).sin() + angle(high * at).sin()),
        ))
    })
}

/// The utterance of `text`: a start symbol, one frame a byte, and an end symbol.
pub(crate) fn speak(text: &str) -> Vec<u8> {
    let spoken = text
        .bytes()
        .filter(|byte| !matches!(*byte, START | END))
        .take(LONGEST_TEXT);
    std::iter::once(START)
        .chain(spoken)
        .chain(std::iter::once(END))
        .flat_map(|byte| SYMBOLS[usize::from(byte)])
        .collect()
}

/// The probe frame with this index; indices beyond the number of probes repeat.
pub(crate) fn probe(index: usize) -> [u8; FRAME] {
    let count = usize::from(LAST_PROBE - FIRST_PROBE) + 1;
    SYMBOLS[usize::from(FIRST_PROBE) + index % count]
}

/// The index of the probe that `frame` is a faithful copy of.
pub(crate) fn probe_of(frame: &[u8]) -> Option<usize> {
    let symbol = symbol_of(frame).filter(|symbol| (FIRST_PROBE..=LAST_PROBE).contains(symbol))?;
    (SYMBOLS[usize::from(symbol)] == frame).then(|| usize::from(symbol - FIRST_PROBE))
}

/// The byte that a frame carries, if it is the sum of exactly one low and one high tone.
fn symbol_of(frame: &[u8]) -> Option<u8> {
    const PURITY: f32 = 0.9;
    const EACH: f32 = 0.3;
    if frame.len() != FRAME || is_silent(frame) {
        return None;
    }
    let samples: [f32; FRAME] = std::array::from_fn(|at| f32::from(ulaw::decode(frame[at])));
    let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
    let (low, low_power) = strongest(&samples, low_bin);
    let (high, high_power) = strongest(&samples, high_bin);
    // A tone of amplitude A has |X|² = (A·N/2)² in its bin and A²·N/2 of energy in the frame.
    #[expect(clippy::cast_precision_loss, reason = "FRAME is 160")]
    let share = |power: f32| 2.0 * power / (FRAME as f32 * energy);
    let (low_share, high_share) = (share(low_power), share(high_power));
    let pure = low_share > EACH && high_share > EACH && low_share + high_share > PURITY;
    pure.then(|| u8::try_from(low << 4 | high).ok()).flatten()
}

fn strongest(samples: &[f32; FRAME], bin: impl Fn(usize) -> usize) -> (usize, f32) {
    (0..TONES)
        .map(|nibble| (nibble, goertzel(samples, bin(nibble))))
        .fold(
            (0, 0.0),
            |best, candidate| {
                if candidate.1 > best.1 { candidate } else { best }
            },
        )
}

/// The power of one DFT bin.
fn goertzel(samples: &[f32; FRAME], bin: usize) -> f32 {
    let coefficient = 2.0 * CIRCLE[bin % FRAME];
    let (mut previous, mut before) = (0.0_f32, 0.0_f32);
    for sample in samples {
        let next = sample + coefficient * previous - before;
        before = previous;
        previous = next;
    }
    previous * previous + before * before - coefficient * previous * before
}

/// What a [`ToneReader`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An utterance begins.
    Start,
    /// An utterance ended; `complete` is false when it was cut off before its end symbol.
    Text { text: String, complete: bool },
    /// A probe frame, outside any utterance.
    Probe,
    /// A frame of a running utterance.
    Part,
}

/// Finds tone-speech in a stream of frames.
#[derive(Debug, Default)]
pub(crate) struct ToneReader {
    utterance: Option<Vec<u8>>,
    lost: u32,
}

impl ToneReader {
    /// Takes the next frame; `None` means that it holds no tone-speech.
    pub(crate) fn push(&mut self, frame: &[u8]) -> Option<Heard> {
        match (symbol_of(frame), &mut self.utterance) {
            (Some(START), _) => {
                self.utterance = Some(Vec::new());
                self.lost = 0;
                Some(Heard::Start)
            }
            (Some(END), Some(_)) => self.end(true),
            (Some(byte), Some(bytes)) => {
                self.lost = 0;
                bytes.push(byte);
                if bytes.len() >= LONGEST_TEXT {
                    self.end(false)
                } else {
                    Some(Heard::Part)
                }
            }
            (Some(FIRST_PROBE..=LAST_PROBE), None) => Some(Heard::Probe),
            (_, None) => None,
            (None, Some(_)) => {
                self.lost += 1;
                if self.lost > LOST_FRAMES {
                    self.end(false)
                } else {
                    None
                }
            }
        }
    }

    /// Ends an utterance that is still running, as when the audio behind it was thrown away.
    pub(crate) fn cut(&mut self) -> Option<Heard> {
        self.end(false)
    }

    fn end(&mut self, complete: bool) -> Option<Heard> {
        self.lost = 0;
        let bytes = self.utterance.take()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (complete || !text.is_empty()).then_some(Heard::Text { text, complete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::audio::{SILENCE, SPEECH};

    #[track_caller]
    fn check(audio: &[u8], expected: &[&str]) {
        let mut reader = ToneReader::default();
        let heard: Vec<String> = audio
            .chunks(FRAME)
            .filter_map(|frame| match reader.push(frame) {
                Some(Heard::Text { text, complete: true }) => Some(text),
                _ => None,
            })
            .collect();
        assert_eq!(heard, expected);
    }

    #[test]
    fn every_byte_is_told_apart_after_mu_law() {
        for byte in 0..=u8::MAX {
            assert_eq!(symbol_of(&SYMBOLS[usize::from(byte)]), Some(byte));
        }
    }

    #[test]
    fn text_is_found_wherever_it_stands_between_silence() {
        let text = "Hello, this is Ačmé ☎. 10 % off!";
        // A fixed multiplicative sequence stands in for randomness, so that a failure repeats.
        let mut seed = 12_345_u32;
        for _ in 0..20 {
            let mut offset = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as usize
            };
            let mut audio = vec![SILENCE; offset() * FRAME];
            audio.extend(speak(text));
            audio.extend(vec![SILENCE; offset() * FRAME]);
            audio.extend(speak("second"));
            check(&audio, &[text, "second"]);
        }
    }

    #[test]
    fn an_utterance_that_is_cut_off_is_told_as_incomplete() {
        let mut reader = ToneReader::default();
        let audio = speak("Hello, this is a long greeting");
        for frame in audio.chunks(FRAME).take(6) {
            reader.push(frame);
        }
        assert_eq!(
            reader.cut(),
            Some(Heard::Text {
                text: "Hello".into(),
                complete: false
            })
        );
        assert_eq!(reader.cut(), None);
    }

    #[test]
    fn human_speech_is_not_taken_for_tone_speech() {
        let mut reader = ToneReader::default();
        assert!(SPEECH.chunks(FRAME).all(|frame| reader.push(frame).is_none()));
    }

    #[test]
    fn probes_are_distinct_and_found_again() {
        for index in 0..25 {
            assert_eq!(probe_of(&probe(index)), Some(index));
            assert_eq!(ToneReader::default().push(&probe(index)), Some(Heard::Probe));
        }
    }
}
