//! Giving numbers back: out of service at once, back to the carrier when nothing hangs on them any more.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    NumberError, NumberStatus, Numbers, Ownership, PhoneNumber, pool,
    service::{PATIENCE, facet},
};
use crate::{
    VoiceSaas,
    auth::Principal,
    event::DomainEvent,
    id::{EventId, JobId, NumberId},
    job::{JobContext, JobError, JobHandler, NewJob, Ran},
    provider::{
        Recovery,
        telephony::{Capability, ProviderNumberId, TelephonyProvider},
    },
    reconcile::leave_by_hand,
    scope::TenantScope,
    store::{StoreError, TenantTx},
    tenant::Role,
    trunk,
};

const RELEASE: &str = "number.release";

/// What came of giving a number back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers answer all three")]
pub enum Released {
    /// It is no longer paid for.
    Done,
    /// It is not answered any more; the carrier takes its time, and the library goes on with it.
    Pending,
    /// It is not answered any more, and is given back when its quarantine is over.
    Quarantined {
        /// When that is.
        until: Timestamp,
    },
}

impl Numbers<'_> {
    /// Gives the number back, after its quarantine where the settings ask for one. It is not answered from now on;
    /// releasing it again is no error. An imported number stays in the carrier's account; one of the pool goes back there.
    ///
    /// # Errors
    /// `Forbidden`, `Pending`, `Carrier`, `Store` (`NotFound`).
    pub async fn release(&self, principal: &Principal, id: NumberId) -> Result<Released, NumberError> {
        let scope = principal.require(Role::Member)?;
        let app = self.app();
        let mut tx = app.store().begin(scope).await?;
        let mut number = tx.numbers().find(id).await?;
        match number.status {
            NumberStatus::Released => return Ok(Released::Done),
            NumberStatus::Pending => return Err(NumberError::Pending),
            NumberStatus::WaitingForDocuments => {
                drop(tx);
                mark_released(app, scope, id).await?;
                return Ok(Released::Done);
            }
            NumberStatus::Active | NumberStatus::Inactive | NumberStatus::Quarantined => {}
        }
        let job = begin_release(app, &mut *tx, &mut number, app.settings().quarantine).await?;
        tx.commit().await?;
        app.routes().forget(&number.number).await;
        app.store().wake_jobs().await?;
        if number.status == NumberStatus::Quarantined {
            let until = number.release_at.unwrap_or_else(|| app.ambient().now());
            return Ok(Released::Quarantined { until });
        }
        let Some(job) = job else {
            return Ok(Released::Pending);
        };
        match app.jobs().run_now(job, PATIENCE).await? {
            Ran::Finished => Ok(Released::Done),
            Ran::Later => Ok(Released::Pending),
            Ran::GivenUp => Err(NumberError::Carrier {
                provider: number.provider,
                retryable: false,
            }),
        }
    }
}

/// Takes a number that is paid for out of service and enqueues its release, at once or after `quarantine`; what was
/// asked for first stands. `None` when the release is under way.
pub(crate) async fn begin_release(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    number: &mut PhoneNumber,
    quarantine: Option<Duration>,
) -> Result<Option<JobId>, NumberError> {
    let now = app.ambient().now();
    let quarantine = quarantine.filter(|_| number.owned == Ownership::Bought && number.release_at.is_none());
    if number.status == NumberStatus::Active {
        number.turn(NumberStatus::Inactive)?;
    }
    let due = *number
        .release_at
        .get_or_insert(now + quarantine.unwrap_or_default());
    if quarantine.is_some() {
        number.turn(NumberStatus::Quarantined)?;
        for agent in std::mem::take(&mut number.agents) {
            tx.numbers().unlink(number.id, agent).await?;
        }
        // Until then nobody may be reached through it.
        trunk::enqueue_delete_of_number(app, tx, number.id).await?;
    }
    tx.numbers().update(number).await?;
    let job = NewJob::new(
        JobId::generate(app.ambient().ids()),
        RELEASE,
        json!(Payload { number: number.id }),
        due,
    )
    .with_unique_key(format!("{RELEASE}:{}", number.id))
    .with_max_attempts(1_000);
    Ok(tx.jobs().enqueue(&job, now).await?.then_some(job.id))
}

#[derive(Serialize, Deserialize)]
struct Payload {
    number: NumberId,
}

/// Gives a number back at its carrier.
#[derive(Debug)]
pub(crate) struct ReleaseNumber;

#[async_trait]
impl JobHandler for ReleaseNumber {
    fn kind(&self) -> &'static str {
        RELEASE
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Payload { number: id } = context.payload()?;
        let (app, scope) = (context.app(), context.scope()?);
        let number = app.store().begin(scope).await?.numbers().find(id).await?;
        match number.status {
            NumberStatus::Released => return Ok(()),
            NumberStatus::Pending => return Err(JobError::again("the number is still being bought")),
            NumberStatus::Quarantined => {
                let left = number.release_at.map(|at| at.duration_since(app.ambient().now()));
                // Negative when it is over.
                if let Some(Ok(left)) = left.map(Duration::try_from)
                    && !left.is_zero()
                {
                    return Err(JobError::again_after(left, "the number's quarantine is not over"));
                }
            }
            _ => {}
        }
        give_back(app, scope, id).await
    }
}

/// Gives the number back now, with its trunk: at its carrier, or to the pool. Repeating it does no harm.
pub(crate) async fn give_back(app: &VoiceSaas, scope: &TenantScope, id: NumberId) -> Result<(), JobError> {
    let number = app.store().begin(scope).await?.numbers().find(id).await?;
    trunk::delete_of_number(app, scope, id).await?;
    if let (Ownership::Bought, Some(provider_id)) = (number.owned, &number.provider_id) {
        match app
            .telephony_of(scope, &number.provider, number.account.as_ref())
            .await
        {
            // With its account the number is gone.
            Err(error) if error.is_gone() => {}
            carrier => release_at(app, scope, &*carrier?, &number, provider_id).await?,
        }
    }
    if let (Ownership::Pool, Some(saga)) = (number.owned, number.saga) {
        // Before the row is: a number that nobody has any more would stay lent for ever.
        pool::take_back(app, scope.tenant_id(), saga).await?;
    }
    mark_released(app, scope, id).await?;
    Ok(())
}

/// Gives the number back at its carrier. One that is taken back by hand alone is left to an operator, and waited for no
/// longer.
async fn release_at(
    app: &VoiceSaas,
    scope: &TenantScope,
    carrier: &dyn TelephonyProvider,
    number: &PhoneNumber,
    provider_id: &ProviderNumberId,
) -> Result<(), JobError> {
    if !carrier.capabilities().contains(&Capability::ReleaseNumbers) {
        let (tenant, id) = (scope.tenant_id(), provider_id.as_str());
        return Ok(leave_by_hand(app, tenant, &number.provider, id, &number.number).await?);
    }
    let numbers = facet(carrier).map_err(|error| JobError::provider(&error))?;
    let released = numbers.release(provider_id).await;
    released.map_err(|error| match error.recovery() {
        // Releasing twice does no harm, so an ambiguous failure is simply repeated.
        Recovery::Reconcile => JobError::again(error.to_string()),
        _ => JobError::provider(&error),
    })?;
    Ok(())
}

/// Writes down that a number is no longer paid for.
pub(super) async fn mark_released(
    app: &VoiceSaas,
    scope: &TenantScope,
    id: NumberId,
) -> Result<(), StoreError> {
    let now = app.ambient().now();
    let mut tx = app.store().begin(scope).await?;
    let mut number = tx.numbers().find(id).await?;
    if number.status == NumberStatus::Released {
        return Ok(());
    }
    let was_paid_for = number.provider_id.is_some();
    if number.status == NumberStatus::Active {
        number.turn(NumberStatus::Inactive)?;
    }
    number.turn(NumberStatus::Released)?;
    number.released_at = Some(now);
    tx.numbers().update(&number).await?;
    for agent in &number.agents {
        tx.numbers().unlink(id, *agent).await?;
    }
    if was_paid_for {
        let payload = json!({ "number_id": id, "phone_number": number.number });
        let event = DomainEvent::new(
            EventId::generate(app.ambient().ids()),
            "number.released",
            payload,
            now,
        );
        tx.outbox().publish(&event).await?;
    }
    tx.commit().await?;
    app.routes().forget(&number.number).await;
    Ok(())
}
