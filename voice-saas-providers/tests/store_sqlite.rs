//! The SQLite store keeps the contract of every store.
#![cfg(all(feature = "sqlite", feature = "testing"))]

use jiff::Timestamp;
use secrecy::SecretString;
use uuid::Uuid;
use voice_saas_core::{
    auth::{PasswordHash, User},
    call::UnroutedCall,
    id::{TenantId, UnroutedCallId, UserId},
    page::PageRequest,
    provider::telephony::ProviderCallId,
    store::{Store, StoreErrorKind},
    tenant::{Platform, Role, Tenant},
    testing::system_scope,
};
use voice_saas_providers::sql::{SqliteStore, connect, migrate};

async fn fresh_store() -> SqliteStore {
    SqliteStore::in_memory()
        .await
        .expect("an in-memory database opens")
}

voice_saas_core::store_conformance_tests!(fresh_store);

#[tokio::test]
async fn a_file_holds_its_rows_when_it_is_opened_again_however_it_is_named() {
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/reopened.db");
    for leftover in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{path}{leftover}"));
    }
    let tenant = Tenant::new(
        TenantId::from_uuid(Uuid::from_u128(1)),
        "acme",
        Platform::Web,
        Timestamp::UNIX_EPOCH,
    );
    let password = PasswordHash::from_phc("$argon2id$…");
    let user = User::new(
        UserId::from_uuid(Uuid::from_u128(2)),
        "a@b.example",
        None,
        password,
        Timestamp::UNIX_EPOCH,
    );
    let store = SqliteStore::open(path).await.unwrap();
    let mut tx = store.begin_system(&system_scope()).await.unwrap();
    tx.accounts().register(&user, &tenant, Role::Owner).await.unwrap();
    tx.commit().await.unwrap();
    drop(store);
    for url in [format!("sqlite:{path}"), format!("sqlite://{path}")] {
        migrate(&SecretString::from(url.as_str())).await.unwrap();
        let store = connect(&SecretString::from(url)).await.unwrap();
        let found = store
            .begin_system(&system_scope())
            .await
            .unwrap()
            .tenant(tenant.id)
            .await
            .unwrap();
        assert_eq!(found.as_ref(), Some(&tenant));
    }
}

#[tokio::test]
async fn two_stores_in_memory_have_nothing_in_common() {
    let stores = [
        connect(&SecretString::from("sqlite::memory:")).await,
        connect(&SecretString::from("sqlite::memory:")).await,
    ];
    for store in stores {
        let store = store.unwrap();
        assert_eq!(
            store
                .begin_system(&system_scope())
                .await
                .unwrap()
                .unrouted_calls(PageRequest::default())
                .await
                .unwrap()
                .data,
            []
        );
        let mut tx = store.begin_system(&system_scope()).await.unwrap();
        let call = UnroutedCall {
            id: UnroutedCallId::from_uuid(Uuid::from_u128(1)),
            provider: "twilio".to_owned(),
            provider_call: ProviderCallId::new("CA1"),
            from: String::new(),
            to: String::new(),
            at: Timestamp::UNIX_EPOCH,
        };
        tx.add_unrouted_call(&call).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_unavailable() {
    let error = SqliteStore::open("/no/such/folder/voice.db").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}
