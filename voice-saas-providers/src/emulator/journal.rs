//! The record of every request that the providers were sent.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::fault::Provider;

/// One REST request that a provider received, for tests that hold requests against the provider's specification.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// Who was asked.
    pub provider: Provider,
    /// The HTTP method.
    pub method: String,
    /// The path, as it was sent.
    pub path: String,
    /// The query, as it was sent, without `?`.
    pub query: Option<String>,
    /// The headers that say how the body is to be read; never credentials.
    pub headers: Vec<(String, String)>,
    /// The body, as it was sent.
    pub body: Vec<u8>,
    /// The status that was answered, or nothing when the connection was dropped instead.
    pub status: Option<u16>,
}

/// Headers worth recording.
pub(crate) const HEADERS: [&str; 7] = [
    "accept",
    "content-type",
    "idempotency-key",
    "stripe-version",
    "user-agent",
    "sec-websocket-protocol",
    "upgrade",
];

const MOST_REQUESTS: usize = 10_000;
const MOST_BYTES: usize = 32 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    requests: VecDeque<RecordedRequest>,
    bytes: usize,
}

impl Journal {
    /// Records a request; the oldest ones make room.
    pub(crate) fn record(&self, request: RecordedRequest) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.bytes += request.body.len();
        entries.requests.push_back(request);
        while entries.requests.len() > MOST_REQUESTS || entries.bytes > MOST_BYTES {
            let Some(oldest) = entries.requests.pop_front() else {
                break;
            };
            entries.bytes -= oldest.body.len();
        }
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .requests
            .iter()
            .cloned()
            .collect()
    }

    pub(crate) fn clear(&self) {
        *self.entries.lock().unwrap_or_else(PoisonError::into_inner) = Entries::default();
    }
}
