//! Forms, errors and list envelopes of Twilio's 2010 API.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

/// A decoded form or query, in the order it was sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of `name`, if it is there and not empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// An error answer of the API.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    status: StatusCode,
    code: u32,
    message: String,
}

impl ApiError {
    /// A business error, which Twilio answers with HTTP 400.
    pub(super) fn refused(code: u32, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message: message.into(),
        }
    }

    pub(super) fn not_found(path: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: 20404,
            message: format!("The requested resource {path} was not found"),
        }
    }

    /// It exists already, or is in use.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::CONFLICT,
            code: 20409,
            message: message.into(),
        }
    }

    /// The account is suspended.
    pub(super) fn suspended() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: 20005,
            message: "Account not active".into(),
        }
    }

    pub(super) fn unauthorized() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: 20003,
            message: "Authenticate".into(),
        }
    }

    pub(super) fn too_many_requests() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: 20429,
            message: "Too Many Requests".into(),
        }
    }

    pub(super) fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: 20500,
            message: "An internal server error has occurred".into(),
        }
    }

    pub(super) fn answer(self) -> Response {
        let body = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status.as_u16(),
        });
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let realm = axum::http::HeaderValue::from_static("Basic realm=\"Twilio API\"");
            response.headers_mut().insert("www-authenticate", realm);
        }
        response
    }
}

/// One page of `items`, which are `(sequence number, JSON)` from newest to oldest, as the 2010 API has it: links are
/// relative to the host, beside the items.
pub(super) fn page(
    path: &str,
    key: &str,
    query: &Form,
    items: impl Iterator<Item = (u64, Value)>,
) -> Response {
    let cut = Cut::new(query, items);
    let uri = |page: usize, token: Option<&str>| cut.uri(path, query, page, token);
    let start = cut.number.saturating_mul(cut.size);
    let mut body = Map::new();
    body.insert("end".into(), json!((start + cut.items.len()).saturating_sub(1)));
    body.insert("first_page_uri".into(), json!(uri(0, None)));
    body.insert("next_page_uri".into(), json!(cut.next(path, query)));
    body.insert("page".into(), json!(cut.number));
    body.insert("page_size".into(), json!(cut.size));
    body.insert("previous_page_uri".into(), json!(cut.previous(path, query)));
    body.insert("start".into(), json!(start));
    body.insert("uri".into(), json!(uri(cut.number, None)));
    body.insert(key.into(), Value::Array(cut.items));
    Json(Value::Object(body)).into_response()
}

/// The same as newer hosts have it: links are absolute, in `meta`. `url` is the list's, without a query.
pub(super) fn meta_page(
    url: &str,
    key: &str,
    query: &Form,
    items: impl Iterator<Item = (u64, Value)>,
) -> Response {
    let cut = Cut::new(query, items);
    let meta = json!({
        "first_page_url": cut.uri(url, query, 0, None), "key": key, "next_page_url": cut.next(url, query),
        "page": cut.number, "page_size": cut.size, "previous_page_url": cut.previous(url, query),
        "url": cut.uri(url, query, cut.number, None),
    });
    Json(json!({"meta": meta, key: cut.items})).into_response()
}

/// What of a list is shown.
///
/// The page token is the sequence number of the last item of the page before, so that items which come and go
/// between two pages neither repeat nor hide others.
struct Cut {
    items: Vec<Value>,
    size: usize,
    number: usize,
    next_token: Option<String>,
}

impl Cut {
    fn new(query: &Form, items: impl Iterator<Item = (u64, Value)>) -> Self {
        const DEFAULT_SIZE: usize = 50;
        const LARGEST: usize = 1_000;
        let size = query
            .given("PageSize")
            .and_then(|size| size.parse().ok())
            .unwrap_or(DEFAULT_SIZE)
            .clamp(1, LARGEST);
        let number: usize = query
            .given("Page")
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        let after: Option<u64> = query
            .given("PageToken")
            .and_then(|token| token.strip_prefix("PA"))
            .and_then(|token| token.parse().ok());
        let mut rest = items
            .skip_while(|(seq, _)| after.is_some_and(|after| *seq >= after))
            .peekable();
        // A page number without a token counts items, as the first pages of the real API do.
        if after.is_none() {
            for _ in 0..number.saturating_mul(size) {
                if rest.next().is_none() {
                    break;
                }
            }
        }
        let mut last = 0;
        let mut shown = Vec::new();
        while shown.len() < size
            && let Some((seq, item)) = rest.next()
        {
            last = seq;
            shown.push(item);
        }
        Self {
            items: shown,
            size,
            number,
            next_token: rest.peek().is_some().then(|| format!("PA{last}")),
        }
    }

    fn uri(&self, list: &str, query: &Form, page: usize, token: Option<&str>) -> String {
        let mut filters = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in query.0.iter().filter(|(name, _)| !name.starts_with("Page")) {
            filters.append_pair(name, value);
        }
        filters
            .append_pair("PageSize", &self.size.to_string())
            .append_pair("Page", &page.to_string());
        if let Some(token) = token {
            filters.append_pair("PageToken", token);
        }
        format!("{list}?{}", filters.finish())
    }

    fn next(&self, list: &str, query: &Form) -> Option<String> {
        let token = self.next_token.as_deref()?;
        Some(self.uri(list, query, self.number + 1, Some(token)))
    }

    fn previous(&self, list: &str, query: &Form) -> Option<String> {
        Some(self.uri(list, query, self.number.checked_sub(1)?, None))
    }
}
