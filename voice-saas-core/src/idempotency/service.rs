//! Doing a request once, however often it is sent.

use std::time::Duration;

use super::{KeyState, StoredAnswer};
use crate::{
    VoiceSaas,
    scope::TenantScope,
    store::{StoreError, StoreErrorKind},
};

/// A request that is in flight for longer than this belongs to a server that died.
const STALE: Duration = Duration::from_mins(2);

/// A request with an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the three parts that tell requests apart"
)]
pub struct KeyedRequest {
    /// The route as it was written down, such as `/v1/numbers`: every route has keys of its own.
    pub route: String,
    /// The key.
    pub key: String,
    /// A hash of all that makes up the request.
    pub hash: [u8; 32],
}

/// Requests that are done once: see [`VoiceSaas::idempotency`].
#[derive(Debug)]
pub struct Idempotency<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Idempotency<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// Takes the key, or says what came of the request that has it.
    ///
    /// # Errors
    /// `Store`; `Corrupt` when the answer was sealed under another secret key.
    pub async fn begin(&self, scope: &TenantScope, request: &KeyedRequest) -> Result<KeyState, StoreError> {
        let now = self.app.ambient().now();
        let mut tx = self.app.store().begin(scope).await?;
        let KeyedRequest { route, key, hash } = request;
        let state = tx.idempotency().begin(route, key, hash, now, now - STALE).await?;
        tx.commit().await?;
        let KeyState::Answered(answer) = state else {
            return Ok(state);
        };
        let body = self
            .app
            .sealer()
            .open(&answer.body, &place(scope, request))
            .ok_or_else(|| {
                StoreError::new("open the answer to an idempotency key", StoreErrorKind::Corrupt)
            })?;
        Ok(KeyState::Answered(StoredAnswer { body, ..answer }))
    }

    /// Keeps the answer, sealed.
    ///
    /// # Errors
    /// `Store`.
    pub async fn complete(
        &self,
        scope: &TenantScope,
        request: &KeyedRequest,
        answer: &StoredAnswer,
    ) -> Result<(), StoreError> {
        let body = self
            .app
            .sealer()
            .seal(&answer.body, &place(scope, request), self.app.ambient());
        let sealed = StoredAnswer {
            status: answer.status,
            body,
        };
        let mut tx = self.app.store().begin(scope).await?;
        tx.idempotency()
            .complete(&request.route, &request.key, &sealed)
            .await?;
        tx.commit().await
    }

    /// Lets the key go: the work was not done and may be tried again.
    ///
    /// # Errors
    /// `Store`.
    pub async fn release(&self, scope: &TenantScope, request: &KeyedRequest) -> Result<(), StoreError> {
        let mut tx = self.app.store().begin(scope).await?;
        tx.idempotency().release(&request.route, &request.key).await?;
        tx.commit().await
    }
}

/// Where the answer belongs, so that it does not open for another tenant or request.
fn place(scope: &TenantScope, request: &KeyedRequest) -> Vec<u8> {
    [scope.tenant_id().as_uuid().as_bytes().as_slice(), &request.hash].concat()
}
