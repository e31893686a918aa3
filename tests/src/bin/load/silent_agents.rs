//! A voice-agent platform whose agents never come to the phone.

use async_trait::async_trait;
use voice_saas_core::provider::{
    ErrorKind, ProviderError, ProviderName,
    telephony::{ProviderPage, Removal},
    voice_agent::{
        AgentCapabilities, AgentSpec, AgentWebhook, Attachment, BoxAgentSession, CallContext, Conversation,
        ConversationId, ProviderAgent, ProviderAgentId, VoiceAgentProvider,
    },
};
use voice_saas_providers::elevenlabs;

/// Stands where the real platform stands: calls go over the media bridge, and opening a conversation takes for ever.
/// So a webhook costs what the library does for it and no more.
#[derive(Debug)]
pub(crate) struct SilentAgents;

impl SilentAgents {
    fn refuse<T>(operation: &'static str) -> Result<T, ProviderError> {
        Err(ProviderError::new(
            elevenlabs::NAME,
            operation,
            ErrorKind::Unsupported,
        ))
    }
}

#[async_trait]
impl VoiceAgentProvider for SilentAgents {
    fn name(&self) -> ProviderName {
        elevenlabs::NAME
    }

    fn capabilities(&self) -> AgentCapabilities {
        AgentCapabilities::new(false, true, false)
    }

    fn webhook(&self) -> Option<&dyn AgentWebhook> {
        None
    }

    async fn warm_up(&self) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn ensure_agent(
        &self,
        _: &AgentSpec,
        _: Option<&ProviderAgentId>,
    ) -> Result<ProviderAgentId, ProviderError> {
        Self::refuse("make an agent")
    }

    async fn delete_agent(&self, _: &ProviderAgentId) -> Result<Removal, ProviderError> {
        Self::refuse("delete an agent")
    }

    async fn find_agent(&self, _: &ProviderAgentId) -> Result<Option<ProviderAgent>, ProviderError> {
        Self::refuse("find an agent")
    }

    async fn list_agents(&self, _: Option<&str>) -> Result<ProviderPage<ProviderAgent>, ProviderError> {
        Self::refuse("list the agents")
    }

    fn bridges(&self) -> bool {
        true
    }

    async fn attach(&self, _: &CallContext) -> Result<Attachment, ProviderError> {
        Ok(Attachment::Bridge)
    }

    async fn open(&self, _: &CallContext) -> Result<BoxAgentSession, ProviderError> {
        std::future::pending().await
    }

    async fn conversation(&self, _: &ConversationId) -> Result<Conversation, ProviderError> {
        Self::refuse("read a conversation")
    }
}
