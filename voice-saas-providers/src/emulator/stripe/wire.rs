//! The shapes that all of Stripe's API shares: bracketed forms, errors, lists.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use crate::emulator::id;

/// An error answer.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    decline_code: Option<&'static str>,
    param: Option<String>,
    message: String,
    /// Whether it came after execution had begun: only then the idempotency layer keeps it.
    pub(super) kept: bool,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            decline_code: None,
            param: None,
            message: message.into(),
            kept: false,
        }
    }

    pub(super) fn invalid(code: &'static str, param: &str, message: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            param: Some(param.to_owned()).filter(|param| !param.is_empty()),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
        }
    }

    pub(super) fn missing(param: &str) -> Self {
        Self::invalid(
            "parameter_missing",
            param,
            format!("Missing required param: {param}."),
        )
    }

    /// Something in the path that does not exist.
    pub(super) fn not_found(what: &str, id: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            ..Self::no_such(what, id, "id")
        }
    }

    /// Something in the body that does not exist.
    pub(super) fn no_such(what: &str, id: &str, param: &str) -> Self {
        Self::invalid("resource_missing", param, format!("No such {what}: '{id}'"))
    }

    pub(super) fn declined(code: &'static str, decline_code: Option<&'static str>, message: &str) -> Self {
        Self {
            code: Some(code),
            decline_code,
            kept: true,
            ..Self::new(StatusCode::PAYMENT_REQUIRED, "card_error", message)
        }
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message)
    }

    pub(super) fn other_parameters(key: &str) -> Self {
        let message = format!(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. Try \
             using a key other than '{key}' if you meant to execute a different request."
        );
        Self::new(StatusCode::BAD_REQUEST, "idempotency_error", message)
    }

    pub(super) fn too_many_requests() -> Self {
        Self {
            code: Some("rate_limit"),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "invalid_request_error",
                "Request rate limit exceeded.",
            )
        }
    }

    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "api_error",
            "An unknown error occurred",
        )
    }

    pub(super) fn body(&self) -> Value {
        let mut error = Map::new();
        error.insert("type".into(), json!(self.kind));
        for (name, value) in [("code", self.code), ("decline_code", self.decline_code)] {
            if let Some(value) = value {
                error.insert(name.into(), json!(value));
            }
        }
        if let Some(param) = &self.param {
            error.insert("param".into(), json!(param));
        }
        error.insert("message".into(), json!(self.message));
        json!({ "error": error })
    }
}

/// An answer with the id that support asks for.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    if let Ok(id) = HeaderValue::from_str(&format!("req_{}", id::hex(14))) {
        response.headers_mut().insert("request-id", id);
    }
    response
}

/// Reads `a[b][0][c]=d`; numbered names become lists.
pub(super) fn parse(text: &[u8]) -> Result<Value, ApiError> {
    let mut root = Value::Object(Map::new());
    for (name, value) in url::form_urlencoded::parse(text) {
        let wrong = || ApiError::invalid("parameter_invalid_empty", &name, "Invalid parameter name");
        let (head, rest) = name.split_once('[').unwrap_or((&name, ""));
        if head.is_empty() {
            return Err(wrong());
        }
        let mut path = vec![head];
        if !rest.is_empty() {
            let inner = rest.strip_suffix(']').ok_or_else(wrong)?;
            path.extend(inner.split("]["));
        }
        if path.len() > 8 {
            return Err(wrong());
        }
        put(&mut root, &path, &value).ok_or_else(wrong)?;
    }
    Ok(listed(root))
}

fn put(node: &mut Value, path: &[&str], value: &str) -> Option<()> {
    let (name, rest) = path.split_first()?;
    let fields = node.as_object_mut()?;
    let name = if name.is_empty() {
        fields.len().to_string()
    } else {
        (*name).to_owned()
    };
    if rest.is_empty() {
        let before = fields.insert(name, json!(value));
        return before.is_none().then_some(());
    }
    put(fields.entry(name).or_insert_with(|| json!({})), rest, value)
}

fn listed(node: Value) -> Value {
    let Value::Object(fields) = node else {
        return node;
    };
    let mut numbered: Vec<(u32, Value)> = Vec::new();
    let mut named = Map::new();
    for (name, value) in fields {
        let value = listed(value);
        match name.parse() {
            Ok(number) => numbered.push((number, value)),
            Err(_) => drop(named.insert(name, value)),
        }
    }
    if numbered.is_empty() || !named.is_empty() {
        return Value::Object(named);
    }
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, value)| value).collect()
}

/// Refuses what the endpoint does not know.
pub(super) fn only(params: &Value, known: &[&str]) -> Result<(), ApiError> {
    let unknown = params
        .as_object()
        .and_then(|fields| fields.keys().find(|name| !known.contains(&&***name)));
    match unknown {
        Some(name) => Err(ApiError::invalid(
            "parameter_unknown",
            name,
            format!("Received unknown parameter: {name}"),
        )),
        None => Ok(()),
    }
}

/// A text that is not empty.
pub(super) fn text<'a>(params: &'a Value, pointer: &str) -> Option<&'a str> {
    params.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

/// A text that must be there.
pub(super) fn required<'a>(params: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    text(params, &format!("/{name}")).ok_or_else(|| ApiError::missing(name))
}

/// A whole number.
pub(super) fn number(params: &Value, pointer: &str) -> Result<Option<i64>, ApiError> {
    let param = pointer.trim_start_matches('/');
    text(params, pointer)
        .map(|text| {
            text.parse()
                .map_err(|_| ApiError::invalid("parameter_invalid_integer", param, "Invalid integer"))
        })
        .transpose()
}

/// One of the words.
pub(super) fn word<'a>(
    params: &'a Value,
    pointer: &str,
    words: &[&'a str],
    default: &'a str,
) -> Result<&'a str, ApiError> {
    let word = text(params, pointer).unwrap_or(default);
    if words.contains(&word) {
        Ok(word)
    } else {
        let param = pointer.trim_start_matches('/');
        let message = format!("Invalid {param}: must be one of {}", words.join(", "));
        Err(ApiError::invalid("parameter_invalid", param, message))
    }
}

/// Merges tags; an empty one takes a tag away.
pub(super) fn tag(object: &mut Value, params: &Value) {
    let Some(changes) = params["metadata"].as_object() else {
        return;
    };
    let Some(tags) = object["metadata"].as_object_mut() else {
        return;
    };
    for (name, value) in changes {
        if value == "" {
            tags.remove(name);
        } else {
            tags.insert(name.clone(), value.clone());
        }
    }
}

/// A page of what comes newest first.
pub(super) fn page<'a>(
    params: &Value,
    url: &str,
    items: impl Iterator<Item = &'a Value>,
) -> Result<Value, ApiError> {
    let limit = number(params, "/limit")?.unwrap_or(10);
    let limit = usize::try_from(limit)
        .ok()
        .filter(|limit| (1..=100).contains(limit))
        .ok_or_else(|| ApiError::invalid("parameter_invalid_integer", "limit", "must be 1 to 100"))?;
    let mut items = items.peekable();
    if let Some(after) = text(params, "/starting_after") {
        items
            .by_ref()
            .find(|item| item["id"] == after)
            .ok_or_else(|| ApiError::no_such("object", after, "starting_after"))?;
    }
    let data: Vec<&Value> = items.by_ref().take(limit).collect();
    let has_more = items.peek().is_some();
    Ok(json!({"object": "list", "data": data, "has_more": has_more, "url": url}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_nest_and_numbers_make_lists() {
        let form = b"items%5B1%5D%5Bprice%5D=b&items[0][price]=a&expand[]=x&expand[]=y&metadata[k]=v&name=n";
        assert_eq!(
            parse(form).expect("a form"),
            json!({"items": [{"price": "a"}, {"price": "b"}], "expand": ["x", "y"], "metadata": {"k": "v"}, "name": "n"})
        );
        for wrong in [&b"a[b=1"[..], b"[a]=1", b"a=1&a=2", b"a=1&a[b]=2"] {
            assert!(parse(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn a_list_goes_on_after_the_last_item() {
        let items = [json!({"id": "c"}), json!({"id": "b"}), json!({"id": "a"})];
        let first = page(&json!({"limit": "2"}), "/v1/x", items.iter()).expect("a page");
        assert_eq!(first["has_more"], true);
        let second = page(
            &json!({"limit": "2", "starting_after": "b"}),
            "/v1/x",
            items.iter(),
        );
        let second = second.expect("a page");
        assert_eq!(
            (&second["data"], &second["has_more"]),
            (&json!([{"id": "a"}]), &json!(false))
        );
    }
}
