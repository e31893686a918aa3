//! The databases that stories run on.

use std::{fmt, sync::Arc};

use secrecy::SecretString;
use voice_saas_core::store::Store;
use voice_saas_providers::sql::{self, testing::FreshPostgres};

/// On which kind of database a test runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "tests name each")]
pub enum Database {
    /// In memory.
    Sqlite,
    /// A database of its own on the server of `VOICE_SAAS_TEST_POSTGRES`.
    Postgres,
}

/// A fresh, empty database.
pub(crate) struct FreshDatabase {
    pub(crate) store: Arc<dyn Store>,
    /// Where the store is PostgreSQL's.
    pub(crate) postgres: Option<Arc<FreshPostgres>>,
}

impl fmt::Debug for FreshDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreshDatabase")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// `None`, said aloud, where there is no PostgreSQL.
    pub(crate) async fn fresh(self) -> Option<FreshDatabase> {
        match self {
            Self::Sqlite => {
                let memory = SecretString::from("sqlite::memory:");
                let store = sql::connect(&memory).await.expect("a database in memory opens");
                Some(FreshDatabase {
                    store,
                    postgres: None,
                })
            }
            Self::Postgres => {
                let fresh = Arc::new(FreshPostgres::create().await?);
                let store: Arc<dyn Store> = fresh.clone();
                Some(FreshDatabase {
                    store,
                    postgres: Some(fresh),
                })
            }
        }
    }
}
