//! The `PostgreSQL` store keeps the contract of every store, and its database walls tenants off by itself.
#![cfg(all(feature = "postgres", feature = "testing"))]

use std::error::Error;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use url::Url;
use uuid::Uuid;
use voice_saas_core::{
    agent::Agent,
    auth::{ApiKey, CredentialHash, PasswordHash, RefreshToken, User},
    call::{Call, CallEventKind},
    event::DomainEvent,
    id::{
        AgentId, ApiKeyId, CallId, EntryId, EventId, JobId, NumberId, PortId, SagaId, SubaccountId, TenantId,
        TokenFamilyId, TrunkId, UserId,
    },
    job::NewJob,
    ledger::{Account, LedgerEntry, Subject},
    money::{Currency, Money},
    number::{PhoneNumber, Port, SealedOrder},
    phone::Country,
    provider::{telephony::ProviderCallId, voice_agent::AgentSpec},
    saga::SagaRecord,
    scope::TenantScope,
    store::{Store, StoreError},
    subaccount::Subaccount,
    tenant::{Platform, Role, Tenant, Zone},
    testing::{fixtures, system_scope, tenant_scope},
    trunk::{SealedPassword, Trunk},
    usage::{Admitted, Reservation, Windows},
};
use voice_saas_providers::sql::{PostgresStore, testing::FreshPostgres};

async fn fresh_store() -> Option<FreshPostgres> {
    FreshPostgres::create().await
}

voice_saas_core::store_conformance_tests!(fresh_store);

/// A tenant with a row in every table that tenants have.
async fn furnish(store: &dyn Store, seed: u128) -> Result<TenantScope, StoreError> {
    let now = Timestamp::UNIX_EPOCH;
    let uuid = |kind: u128| Uuid::from_u128(seed * 100 + kind);
    let hash = CredentialHash::from_bytes([u8::try_from(seed).expect("a small seed"); 32]);
    let tenant = Tenant::new(TenantId::from_uuid(uuid(0)), "acme", Platform::Web, now);
    let password = PasswordHash::from_phc("$argon2id$…");
    let user = User::new(
        UserId::from_uuid(uuid(1)),
        format!("ada@{seed}.example"),
        None,
        password,
        now,
    );
    let family = TokenFamilyId::from_uuid(uuid(2));
    let mut tx = store.begin_system(&system_scope()).await?;
    tx.accounts()
        .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
        .await?;
    tx.accounts()
        .add_refresh_token(&RefreshToken::new(hash, family, user.id, tenant.id, now))
        .await?;
    tx.commit().await?;

    let scope = tenant_scope(tenant.id);
    let number = format!("+1212555{seed:04}").parse().expect("E.164");
    let (number_id, saga) = (NumberId::from_uuid(uuid(3)), SagaId::from_uuid(uuid(4)));
    let number = PhoneNumber::pending(number_id, number, "twilio", Country::US, saga, now);
    let agent = Agent::new(
        AgentSpec::new(AgentId::from_uuid(uuid(5)), "Ada", ""),
        "elevenlabs",
        now,
    );
    let provider_call = ProviderCallId::new(format!("CA{seed}"));
    let call = Call::inbound(
        CallId::from_uuid(uuid(6)),
        "twilio",
        provider_call,
        "+15550100",
        "+12125550142",
        now,
    );
    let key = ApiKey::new(ApiKeyId::from_uuid(uuid(7)), "CRM", "vs_1", hash, vec![], now);
    let mut tx = store.begin(&scope).await?;
    tx.api_keys().add(&key).await?;
    tx.numbers().add(&number).await?;
    let password = SealedPassword::from_bytes(vec![1]);
    let trunk = Trunk::pending(TrunkId::from_uuid(uuid(12)), number.id, "livekit", password, now);
    tx.trunks().add(&trunk).await?;
    let port = Port::ordered(
        PortId::from_uuid(uuid(13)),
        "twilio",
        Vec::new(),
        SealedOrder::from_bytes(vec![1]),
        JobId::from_uuid(uuid(14)),
        SagaId::from_uuid(uuid(15)),
        now,
    );
    tx.ports().add(&port).await?;
    let account = Subaccount::opening(SubaccountId::from_uuid(uuid(16)), "twilio", saga, now);
    tx.subaccounts().add(&account).await?;
    tx.agents().add(&agent).await?;
    tx.numbers().link(number.id, agent.spec.id).await?;
    tx.calls().add(&call, &CallEventKind::MediaConnected).await?;
    tx.calls().save_transcript(call.id, &[]).await?;
    let entry = LedgerEntry {
        id: EntryId::from_uuid(uuid(8)),
        subject: Subject::Call(call.id),
        account: Account::Cost,
        kind: "agent".to_owned(),
        provider: "elevenlabs".to_owned(),
        quantity: 1,
        unit: "minute".to_owned(),
        amount: Money::zero(Currency::USD),
        rating_version: "1".to_owned(),
        at: now,
    };
    tx.ledger().add(&entry).await?;
    let admitted = Admitted::under(fixtures::entitlement().plan);
    let windows = Windows::at(now, &Zone::utc());
    let reservation = Reservation::new(call.id, &admitted, windows, now);
    tx.usage().reserve(&reservation).await?;
    tx.sagas()
        .add(&SagaRecord::new(saga, "provision", json!({}), now))
        .await?;
    tx.jobs()
        .enqueue(
            &NewJob::new(JobId::from_uuid(uuid(9)), "dial", Value::Null, now),
            now,
        )
        .await?;
    let event = DomainEvent::new(EventId::from_uuid(uuid(10)), "call.ended", Value::Null, now);
    tx.outbox().publish(&event).await?;
    tx.idempotency()
        .begin("POST /numbers", "k", &[0; 32], now, now)
        .await?;
    tx.commit().await?;
    Ok(scope)
}

async fn admin(fresh: &FreshPostgres) -> PgConnection {
    PgConnection::connect(fresh.url().expose_secret())
        .await
        .expect("the test's database answers")
}

/// Every table with a tenant in it, as the catalog knows them.
async fn tenant_tables(connection: &mut PgConnection) -> Vec<String> {
    let tables = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attname = 'tenant_id'
        ORDER BY 1",
    );
    let tables: Vec<String> = tables.fetch_all(connection).await.expect("the catalog answers");
    assert!(tables.len() >= 14, "{tables:?}");
    tables
}

async fn run(connection: &mut PgConnection, sql: impl Into<String>) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.into()))
        .execute(connection)
        .await
        .map(drop)
}

async fn count(connection: &mut PgConnection, table: &str) -> Result<i64, sqlx::Error> {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// How many rows of the table the application's role sees, this setting being the tenant; `None` = no right at all.
async fn seen(connection: &mut PgConnection, table: &str, setting: Option<&str>) -> Option<i64> {
    run(connection, "BEGIN; SET LOCAL ROLE voice_saas_app")
        .await
        .expect("the role may be taken");
    if let Some(tenant) = setting {
        run(connection, format!("SET LOCAL voice_saas.tenant = '{tenant}'"))
            .await
            .expect("a setting");
    }
    let seen = count(connection, table).await;
    run(connection, "ROLLBACK").await.expect("a rollback");
    match seen {
        Ok(rows) => Some(rows),
        Err(error) => {
            let code = error
                .as_database_error()
                .and_then(|error| error.code().map(String::from));
            assert_eq!(code.as_deref(), Some("42501"), "{table}: {error}");
            None
        }
    }
}

#[tokio::test]
async fn the_application_sees_its_own_tenants_rows_and_none_while_no_tenant_is_set() {
    let Some(fresh) = fresh_store().await else { return };
    let owner = furnish(&fresh, 1)
        .await
        .expect("the server obeys")
        .tenant_id()
        .as_uuid()
        .to_string();
    furnish(&fresh, 2).await.expect("the server obeys");
    let stranger = Uuid::from_u128(99).to_string();
    let mut connection = admin(&fresh).await;
    let mut tables = tenant_tables(&mut connection).await;
    tables.extend(["tenants".to_owned()]);
    for table in tables {
        let rows = count(&mut connection, &table).await.expect("the server obeys");
        assert!(
            rows > 0 && rows % 2 == 0,
            "{table} has as many rows of each tenant: {rows}"
        );
        let granted = seen(&mut connection, &table, Some(&owner)).await;
        assert_eq!(
            granted,
            (table != "refresh_tokens").then_some(rows / 2),
            "{table}"
        );
        for setting in [None, Some(""), Some(stranger.as_str())] {
            assert_eq!(
                seen(&mut connection, &table, setting).await,
                granted.map(|_| 0),
                "{table} {setting:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_application_may_not_read_passwords_nor_calls_that_reached_nobody() {
    let Some(fresh) = fresh_store().await else { return };
    let owner = furnish(&fresh, 1)
        .await
        .expect("the server obeys")
        .tenant_id()
        .as_uuid();
    furnish(&fresh, 2).await.expect("the server obeys");
    let mut connection = admin(&fresh).await;
    for (select, expected) in [
        ("SELECT email FROM users", Some(1)),
        ("SELECT password_hash FROM users", None),
        ("SELECT * FROM unrouted_calls", None),
        ("SELECT * FROM refresh_tokens", None),
    ] {
        let begin = format!("BEGIN; SET LOCAL ROLE voice_saas_app; SET LOCAL voice_saas.tenant = '{owner}'");
        run(&mut connection, begin).await.expect("the server obeys");
        let rows = sqlx::query(select).fetch_all(&mut connection).await;
        assert_eq!(rows.ok().map(|rows| rows.len()), expected, "{select}");
        run(&mut connection, "ROLLBACK").await.expect("the server obeys");
    }
}

#[tokio::test]
async fn the_application_can_write_no_row_of_another_tenant() {
    let Some(fresh) = fresh_store().await else { return };
    let owner = furnish(&fresh, 1)
        .await
        .expect("the server obeys")
        .tenant_id()
        .as_uuid();
    let stranger = furnish(&fresh, 2)
        .await
        .expect("the server obeys")
        .tenant_id()
        .as_uuid();
    let mut connection = admin(&fresh).await;
    let begin = format!("BEGIN; SET LOCAL ROLE voice_saas_app; SET LOCAL voice_saas.tenant = '{stranger}'");
    for write in [
        format!(
            "INSERT INTO outbox (tenant_id, id, kind, payload, at) VALUES ('{owner}', '{owner}', '', '{{}}', 0)"
        ),
        format!("UPDATE agents SET tenant_id = '{owner}'"),
    ] {
        run(&mut connection, begin.as_str())
            .await
            .expect("the server obeys");
        let error = run(&mut connection, write.as_str()).await.unwrap_err();
        assert!(error.to_string().contains("row-level security"), "{error}");
        run(&mut connection, "ROLLBACK").await.expect("the server obeys");
    }
    run(&mut connection, begin).await.expect("the server obeys");
    run(
        &mut connection,
        "UPDATE tenants SET name = 'mine'; DELETE FROM agent_numbers",
    )
    .await
    .expect("the server obeys");
    run(&mut connection, "COMMIT").await.expect("the server obeys");
    let name: String = sqlx::query_scalar("SELECT name FROM tenants WHERE id = $1")
        .bind(owner)
        .fetch_one(&mut connection)
        .await
        .expect("the server obeys");
    assert_eq!(
        (
            name.as_str(),
            count(&mut connection, "agent_numbers")
                .await
                .expect("the server obeys")
        ),
        ("acme", 1)
    );
}

#[tokio::test]
async fn every_tenant_table_forces_row_level_security_on_roles_that_cannot_bypass_it() {
    let Some(fresh) = fresh_store().await else { return };
    let mut connection = admin(&fresh).await;
    let mut tables = tenant_tables(&mut connection).await;
    tables.extend(["tenants".to_owned(), "users".to_owned()]);
    for table in tables {
        let row = sqlx::query(
            "SELECT relrowsecurity AND relforcerowsecurity, pg_get_userbyid(relowner)::text FROM pg_class
            WHERE oid = to_regclass($1)",
        )
        .bind(&table)
        .fetch_one(&mut connection)
        .await
        .expect("the server obeys");
        assert!(row.get::<bool, _>(0), "{table}");
        assert!(!row.get::<String, _>(1).starts_with("voice_saas_"), "{table}");
    }
    let weak: Vec<String> = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles
        WHERE rolname LIKE 'voice\\_saas\\_%' AND (rolsuper OR rolbypassrls OR rolcanlogin)",
    )
    .fetch_all(&mut connection)
    .await
    .expect("the server obeys");
    assert!(weak.is_empty(), "{weak:?}");
}

/// A login of this name on a database of its own, and its address.
async fn login(fresh: &FreshPostgres, name: &str, rights: &str) -> (PgConnection, SecretString) {
    let mut connection = admin(fresh).await;
    run(
        &mut connection,
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
    )
    .await
    .expect("the server obeys");
    run(&mut connection, format!("DROP ROLE IF EXISTS {name}"))
        .await
        .expect("the server obeys");
    run(
        &mut connection,
        format!("CREATE ROLE {name} LOGIN PASSWORD 'secret' {rights}"),
    )
    .await
    .expect("the server obeys");
    run(&mut connection, format!("CREATE DATABASE {name} OWNER {name}"))
        .await
        .expect("the server obeys");
    let mut url = Url::parse(fresh.url().expose_secret()).expect("the server obeys");
    url.set_username(name).expect("the server obeys");
    url.set_password(Some("secret")).expect("the server obeys");
    url.set_path(name);
    (connection, SecretString::from(String::from(url)))
}

async fn forget(mut connection: PgConnection, name: &str) {
    run(&mut connection, format!("DROP DATABASE {name} WITH (FORCE)"))
        .await
        .expect("the server obeys");
    run(&mut connection, format!("DROP ROLE {name}"))
        .await
        .expect("the server obeys");
}

#[tokio::test]
async fn a_login_that_is_no_superuser_migrates_and_works() {
    let Some(fresh) = fresh_store().await else { return };
    let name = "voice_test_plain";
    let (connection, url) = login(&fresh, name, "CREATEROLE").await;
    let store = PostgresStore::connect(&url).await.expect("the server obeys");
    let scope = furnish(&store, 1).await.expect("the server obeys");
    assert_eq!(
        store
            .begin(&scope)
            .await
            .expect("the server obeys")
            .tenant()
            .get()
            .await
            .expect("the server obeys")
            .name,
        "acme"
    );
    let number = "+12125550001".parse().expect("the server obeys");
    let route = store
        .begin_system(&system_scope())
        .await
        .expect("the server obeys")
        .route(&number)
        .await
        .expect("the server obeys")
        .expect("the server obeys");
    assert_eq!((route.tenant.id, route.agents.len()), (scope.tenant_id(), 1));
    drop(store);
    // A second one finds everything done.
    PostgresStore::connect(&url)
        .await
        .expect("the server obeys")
        .ping()
        .await
        .expect("the server obeys");
    forget(connection, name).await;
}

#[tokio::test]
async fn a_login_that_may_take_the_roles_and_nothing_else_works_in_a_migrated_database() {
    let Some(fresh) = fresh_store().await else { return };
    let name = "voice_test_server";
    let (mut connection, url) = login(&fresh, name, "").await;
    run(
        &mut connection,
        format!("GRANT voice_saas_app, voice_saas_system TO {name}"),
    )
    .await
    .unwrap();
    let mut url = Url::parse(url.expose_secret()).unwrap();
    url.set_path(Url::parse(fresh.url().expose_secret()).unwrap().path());
    let store = PostgresStore::connect(&SecretString::from(String::from(url)))
        .await
        .unwrap();
    let scope = furnish(&store, 1).await.unwrap();
    assert_eq!(
        store
            .begin(&scope)
            .await
            .unwrap()
            .tenant()
            .get()
            .await
            .unwrap()
            .name,
        "acme"
    );
    drop(store);
    forget(connection, name).await;
}

#[tokio::test]
async fn a_login_that_may_not_take_the_roles_is_told_what_to_run() {
    let Some(fresh) = fresh_store().await else { return };
    let name = "voice_test_stranger";
    let (connection, url) = login(&fresh, name, "").await;
    let error = PostgresStore::connect(&url).await.unwrap_err();
    let cause = error.source().expect("a cause").to_string();
    assert!(
        cause.contains("GRANT voice_saas_app TO voice_test_stranger"),
        "{cause}"
    );
    forget(connection, name).await;
}

#[tokio::test]
async fn a_wake_up_reaches_the_other_replicas() {
    let Some(fresh) = fresh_store().await else { return };
    let other = PostgresStore::connect(&fresh.url())
        .await
        .expect("the server obeys");
    // The first one comes when the replica begins to listen.
    other.job_wakeup().await;
    let ((), woken) = tokio::join!(other.job_wakeup(), fresh.wake_jobs());
    woken.expect("the server obeys");
}
