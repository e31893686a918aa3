//! Knowlarity: a second carrier, whose numbers are imported, or taken from a plan.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;
use voice_saas_core::VoiceSaasBuilder;
use voice_saas_providers::knowlarity::Knowlarity;

use super::{Emulated, Keys, complete, webhook};
use crate::{
    Failure,
    settings::{Settings, SettingsError},
};

#[derive(Debug, Clone)]
pub(super) struct KnowlarityKeys {
    authorization: SecretString,
    api_key: SecretString,
    plan: Option<String>,
    webhook_secret: Option<SecretString>,
}

impl Keys for KnowlarityKeys {
    const NAME: &'static str = "Knowlarity";

    fn given(settings: &Settings) -> Result<Option<Self>, SettingsError> {
        let (authorization, key) = (&settings.knowlarity_authorization, &settings.knowlarity_api_key);
        let given = [
            ("KNOWLARITY_AUTHORIZATION", authorization.is_some()),
            ("KNOWLARITY_API_KEY", key.is_some()),
        ];
        complete(Self::NAME, &given)?;
        let keys = authorization.clone().zip(key.clone());
        Ok(keys.map(|(authorization, api_key)| Self {
            authorization,
            api_key,
            plan: settings.knowlarity_plan_id.clone(),
            webhook_secret: settings.knowlarity_webhook_secret.clone(),
        }))
    }

    fn emulated(emulator: &Emulated) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct State {
            authorization: SecretString,
            api_key: SecretString,
            user_plan_id: String,
        }
        let state: State = emulator.credentials("knowlarity")?;
        Ok(Self {
            authorization: state.authorization,
            // Whichever server asks last says where pushes go; all of them must know the secret.
            webhook_secret: Some(state.api_key.clone()),
            api_key: state.api_key,
            plan: Some(state.user_plan_id),
        })
    }

    fn report(&self, public_url: &Url) -> Option<(&'static str, Url)> {
        use secrecy::ExposeSecret;
        let secret = self.webhook_secret.as_ref()?.expose_secret();
        let url = webhook(public_url, &format!("knowlarity/{secret}"));
        Some(("/_control/knowlarity/push", url))
    }

    fn add_to(
        self,
        builder: VoiceSaasBuilder,
        settings: &Settings,
        emulator: Option<&Url>,
        _: &Url,
    ) -> Result<VoiceSaasBuilder, Failure> {
        let mut knowlarity = Knowlarity::builder(self.authorization, self.api_key);
        if let Some(url) = settings.knowlarity_base_url.as_ref().or(emulator) {
            knowlarity = knowlarity.with_base_url(url.clone());
        }
        if let Some(plan) = self.plan {
            knowlarity = knowlarity.with_plan(plan);
        }
        if let Some(secret) = self.webhook_secret {
            knowlarity = knowlarity.with_webhook_secret(secret);
        }
        Ok(builder.with_telephony(knowlarity.build()?))
    }
}
