//! Putting the adapter together.

use http::header;
use url::Url;
use voice_saas_core::{
    provider::{ErrorKind, ProviderError},
    secret::{ExposeSecret, SecretString},
};

use super::{NAME, Stripe, api::Api, error, webhook::Webhook};
use crate::http::{Auth, Client, RetryPolicy};

fn default_api() -> Url {
    Url::parse("https://api.stripe.com").expect("a constant that is a URL")
}

/// Builds a [`Stripe`].
#[derive(Debug)]
pub struct StripeBuilder {
    secret_key: SecretString,
    base_url: Option<Url>,
    webhook_secrets: Vec<SecretString>,
    portal_configuration: Option<String>,
    retry: RetryPolicy,
    concurrency: usize,
}

impl StripeBuilder {
    pub(super) fn new(secret_key: SecretString) -> Self {
        Self {
            secret_key,
            base_url: None,
            webhook_secrets: Vec::new(),
            portal_configuration: None,
            retry: RetryPolicy::default(),
            concurrency: 20,
        }
    }

    /// Replaces `https://api.stripe.com`: a server for tests.
    #[must_use]
    pub fn with_base_url(mut self, base_url: Url) -> Self {
        self.base_url = Some(base_url);
        self
    }

    /// A secret that signs webhooks (`whsec_…`). Several may be good at a time: while one replaces another, and for
    /// several endpoints.
    #[must_use]
    pub fn with_webhook_secret(mut self, secret: SecretString) -> Self {
        self.webhook_secrets.push(secret);
        self
    }

    /// Which of the account's portal configurations (`bpc_…`) customers see; otherwise the account's default.
    #[must_use]
    pub fn with_portal_configuration(mut self, configuration: impl Into<String>) -> Self {
        self.portal_configuration = Some(configuration.into());
        self
    }

    /// When requests are sent again.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How many requests may be under way at a time, by default 20. Stripe takes 25 a second in test mode and 100 in
    /// live mode.
    #[must_use]
    pub fn with_concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// Puts it together, without asking the network.
    ///
    /// # Errors
    /// `Invalid` when the key is neither a secret nor a restricted one, a webhook secret is empty, or the base URL is
    /// not `http` or `https`.
    pub fn build(self) -> Result<Stripe, ProviderError> {
        let wrong =
            |detail| Err(ProviderError::new(NAME, "be configured", ErrorKind::Invalid).with_detail(detail));
        let key = self.secret_key.expose_secret();
        if !(key.starts_with("sk_") || key.starts_with("rk_")) {
            return wrong("the key is neither a secret key (sk_…) nor a restricted one (rk_…)");
        }
        if self
            .webhook_secrets
            .iter()
            .any(|secret| secret.expose_secret().trim().is_empty())
        {
            return wrong("a webhook secret is empty");
        }
        let live = key[3..].starts_with("live_");
        let client = Client::builder(NAME, self.base_url.unwrap_or_else(default_api))
            .with_auth(Auth::Header {
                name: header::AUTHORIZATION,
                value: format!("Bearer {key}").into(),
            })
            .with_retry(self.retry)
            .with_concurrency(self.concurrency)
            .with_classifier(error::classify)
            .build()?;
        Ok(Stripe {
            api: Api::new(client, self.portal_configuration),
            webhook: Webhook::new(self.webhook_secrets, live),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(builder: StripeBuilder, because: &str) {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.detail().unwrap().contains(because), "{error:?}");
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_sent() {
        let builder = || Stripe::builder("sk_test_1".into());
        refused(Stripe::builder("".into()), "secret key");
        refused(Stripe::builder("pk_test_1".into()), "secret key");
        refused(builder().with_webhook_secret(" ".into()), "webhook secret");
        refused(builder().with_base_url("ftp://h".parse().unwrap()), "base URL");
    }

    #[test]
    fn secrets_do_not_print() {
        let builder = Stripe::builder("sk_test_hunter2".into()).with_webhook_secret("hunter3".into());
        let printed = [format!("{builder:?}"), format!("{:?}", builder.build().unwrap())].concat();
        assert!(!printed.contains("hunter"), "{printed}");
    }
}
