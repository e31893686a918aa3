//! Signed texts: compact JWS (RFC 7515) with the chain of the signer's certificates.
//!
//! The chain's rules are those of Apple's own server libraries. The path is checked by `rustls-webpki`, against our root
//! alone: whatever root the text brings along is not looked at.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use serde::Deserialize;
use voice_saas_core::provider::app_store::SignedDataError;
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::claims::Claims;

/// `1.2.840.113635.100.6.11.1`: the key signs for the App Store.
const LEAF_MARK: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x63, 0x64, 0x06, 0x0b, 0x01];
/// `1.2.840.113635.100.6.2.1`: the authority is that of Apple's developer programme.
const INTERMEDIATE_MARK: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x63, 0x64, 0x06, 0x02, 0x01];
/// How Apple signs certificates.
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::aws_lc_rs::ECDSA_P256_SHA256,
    webpki::aws_lc_rs::ECDSA_P256_SHA384,
    webpki::aws_lc_rs::ECDSA_P384_SHA256,
    webpki::aws_lc_rs::ECDSA_P384_SHA384,
];
const UNREADABLE: SignedDataError = SignedDataError::Forged("a certificate cannot be read");
/// Notifications carry two texts within, and take about 12 KiB.
const LONGEST: usize = 256 * 1024;

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    alg: String,
    #[serde(default)]
    x5c: Vec<String>,
}

/// The root that is trusted.
#[derive(Debug, Clone)]
pub(super) struct Chain(Arc<TrustAnchor<'static>>);

impl Chain {
    /// Trusts this certificate (DER); `None` when it is none.
    pub(super) fn new(root: &[u8]) -> Option<Self> {
        let root = CertificateDer::from(root);
        let anchor = anchor_from_trusted_cert(&root).ok()?;
        Some(Self(Arc::new(anchor.to_owned())))
    }

    /// What the text says, if it was signed under the root.
    pub(super) fn verify(&self, signed: &str, now: Timestamp) -> Result<Claims, SignedDataError> {
        use SignedDataError::{Forged, Malformed};
        if signed.len() > LONGEST {
            return Err(Malformed("it is too long"));
        }
        let (message, signature) = signed.rsplit_once('.').ok_or(Malformed("it has no signature"))?;
        let (header, payload) = message.split_once('.').ok_or(Malformed("it has no header"))?;
        let header = decode(header).ok_or(Malformed("its header is not base64url"))?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|_| Malformed("its header is not JSON"))?;
        let payload = decode(payload).ok_or(Malformed("its payload is not base64url"))?;
        let claims = Claims::parse(&payload).ok_or(Malformed("its payload is not JSON"))?;
        let signature = decode(signature).ok_or(Malformed("its signature is not base64url"))?;
        if header.alg != "ES256" {
            return Err(Forged("it is not signed with ES256"));
        }
        let [leaf, intermediate, _] = &*header.x5c else {
            return Err(Forged("it does not bring three certificates"));
        };
        let certificate = |text: &str| {
            let der = STANDARD.decode(text).ok();
            der.map(CertificateDer::from).ok_or(UNREADABLE)
        };
        let chain = (certificate(leaf)?, certificate(intermediate)?);
        // Read before it is believed: a forger would still need a key under the root, and what is kept must stay good
        // when the certificate has expired.
        let at = claims
            .time("signedDate")
            .or_else(|| claims.time("receiptCreationDate"))
            .unwrap_or(now);
        let key = self.key(&chain.0, &chain.1, at)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(message.as_bytes(), &signature)
            .map_err(|_| Forged("the signature does not hold"))?;
        Ok(claims)
    }

    /// The leaf's key, if the chain was good at that time.
    pub(super) fn key(
        &self,
        leaf: &CertificateDer<'_>,
        intermediate: &CertificateDer<'_>,
        at: Timestamp,
    ) -> Result<Vec<u8>, SignedDataError> {
        use SignedDataError::Forged;
        let seconds = u64::try_from(at.as_second()).map_err(|_| Forged("it was signed before 1970"))?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let through_intermediate = |path: &VerifiedPath<'_>| match path.intermediate_certificates().count() {
            1 => Ok(()),
            _ => Err(webpki::Error::UnknownIssuer),
        };
        EndEntityCert::try_from(leaf)
            .map_err(|_| UNREADABLE)?
            .verify_for_usage(
                ALGORITHMS,
                std::slice::from_ref(&*self.0),
                std::slice::from_ref(intermediate),
                time,
                // Apple's leaves name no usage; one that names others is none of them.
                KeyUsage::required_if_present(LEAF_MARK),
                None,
                Some(&through_intermediate),
            )
            .map_err(|_| Forged("its certificates do not lead to the root"))?;
        let intermediate = parse(intermediate)?;
        if !has_mark(&intermediate, INTERMEDIATE_MARK) {
            return Err(Forged("the intermediate certificate lacks Apple's mark"));
        }
        let leaf = parse(leaf)?;
        if !has_mark(&leaf, LEAF_MARK) {
            return Err(Forged("the leaf certificate lacks Apple's mark"));
        }
        let usage = leaf.key_usage().map_err(|_| UNREADABLE)?;
        if usage.is_some_and(|usage| !usage.value.digital_signature()) {
            return Err(Forged("the leaf's key is not for signing"));
        }
        Ok(leaf.public_key().subject_public_key.data.to_vec())
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, SignedDataError> {
    let parsed = X509Certificate::from_der(der);
    parsed.map(|(_, certificate)| certificate).map_err(|_| UNREADABLE)
}

fn has_mark(certificate: &X509Certificate<'_>, mark: &[u8]) -> bool {
    certificate
        .extensions()
        .iter()
        .any(|extension| extension.oid.as_bytes() == mark)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
