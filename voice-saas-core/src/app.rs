//! The library put together: a store, providers, settings.

use std::{fmt, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::{
    agent::Agents,
    auth::{
        AccessTokens, Accounts, AuthError, Authenticator, Credentials, Mint, Passwords, Principal, SecretKey,
    },
    call::{CallTokens, Calls, InboundCalls, LiveCalls, RouteCache, Tool, Tools},
    clock::Ambient,
    event::EventSink,
    idempotency::Idempotency,
    job::Jobs,
    ledger::{Ledgers, RateTable},
    mail::Mails,
    number::{ImportPolicy, NumberPolicy, NumberPool, Numbers, Ports},
    plan::Catalogue,
    provider::{
        ErrorKind, ProviderError, ProviderName, mail::Mailer, telephony::TelephonyProvider,
        voice_agent::VoiceAgentProvider,
    },
    reconcile::Reconciliation,
    secret::Sealer,
    store::Store,
    subaccount::{AccountPolicy, SubaccountCache},
    tenant::Tenants,
    trunk::{SipMedia, Trunks},
    usage::Usages,
};

/// How long things may take, and what callers hear when they do not work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// How long an access token is good.
    pub access_lifetime: Duration,
    /// How long a refresh token is good.
    pub refresh_lifetime: Duration,
    /// How long an agent's platform may take to be ready before the caller gets the fallback.
    pub agent_timeout: Duration,
    /// The longest call.
    pub max_call: Duration,
    /// A media socket that brings nothing for this long is dead.
    pub media_silence: Duration,
    /// An agent's socket that says nothing for this long is dead.
    pub agent_silence: Duration,
    /// How long the agent's last words may take to be played after it hung up.
    pub last_words: Duration,
    /// How long a worker may keep a job without a sign of life: so long after a crash, another takes it over.
    pub job_lease: Duration,
    /// How often what exists at providers is compared with the store, without changing anything; `None` = when an
    /// operator asks for it.
    pub reconcile_every: Option<Duration>,
    /// What bears our tag at a provider, is in none of our books and is younger than this is not called an orphan: its
    /// purchase may be under way.
    pub orphan_age: Duration,
    /// Who may take numbers into service that a carrier's account holds already.
    pub imports: ImportPolicy,
    /// Where tenants' numbers come from; by default each is bought for its tenant.
    pub number_policy: NumberPolicy,
    /// For how long who calls a shared number back reaches whoever called them from it.
    pub shared_contact_lifetime: Duration,
    /// How long a number that is given back is kept out of service before; by default not at all, or thirty days when
    /// it goes back to the pool.
    pub quarantine: Option<Duration>,
    /// In whose account at the carrier numbers are bought; by default in the operator's.
    pub accounts: AccountPolicy,
    /// Where calls go by SIP; by default nowhere, and numbers have no trunks.
    pub sip: Option<SipMedia>,
    /// What a caller hears when the number is nobody's.
    pub unknown_number_message: String,
    /// What a caller hears when nobody can take the call.
    pub refused_message: String,
    /// What a caller hears when the agent cannot be reached.
    pub fallback_message: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_lifetime: Duration::from_mins(30),
            refresh_lifetime: Duration::from_hours(7 * 24),
            agent_timeout: Duration::from_secs(3),
            max_call: Duration::from_hours(1),
            media_silence: Duration::from_secs(10),
            agent_silence: Duration::from_mins(1),
            last_words: Duration::from_secs(30),
            job_lease: Duration::from_secs(30),
            number_policy: NumberPolicy::default(),
            shared_contact_lifetime: Duration::from_hours(30 * 24),
            quarantine: None,
            accounts: AccountPolicy::default(),
            sip: None,
            reconcile_every: None,
            orphan_age: Duration::from_mins(15),
            imports: ImportPolicy::default(),
            unknown_number_message: "The number you have called is not in service.".to_owned(),
            refused_message: "We cannot take your call at the moment. Please try again later.".to_owned(),
            fallback_message:
                "We are sorry, we cannot take your call right now. Please call again in a few minutes."
                    .to_owned(),
        }
    }
}

/// Where providers reach us.
#[derive(Debug, Clone)]
pub(crate) struct PublicUrl(Url);

impl PublicUrl {
    pub(crate) fn webhook(&self, provider: &str, kind: &str) -> Url {
        self.join(&format!("webhooks/{provider}/{kind}"))
    }

    pub(crate) fn media(&self, provider: &str, token: &str) -> Url {
        let mut url = self.join(&format!("media/{provider}/{token}"));
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        let _ = url.set_scheme(scheme);
        url
    }

    fn join(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }
}

struct Inner {
    store: Arc<dyn Store>,
    ambient: Ambient,
    settings: Settings,
    public_url: PublicUrl,
    telephony: Vec<Arc<dyn TelephonyProvider>>,
    voice_agents: Vec<Arc<dyn VoiceAgentProvider>>,
    authenticators: Vec<Arc<dyn Authenticator>>,
    sinks: Vec<Arc<dyn EventSink>>,
    mailer: Option<Arc<dyn Mailer>>,
    rates: RateTable,
    plans: Catalogue,
    passwords: Passwords,
    access_tokens: AccessTokens,
    call_tokens: CallTokens,
    sealer: Sealer,
    routes: RouteCache,
    subaccounts: SubaccountCache,
    live: LiveCalls,
    tools: Tools,
    tasks: TaskTracker,
    draining: CancellationToken,
}

/// The library put together. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct VoiceSaas(Arc<Inner>);

impl fmt::Debug for VoiceSaas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoiceSaas")
            .field("store", &self.0.store)
            .field("public_url", &self.0.public_url.0.as_str())
            .field("telephony", &self.0.telephony)
            .field("voice_agents", &self.0.voice_agents)
            .finish_non_exhaustive()
    }
}

/// Puts a [`VoiceSaas`] together.
#[derive(Debug)]
pub struct VoiceSaasBuilder {
    store: Arc<dyn Store>,
    key: SecretKey,
    public_url: Url,
    ambient: Ambient,
    settings: Settings,
    telephony: Vec<Arc<dyn TelephonyProvider>>,
    voice_agents: Vec<Arc<dyn VoiceAgentProvider>>,
    authenticators: Vec<Arc<dyn Authenticator>>,
    sinks: Vec<Arc<dyn EventSink>>,
    mailer: Option<Arc<dyn Mailer>>,
    rates: RateTable,
    plans: Catalogue,
    tools: Tools,
}

impl VoiceSaasBuilder {
    /// Adds a carrier. The first is the one that numbers are bought from unless a request names another.
    #[must_use]
    pub fn with_telephony(mut self, provider: impl TelephonyProvider) -> Self {
        self.telephony.push(Arc::new(provider));
        self
    }

    /// Adds a voice-agent platform. The first is the one that agents run on unless a request names another.
    #[must_use]
    pub fn with_voice_agents(mut self, provider: impl VoiceAgentProvider) -> Self {
        self.voice_agents.push(Arc::new(provider));
        self
    }

    /// Adds a login of your own, asked before the library's tokens and keys.
    #[must_use]
    pub fn with_authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticators.push(Arc::new(authenticator));
        self
    }

    /// Adds somebody who wants to know what happens.
    #[must_use]
    pub fn with_event_sink(mut self, sink: impl EventSink) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// Sends mail through it. Without one, mails that are written wait as dead jobs for an operator.
    #[must_use]
    pub fn with_mailer(mut self, mailer: impl Mailer) -> Self {
        self.mailer = Some(Arc::new(mailer));
        self
    }

    /// Adds something that agents can do during a call. A tool of the same name is replaced.
    #[must_use]
    pub fn with_tool(mut self, tool: impl Tool) -> Self {
        self.tools.add(tool);
        self
    }

    /// Takes time, ids and randomness from here.
    #[must_use]
    pub fn with_ambient(mut self, ambient: Ambient) -> Self {
        self.ambient = ambient;
        self
    }

    /// Other times and words.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Other rates.
    #[must_use]
    pub fn with_rates(mut self, rates: RateTable) -> Self {
        self.rates = rates;
        self
    }

    /// Other plans.
    #[must_use]
    pub fn with_plans(mut self, plans: Catalogue) -> Self {
        self.plans = plans;
        self
    }

    /// All put together.
    pub fn build(self) -> VoiceSaas {
        VoiceSaas(Arc::new(Inner {
            passwords: Passwords::new(),
            access_tokens: AccessTokens::new(&self.key, self.settings.access_lifetime),
            call_tokens: CallTokens::new(&self.key),
            sealer: Sealer::new(&self.key),
            routes: RouteCache::new(Arc::clone(&self.store)),
            subaccounts: SubaccountCache::default(),
            live: LiveCalls::default(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            store: self.store,
            ambient: self.ambient,
            settings: self.settings,
            public_url: PublicUrl(self.public_url),
            telephony: self.telephony,
            voice_agents: self.voice_agents,
            authenticators: self.authenticators,
            sinks: self.sinks,
            mailer: self.mailer,
            rates: self.rates,
            plans: self.plans,
            tools: self.tools,
        }))
    }
}

impl VoiceSaas {
    /// Begins with what cannot be missing: where things are written, the service's secret, and the address under
    /// which providers reach it.
    pub fn builder(store: Arc<dyn Store>, key: SecretKey, public_url: Url) -> VoiceSaasBuilder {
        VoiceSaasBuilder {
            store,
            key,
            public_url,
            ambient: Ambient::system(),
            settings: Settings::default(),
            telephony: Vec::new(),
            voice_agents: Vec::new(),
            authenticators: Vec::new(),
            sinks: Vec::new(),
            mailer: None,
            rates: RateTable::built_in(),
            plans: Catalogue::built_in(),
            tools: Tools::built_in(),
        }
    }

    /// Registering, logging in, keys.
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts::new(self)
    }

    /// The tenant itself.
    pub fn tenants(&self) -> Tenants<'_> {
        Tenants::new(self)
    }

    /// Agents.
    pub fn agents(&self) -> Agents<'_> {
        Agents::new(self)
    }

    /// Numbers.
    pub fn numbers(&self) -> Numbers<'_> {
        Numbers::new(self)
    }

    /// Numbers that move in from other carriers.
    pub fn ports(&self) -> Ports<'_> {
        Ports::new(self)
    }

    /// The operator's own numbers.
    pub fn number_pool(&self) -> NumberPool<'_> {
        NumberPool::new(self)
    }

    /// SIP trunks.
    pub fn trunks(&self) -> Trunks<'_> {
        Trunks::new(self)
    }

    /// What tenants use, and may use yet.
    pub fn usage(&self) -> Usages<'_> {
        Usages::new(self)
    }

    /// What calls cost, and what tenants are charged.
    pub fn ledger(&self) -> Ledgers<'_> {
        Ledgers::new(self)
    }

    /// Calls as tenants see them.
    pub fn calls(&self) -> Calls<'_> {
        Calls::new(self)
    }

    /// Calls as carriers and platforms tell of them.
    pub fn inbound(&self) -> InboundCalls<'_> {
        InboundCalls::new(self)
    }

    /// Requests that are done once, however often they are sent.
    pub fn idempotency(&self) -> Idempotency<'_> {
        Idempotency::new(self)
    }

    /// What exists at providers against what the store says: for operators.
    pub fn reconciliation(&self) -> Reconciliation<'_> {
        Reconciliation::new(self)
    }

    /// Mail: writing it down, so that a job sends it.
    pub fn mail(&self) -> Mails<'_> {
        Mails::new(self)
    }

    /// Durable jobs: running them, looking at them.
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs::new(self)
    }

    /// Who is calling: an embedder's login first, then access tokens and API keys.
    ///
    /// # Errors
    /// `Unauthenticated`, `Store`.
    pub async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Principal, AuthError> {
        for authenticator in &self.0.authenticators {
            if let Some(principal) = authenticator.authenticate(credentials, &Mint::new()).await? {
                return Ok(principal);
            }
        }
        let bearer = credentials.bearer().ok_or(AuthError::Unauthenticated)?;
        let text = secrecy::ExposeSecret::expose_secret(&bearer);
        if text.starts_with("vsk_") {
            return self.accounts().authenticate_api_key(&bearer).await;
        }
        self.0
            .access_tokens
            .read(text, self.ambient().now())
            .ok_or(AuthError::Unauthenticated)
    }

    /// Where things are written.
    pub fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    /// Time, ids, randomness.
    pub fn ambient(&self) -> &Ambient {
        &self.0.ambient
    }

    /// Times and words.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The plans on offer.
    pub fn plans(&self) -> &Catalogue {
        &self.0.plans
    }

    /// What providers charge.
    pub fn rates(&self) -> &RateTable {
        &self.0.rates
    }

    /// The carrier of this name.
    pub fn telephony(&self, name: &str) -> Option<&Arc<dyn TelephonyProvider>> {
        self.0
            .telephony
            .iter()
            .find(|provider| provider.name().as_str() == name)
    }

    /// The carrier that numbers are bought from.
    ///
    /// # Errors
    /// `Unsupported` when there is none.
    pub fn default_telephony(&self) -> Result<&Arc<dyn TelephonyProvider>, ProviderError> {
        self.0.telephony.first().ok_or_else(|| missing("find a carrier"))
    }

    /// The voice-agent platform of this name.
    pub fn voice_agents(&self, name: &str) -> Option<&Arc<dyn VoiceAgentProvider>> {
        self.0
            .voice_agents
            .iter()
            .find(|provider| provider.name().as_str() == name)
    }

    /// The platform that agents run on.
    ///
    /// # Errors
    /// `Unsupported` when there is none.
    pub fn default_voice_agents(&self) -> Result<&Arc<dyn VoiceAgentProvider>, ProviderError> {
        self.0
            .voice_agents
            .first()
            .ok_or_else(|| missing("find a voice-agent platform"))
    }

    /// Makes what shared agents run on, at every platform. What fails is logged and made at the first call.
    pub async fn warm_up(&self) {
        for provider in &self.0.voice_agents {
            if let Err(error) = provider.warm_up().await {
                tracing::warn!(
                    provider = %error.provider(), detail = error.detail(), "could not warm up the voice agents: {error}"
                );
            }
        }
    }

    /// Whether calls are being finished and no new ones shall come.
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Lets the live calls finish, for at most `patience`; then ends those that are left. How many were left.
    pub async fn drain(&self, patience: Duration) -> usize {
        self.0.draining.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(patience, self.0.tasks.wait()).await.is_ok() {
            return 0;
        }
        let left = self.0.live.end_all();
        // Closing sockets and writing the last rows takes a moment, and no more than that.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.0.tasks.wait()).await;
        left
    }

    pub(crate) fn all_telephony(&self) -> &[Arc<dyn TelephonyProvider>] {
        &self.0.telephony
    }

    pub(crate) fn all_voice_agents(&self) -> &[Arc<dyn VoiceAgentProvider>] {
        &self.0.voice_agents
    }

    pub(crate) fn has_provider(&self, name: &str) -> bool {
        self.telephony(name).is_some() || self.voice_agents(name).is_some()
    }

    pub(crate) fn public_url(&self) -> &PublicUrl {
        &self.0.public_url
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    pub(crate) fn access_tokens(&self) -> &AccessTokens {
        &self.0.access_tokens
    }

    pub(crate) fn call_tokens(&self) -> &CallTokens {
        &self.0.call_tokens
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    pub(crate) fn routes(&self) -> &RouteCache {
        &self.0.routes
    }

    pub(crate) fn subaccounts(&self) -> &SubaccountCache {
        &self.0.subaccounts
    }

    pub(crate) fn live(&self) -> &LiveCalls {
        &self.0.live
    }

    pub(crate) fn tools(&self) -> &Tools {
        &self.0.tools
    }

    pub(crate) fn mailer(&self) -> Option<&dyn Mailer> {
        self.0.mailer.as_deref()
    }

    pub(crate) fn sinks(&self) -> &[Arc<dyn EventSink>] {
        &self.0.sinks
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }
}

fn missing(operation: &'static str) -> ProviderError {
    ProviderError::new(ProviderName::new("voice-saas"), operation, ErrorKind::Unsupported)
        .with_detail("no such provider was given to the builder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_the_prefix_under_which_the_routes_are_mounted() {
        let url = PublicUrl("https://example.com/phone/".parse().unwrap());
        assert_eq!(
            url.webhook("twilio", "voice").as_str(),
            "https://example.com/phone/webhooks/twilio/voice"
        );
        assert_eq!(
            url.media("twilio", "abc").as_str(),
            "wss://example.com/phone/media/twilio/abc"
        );
        let plain = PublicUrl("http://127.0.0.1:8080".parse().unwrap());
        assert_eq!(
            plain.media("twilio", "abc").as_str(),
            "ws://127.0.0.1:8080/media/twilio/abc"
        );
    }
}
