//! One statement, whichever the database.
//!
//! `sqlx` types every query by its database, so each of these macros writes its body once per driver that is
//! compiled in. The operation completes "the store could not …" when the statement fails.

/// Runs `$body` on the connection of the unit of work.
macro_rules! on {
    ($tx:expr, $connection:ident => $body:expr) => {
        match $tx {
            #[cfg(feature = "sqlite")]
            $crate::sql::unit::Tx::Sqlite(tx) => {
                let $connection = &mut **tx;
                $body
            }
            #[cfg(feature = "postgres")]
            $crate::sql::unit::Tx::Postgres(tx) => {
                let $connection = &mut **tx;
                $body
            }
            #[cfg(feature = "postgres")]
            $crate::sql::unit::Tx::PostgresReading(reading) => {
                let $connection = &mut **reading;
                $body
            }
        }
    };
}

/// How many rows the statement changed.
macro_rules! execute {
    ($tx:expr, $operation:expr, $sql:expr $(, $argument:expr)* $(,)?) => {
        $crate::sql::query::on!($tx, connection => {
            sqlx::query($sql)$(.bind($argument))*.execute(connection).await.map(|done| done.rows_affected())
        })
        .map_err(|error| $crate::sql::error::failed($operation, error))
    };
}

/// The row, if there is one.
macro_rules! optional {
    ($tx:expr, $operation:expr, $row:ty, $sql:expr $(, $argument:expr)* $(,)?) => {
        $crate::sql::query::on!($tx, connection => {
            sqlx::query_as::<_, $row>($sql)$(.bind($argument))*.fetch_optional(connection).await
        })
        .map_err(|error| $crate::sql::error::failed($operation, error))
    };
}

/// All rows.
macro_rules! all {
    ($tx:expr, $operation:expr, $row:ty, $sql:expr $(, $argument:expr)* $(,)?) => {
        $crate::sql::query::on!($tx, connection => {
            sqlx::query_as::<_, $row>($sql)$(.bind($argument))*.fetch_all(connection).await
        })
        .map_err(|error| $crate::sql::error::failed($operation, error))
    };
}

/// All rows of a statement whose conditions depend on the caller: `$fill` completes `$sql` through a
/// [`sqlx::QueryBuilder`].
macro_rules! filtered {
    ($tx:expr, $operation:expr, $row:ty, $sql:expr, $builder:ident => $fill:expr) => {
        $crate::sql::query::on!($tx, connection => {
            let mut $builder = sqlx::QueryBuilder::new($sql);
            $fill;
            $builder.build_query_as::<$row>().fetch_all(connection).await
        })
        .map_err(|error| $crate::sql::error::failed($operation, error))
    };
}

pub(super) use {all, execute, filtered, on, optional};
