//! Tenants whose numbers are answered.

use voice_saas_core::{
    agent::Agent,
    auth::{PasswordHash, User},
    clock::Ambient,
    id::{AgentId, NumberId, SagaId, TenantId, UserId},
    number::{NumberStatus, PhoneNumber},
    phone::Country,
    provider::{telephony::ProviderNumberId, voice_agent::AgentSpec},
    store::Store,
    tenant::{Platform, Role, Tenant},
    testing::{fixtures, system_scope, tenant_scope},
};
use voice_saas_providers::{elevenlabs, twilio};

use crate::{
    Failure,
    world::{NUMBERS_PER_TENANT, number},
};

/// As long as the instructions of a receptionist are in earnest.
const PROMPT: &str = include_str!("prompt.txt");

/// Sees to it that the first `numbers` numbers are in service: a hundred for each tenant, all answered by its one
/// agent. What a former run wrote is used again.
pub(crate) async fn seed(store: &dyn Store, numbers: u32) -> Result<(), Failure> {
    let ambient = Ambient::system();
    let mut missing = Vec::new();
    let mut tx = store.begin_system(&system_scope()).await?;
    for first in (0..numbers).step_by(usize::try_from(NUMBERS_PER_TENANT)?) {
        if tx.route(&number(first).parse()?).await?.is_some() {
            continue;
        }
        let now = ambient.now();
        let id = TenantId::generate(ambient.ids());
        let tenant = Tenant::new(id, format!("Tenant of {}", number(first)), Platform::Web, now);
        let user = UserId::generate(ambient.ids());
        let hash = PasswordHash::from_phc("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA");
        let user = User::new(user, format!("{user}@example.com"), None, hash, now);
        tx.accounts()
            .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
            .await?;
        missing.push((id, first));
    }
    tx.commit().await?;
    for (tenant, first) in missing {
        let last = numbers.min(first + NUMBERS_PER_TENANT);
        seed_tenant(store, &ambient, tenant, first..last).await?;
    }
    Ok(())
}

async fn seed_tenant(
    store: &dyn Store,
    ambient: &Ambient,
    tenant: TenantId,
    numbers: std::ops::Range<u32>,
) -> Result<(), Failure> {
    let now = ambient.now();
    let spec = AgentSpec::new(AgentId::generate(ambient.ids()), "Receptionist", PROMPT)
        .with_first_message("Thank you for calling {{business_name}}. How can I help you?");
    let agent = Agent::new(spec, elevenlabs::NAME.as_str(), now);
    let mut tx = store.begin(&tenant_scope(tenant)).await?;
    tx.agents().add(&agent).await?;
    for index in numbers {
        let (id, saga) = (NumberId::generate(ambient.ids()), SagaId::generate(ambient.ids()));
        let e164 = number(index).parse()?;
        let mut number = PhoneNumber::pending(id, e164, twilio::NAME.as_str(), Country::US, saga, now);
        number.status = NumberStatus::Active;
        number.provider_id = Some(ProviderNumberId::new(format!("PN{index:032x}")));
        number.provisioned_at = Some(now);
        tx.numbers().add(&number).await?;
        tx.numbers().link(id, agent.spec.id).await?;
    }
    Ok(tx.commit().await?)
}

#[cfg(test)]
mod tests {
    use voice_saas_core::call::{Outcome, decide};
    use voice_saas_providers::sql::SqliteStore;

    use super::*;

    #[tokio::test]
    async fn every_number_is_answered_and_more_can_be_added_later() {
        let store = SqliteStore::in_memory().await.unwrap();
        for numbers in [150, 150, 250] {
            seed(&store, numbers).await.unwrap();
        }
        let mut tx = store.begin_system(&system_scope()).await.unwrap();
        for index in [0, 99, 149, 200, 249] {
            let route = tx.route(&number(index).parse().unwrap()).await.unwrap();
            let route = route.unwrap_or_else(|| panic!("number {index} is nobody's"));
            assert!(matches!(decide(&route).outcome, Outcome::Agent(_)));
        }
    }
}
