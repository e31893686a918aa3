//! What a conversation begins with: the call's variables, and for the shared agent also the call's own prompt,
//! greeting, language and voice.

use serde::Serialize;
use voice_saas_core::provider::voice_agent::{AgentSpec, Binding, CallContext, Variables};

use super::variables;

/// The same data travels in the body of register-call, as the socket's first message and as the answer to the
/// conversation-initiation webhook. Nulls are left out: naming a field is already an override of it. It holds the
/// call's tool token, so it has no `Debug`.
#[derive(Serialize)]
pub(super) struct Initiation {
    dynamic_variables: Variables,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_config_override: Option<Override>,
    user_id: String,
}

/// Exactly the fields that [`agents`](super::agents) opens for overriding.
#[derive(Serialize)]
struct Override {
    agent: AgentOverride,
    #[serde(skip_serializing_if = "Option::is_none")]
    tts: Option<TtsOverride>,
}

#[derive(Serialize)]
struct AgentOverride {
    first_message: String,
    language: String,
    prompt: PromptOverride,
}

#[derive(Serialize)]
struct PromptOverride {
    prompt: String,
}

#[derive(Serialize)]
struct TtsOverride {
    voice_id: String,
}

/// The data as a message of its own.
#[derive(Serialize)]
#[serde(tag = "type", rename = "conversation_initiation_client_data")]
pub(super) struct InitiationMessage {
    #[serde(flatten)]
    data: Initiation,
}

impl Initiation {
    /// For this call, with `voice` where the agent names none.
    pub(super) fn new(call: &CallContext, voice: Option<&str>) -> Self {
        Self {
            dynamic_variables: variables::of_call(call),
            conversation_config_override: match call.agent.binding {
                Binding::Shared => Some(Override::new(&call.agent, voice)),
                Binding::Dedicated => None,
            },
            user_id: call.user.clone(),
        }
    }

    pub(super) fn into_message(self) -> InitiationMessage {
        InitiationMessage { data: self }
    }
}

impl Override {
    fn new(agent: &AgentSpec, voice: Option<&str>) -> Self {
        Self {
            agent: AgentOverride {
                first_message: agent.first_message.clone(),
                language: language(&agent.language),
                prompt: PromptOverride {
                    prompt: agent.system_prompt.clone(),
                },
            },
            tts: agent.voice.as_deref().or(voice).map(|voice_id| TtsOverride {
                voice_id: voice_id.to_owned(),
            }),
        }
    }
}

/// The platform knows languages, not regions: `en-US` is `en`. Brazilian Portuguese is its one exception.
pub(super) fn language(bcp47: &str) -> String {
    let tag = bcp47.trim().to_ascii_lowercase().replace('_', "-");
    match tag.split_once('-') {
        Some(_) if tag == "pt-br" => tag,
        Some((language, _)) => language.to_owned(),
        None => tag,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use voice_saas_core::id::AgentId;

    use super::*;

    #[test]
    fn regions_are_cut_off_languages() {
        for (bcp47, expected) in [
            ("en", "en"),
            ("en-US", "en"),
            ("pt-BR", "pt-br"),
            ("pt-PT", "pt"),
            ("zh-Hant-TW", "zh"),
        ] {
            assert_eq!(language(bcp47), expected);
        }
    }

    #[test]
    fn overrides_name_a_voice_only_when_there_is_one() {
        let id: AgentId = "agt_018f3c1e5d0f7a3b9c2d4e5f60718293".parse().unwrap();
        let agent = AgentSpec::new(id, "Acme", "Be kind.").with_language("de-AT");
        let agent_part = json!({"first_message": "", "language": "de", "prompt": {"prompt": "Be kind."}});
        assert_eq!(json!(Override::new(&agent, None)), json!({"agent": agent_part}));
        assert_eq!(
            json!(Override::new(&agent, Some("v1"))),
            json!({"agent": agent_part, "tts": {"voice_id": "v1"}})
        );
        let with_voice = agent.with_voice(Some("v2".to_owned()));
        assert_eq!(
            json!(Override::new(&with_voice, Some("v1")))["tts"],
            json!({"voice_id": "v2"})
        );
    }
}
