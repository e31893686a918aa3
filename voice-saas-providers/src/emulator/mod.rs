//! Twilio, ElevenLabs, LiveKit, Knowlarity and Stripe as one local server, for development and tests.
//!
//! The emulator is stateful: a number that was bought is owned, a call to it is answered by the webhook that was
//! configured, and the TwiML that comes back is executed, media streams with real audio included. It shares no code
//! with the adapters, so that it is an independent witness of the wire formats. Its signatures, errors and limits
//! are the providers' own; [`Fault`]s make it fail the way they do.
//!
//! | module | plays |
//! |---|---|
//! | `twilio` | numbers, calls, signed webhooks, TwiML, the caller on the telephone |
//! | `elevenlabs` | agents, the agent socket with a scripted agent behind it, conversations, post-call webhooks |
//! | `livekit` | SIP trunks and rules, rooms, agents sent to them, calls in and out, signed webhooks |
//! | `knowlarity` | numbers from a plan, calls between two telephones, the call log, live events, pushes |
//! | `stripe` | customers, test cards, prices, subscriptions that renew, invoices, checkout, signed webhooks |
//! | `app_store` | subscriptions in an app, their notifications, the App Store Server API |
//! | `control` | `/_control`, the same as [`Emulator`]'s methods over HTTP |
//! | `audio` | μ-law, and speech made of tones that both sides understand |
//!
//! To add a provider: a folder with a state struct in `World`, an `authorize` and an `operation` function for the
//! gate, a router merged in [`Emulator::start`], and its operations in `fault`.
//!
//! ```no_run
//! use voice_saas_providers::emulator::{Emulator, EmulatorConfig, PlaceCall};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let emulator = Emulator::start(EmulatorConfig::new("127.0.0.1:0".parse()?)).await?;
//! // Point the adapters at `emulator.url()`, buy a number with a voice webhook, and call it:
//! let call = emulator.place_call(PlaceCall::new("+14155550199", "+14155550100"))?;
//! let report = emulator.wait_for_call(&call).await;
//! # drop(report);
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod app_store;
mod audio;
mod clock;
mod config;
mod control;
mod elevenlabs;
mod fault;
mod gate;
mod id;
mod journal;
mod knowlarity;
mod listener;
mod livekit;
mod stripe;
#[cfg(test)]
mod tests;
mod twilio;
mod world;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use url::Url;

pub use self::app_store::{InAppAction, InAppError, InAppPurchase, InAppReceipt};
pub use self::config::EmulatorConfig;
pub use self::control::{ControlError, PlaceCall};
pub use self::fault::{Fault, FaultError, FaultKind, Operation, Provider};
use self::gate::Gate;
pub use self::journal::RecordedRequest;
pub use self::knowlarity::{KnowlarityPush, KnowlarityScript, PushMethod, PushParameters};
use self::listener::{Connection, Lines};
pub use self::livekit::{DialScript, SipLeg, SipRefusal};
pub use self::stripe::DunningEnd;
pub use self::twilio::{
    CallError, CallReport, CallStatus, Callee, CallerAudio, RoundTrip, Script, ScriptError, Speaker,
    TranscriptLine, WebhookExchange,
};
use self::world::World;

/// How long shutting down waits for calls and requests to end.
const GRACE: Duration = Duration::from_secs(3);

/// A running emulator. Dropping it stops it at once; [`shutdown`](Self::shutdown) lets calls end properly.
#[derive(Debug)]
pub struct Emulator {
    world: Arc<World>,
    addr: SocketAddr,
    server: JoinHandle<()>,
}

impl Emulator {
    /// Starts all providers on one listener.
    ///
    /// # Errors
    /// The address cannot be listened on, or the HTTP client for webhooks cannot be made.
    pub async fn start(config: EmulatorConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let addr = listener.local_addr()?;
        // An unspecified address is one to listen on, but not one to connect to.
        let host = if addr.ip().is_unspecified() {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        } else {
            addr.ip()
        };
        let base = Url::parse(&format!("http://{}", SocketAddr::new(host, addr.port())))
            .map_err(io::Error::other)?;
        let world = Arc::new(World::new(config, base).map_err(io::Error::other)?);
        let gated = |provider, router: Router| {
            router.layer(from_fn_with_state(
                Gate {
                    world: Arc::clone(&world),
                    provider,
                },
                gate::pass,
            ))
        };
        let router = Router::new()
            .merge(gated(Provider::Twilio, twilio::router(Arc::clone(&world))))
            .merge(gated(
                Provider::ElevenLabs,
                elevenlabs::router(Arc::clone(&world)),
            ))
            .merge(gated(Provider::LiveKit, livekit::router(Arc::clone(&world))))
            .merge(gated(
                Provider::Knowlarity,
                knowlarity::router(Arc::clone(&world)),
            ))
            .merge(gated(Provider::Stripe, stripe::router(Arc::clone(&world))))
            .merge(stripe::control_router(Arc::clone(&world)))
            .merge(gated(Provider::AppStore, app_store::router(Arc::clone(&world))))
            .merge(knowlarity::control_router(Arc::clone(&world)))
            .merge(app_store::control_router(Arc::clone(&world)))
            .merge(control::router(Arc::clone(&world)));
        stripe::start(&world);
        let stopping = world.stopping().clone();
        let server = tokio::spawn(async move {
            let service = router.into_make_service_with_connect_info::<Connection>();
            let served =
                axum::serve(Lines(listener), service).with_graceful_shutdown(stopping.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!(%error, "the emulator stopped");
            }
        });
        Ok(Self { world, addr, server })
    }

    /// Where every provider is reached: the base URL for the adapters.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.world.base
    }

    /// The address that is listened on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The Twilio account that owns every number.
    #[must_use]
    pub fn twilio_account_sid(&self) -> &str {
        self.world.twilio.account_sid()
    }

    /// The account's token, which signs its webhooks too.
    #[must_use]
    pub fn twilio_auth_token(&self) -> &SecretString {
        self.world.twilio.auth_token()
    }

    /// The key of the ElevenLabs workspace.
    #[must_use]
    pub fn elevenlabs_api_key(&self) -> &SecretString {
        self.world.elevenlabs.api_key()
    }

    /// The secret that signs post-call webhooks to the [post-call URL](Self::set_post_call_url).
    #[must_use]
    pub fn elevenlabs_webhook_secret(&self) -> &SecretString {
        self.world.elevenlabs.webhook_secret()
    }

    /// Where post-call webhooks go when neither the agent nor the workspace names a webhook.
    pub fn set_post_call_url(&self, url: Url) {
        self.world.elevenlabs.set_post_call_url(url);
    }

    /// The key of the LiveKit project.
    #[must_use]
    pub fn livekit_api_key(&self) -> &str {
        self.world.livekit.api_key()
    }

    /// The key's secret, which signs the project's webhooks too.
    #[must_use]
    pub fn livekit_api_secret(&self) -> &SecretString {
        self.world.livekit.api_secret()
    }

    /// Where LiveKit reports what happens in its rooms; nowhere by default.
    pub fn set_livekit_webhook_url(&self, url: Url) {
        self.world.livekit.set_webhook_url(url);
    }

    /// The secret key of the Stripe account.
    #[must_use]
    pub fn stripe_secret_key(&self) -> &SecretString {
        self.world.stripe.secret_key()
    }

    /// The secret that signs Stripe's webhooks.
    #[must_use]
    pub fn stripe_webhook_secret(&self) -> &SecretString {
        self.world.stripe.webhook_secret()
    }

    /// Where Stripe reports what happens; nowhere by default.
    pub fn set_stripe_webhook_url(&self, url: Url) {
        self.world.stripe.set_webhook_url(url);
    }

    /// What becomes of a Stripe subscription after the last attempt to collect its invoice.
    pub fn set_dunning_end(&self, end: DunningEnd) {
        self.world.stripe.set_dunning_end(end);
    }

    /// A customer fills a Stripe checkout in, with a test card such as `pm_card_visa`, or without one where none is
    /// asked for. Answers where the customer is sent then.
    ///
    /// # Errors
    /// What the page says instead.
    pub fn complete_checkout(&self, checkout: &str, card: Option<&str>) -> Result<String, String> {
        stripe::complete_checkout(&self.world, checkout, card)
    }

    /// A customer gives a test card on the application's own page, which has a Stripe setup intent. Answers the card's
    /// id.
    ///
    /// # Errors
    /// What the page says instead.
    pub fn complete_card_setup(&self, setup_intent: &str, card: &str) -> Result<String, String> {
        stripe::complete_setup(&self.world, setup_intent, card)
    }

    /// Decides what the next call out comes to that LiveKit places; a second script is for the call after it.
    ///
    /// # Errors
    /// Too many calls are decided already.
    pub fn script_dial(&self, script: DialScript) -> Result<(), ControlError> {
        control::script_dial(&self.world, script)
    }

    /// A carrier sends a call to LiveKit, where a trunk and a rule must be found for it.
    ///
    /// # Errors
    /// What the carrier is answered when there is none.
    pub fn ring_livekit(&self, from: &str, to: &str) -> Result<SipLeg, SipRefusal> {
        livekit::ring(&self.world, from, to)
    }

    /// The telephone's side of a call at LiveKit hangs up. False when there is no such call.
    pub fn hang_up_livekit(&self, room: &str, identity: &str) -> bool {
        livekit::hang_up(&self.world, room, identity)
    }

    /// A person calls a number; answers the SID of the call.
    ///
    /// A call to a number that nobody owns is placed too, and fails.
    ///
    /// # Errors
    /// The request is out of its limits, or too many calls run.
    pub fn place_call(&self, call: PlaceCall) -> Result<String, ControlError> {
        control::place_call(&self.world, call)
    }

    /// What a call is or was like; `None` when there is no such call.
    #[must_use]
    pub fn call(&self, call_sid: &str) -> Option<CallReport> {
        self.world.twilio.report(call_sid)
    }

    /// Waits until a call has ended and its status callback has been answered; `None` when there is no such call,
    /// or a reset has forgotten it.
    pub async fn wait_for_call(&self, call_sid: &str) -> Option<CallReport> {
        self.world.twilio.wait_for_call(call_sid).await
    }

    /// Decides what happens when a number is called over the API or dialled by `<Dial>`. Unknown numbers answer and
    /// follow [`Script::new`].
    ///
    /// # Errors
    /// The number or the script is out of its limits.
    pub fn set_callee(&self, number: impl Into<String>, callee: Callee) -> Result<(), ControlError> {
        control::set_callee(&self.world, number.into(), callee)
    }

    /// Lets something go wrong.
    ///
    /// # Errors
    /// The fault makes no sense at its operation, or is out of its limits.
    pub fn inject(&self, fault: Fault) -> Result<(), FaultError> {
        self.world.faults.add(fault)
    }

    /// Forgets the faults that have not happened yet, and lets go of requests that are held.
    pub fn clear_faults(&self) {
        self.world.faults.clear();
    }

    /// Moves the emulator's clock: prices become known, signed URLs expire, webhook retries fall due, subscriptions
    /// renew.
    pub fn advance_clock(&self, by: Duration) {
        self.world.clock.advance(by);
        app_store::settle(&self.world);
        stripe::catch_up(&self.world);
    }

    /// The emulator's time: the real one plus what it was moved by.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.world.clock.now()
    }

    /// Everything that exists at each provider, by provider name.
    #[must_use]
    pub fn state(&self) -> serde_json::Value {
        self.world.state()
    }

    /// Every request that the providers were sent, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.world.journal.requests()
    }

    /// Ends every call and forgets everything but the credentials.
    pub fn reset(&self) {
        self.world.reset();
    }

    /// Ends every call and conversation, then stops listening.
    pub async fn shutdown(mut self) {
        self.world.stopping().cancel();
        self.world.tasks.close();
        let ended = async {
            self.world.tasks.wait().await;
            // The error would be that the server panicked, which its task has reported by itself.
            let _ = (&mut self.server).await;
        };
        if timeout(GRACE, ended).await.is_err() {
            tracing::debug!("the emulator did not wait for what still runs");
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.world.stopping().cancel();
        self.server.abort();
    }
}
