//! A `PostgreSQL` database of its own for every test.
//!
//! The server is named by `VOICE_SAAS_TEST_POSTGRES`: the address of an administrator's login on a server that is
//! thrown away afterwards. `scripts/with-postgres.sh` starts one and sets it.

use std::{
    fmt, process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use async_trait::async_trait;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;
use voice_saas_core::{
    scope::{SystemScope, TenantScope},
    store::{Store, StoreError, SystemTx, TenantTx},
};

use super::{PostgresStore, migration};

/// A store on a fresh database, which is dropped with it. It is a [`Store`] itself.
pub struct FreshPostgres {
    store: PostgresStore,
    admin: Url,
    name: String,
}

impl FreshPostgres {
    /// The environment variable that names the server.
    pub const SERVER: &'static str = "VOICE_SAAS_TEST_POSTGRES";

    /// Makes a database, as a copy of one that was migrated once; `None`, said aloud, without a server.
    ///
    /// # Panics
    /// When the database cannot be made, and without a server where `CI` is set: there a skipped test is a failure.
    #[expect(
        clippy::disallowed_methods,
        reason = "where the tests' server is can only be said from outside"
    )]
    #[expect(clippy::print_stderr, reason = "a skipped test says so aloud")]
    pub async fn create() -> Option<Self> {
        let Ok(server) = std::env::var(Self::SERVER) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "{} is not set, and in CI it must be",
                Self::SERVER
            );
            eprintln!(
                "SKIPPED: {} is not set; run scripts/with-postgres.sh cargo nextest run",
                Self::SERVER
            );
            return None;
        };
        let admin = Url::parse(&server).expect("VOICE_SAAS_TEST_POSTGRES is a postgres:// address");
        Some(
            Self::create_at(admin)
                .await
                .expect("a database is made at VOICE_SAAS_TEST_POSTGRES"),
        )
    }

    async fn create_at(admin: Url) -> Result<Self, Box<dyn std::error::Error>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "voice_saas_{}_{}",
            process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let mut connection = PgConnection::connect(admin.as_str()).await?;
        let template = template(&admin, &mut connection).await?;
        // One may be left over from a killed process that had this number.
        run(
            &mut connection,
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        )
        .await?;
        run(
            &mut connection,
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await?;
        connection.close().await?;
        let store = PostgresStore::connect_with(&address(&admin, &name), 8).await?;
        Ok(Self { store, admin, name })
    }

    /// The store.
    pub fn store(&self) -> &PostgresStore {
        &self.store
    }

    /// The database's address, with the administrator's login.
    pub fn url(&self) -> SecretString {
        address(&self.admin, &self.name)
    }
}

/// The migrated database that all others are copies of; made by whoever comes first.
async fn template(admin: &Url, connection: &mut PgConnection) -> Result<String, Box<dyn std::error::Error>> {
    const LOCK: i64 = 0x766f_6963_6573_6161;
    let mut digest = Sha256::new();
    for (_, _, sql) in migration::POSTGRES {
        digest.update(sql);
    }
    let digest = u64::from_be_bytes(digest.finalize()[..8].try_into()?);
    let name = format!("voice_saas_template_{digest:016x}");
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await?;
    let made = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(&name);
    if made.fetch_optional(&mut *connection).await?.is_none() {
        // It takes its name when it is complete: whoever dies in between leaves nothing that looks finished.
        let unfinished = "voice_saas_template_unfinished";
        run(
            connection,
            format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"),
        )
        .await?;
        run(connection, format!("CREATE DATABASE {unfinished}")).await?;
        PostgresStore::migrate(&address(admin, unfinished)).await?;
        run(
            connection,
            format!("ALTER DATABASE {unfinished} RENAME TO {name}"),
        )
        .await?;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await?;
    Ok(name)
}

/// Runs a statement about a database, whose name no parameter can carry; all names are made in this file.
async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(drop)
}

fn address(admin: &Url, database: &str) -> SecretString {
    let mut url = admin.clone();
    url.set_path(database);
    SecretString::from(String::from(url))
}

// The address may hold a password.
impl fmt::Debug for FreshPostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreshPostgres")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Drop for FreshPostgres {
    fn drop(&mut self) {
        let (admin, sql) = (
            self.admin.clone(),
            format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
        );
        // On a thread of its own, since the one that drops this may be driving the runtime. A database that stays
        // is thrown away with its server.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(admin.as_str()).await.ok()?;
                run(&mut connection, sql).await.ok()
            })
        });
        let _ = dropping.join();
    }
}

#[async_trait]
impl Store for FreshPostgres {
    async fn begin(&self, scope: &TenantScope) -> Result<Box<dyn TenantTx>, StoreError> {
        self.store.begin(scope).await
    }

    async fn begin_system(&self, scope: &SystemScope) -> Result<Box<dyn SystemTx>, StoreError> {
        self.store.begin_system(scope).await
    }

    async fn begin_reading(&self, scope: &SystemScope) -> Result<Box<dyn SystemTx>, StoreError> {
        self.store.begin_reading(scope).await
    }

    async fn job_wakeup(&self) {
        self.store.job_wakeup().await;
    }

    async fn wake_jobs(&self) -> Result<(), StoreError> {
        self.store.wake_jobs().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_databases_address_is_the_servers_with_its_name() {
        let admin = Url::parse("postgres://postgres:x@127.0.0.1:5433/postgres?sslmode=disable").unwrap();
        let address = address(&admin, "voice_saas_1_0");
        assert_eq!(
            address.expose_secret(),
            "postgres://postgres:x@127.0.0.1:5433/voice_saas_1_0?sslmode=disable"
        );
    }
}
