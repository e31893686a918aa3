//! Agents at the platform: the one that all shared agents run on, and those that have one of their own.
//!
//! Creating has no idempotency key, so it is sent once; what finds an agent again after an ambiguous failure is its
//! name, which ends in our id: `Front desk [agt_018f…]`.

use serde::Deserialize;
use serde_json::{Value, json};
use voice_saas_core::{
    id::AgentId,
    provider::{
        ErrorKind, ProviderError, Recovery,
        telephony::{ProviderPage, Removal},
        voice_agent::{AgentSpec, Binding, ProviderAgent, ProviderAgentId, Variables},
    },
};

use super::{ElevenLabs, NAME, initiation::language, segment, variables};
use crate::http::Request;

/// The name of the agent that all shared agents run on. Whoever changes what such an agent must be able to do changes
/// it for every call of the account.
pub const SHARED_AGENT_NAME: &str = "voice-saas shared agent";

/// What agents of this library are tagged with.
const TAG: &str = "voice-saas";

/// Every call brings its own prompt; this one speaks if the platform should ever drop it.
const SHARED_PROMPT: &str = "You answer the phone. Be polite and brief. Ask for the caller's name and what the call is \
    about, say that somebody will call back, and end the conversation.";

/// The events that the session has a use for. Without `interruption` there would be no barge-in.
const CLIENT_EVENTS: [&str; 8] = [
    "audio",
    "interruption",
    "user_transcript",
    "agent_response",
    "agent_response_correction",
    "conversation_initiation_metadata",
    "ping",
    "client_tool_call",
];

/// What the platform's agents have in common.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    pub(super) llm: Option<String>,
    pub(super) speech_model: Option<String>,
    pub(super) voice: Option<String>,
    /// Whether conversations at the platform's own numbers ask our webhook for their data.
    pub(super) initiation_webhook: bool,
}

/// An agent as this library wants it to be.
struct Definition<'a> {
    name: String,
    prompt: &'a str,
    first_message: &'a str,
    language: String,
    voice: Option<&'a str>,
    placeholders: Variables,
    /// Whose it is; `None`: everybody's.
    id: Option<AgentId>,
}

impl<'a> Definition<'a> {
    fn shared() -> Self {
        Self {
            name: SHARED_AGENT_NAME.to_owned(),
            prompt: SHARED_PROMPT,
            first_message: "",
            language: "en".to_owned(),
            voice: None,
            placeholders: variables::of_every_call(),
            id: None,
        }
    }

    fn dedicated(agent: &'a AgentSpec) -> Self {
        Self {
            name: format!("{} [{}]", agent.name, agent.id),
            prompt: &agent.system_prompt,
            first_message: &agent.first_message,
            language: language(&agent.language),
            voice: agent.voice.as_deref(),
            placeholders: variables::placeholders(agent),
            id: Some(agent.id),
        }
    }

    /// What finds it among the names of all agents.
    fn search(&self) -> String {
        self.id.map_or_else(|| self.name.clone(), |id| id.to_string())
    }

    fn is_named(&self, name: &str) -> bool {
        match self.id {
            Some(id) => id_in(name) == Some(id),
            None => name == self.name,
        }
    }

    /// The body that creates the agent, or brings it up to date. Holds only what this library owns: tools and
    /// knowledge that an operator added stay.
    fn body(&self, defaults: &Defaults) -> Value {
        let mut prompt = json!({ "prompt": self.prompt });
        if let Some(llm) = &defaults.llm {
            prompt["llm"] = json!(llm);
        }
        // Telephony speaks µ-law at 8 kHz, and the format cannot be asked for per call.
        let mut speech = json!({ "agent_output_audio_format": "ulaw_8000" });
        if let Some(model) = &defaults.speech_model {
            speech["model_id"] = json!(model);
        }
        if let Some(voice) = self.voice.or(defaults.voice.as_deref()) {
            speech["voice_id"] = json!(voice);
        }
        let overridable = self.id.is_none();
        json!({
            "name": self.name,
            "tags": [TAG],
            "conversation_config": {
                "agent": {
                    "first_message": self.first_message,
                    "language": self.language,
                    "dynamic_variables": { "dynamic_variable_placeholders": self.placeholders },
                    "prompt": prompt,
                },
                "tts": speech,
                "asr": { "user_input_audio_format": "ulaw_8000" },
                "conversation": { "client_events": CLIENT_EVENTS },
            },
            "platform_settings": {
                // Conversations begin with a signed URL or with register-call; nobody else may begin one.
                "auth": { "enable_auth": true },
                "overrides": {
                    "enable_conversation_initiation_client_data_from_webhook": defaults.initiation_webhook,
                    "conversation_config_override": {
                        "agent": {
                            "first_message": overridable,
                            "language": overridable,
                            "prompt": { "prompt": overridable },
                        },
                        "tts": { "voice_id": overridable },
                    },
                },
                // On unless said otherwise: callers would hear a tone instead of our fallback.
                "queueing_config": { "enabled": false },
            },
        })
    }
}

/// The agent's id in our books, when we made it.
fn id_in(name: &str) -> Option<AgentId> {
    name.strip_suffix(']')?.rsplit_once('[')?.1.parse().ok()
}

#[derive(Deserialize)]
struct AgentPage {
    agents: Vec<Summary>,
    #[serde(default)]
    next_cursor: Option<String>,
    #[serde(default)]
    has_more: bool,
}

impl AgentPage {
    fn next(&mut self) -> Option<String> {
        self.next_cursor.take().filter(|_| self.has_more)
    }
}

#[derive(Deserialize)]
struct Summary {
    agent_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    created_at_unix_secs: i64,
}

#[derive(Deserialize)]
struct Created {
    agent_id: String,
}

/// One agent by its id, as far as it matters here.
#[derive(Deserialize)]
struct Found {
    agent_id: String,
    #[serde(default)]
    name: String,
}

impl ElevenLabs {
    /// The agent that all shared agents run on: configured, found by its name and brought up to date, or made. Asked
    /// for once, however many calls wait for it; after a failure the next one asks again.
    pub(super) async fn shared_agent(&self) -> Result<&ProviderAgentId, ProviderError> {
        self.shared
            .get_or_try_init(|| async { self.find_or_create(&Definition::shared()).await })
            .await
    }

    pub(super) async fn ensure(
        &self,
        agent: &AgentSpec,
        existing: Option<&ProviderAgentId>,
    ) -> Result<ProviderAgentId, ProviderError> {
        let definition = match agent.binding {
            Binding::Shared => return self.shared_agent().await.cloned(),
            Binding::Dedicated => Definition::dedicated(agent),
        };
        if let Some(id) = existing {
            match self.update(id, &definition).await {
                // Somebody deleted it at the platform.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                updated => return updated.map(|()| id.clone()),
            }
        }
        self.find_or_create(&definition).await
    }

    pub(super) async fn delete(&self, id: &ProviderAgentId) -> Result<Removal, ProviderError> {
        const DELETE: &str = "delete an agent";
        if self.shared.get() == Some(id) {
            return Err(ProviderError::new(NAME, DELETE, ErrorKind::Conflict)
                .with_detail("all shared agents run on this one"));
        }
        match self.client.send(Request::delete(DELETE, agent_path(id))).await {
            Ok(_) => Ok(Removal::Removed),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Removal::AlreadyGone),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list(
        &self,
        page: Option<&str>,
    ) -> Result<ProviderPage<ProviderAgent>, ProviderError> {
        let mut page = self.page(None, page).await?;
        Ok(ProviderPage {
            next: page.next(),
            items: page
                .agents
                .into_iter()
                .map(|agent| named(agent.agent_id, agent.name))
                .collect(),
        })
    }

    pub(super) async fn fetch(&self, id: &ProviderAgentId) -> Result<Option<ProviderAgent>, ProviderError> {
        match self
            .client
            .send(Request::get("find an agent", agent_path(id)))
            .await
        {
            Ok(answer) => {
                let found: Found = answer.json()?;
                Ok(Some(named(found.agent_id, found.name)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn find_or_create(&self, definition: &Definition<'_>) -> Result<ProviderAgentId, ProviderError> {
        if let Some(id) = self.find(definition).await? {
            self.update(&id, definition).await?;
            return Ok(id);
        }
        match self.create(definition).await {
            Err(error) if error.recovery() == Recovery::Reconcile => match self.find(definition).await {
                Ok(Some(id)) => Ok(id),
                _ => Err(error),
            },
            created => created,
        }
    }

    /// Two replicas that start together may both make the shared agent; all of them settle on the oldest.
    async fn find(&self, wanted: &Definition<'_>) -> Result<Option<ProviderAgentId>, ProviderError> {
        let search = wanted.search();
        let mut found: Vec<Summary> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut page = self.page(Some(&search), cursor.as_deref()).await?;
            cursor = page.next();
            found.extend(
                page.agents
                    .into_iter()
                    .filter(|agent| wanted.is_named(&agent.name)),
            );
            if cursor.is_none() {
                break;
            }
        }
        Ok(found
            .into_iter()
            .min_by(|a, b| (a.created_at_unix_secs, &a.agent_id).cmp(&(b.created_at_unix_secs, &b.agent_id)))
            .map(|agent| ProviderAgentId::new(agent.agent_id)))
    }

    async fn page(&self, search: Option<&str>, cursor: Option<&str>) -> Result<AgentPage, ProviderError> {
        let mut request = Request::get("list agents", "/v1/convai/agents").query("page_size", 100);
        if let Some(search) = search {
            request = request.query("search", search);
        }
        if let Some(cursor) = cursor {
            request = request.query("cursor", cursor);
        }
        self.client.send(request).await?.json()
    }

    async fn create(&self, definition: &Definition<'_>) -> Result<ProviderAgentId, ProviderError> {
        let request = Request::post("create an agent", "/v1/convai/agents/create")
            .json(&definition.body(&self.defaults));
        let created: Created = self.client.send(request).await?.json()?;
        Ok(ProviderAgentId::new(created.agent_id))
    }

    async fn update(&self, id: &ProviderAgentId, definition: &Definition<'_>) -> Result<(), ProviderError> {
        let request =
            Request::patch("update an agent", agent_path(id)).json(&definition.body(&self.defaults));
        self.client.send(request).await.map(drop)
    }
}

/// An agent under the name that finds it again, where it bears one.
fn named(id: String, name: String) -> ProviderAgent {
    ProviderAgent {
        id: ProviderAgentId::new(id),
        name: id_in(&name).map_or(name, |id| id.to_string()),
    }
}

fn agent_path(id: &ProviderAgentId) -> String {
    format!("/v1/convai/agents/{}", segment(id.as_str()))
}
