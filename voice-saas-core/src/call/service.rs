//! Calls as tenants see them.

use super::{
    Call, CallEvent, CallFilter, EndReason, Outcome, Transcript, Tried, UnroutedCall, decide::decide, settle,
};
use crate::{
    VoiceSaas,
    auth::{Forbidden, Principal},
    id::{AgentId, CallId},
    ledger::LedgerEntry,
    page::{Page, PageRequest},
    phone::E164,
    provider::{ProviderError, telephony::Removal},
    scope::{SystemScope, TenantScope},
    store::{StoreError, StoreErrorKind},
    subaccount::CarrierError,
    tenant::Role,
    usage::{self, CallKind},
    validate::Invalid,
};

/// Why a call's request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Something about the request itself.
    #[error("the request cannot be accepted")]
    Invalid(#[from] Invalid),
    /// The caller's role is not enough.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The carrier failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What would become of a call, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "an explanation and its parts")]
pub struct Explanation {
    /// The agent that would take it, or why nobody would.
    pub outcome: Result<AgentId, EndReason>,
    /// Every rule that was looked at.
    pub tried: Vec<Tried>,
}

/// Calls as tenants see them: see [`VoiceSaas::calls`].
#[derive(Debug)]
pub struct Calls<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Calls<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// Newest first.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn list(
        &self,
        principal: &Principal,
        filter: &CallFilter,
        page: PageRequest,
    ) -> Result<Page<Call>, CallError> {
        let scope = principal.require(Role::Viewer)?;
        Ok(self
            .app
            .store()
            .begin(scope)
            .await?
            .calls()
            .list(filter, page)
            .await?)
    }

    /// The call and what it cost so far.
    ///
    /// # Errors
    /// `Forbidden`, `Store` (`NotFound`).
    pub async fn get(
        &self,
        principal: &Principal,
        id: CallId,
    ) -> Result<(Call, Vec<LedgerEntry>), CallError> {
        let scope = principal.require(Role::Viewer)?;
        let mut tx = self.app.store().begin(scope).await?;
        let call = tx.calls().find(id).await?;
        let costs = tx.ledger().of_call(id).await?;
        Ok((call, costs))
    }

    /// What was said.
    ///
    /// # Errors
    /// `Forbidden`, `Store` (`NotFound`).
    pub async fn transcript(&self, principal: &Principal, id: CallId) -> Result<Transcript, CallError> {
        let scope = principal.require(Role::Viewer)?;
        let mut tx = self.app.store().begin(scope).await?;
        tx.calls().find(id).await?;
        Ok(tx.calls().transcript(id).await?)
    }

    /// What happened after this place, and whether the call is over.
    ///
    /// # Errors
    /// `Forbidden`, `Store` (`NotFound`).
    pub async fn events(
        &self,
        principal: &Principal,
        id: CallId,
        after: u32,
    ) -> Result<(Vec<CallEvent>, bool), CallError> {
        let scope = principal.require(Role::Viewer)?;
        let mut tx = self.app.store().begin(scope).await?;
        // The status is read first: events that are missing from the list then belong to a call that goes on.
        let over = tx.calls().find(id).await?.status.is_terminal();
        let events = tx.calls().events(id, after, PageRequest::MAX).await?;
        Ok((events, over))
    }

    /// Resolves when more may have happened in a call that this process carries; never for other calls.
    pub async fn changed(&self, id: CallId) {
        let Some(mut watch) = self.app.live().watch_events(id) else {
            return std::future::pending().await;
        };
        if watch.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends a call that runs. Ending one that is over is no error.
    ///
    /// # Errors
    /// `Forbidden`, `Provider`, `Store` (`NotFound`).
    pub async fn hang_up(&self, principal: &Principal, id: CallId) -> Result<Call, CallError> {
        self.end(principal.require(Role::Member)?, id).await
    }

    /// Calls that reached nobody: for operators.
    ///
    /// # Errors
    /// `Store`.
    pub async fn unrouted(&self, page: PageRequest) -> Result<Page<UnroutedCall>, CallError> {
        let system = SystemScope::mint("an operator looks at unrouted calls");
        Ok(self
            .app
            .store()
            .begin_system(&system)
            .await?
            .unrouted_calls(page)
            .await?)
    }

    /// What would become of a call to this number now.
    ///
    /// # Errors
    /// `Forbidden`; `Store` (`NotFound` when the number is not the caller's own).
    pub async fn explain(&self, principal: &Principal, number: &E164) -> Result<Explanation, CallError> {
        let scope = principal.require(Role::Viewer)?;
        let not_found = || StoreError::new("find a number", StoreErrorKind::NotFound);
        let route = self.app.routes().find(number).await?;
        let route = route
            .filter(|route| route.tenant.id == scope.tenant_id())
            .ok_or_else(not_found)?;
        let mut decision = decide(&route);
        let outcome = match decision.outcome {
            Outcome::Agent(agent) => {
                let kind = CallKind::inbound(&route.number.provider, number, &agent.provider);
                let mut tx = self.app.store().begin(scope).await?;
                let zone = &route.tenant.timezone;
                let (admission, _) = usage::admission(self.app, &mut *tx, zone, &kind).await?;
                decision.tried.push(usage::tried(&admission));
                admission
                    .map(|_| agent.spec.id)
                    .map_err(|refusal| refusal.code.end_reason())
            }
            Outcome::Refuse(reason) => Err(reason),
        };
        Ok(Explanation {
            outcome,
            tried: decision.tried,
        })
    }

    /// Ends a call on behalf of whoever has its scope.
    pub(crate) async fn end(&self, scope: &TenantScope, id: CallId) -> Result<Call, CallError> {
        let mut tx = self.app.store().begin(scope).await?;
        let mut call = tx.calls().find_for_update(id).await?;
        if call.status.is_terminal() {
            return Ok(call);
        }
        // The reason is written first: the carrier's word about the end may come before its answer to us.
        call.end_reason.get_or_insert(EndReason::HungUp);
        tx.calls().update(&call).await?;
        settle::enqueue(self.app, &mut *tx, id).await?;
        tx.commit().await?;
        let carrier = match settle::carrier_of(self.app, scope, &call).await {
            Ok(carrier) => Some(carrier),
            // What cannot be reached cannot hang up; the settling of the call says what became of it.
            Err(CarrierError::Provider(error)) => {
                tracing::warn!(call.id = %id, detail = error.detail(), "the carrier was not told to hang up: {error}");
                None
            }
            Err(CarrierError::Store(error)) => return Err(error.into()),
        };
        let calls = carrier.as_ref().and_then(|carrier| carrier.calls());
        if let (Some(carrier), Some(provider_call)) = (calls, &call.provider_call)
            && carrier.hang_up(provider_call).await? == Removal::AlreadyGone
        {
            tracing::info!(call.id = %id, "the call was over already");
        }
        self.app.live().end(id);
        Ok(call)
    }
}
