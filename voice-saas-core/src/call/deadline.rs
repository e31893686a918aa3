//! The end of a call that its tenant's plan lets go on for so long and no longer, where the platform carries the audio
//! itself; our own bridge ends such a call by itself.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{CallError, EndReason};
use crate::{
    VoiceSaas,
    id::{CallId, JobId},
    job::{JobContext, JobError, JobHandler, NewJob},
    store::{StoreError, TenantTx},
};

/// What the job is called.
const KIND: &str = "call.cut";

#[derive(Serialize, Deserialize)]
struct Payload {
    call: CallId,
}

/// Sees to it that the call ends so many seconds from now.
pub(crate) async fn enqueue(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    call: CallId,
    seconds: u32,
) -> Result<(), StoreError> {
    let ambient = app.ambient();
    let now = ambient.now();
    let due = now + Duration::from_secs(u64::from(seconds));
    let job = NewJob::new(JobId::generate(ambient.ids()), KIND, json!(Payload { call }), due)
        .with_unique_key(format!("{KIND}:{call}"));
    tx.jobs().enqueue(&job, now).await.map(drop)
}

/// Ends calls whose time is over.
#[derive(Debug)]
pub(crate) struct CutCall;

#[async_trait]
impl JobHandler for CutCall {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Payload { call: id } = context.payload()?;
        let (app, scope) = (context.app(), context.scope()?);
        let mut tx = app.store().begin(scope).await?;
        let mut call = tx.calls().find_for_update(id).await?;
        if call.status.is_terminal() {
            return Ok(());
        }
        call.end_reason.get_or_insert(EndReason::PlanLimitReached);
        tx.calls().update(&call).await?;
        tx.commit().await?;
        match app.calls().end(scope, id).await {
            Ok(_) => Ok(()),
            Err(CallError::Provider(error)) => Err(JobError::provider(&error)),
            Err(CallError::Store(error)) => Err(error.into()),
            Err(error) => Err(JobError::again(error.to_string())),
        }
    }
}
