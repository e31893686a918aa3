//! Everything in which the two databases differ, once a connection is open.

#[cfg(feature = "postgres")]
use sqlx::AssertSqlSafe;
use sqlx::{SqlSafeStr, SqlStr};

use super::unit::Tx;

/// How a unit of work across tenants begins on `PostgreSQL`: as the role of the cross-tenant look-ups. A lock that
/// is not given within five seconds is an error, not a hanging request.
#[cfg(feature = "postgres")]
pub(super) const POSTGRES_BEGIN_SYSTEM: &str =
    "BEGIN; SET LOCAL ROLE voice_saas_system; SET LOCAL lock_timeout = '5s'";

/// The role of a connection that only looks, across tenants: every transaction of it is refused a write.
#[cfg(feature = "postgres")]
pub(super) const POSTGRES_READER: &str =
    "SET ROLE voice_saas_system; SET lock_timeout = '5s'; SET default_transaction_read_only = on";

/// How a tenant's unit of work begins on `PostgreSQL`: as the role that sees this tenant's rows alone. One round
/// trip, which bound parameters would not allow; a UUID's text needs no quoting.
#[cfg(feature = "postgres")]
pub(super) fn postgres_begin_tenant(tenant: sqlx::types::Uuid) -> SqlStr {
    AssertSqlSafe(format!(
        "BEGIN; SET LOCAL ROLE voice_saas_app; SET LOCAL lock_timeout = '5s'; SET LOCAL voice_saas.tenant = '{tenant}'"
    ))
    .into_sql_str()
}

/// The statement in the words of the database. What `PostgreSQL` alone understands, and needs, stands in comments
/// `/*pg … */`: row locks. `SQLite` has one writer, which this unit of work is, and reads over them.
pub(super) fn text(tx: &Tx, sql: &'static str) -> SqlStr {
    match tx {
        #[cfg(feature = "sqlite")]
        Tx::Sqlite(_) => sql.into_sql_str(),
        #[cfg(feature = "postgres")]
        Tx::Postgres(_) | Tx::PostgresReading(_) => {
            AssertSqlSafe(sql.replace("/*pg", "").replace("*/", "")).into_sql_str()
        }
    }
}

/// A statement that each database has its own way of saying.
pub(super) struct Dialects {
    #[cfg_attr(
        not(feature = "sqlite"),
        expect(dead_code, reason = "the other database is compiled in alone")
    )]
    pub(super) sqlite: &'static str,
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "the other database is compiled in alone")
    )]
    pub(super) postgres: &'static str,
}

impl Dialects {
    /// The way of this unit of work's database.
    pub(super) fn of(&self, tx: &Tx) -> &'static str {
        match tx {
            #[cfg(feature = "sqlite")]
            Tx::Sqlite(_) => self.sqlite,
            #[cfg(feature = "postgres")]
            Tx::Postgres(_) | Tx::PostgresReading(_) => self.postgres,
        }
    }
}
