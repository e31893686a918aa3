//! Dynamic variables: the `{{names}}` in prompts and the values that fill them.
//!
//! A conversation ends at once (close 1008, `missing_dynamic_variable`) when one is used that has neither a value
//! nor a default, so every name that a text uses gets at least the empty text.

use serde_json::Value;
use voice_saas_core::{
    provider::voice_agent::{AgentSpec, CallContext, Variables},
    secret::ExposeSecret,
};

/// Our id of the call.
pub const CALL_ID: &str = "call_id";
/// [`CallContext::reference`]: comes back in the post-call webhook.
pub const CALL_REFERENCE: &str = "call_ref";
/// Who calls.
pub const CALLER_NUMBER: &str = "caller_number";
/// Who is called.
pub const CALLED_NUMBER: &str = "called_number";
/// [`CallContext::tool_token`]: what tools put into a header. The platform never shows `secret__` variables to the
/// model.
pub const CALL_TOKEN: &str = "secret__call_token";

/// The platform fills these itself and accepts none from outside.
const SYSTEM: &str = "system__";
const SECRET: &str = "secret__";

/// The names that every call brings, with no value yet.
pub(super) fn of_every_call() -> Variables {
    [CALL_ID, CALL_REFERENCE, CALLER_NUMBER, CALLED_NUMBER]
        .map(|name| (name.to_owned(), empty()))
        .into()
}

/// The defaults to be kept in the agent: its own, and the empty text for whatever else its texts use. Secret ones
/// are left out, because whoever sees the agent sees its defaults.
pub(super) fn placeholders(agent: &AgentSpec) -> Variables {
    let mut placeholders = of_every_call();
    placeholders.extend(filled(agent, agent.variables.clone()));
    placeholders.retain(|name, _| !name.starts_with(SECRET));
    placeholders
}

/// The values for one call. Ours win over the tenant's.
pub(super) fn of_call(call: &CallContext) -> Variables {
    let mut variables = filled(&call.agent, call.merged_variables());
    variables.extend(
        [
            (CALL_ID, call.call.to_string()),
            (CALL_REFERENCE, call.reference.clone()),
            (CALLER_NUMBER, call.from.clone()),
            (CALLED_NUMBER, call.to.clone()),
            (CALL_TOKEN, call.tool_token.expose_secret().to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), Value::String(value))),
    );
    variables
}

fn filled(agent: &AgentSpec, values: Variables) -> Variables {
    let mut filled: Variables = values
        .into_iter()
        .filter(|(name, _)| !name.starts_with(SYSTEM))
        .map(|(name, value)| (name, scalar(value)))
        .collect();
    for name in names(&agent.system_prompt).chain(names(&agent.first_message)) {
        filled.entry(name.to_owned()).or_insert_with(empty);
    }
    filled
}

/// The names that `text` uses, without those that the platform fills.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("}}")?.0.trim()))
        .filter(|name| !name.is_empty() && !name.contains(['{', '}', '\n']) && !name.starts_with(SYSTEM))
}

/// Values must be text, numbers or booleans; anything else goes as its JSON.
fn scalar(value: Value) -> Value {
    match value {
        Value::Null => empty(),
        Value::Array(_) | Value::Object(_) => Value::String(value.to_string()),
        scalar => scalar,
    }
}

fn empty() -> Value {
    Value::String(String::new())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use voice_saas_core::id::AgentId;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(names(text).collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn names_are_found_between_double_braces() {
        check("Hello {{name}}, this is {{ business }}.", &["name", "business"]);
        check("{{a}}{{b}}", &["a", "b"]);
        check("{{{a}}}", &[]);
        check("{{open {{b}}", &["b"]);
        check("{{}} {{ }} {single} }}{{", &[]);
        check("{{multi\nline}}", &[]);
        check("{{system__time}} {{secret__key}}", &["secret__key"]);
    }

    #[test]
    fn an_agent_has_a_default_for_every_name_its_texts_use() {
        let id: AgentId = "agt_018f3c1e5d0f7a3b9c2d4e5f60718293".parse().unwrap();
        let agent = AgentSpec::new(
            id,
            "Acme",
            "Answer for {{business}} at {{system__time}}, {{secret__pin}}.",
        )
        .with_first_message("Hello {{caller}}")
        .with_variables(Variables::from([
            ("business".to_owned(), json!("Acme")),
            ("hours".to_owned(), json!([9, 17])),
            ("fax".to_owned(), Value::Null),
            ("open".to_owned(), json!(true)),
            ("secret__key".to_owned(), json!("hidden")),
            ("system__caller_id".to_owned(), json!("forged")),
        ]));
        assert_eq!(
            json!(placeholders(&agent)),
            json!({
                "business": "Acme", "caller": "", "fax": "", "hours": "[9,17]", "open": true,
                "call_id": "", "call_ref": "", "caller_number": "", "called_number": "",
            })
        );
    }
}
