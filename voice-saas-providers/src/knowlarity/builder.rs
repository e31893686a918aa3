//! Putting the adapter together.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, header};
use jiff::Timestamp;
use url::Url;
use voice_saas_core::{
    clock::Ambient,
    provider::{ErrorKind, ProviderError},
    secret::{ExposeSecret, SecretString},
};

use super::{
    Allocation, Knowlarity, NAME, answer,
    pace::Pace,
    webhook::{PushField, Webhook},
};
use crate::http::{Auth, Client, RetryPolicy};

const API: &str = "https://kpi.knowlarity.com";
const KONNECT: &str = "https://konnect.knowlarity.com:8100";
const CHANNEL: &str = "Basic";
const SHORTEST_WEBHOOK_SECRET: usize = 16;
/// Every client that pages uses this limit; the largest that is allowed is not documented.
const LARGEST_PAGE: u16 = 500;

/// Builds a [`Knowlarity`].
pub struct KnowlarityBuilder {
    authorization: SecretString,
    api_key: SecretString,
    base_url: Option<Url>,
    channel: String,
    plan: Option<Allocation>,
    circle: Option<String>,
    webhook_secrets: Vec<SecretString>,
    push_names: Vec<(PushField, String)>,
    retry: RetryPolicy,
    concurrency: usize,
    page_size: u16,
    look_back: Duration,
    call_interval: Duration,
    ambient: Ambient,
}

impl fmt::Debug for KnowlarityBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnowlarityBuilder")
            .field("host", &self.base_url.as_ref().and_then(Url::host_str))
            .field("channel", &self.channel)
            .field("plan", &self.plan)
            .field("circle", &self.circle)
            .field("webhook_secrets", &self.webhook_secrets.len())
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl KnowlarityBuilder {
    pub(super) fn new(authorization: SecretString, api_key: SecretString) -> Self {
        Self {
            authorization,
            api_key,
            base_url: None,
            channel: CHANNEL.to_owned(),
            plan: None,
            circle: None,
            webhook_secrets: Vec::new(),
            push_names: Vec::new(),
            retry: RetryPolicy::default(),
            concurrency: 10,
            page_size: LARGEST_PAGE,
            look_back: Duration::from_hours(48),
            call_interval: Duration::from_secs(1),
            ambient: Ambient::system(),
        }
    }

    /// Replaces scheme, host and port of both of Knowlarity's hosts: a server for tests, a proxy.
    #[must_use]
    pub fn with_base_url(mut self, base_url: Url) -> Self {
        self.base_url = Some(base_url);
        self
    }

    /// The product's edition, a segment of every path; `Basic` unless Knowlarity said otherwise.
    #[must_use]
    pub fn with_channel(mut self, channel: impl Into<String>) -> Self {
        self.channel = channel.into();
        self
    }

    /// Takes numbers from this plan (`user_plan_id`), which the account must have bought before. Without it no number
    /// can be taken.
    #[must_use]
    pub fn with_plan(mut self, user_plan_id: impl Into<String>) -> Self {
        let until = self.plan.take().and_then(|plan| plan.until);
        self.plan = Some(Allocation {
            user_plan_id: user_plan_id.into(),
            until,
        });
        self
    }

    /// Takes them from this plan until then, at the latest until the plan ends. Otherwise until the plan ends, where
    /// Knowlarity says when that is.
    #[must_use]
    pub fn with_plan_until(mut self, user_plan_id: impl Into<String>, until: Timestamp) -> Self {
        self.plan = Some(Allocation {
            user_plan_id: user_plan_id.into(),
            until: Some(until),
        });
        self
    }

    /// Where numbers are searched when a query names no area: the id of a circle, an Indian telecom region. Otherwise
    /// in every circle, one after the other.
    #[must_use]
    pub fn with_circle(mut self, circle_id: impl Into<String>) -> Self {
        self.circle = Some(circle_id.into());
        self
    }

    /// What stands at the end of the address that pushes go to: at least 16 letters, digits, `-` or `_` that nobody can
    /// guess. Several may be good at a time: one for each number, or an old and a new one. Without any there is no
    /// webhook facet.
    #[must_use]
    pub fn with_webhook_secret(mut self, secret: SecretString) -> Self {
        self.webhook_secrets.push(secret);
        self
    }

    /// The name of a push's parameter, where the dashboard was told another one than the three known sets have.
    #[must_use]
    pub fn with_push_name(mut self, field: PushField, name: impl Into<String>) -> Self {
        self.push_names.push((field, name.into()));
        self
    }

    /// When requests are sent again. Calls and allocations never are.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How many requests may be under way at a time, by default 10. No limit of Knowlarity's is documented.
    #[must_use]
    pub fn with_concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// How many items a page of a list has, by default and at most 500.
    #[must_use]
    pub fn with_page_size(mut self, items: u16) -> Self {
        self.page_size = items;
        self
    }

    /// How far back the call log is searched for a single call, by default 48 hours.
    #[must_use]
    pub fn with_look_back(mut self, span: Duration) -> Self {
        self.look_back = span;
        self
    }

    /// How far apart calls are placed, by default a second. No limit of Knowlarity's is documented.
    #[must_use]
    pub fn with_call_interval(mut self, interval: Duration) -> Self {
        self.call_interval = interval;
        self
    }

    /// Where the time comes from.
    #[must_use]
    pub fn with_ambient(mut self, ambient: Ambient) -> Self {
        self.ambient = ambient;
        self
    }

    /// Puts it together, without asking the network.
    ///
    /// # Errors
    /// `Invalid` when a key is empty or can stand in no header or path, a webhook secret is too short or has other
    /// characters than letters, digits, `-` and `_`, the channel or the plan is no word, or the base URL is not `http`
    /// or `https`.
    pub fn build(self) -> Result<Knowlarity, ProviderError> {
        let wrong =
            |detail| Err(ProviderError::new(NAME, "be configured", ErrorKind::Invalid).with_detail(detail));
        if !is_plain(self.authorization.expose_secret()) {
            return wrong("the SR API key is empty, or has other characters than letters, digits, - and _");
        }
        if self.api_key.expose_secret().is_empty() {
            return wrong("the application key is empty");
        }
        if !is_plain(&self.channel) {
            return wrong("the channel is a single word, such as Basic");
        }
        if self
            .plan
            .as_ref()
            .is_some_and(|plan| plan.user_plan_id.is_empty())
        {
            return wrong("the plan's id is empty");
        }
        let weak = |secret: &SecretString| {
            let secret = secret.expose_secret();
            secret.len() < SHORTEST_WEBHOOK_SECRET || !is_plain(secret)
        };
        if self.webhook_secrets.iter().any(weak) {
            return wrong("a webhook secret needs at least 16 letters, digits, - or _");
        }
        let host = |default: &str| match &self.base_url {
            Some(url) => Ok(url.clone()),
            None => Url::parse(default).map_err(|error| {
                ProviderError::new(NAME, "be configured", ErrorKind::Invalid).with_source(error)
            }),
        };
        let api = Client::builder(NAME, host(API)?)
            .with_auth(Auth::Headers(vec![
                (header::AUTHORIZATION, self.authorization.clone()),
                (HeaderName::from_static("x-api-key"), self.api_key),
            ]))
            .with_retry(self.retry)
            .with_concurrency(self.concurrency)
            .with_classifier(answer::classify)
            .build()?;
        let mut konnect = host(KONNECT)?;
        let prefix = konnect.path().trim_end_matches('/').to_owned();
        konnect.set_path(&format!(
            "{prefix}/update-stream/{}",
            self.authorization.expose_secret()
        ));
        let konnect = Client::builder(NAME, konnect)
            .with_classifier(answer::classify)
            .build()?;
        let webhook =
            (!self.webhook_secrets.is_empty()).then(|| Webhook::new(self.webhook_secrets, self.push_names));
        Ok(Knowlarity {
            api,
            konnect,
            channel: Arc::from(self.channel),
            plan: self.plan,
            circle: self.circle,
            page_size: self.page_size.clamp(1, LARGEST_PAGE),
            look_back: self.look_back,
            pace: Pace::new(self.call_interval),
            webhook,
            ambient: self.ambient,
        })
    }
}

/// What may stand in a path as it is.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use voice_saas_core::provider::telephony::{Capability, TelephonyProvider};

    use super::*;

    const SECRET: &str = "hunter2-hunter2-hunter2";

    fn builder() -> KnowlarityBuilder {
        Knowlarity::builder("sr-hunter2".into(), "app-hunter2".into())
    }

    #[track_caller]
    fn refused(builder: KnowlarityBuilder, because: &str) {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let detail = error.detail().unwrap();
        assert!(detail.contains(because), "{detail}");
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_sent() {
        refused(Knowlarity::builder("".into(), "k".into()), "SR API key");
        refused(Knowlarity::builder("a/b".into(), "k".into()), "SR API key");
        refused(Knowlarity::builder("a".into(), "".into()), "application key");
        refused(Knowlarity::builder("a".into(), "k\n".into()), "credentials");
        refused(builder().with_channel("Basic/v2"), "channel");
        refused(builder().with_plan(""), "plan");
        refused(builder().with_webhook_secret("short".into()), "webhook secret");
        refused(
            builder().with_webhook_secret("0123456789abcde/".into()),
            "webhook secret",
        );
        refused(
            builder().with_base_url("ftp://example.com".parse().unwrap()),
            "base URL",
        );
    }

    #[test]
    fn secrets_do_not_print_wherever_they_stand() {
        let builder = builder().with_webhook_secret(SECRET.into());
        let printed = [format!("{builder:?}"), format!("{:?}", builder.build().unwrap())].concat();
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn numbers_are_bought_where_a_plan_is_named() {
        let can = |builder: KnowlarityBuilder| {
            let knowlarity = builder.build().unwrap();
            knowlarity.capabilities().contains(&Capability::BuyNumbers)
        };
        assert!(!can(builder()));
        assert!(can(builder().with_plan("77")));
    }
}
