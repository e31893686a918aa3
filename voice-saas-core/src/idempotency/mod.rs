//! `Idempotency-Key`: the same key and the same body get the same answer.

mod service;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::store::StoreError;

pub use service::{Idempotency, KeyedRequest};

/// An answer that was given to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a status and a body")]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body. A repository gets it sealed: an answer may hold a secret that is shown once.
    pub body: Vec<u8>,
}

/// What a key means now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the caller must handle each")]
pub enum KeyState {
    /// Seen for the first time: do the work, then [`complete`](IdempotencyRepo::complete) it.
    Fresh,
    /// Done before: give this answer again.
    Answered(StoredAnswer),
    /// Being done right now.
    InFlight,
    /// Used before for something else.
    OtherRequest,
}

/// A tenant's idempotency keys, one set per route.
#[async_trait]
pub trait IdempotencyRepo: Send {
    /// Takes the key for a request with this hash. A key that is in flight since before `stale_before` belongs to
    /// a server that died, and is fresh again.
    async fn begin(
        &mut self,
        route: &str,
        key: &str,
        request_hash: &[u8; 32],
        now: Timestamp,
        stale_before: Timestamp,
    ) -> Result<KeyState, StoreError>;
    /// Keeps the answer.
    async fn complete(&mut self, route: &str, key: &str, answer: &StoredAnswer) -> Result<(), StoreError>;
    /// Lets the key go: the work was not done and may be tried again.
    async fn release(&mut self, route: &str, key: &str) -> Result<(), StoreError>;
}
