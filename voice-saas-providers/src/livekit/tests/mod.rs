//! The adapter against recorded answers (`wire`) and against the emulator.

#[cfg(feature = "emulator")]
mod calls;
#[cfg(all(feature = "emulator", feature = "testing"))]
mod conformance;
#[cfg(feature = "emulator")]
mod routes;
mod webhook;
mod wire;

#[cfg(feature = "emulator")]
use super::LiveKit;
#[cfg(feature = "emulator")]
use crate::emulator::{Emulator, EmulatorConfig};

#[cfg(feature = "emulator")]
async fn emulator() -> Emulator {
    Emulator::start(EmulatorConfig::new("127.0.0.1:0".parse().unwrap()))
        .await
        .unwrap()
}

/// With the retries of production: what is sent once is sent once by itself.
#[cfg(feature = "emulator")]
fn livekit(emulator: &Emulator) -> super::LiveKitBuilder {
    LiveKit::builder(
        emulator.url().clone(),
        emulator.livekit_api_key(),
        emulator.livekit_api_secret().clone(),
    )
    .with_sip_host("abc123.sip.livekit.cloud")
}
