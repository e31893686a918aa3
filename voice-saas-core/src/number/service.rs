//! Searching, buying, listing and changing numbers.

use std::time::Duration;

use serde_json::json;

use super::{
    IllegalChange, NumberFilter, NumberStatus, PhoneNumber, Released,
    provision::{self, ProvisionRequest, Report},
};
use crate::{
    VoiceSaas,
    auth::{Forbidden, Principal},
    event::DomainEvent,
    id::{AgentId, EventId, JobId, NumberId, SagaId},
    page::{Page, PageRequest},
    phone::Country,
    provider::{
        ErrorKind, ProviderError,
        telephony::{
            AvailableNumber, Capability, NumberProvider, NumberQuery, NumberRequirements, TelephonyProvider,
        },
    },
    saga::SagaStatus,
    scope::TenantScope,
    store::{StoreError, StoreErrorKind, TenantTx},
    tenant::Role,
    trunk,
    usage::Refusal,
    validate::{Checks, Invalid},
};

/// How long a request waits for a purchase; a job goes on with it then.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

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
    /// The number is being given back, or kept until it is.
    #[error("the number is being given back")]
    Releasing,
    /// The number's life does not have this change.
    #[error(transparent)]
    Illegal(#[from] IllegalChange),
    /// The carrier's account does not hold the number that was to be imported.
    #[error("the account at {provider} does not hold the number")]
    NotInAccount {
        /// Which carrier.
        provider: String,
    },
    /// Numbers of the carrier's account are given to tenants by operators.
    #[error("numbers of the carrier's account are imported by operators")]
    ImportForbidden,
    /// The country asks for papers first.
    #[error("the country of the number asks for an address or documents first")]
    RequirementsMissing {
        /// What it asks for, as far as the carrier says so.
        requirements: NumberRequirements,
    },
    /// The tenant's plan has no room for it.
    #[error(transparent)]
    Plan(#[from] Refusal),
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

/// A purchase that is written down and was not run yet.
#[derive(Debug)]
pub(crate) struct Begun {
    saga: SagaId,
    job: JobId,
    carrier: &'static str,
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

    pub(super) fn app(&self) -> &'a VoiceSaas {
        self.app
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
    /// `Forbidden`, `Invalid`, `Plan`, `Unavailable`, `AlreadyAssigned`, `RequirementsMissing`, `Carrier`; after each of
    /// them nothing is paid for.
    pub async fn provision(
        &self,
        principal: &Principal,
        request: ProvisionRequest,
    ) -> Result<Provisioned, NumberError> {
        let scope = principal.require(Role::Member)?;
        let mut tx = self.app.store().begin(scope).await?;
        let begun = self.begin(&mut *tx, request).await?;
        tx.commit().await?;
        self.finish(principal, begun).await
    }

    /// Writes a purchase down, in the unit of work that needs it.
    pub(crate) async fn begin(
        &self,
        tx: &mut dyn TenantTx,
        request: ProvisionRequest,
    ) -> Result<Begun, NumberError> {
        check(&request)?;
        let carrier = match &request.provider {
            None => self.app.default_telephony()?,
            Some(name) => self
                .app
                .telephony(name)
                .ok_or_else(|| Invalid::field("/provider", "unknown", "no such carrier"))?,
        };
        facet(&**carrier)?;
        let carrier = carrier.name().as_str();
        let (saga, job) = provision::begin(self.app, tx, request, carrier).await?;
        Ok(Begun { saga, job, carrier })
    }

    /// Runs a purchase that is committed, and says what came of it so far.
    pub(crate) async fn finish(
        &self,
        principal: &Principal,
        begun: Begun,
    ) -> Result<Provisioned, NumberError> {
        let scope = principal.require(Role::Member)?;
        self.app.jobs().run_now(begun.job, PATIENCE).await?;
        outcome(self.app, scope, begun.saga, begun.carrier).await
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

    /// Renames the number, or takes it in or out of service; its SIP trunk, if it has one, takes calls or refuses them
    /// with it.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Pending`, `Releasing`, `Illegal`, `Store` (`NotFound`; also for a released number).
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
            _ => {}
        }
        number.friendly_name = friendly_name.unwrap_or(number.friendly_name);
        match active {
            Some(true) if number.release_at.is_some() => return Err(NumberError::Releasing),
            Some(true) => number.turn(NumberStatus::Active)?,
            Some(false) => number.turn(NumberStatus::Inactive)?,
            None => {}
        }
        tx.numbers().update(&number).await?;
        let job = match active {
            Some(_) => trunk::enqueue_align(self.app, &mut *tx, id).await?,
            None => None,
        };
        tx.commit().await?;
        self.app.routes().forget(&number.number).await;
        if let Some(job) = job {
            self.app.jobs().run_now(job, PATIENCE).await?;
        }
        Ok(number)
    }

    /// Gives back the number that was bought for this agent alone.
    ///
    /// # Errors
    /// As [`release`](Numbers::release); `Store` (`NotFound`) when the agent has none.
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

/// Checks an area code, where one is given.
pub(super) fn area_code(area_code: Option<&str>, checks: &mut Checks) {
    if let Some(area_code) = area_code {
        let digits = (2..=5).contains(&area_code.len()) && area_code.bytes().all(|b| b.is_ascii_digit());
        checks.require(
            digits,
            "/area_code",
            "area_code",
            "must be two to five digits, such as 212",
        );
    }
}

fn check(request: &ProvisionRequest) -> Result<(), Invalid> {
    let mut checks = Checks::new();
    area_code(request.area_code.as_deref(), &mut checks);
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
pub(crate) fn facet(carrier: &dyn TelephonyProvider) -> Result<&dyn NumberProvider, ProviderError> {
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

/// What a purchase or an import has come to.
pub(super) async fn outcome(
    app: &VoiceSaas,
    scope: &TenantScope,
    saga: SagaId,
    provider: &str,
) -> Result<Provisioned, NumberError> {
    let mut tx = app.store().begin(scope).await?;
    let record = tx.sagas().find(saga).await?;
    let number = tx.numbers().find_by_saga(saga).await?.map(Box::new);
    match (record.status, number) {
        (SagaStatus::Done, Some(number)) => Ok(Provisioned::Done(number)),
        (SagaStatus::Undone | SagaStatus::Stuck, _) => {
            let report = record
                .error
                .and_then(|error| serde_json::from_value(error["report"].clone()).ok());
            Err(Report::into_error(report, provider))
        }
        (_, number) => Ok(Provisioned::Pending { saga, number }),
    }
}

/// Tells whoever wants to know that a number is in service now.
pub(super) async fn publish_provisioned(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    number: &PhoneNumber,
) -> Result<(), StoreError> {
    let payload = json!({ "number_id": number.id, "phone_number": number.number });
    let ambient = app.ambient();
    let event = DomainEvent::new(
        EventId::generate(ambient.ids()),
        "number.provisioned",
        payload,
        ambient.now(),
    );
    tx.outbox().publish(&event).await?;
    let carrier = app.telephony(&number.provider);
    if carrier.is_none_or(|carrier| carrier.capabilities().contains(&Capability::ConfigureNumbers)) {
        return Ok(());
    }
    // Its interface points numbers nowhere: somebody does it by hand, below this address.
    let payload = json!({
        "number_id": number.id, "phone_number": number.number, "provider": number.provider,
        "point_to": app.public_url().webhook(&number.provider, ""),
    });
    tracing::warn!(number.id = %number.id, provider = number.provider, "a number is to be pointed to us by hand");
    let id = EventId::generate(ambient.ids());
    let event = DomainEvent::new(id, "number.to_be_pointed", payload, ambient.now());
    tx.outbox().publish(&event).await
}
