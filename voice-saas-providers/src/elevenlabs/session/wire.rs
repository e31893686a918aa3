//! The messages of the agents socket, both ways.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use voice_saas_core::{
    media::AudioFormat,
    provider::voice_agent::{ConversationId, Speaker, ToolCall},
};

/// What the platform says, as far as this library has a use for it.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    Metadata {
        conversation: ConversationId,
        /// `None`: a format that this library does not know.
        input: Option<AudioFormat>,
        output: Option<AudioFormat>,
    },
    Audio {
        base64: Bytes,
        event: Option<i64>,
    },
    Interruption {
        event: Option<i64>,
    },
    Ping {
        event: i64,
    },
    Said {
        speaker: Speaker,
        text: String,
    },
    Corrected {
        text: String,
    },
    ToolCall(ToolCall),
    Error {
        code: Option<u16>,
        message: String,
    },
    /// New kinds of events appear every week, and none of them needs an answer.
    Unknown,
}

/// One flat struct with borrowed text: a tagged enum would make serde buffer every message first, audio included.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    audio_event: Option<AudioEvent<'a>>,
    #[serde(default)]
    interruption_event: Option<Numbered>,
    #[serde(default)]
    ping_event: Option<Numbered>,
    #[serde(default)]
    conversation_initiation_metadata_event: Option<Metadata>,
    #[serde(default)]
    user_transcription_event: Option<UserTranscript>,
    #[serde(default)]
    agent_response_event: Option<AgentResponse>,
    #[serde(default)]
    agent_response_correction_event: Option<Correction>,
    #[serde(default)]
    client_tool_call: Option<ClientToolCall>,
    #[serde(default)]
    error_event: Option<ErrorEvent>,
}

#[derive(Deserialize)]
struct AudioEvent<'a> {
    #[serde(borrow, default)]
    audio_base_64: Cow<'a, str>,
    #[serde(default)]
    event_id: Option<i64>,
}

#[derive(Deserialize)]
struct Numbered {
    #[serde(default)]
    event_id: Option<i64>,
}

#[derive(Deserialize)]
struct Metadata {
    conversation_id: String,
    #[serde(default)]
    agent_output_audio_format: Option<String>,
    #[serde(default)]
    user_input_audio_format: Option<String>,
}

#[derive(Deserialize)]
struct UserTranscript {
    #[serde(default)]
    user_transcript: Option<String>,
}

#[derive(Deserialize)]
struct AgentResponse {
    #[serde(default)]
    agent_response: Option<String>,
}

#[derive(Deserialize)]
struct Correction {
    #[serde(default)]
    corrected_agent_response: Option<String>,
}

#[derive(Deserialize)]
struct ClientToolCall {
    tool_name: String,
    tool_call_id: String,
    #[serde(default)]
    parameters: Value,
}

#[derive(Deserialize)]
struct ErrorEvent {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    error_type: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// Reads one message. Audio is a slice of `text`, not a copy, unless its JSON has escapes.
pub(super) fn read(text: &Bytes) -> Result<Incoming, serde_json::Error> {
    let message: Message<'_> = serde_json::from_slice(text)?;
    let known = match &*message.kind {
        "audio" => message.audio_event.map(|audio| Incoming::Audio {
            base64: match audio.audio_base_64 {
                Cow::Borrowed(base64) => text.slice_ref(base64.as_bytes()),
                Cow::Owned(base64) => base64.into(),
            },
            event: audio.event_id,
        }),
        "interruption" => Some(Incoming::Interruption {
            event: message.interruption_event.and_then(|event| event.event_id),
        }),
        "ping" => message
            .ping_event
            .and_then(|ping| ping.event_id)
            .map(|event| Incoming::Ping { event }),
        "conversation_initiation_metadata" => {
            message
                .conversation_initiation_metadata_event
                .map(|metadata| Incoming::Metadata {
                    conversation: ConversationId::new(metadata.conversation_id),
                    input: format(metadata.user_input_audio_format.as_deref()),
                    output: format(metadata.agent_output_audio_format.as_deref()),
                })
        }
        "user_transcript" => message
            .user_transcription_event
            .and_then(|event| event.user_transcript)
            .map(|text| Incoming::Said {
                speaker: Speaker::Caller,
                text,
            }),
        "agent_response" => message
            .agent_response_event
            .and_then(|event| event.agent_response)
            .map(|text| Incoming::Said {
                speaker: Speaker::Agent,
                text,
            }),
        "agent_response_correction" => message
            .agent_response_correction_event
            .and_then(|event| event.corrected_agent_response)
            .map(|text| Incoming::Corrected { text }),
        "client_tool_call" => message.client_tool_call.map(|call| {
            Incoming::ToolCall(ToolCall::new(call.tool_call_id, call.tool_name, call.parameters))
        }),
        "error" | "client_error" => message.error_event.map(|error| Incoming::Error {
            code: error.code,
            message: [error.error_type, error.message, error.reason]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(": "),
        }),
        _ => None,
    };
    Ok(known.unwrap_or(Incoming::Unknown))
}

fn format(name: Option<&str>) -> Option<AudioFormat> {
    match name? {
        "ulaw_8000" => Some(AudioFormat::Mulaw8k),
        name => {
            let rate = name.strip_prefix("pcm_")?.parse().ok()?;
            Some(AudioFormat::Pcm16 { rate })
        }
    }
}

/// What the platform is told, apart from audio.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Outgoing<'a> {
    Pong {
        event_id: i64,
    },
    ClientToolResult {
        tool_call_id: &'a str,
        result: &'a str,
        is_error: bool,
    },
    ContextualUpdate {
        text: &'a str,
    },
}

/// Appends the message that carries the caller's audio. `false`, and nothing is written, when the text is not
/// base64: it goes into the JSON as it is, so a quote in it could write a message of its own.
pub(super) fn write_audio(base64: &[u8], out: &mut BytesMut) -> bool {
    // No early exit, so that the compiler can look at many bytes at a time.
    let is_base64 = base64.iter().fold(true, |right, byte| {
        right & (byte.is_ascii_alphanumeric() | matches!(byte, b'+' | b'/' | b'='))
    });
    if is_base64 {
        out.extend_from_slice(br#"{"user_audio_chunk":""#);
        out.extend_from_slice(base64);
        out.extend_from_slice(br#""}"#);
    }
    is_base64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> Bytes {
        value.to_string().into()
    }

    #[test]
    fn audio_is_a_slice_of_the_message_it_came_in() {
        let message =
            text(&json!({"type": "audio", "audio_event": {"audio_base_64": "//8A+w==", "event_id": 3}}));
        let Incoming::Audio { base64, event } = read(&message).unwrap() else {
            panic!("audio");
        };
        assert_eq!((&*base64, event), (b"//8A+w==".as_slice(), Some(3)));
        assert!(message.as_ptr_range().contains(&base64.as_ptr()));
    }

    #[test]
    fn audio_with_escapes_is_unescaped() {
        let message =
            Bytes::from_static(br#"{"audio_event":{"event_id":1,"audio_base_64":"\/\/8="},"type":"audio"}"#);
        let expected = Incoming::Audio {
            base64: Bytes::from_static(b"//8="),
            event: Some(1),
        };
        assert_eq!(read(&message).unwrap(), expected);
    }

    #[test]
    fn events_that_nobody_knows_yet_are_unknown() {
        for message in [
            json!({"type": "vad_score", "vad_score_event": {"vad_score": 0.9}}),
            json!({"type": "guardrail_triggered"}),
            json!({"type": "audio"}),
            json!({"type": "ping", "ping_event": null}),
            json!({"something": "else"}),
        ] {
            assert_eq!(read(&text(&message)).unwrap(), Incoming::Unknown, "{message}");
        }
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for message in [&b"not json"[..], b"7", b""] {
            assert!(read(&Bytes::from_static(message)).is_err());
        }
    }

    #[test]
    fn formats_are_named_as_the_agent_configuration_names_them() {
        assert_eq!(format(Some("ulaw_8000")), Some(AudioFormat::Mulaw8k));
        assert_eq!(
            format(Some("pcm_16000")),
            Some(AudioFormat::Pcm16 { rate: 16_000 })
        );
        assert_eq!(format(Some("opus_48000")), None);
        assert_eq!(format(None), None);
    }

    #[test]
    fn text_that_could_break_out_of_its_json_string_is_refused() {
        for payload in [r#"","type":"user_message"#, "a\\b", "a b", "a\nb"] {
            let mut out = BytesMut::new();
            assert!(!write_audio(payload.as_bytes(), &mut out), "{payload}");
            assert!(out.is_empty());
        }
    }

    #[test]
    fn outgoing_messages_are_written_as_documented() {
        let json = |message: &Outgoing<'_>| serde_json::to_value(message).unwrap();
        assert_eq!(
            json(&Outgoing::Pong { event_id: 12 }),
            json!({"type": "pong", "event_id": 12})
        );
        assert_eq!(
            json(&Outgoing::ClientToolResult {
                tool_call_id: "t1",
                result: "booked",
                is_error: false
            }),
            json!({"type": "client_tool_result", "tool_call_id": "t1", "result": "booked", "is_error": false})
        );
        assert_eq!(
            json(&Outgoing::ContextualUpdate { text: "pressed 1" }),
            json!({"type": "contextual_update", "text": "pressed 1"})
        );
    }
}
