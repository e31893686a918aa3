//! The library as a service, with what a measurement needs around it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use clap::Args;
use secrecy::SecretString;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use url::Url;
use voice_saas_axum::{ApiState, router};
use voice_saas_core::{
    VoiceSaas, VoiceSaasBuilder,
    auth::SecretKey,
    provider::{ProviderError, voice_agent::ProviderAgentId},
    store::Store,
};
use voice_saas_providers::{elevenlabs::ElevenLabs, sql, twilio::Twilio};

use crate::{
    Failure,
    seed::seed,
    silent_agents::SilentAgents,
    world::{ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL},
};

/// Where a server listens, and how long at most.
#[derive(Debug, Args)]
pub(crate) struct Listening {
    /// Port 0 = any that is free.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Stops by itself after so many seconds.
    #[arg(long, default_value_t = 900)]
    max_seconds: u64,
}

impl Listening {
    /// Listens, and says where.
    pub(crate) async fn bind(&self) -> Result<TcpListener, Failure> {
        let listener = TcpListener::bind(self.listen).await?;
        println!("ready {} pid {}", listener.local_addr()?, std::process::id());
        Ok(listener)
    }

    /// Resolves when somebody says stop, or when the time is over.
    pub(crate) async fn stopped(&self) -> Result<(), Failure> {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => stopped?,
            _ = terminated.recv() => {}
            () = tokio::time::sleep(Duration::from_secs(self.max_seconds)) => {}
        }
        Ok(())
    }
}

/// What both kinds of service have in common.
#[derive(Debug, Args)]
pub(crate) struct Service {
    #[command(flatten)]
    listening: Listening,
    /// `sqlite:<path>` or `postgres://…`.
    #[arg(long)]
    database: String,
    /// How many numbers are in service.
    #[arg(long, default_value_t = 100_000)]
    numbers: u32,
    /// Writes a log to the standard error, as JSON.
    #[arg(long)]
    log: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeWebhook {
    #[command(flatten)]
    service: Service,
}

#[derive(Debug, Args)]
pub(crate) struct ServeBridge {
    #[command(flatten)]
    service: Service,
    /// Where `drive-bridge` plays the agents' platform.
    #[arg(long)]
    platform: SocketAddr,
}

/// Serves webhooks of calls whose agents never come.
pub(crate) async fn webhook(args: ServeWebhook) -> Result<(), Failure> {
    args.service
        .run(|app| Ok(app.with_voice_agents(SilentAgents)))
        .await
}

/// Serves whole calls.
pub(crate) async fn bridge(args: ServeBridge) -> Result<(), Failure> {
    let agents = ElevenLabs::builder("sk_load".into())
        .with_base_url(Url::parse(&format!("http://{}", args.platform))?)
        .with_shared_agent(ProviderAgentId::new("agent_load"))
        .build()?;
    args.service.run(|app| Ok(app.with_voice_agents(agents))).await
}

/// The carrier's adapter; nothing here makes it send a request.
pub(crate) fn twilio() -> Result<Twilio, ProviderError> {
    let public_url = Url::parse(PUBLIC_URL).expect("a constant that is a URL");
    Twilio::builder(ACCOUNT_SID, AUTH_TOKEN.into())
        .with_public_url(public_url)
        .build()
}

impl Service {
    async fn run(
        self,
        with_agents: impl FnOnce(VoiceSaasBuilder) -> Result<VoiceSaasBuilder, Failure>,
    ) -> Result<(), Failure> {
        if self.log {
            tracing_subscriber::fmt().json().with_writer(io::stderr).init();
        }
        let store: Arc<dyn Store> = sql::connect(&SecretString::from(self.database)).await?;
        seed(&*store, self.numbers).await?;
        let app = VoiceSaas::builder(store, SecretKey::new([7; 32])?, PUBLIC_URL.parse()?)
            .with_telephony(twilio()?);
        let app = with_agents(app)?.build();

        let listener = self.listening.bind().await?;
        let routes = router(ApiState::new(app.clone()));
        let stop = async move {
            if let Err(failure) = self.listening.stopped().await {
                eprintln!("stops at once: {failure}");
            }
            app.drain(Duration::from_secs(1)).await;
        };
        Ok(voice_saas_axum::serve(listener, routes, stop).await?)
    }
}
