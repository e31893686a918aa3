//! Telephone audio: G.711 μ-law at 8 kHz, 20 ms frames, and the two kinds of speech the emulator understands.

mod format;
mod recording;
mod tone;
mod ulaw;
mod wav;

pub(crate) use format::AudioFormat;
pub(crate) use recording::{Recogniser, SPEECH, SPEECH_TEXT};
pub(crate) use tone::{Heard, ToneReader, probe, probe_of, speak};
pub(crate) use wav::ulaw_wav;

/// Bytes of μ-law in 20 ms, the unit in which a telephone network moves audio.
pub(crate) const FRAME: usize = 160;
/// The μ-law byte of silence (linear zero).
pub(crate) const SILENCE: u8 = 0xFF;

/// Whether nobody would hear `frame`: every sample stays below about -48 dBFS.
///
/// Works on the companded bytes, so that an idle line costs no decoding.
pub(crate) fn is_silent(frame: &[u8]) -> bool {
    const QUIET_STEPS: u8 = 16;
    frame.iter().all(|&byte| (!byte & 0x7F) < QUIET_STEPS)
}

/// A plain 440 Hz tone of the given number of frames.
pub(crate) fn test_tone(frames: usize) -> Vec<u8> {
    const AMPLITUDE: f32 = 8_000.0;
    (0..frames * FRAME)
        .map(|at| {
            // The phase repeats every second, which keeps the argument small and exact in f32.
            let at = f32::from(u16::try_from(at % 8_000).unwrap_or_default());
            ulaw::encode(clamp(
                AMPLITUDE * (std::f32::consts::TAU * 440.0 * at / 8_000.0).sin(),
            ))
        })
        .collect()
}

/// Rounds a sample into the 16-bit range.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the value is clamped to the range of i16 first"
)]
fn clamp(sample: f32) -> i16 {
    sample.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_silent_and_a_tone_is_not() {
        assert!(is_silent(&[SILENCE; FRAME]));
        assert!(is_silent(&[0x7F; FRAME]));
        let tone = test_tone(2);
        assert_eq!(tone.len(), 2 * FRAME);
        assert!(tone.chunks(FRAME).all(|frame| !is_silent(frame)));
    }
}
