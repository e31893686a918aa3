//! Keyset pages, newest first.

use sqlx::types::Uuid;
use voice_saas_core::page::PageRequest;

/// The bounds of a page for `(created_at, id) < (at, id) … LIMIT rows`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyset {
    /// The time of the last row of the page before.
    pub(super) at: i64,
    /// Its id.
    pub(super) id: Uuid,
    /// One row more than the page holds: it says that there is a next one.
    pub(super) rows: i64,
}

impl From<PageRequest> for Keyset {
    fn from(page: PageRequest) -> Self {
        // The first page comes after a row that no row comes before: one text, and one plan, for all pages.
        let (at, id) = page.after().map_or((i64::MAX, Uuid::max()), |after| {
            (after.at().as_microsecond(), after.id())
        });
        Self {
            at,
            id,
            rows: i64::from(page.limit()) + 1,
        }
    }
}
