//! The G.711 μ-law code.

const BIAS: i32 = 0x84;
const CLIP: i32 = 32_635;

static LINEAR: [i16; 256] = linear_table();

/// The bits of a μ-law byte as they were before the inversion that the line code asks for.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "the mask leaves eight bits"
)]
const fn inverted_bits(code: usize) -> i32 {
    (!code & 0xFF) as i32
}

const fn linear_table() -> [i16; 256] {
    let mut table = [0_i16; 256];
    let mut code: usize = 0;
    while code < 256 {
        let inverted = inverted_bits(code);
        let magnitude = ((((inverted & 0x0F) << 3) + BIAS) << ((inverted >> 4) & 0x07)) - BIAS;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the largest μ-law magnitude is 32124"
        )]
        let sample = if inverted & 0x80 == 0 {
            magnitude
        } else {
            -magnitude
        } as i16;
        table[code] = sample;
        code += 1;
    }
    table
}

/// The 16-bit sample that a μ-law byte stands for.
pub(super) fn decode(byte: u8) -> i16 {
    LINEAR[usize::from(byte)]
}

/// The μ-law byte nearest to a 16-bit sample.
pub(super) fn encode(sample: i16) -> u8 {
    let wide = i32::from(sample);
    let sign = if wide < 0 { 0x80_u8 } else { 0 };
    let biased = wide.abs().min(CLIP) + BIAS;
    // The bias puts the leading one at bit 7 or above, so the exponent is 0 to 7.
    let exponent = (24 - biased.leading_zeros()).min(7);
    let mantissa = (biased >> (exponent + 3)) & 0x0F;
    let code = u8::try_from((i32::try_from(exponent).unwrap_or_default() << 4) | mantissa).unwrap_or(0x7F);
    !(sign | code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_decoding_and_encoding() {
        for byte in 0..=u8::MAX {
            // 0x7F is negative zero, which has no 16-bit form of its own.
            let expected = if byte == 0x7F { 0xFF } else { byte };
            assert_eq!(encode(decode(byte)), expected, "byte {byte:#04x}");
        }
    }

    #[test]
    fn known_points_of_the_g711_table_hold() {
        assert_eq!(decode(0xFF), 0);
        assert_eq!(decode(0x80), 32_124);
        assert_eq!(decode(0x00), -32_124);
        assert_eq!(encode(i16::MAX), 0x80);
        assert_eq!(encode(i16::MIN), 0x00);
        assert_eq!(encode(0), 0xFF);
    }
}
