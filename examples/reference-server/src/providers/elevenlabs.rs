//! ElevenLabs: the platform that agents run on.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;
use voice_saas_core::{VoiceSaasBuilder, provider::voice_agent::ProviderAgentId};
use voice_saas_providers::elevenlabs::{AttachMode, ElevenLabs};

use super::{Emulated, Keys, complete, webhook};
use crate::{
    Failure,
    settings::{Settings, SettingsError},
};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ElevenLabsKeys {
    api_key: SecretString,
    webhook_secret: SecretString,
}

impl Keys for ElevenLabsKeys {
    const NAME: &'static str = "ElevenLabs";

    fn given(settings: &Settings) -> Result<Option<Self>, SettingsError> {
        let (key, secret) = (&settings.elevenlabs_api_key, &settings.elevenlabs_webhook_secret);
        let given = [
            ("ELEVENLABS_API_KEY", key.is_some()),
            ("ELEVENLABS_WEBHOOK_SECRET", secret.is_some()),
        ];
        complete(Self::NAME, &given)?;
        let keys = key.clone().zip(secret.clone());
        Ok(keys.map(|(api_key, webhook_secret)| Self {
            api_key,
            webhook_secret,
        }))
    }

    fn emulated(emulator: &Emulated) -> Result<Self, serde_json::Error> {
        emulator.credentials("elevenlabs")
    }

    fn report(&self, public_url: &Url) -> Option<(&'static str, Url)> {
        let url = webhook(public_url, "elevenlabs/post-call");
        Some(("/_control/post_call_url", url))
    }

    fn add_to(
        self,
        builder: VoiceSaasBuilder,
        settings: &Settings,
        emulator: Option<&Url>,
        _: &Url,
    ) -> Result<VoiceSaasBuilder, Failure> {
        let mut elevenlabs = ElevenLabs::builder(self.api_key)
            .with_webhook_secret(self.webhook_secret)
            .with_attach(attach(settings)?);
        if let Some(url) = settings.elevenlabs_base_url.as_ref().or(emulator) {
            elevenlabs = elevenlabs.with_base_url(url.clone());
        }
        if let Some(agent) = &settings.elevenlabs_agent_id {
            elevenlabs = elevenlabs.with_shared_agent(ProviderAgentId::new(agent.as_str()));
        }
        Ok(builder.with_voice_agents(elevenlabs.build()?))
    }
}

fn attach(settings: &Settings) -> Result<AttachMode, SettingsError> {
    match settings.voice_attach.as_deref() {
        None | Some("bridge") => Ok(AttachMode::Bridge),
        Some("register_call") => Ok(AttachMode::RegisterCall),
        Some(_) => Err(SettingsError::Value {
            setting: "VOICE_ATTACH",
            expected: "bridge or register_call",
        }),
    }
}
