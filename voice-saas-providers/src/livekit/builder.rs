//! Putting the adapter together.

use std::{fmt, time::Duration};

use url::Url;
use voice_saas_core::{
    phone::Country,
    provider::{ErrorKind, ProviderError},
    secret::{ExposeSecret, SecretString},
};

use super::{
    LiveKit, NAME, Outbound, SipTransport,
    token::Keys,
    twirp::{self, Twirp},
    webhook::Webhook,
};
use crate::http::{Client, RetryPolicy};

/// Builds a [`LiveKit`].
pub struct LiveKitBuilder {
    url: Url,
    keys: Keys,
    webhook_keys: Vec<Keys>,
    sip_host: Option<String>,
    outbound: Option<Outbound>,
    retry: RetryPolicy,
    concurrency: usize,
}

impl fmt::Debug for LiveKitBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveKitBuilder")
            .field("host", &self.url.host_str())
            .field("keys", &self.keys)
            .field("webhook_keys", &self.webhook_keys)
            .field("sip_host", &self.sip_host)
            .field("outbound", &self.outbound)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl LiveKitBuilder {
    pub(super) fn new(url: Url, key: String, secret: SecretString) -> Self {
        Self {
            url,
            keys: Keys { key, secret },
            webhook_keys: Vec::new(),
            sip_host: None,
            outbound: None,
            retry: RetryPolicy::default(),
            concurrency: 20,
        }
    }

    /// Replaces the URL in every request: a region (`GET /settings/regions`), or a server for tests.
    #[must_use]
    pub fn with_base_url(mut self, url: Url) -> Self {
        self.url = url;
        self
    }

    /// The host of the project's SIP URI (page `telephony/start/sip-trunk-setup`). It follows from neither the URL nor
    /// the key: it is the project's id without `p_`, below `sip.livekit.cloud`.
    #[must_use]
    pub fn with_sip_host(mut self, host: impl Into<String>) -> Self {
        self.sip_host = Some(host.into());
        self
    }

    /// Keeps an outbound trunk at LiveKit for every trunk whose order names a peer. By default none is kept, and each
    /// call brings its carrier along: nothing to leak, nothing to clean up. `country` is where its calls go, which
    /// LiveKit Cloud routes by and its documentation asks for.
    #[must_use]
    pub fn with_stored_outbound_trunk(mut self, transport: SipTransport, country: Option<Country>) -> Self {
        self.outbound = Some(Outbound { transport, country });
        self
    }

    /// Accepts webhooks signed with this key too: LiveKit signs with the key that is chosen where the webhook is
    /// configured, and keys are rotated.
    #[must_use]
    pub fn with_webhook_key(mut self, key: impl Into<String>, secret: SecretString) -> Self {
        self.webhook_keys.push(Keys {
            key: key.into(),
            secret,
        });
        self
    }

    /// When requests are sent again. Dialling never is.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How many requests may be under way at a time, by default 20. A dial that waits for its answer is one.
    #[must_use]
    pub fn with_concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// Puts it together, without asking the network.
    ///
    /// # Errors
    /// `Invalid` when the URL has another scheme than `ws`, `wss`, `http` or `https`, a key or a secret is empty, or
    /// the SIP host is more than a host.
    pub fn build(self) -> Result<LiveKit, ProviderError> {
        let wrong =
            |detail| Err(ProviderError::new(NAME, "be configured", ErrorKind::Invalid).with_detail(detail));
        let keys: Vec<_> = std::iter::once(self.keys.clone())
            .chain(self.webhook_keys)
            .collect();
        if keys
            .iter()
            .any(|keys| keys.key.is_empty() || keys.secret.expose_secret().is_empty())
        {
            return wrong("an API key or its secret is empty");
        }
        if self.sip_host.as_deref().is_some_and(|host| !is_sip_host(host)) {
            return wrong("the SIP host is not a host, or host and port");
        }
        let client = Client::builder(NAME, requests_url(&self.url))
            .with_retry(self.retry)
            .with_timeout(Duration::from_secs(10))
            .with_concurrency(self.concurrency)
            .with_classifier(twirp::classify)
            .build()?;
        Ok(LiveKit {
            twirp: Twirp {
                client,
                keys: self.keys,
            },
            webhook: Webhook::new(keys),
            sip_host: self.sip_host,
            outbound: self.outbound,
        })
    }
}

/// LiveKit hands out the address of its socket; requests go to the same host.
fn requests_url(url: &Url) -> Url {
    let text = url.as_str();
    let requests = match url.scheme() {
        "ws" | "wss" => Url::parse(&text.replacen("ws", "http", 1)),
        _ => return url.clone(),
    };
    requests.unwrap_or_else(|_| url.clone())
}

/// LiveKit refuses URIs and parameters where it wants a host (page `reference/telephony/sip-api`).
pub(super) fn is_sip_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
        && !text.starts_with("sip:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn builder(address: &str) -> LiveKitBuilder {
        LiveKit::builder(url(address), "devkey", "secret".into())
    }

    #[track_caller]
    fn refused(builder: LiveKitBuilder, because: &str) {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.detail().unwrap().contains(because), "{error:?}");
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_sent() {
        refused(LiveKit::builder(url("ws://h"), "", "s".into()), "empty");
        refused(LiveKit::builder(url("ws://h"), "k", "".into()), "empty");
        refused(builder("ws://h").with_webhook_key("k", "".into()), "empty");
        refused(builder("ftp://h"), "base URL");
        for host in ["", "sip:h", "h;transport=tls", "user@h"] {
            refused(builder("ws://h").with_sip_host(host), "SIP host");
        }
    }

    #[test]
    fn the_address_of_the_socket_is_the_address_of_the_requests() {
        for (given, expected) in [
            ("wss://p.livekit.cloud", "https://p.livekit.cloud/"),
            ("ws://localhost:7880/base", "http://localhost:7880/base"),
            ("https://h", "https://h/"),
            ("http://h", "http://h/"),
        ] {
            assert_eq!(requests_url(&url(given)).as_str(), expected);
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let builder = LiveKit::builder(url("wss://u:hunter1@h"), "devkey", "hunter2".into())
            .with_webhook_key("other", "hunter3".into());
        let printed = [format!("{builder:?}"), format!("{:?}", builder.build().unwrap())].concat();
        assert!(!printed.contains("hunter"), "{printed}");
        assert!(
            printed.contains("devkey") && printed.contains("other"),
            "{printed}"
        );
    }
}
