//! Secrets: values that print as nothing, and comparisons that take as long for a wrong guess as for a right one.
//!
//! ```
//! use voice_saas_core::secret::{SecretString, same};
//!
//! let token = SecretString::from("hunter2");
//! assert!(!format!("{token:?}").contains("hunter2"));
//! assert!(same(b"hunter2", b"hunter2"));
//! ```

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
pub use secrecy::{ExposeSecret, SecretBox, SecretSlice, SecretString};
use subtle::ConstantTimeEq;

use crate::{auth::SecretKey, clock::Ambient};

/// Whether two byte strings are equal, in time that depends on their lengths alone.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

const NONCE_BYTES: usize = 24;

/// Seals what the store must keep but must not be able to read. The nonce is long enough to be drawn at random.
#[derive(Clone)]
pub(crate) struct Sealer(XChaCha20Poly1305);

impl Sealer {
    pub(crate) fn new(key: &SecretKey) -> Self {
        Self(XChaCha20Poly1305::new(&key.derive("seal").into()))
    }

    /// The nonce, then the ciphertext. `place` says where it belongs: sealed bytes that were moved do not open.
    pub(crate) fn seal(&self, plain: &[u8], place: &[u8], ambient: &Ambient) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = ambient.random();
        let payload = Payload {
            msg: plain,
            aad: place,
        };
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .unwrap_or_else(|_| unreachable!("only more than 256 GiB cannot be sealed"));
        [nonce.as_slice(), &sealed].concat()
    }

    /// `None` when these bytes were not sealed under this key for this place.
    pub(crate) fn open(&self, sealed: &[u8], place: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: sealed,
            aad: place,
        };
        self.0.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_under_the_same_key_and_in_the_same_place_alone() {
        let sealer = |byte| Sealer::new(&SecretKey::new([byte; 32]).unwrap());
        let bytes = sealer(1).seal(b"vsk_secret", b"here", &Ambient::system());
        assert!(!bytes.windows(3).any(|window| window == b"vsk"));
        assert_eq!(sealer(1).open(&bytes, b"here").unwrap(), b"vsk_secret");
        assert_eq!(sealer(1).open(&bytes, b"there"), None);
        assert_eq!(sealer(2).open(&bytes, b"here"), None);
        assert_eq!(sealer(1).open(&bytes[1..], b"here"), None);
        assert_eq!(sealer(1).open(b"short", b"here"), None);
    }
}
