//! Driving a saga: forward step by step, and back when it cannot go on.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{SagaRecord, SagaStatus};
use crate::{
    VoiceSaas,
    id::{JobId, SagaId},
    job::{JobContext, JobError, JobHandler, NewJob, Retry},
    provider::{ProviderError, Recovery},
    scope::TenantScope,
    store::{StoreError, StoreErrorKind, TenantTx},
};

/// A step that was begun this often without getting anywhere turns the saga back.
const FORWARD_ATTEMPTS: u16 = 8;
/// The same for a saga that has no way back.
const FORWARD_ONLY_ATTEMPTS: u16 = 50;
/// A step that was undone this often in vain leaves the saga to an operator.
const UNDO_ATTEMPTS: u16 = 20;

/// Work in several steps. Going forward and back, each step may be run again after a crash.
#[async_trait]
pub trait Saga: fmt::Debug + Send + Sync + 'static {
    /// What the steps know and hand on.
    type State: Serialize + DeserializeOwned + Send + Sync;

    /// Which saga; its job is called the same.
    fn kind(&self) -> &'static str;

    /// The steps, first to last.
    fn steps(&self) -> &'static [&'static dyn SagaStep<Self::State>];

    /// Whether it has no way back: when it cannot go on, it is stuck where it is, and an operator lets it try again.
    fn is_forward_only(&self) -> bool {
        false
    }

    /// Told when it can go neither forward nor back, so that what it is about says so too. It may be told again.
    ///
    /// # Errors
    /// `Store`; the saga is looked at again then.
    async fn stuck(&self, _context: &StepContext<'_>, _state: &Self::State) -> Result<(), StoreError> {
        Ok(())
    }
}

/// One step of a saga.
#[async_trait]
pub trait SagaStep<S>: fmt::Debug + Send + Sync + 'static {
    /// Its name, for logs.
    fn name(&self) -> &'static str;

    /// Does it, or finds that it was done.
    ///
    /// # Errors
    /// `StepError`, which says whether to try again or to turn back.
    async fn run(&self, context: &mut StepContext<'_>, state: &mut S) -> Result<(), StepError>;

    /// Undoes it, or finds that it was never done.
    ///
    /// # Errors
    /// `StepError`, which says whether to try again or to leave it to an operator.
    async fn undo(&self, context: &mut StepContext<'_>, state: &mut S) -> Result<(), StepError>;
}

/// A step in the hands of the runner.
#[derive(Debug)]
pub struct StepContext<'a> {
    /// The library.
    pub app: &'a VoiceSaas,
    /// The tenant whose saga it is.
    pub scope: &'a TenantScope,
    record: &'a mut SagaRecord,
}

impl StepContext<'_> {
    /// What every resource that the saga buys carries at its provider.
    pub fn saga(&self) -> SagaId {
        self.record.id
    }

    /// Why the saga turned back or is stuck, with the report of the step that failed.
    pub fn error(&self) -> Option<&Value> {
        self.record.error.as_ref()
    }

    /// Whether the step was begun before: then it may have acted, and must look first.
    pub fn begun_before(&self) -> bool {
        self.record.attempts > 1
    }

    /// Writes the state down in the middle of a step, before it acts on it.
    ///
    /// # Errors
    /// `Stale` when another runner has taken over.
    pub async fn save<S: Serialize + Sync>(&mut self, state: &S) -> Result<(), StepError> {
        self.record.state = to_value(state)?;
        save(self.app, self.scope, self.record).await?;
        Ok(())
    }
}

/// Why a step is not done.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct StepError {
    detail: String,
    retry: Retry,
    report: Value,
}

impl StepError {
    /// Try again, at once or after the provider's wish.
    pub fn again(detail: impl Into<String>, after: Option<Duration>) -> Self {
        Self {
            detail: detail.into(),
            retry: after.into(),
            report: Value::Null,
        }
    }

    /// Turn back. `report` is kept with the saga, for whoever asked for it.
    pub fn give_up(detail: impl Into<String>, report: Value) -> Self {
        Self {
            detail: detail.into(),
            retry: Retry::Never,
            report,
        }
    }

    /// What a provider's failure means: after an ambiguous one the step is begun again, and looks first.
    pub fn provider(error: &ProviderError, report: Value) -> Self {
        let detail = match error.detail() {
            Some(detail) => format!("{error}: {detail}"),
            None => format!("{error}: {:?}", error.kind()),
        };
        let retry = match error.recovery() {
            Recovery::Retry { after } => after.into(),
            Recovery::Reconcile => Retry::Later,
            Recovery::GiveUp => Retry::Never,
        };
        // Whoever asked wants to know why also when the attempts are used up.
        Self {
            detail,
            retry,
            report,
        }
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::again(error.to_string(), None)
    }
}

#[derive(Serialize, Deserialize)]
struct Payload {
    saga: SagaId,
}

/// Writes a fresh saga and the job that drives it. `None`, and nothing written, when an unfinished one has the key. A
/// tenant that is being closed begins nothing.
pub(crate) async fn begin<S: Saga>(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    saga: &S,
    state: &S::State,
    unique_key: Option<String>,
) -> Result<Option<(SagaId, JobId)>, StoreError> {
    tx.tenant().require_open().await?;
    let id = SagaId::generate(app.ambient().ids());
    begin_as(app, tx, saga, state, id, unique_key).await
}

/// The same under an id that is known beforehand, for whichever tenant.
///
/// # Errors
/// `Conflict` when the tenant has a saga with this id.
pub(crate) async fn begin_as<S: Saga>(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    saga: &S,
    state: &S::State,
    id: SagaId,
    unique_key: Option<String>,
) -> Result<Option<(SagaId, JobId)>, StoreError> {
    let state = to_value(state)?;
    let Some(job) = resume(app, tx, saga, id, unique_key).await? else {
        return Ok(None);
    };
    let record = SagaRecord::new(id, saga.kind(), state, app.ambient().now());
    tx.sagas().add(&record).await?;
    Ok(Some((id, job)))
}

/// Writes a job that drives a saga: a fresh one, or one that is stuck and shall try again. `None`, and nothing written,
/// when an unfinished one has the key.
pub(crate) async fn resume<S: Saga>(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    saga: &S,
    id: SagaId,
    unique_key: Option<String>,
) -> Result<Option<JobId>, StoreError> {
    let ambient = app.ambient();
    let (job, now) = (JobId::generate(ambient.ids()), ambient.now());
    let mut job = NewJob::new(job, saga.kind(), json!(Payload { saga: id }), now).with_max_attempts(1_000);
    job.unique_key = unique_key;
    Ok(tx.jobs().enqueue(&job, now).await?.then_some(job.id))
}

/// The job that drives the sagas of one kind.
#[derive(Debug)]
pub(crate) struct SagaJob<S>(S);

impl<S> SagaJob<S> {
    pub(crate) const fn new(saga: S) -> Self {
        Self(saga)
    }
}

#[async_trait]
impl<S: Saga> JobHandler for SagaJob<S> {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Payload { saga } = context.payload()?;
        let scope = context.scope()?;
        let app = context.app();
        let mut record = app.store().begin(scope).await?.sagas().find(saga).await?;
        drive(app, scope, &self.0, &mut record).await
    }
}

#[tracing::instrument(name = "saga", skip_all, fields(saga.id = %record.id, kind = record.kind))]
async fn drive<S: Saga>(
    app: &VoiceSaas,
    scope: &TenantScope,
    saga: &S,
    record: &mut SagaRecord,
) -> Result<(), JobError> {
    let mut state: S::State = serde_json::from_value(record.state.clone())
        .map_err(|error| JobError::give_up(format!("the saga's state cannot be read: {error}")))?;
    let steps = saga.steps();
    if record.status == SagaStatus::Stuck {
        // Its job was dead, and an operator has revived it.
        record.attempts = 0;
        record.status = if saga.is_forward_only() {
            SagaStatus::Running
        } else {
            SagaStatus::Undoing
        };
    }
    loop {
        let forward = match record.status {
            SagaStatus::Running if usize::from(record.step) == steps.len() => {
                record.status = SagaStatus::Done;
                return Ok(save(app, scope, record).await?);
            }
            SagaStatus::Running => true,
            SagaStatus::Undoing => false,
            SagaStatus::Done | SagaStatus::Undone => return Ok(()),
            // A dead job is what operators look at.
            SagaStatus::Stuck => {
                let why = why_stuck(record, steps);
                saga.stuck(&StepContext { app, scope, record }, &state).await?;
                return Err(JobError::give_up(why));
            }
        };
        let Some(step) = steps.get(usize::from(record.step)) else {
            return Err(JobError::give_up("the saga is at a step that does not exist"));
        };
        // The intent, before the act: whoever finds this row after a crash knows that the step may have acted.
        record.attempts += 1;
        save(app, scope, record).await?;
        let mut context = StepContext { app, scope, record };
        let result = if forward {
            step.run(&mut context, &mut state).await
        } else {
            step.undo(&mut context, &mut state).await
        };
        record.state = to_value(&state)?;
        match result {
            Ok(()) if forward => {
                record.step += 1;
                record.attempts = 0;
            }
            Ok(()) if record.step == 0 => {
                record.status = SagaStatus::Undone;
                record.attempts = 0;
            }
            Ok(()) => {
                record.step -= 1;
                record.attempts = 0;
            }
            Err(error) => {
                tracing::warn!(step = step.name(), forward, "a step failed: {error}");
                fail(record, forward, saga.is_forward_only(), error)?;
            }
        }
        save(app, scope, record).await?;
    }
}

/// Decides what a failed step means. `Err` = try the step again later.
fn fail(
    record: &mut SagaRecord,
    forward: bool,
    forward_only: bool,
    error: StepError,
) -> Result<(), JobError> {
    let limit = match (forward, forward_only) {
        (true, false) => FORWARD_ATTEMPTS,
        (true, true) => FORWARD_ONLY_ATTEMPTS,
        (false, _) => UNDO_ATTEMPTS,
    };
    if error.retry != Retry::Never && record.attempts < limit {
        return Err(JobError {
            detail: error.detail,
            retry: error.retry,
        });
    }
    record.attempts = 0;
    if forward && !forward_only {
        record.status = SagaStatus::Undoing;
        record.error = Some(json!({ "detail": error.detail, "report": error.report }));
    } else {
        record.status = SagaStatus::Stuck;
        record.error =
            Some(json!({ "detail": error.detail, "report": error.report, "before": record.error }));
        metrics::counter!("voice_saas_sagas_stuck_total", "kind" => record.kind.clone()).increment(1);
    }
    Ok(())
}

/// At which step, and why, for operators.
fn why_stuck<S: 'static>(record: &SagaRecord, steps: &[&dyn SagaStep<S>]) -> String {
    let step = steps
        .get(usize::from(record.step))
        .map_or("?", |step| step.name());
    let why = record.error.as_ref().and_then(|error| error["detail"].as_str());
    format!(
        "{} is stuck at {step:?}: {}",
        record.id,
        why.unwrap_or("nobody knows why")
    )
}

async fn save(app: &VoiceSaas, scope: &TenantScope, record: &mut SagaRecord) -> Result<(), StoreError> {
    record.updated_at = app.ambient().now();
    let mut tx = app.store().begin(scope).await?;
    tx.sagas().save(record).await?;
    tx.commit().await
}

fn to_value<S: Serialize>(state: &S) -> Result<Value, StoreError> {
    serde_json::to_value(state)
        .map_err(|error| StoreError::new("write a saga's state", StoreErrorKind::Internal).with_source(error))
}
