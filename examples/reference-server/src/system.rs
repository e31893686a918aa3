//! The library put together from the settings, and the address that it listens on.

use std::{net::SocketAddr, path::Path};

use tokio::net::TcpListener;
use url::Url;
use voice_saas_axum::ApiState;
use voice_saas_core::{VoiceSaas, ledger::RateTable, plan::Catalogue};

use crate::{
    Failure,
    keys::{self, Keys},
    providers::Providers,
    settings::Settings,
};

/// Everything that runs in this process.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) app: VoiceSaas,
    pub(crate) listener: TcpListener,
    pub(crate) local_url: Url,
    pub(crate) public_url: Url,
    pub(crate) providers: Providers,
    pub(crate) keys: Keys,
}

impl System {
    /// Binds, connects and puts together; nothing is served yet.
    pub(crate) async fn new(settings: &Settings) -> Result<Self, Failure> {
        let addr = settings
            .bind_addr
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        let keys = keys::keys(settings)?;
        let store = voice_saas_providers::sql::connect(&settings.database_url()).await?;
        let providers = Providers::new(settings).await?;
        let listener = TcpListener::bind(addr)
            .await
            .map_err(|error| format!("cannot listen on {addr}: {error}"))?;
        let local_url = local_url(listener.local_addr()?)?;
        let public_url = settings.public_url.clone().unwrap_or_else(|| local_url.clone());

        let mut limits = settings.limits();
        limits.sip = providers.sip(settings);
        let mut builder =
            VoiceSaas::builder(store, keys.secret_key.clone(), public_url.clone()).with_settings(limits);
        if let Some(path) = &settings.plans_file {
            builder = builder.with_plans(Catalogue::from_toml(&read(path)?)?);
        }
        if let Some(path) = &settings.rates_file {
            builder = builder.with_rates(RateTable::from_toml(&read(path)?)?);
        }
        providers.report_to(&public_url).await?;
        let app = providers.add_to(builder, settings, &public_url)?.build();
        Ok(Self {
            app,
            listener,
            local_url,
            public_url,
            providers,
            keys,
        })
    }

    /// What the routes need besides the library.
    pub(crate) fn api(&self, settings: &Settings) -> Result<ApiState, Failure> {
        let mut api = ApiState::new(self.app.clone());
        if let Some(token) = &self.keys.operator_token {
            api = api.with_operator_token(token.clone());
        }
        if let Some(origins) = &settings.cors_origins {
            let origins = origins
                .split(',')
                .map(str::trim)
                .filter(|origin| !origin.is_empty());
            api = api.with_cors_origins(origins)?;
        }
        Ok(api)
    }
}

/// What the file holds.
fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Where a browser on this machine finds what listens on `addr`.
fn local_url(addr: SocketAddr) -> Result<Url, url::ParseError> {
    let host = if addr.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        addr.ip().to_string()
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    Url::parse(&format!("http://{host}:{}", addr.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_everybody_is_reached_at_the_loopback() {
        for (addr, url) in [
            ("0.0.0.0:8080", "http://127.0.0.1:8080/"),
            ("192.0.2.7:80", "http://192.0.2.7/"),
            ("[::1]:8080", "http://[::1]:8080/"),
        ] {
            assert_eq!(local_url(addr.parse().unwrap()).unwrap().as_str(), url);
        }
    }
}
