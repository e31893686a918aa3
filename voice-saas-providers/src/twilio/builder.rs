//! Putting the adapter together.

use std::fmt;

use url::Url;
use voice_saas_core::{
    provider::{ErrorKind, ProviderError},
    secret::{ExposeSecret, SecretString},
};

use super::{NAME, Twilio, hosts::Hosts, media::MediaStreams, pricing::Prices, webhook::Webhook};
use crate::http::{Auth, RetryPolicy};

/// Builds a [`Twilio`].
pub struct TwilioBuilder {
    account_sid: String,
    auth_token: SecretString,
    previous_auth_token: Option<SecretString>,
    api_key: Option<(String, SecretString)>,
    pub(super) setup: Setup,
    /// The parent's connections and prices, for a subaccount.
    pub(super) parent: Option<(Hosts, Prices)>,
}

/// What has nothing to do with who asks, and so holds for subaccounts too.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) base_url: Option<Url>,
    pub(super) region: Option<(String, String)>,
    pub(super) public_url: Option<Url>,
    pub(super) retry: RetryPolicy,
    pub(super) concurrency: usize,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("host", &self.base_url.as_ref().and_then(Url::host_str))
            .field("region", &self.region)
            .field("public_host", &self.public_url.as_ref().and_then(Url::host_str))
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TwilioBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioBuilder")
            .field("account_sid", &self.account_sid)
            .field("api_key_sid", &self.api_key.as_ref().map(|(sid, _)| sid))
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}

impl TwilioBuilder {
    pub(super) fn new(account_sid: String, auth_token: SecretString) -> Self {
        Self {
            account_sid,
            auth_token,
            previous_auth_token: None,
            api_key: None,
            setup: Setup {
                base_url: None,
                region: None,
                public_url: None,
                retry: RetryPolicy::default(),
                concurrency: 20,
            },
            parent: None,
        }
    }

    /// Replaces scheme, host and port of every one of Twilio's hosts: a server for tests, a proxy.
    #[must_use]
    pub fn with_base_url(mut self, base_url: Url) -> Self {
        self.setup.base_url = Some(base_url);
        self
    }

    /// Reaches Twilio's hosts at this edge and region, such as `dublin` and `ie1`
    /// (page `global-infrastructure/using-the-twilio-rest-api-in-a-non-us-region`). A region has credentials of its own.
    #[must_use]
    pub fn with_region(mut self, edge: impl Into<String>, region: impl Into<String>) -> Self {
        self.setup.region = Some((edge.into(), region.into()));
        self
    }

    /// What Twilio calls: scheme, host, port and, where a proxy strips one, the path before our own. Webhooks are
    /// signed over it (page `usage/webhooks/webhooks-security`), so without it there is no webhook facet.
    #[must_use]
    pub fn with_public_url(mut self, public_url: Url) -> Self {
        self.setup.public_url = Some(public_url);
        self
    }

    /// Accepts webhooks signed with this token too, while tokens are rotated (page `iam/api/auth-token`).
    #[must_use]
    pub fn with_previous_auth_token(mut self, auth_token: SecretString) -> Self {
        self.previous_auth_token = Some(auth_token);
        self
    }

    /// Sends requests as this API key (`SK…`, page `iam/api-keys`). Webhooks are never signed with a key, so the auth
    /// token is needed all the same.
    #[must_use]
    pub fn with_api_key(mut self, sid: impl Into<String>, secret: SecretString) -> Self {
        self.api_key = Some((sid.into(), secret));
        self
    }

    /// When requests are sent again.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.setup.retry = retry;
        self
    }

    /// How many requests may be under way at each host at a time, by default 20. Above a limit of the account's
    /// Twilio refuses them (page `api/errors/20429`).
    #[must_use]
    pub fn with_concurrency(mut self, requests: usize) -> Self {
        self.setup.concurrency = requests;
        self
    }

    /// Puts it together, without asking the network.
    ///
    /// # Errors
    /// `Invalid` when a SID has not its form, a secret is empty, a URL is not `http` or `https`, or an edge or region is
    /// no part of a host name.
    pub fn build(self) -> Result<Twilio, ProviderError> {
        let wrong =
            |detail| Err(ProviderError::new(NAME, "be configured", ErrorKind::Invalid).with_detail(detail));
        if !is_sid("AC", &self.account_sid) {
            return wrong("the account SID is not AC and 32 hexadecimal digits");
        }
        let tokens = [Some(self.auth_token.clone()), self.previous_auth_token];
        if tokens.iter().flatten().any(is_empty) {
            return wrong("an auth token is empty");
        }
        let (user, password) = match self.api_key {
            Some((sid, _)) if !is_sid("SK", &sid) => {
                return wrong("the API key's SID is not SK and 32 hexadecimal digits");
            }
            Some((_, secret)) if is_empty(&secret) => return wrong("the API key's secret is empty"),
            Some(key) => key,
            None => (self.account_sid.clone(), self.auth_token),
        };
        let webhook = match &self.setup.public_url {
            Some(url) if !matches!(url.scheme(), "http" | "https") => {
                return wrong("the public URL is not http or https");
            }
            Some(url) => Some(Webhook::new(
                &self.account_sid,
                url,
                tokens.into_iter().flatten().collect(),
            )),
            None => None,
        };
        let auth = || Auth::Basic {
            user: user.clone(),
            password: password.clone(),
        };
        let (hosts, prices) = match self.parent {
            Some((hosts, prices)) => (hosts.as_account(&auth())?, prices),
            None => (Hosts::new(&self.setup, auth)?, Prices::default()),
        };
        Ok(Twilio {
            hosts,
            prices,
            setup: self.setup,
            account_sid: self.account_sid,
            webhook,
            media: MediaStreams,
        })
    }
}

pub(super) fn is_sid(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_empty(secret: &SecretString) -> bool {
    secret.expose_secret().is_empty()
}

#[cfg(test)]
mod tests {
    use voice_saas_core::provider::telephony::TelephonyProvider;
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{any, basic_auth},
    };

    use super::*;
    use crate::{http::Request, twilio::fixture::ACCOUNT};

    const KEY: &str = "SK0123456789abcdef0123456789abcdef";

    fn builder() -> TwilioBuilder {
        Twilio::builder(ACCOUNT, "12345".into())
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[track_caller]
    fn refused(builder: TwilioBuilder, because: &str) {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let detail = error.detail().unwrap();
        assert!(detail.contains(because), "{detail}");
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_sent() {
        for sid in [
            "",
            "AC",
            "SK0123456789abcdef0123456789abcdef",
            "AC0123456789abcdef0123456789abcdeg",
        ] {
            refused(Twilio::builder(sid, "12345".into()), "account SID");
        }
        refused(Twilio::builder(ACCOUNT, "".into()), "token");
        refused(builder().with_previous_auth_token("".into()), "token");
        refused(builder().with_api_key(ACCOUNT, "s".into()), "API key's SID");
        refused(builder().with_api_key(KEY, "".into()), "API key's secret");
        refused(builder().with_public_url(url("wss://example.com")), "public URL");
        refused(builder().with_base_url(url("ftp://example.com")), "base URL");
        refused(builder().with_region("dublin", "ie1.example.com"), "region");
        refused(builder().with_region("", "ie1"), "region");
    }

    #[test]
    fn secrets_do_not_print() {
        let builder = builder()
            .with_api_key(KEY, "hunter2".into())
            .with_previous_auth_token("hunter3".into())
            .with_public_url(url("https://user:hunter4@example.com"));
        let printed = [format!("{builder:?}"), format!("{:?}", builder.build().unwrap())].concat();
        for secret in ["12345\"", "hunter"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert!(printed.contains(KEY), "{printed}");
    }

    #[test]
    fn without_a_public_url_there_are_no_webhooks() {
        assert!(builder().build().unwrap().webhook().is_none());
        let public = builder().with_public_url(url("https://example.com"));
        assert!(public.build().unwrap().webhook().is_some());
    }

    #[tokio::test]
    async fn requests_are_sent_as_the_account_or_as_its_key() {
        for (user, secret) in [(ACCOUNT, "12345"), (KEY, "s3")] {
            let server = MockServer::start().await;
            Mock::given(any())
                .and(basic_auth(user, secret))
                .respond_with(ResponseTemplate::new(204))
                .expect(1)
                .mount(&server)
                .await;
            let mut builder = builder().with_base_url(url(&server.uri()));
            if user == KEY {
                builder = builder.with_api_key(KEY, "s3".into());
            }
            let twilio = builder.build().unwrap();
            twilio.hosts.api.send(Request::get("read", "/")).await.unwrap();
        }
    }
}
