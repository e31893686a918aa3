//! Ordering ports and looking at them.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;

use super::{NewPort, Port, PortLine, PortStatus, SealedOrder, follow};
use crate::{
    VoiceSaas,
    auth::{Forbidden, Principal},
    id::{NumberId, PortId, SagaId},
    job::NewJob,
    number::PhoneNumber,
    page::{Page, PageRequest},
    phone::E164,
    provider::{
        ProviderError,
        telephony::{PortOrder, Portability, PortingProvider, TelephonyProvider},
    },
    store::{StoreError, StoreErrorKind, TenantTx},
    subaccount::SubaccountStatus,
    tenant::Role,
    validate::{Checks, Invalid},
};

/// How long a request waits for the carrier; a job goes on with it then.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The same of a request that only looks.
const GLANCE: Duration = Duration::from_secs(3);
/// The carrier is asked at most this often because somebody looks at a port.
const NEWS: Duration = Duration::from_mins(1);
/// How many numbers the carrier is asked about at once.
const AT_ONCE: usize = 8;

/// Why a port's request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// Something about the request itself.
    #[error("the request cannot be accepted")]
    Invalid(#[from] Invalid),
    /// The caller's role is not enough.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Numbers of other carriers cannot be moved to this one.
    #[error("numbers cannot be moved to {provider}")]
    Unsupported {
        /// Which.
        provider: String,
    },
    /// Somebody here holds one of the numbers, or is moving it.
    #[error("a number is held or being moved already")]
    Taken,
    /// The carrier says that numbers cannot move.
    #[error("a number cannot be moved")]
    NotPortable {
        /// Which, and why not, in the carrier's words.
        numbers: Vec<(E164, Option<String>)>,
    },
    /// The carrier did not accept the order. Nothing is left of it but its row.
    #[error("{provider} did not accept the order")]
    Refused {
        /// Which.
        provider: String,
        /// The port.
        port: PortId,
        /// Why.
        reason: String,
    },
    /// The losing carrier is letting the numbers go, or has.
    #[error("it is too late to give the port up")]
    TooLate,
    /// The carrier failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Ports: see [`VoiceSaas::ports`].
#[derive(Debug)]
pub struct Ports<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Ports<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    pub(super) fn app(&self) -> &'a VoiceSaas {
        self.app
    }

    /// Whether a number can be moved to the carrier, the default one unless told otherwise.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Unsupported`, `Provider`.
    pub async fn portability(
        &self,
        principal: &Principal,
        number: &E164,
        provider: Option<&str>,
    ) -> Result<Portability, PortError> {
        principal.require(Role::Viewer)?;
        let carrier = self.carrier(provider)?;
        Ok(porting(&**carrier)?.portability(number).await?)
    }

    /// Orders numbers to be moved in. From now on they are held for the tenant. The carrier hears of it once, at once if
    /// it can be reached.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Unsupported`, `Taken`, `NotPortable`, `Provider`, `Refused`, `Store` (`NotFound` when
    /// there is no such agent); after each of them the numbers are not held.
    pub async fn order(&self, principal: &Principal, new: NewPort) -> Result<Port, PortError> {
        let scope = principal.require(Role::Member)?;
        let app = self.app;
        new.check(app.ambient().now())?;
        let carrier = self.carrier(new.provider.as_deref())?;
        let (mut port, job) = self.prepare(&new, carrier.name().as_str())?;
        // Where the tenant has an account of its own, its numbers move there.
        let own = app
            .store()
            .begin(scope)
            .await?
            .subaccounts()
            .at(&port.provider)
            .await?;
        let own = own.filter(|account| account.status == SubaccountStatus::Open);
        port.account = own.and_then(|account| account.provider_id);
        // Tried, and dropped: who holds a number is known here before the carrier is asked about it.
        let mut tx = app.store().begin(scope).await?;
        write(&mut *tx, &port, &job).await?;
        drop(tx);
        require_portable(porting(&**carrier)?, &new.order).await?;
        let mut tx = app.store().begin(scope).await?;
        write(&mut *tx, &port, &job).await?;
        tx.commit().await?;
        tracing::info!(port.id = %port.id, numbers = port.lines.len(), "a port was ordered");
        app.jobs().run_now(port.job, PATIENCE).await?;
        let port = app.store().begin(scope).await?.ports().find(port.id).await?;
        if port.status == PortStatus::Refused {
            return Err(PortError::Refused {
                provider: port.provider,
                port: port.id,
                reason: port.reason.unwrap_or_default(),
            });
        }
        Ok(port)
    }

    /// Newest first.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn list(&self, principal: &Principal, page: PageRequest) -> Result<Page<Port>, PortError> {
        let scope = principal.require(Role::Viewer)?;
        Ok(self.app.store().begin(scope).await?.ports().list(page).await?)
    }

    /// The port. The carrier is asked how it stands when that was long ago.
    ///
    /// # Errors
    /// `Forbidden`, `Store` (`NotFound`).
    pub async fn get(&self, principal: &Principal, id: PortId) -> Result<Port, PortError> {
        let scope = principal.require(Role::Viewer)?;
        let app = self.app;
        let port = app.store().begin(scope).await?.ports().find(id).await?;
        let old = app.ambient().now() - NEWS;
        let due = port.checked_at.is_some_and(|checked| checked < old);
        if !port.status.is_open() || port.request.is_none() || !due {
            return Ok(port);
        }
        app.jobs().run_now(port.job, GLANCE).await?;
        Ok(app.store().begin(scope).await?.ports().find(id).await?)
    }

    /// The carrier that numbers are to move to, which must be able to take them.
    fn carrier(&self, name: Option<&str>) -> Result<&'a Arc<dyn TelephonyProvider>, PortError> {
        let carrier = match name {
            None => self.app.default_telephony()?,
            Some(name) => self
                .app
                .telephony(name)
                .ok_or_else(|| Invalid::field("/provider", "unknown", "no such carrier"))?,
        };
        porting(&**carrier)?;
        Ok(carrier)
    }

    fn prepare(&self, new: &NewPort, provider: &str) -> Result<(Port, NewJob), PortError> {
        let ambient = self.app.ambient();
        let id = PortId::generate(ambient.ids());
        let lines = new
            .order
            .numbers
            .iter()
            .map(|number| PortLine::new(number.number.clone(), NumberId::generate(ambient.ids())));
        let sealed = SealedOrder::seal(&new.order, id, self.app.sealer(), ambient);
        let sealed = sealed.ok_or_else(|| StoreError::new("seal an order", StoreErrorKind::Internal))?;
        let job = follow::job(self.app, id);
        let mut port = Port::ordered(
            id,
            provider,
            lines.collect(),
            sealed,
            job.id,
            SagaId::generate(ambient.ids()),
            ambient.now(),
        );
        port.agent = new.agent;
        port.target_date = new.order.target_date;
        Ok((port, job))
    }
}

fn porting(carrier: &dyn TelephonyProvider) -> Result<&dyn PortingProvider, PortError> {
    let porting = carrier.porting().filter(|_| carrier.numbers().is_some());
    porting.ok_or_else(|| PortError::Unsupported {
        provider: carrier.name().as_str().to_owned(),
    })
}

/// Writes the port, the rows that hold its numbers, and the job that follows it.
async fn write(tx: &mut dyn TenantTx, port: &Port, job: &NewJob) -> Result<(), PortError> {
    tx.tenant().require_open().await?;
    if let Some(agent) = port.agent {
        tx.agents().find(agent).await?;
    }
    let home = tx.tenant().get().await?.country;
    for line in &port.lines {
        let country = line.number.country().unwrap_or(home);
        let mut row = PhoneNumber::pending(
            line.id,
            line.number.clone(),
            &port.provider,
            country,
            port.saga,
            port.created_at,
        );
        row.account = port.account.clone();
        match tx.numbers().add(&row).await {
            Err(error) if error.kind() == StoreErrorKind::Conflict => return Err(PortError::Taken),
            added => added?,
        }
    }
    tx.ports().add(port).await?;
    tx.jobs().enqueue(job, port.created_at).await?;
    Ok(())
}

/// Asks the carrier about every number of the order.
async fn require_portable(porting: &dyn PortingProvider, order: &PortOrder) -> Result<(), PortError> {
    let mut answers: Vec<Portability> = Vec::with_capacity(order.numbers.len());
    for some in order.numbers.chunks(AT_ONCE) {
        let asked: Vec<_> = some
            .iter()
            .map(|number| porting.portability(&number.number))
            .collect();
        answers.extend(try_join_all(asked).await?);
    }
    let mut stuck = Vec::new();
    let mut checks = Checks::new();
    let (required, detail) = ("required", "the losing carrier asks for it");
    for (index, (number, answer)) in order.numbers.iter().zip(answers).enumerate() {
        if !answer.portable {
            stuck.push((number.number.clone(), answer.reason));
        } else if answer.pin_required {
            let pin = format!("/numbers/{index}/pin");
            checks.require(number.pin.is_some(), &pin, required, detail);
        }
    }
    if !stuck.is_empty() {
        return Err(PortError::NotPortable { numbers: stuck });
    }
    checks.finish()?;
    Ok(())
}
