//! The store of many machines.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::{Notify, OnceCell},
    task::JoinSet,
};
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

/// A store on a `PostgreSQL` server, 15 or later.
///
/// Tenants are walled off twice: every statement names its tenant, and every unit of work runs as a role that
/// row-level security confines to that tenant. The login in the address must be a member of the roles
/// `voice_saas_app` and `voice_saas_system`; migrating makes them when the login may (`CREATEROLE`), and says what
/// an administrator has to run when it may not.
pub struct PostgresStore {
    pool: PgPool,
    /// Connections that are in the role of the cross-tenant look-ups for good: one statement is one round trip.
    readers: PgPool,
    options: PgConnectOptions,
    wakeup: Arc<Wakeup>,
    courier: OnceCell<JoinSet<()>>,
}

/// The word between replicas that jobs may have become due.
#[derive(Debug, Default)]
struct Wakeup {
    arrived: Notify,
    sending: Notify,
}

impl PostgresStore {
    /// How many connections a store keeps at most, unless told otherwise.
    pub const MAX_CONNECTIONS: u32 = 20;

    /// Connects to the database at this `postgres://` address and brings its tables up to date.
    ///
    /// # Errors
    /// `Unavailable` when the server cannot be reached; `Internal`, with what to do as its source, when the login
    /// lacks a right.
    pub async fn connect(url: &SecretString) -> Result<Self, StoreError> {
        Self::connect_with(url, Self::MAX_CONNECTIONS).await
    }

    /// The same, with at most this many connections.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub async fn connect_with(url: &SecretString, max_connections: u32) -> Result<Self, StoreError> {
        let options = options(url)?;
        let pool = pool_options(max_connections)
            .connect_with(options.clone())
            .await
            .map_err(|error| failed(CONNECT, error))?;
        let readers = pool_options(READERS)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(dialect::POSTGRES_READER)
                        .execute(connection)
                        .await
                        .map(drop)
                })
            })
            .connect_lazy_with(options.clone());
        let mut connection = pool.acquire().await.map_err(|error| failed(CONNECT, error))?;
        migration::run(&mut *connection, &migration::POSTGRES).await?;
        drop(connection);
        let store = Self {
            pool,
            readers,
            options,
            wakeup: Arc::default(),
            courier: OnceCell::new(),
        };
        // A login that may not take the roles is found out now, not at the first call.
        store.system_transaction().await?;
        Ok(store)
    }

    /// Brings the tables at this address up to date, and does no more.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub async fn migrate(url: &SecretString) -> Result<(), StoreError> {
        let mut connection = PgConnection::connect_with(&options(url)?)
            .await
            .map_err(|error| failed(CONNECT, error))?;
        migration::run(&mut connection, &migration::POSTGRES).await?;
        connection.close().await.map_err(|error| failed(CONNECT, error))
    }

    async fn system_transaction(&self) -> Result<Tx, StoreError> {
        let begun = self.pool.begin_with(dialect::POSTGRES_BEGIN_SYSTEM).await;
        begun.map(Tx::Postgres).map_err(|error| failed("begin", error))
    }

    /// Starts the two tasks that carry wake-ups between replicas, on connections of their own: a `NOTIFY` within
    /// the units of work would make every commit wait for every other.
    async fn courier(&self) {
        self.courier
            .get_or_init(|| async {
                let pool = PgPoolOptions::new()
                    .max_connections(2)
                    .connect_lazy_with(self.options.clone());
                let mut tasks = JoinSet::new();
                tasks.spawn(listen(pool.clone(), Arc::clone(&self.wakeup)));
                tasks.spawn(send(pool, Arc::clone(&self.wakeup)));
                tasks
            })
            .await;
    }
}

const CONNECT: &str = "connect to the database";

/// Connections for looking, besides those for units of work.
const READERS: u32 = 4;

fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        // A test per use would double the round trips of a short unit of work; only a connection that has rested may
        // have died unnoticed.
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(
                async move { Ok(idle.idle_for < Duration::from_secs(1) || connection.ping().await.is_ok()) },
            )
        })
}

const CHANNEL: &str = "voice_saas_jobs";

fn options(url: &SecretString) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|error| failed(CONNECT, error))?;
    Ok(options
        .application_name("voice-saas")
        .statement_cache_capacity(256))
}

impl Wakeup {
    fn arrive(&self) {
        // All who wait, and whoever comes next if nobody waits right now.
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }
}

async fn listen(pool: PgPool, wakeup: Arc<Wakeup>) {
    loop {
        if let Err(error) = hear(&pool, &wakeup).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "job wake-ups cannot be heard; polling goes on"
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn hear(pool: &PgPool, wakeup: &Wakeup) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // Also at the start, and when a lost connection was made anew: what was sent before was not heard.
        wakeup.arrive();
        listener.try_recv().await?;
    }
}

async fn send(pool: PgPool, wakeup: Arc<Wakeup>) {
    loop {
        // Any number of wake-ups during one NOTIFY become one more.
        wakeup.sending.notified().await;
        if let Err(error) = sqlx::query("SELECT pg_notify($1, '')")
            .bind(CHANNEL)
            .execute(&pool)
            .await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a job wake-up was not sent; polling goes on"
            );
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("database", &self.options.get_database())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn begin(&self, scope: &TenantScope) -> Result<Box<dyn TenantTx>, StoreError> {
        let tenant = scope.tenant_id().as_uuid();
        let begun = self.pool.begin_with(dialect::postgres_begin_tenant(tenant)).await;
        let tx = begun.map(Tx::Postgres).map_err(|error| failed("begin", error))?;
        Ok(Box::new(TenantUnit { tx, tenant }))
    }

    async fn begin_system(&self, _scope: &SystemScope) -> Result<Box<dyn SystemTx>, StoreError> {
        Ok(Box::new(SystemUnit {
            tx: self.system_transaction().await?,
        }))
    }

    async fn begin_reading(&self, _scope: &SystemScope) -> Result<Box<dyn SystemTx>, StoreError> {
        let connection = self.readers.acquire().await;
        Ok(Box::new(SystemUnit {
            tx: Tx::PostgresReading(connection.map_err(|error| failed("begin", error))?),
        }))
    }

    async fn job_wakeup(&self) {
        self.courier().await;
        self.wakeup.arrived.notified().await;
    }

    async fn wake_jobs(&self) -> Result<(), StoreError> {
        self.courier().await;
        self.wakeup.arrive();
        self.wakeup.sending.notify_one();
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
