//! Query parameters: unknown ones are refused, and each is read with a pointer to it.

use std::str::FromStr;

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Problem, json};

/// The query, into a struct of optional texts.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(parts.uri.query().unwrap_or("")).map(Self)
    }
}

fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let pointer = format!("/{name}");
        if value.contains('\0') {
            return Err(Problem::field(
                pointer,
                "nul",
                "must not contain the character U+0000",
            ));
        }
        if fields
            .insert(name.into_owned(), Value::String(value.into_owned()))
            .is_some()
        {
            return Err(Problem::field(pointer, "duplicate", "must be given once"));
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| json::field_problem("", &error.to_string()))
}

/// Reads one parameter, if it is there.
pub(crate) fn parameter<T>(text: Option<&str>, name: &str) -> Result<Option<T>, Problem>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.map(str::parse)
        .transpose()
        .map_err(|error: T::Err| Problem::field(format!("/{name}"), "invalid", error.to_string()))
}

/// Reads one parameter that is a word of a small vocabulary, if it is there.
pub(crate) fn word<T: DeserializeOwned>(text: Option<&str>, name: &str) -> Result<Option<T>, Problem> {
    text.map(|word| serde_json::from_value(Value::String(word.to_owned())))
        .transpose()
        .map_err(|error| Problem::field(format!("/{name}"), "invalid", error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use voice_saas_core::{call::CallStatus, id::AgentId};

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Filter {
        status: Option<String>,
        to: Option<String>,
    }

    #[test]
    fn a_misspelt_or_repeated_parameter_is_refused() {
        let filter: Filter = read("status=completed&to=%2B1212").unwrap();
        assert_eq!(filter.to.as_deref(), Some("+1212"));
        assert_eq!(read::<Filter>("").unwrap(), Filter::default());
        for wrong in ["staus=completed", "to=1&to=2", "to=%00"] {
            assert_eq!(
                read::<Filter>(wrong).unwrap_err().status().as_u16(),
                422,
                "{wrong}"
            );
        }
    }

    #[test]
    fn parameters_are_read_as_what_they_stand_for() {
        assert_eq!(
            word::<CallStatus>(Some("no_answer"), "status"),
            Ok(Some(CallStatus::NoAnswer))
        );
        assert!(word::<CallStatus>(Some("NoAnswer"), "status").is_err());
        assert_eq!(parameter::<AgentId>(None, "agent_id"), Ok(None));
        assert!(parameter::<AgentId>(Some("agt_1"), "agent_id").is_err());
    }
}
