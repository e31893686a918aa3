//! Live events: one stream for all numbers of the account, without a past.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use super::Knowlarity;
use crate::emulator::fault::{FaultKind, Operation};
use crate::emulator::world::World;

impl Knowlarity {
    /// Tells everybody who listens now.
    pub(super) fn tell(&self, event: &Value) {
        // An error would be that nobody listens.
        let _ = self.events.send(event.to_string());
    }
}

/// `GET update-stream/{key}/konnect`.
pub(super) async fn stream(State(world): State<Arc<World>>) -> Response {
    let fault = world.faults.take(Operation::LiveStream, &[FaultKind::DropSocket]);
    let events = world.knowlarity.events.subscribe();
    let running = world.running();
    // The comment makes the headers go out at once.
    let first = Some(Bytes::from_static(b": connected\n\n"));
    let chunks = stream::unfold(
        (first, events, fault, false),
        move |(first, mut events, fault, broken)| {
            let running = running.clone();
            async move {
                if broken {
                    return None;
                }
                if let Some(first) = first {
                    return Some((Ok(first), (None, events, fault, false)));
                }
                let event = tokio::select! {
                    () = running.cancelled() => return None,
                    event = events.recv() => event,
                };
                let event = match event {
                    Ok(event) => event,
                    // Whoever reads too slowly has missed what came in between, as everywhere.
                    Err(RecvError::Lagged(_)) => {
                        return Some((
                            Ok(Bytes::from_static(b": lagged\n\n")),
                            (None, events, fault, false),
                        ));
                    }
                    Err(RecvError::Closed) => return None,
                };
                if let Some(fault) = fault {
                    tokio::time::sleep(fault.delay().unwrap_or_default()).await;
                    return Some((
                        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
                        (None, events, None, true),
                    ));
                }
                let chunk = Bytes::from(format!("data: {event}\n\n"));
                Some((Ok(chunk), (None, events, None, false)))
            }
        },
    );
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(chunks)).into_response()
}
