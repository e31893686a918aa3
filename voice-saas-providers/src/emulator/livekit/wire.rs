//! Twirp: messages in protobuf or JSON, errors in JSON.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct TwirpError {
    pub(super) code: &'static str,
    pub(super) msg: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) meta: BTreeMap<&'static str, String>,
}

impl TwirpError {
    pub(super) fn new(code: &'static str, msg: impl Into<String>) -> Self {
        Self {
            code,
            msg: msg.into(),
            meta: BTreeMap::new(),
        }
    }

    pub(super) fn invalid(msg: impl Into<String>) -> Self {
        Self::new("invalid_argument", msg)
    }

    pub(super) fn not_found(msg: impl Into<String>) -> Self {
        Self::new("not_found", msg)
    }

    pub(super) fn with_meta(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.meta.insert(name, value.into());
        self
    }

    pub(super) fn answer(self) -> Response {
        let status = match self.code {
            "canceled" | "deadline_exceeded" => StatusCode::REQUEST_TIMEOUT,
            "invalid_argument" | "malformed" | "out_of_range" => StatusCode::BAD_REQUEST,
            "not_found" | "bad_route" => StatusCode::NOT_FOUND,
            "already_exists" | "aborted" => StatusCode::CONFLICT,
            "permission_denied" => StatusCode::FORBIDDEN,
            "unauthenticated" => StatusCode::UNAUTHORIZED,
            "resource_exhausted" => StatusCode::TOO_MANY_REQUESTS,
            "failed_precondition" => StatusCode::PRECONDITION_FAILED,
            "unimplemented" => StatusCode::NOT_IMPLEMENTED,
            "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self)).into_response()
    }
}

/// How a request is written, and its answer after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

impl Format {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, TwirpError> {
        let given = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        match given.split(';').next().map(str::trim) {
            Some("application/protobuf") => Ok(Self::Protobuf),
            Some("application/json") => Ok(Self::Json),
            _ => Err(TwirpError::new(
                "bad_route",
                format!("unexpected Content-Type: {given:?}"),
            )),
        }
    }

    pub(super) fn read<Q: Message + Default + DeserializeOwned>(self, body: &[u8]) -> Result<Q, TwirpError> {
        let wrong = |_| TwirpError::new("malformed", "the request could not be decoded");
        match self {
            Self::Protobuf => Q::decode(body).map_err(|error| wrong(error.to_string())),
            Self::Json => serde_json::from_slice(body).map_err(|error| wrong(error.to_string())),
        }
    }

    /// In JSON, the names are those of the `.proto` files. LiveKit writes out defaults too; they are left out here.
    pub(super) fn write(self, message: &(impl Message + Serialize)) -> Response {
        match self {
            Self::Protobuf => (
                [("content-type", "application/protobuf")],
                message.encode_to_vec(),
            )
                .into_response(),
            Self::Json => Json(snake_case(json(message))).into_response(),
        }
    }
}

/// A message as JSON, in the form of webhooks: camelCase, without defaults.
pub(super) fn json(message: &impl Serialize) -> Value {
    serde_json::to_value(message).unwrap_or_default()
}

/// Fields that hold names of somebody's own.
const MAPS: [&str; 6] = [
    "attributes",
    "headers",
    "headersToAttributes",
    "attributesToHeaders",
    "tags",
    "participantAttributes",
];

fn snake_case(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(snake_case).collect(),
        Value::Object(fields) => {
            let renamed = fields.into_iter().map(|(name, value)| {
                let value = if MAPS.contains(&&*name) {
                    value
                } else {
                    snake_case(value)
                };
                let mut snake = String::new();
                for letter in name.chars() {
                    if letter.is_ascii_uppercase() {
                        snake.push('_');
                    }
                    snake.push(letter.to_ascii_lowercase());
                }
                (snake, value)
            });
            Value::Object(renamed.collect())
        }
        other => other,
    }
}
