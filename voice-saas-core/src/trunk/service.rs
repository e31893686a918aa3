//! Setting trunks up, listing and deleting them.

use std::time::Duration;

use super::{Trunk, TrunkFailure, TrunkStatus, delete, fresh_password, set_up};
use crate::{
    VoiceSaas,
    auth::{Forbidden, Principal},
    id::{NumberId, TrunkId},
    job::Ran,
    number::NumberStatus,
    page::{Page, PageRequest},
    scope::TenantScope,
    store::StoreError,
    tenant::Role,
};

/// How long a request waits for the providers; a job goes on with it then.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a trunk's request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrunkError {
    /// The caller's role is not enough.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// No media side is configured, or it has no SIP trunks.
    #[error("no provider that takes calls by SIP is configured")]
    NotConfigured,
    /// The number is not paid for: it is being bought, or given back.
    #[error("the number is not in the tenant's hands")]
    NumberNotHeld,
    /// The number's calls go through a trunk that we did not make.
    #[error("the number's calls go through another trunk at {provider}")]
    Foreign {
        /// Where.
        provider: String,
    },
    /// A provider failed, and nothing was left of the trunk.
    #[error("the trunk could not be set up at {provider}")]
    Provider {
        /// Which.
        provider: String,
        /// Whether the same request may succeed later.
        retryable: bool,
    },
    /// The trunk is being set up or taken away.
    #[error("the trunk is being set up or taken away")]
    Pending,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A number's trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers answer all three")]
pub enum EnsuredTrunk {
    /// It was there.
    Found(Box<Trunk>),
    /// It was set up.
    Made(Box<Trunk>),
    /// The providers take their time; the library goes on with it.
    Pending(Box<Trunk>),
}

/// Trunks: see [`VoiceSaas::trunks`].
#[derive(Debug)]
pub struct Trunks<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Trunks<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// Sees to it that the number has a trunk. From then on its calls go to the media side of the settings, where the
    /// carrier has trunks at all. After a failure nothing is left at either provider; where that could not be seen to,
    /// the trunk is [`Stuck`](TrunkStatus::Stuck), and asking again takes the rest away first.
    ///
    /// # Errors
    /// `Forbidden`, `NotConfigured`, `NumberNotHeld`, `Foreign`, `Provider`, `Pending`, `Store` (`NotFound`).
    pub async fn ensure_for_number(
        &self,
        principal: &Principal,
        number: NumberId,
    ) -> Result<EnsuredTrunk, TrunkError> {
        let scope = principal.require(Role::Member)?;
        let app = self.app;
        let mut tx = app.store().begin(scope).await?;
        let held = tx.numbers().find(number).await?;
        if !matches!(held.status, NumberStatus::Active | NumberStatus::Inactive) || held.release_at.is_some()
        {
            return Err(TrunkError::NumberNotHeld);
        }
        let media = app.settings().sip.as_ref().ok_or(TrunkError::NotConfigured)?;
        let side = app.telephony(&media.provider);
        if side.and_then(|side| side.trunks()).is_none() {
            return Err(TrunkError::NotConfigured);
        }
        let known = tx.trunks().of_number(number).await?;
        drop(tx);
        match known {
            Some(trunk) if trunk.status == TrunkStatus::Active => {
                return Ok(EnsuredTrunk::Found(Box::new(trunk)));
            }
            Some(trunk) if trunk.status == TrunkStatus::Stuck => self.clear_away(scope, &trunk).await?,
            Some(trunk) if trunk.status == TrunkStatus::Deleting => return Err(TrunkError::Pending),
            Some(trunk) => return Ok(EnsuredTrunk::Pending(Box::new(trunk))),
            None => {}
        }
        let ambient = app.ambient();
        let id = TrunkId::generate(ambient.ids());
        let password = fresh_password(app.sealer(), ambient, &id.to_string());
        let mut trunk = Trunk::pending(id, number, &media.provider, password, ambient.now());
        let carrier = app.telephony(&held.provider);
        if carrier.and_then(|carrier| carrier.trunks()).is_some() {
            trunk.carrier = Some(held.provider.clone());
        }
        let mut tx = app.store().begin(scope).await?;
        let begun = set_up::begin(app, &mut *tx, &mut trunk).await?;
        // Somebody was faster.
        let job = begun.ok_or(TrunkError::Pending)?;
        tx.commit().await?;

        app.jobs().run_now(job, PATIENCE).await?;
        let trunk = app.store().begin(scope).await?.trunks().find(id).await?;
        match trunk.status {
            TrunkStatus::Active => Ok(EnsuredTrunk::Made(Box::new(trunk))),
            TrunkStatus::Pending => Ok(EnsuredTrunk::Pending(Box::new(trunk))),
            TrunkStatus::Failed | TrunkStatus::Stuck | TrunkStatus::Deleting | TrunkStatus::Deleted => {
                Err(TrunkFailure::into_error(trunk.failure, &trunk.media))
            }
        }
    }

    /// Takes away what a set-up that is stuck has left, so that another can begin.
    async fn clear_away(&self, scope: &TenantScope, trunk: &Trunk) -> Result<(), TrunkError> {
        let app = self.app;
        let mut tx = app.store().begin(scope).await?;
        let job = set_up::resume(app, &mut *tx, trunk).await?;
        tx.commit().await?;
        let job = job.ok_or(TrunkError::Pending)?;
        app.jobs().run_now(job, PATIENCE).await?;
        let trunk = app.store().begin(scope).await?.trunks().find(trunk.id).await?;
        match trunk.status {
            TrunkStatus::Failed | TrunkStatus::Deleted => Ok(()),
            _ => Err(TrunkFailure::into_error(trunk.failure, &trunk.media)),
        }
    }

    /// Newest first; deleted ones are left out.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn list(&self, principal: &Principal, page: PageRequest) -> Result<Page<Trunk>, TrunkError> {
        let scope = principal.require(Role::Viewer)?;
        Ok(self.app.store().begin(scope).await?.trunks().list(page).await?)
    }

    /// Takes the trunk away at both providers; the number's calls come to us again. `false` when the providers take
    /// their time and the library goes on with it. Deleting it again is no error.
    ///
    /// # Errors
    /// `Forbidden`, `Pending`, `Provider`, `Store` (`NotFound`).
    pub async fn delete(&self, principal: &Principal, id: TrunkId) -> Result<bool, TrunkError> {
        let scope = principal.require(Role::Member)?;
        let app = self.app;
        let mut tx = app.store().begin(scope).await?;
        let trunk = tx.trunks().find(id).await?;
        match trunk.status {
            TrunkStatus::Pending => return Err(TrunkError::Pending),
            TrunkStatus::Failed | TrunkStatus::Deleted => return Ok(true),
            TrunkStatus::Active | TrunkStatus::Stuck | TrunkStatus::Deleting => {}
        }
        let job = delete::enqueue(app, &mut *tx, id).await?;
        tx.commit().await?;
        let Some(job) = job else { return Ok(false) };
        match app.jobs().run_now(job, PATIENCE).await? {
            Ran::Finished => Ok(true),
            Ran::Later => Ok(false),
            Ran::GivenUp => Err(TrunkError::Provider {
                provider: trunk.carrier.unwrap_or(trunk.media),
                retryable: false,
            }),
        }
    }
}
