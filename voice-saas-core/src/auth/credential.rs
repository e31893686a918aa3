//! Opaque credentials: 256 random bits that are shown once and kept as a hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::CredentialHash;
use crate::clock::Ambient;

/// A fresh credential: the prefix, then 43 characters.
pub(crate) fn fresh(prefix: &str, ambient: &Ambient) -> SecretString {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(ambient.random::<32>())).into()
}

/// What the store keeps instead of it.
pub(crate) fn hash(credential: &SecretString) -> CredentialHash {
    CredentialHash::from_bytes(Sha256::digest(credential.expose_secret()).into())
}
