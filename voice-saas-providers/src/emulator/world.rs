//! Everything that the emulated providers share.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::app_store::AppStore;
use super::clock::Clock;
use super::config::EmulatorConfig;
use super::elevenlabs::ElevenLabs;
use super::fault::Faults;
use super::journal::Journal;
use super::knowlarity::Knowlarity;
use super::livekit::LiveKit;
use super::stripe::Stripe;
use super::twilio::Twilio;

#[derive(Debug)]
pub(crate) struct World {
    /// Where the emulator is reached, without a path.
    pub(crate) base: Url,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    /// Sends webhooks. Follows no redirects and uses no proxy.
    pub(crate) http: reqwest::Client,
    pub(crate) recordings: PathBuf,
    pub(crate) tasks: TaskTracker,
    pub(crate) twilio: Twilio,
    pub(crate) elevenlabs: ElevenLabs,
    pub(crate) knowlarity: Knowlarity,
    pub(crate) livekit: LiveKit,
    pub(crate) app_store: AppStore,
    pub(crate) stripe: Stripe,
    stopping: CancellationToken,
    running: Mutex<CancellationToken>,
}

impl World {
    pub(super) fn new(config: EmulatorConfig, base: Url) -> Result<Self, reqwest::Error> {
        // Twilio gives a webhook 5 s to be connected to; the time of the answer is the caller's matter.
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .user_agent("TwilioProxy/1.1")
            .build()?;
        let stopping = CancellationToken::new();
        let running = Mutex::new(stopping.child_token());
        let stripe = Stripe::new(config.stripe_secret_key, config.stripe_webhook_secret, &base);
        Ok(Self {
            base,
            clock: Clock::new(),
            faults: Faults::default(),
            journal: Journal::default(),
            http,
            recordings: config.recordings,
            tasks: TaskTracker::new(),
            twilio: Twilio::new(config.twilio_account_sid, config.twilio_auth_token),
            elevenlabs: ElevenLabs::new(
                config.elevenlabs_api_key,
                config.elevenlabs_webhook_secret,
                config.post_call_url,
            ),
            knowlarity: Knowlarity::new(
                config.knowlarity_authorization,
                config.knowlarity_api_key,
                Clock::new().now(),
            ),
            livekit: LiveKit::new(config.livekit_api_key, config.livekit_api_secret),
            app_store: AppStore::new(),
            stripe,
            stopping,
            running,
        })
    }

    /// Sends a webhook or the call of a tool.
    #[expect(
        clippy::disallowed_methods,
        reason = "the emulator stands apart from what it tests, and this is its one home of sending"
    )]
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
        request.send().await
    }

    /// Cancelled when calls and sockets that run now must end: at the next reset or at shutdown.
    pub(crate) fn running(&self) -> CancellationToken {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Cancelled at shutdown.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Ends every call and conversation, and forgets everything but credentials.
    pub(crate) fn reset(&self) {
        let next = self.stopping.child_token();
        std::mem::replace(
            &mut *self.running.lock().unwrap_or_else(PoisonError::into_inner),
            next,
        )
        .cancel();
        self.faults.clear();
        self.journal.clear();
        self.clock.reset();
        self.twilio.reset();
        self.elevenlabs.reset();
        self.livekit.reset();
        self.knowlarity.reset();
        self.app_store.reset();
        self.stripe.reset();
    }

    /// The state of every provider, by provider name.
    pub(crate) fn state(&self) -> serde_json::Value {
        serde_json::json!({
            "twilio": self.twilio.state(self),
            "elevenlabs": self.elevenlabs.state(),
            "livekit": self.livekit.state(),
            "knowlarity": self.knowlarity.state(self),
            "app_store": self.app_store.state(),
            "stripe": self.stripe.state(),
        })
    }
}
