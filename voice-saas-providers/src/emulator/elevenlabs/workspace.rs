//! Tools, secrets, workspace webhooks and settings.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::State;
use super::wire::{ApiError, merge, object, page, required};
use crate::emulator::id;
use crate::emulator::world::World;

const MOST_OF_EACH: usize = 10_000;
const TOOL_TYPES: [&str; 4] = ["webhook", "client", "system", "mcp"];

/// A webhook of the workspace.
#[derive(Debug, Clone)]
pub(super) struct Webhook {
    pub(super) url: String,
    pub(super) secret: String,
    pub(super) name: String,
    pub(super) disabled: bool,
    pub(super) retry: bool,
    created: i64,
}

impl State {
    pub(super) fn tool(&self, tool_id: &str) -> Option<&Value> {
        self.tools.values().find(|tool| tool["id"] == tool_id)
    }

    /// The value of a secret, for tools that put it in a header.
    pub(super) fn secret(&self, secret_id: &str) -> Option<&str> {
        self.secrets.get(secret_id).map(|(_, value)| value.as_str())
    }
}

fn check_tool(config: &Value) -> Result<(), ApiError> {
    let location = ["body", "tool_config"];
    let kind = config["type"].as_str().unwrap_or_default();
    if !TOOL_TYPES.contains(&kind) {
        return Err(ApiError::shape(
            &location,
            format!("type should be one of {}", TOOL_TYPES.join(", ")),
        ));
    }
    if config["name"].as_str().is_none_or(str::is_empty) || !config["description"].is_string() {
        return Err(ApiError::shape(&location, "name and description are required"));
    }
    if kind == "webhook"
        && config
            .pointer("/api_schema/url")
            .and_then(Value::as_str)
            .is_none()
    {
        return Err(ApiError::shape(&location, "api_schema.url is required"));
    }
    let query = config.pointer("/api_schema/query_params_schema");
    let properties = query
        .filter(|query| !query.is_null())
        .map(|query| query["properties"].as_object());
    if properties.is_some_and(|properties| properties.is_none_or(serde_json::Map::is_empty)) {
        return Err(ApiError::shape(
            &location,
            "query_params_schema.properties must not be empty",
        ));
    }
    Ok(())
}

pub(super) fn create_tool(world: &World, body: &[u8]) -> Result<Response, ApiError> {
    let config = object(body)?.remove("tool_config").unwrap_or_default();
    check_tool(&config)?;
    let mut state = world.elevenlabs.state_lock();
    if state.tools.len() >= MOST_OF_EACH {
        return Err(ApiError::invalid("The workspace holds too many tools"));
    }
    let tool = json!({
        "id": format!("tool_{}", id::hex(28)), "tool_config": config,
        "access_info": {"is_creator": true, "creator_name": "Emulator", "creator_email": "emulator@example.com",
                        "role": "admin"},
        "usage_stats": {"total_calls": 0, "avg_latency_secs": 0.0},
    });
    let seq = state.next_seq();
    state.tools.insert(seq, tool.clone());
    Ok(Json(tool).into_response())
}

pub(super) fn list_tools(world: &World, query: &[(String, String)]) -> Result<Response, ApiError> {
    let state = world.elevenlabs.state_lock();
    let search = query
        .iter()
        .find(|(key, _)| key == "search")
        .map(|(_, value)| value.to_lowercase());
    let types: Vec<_> = query
        .iter()
        .filter(|(key, _)| key == "types")
        .map(|(_, value)| value.as_str())
        .collect();
    let wanted = |tool: &Value| {
        let config = &tool["tool_config"];
        let name = config["name"].as_str().unwrap_or_default().to_lowercase();
        search
            .as_ref()
            .is_none_or(|search| name.contains(search.as_str()))
            && (types.is_empty() || types.iter().any(|kind| config["type"] == *kind))
    };
    let items = state
        .tools
        .iter()
        .rev()
        .filter(|(_, tool)| wanted(tool))
        .map(|(seq, tool)| (*seq, tool.clone()));
    let page = page(query, 30, items)?;
    let body =
        json!({"tools": page.items, "has_more": page.next_cursor.is_some(), "next_cursor": page.next_cursor});
    Ok(Json(body).into_response())
}

pub(super) fn get_tool(world: &World, tool_id: &str) -> Result<Response, ApiError> {
    let state = world.elevenlabs.state_lock();
    let tool = state
        .tool(tool_id)
        .ok_or_else(|| ApiError::not_found("tool_not_found", tool_id))?;
    Ok(Json(tool).into_response())
}

pub(super) fn update_tool(world: &World, tool_id: &str, body: &[u8]) -> Result<Response, ApiError> {
    let config = object(body)?.remove("tool_config").unwrap_or_default();
    check_tool(&config)?;
    let mut state = world.elevenlabs.state_lock();
    let tool = state.tools.values_mut().find(|tool| tool["id"] == tool_id);
    let tool = tool.ok_or_else(|| ApiError::not_found("tool_not_found", tool_id))?;
    tool["tool_config"] = config;
    Ok(Json(&*tool).into_response())
}

pub(super) fn delete_tool(world: &World, tool_id: &str, force: bool) -> Result<Response, ApiError> {
    let mut state = world.elevenlabs.state_lock();
    state
        .tool(tool_id)
        .ok_or_else(|| ApiError::not_found("tool_not_found", tool_id))?;
    if !force && !state.agents_with_tool(tool_id).is_empty() {
        return Err(ApiError::conflict("tool_in_use", "The tool is used by an agent"));
    }
    state.detach_tool(tool_id);
    state.tools.retain(|_, tool| tool["id"] != tool_id);
    Ok(Json(json!({})).into_response())
}

pub(super) fn create_secret(world: &World, body: &[u8]) -> Result<Response, ApiError> {
    let body = object(body)?;
    let (name, value) = (required(&body, "name")?, required(&body, "value")?);
    if body.get("type").is_some_and(|kind| kind != "new") {
        return Err(ApiError::shape(&["body", "type"], "Input should be 'new'"));
    }
    let mut state = world.elevenlabs.state_lock();
    if state.secrets.len() >= MOST_OF_EACH {
        return Err(ApiError::invalid("The workspace holds too many secrets"));
    }
    let secret_id = id::hex(20);
    state
        .secrets
        .insert(secret_id.clone(), (name.to_owned(), value.to_owned()));
    Ok(Json(json!({"type": "stored", "secret_id": secret_id, "name": name})).into_response())
}

pub(super) fn list_secrets(world: &World) -> Response {
    let state = world.elevenlabs.state_lock();
    let secrets: Vec<_> = state
        .secrets
        .iter()
        .map(|(id, (name, _))| stored(id, name))
        .collect();
    Json(json!({"secrets": secrets, "next_cursor": null})).into_response()
}

fn stored(secret_id: &str, name: &str) -> Value {
    json!({"type": "stored", "secret_id": secret_id, "name": name,
           "used_by": {"tools": [], "agents": [], "others": []}})
}

pub(super) fn update_secret(world: &World, secret_id: &str, body: &[u8]) -> Result<Response, ApiError> {
    let body = object(body)?;
    let (name, value) = (required(&body, "name")?, required(&body, "value")?);
    let mut state = world.elevenlabs.state_lock();
    let secret = state.secrets.get_mut(secret_id);
    let secret = secret.ok_or_else(|| ApiError::not_found("document_not_found", secret_id))?;
    *secret = (name.to_owned(), value.to_owned());
    Ok(Json(json!({"type": "stored", "secret_id": secret_id, "name": name})).into_response())
}

pub(super) fn delete_secret(world: &World, secret_id: &str) -> Result<Response, ApiError> {
    let mut state = world.elevenlabs.state_lock();
    let used = state.tools.values().any(|tool| {
        tool.to_string()
            .contains(&format!("\"secret_id\":\"{secret_id}\""))
    });
    if used {
        return Err(ApiError::conflict(
            "secret_in_use",
            "The secret is used by a tool",
        ));
    }
    let removed = state.secrets.remove(secret_id);
    removed.ok_or_else(|| ApiError::not_found("document_not_found", secret_id))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) fn create_webhook(world: &World, body: &[u8]) -> Result<Response, ApiError> {
    let body = object(body)?;
    let settings = body.get("settings").and_then(Value::as_object);
    let settings = settings.ok_or_else(|| ApiError::shape(&["body", "settings"], "Field required"))?;
    if settings.get("auth_type").is_none_or(|auth| auth != "hmac") {
        return Err(ApiError::shape(
            &["body", "settings", "auth_type"],
            "Input should be 'hmac'",
        ));
    }
    let (name, url) = (required(settings, "name")?, required(settings, "webhook_url")?);
    if url::Url::parse(url).is_err() {
        return Err(ApiError::shape(
            &["body", "settings", "webhook_url"],
            "Input should be a valid URL",
        ));
    }
    let mut state = world.elevenlabs.state_lock();
    if state.webhooks.len() >= MOST_OF_EACH {
        return Err(ApiError::invalid("The workspace holds too many webhooks"));
    }
    let (webhook_id, secret) = (id::hex(32), format!("wsec_{}", id::hex(64)));
    let webhook = Webhook {
        url: url.to_owned(),
        secret: secret.clone(),
        name: name.to_owned(),
        disabled: false,
        retry: false,
        created: world.clock.now().as_second(),
    };
    state.webhooks.insert(webhook_id.clone(), webhook);
    Ok(Json(json!({"webhook_id": webhook_id, "webhook_secret": secret})).into_response())
}

pub(super) fn list_webhooks(world: &World) -> Response {
    let state = world.elevenlabs.state_lock();
    let webhooks: Vec<_> = state
        .webhooks
        .iter()
        .map(|(id, webhook)| {
            json!({
                "name": webhook.name, "webhook_id": id, "webhook_url": webhook.url, "is_disabled": webhook.disabled,
                "is_auto_disabled": false, "created_at_unix": webhook.created, "auth_type": "hmac", "usage": null,
                "most_recent_failure_error_code": null, "most_recent_failure_timestamp": null,
            })
        })
        .collect();
    Json(json!({"webhooks": webhooks})).into_response()
}

pub(super) fn update_webhook(world: &World, webhook_id: &str, body: &[u8]) -> Result<Response, ApiError> {
    let body = object(body)?;
    let name = required(&body, "name")?;
    let disabled = body.get("is_disabled").and_then(Value::as_bool);
    let disabled = disabled.ok_or_else(|| ApiError::shape(&["body", "is_disabled"], "Field required"))?;
    let mut state = world.elevenlabs.state_lock();
    let webhook = state.webhooks.get_mut(webhook_id);
    let webhook = webhook.ok_or_else(|| ApiError::not_found("document_not_found", webhook_id))?;
    name.clone_into(&mut webhook.name);
    webhook.disabled = disabled;
    webhook.retry = body
        .get("retry_enabled")
        .and_then(Value::as_bool)
        .unwrap_or(webhook.retry);
    Ok(Json(json!({"status": "ok"})).into_response())
}

pub(super) fn delete_webhook(world: &World, webhook_id: &str) -> Result<Response, ApiError> {
    let mut state = world.elevenlabs.state_lock();
    if state
        .settings
        .pointer("/webhooks/post_call_webhook_id")
        .is_some_and(|id| id == webhook_id)
    {
        return Err(ApiError::conflict("webhook_in_use", "The webhook is in use"));
    }
    let removed = state.webhooks.remove(webhook_id);
    removed.ok_or_else(|| ApiError::not_found("document_not_found", webhook_id))?;
    Ok(Json(json!({"status": "ok"})).into_response())
}

/// The settings of a new workspace.
pub(super) fn default_settings() -> Value {
    json!({
        "conversation_initiation_client_data_webhook": null,
        "webhooks": {"post_call_webhook_id": null, "events": ["transcript"], "transcript_format": "json",
                     "exclude_transcript": false, "send_audio": null},
        "can_use_mcp_servers": false, "rag_retention_period_days": 10, "default_livekit_stack": "standard",
    })
}

pub(super) fn get_settings(world: &World) -> Response {
    Json(world.elevenlabs.state_lock().settings.clone()).into_response()
}

pub(super) fn update_settings(world: &World, body: &[u8]) -> Result<Response, ApiError> {
    let body = object(body)?;
    let mut state = world.elevenlabs.state_lock();
    let webhook = body
        .get("webhooks")
        .and_then(|webhooks| webhooks["post_call_webhook_id"].as_str());
    if let Some(webhook) = webhook.filter(|webhook| !state.webhooks.contains_key(*webhook)) {
        return Err(ApiError::not_found("document_not_found", webhook));
    }
    merge(&mut state.settings, Value::Object(body));
    Ok(Json(state.settings.clone()).into_response())
}
