//! Ready-made rows.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    agent::Agent,
    entitlement::{Entitlement, Source},
    id::{AgentId, NumberId, SagaId, TenantId},
    number::{NumberStatus, PhoneNumber},
    phone::Country,
    plan::PlanId,
    provider::{telephony::ProviderNumberId, voice_agent::AgentSpec},
    store::Route,
    tenant::{Platform, Tenant},
};

/// A plan without limits, given by the platform.
pub fn entitlement() -> Entitlement {
    let plan = PlanId::new("business_enterprise");
    Entitlement::new(plan, Source::Operator, Timestamp::UNIX_EPOCH)
}

/// A tenant with an active number that one active agent answers.
///
/// # Panics
/// Never: its number is well-formed.
pub fn route(tenant: &str, agent: &str) -> Route {
    let now = Timestamp::UNIX_EPOCH;
    let agent_id = AgentId::from_uuid(Uuid::from_u128(3));
    let mut number = PhoneNumber::pending(
        NumberId::from_uuid(Uuid::from_u128(2)),
        "+12125550142".parse().expect("E.164"),
        "twilio",
        Country::US,
        SagaId::from_uuid(Uuid::from_u128(4)),
        now,
    );
    number.status = NumberStatus::Active;
    number.provider_id = Some(ProviderNumberId::new("PN00000000000000000000000000000002"));
    number.agents = vec![agent_id];
    Route {
        tenant: Tenant::new(
            TenantId::from_uuid(Uuid::from_u128(1)),
            tenant,
            Platform::Web,
            now,
        ),
        number,
        agents: vec![Agent::new(
            AgentSpec::new(agent_id, agent, "You answer the phone."),
            "elevenlabs",
            now,
        )],
    }
}
