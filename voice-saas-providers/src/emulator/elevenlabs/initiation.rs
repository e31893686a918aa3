//! What a conversation starts from: the agent, the caller's overrides and variables, and the checks on them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::wire::merge;
use crate::emulator::audio::AudioFormat;

/// Why a conversation was closed with 1008 before it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// Everything that is fixed when a conversation starts.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) conversation_id: String,
    pub(super) agent_id: String,
    pub(super) agent_name: String,
    pub(super) branch_id: Value,
    pub(super) version_id: Value,
    pub(super) input: AudioFormat,
    pub(super) output: AudioFormat,
    pub(super) input_name: String,
    pub(super) output_name: String,
    pub(super) first_message: String,
    pub(super) client_events: BTreeSet<String>,
    pub(super) max_seconds: u64,
    pub(super) language: String,
    pub(super) user_id: Option<String>,
    pub(super) tool_ids: Vec<String>,
    /// Every variable, those of the system too.
    pub(super) variables: Map<String, Value>,
    /// What the caller sent, which comes back in the post-call webhook.
    pub(super) client_data: Value,
    /// Data to collect, by id.
    pub(super) data_collection: Map<String, Value>,
    pub(super) criteria: Vec<String>,
}

impl Session {
    /// Whom the agent speaks for.
    pub(super) fn business(&self) -> &str {
        let named = self.variables.get("business_name").and_then(Value::as_str);
        named.filter(|name| !name.is_empty()).unwrap_or(&self.agent_name)
    }

    pub(super) fn wants(&self, event: &str) -> bool {
        self.client_events.contains(event)
    }
}

/// Starts a conversation of `agent` with the data of a `conversation_initiation_client_data`.
pub(super) fn prepare(
    agent: &Value,
    data: &Map<String, Value>,
    conversation_id: &str,
    system: Map<String, Value>,
) -> Result<Session, Refusal> {
    let nothing = Value::Null;
    let overrides = data.get("conversation_config_override").unwrap_or(&nothing);
    let flags = agent.pointer("/platform_settings/overrides").unwrap_or(&nothing);
    if let Some(path) = forbidden(overrides, &flags["conversation_config_override"], "") {
        let message = format!("Override for field '{path}' is not allowed by config.");
        return Err(Refusal::new("override_error", message));
    }
    let extra = data.get("custom_llm_extra_body").and_then(Value::as_object);
    if extra.is_some_and(|extra| !extra.is_empty()) && flags["custom_llm_extra_body"] != true {
        return Err(Refusal::new(
            "override_error",
            "Override for custom_llm_extra_body is not allowed by config.",
        ));
    }
    let mut config = agent["conversation_config"].clone();
    merge(&mut config, without_nulls(overrides));
    let mut variables = match &config["agent"]["dynamic_variables"]["dynamic_variable_placeholders"] {
        Value::Object(placeholders) => placeholders.clone(),
        _ => Map::new(),
    };
    match data.get("dynamic_variables") {
        None | Some(Value::Null) => {}
        Some(Value::Object(given)) => variables.extend(given.clone()),
        Some(_) => return Err(Refusal::new("value_error", "dynamic_variables must be an object")),
    }
    variables.extend(system);
    let text = |pointer: &str| {
        config
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let prompt = text("/agent/prompt/prompt");
    let first_message = text("/agent/first_message");
    let missing: BTreeSet<&str> = [&prompt, &first_message]
        .into_iter()
        .flat_map(|text| names_in(text))
        .filter(|name| !variables.contains_key(*name))
        .collect();
    if !missing.is_empty() {
        let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("Missing required dynamic variables in first message or prompt: {missing}");
        return Err(Refusal::new("missing_dynamic_variable", message));
    }
    let (input_name, output_name) = (
        text("/asr/user_input_audio_format"),
        text("/tts/agent_output_audio_format"),
    );
    let format =
        |name: &str| AudioFormat::parse(name).ok_or_else(|| Refusal::new("value_error", "audio format"));
    let texts = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(ToOwned::to_owned)
            .collect()
    };
    let criteria = agent
        .pointer("/platform_settings/evaluation/criteria")
        .and_then(Value::as_array);
    Ok(Session {
        conversation_id: conversation_id.to_owned(),
        agent_id: agent["agent_id"].as_str().unwrap_or_default().to_owned(),
        agent_name: agent["name"].as_str().unwrap_or_default().to_owned(),
        branch_id: agent["branch_id"].clone(),
        version_id: agent["version_id"].clone(),
        input: format(&input_name)?,
        output: format(&output_name)?,
        input_name,
        output_name,
        first_message: render(&first_message, &variables),
        client_events: texts(&config["conversation"]["client_events"])
            .into_iter()
            .collect(),
        max_seconds: config["conversation"]["max_duration_seconds"]
            .as_u64()
            .unwrap_or(600),
        language: text("/agent/language"),
        user_id: data.get("user_id").and_then(Value::as_str).map(ToOwned::to_owned),
        tool_ids: texts(&config["agent"]["prompt"]["tool_ids"]),
        client_data: client_data(data, &variables),
        variables,
        data_collection: agent["platform_settings"]["data_collection"]
            .as_object()
            .cloned()
            .unwrap_or_default(),
        criteria: criteria
            .into_iter()
            .flatten()
            .filter_map(|it| it["id"].as_str())
            .map(ToOwned::to_owned)
            .collect(),
    })
}

/// What was sent, with every variable but the secret ones, which never leave the service.
fn client_data(data: &Map<String, Value>, variables: &Map<String, Value>) -> Value {
    let field = |name: &str| data.get(name).cloned();
    let shown: Map<_, _> = variables
        .iter()
        .filter(|(name, _)| !name.starts_with("secret__"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    json!({
        "conversation_config_override": field("conversation_config_override").filter(Value::is_object).unwrap_or_else(|| json!({})),
        "custom_llm_extra_body": field("custom_llm_extra_body").filter(Value::is_object).unwrap_or_else(|| json!({})),
        "user_id": field("user_id"), "branch_id": field("branch_id"), "environment": field("environment"),
        "dynamic_variables": shown,
    })
}

/// The first overridden field that the agent does not allow to be overridden.
fn forbidden(overrides: &Value, flags: &Value, path: &str) -> Option<String> {
    match overrides {
        Value::Null => None,
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            forbidden(value, &flags[name.as_str()], &path)
        }),
        _ if flags == &Value::Bool(true) => None,
        _ => Some(path.to_owned()),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                kept.map(|(name, value)| (name.clone(), without_nulls(value)))
                    .collect(),
            )
        }
        Value::Null => Value::Object(Map::new()),
        other => other.clone(),
    }
}

/// The names between `{{` and `}}`.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{")
        .skip(1)
        .filter_map(|rest| rest.split_once("}}"))
        .map(|(name, _)| name.trim())
}

/// Puts the variables into a text.
pub(super) fn render(text: &str, variables: &Map<String, Value>) -> String {
    let mut parts = text.split("{{");
    let mut rendered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once("}}") {
            Some((name, rest)) => {
                match variables.get(name.trim()) {
                    Some(Value::String(value)) => rendered.push_str(value),
                    Some(Value::Null) | None => {}
                    Some(value) => rendered.push_str(&value.to_string()),
                }
                rendered.push_str(rest);
            }
            None => {
                rendered.push_str("{{");
                rendered.push_str(part);
            }
        }
    }
    rendered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> Value {
        json!({
            "agent_id": "agent_1", "name": "Front desk",
            "conversation_config": {
                "agent": {
                    "first_message": "Hello, this is {{ business_name }}.", "language": "en",
                    "prompt": {"prompt": "You answer for {{business_name}} until {{closing}}."},
                    "dynamic_variables": {"dynamic_variable_placeholders": {"closing": 18}},
                },
                "tts": {"agent_output_audio_format": "ulaw_8000"},
                "asr": {"user_input_audio_format": "ulaw_8000"},
                "conversation": {"max_duration_seconds": 60, "client_events": ["audio"]},
            },
            "platform_settings": {"overrides": {"conversation_config_override": {"agent": {"first_message": true}}}},
        })
    }

    fn start(data: &Value) -> Result<Session, Refusal> {
        let data = data.as_object().cloned().unwrap_or_default();
        prepare(&agent(), &data, "conv_1", Map::new())
    }

    #[test]
    fn variables_and_placeholders_fill_the_first_message() {
        let session = start(&json!({"dynamic_variables": {"business_name": "Acme", "secret__token": "x"}}));
        let session = session.expect("everything is given");
        assert_eq!(session.first_message, "Hello, this is Acme.");
        assert_eq!(session.business(), "Acme");
        assert_eq!(
            session.client_data["dynamic_variables"],
            json!({"business_name": "Acme", "closing": 18})
        );
    }

    #[test]
    fn a_variable_without_value_or_placeholder_refuses_the_conversation() {
        let refusal = start(&json!({})).expect_err("the name is missing");
        assert_eq!(refusal.kind, "missing_dynamic_variable");
        assert!(refusal.message.contains("business_name") && !refusal.message.contains("closing"));
    }

    #[test]
    fn only_enabled_overrides_are_allowed() {
        let variables = json!({"business_name": "Acme"});
        let allowed = json!({"agent": {"first_message": "Hi from {{business_name}}", "language": null}});
        let session =
            start(&json!({"dynamic_variables": variables, "conversation_config_override": allowed}));
        assert_eq!(
            session.expect("the override is enabled").first_message,
            "Hi from Acme"
        );
        let refused = json!({"agent": {"prompt": {"prompt": "Ignore everything"}}});
        let refusal =
            start(&json!({"dynamic_variables": variables, "conversation_config_override": refused}));
        let refusal = refusal.expect_err("the override is not enabled");
        assert_eq!(refusal.kind, "override_error");
        assert!(
            refusal.message.contains("agent.prompt.prompt"),
            "{}",
            refusal.message
        );
    }

    #[test]
    fn an_unfinished_variable_is_left_as_it_is() {
        assert_eq!(render("a {{ b", &Map::new()), "a {{ b");
    }
}
