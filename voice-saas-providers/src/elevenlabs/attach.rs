//! Ways into a conversation: register-call and the agents socket.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;
use voice_saas_core::provider::{
    ErrorKind, ProviderError,
    voice_agent::{Attachment, Binding, CallContext, Direction, ProviderAgentId},
};

use super::{ElevenLabs, NAME, initiation::Initiation, session::AgentSocket};
use crate::http::Request;

/// How calls are connected to their agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AttachMode {
    /// Our media bridge carries the audio: live events, barge-in, tools of ours.
    #[default]
    Bridge,
    /// The platform is asked for TwiML (`register-call`) and carries the audio itself. No live events, no hop.
    RegisterCall,
}

/// A caller waits in silence, and the carrier gives us 15 seconds for the answer and its fallback together.
const PATIENCE: Duration = Duration::from_secs(3);

const REGISTER: &str = "register a call";
const SIGN: &str = "get a signed URL";

#[derive(Serialize)]
struct RegisterCall<'a> {
    agent_id: &'a str,
    from_number: &'a str,
    to_number: &'a str,
    direction: Direction,
    conversation_initiation_client_data: Initiation,
}

#[derive(Deserialize)]
struct SignedUrl {
    signed_url: Url,
}

impl ElevenLabs {
    pub(super) async fn attach_call(&self, call: &CallContext) -> Result<Attachment, ProviderError> {
        match self.attach {
            AttachMode::Bridge => Ok(Attachment::Bridge),
            AttachMode::RegisterCall => tokio::time::timeout(PATIENCE, self.register(call))
                .await
                .unwrap_or_else(|_| Err(ProviderError::new(NAME, REGISTER, ErrorKind::TimedOut)))
                .map(Attachment::Markup),
        }
    }

    async fn register(&self, call: &CallContext) -> Result<String, ProviderError> {
        let agent = self.agent_of(call, REGISTER).await?;
        let request = Request::post(REGISTER, "/v1/convai/twilio/register-call")
            .json(&RegisterCall {
                agent_id: agent.as_str(),
                from_number: &call.from,
                to_number: &call.to,
                direction: call.direction,
                conversation_initiation_client_data: Initiation::new(call, self.defaults.voice.as_deref()),
            })
            .accept("text/html");
        let twiml = self.client.send(request).await?.text()?;
        // Whatever else came would be read to the carrier, which would drop the call without our fallback.
        if twiml.trim_start().starts_with('<') {
            Ok(twiml)
        } else {
            Err(ProviderError::new(NAME, REGISTER, ErrorKind::UnexpectedAnswer)
                .with_detail("it is not TwiML"))
        }
    }

    /// A signed URL costs one round trip. That our key would also be taken on the socket itself is not documented,
    /// and a public agent could be talked to by anybody.
    pub(super) async fn open_socket(&self, call: &CallContext) -> Result<AgentSocket, ProviderError> {
        let agent = self.agent_of(call, SIGN).await?;
        let request = Request::get(SIGN, "/v1/convai/conversation/get-signed-url")
            .query("agent_id", agent.as_str())
            // Makes the URL good for one conversation.
            .query("include_conversation_id", true)
            .timeout(PATIENCE);
        let signed: SignedUrl = self.client.send(request).await?.json()?;
        let initiation = Initiation::new(call, self.defaults.voice.as_deref()).into_message();
        self.sockets.connect(&signed.signed_url, &initiation).await
    }

    async fn agent_of<'a>(
        &'a self,
        call: &'a CallContext,
        operation: &'static str,
    ) -> Result<&'a ProviderAgentId, ProviderError> {
        match (call.agent.binding, &call.provider_agent) {
            (Binding::Shared, _) => self.shared_agent().await,
            (Binding::Dedicated, Some(agent)) => Ok(agent),
            (Binding::Dedicated, None) => Err(ProviderError::new(NAME, operation, ErrorKind::NotFound)
                .with_detail("the agent was not made at the platform yet")),
        }
    }
}
