//! LiveKit: the media side of SIP trunks. Calls come over the media bridge all the same, unless a number was given a
//! trunk.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;
use voice_saas_core::{VoiceSaasBuilder, trunk::SipMedia};
use voice_saas_providers::livekit::{self, LiveKit, SipTransport};

use super::{Emulated, Keys, complete, webhook};
use crate::{
    Failure,
    settings::{Settings, SettingsError},
};

/// The name under which the agent's workers register at LiveKit unless told otherwise.
const AGENT_NAME: &str = "voice-agent";
/// Nobody calls the emulated LiveKit through it.
const EMULATED_SIP_HOST: &str = "sip.livekit.invalid";

#[derive(Debug, Clone)]
pub(super) struct LiveKitKeys {
    url: Url,
    api_key: String,
    api_secret: SecretString,
    sip_host: String,
}

impl LiveKitKeys {
    /// Where calls go by SIP.
    pub(super) fn sip(&self, agent_name: Option<&str>) -> SipMedia {
        let agent_name = agent_name.unwrap_or(AGENT_NAME);
        SipMedia::new(livekit::NAME.as_str(), &self.sip_host, agent_name)
    }
}

impl Keys for LiveKitKeys {
    const NAME: &'static str = "LiveKit";

    fn given(settings: &Settings) -> Result<Option<Self>, SettingsError> {
        let (url, key) = (&settings.livekit_url, &settings.livekit_api_key);
        let (secret, host) = (&settings.livekit_api_secret, &settings.livekit_sip_host);
        let given = [
            ("LIVEKIT_URL", url.is_some()),
            ("LIVEKIT_API_KEY", key.is_some()),
            ("LIVEKIT_API_SECRET", secret.is_some()),
            ("LIVEKIT_SIP_HOST", host.is_some()),
        ];
        complete(Self::NAME, &given)?;
        let (Some(url), Some(api_key), Some(api_secret), Some(sip_host)) = (url, key, secret, host) else {
            return Ok(None);
        };
        Ok(Some(Self {
            url: url.clone(),
            api_key: api_key.clone(),
            api_secret: api_secret.clone(),
            sip_host: sip_host.clone(),
        }))
    }

    fn emulated(emulator: &Emulated) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct State {
            api_key: String,
            api_secret: SecretString,
        }
        let state: State = emulator.credentials("livekit")?;
        Ok(Self {
            url: emulator.url.clone(),
            api_key: state.api_key,
            api_secret: state.api_secret,
            sip_host: EMULATED_SIP_HOST.to_owned(),
        })
    }

    fn report(&self, public_url: &Url) -> Option<(&'static str, Url)> {
        let url = webhook(public_url, "livekit");
        Some(("/_control/livekit/webhook_url", url))
    }

    fn add_to(
        self,
        builder: VoiceSaasBuilder,
        settings: &Settings,
        emulator: Option<&Url>,
        _: &Url,
    ) -> Result<VoiceSaasBuilder, Failure> {
        let mut livekit =
            LiveKit::builder(self.url, self.api_key, self.api_secret).with_sip_host(self.sip_host);
        if let Some(url) = settings.livekit_base_url.as_ref().or(emulator) {
            livekit = livekit.with_base_url(url.clone());
        }
        if keeps_outbound_trunks(settings)? {
            livekit = livekit.with_stored_outbound_trunk(SipTransport::Auto, None);
        }
        Ok(builder.with_telephony(livekit.build()?))
    }
}

fn keeps_outbound_trunks(settings: &Settings) -> Result<bool, SettingsError> {
    match settings.livekit_outbound.as_deref() {
        None | Some("inline") => Ok(false),
        Some("stored") => Ok(true),
        Some(_) => Err(SettingsError::Value {
            setting: "LIVEKIT_OUTBOUND",
            expected: "inline or stored",
        }),
    }
}
