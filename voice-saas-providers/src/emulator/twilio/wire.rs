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

/// One page of `items`, which are `(sequence number, JSON)` from newest to oldest.
///
/// The page token is the sequence number of the last item of the page before, so that items which come and go
/// between two pages neither repeat nor hide others.
pub(super) fn page(
    path: &str,
    key: &str,
    query: &Form,
    items: impl Iterator<Item = (u64, Value)>,
) -> Response {
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
    let uri = |page: usize, token: Option<String>| {
        let mut filters = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in query.0.iter().filter(|(name, _)| !name.starts_with("Page")) {
            filters.append_pair(name, value);
        }
        filters
            .append_pair("PageSize", &size.to_string())
            .append_pair("Page", &page.to_string());
        if let Some(token) = token {
            filters.append_pair("PageToken", &token);
        }
        format!("{path}?{}", filters.finish())
    };
    let next = rest
        .peek()
        .is_some()
        .then(|| uri(number + 1, Some(format!("PA{last}"))));
    let start = number.saturating_mul(size);
    let mut body = Map::new();
    body.insert("end".into(), json!((start + shown.len()).saturating_sub(1)));
    body.insert("first_page_uri".into(), json!(uri(0, None)));
    body.insert("next_page_uri".into(), json!(next));
    body.insert("page".into(), json!(number));
    body.insert("page_size".into(), json!(size));
    body.insert(
        "previous_page_uri".into(),
        json!(number.checked_sub(1).map(|before| uri(before, None))),
    );
    body.insert("start".into(), json!(start));
    body.insert("uri".into(), json!(uri(number, None)));
    body.insert(key.into(), Value::Array(shown));
    Json(Value::Object(body)).into_response()
}
