//! Filling the pool: numbers are bought one by one, each written down before it is ordered.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{NumberPool, PoolError, PoolNumber, PoolStatus, Sharing};
use crate::{
    id::{JobId, PoolNumberId},
    job::{JobContext, JobError, JobHandler, NewJob},
    number::{
        provision::webhooks,
        service::{area_code, facet},
    },
    phone::{Country, E164},
    provider::{
        ErrorKind, Recovery,
        telephony::{AvailableNumber, NumberKind, NumberOrder, NumberProvider, NumberQuery, ProviderNumber},
    },
    scope::SystemScope,
    store::{StoreError, StoreErrorKind, SystemTx},
    validate::{Checks, Invalid},
};

const KIND: &str = "pool.fill";

/// The largest order: a slip of the hand must not cost a fortune.
const MOST: u16 = 500;

/// A claim ends after this long, so that a process that stops waits no longer for it.
const SLICE: Duration = Duration::from_secs(20);

/// Which numbers to buy for the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FillRequest {
    /// Of this country.
    pub country: Country,
    /// Of this kind.
    pub kind: NumberKind,
    /// Of this area.
    pub area_code: Option<String>,
    /// So many more: 1 to 500.
    pub count: u16,
    /// Used by so many tenants at once.
    pub sharing: Sharing,
    /// From this carrier; from the default one unless told otherwise.
    pub provider: Option<String>,
}

impl FillRequest {
    /// So many local numbers of the country, each to be lent to one tenant at a time.
    pub fn new(country: Country, count: u16) -> Self {
        Self {
            country,
            kind: NumberKind::default(),
            area_code: None,
            count,
            sharing: Sharing::default(),
            provider: None,
        }
    }
}

/// What the job buys.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    country: Country,
    kind: NumberKind,
    area_code: Option<String>,
    count: u16,
    sharing: Sharing,
    provider: String,
}

/// How far it has come; written with each number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Progress {
    wanted: u16,
    bought: u16,
    /// Chosen, and gone before they were bought.
    missed: u16,
}

impl NumberPool<'_> {
    /// Begins to buy numbers for the pool; the job says how far it is. Each is bought once, whatever happens in between.
    ///
    /// # Errors
    /// `Invalid`, `UnderWay` while the same kind of numbers is being bought, `Provider`, `Store`.
    pub async fn fill(&self, request: FillRequest) -> Result<JobId, PoolError> {
        let app = self.app();
        let mut checks = Checks::new();
        area_code(request.area_code.as_deref(), &mut checks);
        let few = (1..=MOST).contains(&request.count);
        checks.require(few, "/count", "range", "must be 1 to 500");
        checks.finish()?;
        let carrier = match &request.provider {
            None => app.default_telephony()?,
            Some(name) => app
                .telephony(name)
                .ok_or_else(|| Invalid::field("/provider", "unknown", "no such carrier"))?,
        };
        facet(&**carrier)?;
        let order = Order {
            country: request.country,
            kind: request.kind,
            area_code: request.area_code,
            count: request.count,
            sharing: request.sharing,
            provider: carrier.name().as_str().to_owned(),
        };
        let key = format!(
            "{KIND}:{}:{}:{:?}:{}:{:?}",
            order.provider,
            order.country,
            order.kind,
            order.area_code.as_deref().unwrap_or("any"),
            order.sharing
        );
        let now = app.ambient().now();
        let id = JobId::generate(app.ambient().ids());
        let job = NewJob::new(id, KIND, json!(order), now)
            .with_unique_key(key)
            .with_max_attempts(5_000);
        let mut tx = self.begin("an operator fills the pool").await?;
        // A request that is sent twice must not buy twice.
        if !tx.job_queue().enqueue_system(&job, now).await? {
            return Err(PoolError::UnderWay);
        }
        tx.commit().await?;
        tracing::info!(job.id = %id, count = order.count, provider = order.provider, "an operator fills the pool");
        app.store().wake_jobs().await?;
        Ok(id)
    }
}

/// Buys numbers for the pool.
#[derive(Debug)]
pub(crate) struct FillPool;

#[async_trait]
impl JobHandler for FillPool {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let order: Order = context.payload()?;
        let app = context.app();
        let carrier = app
            .telephony(&order.provider)
            .ok_or_else(|| JobError::give_up("the carrier is not configured"))?;
        let numbers = facet(&**carrier).map_err(|error| JobError::provider(&error))?;
        let fill = Fill {
            context,
            order,
            numbers,
        };
        fill.go().await
    }
}

struct Fill<'a> {
    context: &'a JobContext<'a>,
    order: Order,
    numbers: &'a dyn NumberProvider,
}

impl Fill<'_> {
    async fn go(&self) -> Result<(), JobError> {
        let app = self.context.app();
        let until = Instant::now() + SLICE;
        // What was written down tells how far earlier attempts came, whatever they got to hear of it.
        let job = self.context.job().id;
        let known = self.begin().await?.number_pool().of_fill(job).await?;
        let mut progress = Progress {
            wanted: self.order.count,
            ..Progress::default()
        };
        let mut tried = HashSet::new();
        let mut begun = Vec::new();
        for number in known {
            tried.insert(number.number.clone());
            match number.status {
                PoolStatus::Buying => begun.push(number),
                PoolStatus::Retired if number.provider_id.is_none() => progress.missed += 1,
                _ => progress.bought += 1,
            }
        }
        for number in begun {
            self.buy(number, true, &mut progress).await?;
        }
        let mut candidates = Vec::new();
        while progress.bought < progress.wanted {
            if Instant::now() >= until || app.is_draining() {
                return Err(JobError::again_after(Duration::ZERO, "to be continued"));
            }
            let Some(candidate) = candidates.pop() else {
                candidates = self.search(&tried).await?;
                if candidates.is_empty() {
                    let Progress { wanted, bought, .. } = progress;
                    let detail = format!("no further number fits; {bought} of {wanted} were bought");
                    return Err(JobError::give_up(detail));
                }
                continue;
            };
            tried.insert(candidate.number.clone());
            if let Some(number) = self.intend(candidate, &progress).await? {
                self.buy(number, false, &mut progress).await?;
            }
        }
        Ok(())
    }

    /// Numbers that fit and were not tried yet, the best last.
    async fn search(&self, tried: &HashSet<E164>) -> Result<Vec<AvailableNumber>, JobError> {
        let mut query = NumberQuery::new(self.order.country).with_kind(self.order.kind);
        if let Some(area_code) = &self.order.area_code {
            query = query.with_area_code(area_code);
        }
        let found = self.numbers.search(&query).await;
        let mut found = found.map_err(|error| match error.recovery() {
            // A search changes nothing.
            Recovery::Reconcile => JobError::again(error.to_string()),
            _ => JobError::provider(&error),
        })?;
        found.retain(|available| !tried.contains(&available.number));
        found.reverse();
        Ok(found)
    }

    /// Writes the order down before it is sent. `None` when the pool has the number already.
    async fn intend(
        &self,
        candidate: AvailableNumber,
        progress: &Progress,
    ) -> Result<Option<PoolNumber>, JobError> {
        let ambient = self.context.app().ambient();
        let order = &self.order;
        let number = PoolNumber::buying(
            PoolNumberId::generate(ambient.ids()),
            candidate.number,
            &order.provider,
            order.country,
            order.kind,
            self.context.job().id,
            ambient.now(),
        )
        .with_sharing(order.sharing);
        let mut tx = self.begin().await?;
        match tx.number_pool().add(&number).await {
            Err(error) if error.kind() == StoreErrorKind::Conflict => return Ok(None),
            added => added?,
        }
        // A worker that lost the job orders nothing any more.
        self.context.save_progress(&mut *tx, progress).await?;
        tx.commit().await?;
        Ok(Some(number))
    }

    /// Orders the number, or finds that it was bought. What cannot be had is let go of.
    async fn buy(
        &self,
        number: PoolNumber,
        look_first: bool,
        progress: &mut Progress,
    ) -> Result<(), JobError> {
        if look_first && let Some(found) = self.look(&number).await? {
            return self.bought(number, found, progress).await;
        }
        let webhooks = webhooks(self.context.app(), &self.order.provider);
        let order = NumberOrder::new(number.number.clone(), number.id.to_string(), webhooks);
        let error = match self.numbers.buy(&order).await {
            Ok(found) => return self.bought(number, found, progress).await,
            Err(error) => error,
        };
        // "Unavailable" is also the answer for a number that we bought a moment ago.
        let unclear = error.kind() == ErrorKind::NumberUnavailable || error.recovery() == Recovery::Reconcile;
        if unclear && let Some(found) = self.look(&number).await? {
            return self.bought(number, found, progress).await;
        }
        if error.kind() == ErrorKind::NumberUnavailable {
            return self.missed(number, progress).await;
        }
        match error.recovery() {
            Recovery::Reconcile => Err(JobError::again(format!("{error}: it may have acted"))),
            Recovery::Retry { .. } => Err(JobError::provider(&error)),
            Recovery::GiveUp => {
                self.missed(number, progress).await?;
                Err(JobError::provider(&error))
            }
        }
    }

    async fn look(&self, number: &PoolNumber) -> Result<Option<ProviderNumber>, JobError> {
        let found = self.numbers.find(&number.number).await;
        let found =
            found.map_err(|error| JobError::again(format!("could not look for the number: {error}")))?;
        Ok(found.filter(|found| found.friendly_name == number.id.to_string()))
    }

    async fn bought(
        &self,
        mut number: PoolNumber,
        found: ProviderNumber,
        progress: &mut Progress,
    ) -> Result<(), JobError> {
        let app = self.context.app();
        let now = app.ambient().now();
        number.turn(PoolStatus::Free).map_err(StoreError::from)?;
        let rate = app
            .rates()
            .find("number_month", &number.provider, Some(number.country));
        number.monthly_cost = found.monthly_price.or(rate.map(|rate| rate.amount));
        number.provider_id = Some(found.id);
        number.capabilities = found.capabilities;
        number.provisioned_at = Some(now);
        number.unused_since = now;
        progress.bought += 1;
        self.write(number, progress).await
    }

    /// Lets go of a number that could not be had.
    async fn missed(&self, mut number: PoolNumber, progress: &mut Progress) -> Result<(), JobError> {
        number.turn(PoolStatus::Retired).map_err(StoreError::from)?;
        number.retired_at = Some(self.context.app().ambient().now());
        progress.missed += 1;
        self.write(number, progress).await
    }

    async fn write(&self, mut number: PoolNumber, progress: &Progress) -> Result<(), JobError> {
        let mut tx = self.begin().await?;
        tx.number_pool().update(&mut number).await?;
        self.context.save_progress(&mut *tx, progress).await?;
        Ok(tx.commit().await?)
    }

    async fn begin(&self) -> Result<Box<dyn SystemTx>, StoreError> {
        let system = SystemScope::mint("fill the pool");
        self.context.app().store().begin_system(&system).await
    }
}
