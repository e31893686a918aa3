//! Identifiers and secrets in the providers' shapes.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// `digits` (at most 64) random lower-case hexadecimal digits.
#[expect(
    clippy::disallowed_methods,
    reason = "the emulator stands apart from what it tests, and this is its one home of randomness"
)]
pub(crate) fn hex(digits: usize) -> String {
    // Two v7 ids carry about 150 random bits; hashing spreads them over every digit.
    let mut digest = Sha256::new();
    digest.update(Uuid::now_v7().as_bytes());
    digest.update(Uuid::now_v7().as_bytes());
    let mut text = lower_hex(&digest.finalize());
    text.truncate(digits);
    text
}

/// A Twilio SID: the two letters of its kind and 32 hexadecimal digits.
pub(crate) fn sid(kind: &str) -> String {
    format!("{kind}{}", hex(32))
}

/// A UUID of random digits.
pub(crate) fn uuid() -> String {
    let hex = hex(32);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

pub(crate) fn lower_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_is_its_kind_and_32_digits_and_never_repeats() {
        let (one, other) = (sid("CA"), sid("CA"));
        assert_eq!(one.len(), 34);
        assert!(one.starts_with("CA") && one[2..].bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }
}
