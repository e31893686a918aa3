//! Searching, buying, listing and releasing numbers.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    NumberFilter, NumberStatus, PhoneNumber,
    provision::{self, ProvisionNumber, ProvisionRequest, Report},
};
use crate::{
    VoiceSaas,
    auth::{Forbidden, Principal},
    event::DomainEvent,
    id::{AgentId, EventId, JobId, NumberId, SagaId},
    job::{JobContext, JobError, JobHandler, NewJob, Ran},
    page::{Page, PageRequest},
    phone::Country,
    provider::{
        ErrorKind, ProviderError, Recovery,
        telephony::{AvailableNumber, NumberProvider, NumberQuery, TelephonyProvider},
    },
    saga::{self, SagaStatus},
    store::{StoreError, StoreErrorKind},
    tenant::Role,
    validate::{Checks, Invalid},
};

/// How long a request waits for a purchase; a job goes on with it then.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a number's request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// Something about the request itself.
    #[error("the request cannot be accepted")]
    Invalid(#[from] Invalid),
    /// The caller's role is not enough.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// No number fits, or the one that was asked for is gone.
    #[error("no such number can be had")]
    Unavailable {
        /// Area codes of the same country that have numbers.
        nearby_area_codes: Vec<String>,
    },
    /// The agent has a number, or is getting one.
    #[error("the agent has a number already")]
    AlreadyAssigned,
    /// The number's purchase is under way.
    #[error("the number is still being bought")]
    Pending,
    /// The country asks for papers first.
    #[error("the country of the number asks for an address or documents first")]
    RequirementsMissing,
    /// The carrier failed, and nothing was bought.
    #[error("the carrier {provider} cannot be used now")]
    Carrier {
        /// Which.
        provider: String,
        /// Whether the same request may succeed later.
        retryable: bool,
    },
    /// The carrier failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of a request for a number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers answer both")]
pub enum Provisioned {
    /// It is there.
    Done(Box<PhoneNumber>),
    /// The carrier takes its time; the library goes on with it.
    Pending {
        /// The work that goes on.
        saga: SagaId,
        /// The number that was chosen, if it came that far.
        number: Option<Box<PhoneNumber>>,
    },
}

/// What came of giving a number back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers answer both")]
pub enum Released {
    /// It is no longer paid for.
    Done,
    /// It is not answered any more; the carrier takes its time, and the library goes on with it.
    Pending,
}

/// Numbers: see [`VoiceSaas::numbers`].
#[derive(Debug)]
pub struct Numbers<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Numbers<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// Numbers that can be bought.
    ///
    /// # Errors
    /// `Forbidden`, `Provider`.
    pub async fn available(
        &self,
        principal: &Principal,
        query: &NumberQuery,
    ) -> Result<Vec<AvailableNumber>, NumberError> {
        principal.require(Role::Viewer)?;
        let carrier = self.app.default_telephony()?;
        Ok(facet(&**carrier)?.search(query).await?)
    }

    /// Buys a number. Whatever happens in between, it ends up with the tenant or not bought at all.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Unavailable`, `AlreadyAssigned`, `RequirementsMissing`, `Carrier`; after each of
    /// them nothing is paid for.
    pub async fn provision(
        &self,
        principal: &Principal,
        request: ProvisionRequest,
    ) -> Result<Provisioned, NumberError> {
        let scope = principal.require(Role::Member)?;
        check(&request)?;
        let carrier = match &request.provider {
            None => self.app.default_telephony()?,
            Some(name) => self
                .app
                .telephony(name)
                .ok_or_else(|| Invalid::field("/provider", "unknown", "no such carrier"))?,
        };
        facet(&**carrier)?;
        let mut tx = self.app.store().begin(scope).await?;
        let mut unique_key = None;
        if let Some(agent) = request.agent {
            tx.agents().find(agent).await?;
            let filter = NumberFilter {
                agent: Some(agent),
                ..NumberFilter::default()
            };
            if !tx
                .numbers()
                .list(filter, PageRequest::default())
                .await?
                .data
                .is_empty()
            {
                return Err(NumberError::AlreadyAssigned);
            }
            unique_key = Some(format!("{}:{agent}", provision::KIND));
        }
        let state = provision::State::new(request, carrier.name().as_str());
        let begun = saga::begin(self.app, &mut *tx, &ProvisionNumber, &state, unique_key).await?;
        let Some((saga, job)) = begun else {
            return Err(NumberError::AlreadyAssigned);
        };
        tx.commit().await?;

        self.app.jobs().run_now(job, PATIENCE).await?;
        let mut tx = self.app.store().begin(scope).await?;
        let record = tx.sagas().find(saga).await?;
        let number = tx.numbers().find_by_saga(saga).await?.map(Box::new);
        match (record.status, number) {
            (SagaStatus::Done, Some(number)) => Ok(Provisioned::Done(number)),
            (SagaStatus::Undone | SagaStatus::Stuck, _) => {
                let report = record
                    .error
                    .and_then(|error| serde_json::from_value(error["report"].clone()).ok());
                Err(Report::into_error(report, carrier.name().as_str()))
            }
            (_, number) => Ok(Provisioned::Pending { saga, number }),
        }
    }

    /// Newest first.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn list(
        &self,
        principal: &Principal,
        filter: NumberFilter,
        page: PageRequest,
    ) -> Result<Page<PhoneNumber>, NumberError> {
        let scope = principal.require(Role::Viewer)?;
        Ok(self
            .app
            .store()
            .begin(scope)
            .await?
            .numbers()
            .list(filter, page)
            .await?)
    }

    /// The number.
    ///
    /// # Errors
    /// `Forbidden`, `Store` (`NotFound`).
    pub async fn get(&self, principal: &Principal, id: NumberId) -> Result<PhoneNumber, NumberError> {
        let scope = principal.require(Role::Viewer)?;
        Ok(self.app.store().begin(scope).await?.numbers().find(id).await?)
    }

    /// Renames the number, or takes it in or out of service.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Pending`, `Store` (`NotFound`; also for a released number).
    pub async fn update(
        &self,
        principal: &Principal,
        id: NumberId,
        friendly_name: Option<String>,
        active: Option<bool>,
    ) -> Result<PhoneNumber, NumberError> {
        let scope = principal.require(Role::Member)?;
        if let Some(name) = &friendly_name {
            let mut checks = Checks::new();
            checks.length(name, 1..=100, "/friendly_name");
            checks.finish()?;
        }
        let mut tx = self.app.store().begin(scope).await?;
        let mut number = tx.numbers().find(id).await?;
        match number.status {
            NumberStatus::Pending => return Err(NumberError::Pending),
            NumberStatus::Released => return Err(gone()),
            NumberStatus::Active | NumberStatus::Inactive => {}
        }
        number.friendly_name = friendly_name.unwrap_or(number.friendly_name);
        if let Some(active) = active {
            number.status = if active {
                NumberStatus::Active
            } else {
                NumberStatus::Inactive
            };
        }
        tx.numbers().update(&number).await?;
        tx.commit().await?;
        self.app.routes().forget(&number.number).await;
        Ok(number)
    }

    /// Gives the number back. It is not answered from now on; releasing it again is no error.
    ///
    /// # Errors
    /// `Forbidden`, `Pending`, `Carrier`, `Store` (`NotFound`).
    pub async fn release(&self, principal: &Principal, id: NumberId) -> Result<Released, NumberError> {
        let scope = principal.require(Role::Member)?;
        let ambient = self.app.ambient();
        let mut tx = self.app.store().begin(scope).await?;
        let mut number = tx.numbers().find(id).await?;
        match number.status {
            NumberStatus::Released => return Ok(Released::Done),
            NumberStatus::Pending => return Err(NumberError::Pending),
            NumberStatus::Active | NumberStatus::Inactive => {}
        }
        number.status = NumberStatus::Inactive;
        tx.numbers().update(&number).await?;
        let job = NewJob::new(
            JobId::generate(ambient.ids()),
            RELEASE,
            json!(Payload { number: id }),
            ambient.now(),
        )
        .with_unique_key(format!("{RELEASE}:{id}"))
        .with_max_attempts(50);
        let fresh = tx.jobs().enqueue(&job, ambient.now()).await?;
        tx.commit().await?;
        self.app.routes().forget(&number.number).await;
        if !fresh {
            return Ok(Released::Pending);
        }
        match self.app.jobs().run_now(job.id, PATIENCE).await? {
            Ran::Finished => Ok(Released::Done),
            Ran::Later => Ok(Released::Pending),
            Ran::GivenUp => Err(NumberError::Carrier {
                provider: number.provider,
                retryable: false,
            }),
        }
    }

    /// Gives back the number that was bought for this agent alone.
    ///
    /// # Errors
    /// As [`release`](Self::release); `Store` (`NotFound`) when the agent has none.
    pub async fn release_for_agent(
        &self,
        principal: &Principal,
        agent: AgentId,
    ) -> Result<Released, NumberError> {
        let scope = principal.require(Role::Member)?;
        let mut tx = self.app.store().begin(scope).await?;
        tx.agents().find(agent).await?;
        let filter = NumberFilter {
            agent: Some(agent),
            ..NumberFilter::default()
        };
        let numbers = tx.numbers().list(filter, PageRequest::default()).await?.data;
        drop(tx);
        let number = numbers.first().ok_or_else(gone)?;
        self.release(principal, number.id).await
    }
}

fn gone() -> NumberError {
    StoreError::new("find a number", StoreErrorKind::NotFound).into()
}

fn check(request: &ProvisionRequest) -> Result<(), Invalid> {
    let mut checks = Checks::new();
    if let Some(area_code) = &request.area_code {
        let digits = (2..=5).contains(&area_code.len()) && area_code.bytes().all(|b| b.is_ascii_digit());
        checks.require(
            digits,
            "/area_code",
            "area_code",
            "must be two to five digits, such as 212",
        );
    }
    let either = request.number.is_none() || request.area_code.is_none();
    checks.require(
        either,
        "/area_code",
        "exclusive",
        "must not be given together with phone_number",
    );
    checks.finish()
}

/// The carrier's numbers.
pub(super) fn facet(carrier: &dyn TelephonyProvider) -> Result<&dyn NumberProvider, ProviderError> {
    carrier.numbers().ok_or_else(|| {
        ProviderError::new(carrier.name(), "handle numbers", ErrorKind::Unsupported)
            .with_detail("numbers of this carrier cannot be bought or released through its interface")
    })
}

/// Area codes of these numbers, where the country has them (+1).
pub(super) fn area_codes(numbers: &[AvailableNumber], country: Country) -> Vec<String> {
    let mut codes: Vec<String> = numbers
        .iter()
        .filter_map(|available| available.number.as_str().strip_prefix("+1"))
        .filter(|digits| digits.len() == 10)
        .map(|digits| digits[..3].to_owned())
        .collect();
    codes.sort();
    codes.dedup();
    tracing::debug!(%country, count = codes.len(), "looked for nearby area codes");
    codes
}

const RELEASE: &str = "number.release";

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
        if number.status == NumberStatus::Released {
            return Ok(());
        }
        let carrier = app
            .telephony(&number.provider)
            .ok_or_else(|| JobError::give_up("the number's carrier is not configured"))?;
        if let Some(provider_id) = &number.provider_id {
            let numbers = facet(&**carrier).map_err(|error| JobError::provider(&error))?;
            numbers
                .release(provider_id)
                .await
                .map_err(|error| match error.recovery() {
                    // Releasing twice does no harm, so an ambiguous failure is simply repeated.
                    Recovery::Reconcile => JobError::again(error.to_string()),
                    _ => JobError::provider(&error),
                })?;
        }
        mark_released(app, scope, id).await?;
        Ok(())
    }
}

/// Writes down that a number is no longer paid for.
pub(super) async fn mark_released(
    app: &VoiceSaas,
    scope: &crate::scope::TenantScope,
    id: NumberId,
) -> Result<(), StoreError> {
    let now = app.ambient().now();
    let mut tx = app.store().begin(scope).await?;
    let mut number = tx.numbers().find(id).await?;
    if number.status == NumberStatus::Released {
        return Ok(());
    }
    let was_paid_for = number.provider_id.is_some();
    number.status = NumberStatus::Released;
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
