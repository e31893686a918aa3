//! Who contacted whom from a shared number, so that who calls back reaches them.

use jiff::Timestamp;

use super::{NumberPool, PoolError};
use crate::{
    VoiceSaas,
    id::{AgentId, TenantId},
    phone::E164,
    scope::{SystemScope, TenantScope},
    store::{Route, StoreError},
};

/// A tenant's agent contacted somebody from a shared number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores read all of it")]
pub struct SharedContact {
    /// The shared number.
    pub number: E164,
    /// Who was contacted.
    pub peer: E164,
    /// Whose agent it was.
    pub tenant: TenantId,
    /// Which.
    pub agent: AgentId,
    /// When.
    pub at: Timestamp,
}

impl NumberPool<'_> {
    /// Notes that the tenant's agent contacts `peer` from a shared number, so that `peer` reaches it when calling back.
    /// To be called before the contact: the answer may be faster than whatever comes after. `false`, and nothing noted,
    /// when the number is not a shared one of the pool.
    ///
    /// # Errors
    /// `Store` (`NotFound` when the tenant has no such agent).
    pub async fn record_contact(
        &self,
        scope: &TenantScope,
        number: &E164,
        peer: &E164,
        agent: AgentId,
    ) -> Result<bool, PoolError> {
        let app = self.app();
        app.store().begin(scope).await?.agents().find(agent).await?;
        let contact = SharedContact {
            number: number.clone(),
            peer: peer.clone(),
            tenant: scope.tenant_id(),
            agent,
            at: app.ambient().now(),
        };
        let mut tx = self.begin("note who calls from a shared number").await?;
        let noted = tx.number_pool().record_contact(&contact).await?;
        tx.commit().await?;
        Ok(noted)
    }
}

/// Whose caller it is, when the number that is called is nobody's own: one look-up.
pub(crate) async fn shared_route(
    app: &VoiceSaas,
    number: &E164,
    caller: &str,
) -> Result<Option<Route>, StoreError> {
    // Who hides their number was not called by us.
    let Ok(peer) = caller.parse::<E164>() else {
        return Ok(None);
    };
    let since = app.ambient().now() - app.settings().shared_contact_lifetime;
    let system = SystemScope::mint("find who called this caller from a shared number");
    let mut tx = app.store().begin_reading(&system).await?;
    tx.number_pool().shared_route(number, &peer, since).await
}
