//! What a kind of resource must be able to say of itself to be reconciled.

use std::fmt;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Action, Finding, Observation, Resolution, ResourceKind};
use crate::{
    VoiceSaas,
    id::{JobId, TenantId},
    job::JobError,
    provider::{ProviderError, ProviderName},
    scope::SystemScope,
    store::{StoreError, SystemTx},
};

/// One provider in one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) app: &'a VoiceSaas,
    /// The run.
    pub(super) run: JobId,
    pub(super) provider: &'a str,
    /// When the run began to list this provider: what came later is none of its business.
    pub(super) began: Timestamp,
}

impl Look<'_> {
    /// Whether something of this age is too young to be called an orphan: whoever made it may not have written it down.
    pub(super) fn is_young(&self, since: Option<Timestamp>) -> bool {
        since.is_some_and(|since| since > self.began - self.app.settings().orphan_age)
    }

    pub(super) async fn begin(&self) -> Result<Box<dyn SystemTx>, StoreError> {
        let system = SystemScope::mint("reconcile with providers");
        self.app.store().begin_system(&system).await
    }
}

/// When an id was made: it is a `UUIDv7`.
pub(super) fn made_at(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}

/// Rows that are looked up one by one at a time, and how many of them at once: a page of a list may have missed them.
pub(super) const ROWS: u16 = 50;

/// Asks the provider for each of these rows by itself; those that it does not have. A list may shift while it is read,
/// so that its pages alone prove nothing.
pub(super) async fn confirmed<Row, Asked>(
    rows: Vec<Row>,
    is_there: impl Fn(Row) -> Asked,
) -> Result<Vec<Row>, LookError>
where
    Asked: Future<Output = Result<Option<Row>, LookError>>,
{
    let asked = stream::iter(rows).map(is_there).buffered(8);
    asked.try_filter_map(|row| async { Ok(row) }).try_collect().await
}

/// One page of a provider's list, compared with the store.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) findings: Vec<Observation>,
    /// The provider's ids of all that is on the page.
    pub(super) seen: Vec<String>,
    /// What asks for the next page.
    pub(super) next: Option<String>,
}

/// One page of our rows that the provider did not list.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    pub(super) findings: Vec<Observation>,
    /// The last row, when there may be more.
    pub(super) next: Option<String>,
}

/// Why a look was cut short.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A cursor that was written down cannot be read back.
    #[error("the cursor of an earlier page cannot be read")]
    Cursor,
}

/// Why an action is refused: it would harm, or makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(pub(super) &'static str);

/// Why an action is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActionError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Job(#[from] JobError),
}

/// A kind of resource. Every action may be repeated after any failure: it looks first.
#[async_trait]
pub(super) trait Inventory: fmt::Debug + Send + Sync {
    fn kind(&self) -> ResourceKind;

    /// The providers that have such resources and can list them.
    fn providers(&self, app: &VoiceSaas) -> Vec<ProviderName>;

    /// Compares a page of the provider's list with the store.
    async fn list(&self, look: &Look<'_>, page: Option<&str>) -> Result<Listed, LookError>;

    /// Our rows that no page showed, and that the provider does not have when it is asked for each of them.
    async fn unseen(&self, look: &Look<'_>, after: Option<&str>) -> Result<Unseen, LookError>;

    /// Whether the action may be taken at all, as things stand in the store.
    async fn check(&self, app: &VoiceSaas, finding: &Finding, action: Action) -> Result<(), ActionError>;

    /// Takes an action that [`check`](Self::check) has let through. `key` is the same at every attempt.
    async fn apply(
        &self,
        app: &VoiceSaas,
        finding: &Finding,
        action: Action,
        tenant: Option<TenantId>,
        key: JobId,
    ) -> Result<Resolution, ActionError>;
}

/// Every kind, in the order in which a run goes through them. A further kind is one more entry.
pub(super) const ALL: [&dyn Inventory; 5] = [
    // First: what is gone holds nothing that is worth a look.
    &super::subaccounts::Subaccounts,
    &super::numbers::Numbers,
    &super::trunks::Trunks,
    &super::agents::Agents,
    &super::calls::Calls,
];

/// The inventory of this kind, if it has one.
pub(super) fn of(kind: ResourceKind) -> Option<&'static dyn Inventory> {
    ALL.into_iter().find(|inventory| inventory.kind() == kind)
}
