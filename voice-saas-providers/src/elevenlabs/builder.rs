//! Putting the adapter together.

use http::HeaderName;
use tokio::sync::OnceCell;
use url::Url;
use voice_saas_core::{
    provider::{ProviderError, voice_agent::ProviderAgentId},
    secret::SecretString,
};

use super::{
    AttachMode, ElevenLabs, NAME, agents::Defaults, error, session::SessionConnector, webhook::Webhook,
};
use crate::http::{Auth, Client, RetryPolicy};

/// The global workspace.
fn default_api() -> Url {
    Url::parse("https://api.elevenlabs.io").expect("a constant that is a URL")
}

/// Builds an [`ElevenLabs`].
#[derive(Debug)]
pub struct ElevenLabsBuilder {
    api_key: SecretString,
    base_url: Option<Url>,
    shared_agent: Option<ProviderAgentId>,
    attach: AttachMode,
    webhook_secrets: Vec<SecretString>,
    initiation_secret: Option<SecretString>,
    llm: Option<String>,
    speech_model: Option<String>,
    voice: Option<String>,
    retry: RetryPolicy,
}

impl ElevenLabsBuilder {
    pub(super) fn new(api_key: SecretString) -> Self {
        Self {
            api_key,
            base_url: None,
            shared_agent: None,
            attach: AttachMode::default(),
            webhook_secrets: Vec::new(),
            initiation_secret: None,
            llm: None,
            speech_model: None,
            voice: None,
            retry: RetryPolicy::default(),
        }
    }

    /// Where the API is: a residency region, or a server for tests. A region is a workspace of its own, with its own
    /// keys and agents. Conversations are opened wherever that API's signed URLs point.
    #[must_use]
    pub fn with_base_url(mut self, base_url: Url) -> Self {
        self.base_url = Some(base_url);
        self
    }

    /// Runs shared agents on this one, as it is. It must speak `ulaw_8000` both ways and allow overriding the first
    /// message, language, prompt and voice. Otherwise the adapter looks for [its own](super::SHARED_AGENT_NAME), brings
    /// it up to date, and makes it when there is none.
    #[must_use]
    pub fn with_shared_agent(mut self, agent: ProviderAgentId) -> Self {
        self.shared_agent = Some(agent);
        self
    }

    /// How calls are connected to their agents.
    #[must_use]
    pub fn with_attach(mut self, attach: AttachMode) -> Self {
        self.attach = attach;
        self
    }

    /// A secret that signs post-call webhooks. Several may be good at a time, while one replaces another.
    #[must_use]
    pub fn with_webhook_secret(mut self, secret: SecretString) -> Self {
        self.webhook_secrets.push(secret);
        self
    }

    /// What the platform sends in [`INITIATION_HEADER`](super::INITIATION_HEADER) when it asks who a call is for.
    /// Also switches that webhook on in every agent that this adapter makes.
    #[must_use]
    pub fn with_initiation_secret(mut self, secret: SecretString) -> Self {
        self.initiation_secret = Some(secret);
        self
    }

    /// The language model of the agents that this adapter makes; otherwise the platform's default.
    #[must_use]
    pub fn with_llm(mut self, llm: impl Into<String>) -> Self {
        self.llm = Some(llm.into());
        self
    }

    /// The speech model of the agents that this adapter makes; otherwise the platform's default. Some models speak
    /// English alone, and some refuse to.
    #[must_use]
    pub fn with_speech_model(mut self, model: impl Into<String>) -> Self {
        self.speech_model = Some(model.into());
        self
    }

    /// The voice of agents that name none; otherwise the platform's default.
    #[must_use]
    pub fn with_voice(mut self, voice: impl Into<String>) -> Self {
        self.voice = Some(voice.into());
        self
    }

    /// When requests are sent again.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Puts it together, without asking the network.
    ///
    /// # Errors
    /// `Invalid` when the base URL is not `http` or `https`, or the key cannot be a header.
    pub fn build(self) -> Result<ElevenLabs, ProviderError> {
        let client = Client::builder(NAME, self.base_url.unwrap_or_else(default_api))
            .with_auth(Auth::Header {
                name: HeaderName::from_static("xi-api-key"),
                value: self.api_key,
            })
            .with_retry(self.retry)
            .with_classifier(error::classify)
            .build()?;
        Ok(ElevenLabs {
            client,
            sockets: SessionConnector::new(),
            attach: self.attach,
            shared: self
                .shared_agent
                .map_or_else(OnceCell::new, |agent| OnceCell::new_with(Some(agent))),
            webhook: Webhook {
                secrets: self.webhook_secrets,
                voice: self.voice.clone(),
                initiation_secret: self.initiation_secret.clone(),
            },
            defaults: Defaults {
                llm: self.llm,
                speech_model: self.speech_model,
                voice: self.voice,
                initiation_webhook: self.initiation_secret.is_some(),
            },
        })
    }
}
