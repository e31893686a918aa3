//! What operators see and decide.

use std::time::Duration;

use super::{
    Action, Finding, FindingFilter, FindingState, action,
    inventory::{self, ActionError},
    run,
};
use crate::{
    VoiceSaas,
    id::{FindingId, JobId, TenantId},
    job::Ran,
    page::{Page, PageRequest},
    scope::SystemScope,
    store::{StoreError, SystemTx},
    validate::Invalid,
};

/// How long a request waits for an action; a job goes on with it then.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an operator's request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconciliationError {
    /// Something about the request itself.
    #[error("the request cannot be accepted")]
    Invalid(#[from] Invalid),
    /// The action would harm, or makes no sense for this finding.
    #[error("{0}")]
    Refused(&'static str),
    /// A run, or another action on the same finding, is under way.
    #[error("the same is under way already")]
    UnderWay,
    /// The provider refuses for good.
    #[error("the provider {provider} refuses")]
    Provider {
        /// Which.
        provider: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunRequest {
    /// Only look; otherwise, what needs no decision is settled too.
    pub dry_run: bool,
    /// Only this provider.
    pub provider: Option<String>,
}

impl RunRequest {
    /// A dry run over every provider.
    pub fn dry() -> Self {
        Self {
            dry_run: true,
            provider: None,
        }
    }

    /// Settles what needs no decision: drift, what is missing, and orphans that were bought for a tenant in our books.
    #[must_use]
    pub fn settling(mut self) -> Self {
        self.dry_run = false;
        self
    }

    /// Only this provider.
    #[must_use]
    pub fn at(mut self, provider: Option<String>) -> Self {
        self.provider = provider;
        self
    }
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers answer both")]
pub enum Applied {
    /// The finding is settled.
    Done(Box<Finding>),
    /// The provider takes its time; the library goes on with it.
    Pending(Box<Finding>),
}

/// Reconciliation: see [`VoiceSaas::reconciliation`].
#[derive(Debug)]
pub struct Reconciliation<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Reconciliation<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// Findings, newest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn findings(
        &self,
        filter: &FindingFilter,
        page: PageRequest,
    ) -> Result<Page<Finding>, ReconciliationError> {
        let mut tx = self.begin("an operator looks at findings").await?;
        Ok(tx.reconciliation().findings(filter, page).await?)
    }

    /// Begins a run; its job says how far it is.
    ///
    /// # Errors
    /// `Invalid` for an unknown provider, `UnderWay`, `Store`.
    pub async fn run(&self, request: RunRequest) -> Result<JobId, ReconciliationError> {
        if let Some(name) = &request.provider
            && !self.app.has_provider(name)
        {
            return Err(Invalid::field("/provider", "unknown", "no such provider").into());
        }
        let payload = run::Payload {
            dry_run: request.dry_run,
            provider: request.provider,
        };
        let now = self.app.ambient().now();
        let job = run::job(self.app, &payload, now, run::KIND);
        let mut tx = self.begin("an operator reconciles").await?;
        if !tx.job_queue().enqueue_system(&job, now).await? {
            return Err(ReconciliationError::UnderWay);
        }
        tx.commit().await?;
        tracing::info!(job.id = %job.id, dry_run = payload.dry_run, "an operator reconciles");
        self.app.store().wake_jobs().await?;
        Ok(job.id)
    }

    /// Gives what was found to a tenant, under our tag and with our webhooks.
    ///
    /// # Errors
    /// `Invalid` for an unknown or closed tenant, `Refused`, `UnderWay`, `Provider`, `Store` (`NotFound`).
    pub async fn adopt(&self, id: FindingId, tenant: &str) -> Result<Applied, ReconciliationError> {
        let unknown = || Invalid::field("/tenant_id", "unknown", "no such tenant, or one that was closed");
        let tenant: TenantId = tenant.parse().map_err(|_| unknown())?;
        let mut tx = self.begin("an operator adopts for a tenant").await?;
        let found = tx.tenant(tenant).await?;
        drop(tx);
        if found.is_none_or(|tenant| tenant.status.is_ending()) {
            return Err(unknown().into());
        }
        self.apply(id, Action::Adopt, Some(tenant)).await
    }

    /// Gives an orphan back at its provider.
    ///
    /// # Errors
    /// `Refused` when a tenant holds it or it is not ours, `UnderWay`, `Provider`, `Store` (`NotFound`).
    pub async fn release(&self, id: FindingId) -> Result<Applied, ReconciliationError> {
        self.apply(id, Action::Release, None).await
    }

    /// Sets up again what has drifted; takes out of service what is missing.
    ///
    /// # Errors
    /// `Refused`, `UnderWay`, `Provider`, `Store` (`NotFound`).
    pub async fn repair(&self, id: FindingId) -> Result<Applied, ReconciliationError> {
        self.apply(id, Action::Repair, None).await
    }

    async fn apply(
        &self,
        id: FindingId,
        action: Action,
        tenant: Option<TenantId>,
    ) -> Result<Applied, ReconciliationError> {
        let finding = self.finding(id).await?;
        if finding.state == FindingState::Resolved {
            return Ok(Applied::Done(Box::new(finding)));
        }
        let inventory = inventory::of(finding.seen.kind).ok_or(ReconciliationError::Refused(
            "nothing settles findings of this kind",
        ))?;
        match inventory.check(self.app, &finding, action).await {
            Err(ActionError::Refused(refusal)) => return Err(ReconciliationError::Refused(refusal.0)),
            Err(ActionError::Store(error)) => return Err(error.into()),
            Err(ActionError::Provider(_) | ActionError::Job(_)) | Ok(()) => {}
        }
        let now = self.app.ambient().now();
        let job = action::job(self.app, id, action, tenant);
        let mut tx = self.begin("an operator settles a finding").await?;
        if !tx.job_queue().enqueue_system(&job, now).await? {
            return Err(ReconciliationError::UnderWay);
        }
        tx.commit().await?;
        let ran = self.app.jobs().run_now(job.id, PATIENCE).await?;
        let finding = Box::new(self.finding(id).await?);
        match ran {
            Ran::Finished => Ok(Applied::Done(finding)),
            Ran::Later => Ok(Applied::Pending(finding)),
            Ran::GivenUp => Err(ReconciliationError::Provider {
                provider: finding.seen.provider,
            }),
        }
    }

    async fn finding(&self, id: FindingId) -> Result<Finding, StoreError> {
        let mut tx = self.begin("an operator looks at a finding").await?;
        tx.reconciliation().finding(id).await
    }

    async fn begin(&self, reason: &'static str) -> Result<Box<dyn SystemTx>, StoreError> {
        self.app.store().begin_system(&SystemScope::mint(reason)).await
    }
}
