//! Lists, one page at a time.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use voice_saas_core::page::{Cursor, Page, PageRequest};

use crate::{Problem, query};

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct Listed<T> {
    /// The entries.
    data: Vec<T>,
    /// What to send as `cursor` for the next page; `null` at the end.
    next_cursor: Option<String>,
}

impl<T> Listed<T> {
    pub(crate) fn of<U>(page: Page<U>, view: impl FnMut(U) -> T) -> Self {
        let page = page.map(view);
        Self {
            data: page.data,
            next_cursor: page.next.map(Cursor::encode),
        }
    }

    /// A list that always fits into one page.
    pub(crate) fn whole(data: Vec<T>) -> Self {
        Self {
            data,
            next_cursor: None,
        }
    }
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Pagination {
    /// At most this many entries: 1 to 200, 50 unless told otherwise.
    #[param(value_type = Option<u16>)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Pagination {
    pub(crate) fn request(&self) -> Result<PageRequest, Problem> {
        request(self.limit.as_deref(), self.cursor.as_deref())
    }
}

/// Reads which page is asked for.
pub(crate) fn request(limit: Option<&str>, cursor: Option<&str>) -> Result<PageRequest, Problem> {
    let limit = query::parameter(limit, "limit")?.unwrap_or_else(|| PageRequest::default().limit());
    let cursor = cursor.map(Cursor::decode).transpose()?;
    Ok(PageRequest::new(limit, cursor)?)
}

/// A page of a list that is at hand as a whole.
pub(crate) fn slice<T>(rows: Vec<T>, request: PageRequest, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
    let begin = match request.after() {
        None => 0,
        Some(after) => rows
            .iter()
            .position(|row| cursor(row) == after)
            .map_or(rows.len(), |last| last + 1),
    };
    let rows = rows
        .into_iter()
        .skip(begin)
        .take(usize::from(request.limit()) + 1)
        .collect();
    Page::of(request, rows, cursor)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_limit_is_fifty_unless_told_otherwise_and_never_above_two_hundred() {
        assert_eq!(request(None, None).unwrap().limit(), 50);
        assert_eq!(request(Some("200"), None).unwrap().limit(), 200);
        for wrong in ["0", "201", "-1", "many", "99999999"] {
            assert_eq!(
                request(Some(wrong), None).unwrap_err().status().as_u16(),
                422,
                "{wrong}"
            );
        }
        assert!(request(None, Some("page2")).is_err());
    }

    #[test]
    fn the_pages_of_a_list_at_hand_are_all_of_it_once() {
        let cursor = |row: &u128| Cursor::new(Timestamp::UNIX_EPOCH, Uuid::from_u128(*row));
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = slice(vec![5, 4, 3, 2, 1], PageRequest::new(2, after).unwrap(), cursor);
            seen.extend(page.data);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, [5, 4, 3, 2, 1]);
        let gone = PageRequest::new(2, Some(cursor(&9))).unwrap();
        assert!(slice(vec![1], gone, cursor).data.is_empty());
    }
}
