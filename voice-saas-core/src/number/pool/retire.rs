//! Giving a number of the pool back at its carrier.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{NumberPool, PoolError, PoolStatus};
use crate::{
    VoiceSaas,
    id::{JobId, PoolNumberId},
    job::{JobContext, JobError, JobHandler, NewJob, Ran},
    number::service::{PATIENCE, facet},
    provider::Recovery,
    scope::SystemScope,
    store::{StoreError, SystemTx},
};

const KIND: &str = "pool.retire";

/// What came of giving a number of the pool back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers answer both")]
pub enum Retired {
    /// It is no longer paid for.
    Done,
    /// Nobody gets it any more; the carrier takes its time, and the library goes on with it.
    Pending,
}

impl NumberPool<'_> {
    /// Gives the number back at its carrier. Nobody gets it from now on; doing it again is no error.
    ///
    /// # Errors
    /// `InUse` while it is being bought or a tenant has it, `Carrier`, `Store` (`NotFound`).
    pub async fn retire(&self, id: PoolNumberId) -> Result<Retired, PoolError> {
        let app = self.app();
        let now = app.ambient().now();
        let mut tx = self.begin("an operator gives a number of the pool back").await?;
        let mut number = tx.number_pool().find(id).await?;
        match number.status {
            PoolStatus::Retired => return Ok(Retired::Done),
            PoolStatus::Retiring => {}
            PoolStatus::Free | PoolStatus::Quarantined => {
                number.turn(PoolStatus::Retiring).map_err(StoreError::from)?;
                tx.number_pool().update(&mut number).await?;
            }
            in_use @ (PoolStatus::Buying | PoolStatus::Lent) => return Err(PoolError::InUse(in_use)),
        }
        let job = NewJob::new(
            JobId::generate(app.ambient().ids()),
            KIND,
            json!(Payload { number: id }),
            now,
        )
        .with_unique_key(format!("{KIND}:{id}"))
        .with_max_attempts(50);
        let fresh = tx.job_queue().enqueue_system(&job, now).await?;
        tx.commit().await?;
        tracing::info!(pool.id = %id, number = ?number.number, "an operator gives a number of the pool back");
        app.store().wake_jobs().await?;
        if !fresh {
            return Ok(Retired::Pending);
        }
        match app.jobs().run_now(job.id, PATIENCE).await? {
            Ran::Finished => Ok(Retired::Done),
            Ran::Later => Ok(Retired::Pending),
            Ran::GivenUp => Err(PoolError::Carrier(number.provider)),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Payload {
    number: PoolNumberId,
}

/// Gives a number of the pool back at its carrier.
#[derive(Debug)]
pub(crate) struct RetireNumber;

#[async_trait]
impl JobHandler for RetireNumber {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Payload { number: id } = context.payload()?;
        let app = context.app();
        let mut number = begin(app).await?.number_pool().find(id).await?;
        if number.status == PoolStatus::Retired {
            return Ok(());
        }
        number.turn(PoolStatus::Retired).map_err(StoreError::from)?;
        if let Some(provider_id) = &number.provider_id {
            let carrier = app
                .telephony(&number.provider)
                .ok_or_else(|| JobError::give_up("the number's carrier is not configured"))?;
            let numbers = facet(&**carrier).map_err(|error| JobError::provider(&error))?;
            let released = numbers.release(provider_id).await;
            released.map_err(|error| match error.recovery() {
                // Releasing twice does no harm, so an ambiguous failure is simply repeated.
                Recovery::Reconcile => JobError::again(error.to_string()),
                _ => JobError::provider(&error),
            })?;
        }
        number.retired_at = Some(app.ambient().now());
        let mut tx = begin(app).await?;
        tx.number_pool().update(&mut number).await?;
        Ok(tx.commit().await?)
    }
}

async fn begin(app: &VoiceSaas) -> Result<Box<dyn SystemTx>, StoreError> {
    let system = SystemScope::mint("give a number of the pool back");
    app.store().begin_system(&system).await
}
