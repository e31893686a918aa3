//! The embedded store.

mod checkpoint;
mod writer;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::Notify;
use voice_saas_core::{
    scope::{SystemScope, TenantScope},
    store::{Store, StoreError, SystemTx, TenantTx},
};

use self::writer::Writer;
use super::{
    error::failed,
    migration,
    unit::{SystemUnit, TenantUnit, Tx},
};

pub(super) use writer::Unit;

/// A store in one file, or in memory, within this process.
///
/// Units of work follow one another on one connection: `SQLite` has one writer, and a unit of work may write at any
/// time, so each begins as the writer. Do not begin one while another is open in the same task. Those that wait for
/// one another share a commit.
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
    writer: Arc<Writer>,
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
            // Nobody else writes, so what is cached stays true. (A mapped file would be mapped anew with every growth.)
            .pragma("cache_size", "-65536")
            // The log is written back beside the writer; this is for the day that the disk is too slow for that.
            .pragma("wal_autocheckpoint", "100000")
            .statement_cache_capacity(256)
            .disable_statement_logging();
        let mut first = connect(&options).await?;
        migration::run(&mut first, &migration::SQLITE).await?;
        let writer = Arc::new(Writer::new(first));
        if !in_memory {
            let connection = connect(&options).await?;
            tokio::spawn(checkpoint::run(connection, Arc::downgrade(&writer)));
        }
        Ok(Self {
            writer,
            jobs: Notify::new(),
        })
    }
}

const OPEN: &str = "open the database";

async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    SqliteConnection::connect_with(options)
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
            tx: Tx::Sqlite(self.writer.begin().await?),
            tenant: scope.tenant_id().as_uuid(),
        }))
    }

    async fn begin_system(&self, _scope: &SystemScope) -> Result<Box<dyn SystemTx>, StoreError> {
        Ok(Box::new(SystemUnit {
            tx: Tx::Sqlite(self.writer.begin().await?),
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
        let mut unit = self.writer.begin().await?;
        sqlx::query("SELECT 1")
            .execute(&mut *unit)
            .await
            .map(drop)
            .map_err(|error| failed("ping", error))
    }
}
