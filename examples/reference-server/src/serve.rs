//! Serving, until somebody says stop.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{Failure, providers, settings::Settings, system::System};

/// How long calls that run may go on after somebody said stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves the API and runs jobs, as far as the settings say so.
pub(crate) async fn serve(settings: Settings) -> Result<(), Failure> {
    let roles = settings.roles()?;
    let system = System::new(&settings).await?;
    let api = system.api(&settings)?;
    print_banner(&system, &settings);
    system.app.warm_up().await;

    let stop = CancellationToken::new();
    let worker = roles.works.then(|| {
        let (app, stop) = (system.app.clone(), stop.clone());
        tokio::spawn(async move { app.jobs().work(stop).await })
    });
    if roles.serves {
        let (app, stop) = (system.app.clone(), stop.clone());
        let drained = async move {
            asked_to_stop().await;
            tracing::info!("finishing the calls that run");
            let left = app.drain(PATIENCE).await;
            tracing::info!(left, "stopping");
            stop.cancel();
        };
        voice_saas_axum::serve(system.listener, voice_saas_axum::router(api), drained).await?;
    } else {
        asked_to_stop().await;
        stop.cancel();
    }
    if let Some(worker) = worker {
        worker.await?;
    }
    if let Some(emulator) = system.providers.emulator {
        emulator.shutdown().await;
    }
    Ok(())
}

/// Serves the emulated providers alone.
pub(crate) async fn emulator(settings: &Settings) -> Result<(), Failure> {
    let emulator = providers::start_emulator(settings).await?;
    println!("The emulated providers listen on {}", emulator.url());
    println!("Use them with EMULATOR_URL={}", emulator.url());
    asked_to_stop().await;
    emulator.shutdown().await;
    Ok(())
}

async fn asked_to_stop() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

fn print_banner(system: &System, settings: &Settings) {
    let url = system.local_url.as_str().trim_end_matches('/');
    println!("voice-saas reference server {}\n", env!("CARGO_PKG_VERSION"));
    for (provider, real) in system.providers.kinds() {
        println!("  {provider:<10}  {}", if real { "real" } else { "EMULATED" });
    }
    println!("  database    {}", database_kind(settings));
    println!("  providers call {}\n", system.public_url);
    println!("  API         {url}/docs    (document: {url}/openapi.json)");
    println!("  health      {url}/readyz  metrics: {url}/metrics");
    if let Some(file) = &system.keys.operator_token_file {
        println!(
            "  operators   Authorization: Bearer $(cat {})  on {url}/v1/admin/…",
            file.display()
        );
    }
    if let Some(emulator) = &system.providers.emulator_url {
        println!("  emulator    {emulator}_control/state");
        println!(
            "\nTry it (needs curl and jq):\n\n{}",
            walk_through(url, emulator.as_str().trim_end_matches('/'))
        );
    }
}

fn database_kind(settings: &Settings) -> String {
    use secrecy::ExposeSecret;
    let url = settings.database_url();
    let url = url.expose_secret();
    match url.split_once(':') {
        Some(("sqlite", path)) => format!("SQLite, {path}"),
        _ => "PostgreSQL".to_owned(),
    }
}

/// The main job by hand. The README prints the same lines.
fn walk_through(url: &str, emulator: &str) -> String {
    include_str!("walk-through.sh")
        .replace("http://127.0.0.1:8080", url)
        .replace("http://127.0.0.1:8089", emulator)
}

#[cfg(test)]
mod tests {
    const README: &str = include_str!("../../../README.md");

    #[test]
    fn the_readme_prints_the_same_walk_through() {
        assert!(README.contains(include_str!("walk-through.sh").trim()));
    }

    #[test]
    fn the_readme_prints_the_minimal_example() {
        assert!(README.contains(include_str!("../../minimal/src/main.rs").trim()));
    }
}
