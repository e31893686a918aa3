//! Records of conversations, as the API and the post-call webhook write them.

use std::time::Duration;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};
use voice_saas_core::{
    money::{Currency, Money},
    provider::voice_agent::{Conversation, ConversationId, ConversationStatus, Speaker, Turn},
};

use super::variables::CALL_REFERENCE;

/// Everything but the id may be missing or null: what is known of a conversation grows while it is processed.
#[derive(Deserialize)]
pub(super) struct Record {
    conversation_id: String,
    status: Option<String>,
    transcript: Option<Vec<RecordedTurn>>,
    metadata: Option<Metadata>,
    analysis: Option<Analysis>,
    conversation_initiation_client_data: Option<ClientData>,
}

#[derive(Deserialize)]
struct RecordedTurn {
    role: Option<String>,
    message: Option<String>,
    time_in_call_secs: Option<f64>,
}

#[derive(Deserialize)]
struct Metadata {
    call_duration_secs: Option<f64>,
    cost_fiat: Option<Value>,
}

#[derive(Deserialize)]
struct Analysis {
    transcript_summary: Option<String>,
}

#[derive(Deserialize)]
struct ClientData {
    dynamic_variables: Option<Map<String, Value>>,
}

impl From<Record> for Conversation {
    fn from(record: Record) -> Self {
        let status = match record.status.as_deref() {
            Some("initiated" | "in-progress") => ConversationStatus::InProgress,
            Some("done") => ConversationStatus::Done,
            Some("failed") => ConversationStatus::Failed,
            // `processing`, or a word that is new: whoever polls looks again.
            _ => ConversationStatus::Processing,
        };
        let mut conversation = Self::new(ConversationId::new(record.conversation_id), status);
        conversation.reference = record
            .conversation_initiation_client_data
            .and_then(|data| data.dynamic_variables)
            .and_then(|variables| Some(variables.get(CALL_REFERENCE)?.as_str()?.to_owned()));
        conversation.turns = record
            .transcript
            .unwrap_or_default()
            .into_iter()
            .filter_map(turn)
            .collect();
        if let Some(metadata) = record.metadata {
            conversation.duration = metadata.call_duration_secs.and_then(seconds);
            conversation.cost = metadata.cost_fiat.as_ref().and_then(dollars);
        }
        conversation.summary = record.analysis.and_then(|analysis| analysis.transcript_summary);
        conversation
    }
}

/// Turns without words are calls of tools.
fn turn(turn: RecordedTurn) -> Option<Turn> {
    let speaker = match turn.role.as_deref()? {
        "user" => Speaker::Caller,
        "agent" => Speaker::Agent,
        _ => return None,
    };
    let text = turn.message.filter(|text| !text.is_empty())?;
    let offset = turn.time_in_call_secs.and_then(seconds).unwrap_or_default();
    Some(Turn::new(speaker, text, offset))
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

/// Small costs come as `1e-05`.
fn dollars(cost: &Value) -> Option<Money> {
    let text = match cost {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let plain = Decimal::from_scientific(&text).or_else(|_| text.parse()).ok()?;
    Money::from_decimal_str(&plain.to_string(), Currency::USD).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(record: Value) -> Conversation {
        serde_json::from_value::<Record>(record).unwrap().into()
    }

    #[test]
    fn a_finished_conversation_is_read_whole() {
        let conversation = read(json!({
            "conversation_id": "conv_1", "agent_id": "agent_1", "status": "done",
            "transcript": [
                {"role": "agent", "message": "Hello.", "time_in_call_secs": 0, "tool_calls": null},
                {"role": "user", "message": "A table, please.", "time_in_call_secs": 2},
                {"role": "agent", "message": null, "time_in_call_secs": 4, "tool_calls": [{"tool_name": "book"}]},
                {"role": "narrator", "message": "Meanwhile", "time_in_call_secs": 5},
            ],
            "metadata": {"call_duration_secs": 42, "cost": 300, "cost_fiat": 0.0731, "phone_call": null},
            "analysis": {"call_successful": "success", "transcript_summary": "A table was booked."},
            "conversation_initiation_client_data": {"dynamic_variables": {"call_ref": "ref-1", "n": 1}},
        }));
        let mut expected = Conversation::new(ConversationId::new("conv_1"), ConversationStatus::Done);
        expected.reference = Some("ref-1".to_owned());
        expected.turns = vec![
            Turn::new(Speaker::Agent, "Hello.", Duration::ZERO),
            Turn::new(Speaker::Caller, "A table, please.", Duration::from_secs(2)),
        ];
        expected.duration = Some(Duration::from_secs(42));
        expected.cost = Some(Money::from_micros(73_100, Currency::USD));
        expected.summary = Some("A table was booked.".to_owned());
        assert_eq!(conversation, expected);
    }

    #[test]
    fn a_conversation_of_which_little_is_known_is_read_too() {
        for (record, status) in [
            (
                json!({"conversation_id": "conv_1"}),
                ConversationStatus::Processing,
            ),
            (
                json!({"conversation_id": "conv_1", "status": "in-progress", "transcript": null, "metadata": null,
                    "analysis": null, "conversation_initiation_client_data": {"dynamic_variables": null}}),
                ConversationStatus::InProgress,
            ),
            (
                json!({"conversation_id": "conv_1", "status": "failed", "metadata": {"cost_fiat": null}}),
                ConversationStatus::Failed,
            ),
            (
                json!({"conversation_id": "conv_1", "status": "paused"}),
                ConversationStatus::Processing,
            ),
        ] {
            assert_eq!(
                read(record),
                Conversation::new(ConversationId::new("conv_1"), status)
            );
        }
    }

    #[test]
    fn costs_are_read_however_they_are_written() {
        for (cost, micros) in [
            (json!(0.5), Some(500_000)),
            (json!(2), Some(2_000_000)),
            (json!(0.000_012), Some(12)),
            (json!("0.25"), Some(250_000)),
            (json!(true), None),
            (json!("free"), None),
        ] {
            assert_eq!(dollars(&cost).map(Money::amount_micros), micros, "{cost}");
        }
    }
}
