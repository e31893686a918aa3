//! WAV files of μ-law audio.

/// `audio` (μ-law, 8 kHz, mono) as a WAV file with format tag 7, which players decode by themselves.
pub(crate) fn ulaw_wav(audio: &[u8]) -> Vec<u8> {
    const MU_LAW: u16 = 7;
    const RATE: u32 = 8_000;
    let samples = u32::try_from(audio.len()).unwrap_or(u32::MAX - 100);
    let mut file = Vec::with_capacity(audio.len() + 60);
    file.extend(b"RIFF");
    // Everything after this field: "WAVE", the fmt chunk (8 + 18), the fact chunk (8 + 4), and the data chunk.
    file.extend((4 + 26 + 12 + 8 + samples + samples % 2).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(18_u32.to_le_bytes());
    file.extend(MU_LAW.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(RATE.to_le_bytes());
    file.extend(RATE.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(8_u16.to_le_bytes());
    file.extend(0_u16.to_le_bytes());
    // Formats other than PCM must state the number of samples.
    file.extend(b"fact");
    file.extend(4_u32.to_le_bytes());
    file.extend(samples.to_le_bytes());
    file.extend(b"data");
    file.extend(samples.to_le_bytes());
    file.extend(audio);
    if samples % 2 == 1 {
        file.push(0);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_the_header_match_the_file() {
        for audio in [&[0xFF_u8; 320][..], &[0xFF; 3], &[]] {
            let file = ulaw_wav(audio);
            let riff = u32::from_le_bytes(file[4..8].try_into().expect("four bytes"));
            assert_eq!(riff as usize + 8, file.len());
            assert_eq!(&file[20..22], &7_u16.to_le_bytes());
            let data = u32::from_le_bytes(file[54..58].try_into().expect("four bytes"));
            assert_eq!(data as usize, audio.len());
            assert_eq!(&file[58..58 + audio.len()], audio);
        }
    }
}
