//! The emulator of the providers that are not real: one that runs elsewhere, or this process's own. Both are talked to
//! over HTTP.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;
use voice_saas_providers::emulator::{Emulator, EmulatorConfig};

use crate::{Failure, settings::Settings, story};

/// A running emulator.
#[derive(Debug)]
pub(super) struct Emulated {
    pub(super) url: Url,
    /// When this process runs it.
    pub(super) here: Option<Emulator>,
    /// What exists at each provider, by its name; its credentials too.
    state: Value,
}

impl Emulated {
    pub(super) async fn find_or_start(settings: &Settings) -> Result<Self, Failure> {
        let here = match &settings.emulator_url {
            Some(_) => None,
            None => Some(start(settings).await?),
        };
        let url = match (&settings.emulator_url, &here) {
            (Some(elsewhere), _) => elsewhere.clone(),
            (None, Some(here)) => here.url().clone(),
            (None, None) => return Err("no emulator runs".into()),
        };
        let state = story::get(&story::client()?, url.join("/_control/state")?).await?;
        Ok(Self { url, here, state })
    }

    /// What opens a provider.
    pub(super) fn credentials<T: DeserializeOwned>(&self, provider: &str) -> Result<T, serde_json::Error> {
        T::deserialize(&self.state[provider])
    }
}

/// Starts the emulator where the settings say.
pub(crate) async fn start(settings: &Settings) -> Result<Emulator, Failure> {
    let addr = settings
        .emulator_addr
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8089)));
    Ok(Emulator::start(EmulatorConfig::new(addr)).await?)
}

/// Tells it what to call.
pub(super) async fn report(emulator: &Url, control: &str, url: &Url) -> Result<(), Failure> {
    let body = json!({ "url": url });
    let _: Value = story::post(&story::client()?, emulator.join(control)?, None, &body).await?;
    Ok(())
}
