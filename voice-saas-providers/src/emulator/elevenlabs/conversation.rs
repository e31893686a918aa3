//! Conversations: their record, and what the API tells about them.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::initiation::Session;
use super::wire::{ApiError, page};
use super::{ElevenLabs, State};
use crate::emulator::world::World;

const MOST_CONVERSATIONS: usize = 20_000;

/// One conversation: the object that the API answers and the post-call webhook carries.
#[derive(Debug, Clone)]
pub(super) struct Conversation {
    pub(super) body: Value,
    pub(super) pongs: u64,
}

/// How a conversation came about.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// `conversation_initiation_source` in the metadata.
    pub(super) source: &'static str,
    pub(super) authorization: &'static str,
    pub(super) phone_call: Value,
}

impl State {
    pub(super) fn conversation(&mut self, conversation_id: &str) -> Option<&mut Conversation> {
        let seq = self.conversation_seqs.get(conversation_id)?;
        self.conversations.get_mut(seq)
    }
}

impl ElevenLabs {
    /// Records the start of a conversation; the oldest ended ones make room.
    pub(super) fn open(&self, session: &Session, origin: &Origin, now: i64) {
        let body = json!({
            "conversation_id": session.conversation_id,
            "agent_id": session.agent_id, "agent_name": session.agent_name, "status": "in-progress",
            "user_id": session.user_id, "branch_id": session.branch_id, "version_id": session.version_id,
            "environment": "production", "transcript": [],
            "metadata": {
                "start_time_unix_secs": now, "accepted_time_unix_secs": now, "call_duration_secs": 0,
                "cost": null, "cost_fiat": null, "termination_reason": "", "error": null, "warnings": [],
                "main_language": session.language, "queue_wait_secs": null,
                "deletion_settings": {"deletion_time_unix_secs": null, "delete_transcript_and_pii": false,
                                      "delete_audio": false},
                "authorization_method": origin.authorization,
                "conversation_initiation_source": origin.source, "batch_call": null,
                "phone_call": origin.phone_call, "text_only": false,
                "charging": {"dev_discount": false, "is_burst": false, "tier": "emulator", "llm_charge": null,
                             "llm_price": null, "call_charge": null},
            },
            "analysis": null,
            "conversation_initiation_client_data": session.client_data,
            "has_audio": false, "has_user_audio": false, "has_response_audio": false, "has_auxiliary_audio": false,
            "visited_agents": [{"agent_id": session.agent_id, "branch_id": session.branch_id}], "tag_ids": [],
        });
        let mut state = self.state_lock();
        while state.conversations.len() >= MOST_CONVERSATIONS {
            let over = |it: &Conversation| matches!(it.body["status"].as_str(), Some("done" | "failed"));
            let Some(oldest) = state
                .conversations
                .iter()
                .find(|(_, it)| over(it))
                .map(|(seq, _)| *seq)
            else {
                break;
            };
            if let Some(removed) = state.conversations.remove(&oldest) {
                state
                    .conversation_seqs
                    .remove(removed.body["conversation_id"].as_str().unwrap_or_default());
            }
        }
        let seq = state.next_seq();
        state
            .conversation_seqs
            .insert(session.conversation_id.clone(), seq);
        state.conversations.insert(seq, Conversation { body, pongs: 0 });
    }

    pub(super) fn count_pong(&self, conversation_id: &str) {
        if let Some(conversation) = self.state_lock().conversation(conversation_id) {
            conversation.pongs += 1;
        }
    }

    /// Records the end: transcript, duration and cost are there at once, the analysis follows.
    pub(super) fn close(&self, session: &Session, turns: &[Value], reason: &str, now: i64) {
        let mut state = self.state_lock();
        let Some(conversation) = state.conversation(&session.conversation_id) else {
            return;
        };
        let body = &mut conversation.body;
        let started = body["metadata"]["start_time_unix_secs"].as_i64().unwrap_or(now);
        // A conversation of less than a second still counts one.
        let seconds = u32::try_from((now - started).max(1)).unwrap_or(u32::MAX);
        body["status"] = json!("processing");
        body["transcript"] = json!(turns);
        body["metadata"]["call_duration_secs"] = json!(seconds);
        body["metadata"]["termination_reason"] = json!(reason);
        // Twelve credits and 0.0014 dollars a second, near the list price of a minute.
        let credits = u64::from(seconds) * 12;
        body["metadata"]["cost"] = json!(credits);
        body["metadata"]["cost_fiat"] = json!(f64::from(seconds) * 0.0014);
        body["metadata"]["charging"]["call_charge"] = json!(credits);
    }

    /// Ends the processing and answers the finished object.
    pub(super) fn analyse(&self, session: &Session) -> Option<Value> {
        let mut state = self.state_lock();
        let conversation = state.conversation(&session.conversation_id)?;
        let body = &mut conversation.body;
        body["analysis"] = analysis(
            session,
            body["transcript"].as_array().map_or(&[][..], Vec::as_slice),
        );
        body["status"] = json!("done");
        Some(body.clone())
    }
}

fn analysis(session: &Session, turns: &[Value]) -> Value {
    let said = |role: &str| {
        turns
            .iter()
            .filter(|turn| turn["role"] == role && turn["message"].is_string())
            .count()
    };
    let result = if said("user") > 0 { "success" } else { "unknown" };
    let collected: Map<_, _> = session
        .data_collection
        .iter()
        .map(|(id, schema)| {
            // The emulated analysis knows only what it was told: a variable of the same name is the answer.
            let value = session.variables.get(id).cloned().unwrap_or_default();
            let result = json!({
                "data_collection_id": id, "value": value, "json_schema": schema, "rationale": "taken from the variables",
            });
            (id.clone(), result)
        })
        .collect();
    let evaluated: Map<_, _> = session
        .criteria
        .iter()
        .map(|id| {
            let result =
                json!({"criteria_id": id, "result": result, "rationale": "whether the caller spoke"});
            (id.clone(), result)
        })
        .collect();
    json!({
        "call_successful": result, "call_success_score": null,
        "transcript_summary": format!(
            "The caller spoke {} times and the agent {} times.", said("user"), said("agent")
        ),
        "call_summary_title": format!("Call to {}", session.business()),
        "data_collection_results_list": collected.values().collect::<Vec<_>>(),
        "evaluation_criteria_results_list": evaluated.values().collect::<Vec<_>>(),
        "data_collection_results": collected,
        "evaluation_criteria_results": evaluated,
    })
}

pub(super) fn get(world: &World, conversation_id: &str) -> Result<Response, ApiError> {
    let mut state = world.elevenlabs.state_lock();
    let found = state.conversation(conversation_id);
    let found = found.ok_or_else(|| ApiError::not_found("conversation_not_found", conversation_id))?;
    Ok(Json(found.body.clone()).into_response())
}

pub(super) fn delete(world: &World, conversation_id: &str) -> Result<Response, ApiError> {
    let mut state = world.elevenlabs.state_lock();
    let found = state.conversation_seqs.remove(conversation_id);
    let seq = found.ok_or_else(|| ApiError::not_found("conversation_not_found", conversation_id))?;
    state.conversations.remove(&seq);
    Ok(Json(json!({})).into_response())
}

pub(super) fn list(world: &World, query: &[(String, String)]) -> Result<Response, ApiError> {
    let find = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let number = |name: &str| find(name).and_then(|value| value.parse::<i64>().ok());
    let (after, before) = (number("call_start_after_unix"), number("call_start_before_unix"));
    let excluded: Vec<_> = query
        .iter()
        .filter(|(key, _)| key == "exclude_statuses")
        .map(|(_, value)| value.as_str())
        .collect();
    let wanted = |body: &Value| {
        let started = body["metadata"]["start_time_unix_secs"]
            .as_i64()
            .unwrap_or_default();
        find("agent_id").is_none_or(|agent| body["agent_id"] == agent)
            && find("user_id").is_none_or(|user| body["user_id"] == user)
            && find("call_successful").is_none_or(|result| body["analysis"]["call_successful"] == result)
            && after.is_none_or(|after| started >= after)
            && before.is_none_or(|before| started <= before)
            && !excluded.iter().any(|status| body["status"] == *status)
    };
    let state = world.elevenlabs.state_lock();
    let items = state
        .conversations
        .iter()
        .rev()
        .filter(|(_, it)| wanted(&it.body));
    let page = page(query, 30, items.map(|(seq, it)| (*seq, summary(&it.body))))?;
    let body = json!({"conversations": page.items, "has_more": page.next_cursor.is_some(), "next_cursor": page.next_cursor});
    Ok(Json(body).into_response())
}

fn summary(body: &Value) -> Value {
    let (metadata, analysis) = (&body["metadata"], &body["analysis"]);
    let successful = analysis["call_successful"].as_str().unwrap_or("unknown");
    json!({
        "conversation_id": body["conversation_id"], "agent_id": body["agent_id"], "agent_name": body["agent_name"],
        "branch_id": body["branch_id"], "version_id": body["version_id"],
        "start_time_unix_secs": metadata["start_time_unix_secs"],
        "call_duration_secs": metadata["call_duration_secs"],
        "message_count": body["transcript"].as_array().map_or(0, Vec::len), "status": body["status"],
        "termination_reason": metadata["termination_reason"], "call_successful": successful,
        "transcript_summary": analysis["transcript_summary"], "call_summary_title": analysis["call_summary_title"],
        "direction": metadata["phone_call"]["direction"], "main_language": metadata["main_language"],
        "tool_names": [], "tag_ids": [],
    })
}
