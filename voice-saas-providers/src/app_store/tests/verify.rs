//! What is believed, and what is not.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use voice_saas_core::provider::{
    ErrorKind,
    app_store::{AppStore, Ownership, ProductKind, SignedDataError, StoreEnvironment, StoreEvent},
};

use super::{
    super::{Apple, builder::APPLE_ROOT, jws::Chain},
    authority::{Authority, Flaw, api_key},
};

const BUNDLE: &str = "com.example.app";
const APP: u64 = 1_234;
/// 2024-06-01, while the leaf is good.
const THEN: i64 = 1_717_200_000_000;
/// 2026-06-01, when it is no longer.
const LATER: i64 = 1_780_272_000_000;

fn apple(authority: &Authority, environments: &[StoreEnvironment]) -> Apple {
    Apple::builder(BUNDLE, api_key())
        .with_app_id(APP)
        .with_root(&*authority.root)
        .with_environments(environments.to_vec())
        .build()
        .unwrap()
}

fn live(authority: &Authority) -> Apple {
    apple(authority, &[StoreEnvironment::Production])
}

fn claims() -> Value {
    json!({
        "transactionId": "2000000000000002", "originalTransactionId": "2000000000000001", "bundleId": BUNDLE,
        "productId": "pro.monthly", "subscriptionGroupIdentifier": "20000001",
        "purchaseDate": THEN, "originalPurchaseDate": THEN, "expiresDate": THEN + 2_592_000_000_i64, "quantity": 1,
        "type": "Auto-Renewable Subscription", "appAccountToken": "7e3fb204-2110-4fc4-9df2-1bc00f4e2b10",
        "inAppOwnershipType": "PURCHASED", "signedDate": THEN, "environment": "Production",
        "transactionReason": "PURCHASE", "storefront": "USA", "storefrontId": "143441", "price": 9_990,
        "currency": "USD", "offerType": 1, "offerDiscountType": "FREE_TRIAL",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[track_caller]
fn forged(signed: &str, authority: &Authority, because: &str) {
    match live(authority).transaction(signed) {
        Err(SignedDataError::Forged(why) | SignedDataError::Malformed(why)) => {
            assert!(why.contains(because), "{why}");
        }
        other => panic!("not refused for {because:?}: {other:?}"),
    }
}

#[test]
fn the_root_in_the_library_is_apples() {
    assert_eq!(
        format!("{:02X?}", Sha256::digest(APPLE_ROOT).as_slice()).replace(['[', ']', ',', ' '], ""),
        "63343ABFB89A6A03EBB57E9B3F5FA7BE7C4F5C756F3017B3A8C488C3653E9179"
    );
    assert!(Chain::new(APPLE_ROOT).is_some());
}

#[test]
fn a_transaction_that_apple_signed_is_read() {
    let authority = Authority::new();
    let transaction = live(&authority).transaction(&authority.sign(&claims())).unwrap();
    assert_eq!(transaction.id.as_str(), "2000000000000002");
    assert_eq!(transaction.original_id.as_str(), "2000000000000001");
    assert_eq!(transaction.product, "pro.monthly");
    assert_eq!(transaction.kind, ProductKind::Subscription);
    assert_eq!(transaction.ownership, Ownership::Purchased);
    let token = "7e3fb204-2110-4fc4-9df2-1bc00f4e2b10".parse().unwrap();
    assert_eq!(transaction.account_token, Some(token));
    assert_eq!(transaction.signed_at.as_millisecond(), THEN);
    assert!(transaction.offer.unwrap().is_free_trial && !transaction.is_renewal);
    assert_eq!(transaction.price.unwrap().milliunits, 9_990);
    assert_eq!(transaction.revoked, None);
}

#[test]
fn a_changed_word_is_refused() {
    let authority = Authority::new();
    let signed = authority.sign(&claims());
    let other = authority.sign(&with("productId", json!("enterprise.yearly")));
    let part = |text: &str, index: usize| text.split('.').nth(index).unwrap().to_owned();
    let mixed = format!("{}.{}.{}", part(&signed, 0), part(&other, 1), part(&signed, 2));
    forged(&mixed, &authority, "signature");
    forged(&authority.sign_in_asn1(&claims()), &authority, "signature");
}

#[test]
fn the_text_must_be_signed_with_es256_and_bring_three_certificates() {
    let authority = Authority::new();
    let x5c = &authority.x5c;
    for alg in ["none", "HS256", "ES384", ""] {
        let signed = authority.sign_with(&json!({"alg": alg, "x5c": x5c}), &claims());
        forged(&signed, &authority, "ES256");
    }
    let four: Vec<_> = x5c.iter().chain(&x5c[2..]).collect();
    for chain in [json!(&x5c[..2]), json!(four), json!([])] {
        let signed = authority.sign_with(&json!({"alg": "ES256", "x5c": chain}), &claims());
        forged(&signed, &authority, "three certificates");
    }
    let garbage = json!({"alg": "ES256", "x5c": [STANDARD.encode("abc"), x5c[1], x5c[2]]});
    forged(
        &authority.sign_with(&garbage, &claims()),
        &authority,
        "cannot be read",
    );
    for garbage in ["", "a", "a.b", "e30.e30.e30", "e30.W10.e30", "é.é.é"] {
        assert!(live(&authority).transaction(garbage).is_err(), "{garbage}");
    }
    let long = "a".repeat(300 * 1024);
    forged(&long, &authority, "too long");
}

#[test]
fn the_root_that_a_text_brings_along_is_not_believed() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    forged(&theirs.sign(&claims()), &ours, "do not lead to the root");
    let apples = Apple::builder(BUNDLE, api_key())
        .with_app_id(APP)
        .build()
        .unwrap();
    let refused = apples.transaction(&theirs.sign(&claims())).unwrap_err();
    assert!(matches!(refused, SignedDataError::Forged(_)));
}

#[test]
fn a_chain_without_apples_marks_is_refused() {
    for (flaw, because) in [
        (Flaw::LeafWithoutMark, "leaf certificate lacks"),
        (Flaw::IntermediateWithoutMark, "intermediate certificate lacks"),
        (Flaw::IntermediateIsNoAuthority, "do not lead"),
        (Flaw::NoIntermediate, "do not lead"),
        (Flaw::LeafIsNotForSigning, "not for signing"),
    ] {
        let authority = Authority::with(flaw);
        forged(&authority.sign(&claims()), &authority, because);
    }
}

#[test]
fn what_was_signed_while_the_certificate_was_good_stays_good() {
    let authority = Authority::new();
    assert!(live(&authority).transaction(&authority.sign(&claims())).is_ok());
    let late = authority.sign(&with("signedDate", json!(LATER)));
    forged(&late, &authority, "do not lead");
    let early = authority.sign(&with("signedDate", json!(-5_000)));
    forged(&early, &authority, "before 1970");
}

#[test]
fn another_app_or_another_environment_is_refused() {
    let authority = Authority::new();
    let refused = |claims: &Value| live(&authority).transaction(&authority.sign(claims)).unwrap_err();
    assert_eq!(
        refused(&with("bundleId", json!("com.example.other"))),
        SignedDataError::WrongApp
    );
    assert_eq!(refused(&with("bundleId", Value::Null)), SignedDataError::WrongApp);
    for environment in ["Sandbox", "Xcode", "LocalTesting"] {
        let claims = with("environment", json!(environment));
        assert_eq!(
            refused(&claims),
            SignedDataError::WrongEnvironment,
            "{environment}"
        );
    }
    assert_eq!(
        refused(&with("productId", Value::Null)),
        SignedDataError::Incomplete("productId")
    );
    let both = apple(
        &authority,
        &[StoreEnvironment::Production, StoreEnvironment::Sandbox],
    );
    let sandbox = authority.sign(&with("environment", json!("Sandbox")));
    let transaction = both.transaction(&sandbox).unwrap();
    assert_eq!(transaction.environment, StoreEnvironment::Sandbox);
    let xcode = authority.sign(&with("environment", json!("Xcode")));
    assert_eq!(both.transaction(&xcode), Err(SignedDataError::WrongEnvironment));
}

fn notification(authority: &Authority, kind: &str, data: &Value) -> Vec<u8> {
    let payload = json!({
        "notificationType": kind, "subtype": "BILLING_RECOVERY", "version": "2.0", "signedDate": THEN,
        "notificationUUID": "002e14d5-51f5-4503-b5a8-c3a1af68eb20", "data": data,
    });
    json!({"signedPayload": authority.sign(&payload)})
        .to_string()
        .into_bytes()
}

fn data(authority: &Authority) -> Value {
    let renewal = json!({
        "originalTransactionId": "2000000000000001", "productId": "pro.monthly", "autoRenewStatus": 0,
        "autoRenewProductId": "basic.monthly", "signedDate": THEN, "environment": "Production",
        "gracePeriodExpiresDate": THEN + 1,
    });
    json!({
        "environment": "Production", "appAppleId": APP, "bundleId": BUNDLE, "bundleVersion": "1", "status": 4,
        "signedTransactionInfo": authority.sign(&claims()), "signedRenewalInfo": authority.sign(&renewal),
    })
}

#[test]
fn a_notification_is_read_with_the_texts_inside_it() {
    let authority = Authority::new();
    let body = notification(&authority, "DID_RENEW", &data(&authority));
    let notification = live(&authority).notification(&body).unwrap();
    assert_eq!(notification.id, "002e14d5-51f5-4503-b5a8-c3a1af68eb20");
    assert_eq!(notification.event, StoreEvent::Renewed { recovered: true });
    assert_eq!(notification.environment, Some(StoreEnvironment::Production));
    assert_eq!(notification.transaction.unwrap().product, "pro.monthly");
    let renewal = notification.renewal.unwrap();
    assert_eq!(renewal.next_product.as_deref(), Some("basic.monthly"));
    assert!(!renewal.renews && renewal.grace_until.is_some());
}

#[test]
fn a_notification_of_a_kind_that_nobody_knows_is_read_too() {
    let authority = Authority::new();
    let body = notification(&authority, "MIGRATION", &data(&authority));
    let notification = live(&authority).notification(&body).unwrap();
    assert_eq!(
        (notification.event, &*notification.kind),
        (StoreEvent::Other, "MIGRATION")
    );
}

#[test]
fn a_notification_is_as_good_as_each_text_inside_it() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let refused = |change: fn(&mut Value, &Authority)| {
        let mut data = data(&ours);
        change(&mut data, &theirs);
        live(&ours)
            .notification(&notification(&ours, "DID_RENEW", &data))
            .unwrap_err()
    };
    let forged = refused(|data, theirs| data["signedTransactionInfo"] = json!(theirs.sign(&claims())));
    assert!(matches!(forged, SignedDataError::Forged(_)));
    assert_eq!(
        refused(|data, _| data["appAppleId"] = json!(99)),
        SignedDataError::WrongApp
    );
    assert_eq!(
        refused(|data, _| data["bundleId"] = json!("x")),
        SignedDataError::WrongApp
    );
    assert_eq!(
        refused(|data, _| data["environment"] = json!("Sandbox")),
        SignedDataError::WrongEnvironment
    );
    // A transaction is no notification, and a notification is no transaction.
    let body = json!({"signedPayload": ours.sign(&claims())}).to_string();
    assert!(live(&ours).notification(body.as_bytes()).is_err());
    assert!(live(&ours).notification(b"{}").is_err());
}

/// The certificates with which Apple signed until 2023 (`apple.com/certificateauthority`), under Apple's own root.
#[test]
fn apples_own_certificates_lead_to_apples_root() {
    let leaf = include_bytes!("../../../tests/fixtures/app_store/apple-signing-2021.cer");
    let intermediate = include_bytes!("../../../tests/fixtures/app_store/apple-wwdr-g6.cer");
    let chain = Chain::new(APPLE_ROOT).unwrap();
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let key = |at| chain.key(&leaf.as_slice().into(), &intermediate.as_slice().into(), at);
    assert_eq!(key(at(1_681_312_846)).unwrap().len(), 65);
    assert!(key(at(1_700_000_000)).is_err(), "it expired in September 2023");
    let ours = Chain::new(&Authority::new().root).unwrap();
    assert!(
        ours.key(
            &leaf.as_slice().into(),
            &intermediate.as_slice().into(),
            at(1_681_312_846)
        )
        .is_err()
    );
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_asked() {
    let refused = |builder: super::super::AppleBuilder, because: &str| {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.detail().unwrap().contains(because), "{error:?}");
    };
    let builder = || Apple::builder(BUNDLE, api_key());
    refused(builder(), "number is missing");
    refused(Apple::builder("", api_key()), "bundle id");
    refused(builder().with_app_id(1).with_environments([]), "no environment");
    refused(builder().with_app_id(1).with_root(*b"abc"), "root");
    let key = super::super::ApiKey::new("i", "k", "hunter2".into());
    let builder = Apple::builder(BUNDLE, key).with_app_id(1);
    assert!(!format!("{builder:?}").contains("hunter2"));
    refused(builder, "private key");
}
