//! G.711 at 8 kHz to linear PCM at a multiple of it, and back: for agents that do not speak what the call carries.

use audio_codec_algorithms::{decode_ulaw, encode_ulaw};

use super::{Audio, AudioFormat, MediaError};

/// What every rate is a multiple of.
const BASE: u32 = 8_000;

/// The highest rate.
const HIGHEST: u32 = 48_000;

/// How many samples at 8 kHz the filter spans: 4 ms, so that it adds 2.
const SPAN: u16 = 32;

/// Where the filter halves a tone: what is above 4 kHz would come back below it.
const CUTOFF_HZ: f32 = 3_600.0;

/// Turns one side's audio, piece by piece, into what the other side understands.
pub(crate) struct Transcoder {
    from: AudioFormat,
    to: AudioFormat,
    /// A piece may end in the middle of a sample.
    half: Option<u8>,
    resampler: Option<Resampler>,
}

impl Transcoder {
    /// Between G.711 µ-law and PCM; `None` when there is no way from one to the other.
    pub(crate) fn between(from: AudioFormat, to: AudioFormat) -> Option<Self> {
        let resampler = match (from, to) {
            (AudioFormat::Mulaw8k, AudioFormat::Pcm16 { rate }) => {
                let ratio = ratio(rate)?;
                (ratio > 1).then(|| Resampler::up(ratio))
            }
            (AudioFormat::Pcm16 { rate }, AudioFormat::Mulaw8k) => {
                let ratio = ratio(rate)?;
                (ratio > 1).then(|| Resampler::down(ratio))
            }
            _ => return None,
        };
        Some(Self {
            from,
            to,
            half: None,
            resampler,
        })
    }

    /// The next piece. It may be empty, when the piece is shorter than one sample of the other side.
    ///
    /// # Errors
    /// `Malformed` when the piece is not base64.
    pub(crate) fn convert(&mut self, audio: &Audio) -> Result<Audio, MediaError> {
        let samples = self.read(&audio.decode()?);
        let samples = match &mut self.resampler {
            Some(resampler) => resampler.resample(&samples),
            None => samples,
        };
        let samples = samples.into_iter().map(to_integer);
        let bytes: Vec<u8> = match self.to {
            AudioFormat::Mulaw8k => samples.map(encode_ulaw).collect(),
            AudioFormat::Pcm16 { .. } => samples.flat_map(i16::to_le_bytes).collect(),
        };
        Ok(Audio::encode(&bytes, self.to))
    }

    /// Forgets the pieces so far: the next does not go on from them.
    pub(crate) fn reset(&mut self) {
        self.half = None;
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Vec<f32> {
        match self.from {
            AudioFormat::Mulaw8k => bytes.iter().map(|byte| f32::from(decode_ulaw(*byte))).collect(),
            AudioFormat::Pcm16 { .. } => {
                let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
                for byte in bytes {
                    match self.half.take() {
                        Some(half) => samples.push(f32::from(i16::from_le_bytes([half, *byte]))),
                        None => self.half = Some(*byte),
                    }
                }
                samples
            }
        }
    }
}

fn ratio(rate: u32) -> Option<u16> {
    let whole = (BASE..=HIGHEST).contains(&rate) && rate.is_multiple_of(BASE);
    whole.then(|| u16::try_from(rate / BASE).ok()).flatten()
}

#[expect(clippy::cast_possible_truncation, reason = "it is clamped")]
fn to_integer(sample: f32) -> i16 {
    sample.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}

enum Way {
    Up,
    Down,
}

/// Raises or lowers a rate by a whole ratio, with a windowed-sinc low-pass.
struct Resampler {
    way: Way,
    ratio: usize,
    taps: Vec<f32>,
    /// The last samples of the pieces so far, and those that are yet to be used.
    samples: Vec<f32>,
}

impl Resampler {
    /// Each output sample sees `SPAN` input samples through every `ratio`th tap.
    fn up(ratio: u16) -> Self {
        let mut taps = taps(ratio);
        for tap in &mut taps {
            *tap *= f32::from(ratio);
        }
        Self::new(Way::Up, ratio, taps)
    }

    fn down(ratio: u16) -> Self {
        Self::new(Way::Down, ratio, taps(ratio))
    }

    fn new(way: Way, ratio: u16, taps: Vec<f32>) -> Self {
        let mut this = Self {
            way,
            ratio: ratio.into(),
            taps,
            samples: Vec::new(),
        };
        this.reset();
        this
    }

    /// How many input samples an output sample is made of.
    fn reach(&self) -> usize {
        match self.way {
            Way::Up => SPAN.into(),
            Way::Down => self.taps.len(),
        }
    }

    /// Silence comes before the first sample.
    fn reset(&mut self) {
        self.samples.clear();
        self.samples.resize(self.reach() - 1, 0.0);
    }

    fn resample(&mut self, input: &[f32]) -> Vec<f32> {
        self.samples.extend_from_slice(input);
        let reach = self.reach();
        let mut output = Vec::with_capacity(input.len() * self.ratio);
        let mut used = 0;
        match self.way {
            Way::Up => {
                for window in self.samples.windows(reach) {
                    for phase in 0..self.ratio {
                        let taps = self.taps[phase..].iter().step_by(self.ratio);
                        output.push(dot(window, taps));
                    }
                    used += 1;
                }
            }
            Way::Down => {
                while let Some(window) = self.samples.get(used..used + reach) {
                    output.push(dot(window, self.taps.iter()));
                    used += self.ratio;
                }
            }
        }
        // Lowering, a step may go beyond what there is by less than the filter's reach, never by more.
        self.samples.drain(..used);
        output
    }
}

/// The newest sample meets the first tap.
fn dot<'a>(window: &[f32], taps: impl Iterator<Item = &'a f32>) -> f32 {
    window
        .iter()
        .rev()
        .zip(taps)
        .map(|(sample, tap)| sample * tap)
        .sum()
}

/// A low-pass at `ratio` times the base rate, whose taps add up to one: a sinc under a Hamming window.
fn taps(ratio: u16) -> Vec<f32> {
    use std::f32::consts::{PI, TAU};

    let count = SPAN * ratio;
    let middle = f32::from(count - 1) / 2.0;
    #[expect(clippy::cast_precision_loss, reason = "8000 is exact")]
    let turn = CUTOFF_HZ / (BASE as f32 * f32::from(ratio));
    let mut taps: Vec<f32> = (0..count)
        .map(|tap| {
            let at = f32::from(tap) - middle;
            // The count is even, so the middle lies between two taps and `at` is never zero.
            let sinc = (TAU * turn * at).sin() / (PI * at);
            let window = 0.54 - 0.46 * (TAU * f32::from(tap) / f32::from(count - 1)).cos();
            sinc * window
        })
        .collect();
    let sum: f32 = taps.iter().sum();
    for tap in &mut taps {
        *tap /= sum;
    }
    taps
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

    fn pcm(rate: u32) -> AudioFormat {
        AudioFormat::Pcm16 { rate }
    }

    fn coder(from: AudioFormat, to: AudioFormat) -> Transcoder {
        Transcoder::between(from, to).unwrap()
    }

    /// A second of a tone.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn tone(rate: u32, hertz: f32) -> Vec<i16> {
        let turn = std::f32::consts::TAU * hertz / rate as f32;
        (0..rate)
            .map(|at| to_integer((turn * at as f32).sin() * 10_000.0))
            .collect()
    }

    fn bytes(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    fn loudness(samples: &[i16]) -> f64 {
        // Without the filter's beginning.
        let samples = &samples[samples.len() / 10..];
        let sum: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        (sum / f64::from(u32::try_from(samples.len()).unwrap())).sqrt()
    }

    fn read_pcm(audio: &Audio) -> Vec<i16> {
        let bytes = audio.decode().unwrap();
        bytes
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    fn read_mulaw(audio: &Audio) -> Vec<i16> {
        audio.decode().unwrap().into_iter().map(decode_ulaw).collect()
    }

    #[test]
    fn what_is_said_is_as_long_as_before_and_in_the_other_format() {
        for rate in RATES {
            let frame = Audio::encode(&[0xff; 160], AudioFormat::Mulaw8k);
            let heard = coder(AudioFormat::Mulaw8k, pcm(rate)).convert(&frame).unwrap();
            assert_eq!((heard.format(), heard.duration()), (pcm(rate), frame.duration()));
            let said = coder(pcm(rate), AudioFormat::Mulaw8k).convert(&heard).unwrap();
            assert_eq!(
                (said.format(), said.duration()),
                (AudioFormat::Mulaw8k, frame.duration())
            );
        }
    }

    #[test]
    fn a_voice_is_as_loud_as_before_in_both_directions() {
        for rate in RATES {
            for hertz in [200.0, 1_000.0, 3_000.0] {
                let said = Audio::encode(&bytes(&tone(rate, hertz)), pcm(rate));
                let carried = coder(pcm(rate), AudioFormat::Mulaw8k).convert(&said).unwrap();
                let heard = coder(AudioFormat::Mulaw8k, pcm(rate)).convert(&carried).unwrap();
                for samples in [read_mulaw(&carried), read_pcm(&heard)] {
                    let loudness = loudness(&samples) / (10_000.0 / 2.0_f64.sqrt());
                    assert!((0.93..1.07).contains(&loudness), "{rate} {hertz}: {loudness}");
                }
            }
        }
    }

    #[test]
    fn what_a_call_cannot_carry_does_not_come_back_as_another_tone() {
        for (rate, hertz) in [(16_000, 5_000.0), (24_000, 5_000.0), (48_000, 11_000.0)] {
            let said = Audio::encode(&bytes(&tone(rate, hertz)), pcm(rate));
            let carried = coder(pcm(rate), AudioFormat::Mulaw8k).convert(&said).unwrap();
            let loudness = loudness(&read_mulaw(&carried));
            assert!(loudness < 100.0, "{rate}: {loudness}");
        }
    }

    #[test]
    fn it_does_not_matter_where_the_audio_is_cut() {
        for rate in RATES {
            for (from, to) in [
                (pcm(rate), AudioFormat::Mulaw8k),
                (AudioFormat::Mulaw8k, pcm(rate)),
            ] {
                let all = bytes(&tone(rate, 440.0));
                let whole = coder(from, to).convert(&Audio::encode(&all, from)).unwrap();
                for cut in [1, 7, 321] {
                    let mut coder = coder(from, to);
                    let pieces = all.chunks(cut).flat_map(|piece| {
                        coder
                            .convert(&Audio::encode(piece, from))
                            .unwrap()
                            .decode()
                            .unwrap()
                    });
                    assert!(pieces.eq(whole.decode().unwrap()), "{rate} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn after_an_interruption_nothing_is_left_of_the_words_before() {
        for rate in RATES {
            let mut coder = coder(pcm(rate), AudioFormat::Mulaw8k);
            let mut loud = bytes(&[20_000; 1_000]);
            loud.pop();
            coder.convert(&Audio::encode(&loud, pcm(rate))).unwrap();
            coder.reset();
            let silence = coder.convert(&Audio::encode(&[0; 960], pcm(rate))).unwrap();
            assert!(read_mulaw(&silence).iter().all(|sample| *sample == 0));
        }
    }

    #[test]
    fn there_is_no_way_between_rates_that_are_no_multiples() {
        for rate in [0, 4_000, 11_025, 22_050, 44_100, 56_000] {
            assert!(Transcoder::between(pcm(rate), AudioFormat::Mulaw8k).is_none());
            assert!(Transcoder::between(AudioFormat::Mulaw8k, pcm(rate)).is_none());
        }
    }

    #[test]
    fn what_is_not_base64_is_malformed() {
        let audio = Audio::from_base64(bytes::Bytes::from_static(b"***"), pcm(16_000));
        let converted = coder(pcm(16_000), AudioFormat::Mulaw8k).convert(&audio);
        assert!(matches!(converted, Err(MediaError::Malformed(_))));
    }
}
