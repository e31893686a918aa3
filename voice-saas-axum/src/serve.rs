//! Serving a router.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt};
use tokio::net::TcpListener;

use crate::operations;

/// Measured times are put into their buckets this often, so that they do not pile up while nobody asks for metrics.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves `router` until `shutdown` resolves, and then until the requests that are under way are answered. Calls'
/// media sockets are not waited for: [`VoiceSaas::drain`](voice_saas_core::VoiceSaas::drain) does that.
///
/// A host that calls `axum::serve` itself must do two things that this does: switch `TCP_NODELAY` on for every
/// socket, without which every call gains some 20 ms of delay (`listener.tap_io(|socket| …set_nodelay(true)…)`), and
/// hand over clients' addresses, without which all clients share one rate limit
/// (`router.into_make_service_with_connect_info::<SocketAddr>()`).
///
/// # Errors
/// None today: `axum::serve` goes on after failures of single sockets.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!("a socket keeps Nagle's algorithm: {error}");
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(shutdown);
    tokio::select! {
        served = async { serving.await } => served,
        never = keep_up() => never,
    }
}

async fn keep_up() -> io::Result<()> {
    loop {
        tokio::time::sleep(UPKEEP).await;
        if let Some(recorder) = operations::recorder() {
            recorder.run_upkeep();
        }
    }
}
