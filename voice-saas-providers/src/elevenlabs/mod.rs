//! ElevenLabs Agents: conversations with an AI agent over the phone.
//!
//! Two ways to carry a call: [`AttachMode::Bridge`] (our media bridge speaks to the agents socket) and
//! [`AttachMode::RegisterCall`] (the platform answers with TwiML and carries the audio itself). Either way an agent
//! runs on one shared agent of the platform, to which each call brings its prompt, greeting, language, voice and
//! variables, or on one of its own ([`Binding`](voice_saas_core::provider::voice_agent::Binding)).
//!
//! ```
//! use voice_saas_core::{provider::voice_agent::VoiceAgentProvider, secret::SecretString};
//! use voice_saas_providers::elevenlabs::ElevenLabs;
//!
//! let agents = ElevenLabs::builder(SecretString::from("sk_…"))
//!     .with_webhook_secret(SecretString::from("wsec_…"))
//!     .with_llm("gemini-2.5-flash")
//!     .build()?;
//! assert!(agents.capabilities().bridge);
//! # Ok::<(), voice_saas_core::provider::ProviderError>(())
//! ```
//!
//! Tools that an operator gives an agent authenticate a call by a header filled from [`CALL_TOKEN`] and name it by
//! [`CALL_ID`].

mod agents;
mod attach;
mod builder;
mod conversation;
mod error;
mod initiation;
mod session;
mod variables;
mod webhook;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use voice_saas_core::{
    provider::{
        ProviderError, ProviderName,
        telephony::{ProviderPage, Removal},
        voice_agent::{
            AgentCapabilities, AgentSpec, AgentWebhook, Attachment, BoxAgentSession, CallContext,
            Conversation, ConversationId, ProviderAgent, ProviderAgentId, VoiceAgentProvider,
        },
    },
    secret::SecretString,
};

pub use self::{
    agents::SHARED_AGENT_NAME,
    attach::AttachMode,
    builder::ElevenLabsBuilder,
    session::{AgentSocket, SessionConnector},
    variables::{CALL_ID, CALL_REFERENCE, CALL_TOKEN, CALLED_NUMBER, CALLER_NUMBER},
    webhook::{INITIATION_HEADER, SIGNATURE_HEADER, sign_for_tests},
};
use crate::http::{Client, Request};

/// How this provider is called in records and logs.
pub const NAME: ProviderName = ProviderName::new("elevenlabs");

/// ElevenLabs Agents, in one workspace.
#[derive(Debug)]
pub struct ElevenLabs {
    client: Client,
    sockets: SessionConnector,
    attach: AttachMode,
    defaults: agents::Defaults,
    shared: OnceCell<ProviderAgentId>,
    webhook: webhook::Webhook,
}

impl ElevenLabs {
    /// Begins with the workspace's API key.
    pub fn builder(api_key: SecretString) -> ElevenLabsBuilder {
        ElevenLabsBuilder::new(api_key)
    }
}

#[async_trait]
impl VoiceAgentProvider for ElevenLabs {
    fn name(&self) -> ProviderName {
        NAME
    }

    fn capabilities(&self) -> AgentCapabilities {
        AgentCapabilities::new(true, true, self.attach == AttachMode::RegisterCall)
    }

    fn webhook(&self) -> Option<&dyn AgentWebhook> {
        Some(&self.webhook)
    }

    async fn warm_up(&self) -> Result<(), ProviderError> {
        self.shared_agent().await.map(drop)
    }

    async fn ensure_agent(
        &self,
        agent: &AgentSpec,
        existing: Option<&ProviderAgentId>,
    ) -> Result<ProviderAgentId, ProviderError> {
        self.ensure(agent, existing).await
    }

    async fn delete_agent(&self, id: &ProviderAgentId) -> Result<Removal, ProviderError> {
        self.delete(id).await
    }

    async fn find_agent(&self, id: &ProviderAgentId) -> Result<Option<ProviderAgent>, ProviderError> {
        self.fetch(id).await
    }

    async fn list_agents(&self, page: Option<&str>) -> Result<ProviderPage<ProviderAgent>, ProviderError> {
        self.list(page).await
    }

    fn is_shared(&self, agent: &ProviderAgent) -> bool {
        agent.name == SHARED_AGENT_NAME
    }

    fn bridges(&self) -> bool {
        self.attach == AttachMode::Bridge
    }

    async fn attach(&self, call: &CallContext) -> Result<Attachment, ProviderError> {
        self.attach_call(call).await
    }

    async fn open(&self, call: &CallContext) -> Result<BoxAgentSession, ProviderError> {
        Ok(Box::pin(self.open_socket(call).await?))
    }

    async fn conversation(&self, id: &ConversationId) -> Result<Conversation, ProviderError> {
        let path = format!("/v1/convai/conversations/{}", segment(id.as_str()));
        let request = Request::get("read a conversation", path);
        let record: conversation::Record = self.client.send(request).await?.json()?;
        Ok(record.into())
    }
}

/// An id as one segment of a path, whatever the platform puts into its ids.
fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

#[cfg(test)]
mod tests;
