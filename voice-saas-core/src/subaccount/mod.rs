//! A tenant's own account at a carrier, within ours: its numbers, trunks and calls are there and nowhere else.

mod carrier;
mod close;
mod open;
mod repo;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    VoiceSaas,
    id::{SagaId, SubaccountId, TenantId},
    provider::telephony::ProviderSubaccountId,
    secret::{ExposeSecret, SecretString},
};

pub use repo::SubaccountRepo;

pub(crate) use carrier::{CarrierError, SubaccountCache, named};
pub(crate) use close::close_all;
pub(crate) use open::ensure;

/// In whose account at the carrier a tenant's numbers are bought. A change holds for what is bought from then on; what
/// a tenant has stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum AccountPolicy {
    /// In the operator's, for all tenants.
    #[default]
    Shared,
    /// In one of the tenant's own within the operator's, where the carrier has such.
    PerTenant,
}

/// Where a subaccount stands in its life: `opening → open → closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SubaccountStatus {
    /// It may have been made at the carrier: whoever goes on with it looks there first.
    Opening,
    /// It is there, and its secret is known.
    Open,
    /// It is gone for good.
    Closed,
}

/// A subaccount's secret as it lies in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret(Vec<u8>);

impl SealedSecret {
    /// What the store holds.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// For the store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedSecret")
    }
}

/// A tenant's own account at a carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subaccount {
    /// Our id.
    pub id: SubaccountId,
    /// The carrier.
    pub provider: String,
    /// The carrier's id, once it is open.
    pub provider_id: Option<ProviderSubaccountId>,
    /// What opens it and signs its webhooks, once it is open.
    pub secret: Option<SealedSecret>,
    /// Where it stands.
    pub status: SubaccountStatus,
    /// The work that opens it, or did: no other does while that goes on.
    pub opener: SagaId,
    /// Since when it is known here.
    pub created_at: Timestamp,
}

impl Subaccount {
    /// An account that is about to be opened.
    pub fn opening(
        id: SubaccountId,
        provider: impl Into<String>,
        opener: SagaId,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            provider: provider.into(),
            provider_id: None,
            secret: None,
            status: SubaccountStatus::Opening,
            opener,
            created_at,
        }
    }

    /// Writes down that it is open.
    fn opened(&mut self, app: &VoiceSaas, provider_id: ProviderSubaccountId, secret: &SecretString) {
        let plain = secret.expose_secret().as_bytes();
        let sealed = app
            .sealer()
            .seal(plain, provider_id.as_str().as_bytes(), app.ambient());
        self.secret = Some(SealedSecret(sealed));
        self.provider_id = Some(provider_id);
        self.status = SubaccountStatus::Open;
    }

    /// Its id and secret; `None` when it is not open yet, or its secret was sealed under another key.
    fn credentials(&self, app: &VoiceSaas) -> Option<(&ProviderSubaccountId, SecretString)> {
        let id = self.provider_id.as_ref()?;
        let sealed = self.secret.as_ref()?.as_bytes();
        let plain = app.sealer().open(sealed, id.as_str().as_bytes())?;
        Some((id, String::from_utf8(plain).ok()?.into()))
    }
}

/// What a tenant's account is called at its carrier: what finds it again.
pub(crate) fn tag(tenant: TenantId) -> String {
    tenant.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nowhere() {
        assert_eq!(
            format!("{:?}", SealedSecret::from_bytes(b"s3cret".to_vec())),
            "SealedSecret"
        );
    }
}
