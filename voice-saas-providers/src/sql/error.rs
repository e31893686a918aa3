//! From a driver's error to what the caller may do next.

use sqlx::error::{DatabaseError, ErrorKind};
use voice_saas_core::store::{StoreError, StoreErrorKind};

/// Classifies a driver's error.
pub(super) fn failed(operation: &'static str, error: sqlx::Error) -> StoreError {
    let kind = match &error {
        sqlx::Error::Database(error) => database(&**error),
        sqlx::Error::RowNotFound => StoreErrorKind::NotFound,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => StoreErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Internal,
    };
    StoreError::new(operation, kind).with_source(error)
}

fn database(error: &dyn DatabaseError) -> StoreErrorKind {
    match error.kind() {
        ErrorKind::UniqueViolation => StoreErrorKind::Conflict,
        // What the row belongs to is not there, or is another tenant's.
        ErrorKind::ForeignKeyViolation => StoreErrorKind::NotFound,
        _ if error.code().is_some_and(|code| is_transient(&code)) => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Internal,
    }
}

// https://www.sqlite.org/rescode.html
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const IO: u32 = 10;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;

/// `PostgreSQL` has codes of five characters, in classes of two
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>), `SQLite` numbers, whose low byte is the class.
fn is_transient(code: &str) -> bool {
    if code.len() == 5 {
        // Connection, resources, operator intervention; serialization, deadlock, lock time-out.
        return ["08", "53", "57", "40001", "40P01", "55P03"]
            .iter()
            .any(|class| code.starts_with(class));
    }
    code.parse::<u32>()
        .is_ok_and(|code| [BUSY, LOCKED, IO, FULL, CANTOPEN].contains(&(code & 0xff)))
}

/// There is no such row in this scope.
pub(super) fn not_found(operation: &'static str) -> StoreError {
    StoreError::new(operation, StoreErrorKind::NotFound)
}

/// `NotFound` unless a row was changed.
pub(super) fn changed(operation: &'static str, rows: u64) -> Result<(), StoreError> {
    if rows == 0 {
        Err(not_found(operation))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for code in [
            "08006", "57P01", "53300", "40P01", "55P03", "5", "261", "517", "6", "13",
        ] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["23505", "42501", "22P02", "1", "19", "2067", "word"] {
            assert!(!is_transient(code), "{code}");
        }
    }

    #[test]
    fn a_pool_without_a_free_connection_is_unavailable() {
        let error = failed("find a call", sqlx::Error::PoolTimedOut);
        assert_eq!(
            (error.operation(), error.kind()),
            ("find a call", StoreErrorKind::Unavailable)
        );
    }
}
