//! The SQLite store keeps the contract of every store.
#![cfg(all(feature = "sqlite", feature = "testing"))]

use std::error::Error;

use jiff::Timestamp;
use secrecy::SecretString;
use sqlx::{Connection, SqliteConnection};
use uuid::Uuid;
use voice_saas_core::{
    auth::{PasswordHash, User},
    call::UnroutedCall,
    id::{TenantId, UnroutedCallId, UserId},
    page::PageRequest,
    provider::telephony::ProviderCallId,
    store::{Store, StoreErrorKind},
    tenant::{Platform, Role, Tenant},
    testing::{fixtures, system_scope, tenant_scope},
};
use voice_saas_providers::sql::{SqliteStore, connect, migrate};

async fn fresh_store() -> SqliteStore {
    SqliteStore::in_memory()
        .await
        .expect("an in-memory database opens")
}

voice_saas_core::store_conformance_tests!(fresh_store);

/// The path of a file that is not there yet.
fn fresh_file(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    for leftover in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{path}{leftover}"));
    }
    path
}

async fn register(store: &SqliteStore) -> Tenant {
    let now = Timestamp::UNIX_EPOCH;
    let tenant = Tenant::new(
        TenantId::from_uuid(Uuid::from_u128(1)),
        "acme",
        Platform::Web,
        now,
    );
    let password = PasswordHash::from_phc("$argon2id$…");
    let user = User::new(
        UserId::from_uuid(Uuid::from_u128(2)),
        "a@b.example",
        None,
        password,
        now,
    );
    let mut tx = store.begin_system(&system_scope()).await.expect("it begins");
    tx.accounts()
        .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
        .await
        .expect("nobody has the address");
    tx.commit().await.expect("it commits");
    tenant
}

#[tokio::test]
async fn a_file_holds_its_rows_when_it_is_opened_again_however_it_is_named() {
    let path = fresh_file("reopened.db");
    let path = path.as_str();
    let store = SqliteStore::open(path).await.unwrap();
    let tenant = register(&store).await;
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

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named_with_its_table_and_column() {
    let path = fresh_file("corrupt.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let tenant = register(&store).await;
    let mut connection = SqliteConnection::connect(&path).await.unwrap();
    sqlx::query("UPDATE tenants SET status = 'asleep'")
        .execute(&mut connection)
        .await
        .unwrap();
    let mut tx = store.begin(&tenant_scope(tenant.id)).await.unwrap();
    let error = tx.tenant().get().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (StoreErrorKind::Corrupt, "find the tenant")
    );
    assert_eq!(
        error.source().unwrap().to_string(),
        "column status of tenants row 00000000-0000-0000-0000-000000000001 cannot be read"
    );
}
