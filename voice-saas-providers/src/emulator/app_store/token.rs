//! The key of App Store Connect, and the tokens that it signs.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, UnparsedPublicKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::KeyPair;
use secrecy::SecretString;
use serde::Deserialize;

use super::BUNDLE_ID;
use crate::emulator::id;

/// The longest that a token may last, in seconds.
const LONGEST: i64 = 3_600;
/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 60;

/// A key, as the customer of Apple has it.
pub(super) struct ApiKey {
    pub(super) issuer_id: String,
    pub(super) key_id: String,
    pub(super) private_key: SecretString,
    public_key: Vec<u8>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
    exp: i64,
    aud: String,
    bid: String,
}

impl ApiKey {
    pub(super) fn new() -> Self {
        let pkcs8 = KeyPair::generate()
            .expect("the machine has randomness to give")
            .serialize_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .expect("a fresh key of P-256 is one");
        let text = STANDARD.encode(&pkcs8);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        );
        Self {
            issuer_id: id::uuid(),
            key_id: id::hex(10).to_uppercase(),
            private_key: pem.into(),
            public_key: pair.public_key().as_ref().to_vec(),
        }
    }

    /// Whether a request with this header is one of ours, at the time `now` (Unix seconds).
    pub(super) fn accepts(&self, header: Option<&str>, now: i64) -> bool {
        header
            .and_then(|header| header.strip_prefix("Bearer "))
            .and_then(|token| self.check(token, now))
            .is_some()
    }

    fn check(&self, token: &str, now: i64) -> Option<()> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public_key)
            .verify(message.as_bytes(), &decode(signature)?)
            .ok()?;
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let claims: Claims = serde_json::from_slice(&decode(claims)?).ok()?;
        let is_ours = header.alg == "ES256"
            && header.typ == "JWT"
            && header.kid == self.key_id
            && claims.iss == self.issuer_id
            && claims.aud == "appstoreconnect-v1"
            && claims.bid == BUNDLE_ID;
        // The emulator's clock may be far ahead of the asker's: only how long the token lasts is its own affair.
        let lasts = claims.exp - claims.iat;
        (is_ours && (1..=LONGEST).contains(&lasts) && claims.iat <= now + LEEWAY).then_some(())
    }
}
