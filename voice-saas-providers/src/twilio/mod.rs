//! Twilio: numbers with their prices and requirements, ports, SIP trunks, subaccounts, calls, webhooks, TwiML and
//! Media Streams.
//!
//! The facts behind this module are those of `www.twilio.com/docs`; each item names its page.
//!
//! ```
//! use voice_saas_core::provider::telephony::{CallPlan, TelephonyProvider};
//! use voice_saas_providers::twilio::Twilio;
//!
//! let twilio = Twilio::builder("AC0123456789abcdef0123456789abcdef", "the auth token".into())
//!     .with_public_url("https://voice.example.com".parse()?)
//!     .build()?;
//!
//! let webhook = twilio.webhook().expect("a public URL was given");
//! let answer = webhook.answer(&CallPlan::Reject { busy: true });
//! assert_eq!(answer.content_type, "text/xml");
//! assert!(answer.body.ends_with(r#"<Response><Reject reason="busy"/></Response>"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod calls;
mod error;
mod hosts;
mod list;
mod media;
mod numbers;
mod porting;
mod pricing;
mod regulations;
mod signature;
mod subaccounts;
#[cfg(test)]
#[cfg(feature = "emulator")]
mod tests;
mod trunks;
mod twiml;
mod webhook;
mod wire;

use voice_saas_core::{
    media::MediaCodec,
    provider::{
        ErrorKind, ProviderError, ProviderName,
        telephony::{
            CallProvider, Capability, InboundWebhook, NumberProvider, PortingProvider, ProviderSubaccountId,
            SubaccountProvider, TelephonyProvider, TrunkProvider, WebhookError, WebhookRequest,
        },
    },
    secret::SecretString,
};

use self::{builder::Setup, hosts::Hosts, media::MediaStreams, pricing::Prices, webhook::Webhook};

pub use builder::TwilioBuilder;
pub use signature::sign_for_tests;

/// The name under which everything of Twilio's is kept.
pub const NAME: ProviderName = ProviderName::new("twilio");

/// One Twilio account or subaccount.
///
/// Cheap to clone; clones share connections and limits.
#[derive(Debug, Clone)]
pub struct Twilio {
    hosts: Hosts,
    prices: Prices,
    setup: Setup,
    account_sid: String,
    webhook: Option<Webhook>,
    media: MediaStreams,
}

impl Twilio {
    /// The account `account_sid` (`AC…`) with its auth token, which also checks the webhooks' signatures
    /// (page `usage/security`).
    pub fn builder(account_sid: impl Into<String>, auth_token: SecretString) -> TwilioBuilder {
        TwilioBuilder::new(account_sid.into(), auth_token)
    }

    /// The same for a subaccount, with the subaccount's own auth token: the parent's opens nothing but the 2010 API
    /// there (page `iam/api/subaccounts`). Connections and prices are shared.
    ///
    /// # Errors
    /// `Invalid` when the id is no account SID or the token is empty.
    pub fn for_subaccount(
        &self,
        id: &ProviderSubaccountId,
        auth_token: SecretString,
    ) -> Result<Self, ProviderError> {
        let mut builder = Self::builder(id.as_str(), auth_token);
        builder.setup = self.setup.clone();
        builder.parent = Some((self.hosts.clone(), self.prices.clone()));
        builder.build()
    }

    /// Checks that the request which opens a media socket comes from Twilio (page
    /// `usage/webhooks/webhooks-security`). The single-use token in the socket's path is the other, independent proof.
    ///
    /// # Errors
    /// `Forged`, also when no public URL was given.
    pub fn verify_media_handshake(&self, request: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        self.webhook
            .as_ref()
            .ok_or(WebhookError::Forged("no public URL to check it against"))?
            .verify_handshake(request)
    }

    /// The path of a resource of this account.
    fn path(&self, resource: &str) -> String {
        format!("/2010-04-01/Accounts/{}/{resource}", self.account_sid)
    }

    /// The path of one item.
    fn item(&self, operation: &'static str, resource: &str, sid: &str) -> Result<String, ProviderError> {
        Ok(self.path(&format!("{resource}/{}.json", checked(operation, sid)?)))
    }
}

/// SIDs are letters and digits; anything else in a path would reach another resource.
fn checked<'a>(operation: &'static str, sid: &'a str) -> Result<&'a str, ProviderError> {
    if sid.is_empty() || !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(invalid(operation, "an id that is not a Twilio SID"));
    }
    Ok(sid)
}

fn invalid(operation: &'static str, detail: impl Into<String>) -> ProviderError {
    ProviderError::new(NAME, operation, ErrorKind::Invalid).with_detail(detail)
}

impl TelephonyProvider for Twilio {
    fn name(&self) -> ProviderName {
        NAME
    }

    fn numbers(&self) -> Option<&dyn NumberProvider> {
        Some(self)
    }

    fn calls(&self) -> Option<&dyn CallProvider> {
        Some(self)
    }

    /// Absent without a public URL: signatures cannot be checked then.
    fn webhook(&self) -> Option<&dyn InboundWebhook> {
        self.webhook
            .as_ref()
            .map(|webhook| webhook as &dyn InboundWebhook)
    }

    fn media(&self) -> Option<&dyn MediaCodec> {
        Some(&self.media)
    }

    fn trunks(&self) -> Option<&dyn TrunkProvider> {
        Some(self)
    }

    fn porting(&self) -> Option<&dyn PortingProvider> {
        Some(self)
    }

    /// Of a parent account. A subaccount has none, and API keys other than main ones reach none.
    fn subaccounts(&self) -> Option<&dyn SubaccountProvider> {
        Some(self)
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[
            Capability::SearchNumbers,
            Capability::BuyNumbers,
            Capability::ImportNumbers,
            Capability::ListNumbers,
            Capability::ConfigureNumbers,
            Capability::ReleaseNumbers,
            Capability::NameNumbers,
            Capability::PortNumbers,
            Capability::Subaccounts,
            Capability::Trunks,
            Capability::AnswerCalls,
            Capability::FetchCalls,
            Capability::HangUp,
            Capability::Media,
        ]
    }
}

/// What the tests of this module share.
#[cfg(test)]
mod fixture {
    use wiremock::MockServer;

    use super::Twilio;
    use crate::http::RetryPolicy;

    pub(super) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
    pub(super) const ROOT: &str = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef";

    /// An adapter that speaks to `server` and sends everything once, so that no test waits.
    pub(super) fn twilio(server: &MockServer) -> Twilio {
        Twilio::builder(ACCOUNT, "12345".into())
            .with_base_url(server.uri().parse().unwrap())
            .with_retry(RetryPolicy::none())
            .build()
            .unwrap()
    }
}
