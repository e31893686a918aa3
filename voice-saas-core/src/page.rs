//! Lists, one page at a time.
//!
//! ```
//! use voice_saas_core::page::PageRequest;
//!
//! assert_eq!(PageRequest::default().limit(), 50);
//! assert!(PageRequest::new(0, None).is_err());
//! ```

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use uuid::Uuid;

/// Where the next page begins: after this row in the order "newest first".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    at: Timestamp,
    id: Uuid,
}

impl Cursor {
    /// After the row created `at` with this id.
    pub const fn new(at: Timestamp, id: Uuid) -> Self {
        Self { at, id }
    }

    /// When the last row of the page before was created.
    pub const fn at(self) -> Timestamp {
        self.at
    }

    /// The id of the last row of the page before.
    pub const fn id(self) -> Uuid {
        self.id
    }

    /// The text that a client sends back to get the next page.
    pub fn encode(self) -> String {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.at.as_microsecond().to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// `Cursor` when it is not one that [`encode`](Self::encode) made.
    pub fn decode(text: &str) -> Result<Self, PageError> {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(PageError::Cursor)?;
        let (at, id) = bytes.split_at(8);
        let micros = i64::from_be_bytes(at.try_into().map_err(|_| PageError::Cursor)?);
        Ok(Self {
            at: Timestamp::from_microsecond(micros).map_err(|_| PageError::Cursor)?,
            id: Uuid::from_slice(id).map_err(|_| PageError::Cursor)?,
        })
    }
}

/// Why a page cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The limit is not between 1 and 200.
    #[error("limit must be between 1 and {}", PageRequest::MAX)]
    Limit,
    /// The cursor is not one that a page gave out.
    #[error("cursor must be the next_cursor of an earlier page")]
    Cursor,
}

/// Which page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    limit: u16,
    after: Option<Cursor>,
}

impl PageRequest {
    /// The largest page.
    pub const MAX: u16 = 200;

    /// At most `limit` rows after the cursor.
    ///
    /// # Errors
    /// `Limit`.
    pub fn new(limit: u16, after: Option<Cursor>) -> Result<Self, PageError> {
        if limit == 0 || limit > Self::MAX {
            Err(PageError::Limit)
        } else {
            Ok(Self { limit, after })
        }
    }

    /// At most this many rows.
    pub const fn limit(self) -> u16 {
        self.limit
    }

    /// After this row.
    pub const fn after(self) -> Option<Cursor> {
        self.after
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            limit: 50,
            after: None,
        }
    }
}

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a page is its rows and the way to the next"
)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Makes a page of `limit + 1` rows that were asked for: one row too many says that there is a next page.
    pub fn of(request: PageRequest, mut rows: Vec<T>, cursor: impl FnOnce(&T) -> Cursor) -> Self {
        let limit = usize::from(request.limit);
        if rows.len() <= limit {
            return Self {
                data: rows,
                next: None,
            };
        }
        rows.truncate(limit);
        let next = rows.last().map(cursor);
        Self { data: rows, next }
    }

    /// The same page of other things.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            data: self.data.into_iter().map(f).collect(),
            next: self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_what_it_wrote_and_nothing_else() {
        let cursor = Cursor::new(
            Timestamp::from_microsecond(1_700_000_000_000_001).unwrap(),
            Uuid::from_u128(9),
        );
        assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        assert_eq!(Cursor::decode("page2"), Err(PageError::Cursor));
    }

    #[test]
    fn one_row_too_many_means_another_page() {
        let request = PageRequest::new(2, None).unwrap();
        let cursor = |row: &u128| Cursor::new(Timestamp::UNIX_EPOCH, Uuid::from_u128(*row));
        let page = Page::of(request, vec![3, 2, 1], cursor);
        assert_eq!(page.data, [3, 2]);
        assert_eq!(page.next.unwrap().id(), Uuid::from_u128(2));
        assert_eq!(Page::of(request, vec![3, 2], cursor).next, None);
    }
}
