//! The providers: real where credentials are set, emulated where not.

use std::net::SocketAddr;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;
use voice_saas_core::VoiceSaasBuilder;
use voice_saas_providers::{
    elevenlabs::{AttachMode, ElevenLabs},
    emulator::{Emulator, EmulatorConfig},
    twilio::Twilio,
};

use crate::{
    Failure,
    settings::{Settings, SettingsError},
};

/// Which providers are real, and the emulator of the others.
#[derive(Debug)]
pub(crate) struct Providers {
    pub(crate) twilio_is_real: bool,
    pub(crate) elevenlabs_is_real: bool,
    /// Where the emulated providers are, if any is emulated.
    pub(crate) emulator_url: Option<Url>,
    /// The emulator, when this process runs it.
    pub(crate) emulator: Option<Emulator>,
    credentials: Option<EmulatorCredentials>,
}

/// What an emulator hands out to those who would talk to it.
#[derive(Debug, Clone)]
struct EmulatorCredentials {
    account_sid: String,
    auth_token: SecretString,
    api_key: SecretString,
    webhook_secret: SecretString,
}

impl Providers {
    /// Starts or finds the emulator, if any provider needs it.
    pub(crate) async fn new(settings: &Settings) -> Result<Self, Failure> {
        let twilio_is_real = settings.twilio()?.is_some();
        let elevenlabs_is_real = settings.elevenlabs()?.is_some();
        let mut this = Self {
            twilio_is_real,
            elevenlabs_is_real,
            emulator_url: None,
            emulator: None,
            credentials: None,
        };
        if twilio_is_real && elevenlabs_is_real {
            return Ok(this);
        }
        if let Some(url) = &settings.emulator_url {
            this.credentials = Some(ask(url).await?);
            this.emulator_url = Some(url.clone());
            return Ok(this);
        }
        let addr = settings
            .emulator_addr
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8089)));
        let emulator = Emulator::start(EmulatorConfig::new(addr)).await?;
        this.credentials = Some(EmulatorCredentials {
            account_sid: emulator.twilio_account_sid().to_owned(),
            auth_token: emulator.twilio_auth_token().clone(),
            api_key: emulator.elevenlabs_api_key().clone(),
            webhook_secret: emulator.elevenlabs_webhook_secret().clone(),
        });
        this.emulator_url = Some(emulator.url().clone());
        this.emulator = Some(emulator);
        Ok(this)
    }

    /// Gives the library its providers, and tells the emulator where to report.
    pub(crate) fn add_to(
        &self,
        mut builder: VoiceSaasBuilder,
        settings: &Settings,
        public_url: &Url,
    ) -> Result<VoiceSaasBuilder, Failure> {
        let emulated = || self.credentials.clone().zip(self.emulator_url.clone());

        let mut twilio = match settings.twilio()? {
            Some((sid, token)) => Twilio::builder(sid, token.clone()),
            None => {
                let (emulator, url) = emulated().ok_or("no emulator runs")?;
                Twilio::builder(emulator.account_sid, emulator.auth_token).with_base_url(url)
            }
        };
        twilio = twilio.with_public_url(public_url.clone());
        if let Some(url) = &settings.twilio_base_url {
            twilio = twilio.with_base_url(url.clone());
        }
        builder = builder.with_telephony(twilio.build()?);

        let mut elevenlabs = match settings.elevenlabs()? {
            Some((key, secret)) => ElevenLabs::builder(key.clone()).with_webhook_secret(secret.clone()),
            None => {
                let (emulator, url) = emulated().ok_or("no emulator runs")?;
                ElevenLabs::builder(emulator.api_key)
                    .with_webhook_secret(emulator.webhook_secret)
                    .with_base_url(url)
            }
        };
        if let Some(url) = &settings.elevenlabs_base_url {
            elevenlabs = elevenlabs.with_base_url(url.clone());
        }
        if let Some(agent) = &settings.elevenlabs_agent_id {
            elevenlabs = elevenlabs.with_shared_agent(
                voice_saas_core::provider::voice_agent::ProviderAgentId::new(agent.as_str()),
            );
        }
        elevenlabs = match settings.voice_attach.as_deref() {
            None | Some("bridge") => elevenlabs.with_attach(AttachMode::Bridge),
            Some("register_call") => elevenlabs.with_attach(AttachMode::RegisterCall),
            Some(_) => {
                let wrong = SettingsError::Value {
                    setting: "VOICE_ATTACH",
                    expected: "bridge or register_call",
                };
                return Err(wrong.into());
            }
        };
        Ok(builder.with_voice_agents(elevenlabs.build()?))
    }
}

impl Providers {
    /// Tells the emulator where to report conversations; at the real platform, that is set by hand.
    pub(crate) async fn report_to(&self, public_url: &Url) -> Result<(), Failure> {
        let url = join(public_url, "webhooks/elevenlabs/post-call");
        match (&self.emulator, &self.emulator_url) {
            (Some(here), _) => here.set_post_call_url(url),
            (None, Some(elsewhere)) => {
                let _: serde_json::Value = crate::story::post(
                    &crate::story::client()?,
                    elsewhere.join("/_control/post_call_url")?,
                    None,
                    &serde_json::json!({ "url": url }),
                )
                .await?;
            }
            (None, None) => {}
        }
        Ok(())
    }
}

fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

#[derive(Deserialize)]
struct State {
    twilio: TwilioState,
    elevenlabs: ElevenLabsState,
}

#[derive(Deserialize)]
struct TwilioState {
    account_sid: String,
    auth_token: SecretString,
}

#[derive(Deserialize)]
struct ElevenLabsState {
    api_key: SecretString,
    webhook_secret: SecretString,
}

/// Asks an emulator that runs elsewhere for its credentials.
async fn ask(url: &Url) -> Result<EmulatorCredentials, Failure> {
    let client = crate::story::client()?;
    let state: State = crate::story::get(&client, url.join("/_control/state")?).await?;
    let credentials = EmulatorCredentials {
        account_sid: state.twilio.account_sid,
        auth_token: state.twilio.auth_token,
        api_key: state.elevenlabs.api_key,
        webhook_secret: state.elevenlabs.webhook_secret,
    };
    if credentials.auth_token.expose_secret().is_empty() {
        return Err("the emulator has no credentials to give".into());
    }
    Ok(credentials)
}
