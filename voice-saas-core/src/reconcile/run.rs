//! A run: a job that goes through every kind of resource at every provider, and goes on where it stopped.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{
    Action, Classification, Finding, FindingFilter, FindingState, Observation, ResourceKind, action,
    inventory::{self, Inventory, Look, LookError},
};
use crate::{
    VoiceSaas,
    id::{FindingId, JobId},
    job::{JobContext, JobError, JobHandler, NewJob},
    page::{Cursor, PageRequest},
    provider::Recovery,
    scope::SystemScope,
    store::{StoreError, SystemTx},
};

/// What the job is called.
pub(super) const KIND: &str = "reconcile.run";

/// A claim ends after this long, so that a process that stops waits no longer for it.
const SLICE: Duration = Duration::from_secs(20);
/// Slices and waits for a provider's rate limit both count as attempts.
const ATTEMPTS: u16 = 5_000;

/// What a run is to do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) dry_run: bool,
    pub(super) provider: Option<String>,
}

/// How far a run has come; written with each page.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Progress {
    /// What is under way.
    at: Option<At>,
    /// What is behind it: `number:twilio`.
    done: Vec<String>,
    /// What could not be looked at, and why.
    failed: BTreeMap<String, String>,
    counts: Counts,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct At {
    target: String,
    began: Timestamp,
    stage: Stage,
    page: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Listing,
    Missing,
    Applying,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    pages: u64,
    listed: u64,
    orphans: u64,
    missing: u64,
    drifted: u64,
    foreign: u64,
    gone: u64,
    applied: u64,
    refused: u64,
}

impl Counts {
    fn add(&mut self, findings: &[Observation]) {
        for finding in findings {
            *match finding.classification {
                Classification::Orphan => &mut self.orphans,
                Classification::Missing => &mut self.missing,
                Classification::Drifted => &mut self.drifted,
                Classification::Foreign => &mut self.foreign,
            } += 1;
        }
    }
}

/// A run that is yet to be enqueued.
pub(super) fn job(app: &VoiceSaas, payload: &Payload, at: Timestamp, key: &str) -> NewJob {
    NewJob::new(JobId::generate(app.ambient().ids()), KIND, json!(payload), at)
        .with_max_attempts(ATTEMPTS)
        .with_unique_key(key)
}

/// Sees to it that a run is due within [`Settings::reconcile_every`](crate::Settings::reconcile_every): one waits or
/// runs at any time.
pub(crate) async fn schedule(app: &VoiceSaas, tx: &mut dyn SystemTx) -> Result<(), StoreError> {
    let Some(every) = app.settings().reconcile_every else {
        return Ok(());
    };
    let now = app.ambient().now();
    let payload = Payload {
        dry_run: true,
        provider: None,
    };
    let job = job(app, &payload, now + every, "reconcile.scheduled");
    tx.job_queue().enqueue_system(&job, now).await?;
    Ok(())
}

/// Compares what exists at providers with the store.
#[derive(Debug)]
pub(crate) struct RunReconciliation;

#[async_trait]
impl JobHandler for RunReconciliation {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let payload: Payload = context.payload()?;
        let progress: Progress = context.progress()?.unwrap_or_default();
        let run = Run {
            context,
            payload,
            progress,
            until: Instant::now() + SLICE,
        };
        run.go().await
    }
}

struct Run<'a> {
    context: &'a JobContext<'a>,
    payload: Payload,
    progress: Progress,
    until: Instant,
}

impl Run<'_> {
    async fn go(mut self) -> Result<(), JobError> {
        let app = self.context.app();
        for inventory in inventory::ALL {
            for provider in inventory.providers(app) {
                let provider = provider.as_str();
                let target = format!("{}:{provider}", word(inventory.kind()));
                let wanted = self
                    .payload
                    .provider
                    .as_deref()
                    .is_none_or(|name| name == provider);
                let behind =
                    self.progress.done.contains(&target) || self.progress.failed.contains_key(&target);
                if wanted && !behind {
                    self.target(inventory, provider, target).await?;
                }
            }
        }
        let mut tx = self.begin().await?;
        tx.reconciliation().forget_seen(self.context.job().id).await?;
        tx.commit().await?;
        let Progress { counts, failed, .. } = &self.progress;
        if failed.is_empty() {
            tracing::info!(
                ?counts,
                dry_run = self.payload.dry_run,
                "reconciled with the providers"
            );
        } else {
            tracing::error!(?counts, ?failed, "some providers could not be reconciled with");
        }
        Ok(())
    }

    async fn target(
        &mut self,
        inventory: &dyn Inventory,
        provider: &str,
        target: String,
    ) -> Result<(), JobError> {
        let app = self.context.app();
        let resumed = self.progress.at.take().filter(|at| at.target == target);
        let mut resumed_page = resumed.as_ref().is_some_and(|at| at.page.is_some());
        let mut at = resumed.unwrap_or_else(|| At {
            target: target.clone(),
            began: app.ambient().now(),
            stage: Stage::Listing,
            page: None,
        });
        let look = Look {
            app,
            run: self.context.job().id,
            provider,
            began: at.began,
        };
        loop {
            let stage = at.stage;
            let step = match stage {
                Stage::Listing => self.list(inventory, &look, &mut at).await,
                Stage::Missing => self.missing(inventory, &look, &mut at).await,
                Stage::Applying => self.apply(inventory, &look, &mut at).await,
            };
            match step {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // Cursors do not live for ever: one that was kept over a pause may be refused. From the start, then.
                Err(LookError::Provider(error))
                    if stage == Stage::Listing && resumed_page && error.recovery() == Recovery::GiveUp =>
                {
                    tracing::warn!(target, "a provider's list is begun again: {error}");
                    at.page = None;
                }
                Err(LookError::Provider(error)) if error.recovery() == Recovery::GiveUp => {
                    let detail = error.detail().unwrap_or_default();
                    tracing::warn!(target, detail, "a provider was not reconciled with: {error}");
                    self.progress
                        .failed
                        .insert(target, format!("{error}: {:?}", error.kind()));
                    return self.save(None).await;
                }
                Err(LookError::Provider(error)) => return Err(JobError::provider(&error)),
                Err(LookError::Store(error)) => return Err(error.into()),
                Err(error @ LookError::Cursor) => return Err(JobError::give_up(error.to_string())),
            }
            resumed_page = false;
            if Instant::now() >= self.until || app.is_draining() {
                return Err(JobError::again_after(Duration::ZERO, "to be continued"));
            }
        }
    }

    /// One page of the provider's list.
    async fn list(
        &mut self,
        inventory: &dyn Inventory,
        look: &Look<'_>,
        at: &mut At,
    ) -> Result<bool, LookError> {
        let listed = inventory.list(look, at.page.as_deref()).await?;
        self.progress.counts.pages += 1;
        self.progress.counts.listed += listed.seen.len() as u64;
        self.progress.counts.add(&listed.findings);
        if listed.next.is_none() {
            at.stage = Stage::Missing;
        }
        at.page = listed.next;
        let mut tx = self.begin().await?;
        let repo = tx.reconciliation();
        repo.mark_seen(look.run, look.provider, inventory.kind(), &listed.seen)
            .await?;
        self.write(tx, listed.findings, Some(at)).await?;
        Ok(true)
    }

    /// One page of our rows that no page showed. After the last one, what was seen in earlier runs alone is gone.
    async fn missing(
        &mut self,
        inventory: &dyn Inventory,
        look: &Look<'_>,
        at: &mut At,
    ) -> Result<bool, LookError> {
        let unseen = inventory.unseen(look, at.page.as_deref()).await?;
        self.progress.counts.add(&unseen.findings);
        let last = unseen.next.is_none();
        at.page = unseen.next;
        if last {
            at.stage = Stage::Applying;
        }
        let tx = self.begin().await?;
        self.write(tx, unseen.findings, Some(at)).await?;
        if last {
            let now = look.app.ambient().now();
            let mut tx = self.begin().await?;
            let repo = tx.reconciliation();
            let gone = repo
                .resolve_unseen(look.provider, inventory.kind(), at.began, now)
                .await?;
            tx.commit().await?;
            self.progress.counts.gone += gone;
        }
        Ok(true)
    }

    /// One page of findings whose proposal needs no decision. `false` when all is done.
    async fn apply(
        &mut self,
        inventory: &dyn Inventory,
        look: &Look<'_>,
        at: &mut At,
    ) -> Result<bool, LookError> {
        let mut next = None;
        if !self.payload.dry_run {
            let after = at.page.as_deref().map(Cursor::decode).transpose();
            let after = after.map_err(|_| LookError::Cursor)?;
            let page = PageRequest::new(PageRequest::MAX, after).map_err(|_| LookError::Cursor)?;
            let filter = FindingFilter {
                state: Some(FindingState::Open),
                provider: Some(look.provider.to_owned()),
                kind: Some(inventory.kind()),
                classification: None,
            };
            let findings = look
                .begin()
                .await?
                .reconciliation()
                .findings(&filter, page)
                .await?;
            next = findings.next.map(Cursor::encode);
            for finding in findings.data.iter().filter(|finding| is_safe(finding)) {
                let action = finding.seen.proposal;
                match action::take(look.app, inventory, finding, action, None, look.run).await {
                    Ok(_) => self.progress.counts.applied += 1,
                    Err(inventory::ActionError::Provider(error)) if error.recovery() != Recovery::GiveUp => {
                        return Err(error.into());
                    }
                    Err(inventory::ActionError::Store(error)) if !error.is_not_found() => {
                        return Err(error.into());
                    }
                    Err(error) => {
                        tracing::warn!(finding.id = %finding.id, "a finding was not settled: {error}");
                        self.progress.counts.refused += 1;
                    }
                }
            }
        }
        let more = next.is_some();
        at.page = next;
        if !more {
            self.progress.done.push(at.target.clone());
        }
        let tx = self.begin().await?;
        self.write(tx, Vec::new(), more.then_some(at)).await?;
        Ok(more)
    }

    async fn save(&mut self, at: Option<&mut At>) -> Result<(), JobError> {
        let tx = self.begin().await?;
        Ok(self.write(tx, Vec::new(), at).await?)
    }

    /// Writes findings and progress in one, so that neither is ahead of the other.
    async fn write(
        &mut self,
        mut tx: Box<dyn SystemTx>,
        findings: Vec<Observation>,
        at: Option<&mut At>,
    ) -> Result<(), StoreError> {
        let ambient = self.context.app().ambient();
        for seen in findings {
            let finding = Finding::new(FindingId::generate(ambient.ids()), seen, ambient.now());
            tx.reconciliation().report(&finding).await?;
        }
        self.progress.at = at.map(|at| at.clone());
        self.context.save_progress(&mut *tx, &self.progress).await?;
        tx.commit().await
    }

    async fn begin(&self) -> Result<Box<dyn SystemTx>, StoreError> {
        let system = SystemScope::mint("reconcile with providers");
        self.context.app().store().begin_system(&system).await
    }
}

/// Whether a run may settle it without an operator's decision. An orphan that is in none of our books may belong to
/// another installation that shares the provider's account; what is foreign is not ours at all.
fn is_safe(finding: &Finding) -> bool {
    match finding.seen.proposal {
        Action::Adopt => false,
        Action::Release => finding.seen.tenant.is_some(),
        // Why a carrier suspends an account is not known here.
        Action::Repair => {
            (finding.seen.kind, finding.seen.classification)
                != (ResourceKind::Subaccount, Classification::Drifted)
        }
    }
}

fn word(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Subaccount => "subaccount",
        ResourceKind::Number => "number",
        ResourceKind::Trunk => "trunk",
        ResourceKind::Agent => "agent",
        ResourceKind::Call => "call",
    }
}

/// What a failed action means for the job that takes it.
pub(super) fn job_error(error: inventory::ActionError) -> JobError {
    match error {
        inventory::ActionError::Provider(error) => match error.recovery() {
            // Every action looks first, so that an ambiguous failure is simply repeated.
            Recovery::Reconcile => JobError::again(error.to_string()),
            _ => JobError::provider(&error),
        },
        inventory::ActionError::Store(error) => error.into(),
        inventory::ActionError::Job(error) => error,
        inventory::ActionError::Refused(refusal) => JobError::give_up(refusal.to_string()),
    }
}
