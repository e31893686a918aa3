//! A complete voice-saas service: it reads settings, puts the crates together and serves. Every rule lives in the
//! library.

mod demo;
mod keys;
mod providers;
mod serve;
mod settings;
mod story;
mod system;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use settings::Settings;

/// The boxed error of a command.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(name = "reference-server", version, about = "A complete voice-saas service")]
struct Cli {
    /// A TOML file with the same keys as the environment
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Serve the API (what happens without a command)
    Serve,
    /// Run the main job by itself: two tenants, two numbers, two calls at once
    Demo,
    /// Run the emulated providers alone; a server finds them by its emulator URL
    Emulator,
    /// Run jobs and serve nothing
    Worker,
    /// Bring the database up to date and stop
    Migrate,
    /// Print the OpenAPI document
    Openapi,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(default_level(cli.command).into())
                .from_env_lossy(),
        )
        .with_writer(std::io::stderr)
        .init();
    match run(cli).await {
        Ok(code) => code,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            eprintln!("reference-server: {text}");
            ExitCode::FAILURE
        }
    }
}

/// The demo tells its own story; log lines would run through it.
fn default_level(command: Option<Command>) -> tracing_subscriber::filter::LevelFilter {
    match command {
        Some(Command::Demo | Command::Openapi) => tracing_subscriber::filter::LevelFilter::ERROR,
        _ => tracing_subscriber::filter::LevelFilter::INFO,
    }
}

async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let settings = cli.settings.with_file(cli.config.as_ref())?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::serve(settings).await?,
        Command::Worker => {
            let settings = Settings {
                worker: Some("only".to_owned()),
                ..settings
            };
            serve::serve(settings).await?;
        }
        Command::Demo => return demo::demo(settings).await,
        Command::Emulator => serve::emulator(&settings).await?,
        Command::Migrate => {
            voice_saas_providers::sql::migrate(&settings.database_url()).await?;
            println!("The database is up to date.");
        }
        Command::Openapi => println!("{}", voice_saas_axum::openapi().to_pretty_json()?),
    }
    Ok(ExitCode::SUCCESS)
}
