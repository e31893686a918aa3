//! What the routes need besides the library.

use std::{fmt, sync::Arc};

use axum::http::{HeaderName, HeaderValue};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use voice_saas_core::VoiceSaas;

use crate::rate_limit::{Limiters, RateLimits};

/// Requests are small; what is larger is a mistake or an attack.
const BODY_LIMIT: usize = 256 * 1024;

/// A platform's record of an hour-long conversation, with every word's timing, is large.
const RECORD_LIMIT: usize = 32 * 1024 * 1024;

/// What the routes need: the library, and the settings of the HTTP side. Cheap to clone.
///
/// A host with a state of its own implements `FromRef` for it, and may then mount single concepts:
///
/// ```
/// use axum::extract::FromRef;
/// use voice_saas_axum::ApiState;
///
/// #[derive(Clone)]
/// struct Host {
///     api: ApiState,
///     greeting: &'static str,
/// }
///
/// impl FromRef<Host> for ApiState {
///     fn from_ref(host: &Host) -> Self {
///         host.api.clone()
///     }
/// }
///
/// let _ = voice_saas_axum::numbers_router::<Host>();
/// ```
#[derive(Clone)]
pub struct ApiState {
    app: VoiceSaas,
    config: Arc<Config>,
    limiters: Arc<Limiters>,
}

#[derive(Clone)]
struct Config {
    operator_token: Option<SecretString>,
    cors_origins: Vec<HeaderValue>,
    body_limit: usize,
    record_limit: usize,
    client_address_header: Option<HeaderName>,
    banner: Option<String>,
    metrics: Option<PrometheusHandle>,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState")
            .field("app", &self.app)
            .field("operators", &self.config.operator_token.is_some())
            .field("cors_origins", &self.config.cors_origins)
            .finish_non_exhaustive()
    }
}

/// A text is no origin, such as `https://app.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an origin: write a scheme, a host and perhaps a port, such as https://app.example.com, or *"
)]
pub struct InvalidOrigin(String);

impl ApiState {
    /// Without operators and CORS, with the usual limits.
    pub fn new(app: VoiceSaas) -> Self {
        Self {
            app,
            config: Arc::new(Config {
                operator_token: None,
                cors_origins: Vec::new(),
                body_limit: BODY_LIMIT,
                record_limit: RECORD_LIMIT,
                client_address_header: None,
                banner: None,
                metrics: None,
            }),
            limiters: Arc::new(Limiters::new(RateLimits::default())),
        }
    }

    /// Lets operators in who present this token. Without one, nobody is an operator.
    #[must_use]
    pub fn with_operator_token(mut self, token: SecretString) -> Self {
        self.config().operator_token = Some(token);
        self
    }

    /// Lets browsers at these origins use the API; `*` lets all.
    ///
    /// # Errors
    /// `InvalidOrigin`.
    pub fn with_cors_origins<'a>(
        mut self,
        origins: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, InvalidOrigin> {
        self.config().cors_origins = origins.into_iter().map(origin).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Takes request bodies up to this size; 256 KiB unless told otherwise.
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.config().body_limit = bytes;
        self
    }

    /// Takes platforms' records of conversations up to this size; 32 MiB unless told otherwise.
    #[must_use]
    pub fn with_record_limit(mut self, bytes: usize) -> Self {
        self.config().record_limit = bytes;
        self
    }

    /// Other rate limits, or none.
    #[must_use]
    pub fn with_rate_limits(mut self, limits: RateLimits) -> Self {
        self.limiters = Arc::new(Limiters::new(limits));
        self
    }

    /// Takes a client's address from the last entry of this header, such as `x-forwarded-for`. Only for services
    /// behind a proxy that appends to it; otherwise clients choose their own address.
    #[must_use]
    pub fn with_client_address_header(mut self, header: HeaderName) -> Self {
        self.config().client_address_header = Some(header);
        self
    }

    /// Says something about this service on its health pages and in its API document, for instance which
    /// providers are emulated.
    #[must_use]
    pub fn with_banner(mut self, banner: impl Into<String>) -> Self {
        self.config().banner = Some(banner.into());
        self
    }

    /// Shows the metrics of a recorder that the host installed. Without one, the routes install their own.
    #[must_use]
    pub fn with_metrics(mut self, metrics: PrometheusHandle) -> Self {
        self.config().metrics = Some(metrics);
        self
    }

    /// The library.
    pub fn app(&self) -> &VoiceSaas {
        &self.app
    }

    fn config(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }

    pub(crate) fn operator_token(&self) -> Option<&SecretString> {
        self.config.operator_token.as_ref()
    }

    pub(crate) fn cors_origins(&self) -> &[HeaderValue] {
        &self.config.cors_origins
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.config.body_limit
    }

    pub(crate) fn record_limit(&self) -> usize {
        self.config.record_limit
    }

    pub(crate) fn client_address_header(&self) -> Option<&HeaderName> {
        self.config.client_address_header.as_ref()
    }

    pub(crate) fn banner(&self) -> Option<&str> {
        self.config.banner.as_deref()
    }

    pub(crate) fn metrics(&self) -> Option<&PrometheusHandle> {
        self.config.metrics.as_ref()
    }

    pub(crate) fn limiters(&self) -> &Limiters {
        &self.limiters
    }
}

fn origin(text: &str) -> Result<HeaderValue, InvalidOrigin> {
    let invalid = || InvalidOrigin(text.to_owned());
    let is_origin = text == "*"
        || url::Url::parse(text)
            .is_ok_and(|url| url.has_host() && url.origin().ascii_serialization() == text);
    if is_origin {
        HeaderValue::from_str(text).map_err(|_| invalid())
    } else {
        Err(invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_and_a_host_and_nothing_behind_them() {
        for right in ["https://app.example.com", "http://localhost:3000", "*"] {
            assert!(origin(right).is_ok(), "{right}");
        }
        for wrong in [
            "app.example.com",
            "https://app.example.com/",
            "https://a.example/x",
            "null",
            "",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
