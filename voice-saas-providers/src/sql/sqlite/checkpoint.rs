//! Writing the log back into the database file, beside the writer instead of within its commits.

use std::{sync::Weak, time::Duration};

use sqlx::{Connection, SqliteConnection};
use tokio::time::{MissedTickBehavior, interval};

use super::writer::Writer;

/// How often the log is written back.
const PERIOD: Duration = Duration::from_millis(250);

/// A log of so many pages (of 4 KiB) is begun anew; until then it grows while it is written back.
const LONG: i64 = 8_000;

/// Writes the log back for as long as the writer is there. Most of it needs nobody's turn; only the rest of a long log
/// is written with the writer standing still, so that the next page goes to the log's beginning.
pub(super) async fn run(mut connection: SqliteConnection, writer: Weak<Writer>) {
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        let Some(writer) = writer.upgrade() else { break };
        let pages = match checkpoint(&mut connection, "PRAGMA wal_checkpoint(PASSIVE)").await {
            Ok(pages) => pages,
            Err(error) => {
                tracing::warn!("the log could not be written back: {error}");
                continue;
            }
        };
        if pages > LONG {
            let mut state = writer.idle().await;
            if let Err(error) = checkpoint(state.connection(), "PRAGMA wal_checkpoint(RESTART)").await {
                tracing::warn!("the log could not be begun anew: {error}");
            }
        }
    }
    let _closed_anyway = connection.close().await;
}

/// How many pages the log has.
async fn checkpoint(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    let (_busy, pages, _written): (i64, i64, i64) = sqlx::query_as(sql).fetch_one(connection).await?;
    Ok(pages)
}
