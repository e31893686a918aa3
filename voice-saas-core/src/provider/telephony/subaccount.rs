//! Accounts within an account, so that each tenant's resources can be kept apart at the carrier too.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{ProviderPage, Removal, TelephonyProvider, opaque_ids};
use crate::provider::ProviderError;

opaque_ids! {
    /// A carrier's id of an account, such as Twilio's `AC…` SID.
    ProviderSubaccountId;
}

/// What an account within the account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SubaccountState {
    /// Everything.
    Active,
    /// Nothing, until it is resumed. Its numbers stay, and are paid for.
    Suspended,
    /// Nothing, for good. Its numbers are gone.
    Closed,
    /// A word that this library does not know.
    Unknown,
}

/// An account within the account.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProviderSubaccount {
    /// The carrier's id, and the user under which its resources are reached.
    pub id: ProviderSubaccountId,
    /// The tag under which it was made, or whatever name it bears.
    pub tag: String,
    /// What it may do.
    pub state: SubaccountState,
    /// Its own secret. Not every carrier shows it again after the account was made: keep it, sealed.
    pub secret: Option<SecretString>,
}

impl ProviderSubaccount {
    /// An account without its secret.
    pub fn new(id: ProviderSubaccountId, tag: impl Into<String>, state: SubaccountState) -> Self {
        Self {
            id,
            tag: tag.into(),
            state,
            secret: None,
        }
    }

    /// With its secret.
    #[must_use]
    pub fn with_secret(mut self, secret: Option<SecretString>) -> Self {
        self.secret = secret;
        self
    }
}

/// Accounts within the account.
#[async_trait]
pub trait SubaccountProvider: fmt::Debug + Send + Sync + 'static {
    /// Sees to it that there is an account with this tag: looks first, and makes none twice. Repeating it after any
    /// failure is the way to go on. One that is suspended is answered as it is; a closed one counts as none.
    async fn ensure(&self, tag: &str) -> Result<ProviderSubaccount, ProviderError>;

    /// The account with this tag that is not closed.
    async fn find(&self, tag: &str) -> Result<Option<ProviderSubaccount>, ProviderError>;

    /// All accounts within the account, closed ones too, page by page.
    async fn list(&self, page: Option<&str>) -> Result<ProviderPage<ProviderSubaccount>, ProviderError>;

    /// Lets it do nothing until it is resumed. Calls that run go on: end them first where that matters.
    async fn suspend(&self, id: &ProviderSubaccountId) -> Result<(), ProviderError>;

    /// Lets a suspended one work again.
    ///
    /// # Errors
    /// `Conflict` when it is closed.
    async fn resume(&self, id: &ProviderSubaccountId) -> Result<(), ProviderError>;

    /// The carrier within this account: the same hosts, with the account's own id and secret. Asks nobody.
    ///
    /// # Errors
    /// `Invalid` when the id or the secret cannot be one of the carrier's.
    fn enter(
        &self,
        id: &ProviderSubaccountId,
        secret: SecretString,
    ) -> Result<Arc<dyn TelephonyProvider>, ProviderError>;

    /// Closes it for good, and gives all its numbers back.
    async fn close(&self, id: &ProviderSubaccountId) -> Result<Removal, ProviderError>;
}
