//! Twilio: the carrier that numbers are bought from.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;
use voice_saas_core::VoiceSaasBuilder;
use voice_saas_providers::twilio::Twilio;

use super::{Emulated, Keys, complete};
use crate::{
    Failure,
    settings::{Settings, SettingsError},
};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct TwilioKeys {
    account_sid: String,
    auth_token: SecretString,
}

impl Keys for TwilioKeys {
    const NAME: &'static str = "Twilio";

    fn given(settings: &Settings) -> Result<Option<Self>, SettingsError> {
        let (sid, token) = (&settings.twilio_account_sid, &settings.twilio_auth_token);
        let given = [
            ("TWILIO_ACCOUNT_SID", sid.is_some()),
            ("TWILIO_AUTH_TOKEN", token.is_some()),
        ];
        complete(Self::NAME, &given)?;
        let keys = sid.clone().zip(token.clone());
        Ok(keys.map(|(account_sid, auth_token)| Self {
            account_sid,
            auth_token,
        }))
    }

    fn emulated(emulator: &Emulated) -> Result<Self, serde_json::Error> {
        emulator.credentials("twilio")
    }

    /// Every number says what its calls are reported to.
    fn report(&self, _: &Url) -> Option<(&'static str, Url)> {
        None
    }

    fn add_to(
        self,
        builder: VoiceSaasBuilder,
        settings: &Settings,
        emulator: Option<&Url>,
        public_url: &Url,
    ) -> Result<VoiceSaasBuilder, Failure> {
        let mut twilio =
            Twilio::builder(self.account_sid, self.auth_token).with_public_url(public_url.clone());
        if let Some(url) = settings.twilio_base_url.as_ref().or(emulator) {
            twilio = twilio.with_base_url(url.clone());
        }
        Ok(builder.with_telephony(twilio.build()?))
    }
}
