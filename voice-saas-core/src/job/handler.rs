//! What a job does, and what comes of it.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};

use super::Job;
use crate::{
    VoiceSaas,
    provider::{ProviderError, Recovery},
    scope::TenantScope,
    store::{StoreError, StoreErrorKind, SystemTx},
};

/// A claimed job in the hands of its handler.
#[derive(Debug)]
pub struct JobContext<'a> {
    pub(crate) app: &'a VoiceSaas,
    pub(crate) job: &'a Job,
    pub(crate) scope: Option<TenantScope>,
}

impl<'a> JobContext<'a> {
    /// The library.
    pub fn app(&self) -> &'a VoiceSaas {
        self.app
    }

    /// The job.
    pub fn job(&self) -> &'a Job {
        self.job
    }

    /// The scope of the tenant whose job it is.
    ///
    /// # Errors
    /// Gives the job up when it is the platform's own.
    pub fn scope(&self) -> Result<&TenantScope, JobError> {
        self.scope
            .as_ref()
            .ok_or_else(|| JobError::give_up("this kind of job needs a tenant"))
    }

    /// With what it was enqueued.
    ///
    /// # Errors
    /// Gives the job up when that cannot be read.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, JobError> {
        serde_json::from_value(self.job.payload.clone())
            .map_err(|error| JobError::give_up(format!("the payload cannot be read: {error}")))
    }

    /// How far earlier attempts came, if one has said so.
    ///
    /// # Errors
    /// Gives the job up when that cannot be read.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>, JobError> {
        let progress = self.job.progress.clone();
        progress
            .map(serde_json::from_value)
            .transpose()
            .map_err(|error| JobError::give_up(format!("the progress cannot be read: {error}")))
    }

    /// Writes down how far the job has come, in the unit of work that did it.
    ///
    /// # Errors
    /// `Stale` when the job was taken away from this worker.
    pub async fn save_progress<T: Serialize + Sync>(
        &self,
        tx: &mut dyn SystemTx,
        progress: &T,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "write a job's progress";
        let progress = serde_json::to_value(progress)
            .map_err(|error| StoreError::new(OPERATION, StoreErrorKind::Internal).with_source(error))?;
        let queue = tx.job_queue();
        if queue
            .save_progress(self.job.id, self.job.fence, &progress)
            .await?
        {
            Ok(())
        } else {
            Err(StoreError::new(OPERATION, StoreErrorKind::Stale))
        }
    }
}

/// Why a job is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct JobError {
    pub(crate) detail: String,
    pub(crate) retry: Retry,
}

/// Whether a job is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It would fail again.
    Never,
    /// When its turn comes.
    Later,
    /// Not before this long.
    After(Duration),
}

impl From<Option<Duration>> for Retry {
    fn from(after: Option<Duration>) -> Self {
        after.map_or(Self::Later, Self::After)
    }
}

impl JobError {
    /// Try again later.
    pub fn again(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            retry: Retry::Later,
        }
    }

    /// Try again after this long.
    pub fn again_after(wait: Duration, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            retry: Retry::After(wait),
        }
    }

    /// It would fail again.
    pub fn give_up(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            retry: Retry::Never,
        }
    }

    /// What a provider's failure means for a job that may be repeated as a whole.
    pub fn provider(error: &ProviderError) -> Self {
        let detail = match error.detail() {
            Some(detail) => format!("{error}: {detail}"),
            None => format!("{error}: {:?}", error.kind()),
        };
        match error.recovery() {
            Recovery::Retry { after } => Self {
                detail,
                retry: after.into(),
            },
            Recovery::Reconcile => Self::again(detail),
            Recovery::GiveUp => Self::give_up(detail),
        }
    }
}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        if error.is_not_found() {
            Self::give_up(error.to_string())
        } else {
            Self::again(error.to_string())
        }
    }
}

/// Does one kind of job. It may be run more than once for one job.
#[async_trait]
pub trait JobHandler: fmt::Debug + Send + Sync + 'static {
    /// Which kind.
    fn kind(&self) -> &'static str;

    /// Does it.
    ///
    /// # Errors
    /// `JobError`, which says whether to try again.
    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError>;
}
