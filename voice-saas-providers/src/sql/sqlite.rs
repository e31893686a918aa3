//! The embedded store.

use std::{fmt, str::FromStr, time::Duration};

use async_trait::async_trait;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Notify;
use voice_saas_core::{
    scope::{SystemScope, TenantScope},
    store::{Store, StoreError, SystemTx, TenantTx},
};

use super::{
    dialect,
    error::failed,
    migration,
    unit::{SystemUnit, TenantUnit, Tx},
};

/// A store in one file, or in memory, within this process.
///
/// Units of work follow one another on one connection: `SQLite` has one writer, and a unit of work may write at any
/// time, so each begins as the writer. Do not begin one while another is open in the same task. Look-ups across
/// tenants that write nothing have connections of their own.
///
/// ```
/// use voice_saas_core::store::{Store, StoreError};
/// use voice_saas_providers::sql::SqliteStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StoreError> {
/// let store = SqliteStore::in_memory().await?;
/// store.ping().await
/// # }
/// ```
pub struct SqliteStore {
    /// The one writer.
    pool: SqlitePool,
    /// Connections that look without waiting for the writer. A database in memory has but one connection.
    readers: SqlitePool,
    jobs: Notify,
}

impl SqliteStore {
    /// Opens the database at this path or `sqlite:` address, makes it when it is not there, and brings its tables
    /// up to date.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be read or written.
    pub async fn open(path_or_url: &str) -> Result<Self, StoreError> {
        if matches!(path_or_url, ":memory:" | "sqlite::memory:" | "sqlite://:memory:") {
            return Self::in_memory().await;
        }
        let options = if path_or_url.starts_with("sqlite:") {
            SqliteConnectOptions::from_str(path_or_url).map_err(|error| failed(OPEN, error))?
        } else {
            SqliteConnectOptions::new().filename(path_or_url)
        };
        Self::with_options(
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal),
            false,
        )
        .await
    }

    /// Opens a fresh database that lives as long as this value.
    ///
    /// # Errors
    /// `Internal` when the tables cannot be made.
    pub async fn in_memory() -> Result<Self, StoreError> {
        Self::with_options(SqliteConnectOptions::new().in_memory(true), true).await
    }

    async fn with_options(options: SqliteConnectOptions, in_memory: bool) -> Result<Self, StoreError> {
        let options = options
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5))
            // 32 MiB of log between two write-backs, 64 MiB of cache: short units of work gain half their speed again.
            .pragma("wal_autocheckpoint", "8000")
            .pragma("cache_size", "-65536")
            .statement_cache_capacity(256);
        let pool = pool(1, options.clone()).await?;
        let mut connection = pool.acquire().await.map_err(|error| failed(OPEN, error))?;
        migration::run(&mut *connection, &migration::SQLITE).await?;
        drop(connection);
        let readers = if in_memory {
            pool.clone()
        } else {
            self::pool(READERS, options.pragma("query_only", "ON")).await?
        };
        Ok(Self {
            pool,
            readers,
            jobs: Notify::new(),
        })
    }

    async fn transaction(&self) -> Result<Tx, StoreError> {
        self.pool
            .begin_with(dialect::SQLITE_BEGIN)
            .await
            .map(Tx::Sqlite)
            .map_err(|error| failed("begin", error))
    }
}

const OPEN: &str = "open the database";

/// Connections that look at the same time.
const READERS: u32 = 4;

async fn pool(connections: u32, options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        // No connection is ever closed: a database in memory would be gone.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options)
        .await
        .map_err(|error| failed(OPEN, error))
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn begin(&self, scope: &TenantScope) -> Result<Box<dyn TenantTx>, StoreError> {
        Ok(Box::new(TenantUnit {
            tx: self.transaction().await?,
            tenant: scope.tenant_id().as_uuid(),
        }))
    }

    async fn begin_system(&self, _scope: &SystemScope) -> Result<Box<dyn SystemTx>, StoreError> {
        Ok(Box::new(SystemUnit {
            tx: self.transaction().await?,
        }))
    }

    async fn begin_reading(&self, _scope: &SystemScope) -> Result<Box<dyn SystemTx>, StoreError> {
        let connection = self
            .readers
            .acquire()
            .await
            .map_err(|error| failed("begin", error))?;
        Ok(Box::new(SystemUnit {
            tx: Tx::SqliteReading(connection),
        }))
    }

    async fn job_wakeup(&self) {
        self.jobs.notified().await;
    }

    async fn wake_jobs(&self) -> Result<(), StoreError> {
        // All who wait, and whoever comes next if nobody waits right now.
        self.jobs.notify_waiters();
        self.jobs.notify_one();
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1")
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|error| failed("ping", error))
    }
}
