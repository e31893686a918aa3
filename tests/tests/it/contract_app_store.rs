//! The contract with the App Store: Apple's own test data (`apple-jws-fixtures` in the folder that `VOICE_SAAS_SPECS`
//! names) is believed and refused as Apple's server libraries do, and requests are those of Apple's documentation.

use std::{collections::BTreeSet, fs, path::PathBuf};

use jiff::Timestamp;
use uuid::Uuid;
use voice_saas_core::provider::app_store::{
    AppStore, OriginalTransactionId, SignedDataError, StoreEnvironment, StoreEvent, TransactionId,
};
use voice_saas_providers::{
    app_store::{ApiKey, Apple},
    emulator::{Emulator, EmulatorConfig, InAppPurchase, Provider},
};

/// The app of Apple's test data.
const BUNDLE: &str = "com.example";
const APP: u64 = 1_234;

/// The folder; `None`, said aloud, where there is none.
#[expect(
    clippy::disallowed_methods,
    reason = "where a machine keeps the specifications is no configuration of the library"
)]
#[expect(clippy::print_stderr, reason = "a skipped test says so aloud")]
fn folder() -> Option<PathBuf> {
    let Some(specs) = std::env::var_os("VOICE_SAAS_SPECS") else {
        eprintln!(
            "\n*** SKIPPED, NOT TESTED: the contract of the App Store: VOICE_SAAS_SPECS is not set ***\n"
        );
        return None;
    };
    Some(PathBuf::from(specs).join("apple-jws-fixtures"))
}

async fn emulator() -> Emulator {
    let config = EmulatorConfig::new("127.0.0.1:0".parse().expect("an address"));
    Emulator::start(config).await.expect("the emulator starts")
}

fn key(emulator: &Emulator) -> ApiKey {
    let (issuer, key, private_key) = emulator.app_store_key();
    ApiKey::new(issuer, key, private_key)
}

#[tokio::test]
async fn apples_own_test_data_is_believed_and_refused_as_by_apple() {
    let Some(folder) = folder() else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a fixture");
    let root = fs::read(folder.join("testCA.der")).expect("the test root");
    let key = key(&emulator().await);
    let apple = |bundle: &str, environment| {
        Apple::builder(bundle, key.clone())
            .with_app_id(APP)
            .with_environments([environment])
            .with_root(&*root)
            .build()
            .expect("a valid set-up")
    };
    let sandbox = apple(BUNDLE, StoreEnvironment::Sandbox);

    let transaction = sandbox
        .verify(read("transactionInfo").trim())
        .expect("signed by Apple");
    assert_eq!(
        (&transaction["bundleId"], &transaction["environment"]),
        (&BUNDLE.into(), &"Sandbox".into())
    );
    // It holds no more than these, which makes it no transaction.
    let refused = sandbox.transaction(&read("transactionInfo"));
    assert_eq!(refused, Err(SignedDataError::Incomplete("transactionId")));
    let renewal = sandbox
        .verify(read("renewalInfo").trim())
        .expect("signed by Apple");
    assert_eq!(renewal["environment"], "Sandbox");

    let body = |name: &str| serde_json::json!({"signedPayload": read(name).trim()}).to_string();
    let notification = sandbox.notification(body("testNotification").as_bytes());
    let notification = notification.expect("signed by Apple");
    assert_eq!(notification.event, StoreEvent::Test);
    assert_eq!(notification.id, "9ad56bd2-0bc6-42e0-af24-fd996d87a1e6");
    assert_eq!(notification.environment, Some(StoreEnvironment::Sandbox));

    let refused = |store: &Apple, name: &str| {
        let answer = store.notification(body(name).as_bytes());
        answer.expect_err("not to be believed")
    };
    assert_eq!(refused(&sandbox, "wrongBundleId"), SignedDataError::WrongApp);
    let no_chain = refused(&sandbox, "missingX5CHeaderClaim");
    assert!(matches!(no_chain, SignedDataError::Forged(_)), "{no_chain}");
    let other = apple("com.example.x", StoreEnvironment::Sandbox);
    assert_eq!(refused(&other, "testNotification"), SignedDataError::WrongApp);
    let live = apple(BUNDLE, StoreEnvironment::Production);
    assert_eq!(
        refused(&live, "testNotification"),
        SignedDataError::WrongEnvironment
    );
    let under_apples_root = Apple::builder(BUNDLE, key.clone()).with_app_id(APP);
    let under_apples_root = under_apples_root.build().expect("a valid set-up");
    let forged = refused(&under_apples_root, "testNotification");
    assert!(matches!(forged, SignedDataError::Forged(_)), "{forged}");
}

#[test]
fn the_root_in_the_library_is_the_one_that_apple_publishes() {
    let Some(folder) = folder() else { return };
    let published = fs::read(folder.with_file_name("AppleRootCA-G3.cer")).expect("Apple's root");
    let ours = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../voice-saas-providers/src/app_store/AppleRootCA-G3.cer"
    );
    assert_eq!(fs::read(ours).expect("the library's root"), published);
}

#[tokio::test]
async fn requests_are_those_of_apples_documentation() {
    let emulator = emulator().await;
    let apple = Apple::builder(emulator.app_store_bundle_id(), key(&emulator))
        .with_app_id(emulator.app_store_app_id())
        .with_root(emulator.app_store_root())
        .with_base_urls(emulator.url().clone(), emulator.app_store_sandbox_url())
        .build()
        .expect("a valid set-up");
    let live = StoreEnvironment::Production;
    let receipt = emulator
        .buy_in_app(InAppPurchase::new("pro"))
        .expect("it is bought");
    let id = TransactionId::new(&*receipt.transaction_id);
    let original = OriginalTransactionId::new(&*receipt.original_transaction_id);
    apple.subscriptions(live, &id).await.expect("an answer");
    apple
        .transactions(live, &id, Some("rev_0"))
        .await
        .expect("an answer");
    let (from, until) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    apple
        .notifications(live, from, until, Some("0"))
        .await
        .expect("an answer");
    let token = Uuid::from_u128(7);
    apple
        .set_account_token(live, &original, token)
        .await
        .expect("an answer");

    let requests = emulator.requests();
    let asked: BTreeSet<_> = requests
        .iter()
        .filter(|request| request.provider == Provider::AppStore)
        .map(|request| {
            let body = String::from_utf8_lossy(&request.body);
            let query = request.query.clone().unwrap_or_default();
            format!("{} {}?{query} {body}", request.method, request.path)
        })
        .collect();
    let expected = BTreeSet::from([
        format!("GET /inApps/v1/subscriptions/{id}? "),
        format!("GET /inApps/v2/history/{id}?sort=ASCENDING&revision=rev_0 "),
        "POST /inApps/v1/notifications/history?paginationToken=0 {\"endDate\":0,\"startDate\":0}".to_owned(),
        format!(
            "PUT /inApps/v1/transactions/{original}/appAccountToken? {{\"appAccountToken\":\"{token}\"}}"
        ),
    ]);
    assert_eq!(asked, expected);
}
