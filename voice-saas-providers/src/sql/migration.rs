//! The tables, as numbered steps that are embedded in the program.

use sqlx::{
    SqlSafeStr,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};
use voice_saas_core::store::{StoreError, StoreErrorKind};

use super::error::failed;

macro_rules! migrations {
    ($folder:literal) => {
        migrations!(
            $folder,
            (1, "0001", "tenancy"),
            (2, "0002", "telephony"),
            (3, "0003", "work"),
            (4, "0004", "trunks"),
            (5, "0005", "reconciliation"),
            (6, "0006", "trunk_life"),
            (7, "0007", "ports"),
            (8, "0008", "subaccounts"),
            (9, "0009", "number_pool"),
            (10, "0010", "usage")
        )
    };
    ($folder:literal, $(($version:literal, $number:literal, $name:literal)),*) => {
        [$((
            $version,
            $name,
            include_str!(concat!("../../migrations/", $folder, "/", $number, "_", $name, ".sql")),
        )),*]
    };
}

#[cfg(feature = "sqlite")]
pub(super) const SQLITE: [(i64, &str, &str); 10] = migrations!("sqlite");

#[cfg(feature = "postgres")]
pub(super) const POSTGRES: [(i64, &str, &str); 10] = migrations!("postgres");

/// Brings the database up to date. One that is up to date already is only looked at, so that a login without the
/// right to make tables can open it.
pub(super) async fn run<C: Migrate>(
    connection: &mut C,
    steps: &[(i64, &'static str, &'static str)],
) -> Result<(), StoreError> {
    let migrator = Migrator::with_migrations(
        steps
            .iter()
            .map(|(version, name, sql)| {
                Migration::new(
                    *version,
                    (*name).into(),
                    MigrationType::Simple,
                    sql.into_sql_str(),
                    false,
                )
            })
            .collect(),
    );
    if is_up_to_date(connection, &migrator).await {
        return Ok(());
    }
    migrator
        .run_direct(None, connection, false)
        .await
        .map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                failed(OPERATION, error)
            }
            error => StoreError::new(OPERATION, StoreErrorKind::Internal).with_source(error),
        })
}

const OPERATION: &str = "bring the database up to date";

async fn is_up_to_date<C: Migrate>(connection: &mut C, migrator: &Migrator) -> bool {
    // Fails in a database that has never been migrated: it has no such table.
    let Ok(applied) = connection.list_applied_migrations(&migrator.table_name).await else {
        return false;
    };
    applied.len() == migrator.iter().count()
        && migrator
            .iter()
            .zip(&applied)
            .all(|(step, done)| step.version == done.version && step.checksum == done.checksum)
}
