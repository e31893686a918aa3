//! The audio formats of an agent socket, converted to and from the telephone's.

use super::{clamp, ulaw};

const TELEPHONE_RATE: u32 = 8_000;

/// An audio format name such as `ulaw_8000` or `pcm_16000` (16-bit little-endian).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AudioFormat {
    Ulaw,
    Pcm(u32),
}

impl AudioFormat {
    /// Every name that the agents API accepts.
    pub(crate) const NAMES: [&str; 7] = [
        "pcm_8000",
        "pcm_16000",
        "pcm_22050",
        "pcm_24000",
        "pcm_44100",
        "pcm_48000",
        "ulaw_8000",
    ];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        if name == "ulaw_8000" {
            return Some(Self::Ulaw);
        }
        let rate = Self::NAMES
            .contains(&name)
            .then(|| name.strip_prefix("pcm_"))
            .flatten()?;
        rate.parse().ok().map(Self::Pcm)
    }

    /// Telephone audio in this format.
    ///
    /// Takes the nearest sample; the tones lie far below the mirror images that this leaves.
    pub(crate) fn encode(self, audio: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Ulaw => audio,
            Self::Pcm(rate) => resample(audio.len(), TELEPHONE_RATE, rate)
                .flat_map(|at| ulaw::decode(audio[at]).to_le_bytes())
                .collect(),
        }
    }

    /// Audio in this format as telephone audio.
    pub(crate) fn decode(self, audio: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Ulaw => audio,
            Self::Pcm(rate) => {
                let samples: Vec<i16> = audio
                    .chunks_exact(2)
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                    .collect();
                resample(samples.len(), rate, TELEPHONE_RATE)
                    .map(|at| ulaw::encode(clamp(f32::from(samples[at]))))
                    .collect()
            }
        }
    }
}

/// The index of the source sample for every sample of the result.
fn resample(samples: usize, from: u32, to: u32) -> impl Iterator<Item = usize> {
    let (from, to) = (from as usize, to as usize);
    (0..samples * to / from).map(move |at| (at * from / to).min(samples.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::audio::{FRAME, Heard, ToneReader, speak};

    #[test]
    fn tone_speech_survives_every_format() {
        for name in AudioFormat::NAMES {
            let format = AudioFormat::parse(name).expect("a listed name parses");
            let back = format.decode(format.encode(speak("Hi there")));
            let mut reader = ToneReader::default();
            let heard = back.chunks(FRAME).filter_map(|frame| reader.push(frame)).last();
            assert_eq!(
                heard,
                Some(Heard::Text {
                    text: "Hi there".into(),
                    complete: true
                }),
                "{name}"
            );
        }
    }

    #[test]
    fn an_unknown_format_is_refused() {
        assert_eq!(AudioFormat::parse("pcm_11025"), None);
        assert_eq!(AudioFormat::parse("opus_48000"), None);
    }
}
