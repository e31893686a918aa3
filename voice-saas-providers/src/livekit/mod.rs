//! LiveKit, in the cloud or on servers of one's own: SIP trunks with their rules, rooms, agents in rooms, dialling,
//! webhooks.
//!
//! The facts behind this module are those of `docs.livekit.io` and of the server's own source; each item names its
//! page. Nothing of LiveKit's own types shows in the public interface.
//!
//! ```
//! use voice_saas_core::provider::telephony::TelephonyProvider;
//! use voice_saas_providers::livekit::LiveKit;
//!
//! let livekit = LiveKit::builder("wss://my-project.livekit.cloud".parse()?, "API key", "API secret".into())
//!     .with_sip_host("abc123.sip.livekit.cloud")
//!     .build()?;
//! assert!(livekit.trunks().is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Tokens are signed with `jsonwebtoken` 10, of which the first use installs a process-wide provider that knows HMAC
//! alone. An application that signs anything else with *that* version installs its own provider when it starts;
//! other versions of the crate are not affected.

mod builder;
mod call;
mod dial;
mod dispatch;
mod room;
mod rule;
#[cfg(test)]
mod tests;
mod token;
mod trunk;
mod trunk_list;
mod twirp;
mod webhook;

use voice_saas_core::{
    phone::Country,
    provider::{
        ProviderName,
        telephony::{
            CallProvider, Capability, DispatchProvider, InboundWebhook, NumberProvider, TelephonyProvider,
            TrunkProvider,
        },
    },
};

use self::{twirp::Twirp, webhook::Webhook};

pub use builder::LiveKitBuilder;
pub use call::call_id;
pub use dial::{DialOutcome, DialRequest, Dialed, Encryption, InlineTrunk, OutboundRoute, SipTransport};
pub use room::{Participant, ParticipantKind, Room, RoomOrder};
pub use webhook::sign_for_tests;

/// The name under which everything of LiveKit's is kept.
pub const NAME: ProviderName = ProviderName::new("livekit");

/// One LiveKit project, or one server of one's own.
///
/// Cheap to clone; clones share connections and limits.
#[derive(Debug, Clone)]
pub struct LiveKit {
    twirp: Twirp,
    webhook: Webhook,
    sip_host: Option<String>,
    outbound: Option<Outbound>,
}

/// How outbound trunks are made, where they are stored at all.
#[derive(Debug, Clone, Copy)]
struct Outbound {
    transport: SipTransport,
    country: Option<Country>,
}

impl LiveKit {
    /// The project at `url` (`wss://….livekit.cloud`, `https://…` or `http://localhost:7880`) with an API key and its
    /// secret, which check the webhooks' signatures too.
    pub fn builder(
        url: url::Url,
        api_key: impl Into<String>,
        api_secret: voice_saas_core::secret::SecretString,
    ) -> LiveKitBuilder {
        LiveKitBuilder::new(url, api_key.into(), api_secret)
    }

    /// Where carriers send the calls that LiveKit is to take, such as `abc123.sip.livekit.cloud`.
    pub fn sip_host(&self) -> Option<&str> {
        self.sip_host.as_deref()
    }
}

impl TelephonyProvider for LiveKit {
    fn name(&self) -> ProviderName {
        NAME
    }

    fn numbers(&self) -> Option<&dyn NumberProvider> {
        None
    }

    fn calls(&self) -> Option<&dyn CallProvider> {
        Some(self)
    }

    fn webhook(&self) -> Option<&dyn InboundWebhook> {
        Some(&self.webhook)
    }

    /// None: the audio stays in LiveKit's rooms, where an agent takes part.
    fn media(&self) -> Option<&dyn voice_saas_core::media::MediaCodec> {
        None
    }

    fn trunks(&self) -> Option<&dyn TrunkProvider> {
        Some(self)
    }

    fn dispatch(&self) -> Option<&dyn DispatchProvider> {
        Some(self)
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[
            Capability::Trunks,
            Capability::PlaceCalls,
            Capability::FetchCalls,
            Capability::HangUp,
            Capability::DispatchAgents,
        ]
    }
}
