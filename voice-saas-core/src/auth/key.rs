//! The service's secret key, and the keys derived from it for each purpose.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

/// The service's secret is too short to keep anything secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the secret key must have at least {} bytes", SecretKey::MIN_BYTES)]
pub struct WeakKey;

/// The one secret of the service. It signs nothing itself; every purpose has a key derived from it, so that a
/// token of one kind is never good as another.
#[derive(Debug, Clone)]
pub struct SecretKey(SecretSlice<u8>);

impl SecretKey {
    /// Fewer bytes can be guessed.
    pub const MIN_BYTES: usize = 32;

    /// Takes the secret.
    ///
    /// # Errors
    /// `WeakKey` below [`MIN_BYTES`](Self::MIN_BYTES).
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, WeakKey> {
        let bytes = bytes.into();
        if bytes.len() < Self::MIN_BYTES {
            Err(WeakKey)
        } else {
            Ok(Self(bytes.into()))
        }
    }

    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        mac(self.0.expose_secret(), &[b"voice-saas/v1/", purpose.as_bytes()])
    }
}

/// HMAC-SHA-256 over the parts, one after the other.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(SecretKey::new("short").unwrap_err(), WeakKey);
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own_and_none_is_printed() {
        let key = SecretKey::new([7; 32]).unwrap();
        assert_ne!(key.derive("access"), key.derive("media"));
        assert!(!format!("{key:?}").contains('7'));
    }
}
