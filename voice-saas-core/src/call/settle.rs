//! Settling a call: when its audio or the carrier says that it is over, a job makes sure that the end, the record
//! and the cost are all there, whatever webhook was lost.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Call, CallStatus, conversation, progress};
use crate::{
    VoiceSaas,
    id::{CallId, JobId},
    job::{JobContext, JobError, JobHandler, NewJob},
    provider::{
        ErrorKind,
        telephony::{CallProgress, ProviderCallStatus, TelephonyProvider},
    },
    scope::TenantScope,
    store::{StoreError, TenantTx},
    subaccount::CarrierError,
};

/// What the job is called.
pub(crate) const KIND: &str = "call.settle";

/// Webhooks get this long to arrive by themselves.
const GRACE: Duration = Duration::from_secs(30);

/// A platform's record that is not there after this many looks never comes.
const LOOKS: u16 = 12;

#[derive(Serialize, Deserialize)]
struct Payload {
    call: CallId,
}

/// Enqueues the settling of a call; once is enough.
pub(crate) async fn enqueue(app: &VoiceSaas, tx: &mut dyn TenantTx, call: CallId) -> Result<(), StoreError> {
    let ambient = app.ambient();
    let now = ambient.now();
    let job = NewJob::new(
        JobId::generate(ambient.ids()),
        KIND,
        json!(Payload { call }),
        now + GRACE,
    )
    .with_max_attempts(LOOKS)
    .with_unique_key(format!("{KIND}:{call}"));
    tx.jobs().enqueue(&job, now).await?;
    Ok(())
}

/// Settles calls.
#[derive(Debug)]
pub(crate) struct SettleCall;

#[async_trait]
impl JobHandler for SettleCall {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Payload { call } = context.payload()?;
        let scope = context.scope()?;
        let app = context.app();
        let row = app.store().begin(scope).await?.calls().find(call).await?;
        if !row.status.is_terminal() && !ended_at_carrier(app, scope, &row).await? {
            return Err(JobError::again("the carrier says that the call goes on"));
        }
        let Some((agent, version)) = row.agent.filter(|_| row.conversation.is_some()) else {
            return Ok(());
        };
        let mut tx = app.store().begin(scope).await?;
        let recorded = tx.calls().transcript(call).await?.complete;
        let agent = tx.agents().version(agent, version).await?;
        drop(tx);
        if recorded {
            return Ok(());
        }
        match conversation::back_fill(app, scope, &row, &agent.provider).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(JobError::again("the platform's record is not complete yet")),
            Err(error) => Err(JobError::again(error.to_string())),
        }
    }
}

/// The call's carrier, in the account that its number is in.
pub(super) async fn carrier_of(
    app: &VoiceSaas,
    scope: &TenantScope,
    call: &Call,
) -> Result<Arc<dyn TelephonyProvider>, CarrierError> {
    let account = match call.number {
        Some(number) => {
            app.store()
                .begin(scope)
                .await?
                .numbers()
                .find(number)
                .await?
                .account
        }
        None => None,
    };
    app.telephony_of(scope, &call.provider, account.as_ref()).await
}

/// Asks the carrier how the call stands, and writes down what it says. Whether the call is over.
pub(crate) async fn ended_at_carrier(
    app: &VoiceSaas,
    scope: &TenantScope,
    call: &Call,
) -> Result<bool, JobError> {
    let Some(id) = &call.provider_call else {
        return Err(JobError::give_up("the carrier does not know the call"));
    };
    let fetched = match carrier_of(app, scope, call).await {
        Ok(carrier) => {
            let calls = carrier.calls();
            let calls = calls.ok_or_else(|| JobError::give_up("the carrier cannot be asked for calls"))?;
            calls.fetch(id).await
        }
        Err(CarrierError::Provider(error)) => Err(error),
        Err(CarrierError::Store(error)) => return Err(error.into()),
    };
    let word = match fetched {
        Ok(found) => CallProgress::new(id.clone(), found.status)
            .with_duration(found.duration)
            .with_at(found.ended_at.or(found.started_at)),
        // The carrier has forgotten it, or its account is closed: it is over, however it ended.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            CallProgress::new(id.clone(), ProviderCallStatus::Completed)
        }
        Err(error) => return Err(JobError::provider(&error)),
    };
    let mut tx = app.store().begin(scope).await?;
    if progress::advance(app, &mut *tx, call.id, &word).await? {
        tx.commit().await?;
    }
    Ok(CallStatus::of_provider(word.status).is_some_and(CallStatus::is_terminal))
}
