//! Certificates like Apple's, below a root of the emulator's own, and signatures under them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};

/// On certificates that sign for the App Store.
const SIGNS_FOR_THE_STORE: &[u64] = &[1, 2, 840, 113_635, 100, 6, 11, 1];
/// On the authority of Apple's developer programme.
const WORLDWIDE_DEVELOPER_RELATIONS: &[u64] = &[1, 2, 840, 113_635, 100, 6, 2, 1];

const POSSIBLE: &str = "certificates of fixed content can be made";

/// A leaf with its key, the authority above it, and the root.
#[derive(Debug)]
pub(super) struct Authority {
    root: Vec<u8>,
    x5c: [String; 3],
    key: EcdsaKeyPair,
}

fn certificate(name: &str, is_ca: IsCa, mark: Option<&[u64]>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Emulated Apple");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = match is_ca {
        IsCa::Ca(_) => vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
        _ => vec![KeyUsagePurpose::DigitalSignature],
    };
    params.is_ca = is_ca;
    params.custom_extensions.extend(mark.map(|mark| {
        // NULL, as in Apple's.
        CustomExtension::from_oid_content(mark, vec![0x05, 0x00])
    }));
    params
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = || KeyPair::generate().expect("the machine has randomness to give");
        let (root_key, middle_key, leaf_key) = (key(), key(), key());
        let root = certificate(
            "Emulated Root CA",
            IsCa::Ca(BasicConstraints::Unconstrained),
            None,
        );
        let root_der = root.self_signed(&root_key).expect(POSSIBLE);
        let root = Issuer::new(root, root_key);
        let middle = certificate(
            "Emulated Worldwide Developer Relations",
            IsCa::Ca(BasicConstraints::Constrained(0)),
            Some(WORLDWIDE_DEVELOPER_RELATIONS),
        );
        let middle_der = middle.signed_by(&middle_key, &root).expect(POSSIBLE);
        let middle = Issuer::new(middle, middle_key);
        let leaf = certificate(
            "Emulated Store Signing",
            IsCa::ExplicitNoCa,
            Some(SIGNS_FOR_THE_STORE),
        );
        let leaf_der = leaf.signed_by(&leaf_key, &middle).expect(POSSIBLE);
        let pkcs8 = leaf_key.serialize_der();
        Self {
            root: root_der.der().to_vec(),
            x5c: [leaf_der.der(), middle_der.der(), root_der.der()].map(|der| STANDARD.encode(der)),
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).expect(POSSIBLE),
        }
    }

    pub(super) fn root(&self) -> &[u8] {
        &self.root
    }

    /// A compact JWS of these claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = json!({"alg": "ES256", "x5c": self.x5c});
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self
            .key
            .sign(&SystemRandom::new(), message.as_bytes())
            .expect("the machine has randomness to give");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
