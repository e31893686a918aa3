//! The whole system in one process.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;
use voice_saas_axum::{ApiState, RateLimits};
use voice_saas_core::{
    Settings, VoiceSaas, VoiceSaasBuilder,
    auth::SecretKey,
    job::{Job, JobState},
    page::PageRequest,
    plan::Catalogue,
    testing::system_scope,
    trunk::SipMedia,
};
use voice_saas_providers::{
    elevenlabs::{AttachMode, ElevenLabs},
    emulator::{
        CallReport, CallerAudio, Emulator, EmulatorConfig, Fault, FaultKind, Operation, PlaceCall, Script,
    },
    knowlarity::Knowlarity,
    livekit::{LiveKit, SipTransport},
    sql::testing::FreshPostgres,
    twilio::{Twilio, sign_for_tests},
};

use crate::{
    Answer, Api, Database, HeldTool, TestUser, clock::TestClock, database::FreshDatabase, events::Events,
    wait::eventually,
};

/// What operators present.
pub const OPERATOR_TOKEN: &str = "the operator token of the tests";

/// How the system is put together.
#[derive(Debug)]
pub struct TestAppBuilder {
    database: Database,
    attach: AttachMode,
    carrier_token: Option<SecretString>,
    settings: Settings,
    sip: bool,
    plans: Catalogue,
}

impl TestAppBuilder {
    /// With these plans, as TOML.
    ///
    /// # Panics
    /// When they are wrong.
    #[must_use]
    pub fn with_plans(mut self, plans: &str) -> Self {
        self.plans = Catalogue::from_toml(plans).unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// How calls are connected to their agents.
    #[must_use]
    pub fn with_attach(mut self, attach: AttachMode) -> Self {
        self.attach = attach;
        self
    }

    /// Uses a token that the carrier does not take.
    #[must_use]
    pub fn with_wrong_carrier_token(mut self) -> Self {
        self.carrier_token = Some(SecretString::from("0123456789abcdef0123456789abcdef"));
        self
    }

    /// With other times and words.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Adds LiveKit, to which trunks lead, and Knowlarity, whose numbers are imported.
    #[must_use]
    pub fn with_sip(mut self) -> Self {
        self.settings.sip = Some(SipMedia::new("livekit", SIP_HOST, "receptionist"));
        self.sip = true;
        self
    }

    /// Starts everything; `None`, said aloud, where the database is not to be had.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(self) -> Option<TestApp> {
        let database = self.database.fresh().await?;
        let any_port = "127.0.0.1:0";
        let config = EmulatorConfig::new(any_port.parse().expect("an address"));
        let emulator = Emulator::start(config).await.expect("the emulator starts");
        let listener = TcpListener::bind(any_port).await.expect("a port is free");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let url = Url::parse(&format!("http://{addr}")).expect("an address makes a URL");
        let path = |path| url.join(path).expect("a path joins a URL");
        emulator.set_post_call_url(path("/webhooks/elevenlabs/post-call"));

        let token = self
            .carrier_token
            .unwrap_or_else(|| emulator.twilio_auth_token().clone());
        let twilio = Twilio::builder(emulator.twilio_account_sid(), token)
            .with_base_url(emulator.url().clone())
            .with_public_url(url.clone())
            .build()
            .expect("Twilio's settings are right");
        let elevenlabs = ElevenLabs::builder(emulator.elevenlabs_api_key().clone())
            .with_base_url(emulator.url().clone())
            .with_webhook_secret(emulator.elevenlabs_webhook_secret().clone())
            .with_attach(self.attach)
            .build()
            .expect("ElevenLabs' settings are right");
        let clock = Arc::new(TestClock::default());
        let (held_tool, events) = (HeldTool::new(), Events::default());
        let key = SecretKey::new([7; SecretKey::MIN_BYTES]).expect("the key is long enough");
        let app = VoiceSaas::builder(Arc::clone(&database.store), key, url.clone())
            .with_telephony(twilio)
            .with_voice_agents(elevenlabs)
            .with_ambient(clock.ambient())
            .with_settings(self.settings)
            .with_plans(self.plans)
            .with_event_sink(events.clone())
            .with_tool(held_tool.clone());
        let app = if self.sip { with_sip(app, &emulator) } else { app };
        let app = app.build();
        app.warm_up().await;

        let api = ApiState::new(app.clone())
            .with_operator_token(OPERATOR_TOKEN.into())
            .with_rate_limits(RateLimits::off());
        let stop = CancellationToken::new();
        let serving = voice_saas_axum::serve(
            listener,
            voice_saas_axum::router(api),
            stop.clone().cancelled_owned(),
        );
        let server = tokio::spawn(async move { serving.await.expect("the server runs until it is stopped") });
        let worker = {
            let (app, stop) = (app.clone(), stop.clone());
            tokio::spawn(async move { app.jobs().work(stop).await })
        };
        Some(TestApp {
            api: Api::new(url),
            app,
            emulator,
            held_tool,
            events,
            clock,
            database,
            stop,
            running: vec![server, worker],
            finished: false,
        })
    }
}

fn with_sip(app: VoiceSaasBuilder, emulator: &Emulator) -> VoiceSaasBuilder {
    let url = emulator.url();
    let livekit = LiveKit::builder(
        url.clone(),
        emulator.livekit_api_key(),
        emulator.livekit_api_secret().clone(),
    );
    let keys = (emulator.knowlarity_authorization(), emulator.knowlarity_api_key());
    let knowlarity = Knowlarity::builder(keys.0.clone(), keys.1.clone()).with_base_url(url.clone());
    let livekit = livekit
        .with_sip_host(SIP_HOST)
        .with_stored_outbound_trunk(SipTransport::Tls, None)
        .build();
    app.with_telephony(livekit.expect("LiveKit's settings are right"))
        .with_telephony(knowlarity.build().expect("Knowlarity's settings are right"))
}

/// Where carriers send calls.
const SIP_HOST: &str = "abc123.sip.livekit.cloud";

/// The whole system in one process: a fresh store, emulated providers, the real adapters, the served routes and a
/// job worker. A test ends it with [`finish`](Self::finish), which fails when a job died.
#[derive(Debug)]
pub struct TestApp {
    api: Api,
    app: VoiceSaas,
    emulator: Emulator,
    held_tool: HeldTool,
    events: Events,
    clock: Arc<TestClock>,
    database: FreshDatabase,
    stop: CancellationToken,
    running: Vec<JoinHandle<()>>,
    finished: bool,
}

impl TestApp {
    /// A system on this database.
    pub fn on(database: Database) -> TestAppBuilder {
        TestAppBuilder {
            database,
            attach: AttachMode::Bridge,
            carrier_token: None,
            settings: Settings::default(),
            sip: false,
            plans: Catalogue::built_in(),
        }
    }

    /// The usual system on this database; `None`, said aloud, where it is not to be had.
    pub async fn start(database: Database) -> Option<Self> {
        Self::on(database).start().await
    }

    /// A client without credentials.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// A client with the operators' credentials.
    pub fn operator(&self) -> Api {
        self.api.with_bearer(OPERATOR_TOKEN)
    }

    /// The library, for what no route does: draining.
    pub fn app(&self) -> &VoiceSaas {
        &self.app
    }

    /// The providers.
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// The tool that answers when the test lets it.
    pub fn held_tool(&self) -> &HeldTool {
        &self.held_tool
    }

    /// The domain events of this kind that were delivered, oldest first.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.events.of_kind(kind).into_iter();
        events.map(|event| event.payload).collect()
    }

    /// The database, where it is PostgreSQL's.
    pub fn postgres(&self) -> Option<&FreshPostgres> {
        self.database.postgres.as_deref()
    }

    /// Registers a business.
    pub async fn register(&self, business: &str) -> TestUser {
        TestUser::register(&self.api, business).await
    }

    /// Lets the next `times` uses of a provider's operation go wrong.
    ///
    /// # Panics
    /// When the fault makes no sense there.
    pub fn break_next(&self, operation: Operation, kind: FaultKind, times: u32) {
        self.inject(Fault::new(operation, kind).with_times(times));
    }

    /// Lets something go wrong at a provider.
    ///
    /// # Panics
    /// When the fault makes no sense.
    pub fn inject(&self, fault: Fault) {
        self.emulator.inject(fault).expect("the fault is possible");
    }

    /// Moves the time of the system and of the providers forward, and lets due jobs run.
    ///
    /// # Panics
    /// When the store does not answer.
    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.emulator.advance_clock(by);
        self.app.store().wake_jobs().await.expect("the store answers");
    }

    /// Moves the time of the system alone forward, and lets due jobs run: tokens that it made stay good at providers.
    ///
    /// # Panics
    /// When the store does not answer.
    pub async fn advance_system(&self, by: Duration) {
        self.clock.advance(by);
        self.app.store().wake_jobs().await.expect("the store answers");
    }

    /// Somebody calls this number; answers the carrier's id of the call.
    ///
    /// # Panics
    /// When the emulator refuses the script.
    pub fn place_call(&self, number: &str, script: Script) -> String {
        let call = PlaceCall::new(CALLER, number).with_script(script);
        self.emulator.place_call(call).expect("the call can be placed")
    }

    /// The call once it has ended and its status callback was answered.
    ///
    /// # Panics
    /// When there is no such call.
    pub async fn wait_for_call(&self, sid: &str) -> CallReport {
        self.emulator
            .wait_for_call(sid)
            .await
            .expect("the call was placed")
    }

    /// Somebody calls this number, and the call ends.
    pub async fn call(&self, number: &str, script: Script) -> CallReport {
        let sid = self.place_call(number, script);
        self.wait_for_call(&sid).await
    }

    /// The numbers that the carrier's account owns.
    ///
    /// # Panics
    /// When the emulator does not list them.
    pub fn owned_numbers(&self) -> Vec<Value> {
        self.emulator.state()["twilio"]["numbers"]
            .as_array()
            .expect("numbers are listed")
            .clone()
    }

    /// Sends a webhook of the carrier, rightly signed.
    pub async fn carrier_webhook(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let url = self.api.url(path);
        let token = self.emulator.twilio_auth_token().expose_secret();
        let signature = sign_for_tests(token, url.as_str(), form);
        let request = self.api.request(reqwest::Method::POST, path);
        Answer::of(request.form(form).header("x-twilio-signature", signature)).await
    }

    async fn jobs(&self, state: JobState) -> Vec<Job> {
        let mut tx = self
            .app
            .store()
            .begin_system(&system_scope())
            .await
            .expect("the store answers");
        let page = PageRequest::new(PageRequest::MAX, None).expect("the largest page");
        let jobs = tx.job_queue().jobs(Some(state), page).await;
        jobs.expect("jobs are listed").data
    }

    /// Lets what is due run, ends everything, and makes sure that no job died.
    ///
    /// # Panics
    /// When a job died.
    pub async fn finish(mut self) {
        self.finished = true;
        eventually("the end of all jobs that are due", async || {
            let now = self.app.ambient().now();
            let ready = self.jobs(JobState::Ready).await;
            let due = ready.iter().any(|job| job.run_at <= now && job.attempt == 0);
            (!due && self.jobs(JobState::Leased).await.is_empty()).then_some(())
        })
        .await;
        let dead = self.jobs(JobState::Dead).await;
        assert!(dead.is_empty(), "jobs died: {dead:#?}");

        self.stop.cancel();
        self.app.drain(Duration::from_secs(1)).await;
        for running in self.running.drain(..) {
            running.await.expect("nothing panics in the background");
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
        // A test that fails anyway has its own story to tell.
        assert!(
            self.finished || std::thread::panicking(),
            "a test must end with finish(), which looks for dead jobs"
        );
    }
}

/// Who calls in every test.
pub const CALLER: &str = "+12125550123";

/// A caller who waits for the greeting, says nothing and hangs up.
pub fn listener() -> Script {
    Script::new().with_audio(CallerAudio::Silence).without_probe()
}

/// A caller who says this after the greeting, waits for the answer and hangs up.
pub fn caller_says(text: &str) -> Script {
    listener().with_say(text)
}
