//! Agents.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::wire::{ApiError, merge, object, page};
use super::{ElevenLabs, State};
use crate::emulator::audio::AudioFormat;
use crate::emulator::id;
use crate::emulator::world::World;

const MOST_AGENTS: usize = 10_000;

/// The events that a socket gets when the agent names none.
pub(super) const CLIENT_EVENTS: [&str; 7] = [
    "audio",
    "interruption",
    "agent_response",
    "user_transcript",
    "tentative_user_transcript",
    "conversation_initiation_metadata",
    "ping",
];

/// What an agent is when its creator says nothing.
fn defaults() -> Value {
    json!({
        "name": "",
        "tags": [],
        "conversation_config": {
            "agent": {
                "first_message": "", "language": "en", "disable_first_message_interruptions": false,
                "dynamic_variables": {"dynamic_variable_placeholders": {}},
                "prompt": {
                    "prompt": "", "llm": "gemini-2.5-flash", "temperature": 0.0, "max_tokens": -1,
                    "tool_ids": [], "built_in_tools": {}, "knowledge_base": [],
                },
            },
            "tts": {
                "model_id": "eleven_flash_v2", "voice_id": "cjVigY5qzO86Huf0OWal",
                "agent_output_audio_format": "pcm_16000", "stability": 0.5, "speed": 1.0, "similarity_boost": 0.8,
            },
            "asr": {
                "provider": "scribe_realtime", "quality": "high", "user_input_audio_format": "pcm_16000",
                "keywords": [],
            },
            "turn": {"turn_timeout": 7.0, "silence_end_call_timeout": -1.0, "turn_eagerness": "normal"},
            "conversation": {
                "max_duration_seconds": 600, "text_only": false, "client_events": CLIENT_EVENTS,
                "monitoring_enabled": false,
            },
            "language_presets": {},
        },
        "platform_settings": {
            "auth": {"enable_auth": false, "allowlist": [], "require_origin_header": false},
            "overrides": {
                "enable_conversation_initiation_client_data_from_webhook": false, "custom_llm_extra_body": false,
                "conversation_config_override": {},
            },
            "call_limits": {"agent_concurrency_limit": -1, "daily_limit": 100_000, "bursting_enabled": true},
            "queueing_config": {"enabled": true, "wait_timeout_seconds": 180},
            "privacy": {"record_voice": true, "retention_days": -1, "delete_transcript_and_pii": false,
                        "delete_audio": false, "zero_retention_mode": false},
            "data_collection": {},
            "evaluation": {"criteria": []},
            "workspace_overrides": {},
        },
    })
}

/// Refuses bodies of the wrong shape, the way the framework does.
fn validate(state: &State, agent: &Value) -> Result<(), ApiError> {
    let object_at = |pointer: &str, location: &[&'static str]| match agent.pointer(pointer) {
        Some(Value::Object(_)) => Ok(()),
        _ => Err(ApiError::shape(location, "Input should be a valid dictionary")),
    };
    object_at("/conversation_config", &["body", "conversation_config"])?;
    object_at(
        "/conversation_config/agent",
        &["body", "conversation_config", "agent"],
    )?;
    object_at(
        "/conversation_config/agent/prompt",
        &["body", "conversation_config", "agent", "prompt"],
    )?;
    object_at("/platform_settings", &["body", "platform_settings"])?;
    let text_at = |pointer: &str, location: &[&'static str]| match agent.pointer(pointer) {
        None | Some(Value::String(_) | Value::Null) => Ok(()),
        Some(_) => Err(ApiError::shape(location, "Input should be a valid string")),
    };
    text_at("/name", &["body", "name"])?;
    let config: &[&'static str] = &["body", "conversation_config", "agent"];
    text_at("/conversation_config/agent/first_message", config)?;
    text_at("/conversation_config/agent/language", config)?;
    text_at("/conversation_config/agent/prompt/prompt", config)?;
    for (pointer, section, field) in [
        (
            "/conversation_config/tts/agent_output_audio_format",
            "tts",
            "agent_output_audio_format",
        ),
        (
            "/conversation_config/asr/user_input_audio_format",
            "asr",
            "user_input_audio_format",
        ),
    ] {
        let format = agent
            .pointer(pointer)
            .and_then(Value::as_str)
            .and_then(AudioFormat::parse);
        if format.is_none() {
            let allowed = AudioFormat::NAMES.join("', '");
            let location = ["body", "conversation_config", section, field];
            return Err(ApiError::shape(&location, format!("Input should be '{allowed}'")));
        }
    }
    let duration = agent.pointer("/conversation_config/conversation/max_duration_seconds");
    if duration
        .and_then(Value::as_u64)
        .is_none_or(|seconds| seconds == 0)
    {
        let location = [
            "body",
            "conversation_config",
            "conversation",
            "max_duration_seconds",
        ];
        return Err(ApiError::shape(&location, "Input should be a positive integer"));
    }
    let tools = agent
        .pointer("/conversation_config/agent/prompt/tool_ids")
        .and_then(Value::as_array);
    for tool in tools.into_iter().flatten() {
        let id = tool.as_str().unwrap_or_default();
        if state.tool(id).is_none() {
            return Err(ApiError::not_found("tool_not_found", id));
        }
    }
    Ok(())
}

fn access_info() -> Value {
    json!({"is_creator": true, "creator_name": "Emulator", "creator_email": "emulator@example.com", "role": "admin"})
}

impl State {
    pub(super) fn agent(&self, agent_id: &str) -> Option<&Value> {
        self.agents.values().find(|agent| agent["agent_id"] == agent_id)
    }

    fn agent_mut(&mut self, agent_id: &str) -> Result<&mut Value, ApiError> {
        let agent = self
            .agents
            .values_mut()
            .find(|agent| agent["agent_id"] == agent_id);
        agent.ok_or_else(|| ApiError::not_found("agent_not_found", agent_id))
    }

    /// The agents that use a tool.
    pub(super) fn agents_with_tool(&self, tool_id: &str) -> Vec<&Value> {
        let uses = |agent: &&Value| {
            let tools = agent
                .pointer("/conversation_config/agent/prompt/tool_ids")
                .and_then(Value::as_array);
            tools.is_some_and(|tools| tools.iter().any(|tool| tool == tool_id))
        };
        self.agents.values().filter(uses).collect()
    }

    /// Takes a tool away from every agent.
    pub(super) fn detach_tool(&mut self, tool_id: &str) {
        for agent in self.agents.values_mut() {
            let tools = agent
                .pointer_mut("/conversation_config/agent/prompt/tool_ids")
                .and_then(Value::as_array_mut);
            if let Some(tools) = tools {
                tools.retain(|tool| tool != tool_id);
            }
        }
    }
}

impl ElevenLabs {
    pub(super) fn find_agent(&self, agent_id: &str) -> Option<Value> {
        self.state_lock().agent(agent_id).cloned()
    }
}

/// The fields of a body that an agent is made of; a null field is one that was not sent.
fn settable(mut body: Map<String, Value>) -> Value {
    body.retain(|key, value| {
        !value.is_null()
            && matches!(
                key.as_str(),
                "name" | "tags" | "conversation_config" | "platform_settings" | "workflow"
            )
    });
    Value::Object(body)
}

fn store(state: &mut State, mut agent: Value, now: i64) -> Result<String, ApiError> {
    validate(state, &agent)?;
    if state.agents.len() >= MOST_AGENTS {
        return Err(ApiError::invalid("The workspace holds too many agents"));
    }
    let agent_id = format!("agent_{}", id::hex(28));
    let branch = format!("agtbranch_{}", id::hex(28));
    merge(
        &mut agent,
        json!({
            "agent_id": agent_id,
            "metadata": {"created_at_unix_secs": now, "updated_at_unix_secs": now},
            "phone_numbers": [], "whatsapp_accounts": [], "access_info": access_info(),
            "version_id": format!("agtvrsn_{}", id::hex(28)), "branch_id": branch, "main_branch_id": branch,
        }),
    );
    let seq = state.next_seq();
    state.agents.insert(seq, agent);
    Ok(agent_id)
}

pub(super) fn create(world: &World, body: &[u8]) -> Result<Response, ApiError> {
    let body = object(body)?;
    if !body.get("conversation_config").is_some_and(Value::is_object) {
        return Err(ApiError::shape(
            &["body", "conversation_config"],
            "Field required",
        ));
    }
    let mut agent = defaults();
    merge(&mut agent, settable(body));
    let agent_id = store(
        &mut world.elevenlabs.state_lock(),
        agent,
        world.clock.now().as_second(),
    )?;
    Ok(Json(json!({"agent_id": agent_id})).into_response())
}

pub(super) fn duplicate(world: &World, agent_id: &str, body: &[u8]) -> Result<Response, ApiError> {
    let body = object(body)?;
    let mut state = world.elevenlabs.state_lock();
    let mut agent = state
        .agent(agent_id)
        .cloned()
        .ok_or_else(|| ApiError::not_found("agent_not_found", agent_id))?;
    if let Some(name) = body.get("name").filter(|name| name.is_string()) {
        agent["name"] = name.clone();
    }
    let agent_id = store(&mut state, agent, world.clock.now().as_second())?;
    Ok(Json(json!({"agent_id": agent_id})).into_response())
}

pub(super) fn get(world: &World, agent_id: &str) -> Result<Response, ApiError> {
    let agent = world.elevenlabs.find_agent(agent_id);
    Ok(Json(agent.ok_or_else(|| ApiError::not_found("agent_not_found", agent_id))?).into_response())
}

pub(super) fn update(world: &World, agent_id: &str, body: &[u8]) -> Result<Response, ApiError> {
    let change = settable(object(body)?);
    let mut state = world.elevenlabs.state_lock();
    let mut agent = state.agent_mut(agent_id)?.clone();
    merge(&mut agent, change);
    validate(&state, &agent)?;
    agent["metadata"]["updated_at_unix_secs"] = json!(world.clock.now().as_second());
    agent["version_id"] = json!(format!("agtvrsn_{}", id::hex(28)));
    *state.agent_mut(agent_id)? = agent.clone();
    Ok(Json(agent).into_response())
}

pub(super) fn delete(world: &World, agent_id: &str) -> Result<Response, ApiError> {
    let mut state = world.elevenlabs.state_lock();
    state.agent_mut(agent_id)?;
    state.agents.retain(|_, agent| agent["agent_id"] != agent_id);
    Ok(Json(json!({})).into_response())
}

pub(super) fn list(world: &World, query: &[(String, String)]) -> Result<Response, ApiError> {
    let state = world.elevenlabs.state_lock();
    let search = query
        .iter()
        .find(|(key, _)| key == "search")
        .map(|(_, value)| value.to_lowercase());
    let wanted = |agent: &Value| {
        let name = agent["name"].as_str().unwrap_or_default().to_lowercase();
        search
            .as_ref()
            .is_none_or(|search| name.contains(search.as_str()))
    };
    let items = state
        .agents
        .iter()
        .rev()
        .filter(|(_, agent)| wanted(agent))
        .map(|(seq, agent)| {
            let summary = json!({
                "agent_id": agent["agent_id"], "name": agent["name"], "tags": agent["tags"],
                "voice_id": agent["conversation_config"]["tts"]["voice_id"],
                "created_at_unix_secs": agent["metadata"]["created_at_unix_secs"],
                "access_info": agent["access_info"], "last_call_time_unix_secs": null, "archived": false,
            });
            (*seq, summary)
        });
    let page = page(query, 30, items)?;
    let body = json!({"agents": page.items, "has_more": page.next_cursor.is_some(), "next_cursor": page.next_cursor});
    Ok(Json(body).into_response())
}
