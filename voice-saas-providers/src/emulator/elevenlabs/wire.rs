//! The error envelopes of the agents API.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use crate::emulator::id;

/// An error answer.
#[derive(Debug, Clone)]
pub(super) enum ApiError {
    /// The common envelope: an object under `detail`.
    Detail {
        status: StatusCode,
        kind: &'static str,
        code: &'static str,
        message: String,
    },
    /// What the framework answers to a body of the wrong shape: an array under `detail`.
    Shape {
        location: Vec<&'static str>,
        message: String,
    },
}

impl ApiError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Detail {
            status: StatusCode::BAD_REQUEST,
            kind: "validation_error",
            code: "invalid_parameters",
            message,
        }
    }

    pub(super) fn not_found(code: &'static str, id: &str) -> Self {
        let message = format!("No document with id {id} was found");
        Self::Detail {
            status: StatusCode::NOT_FOUND,
            kind: "not_found",
            code,
            message,
        }
    }

    pub(super) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Detail {
            status: StatusCode::CONFLICT,
            kind: "conflict",
            code,
            message: message.into(),
        }
    }

    pub(super) fn unauthorized(code: &'static str, message: &str) -> Self {
        let message = message.to_owned();
        Self::Detail {
            status: StatusCode::UNAUTHORIZED,
            kind: "authentication_error",
            code,
            message,
        }
    }

    pub(super) fn too_many_requests() -> Self {
        Self::Detail {
            status: StatusCode::TOO_MANY_REQUESTS,
            kind: "rate_limit_error",
            code: "rate_limit_exceeded",
            message: "Too many requests".into(),
        }
    }

    pub(super) fn internal() -> Self {
        Self::Detail {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "internal_error",
            code: "internal_error",
            message: "An internal error occurred".into(),
        }
    }

    pub(super) fn shape(location: &[&'static str], message: impl Into<String>) -> Self {
        Self::Shape {
            location: location.to_vec(),
            message: message.into(),
        }
    }

    pub(super) fn answer(self) -> Response {
        match self {
            Self::Detail {
                status,
                kind,
                code,
                message,
            } => {
                let detail = json!({
                    "type": kind, "code": code, "message": message, "status": code, "request_id": id::hex(32),
                });
                (status, Json(json!({"detail": detail}))).into_response()
            }
            Self::Shape { location, message } => {
                let detail = json!([{"loc": location, "msg": message, "type": "value_error"}]);
                (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"detail": detail}))).into_response()
            }
        }
    }
}

/// Reads a body that must be a JSON object; an empty body is an empty object.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::shape(&["body"], "Input should be a valid dictionary")),
        Err(error) => Err(ApiError::shape(&["body"], format!("JSON decode error: {error}"))),
    }
}

/// A text field that must be there.
pub(super) fn required<'a>(body: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, ApiError> {
    body.get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| ApiError::shape(&["body", name], "Field required"))
}

/// Merges objects deeply; anything else, lists too, is replaced.
pub(super) fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

/// A page of a list that is kept by sequence number, newest first.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    pub(super) next_cursor: Option<String>,
}

/// Cuts a page out of `items`, which come newest first.
pub(super) fn page(
    query: &[(String, String)],
    default_size: usize,
    items: impl Iterator<Item = (u64, Value)>,
) -> Result<Page, ApiError> {
    let find = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let size = match find("page_size") {
        None => default_size,
        Some(size) => size
            .parse()
            .ok()
            .filter(|size| (1..=100).contains(size))
            .ok_or_else(|| ApiError::Shape {
                location: vec!["query", "page_size"],
                message: "must be 1 to 100".into(),
            })?,
    };
    let before: Option<u64> = match find("cursor").filter(|cursor| !cursor.is_empty()) {
        None => None,
        Some(cursor) => Some(cursor.parse().map_err(|_| ApiError::Detail {
            status: StatusCode::BAD_REQUEST,
            kind: "validation_error",
            code: "invalid_cursor",
            message: "The cursor is not valid".into(),
        })?),
    };
    let mut rest = items
        .skip_while(|(seq, _)| before.is_some_and(|before| *seq >= before))
        .peekable();
    let mut last = 0;
    let mut shown = Vec::new();
    while shown.len() < size
        && let Some((seq, item)) = rest.next()
    {
        last = seq;
        shown.push(item);
    }
    Ok(Page {
        items: shown,
        next_cursor: rest.peek().is_some().then(|| last.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_what_is_not_named_and_replaces_lists() {
        let mut value = json!({"a": {"b": 1, "c": [1, 2]}, "d": 4});
        merge(&mut value, json!({"a": {"c": [3], "e": null}}));
        assert_eq!(value, json!({"a": {"b": 1, "c": [3], "e": null}, "d": 4}));
    }

    #[test]
    fn a_cursor_goes_on_where_the_page_ended() {
        let items = || (1..=5).rev().map(|seq| (seq, json!(seq)));
        let query = |cursor: &str| {
            vec![
                ("page_size".to_owned(), "2".to_owned()),
                ("cursor".to_owned(), cursor.to_owned()),
            ]
        };
        let first = page(&query(""), 30, items()).expect("a valid page");
        assert_eq!(first.items, [json!(5), json!(4)]);
        let second = page(&query(&first.next_cursor.expect("more")), 30, items()).expect("a valid page");
        assert_eq!(second.items, [json!(3), json!(2)]);
        let last = page(&query(&second.next_cursor.expect("more")), 30, items()).expect("a valid page");
        assert_eq!((last.items, last.next_cursor), (vec![json!(1)], None));
        assert!(page(&query("x"), 30, items()).is_err());
    }
}
