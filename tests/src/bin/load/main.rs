//! Load on the ready-made routes, and what it costs them.
//!
//! The server that is measured and the load run as processes of their own, so that each can be pinned to a core:
//! `scripts/load.sh` does that, and `docs/performance.md` says what came of it.

mod drive_bridge;
mod drive_webhook;
mod frame;
mod http1;
mod leg;
mod pacer;
mod platform;
mod process;
mod relay;
mod report;
mod seed;
mod serve;
mod silent_agents;
mod stats;
mod webhook;
mod websocket;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

/// Whatever went wrong, for whoever reads the terminal.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Puts load on the ready-made routes.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves webhooks of calls whose agents never come.
    ServeWebhook(serve::ServeWebhook),
    /// Sends signed voice webhooks.
    DriveWebhook(drive_webhook::DriveWebhook),
    /// Serves whole calls, with the agents of a platform that `drive-bridge` plays.
    ServeBridge(serve::ServeBridge),
    /// Copies bytes between callers and the platform and reads none of them.
    ServeRelay(relay::ServeRelay),
    /// Plays callers, and the agents' platform that echoes what they say.
    DriveBridge(drive_bridge::DriveBridge),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{failure}");
            let mut cause = failure.source();
            while let Some(error) = cause {
                eprintln!("because {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Whether everything that was measured was also right.
fn run(command: Command) -> Result<bool, Failure> {
    match command {
        Command::ServeWebhook(args) => served(serve::webhook(args)),
        Command::ServeBridge(args) => served(serve::bridge(args)),
        Command::ServeRelay(args) => served(relay::serve(args)),
        Command::DriveWebhook(args) => driver()?.block_on(drive_webhook::drive(args)),
        Command::DriveBridge(args) => driver()?.block_on(drive_bridge::drive(args)),
    }
}

/// Runs a server as `#[tokio::main]` would on a machine of one core.
fn served(server: impl Future<Output = Result<(), Failure>> + Send + 'static) -> Result<bool, Failure> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    // As a task: the thread that blocks here would otherwise be a second one that serves.
    runtime.block_on(async { tokio::spawn(server).await? })?;
    Ok(true)
}

fn driver() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
