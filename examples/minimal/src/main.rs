//! voice-saas in a service of your own.

use axum::{Router, routing::get};
use tokio_util::sync::CancellationToken;
use voice_saas_axum::ApiState;
use voice_saas_core::{VoiceSaas, auth::SecretKey};
use voice_saas_providers::{elevenlabs::ElevenLabs, sql, twilio::Twilio};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let setting = |name: &str| {
        std::env::args()
            .skip_while(|arg| arg != name)
            .nth(1)
            .ok_or(format!("{name} VALUE"))
    };
    let public_url: url::Url = format!("{}/phone", setting("--public-url")?).parse()?;

    let store = sql::connect(&"sqlite:minimal.db".into()).await?;
    let twilio = Twilio::builder(setting("--twilio-sid")?, setting("--twilio-token")?.into())
        .with_public_url(public_url.clone())
        .build()?;
    let app = VoiceSaas::builder(store, SecretKey::new(setting("--secret-key")?)?, public_url)
        .with_telephony(twilio)
        .with_voice_agents(ElevenLabs::builder(setting("--elevenlabs-key")?.into()).build()?)
        .build();
    let worker = app.clone();
    tokio::spawn(async move { worker.jobs().work(CancellationToken::new()).await });

    let routes = Router::new()
        .route("/", get(|| async { "my own page" }))
        .nest("/phone", voice_saas_axum::router(ApiState::new(app)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(voice_saas_axum::serve(listener, routes, std::future::pending()).await?)
}
