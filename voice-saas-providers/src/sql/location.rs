//! From a database's address to its store.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use voice_saas_core::store::{Store, StoreError, StoreErrorKind};

/// The address is that of a database which this program has no store for. It is the source of the [`StoreError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no store for `{scheme}` databases: use sqlite:<path>, sqlite::memory: or postgres://…, \
     with the feature `sqlite` or `postgres` switched on"
)]
pub struct UnsupportedDatabase {
    scheme: String,
}

impl UnsupportedDatabase {
    /// What the address began with.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    // Only the scheme is kept: the rest may hold a password.
    fn of(url: &str) -> Self {
        Self {
            scheme: url.split_once(':').map_or("", |(scheme, _)| scheme).to_owned(),
        }
    }
}

/// Opens the store at `sqlite:<path>`, `sqlite::memory:` or `postgres://…` and brings its tables up to date.
///
/// # Errors
/// `Unavailable` when the database cannot be reached; [`UnsupportedDatabase`] as the source when the address is
/// of another kind, or of a database whose feature is off.
pub async fn connect(database_url: &SecretString) -> Result<Arc<dyn Store>, StoreError> {
    match database_url.expose_secret() {
        #[cfg(feature = "sqlite")]
        url if url.starts_with("sqlite:") => Ok(Arc::new(super::SqliteStore::open(url).await?)),
        #[cfg(feature = "postgres")]
        url if is_postgres(url) => Ok(Arc::new(super::PostgresStore::connect(database_url).await?)),
        url => Err(unsupported("open the database", url)),
    }
}

/// Brings the tables at such an address up to date, and does no more: for deployments whose servers may not change
/// tables.
///
/// # Errors
/// Those of [`connect`].
pub async fn migrate(database_url: &SecretString) -> Result<(), StoreError> {
    match database_url.expose_secret() {
        #[cfg(feature = "sqlite")]
        url if url.starts_with("sqlite:") => super::SqliteStore::open(url).await.map(drop),
        #[cfg(feature = "postgres")]
        url if is_postgres(url) => super::PostgresStore::migrate(database_url).await,
        url => Err(unsupported("migrate the database", url)),
    }
}

#[cfg(feature = "postgres")]
fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn unsupported(operation: &'static str, url: &str) -> StoreError {
    StoreError::new(operation, StoreErrorKind::Internal).with_source(UnsupportedDatabase::of(url))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[tokio::test]
    async fn another_kind_of_database_is_refused_by_name_and_its_password_is_not_told() {
        for (url, scheme) in [("mysql://root:hunter2@db/voice", "mysql"), ("voice.db", "")] {
            let error = connect(&SecretString::from(url)).await.unwrap_err();
            let source = error
                .source()
                .and_then(|source| source.downcast_ref::<UnsupportedDatabase>());
            assert_eq!(source.map(UnsupportedDatabase::scheme), Some(scheme));
            assert!(!format!("{error:?}").contains("hunter2"));
            assert!(migrate(&SecretString::from(url)).await.is_err());
        }
    }
}
