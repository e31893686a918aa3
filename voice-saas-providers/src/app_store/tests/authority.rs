//! A chain of certificates like Apple's, and what can be wrong with one.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use serde_json::{Value, json};

use super::super::ApiKey;

const LEAF_MARK: &[u64] = &[1, 2, 840, 113_635, 100, 6, 11, 1];
const INTERMEDIATE_MARK: &[u64] = &[1, 2, 840, 113_635, 100, 6, 2, 1];
const OTHER_MARK: &[u64] = &[1, 2, 840, 113_635, 100, 6, 2, 2];

/// What is different from a good chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    LeafWithoutMark,
    IntermediateWithoutMark,
    /// The intermediate may sign nothing.
    IntermediateIsNoAuthority,
    /// The root signed the leaf by itself.
    NoIntermediate,
    LeafIsNotForSigning,
}

/// Who signs.
pub(super) struct Authority {
    pub(super) root: Vec<u8>,
    pub(super) x5c: Vec<String>,
    leaf: KeyPair,
}

fn params(name: &str, is_ca: IsCa, mark: Option<&[u64]>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params.key_usages = match is_ca {
        IsCa::Ca(_) => vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
        _ => vec![KeyUsagePurpose::DigitalSignature],
    };
    params.is_ca = is_ca;
    if let Some(mark) = mark {
        let null = vec![0x05, 0x00];
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(mark, null));
    }
    params
}

impl Authority {
    pub(super) fn new() -> Self {
        Self::with(Flaw::None)
    }

    pub(super) fn with(flaw: Flaw) -> Self {
        let [root_key, intermediate_key, leaf_key] = [(); 3].map(|()| KeyPair::generate().unwrap());
        let root_params = params("Root", IsCa::Ca(BasicConstraints::Unconstrained), None);
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);

        let is_ca = if flaw == Flaw::IntermediateIsNoAuthority {
            IsCa::ExplicitNoCa
        } else {
            IsCa::Ca(BasicConstraints::Constrained(0))
        };
        let mark = if flaw == Flaw::IntermediateWithoutMark {
            OTHER_MARK
        } else {
            INTERMEDIATE_MARK
        };
        let intermediate_params = params("Intermediate", is_ca, Some(mark));
        let intermediate = intermediate_params
            .signed_by(&intermediate_key, &root_issuer)
            .unwrap();
        let intermediate_issuer = Issuer::new(intermediate_params, intermediate_key);

        let mark = (flaw != Flaw::LeafWithoutMark).then_some(LEAF_MARK);
        let mut leaf_params = params("Leaf", IsCa::ExplicitNoCa, mark);
        leaf_params.not_after = date_time_ymd(2025, 1, 1);
        if flaw == Flaw::LeafIsNotForSigning {
            leaf_params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
        }
        let leaf = if flaw == Flaw::NoIntermediate {
            leaf_params.signed_by(&leaf_key, &root_issuer).unwrap()
        } else {
            leaf_params.signed_by(&leaf_key, &intermediate_issuer).unwrap()
        };
        let x5c = [leaf.der(), intermediate.der(), root.der()].map(|der| STANDARD.encode(der));
        Self {
            root: root.der().to_vec(),
            x5c: x5c.to_vec(),
            leaf: leaf_key,
        }
    }

    /// Signs these words as Apple would.
    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": "ES256", "x5c": self.x5c}), claims)
    }

    pub(super) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let pkcs8 = self.leaf.serialize_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
        let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// The same, with the signature in the other form, ASN.1.
    pub(super) fn sign_in_asn1(&self, claims: &Value) -> String {
        use rcgen::SigningKey;
        let signed = self.sign(claims);
        let (message, _) = signed.rsplit_once('.').unwrap();
        let signature = self.leaf.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A key as App Store Connect hands it out.
pub(super) fn api_key() -> ApiKey {
    api_key_named("57246542-96fe-1a63-e053-0824d011072a", "2X9R4HXF34")
}

/// The same, of this issuer and with this id.
pub(super) fn api_key_named(issuer_id: &str, key_id: &str) -> ApiKey {
    let der = STANDARD.encode(KeyPair::generate().unwrap().serialize_der());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    ApiKey::new(issuer_id, key_id, pem.into())
}
