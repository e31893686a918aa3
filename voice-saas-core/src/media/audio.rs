//! Audio as it travels: base64 text of G.711 or PCM, cut anywhere.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::MediaError;

/// How samples are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AudioFormat {
    /// G.711 µ-law at 8 kHz, one byte a sample: what telephony speaks.
    Mulaw8k,
    /// Linear 16-bit little-endian samples at this many per second.
    Pcm16 {
        /// Samples per second.
        rate: u32,
    },
}

impl AudioFormat {
    const fn bytes_per_second(self) -> u64 {
        match self {
            Self::Mulaw8k => 8_000,
            Self::Pcm16 { rate } => rate as u64 * 2,
        }
    }
}

/// A piece of audio. Providers carry audio as base64 in JSON, so it stays base64 from socket to socket and is
/// decoded only where samples are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audio {
    base64: Bytes,
    format: AudioFormat,
}

impl Audio {
    /// Audio whose base64 text (standard alphabet, padded) a provider sent.
    pub fn from_base64(base64: Bytes, format: AudioFormat) -> Self {
        Self { base64, format }
    }

    /// Audio of these samples.
    pub fn encode(samples: &[u8], format: AudioFormat) -> Self {
        Self {
            base64: STANDARD.encode(samples).into(),
            format,
        }
    }

    /// The base64 text.
    pub fn base64(&self) -> &Bytes {
        &self.base64
    }

    /// How it is coded.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// The samples.
    ///
    /// # Errors
    /// `Malformed` when the text is not base64.
    pub fn decode(&self) -> Result<Vec<u8>, MediaError> {
        STANDARD
            .decode(&self.base64)
            .map_err(|_| MediaError::Malformed("audio that is not base64"))
    }

    /// How long it plays.
    pub fn duration(&self) -> Duration {
        let padding = self
            .base64
            .iter()
            .rev()
            .take(2)
            .filter(|byte| **byte == b'=')
            .count();
        let bytes = (self.base64.len() / 4 * 3).saturating_sub(padding) as u64;
        Duration::from_micros(bytes * 1_000_000 / self.format.bytes_per_second().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telephony_frame_of_160_bytes_plays_20_milliseconds() {
        let frame = Audio::encode(&[0xff; 160], AudioFormat::Mulaw8k);
        assert_eq!(frame.duration(), Duration::from_millis(20));
        assert_eq!(frame.decode().unwrap(), vec![0xff; 160]);
    }

    #[test]
    fn what_is_not_base64_is_malformed() {
        let audio = Audio::from_base64(Bytes::from_static(b"***"), AudioFormat::Mulaw8k);
        assert!(matches!(audio.decode(), Err(MediaError::Malformed(_))));
    }
}
