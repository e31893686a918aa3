//! Tokens for the App Store Server API: a JWT for each request, signed with the key of App Store Connect.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use serde_json::json;
use voice_saas_core::secret::{ExposeSecret, SecretString};

/// Seconds; the request's own repetitions fit in.
const LIFETIME: i64 = 300;

/// An *In-App Purchase* key of App Store Connect.
#[derive(Clone)]
pub struct ApiKey {
    issuer_id: String,
    key_id: String,
    private_key: SecretString,
}

impl ApiKey {
    /// The issuer's id (a UUID), the key's id, and the text of the `.p8` file.
    pub fn new(issuer_id: impl Into<String>, key_id: impl Into<String>, private_key: SecretString) -> Self {
        Self {
            issuer_id: issuer_id.into(),
            key_id: key_id.into(),
            private_key,
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// Makes tokens.
#[derive(Clone)]
pub(super) struct Signer(Arc<Inner>);

struct Inner {
    issuer_id: String,
    key_id: String,
    bundle_id: String,
    pair: EcdsaKeyPair,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("key_id", &self.0.key_id)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// `None` when the private key is none of P-256 in PKCS #8.
    pub(super) fn new(key: ApiKey, bundle_id: String) -> Option<Self> {
        let der: String = key
            .private_key
            .expose_secret()
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .flat_map(str::chars)
            .filter(|c| !c.is_whitespace())
            .collect();
        let der = STANDARD.decode(der).ok()?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).ok()?;
        Some(Self(Arc::new(Inner {
            issuer_id: key.issuer_id,
            key_id: key.key_id,
            bundle_id,
            pair,
        })))
    }

    /// A token for one request; `None` when the machine has no randomness.
    pub(super) fn token(&self, now: Timestamp) -> Option<SecretString> {
        let issued = now.as_second();
        let header = json!({"alg": "ES256", "kid": self.0.key_id, "typ": "JWT"});
        let claims = json!({
            "iss": self.0.issuer_id,
            "iat": issued,
            "exp": issued + LIFETIME,
            "aud": "appstoreconnect-v1",
            "bid": self.0.bundle_id,
        });
        let encode = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.0.pair.sign(&SystemRandom::new(), message.as_bytes()).ok()?;
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())).into())
    }
}
