//! The store: one implementation, two databases.
//!
//! [`SqliteStore`] needs no server and is the embedded default; [`PostgresStore`] serves many machines and walls
//! tenants off by row-level security as well. The files here are named after the concepts of the core, and each
//! holds the SQL of its concept, the same text for both databases; where they must differ, `dialect` says how.
//!
//! ```no_run
//! use secrecy::SecretString;
//! use voice_saas_core::store::StoreError;
//!
//! # async fn run() -> Result<(), StoreError> {
//! let store = voice_saas_providers::sql::connect(&SecretString::from("sqlite:voice.db")).await?;
//! store.ping().await
//! # }
//! ```
//!
//! Times are kept in microseconds: a time that is finer comes back cut off.
#![cfg(any(feature = "sqlite", feature = "postgres"))]

mod account;
mod agent;
mod api_key;
mod call;
mod column;
mod dialect;
mod entitlement;
mod error;
mod idempotency;
mod job;
mod ledger;
mod location;
mod migration;
mod number;
mod outbox;
mod page;
mod pool;
mod port;
#[cfg(feature = "postgres")]
mod postgres;
mod query;
mod reconcile;
mod route;
mod saga;
#[cfg(feature = "sqlite")]
mod sqlite;
mod subaccount;
mod system;
mod tenant;
#[cfg(all(feature = "postgres", feature = "testing"))]
pub mod testing;
mod trunk;
mod unit;
mod usage;

pub use location::{UnsupportedDatabase, connect, migrate};
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
