//! The port to a voice-agent platform.
//!
//! A platform either carries the call's audio itself ([`Attachment::Markup`]) or speaks over a socket that our
//! media bridge connects to the call ([`Attachment::Bridge`], [`VoiceAgentProvider::open`]).

use std::{collections::BTreeMap, fmt, pin::Pin, time::Duration};

use async_trait::async_trait;
use futures_core::Stream;
use futures_sink::Sink;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ProviderError, ProviderName,
    telephony::{
        ProviderCallId, ProviderPage, Removal, WebhookAnswer, WebhookError, WebhookRequest, opaque_ids,
    },
};
use crate::{
    id::{AgentId, CallId},
    media::{Audio, AudioFormat},
    money::Money,
    secret::SecretString,
};

opaque_ids! {
    /// A platform's id of an agent.
    ProviderAgentId;
    /// A platform's id of a conversation.
    ConversationId;
}

/// The names and values that fill the `{{placeholders}}` of prompts.
pub type Variables = BTreeMap<String, Value>;

/// Whether an agent has an object of its own at the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
pub enum Binding {
    /// One agent of the platform serves all; each call brings its own prompt, voice and variables.
    #[default]
    Shared,
    /// This agent has its own.
    Dedicated,
}

/// What an agent says and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentSpec {
    /// Our id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// Its instructions.
    pub system_prompt: String,
    /// What it says first; empty = it waits for the caller.
    pub first_message: String,
    /// The language (BCP 47).
    pub language: String,
    /// The platform's id of a voice; `None` = the platform's default.
    pub voice: Option<String>,
    /// Whether it has an agent of its own at the platform.
    pub binding: Binding,
    /// Defaults of the variables that the prompts use.
    pub variables: Variables,
}

impl AgentSpec {
    /// An English-speaking agent with the shared binding.
    pub fn new(id: AgentId, name: impl Into<String>, system_prompt: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            system_prompt: system_prompt.into(),
            first_message: String::new(),
            language: "en".to_owned(),
            voice: None,
            binding: Binding::default(),
            variables: Variables::new(),
        }
    }

    /// What it says first.
    #[must_use]
    pub fn with_first_message(mut self, first_message: impl Into<String>) -> Self {
        self.first_message = first_message.into();
        self
    }

    /// The language (BCP 47).
    #[must_use]
    pub fn with_language(mut self, language: impl Into<String>) -> Self {
        self.language = language.into();
        self
    }

    /// The platform's id of a voice.
    #[must_use]
    pub fn with_voice(mut self, voice: Option<String>) -> Self {
        self.voice = voice;
        self
    }

    /// Whether it has an agent of its own at the platform.
    #[must_use]
    pub fn with_binding(mut self, binding: Binding) -> Self {
        self.binding = binding;
        self
    }

    /// Defaults of the variables that the prompts use.
    #[must_use]
    pub fn with_variables(mut self, variables: Variables) -> Self {
        self.variables = variables;
        self
    }
}

/// Who began a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
pub enum Direction {
    /// They called us.
    Inbound,
    /// We called them.
    Outbound,
}

/// Everything a platform needs to know about one call.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "whoever tests an adapter builds it")]
pub struct CallContext {
    /// Our id.
    pub call: CallId,
    /// The carrier's id.
    pub provider_call: ProviderCallId,
    /// Who began it.
    pub direction: Direction,
    /// The caller as the carrier writes it.
    pub from: String,
    /// The number that was called.
    pub to: String,
    /// The agent, in the version that this call runs.
    pub agent: AgentSpec,
    /// The agent's object at the platform, when it has one of its own.
    pub provider_agent: Option<ProviderAgentId>,
    /// Values of the variables for this call; they win over the agent's defaults.
    pub variables: Variables,
    /// What says, in the platform's webhooks, which tenant and call a conversation belongs to.
    pub reference: String,
    /// What the agent's tools present to act for this call. Never shown to the model.
    pub tool_token: SecretString,
    /// Groups conversations at the platform: the tenant's id.
    pub user: String,
}

impl CallContext {
    /// The agent's defaults overlaid with the call's own values.
    pub fn merged_variables(&self) -> Variables {
        let mut merged = self.agent.variables.clone();
        merged.extend(self.variables.clone());
        merged
    }
}

/// How a call is connected to its agent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attachment {
    /// Answer the carrier with this, word for word; the platform carries the audio.
    Markup(String),
    /// Our media bridge carries the audio after all.
    Bridge,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
pub enum Speaker {
    /// The person on the phone.
    Caller,
    /// The AI agent.
    Agent,
}

/// The agent wants something done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolCall {
    /// The platform's id of this call of the tool.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// With what.
    pub arguments: Value,
}

impl ToolCall {
    /// Calls `name`.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: Value) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            arguments,
        }
    }
}

/// What an agent's socket says. The end of the stream is the end of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentEvent {
    /// The agent is ready to hear and speak.
    Ready {
        /// The platform's id.
        conversation: ConversationId,
        /// What it wants to hear.
        input: AudioFormat,
        /// What it speaks.
        output: AudioFormat,
    },
    /// The agent speaks. Audio from before an interruption never comes after it.
    Audio(Audio),
    /// The caller spoke into the agent's words: drop what is still queued.
    Interrupted,
    /// Something was said.
    Said {
        /// By whom.
        speaker: Speaker,
        /// What.
        text: String,
    },
    /// The agent was cut short; this is what it got to say.
    Corrected {
        /// What was really said.
        text: String,
    },
    /// The agent wants something done and waits for the result.
    ToolCall(ToolCall),
    /// Keep-alive and the like: nothing to do.
    Idle,
}

/// What an agent's socket is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentCommand {
    /// The caller's audio.
    Audio(Audio),
    /// What came of a [`ToolCall`].
    ToolResult {
        /// Its id.
        id: String,
        /// What the agent may know of it.
        result: String,
        /// Whether it failed.
        is_error: bool,
    },
    /// Something the agent should know, such as keys that the caller pressed.
    Context(String),
}

/// A live conversation. Poll-based, so that no allocation is made per frame.
pub trait AgentSession:
    Stream<Item = Result<AgentEvent, ProviderError>> + Sink<AgentCommand, Error = ProviderError> + Send + Unpin
{
}

impl<T> AgentSession for T where
    T: Stream<Item = Result<AgentEvent, ProviderError>>
        + Sink<AgentCommand, Error = ProviderError>
        + Send
        + Unpin
{
}

/// A live conversation of whichever platform.
pub type BoxAgentSession = Pin<Box<dyn AgentSession>>;

/// How far a conversation's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConversationStatus {
    /// Still going on.
    InProgress,
    /// Over, its record is being made.
    Processing,
    /// Its record is complete.
    Done,
    /// It failed.
    Failed,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Turn {
    /// Who spoke.
    pub speaker: Speaker,
    /// What was said.
    pub text: String,
    /// How long after the call's beginning.
    pub offset: Duration,
}

impl Turn {
    /// `speaker` said `text` this long after the beginning.
    pub fn new(speaker: Speaker, text: impl Into<String>, offset: Duration) -> Self {
        Self {
            speaker,
            text: text.into(),
            offset,
        }
    }
}

/// A platform's record of a conversation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Conversation {
    /// The platform's id.
    pub id: ConversationId,
    /// How far the record is.
    pub status: ConversationStatus,
    /// What [`CallContext::reference`] was, when it came back.
    pub reference: Option<String>,
    /// Who said what.
    pub turns: Vec<Turn>,
    /// How long it lasted.
    pub duration: Option<Duration>,
    /// What the platform charged.
    pub cost: Option<Money>,
    /// A summary, when the platform made one.
    pub summary: Option<String>,
}

impl Conversation {
    /// A conversation of which nothing else is known.
    pub fn new(id: ConversationId, status: ConversationStatus) -> Self {
        Self {
            id,
            status,
            reference: None,
            turns: Vec::new(),
            duration: None,
            cost: None,
            summary: None,
        }
    }
}

/// What a platform calls us for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentWebhookKind {
    /// A call reaches an agent: who is it for?
    Initiation,
    /// A conversation is over.
    PostCall,
}

/// What a platform told us, verified and parsed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AgentWebhookEvent {
    /// A call reaches an agent at the platform's own number.
    Initiation {
        /// The carrier's id of the call.
        call: Option<ProviderCallId>,
        /// The caller, as the platform writes it.
        from: String,
        /// The number that was called, as the platform writes it.
        to: String,
    },
    /// A conversation is over and this is its record.
    Ended(Box<Conversation>),
    /// Something that this library has no use for.
    Ignored,
}

/// A platform's webhooks.
pub trait AgentWebhook: fmt::Debug + Send + Sync + 'static {
    /// Checks that the request comes from the platform, on its raw bytes, and only then reads it.
    /// `now` bounds the replay window.
    ///
    /// # Errors
    /// `Forged`, `Malformed`.
    fn receive(
        &self,
        kind: AgentWebhookKind,
        request: &WebhookRequest<'_>,
        now: jiff::Timestamp,
    ) -> Result<AgentWebhookEvent, WebhookError>;

    /// Answers [`AgentWebhookKind::Initiation`] with what the agent needs for this call.
    fn answer_initiation(&self, call: &CallContext) -> WebhookAnswer;
}

/// An agent as it exists at the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "adapters build it")]
pub struct ProviderAgent {
    /// The platform's id.
    pub id: ProviderAgentId,
    /// The name there; for an agent that we made, its tag.
    pub name: String,
}

/// What a platform can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct AgentCapabilities {
    /// [`Binding::Dedicated`].
    pub dedicated: bool,
    /// [`Attachment::Bridge`].
    pub bridge: bool,
    /// [`Attachment::Markup`].
    pub markup: bool,
}

impl AgentCapabilities {
    /// All three in one.
    pub const fn new(dedicated: bool, bridge: bool, markup: bool) -> Self {
        Self {
            dedicated,
            bridge,
            markup,
        }
    }
}

/// A voice-agent platform.
#[async_trait]
pub trait VoiceAgentProvider: fmt::Debug + Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> ProviderName;

    /// What it can do.
    fn capabilities(&self) -> AgentCapabilities;

    /// Its webhooks.
    fn webhook(&self) -> Option<&dyn AgentWebhook>;

    /// Makes what all shared agents run on, so that the first call does not wait for it. Safe to repeat.
    async fn warm_up(&self) -> Result<(), ProviderError>;

    /// Makes the agent's object at the platform or brings `existing` up to date. Carries the agent's id at the
    /// platform, so that a repeat after an ambiguous failure finds what the first try made.
    async fn ensure_agent(
        &self,
        agent: &AgentSpec,
        existing: Option<&ProviderAgentId>,
    ) -> Result<ProviderAgentId, ProviderError>;

    /// Deletes the agent's object.
    async fn delete_agent(&self, id: &ProviderAgentId) -> Result<Removal, ProviderError>;

    /// The agent at the platform; `None` when it has no such agent.
    async fn find_agent(&self, id: &ProviderAgentId) -> Result<Option<ProviderAgent>, ProviderError>;

    /// All agents at the platform, page by page.
    async fn list_agents(&self, page: Option<&str>) -> Result<ProviderPage<ProviderAgent>, ProviderError>;

    /// Whether all shared agents run on this one. A platform without such an agent has none.
    fn is_shared(&self, agent: &ProviderAgent) -> bool {
        let _ = agent;
        false
    }

    /// Whether calls go over our media bridge: then [`attach`](Self::attach) is not asked, and nothing external
    /// stands between a call's webhook and its answer.
    fn bridges(&self) -> bool;

    /// Connects the call in the platform's own way.
    async fn attach(&self, call: &CallContext) -> Result<Attachment, ProviderError>;

    /// Opens the conversation's socket. Its first event of substance is [`AgentEvent::Ready`].
    async fn open(&self, call: &CallContext) -> Result<BoxAgentSession, ProviderError>;

    /// The record of a conversation, for when its webhook was lost.
    async fn conversation(&self, id: &ConversationId) -> Result<Conversation, ProviderError>;
}
