//! What a voice-agent platform is told about a call.

use serde_json::{Value, json};

use super::{Call, token::Purpose};
use crate::{
    VoiceSaas,
    agent::Agent,
    id::CallId,
    provider::{
        telephony::ProviderCallId,
        voice_agent::{CallContext, Variables},
    },
    scope::TenantScope,
    store::{StoreError, StoreErrorKind, TenantTx},
    tenant::Tenant,
};

/// The context of a call that this agent takes for this tenant.
pub(crate) fn context(app: &VoiceSaas, call: &Call, tenant: &Tenant, agent: &Agent) -> CallContext {
    let tokens = app.call_tokens();
    CallContext {
        call: call.id,
        provider_call: call
            .provider_call
            .clone()
            .unwrap_or_else(|| ProviderCallId::new("")),
        direction: call.direction,
        from: call.from.clone(),
        to: call.to.clone(),
        agent: agent.spec.clone(),
        provider_agent: agent.provider_agent.clone(),
        variables: variables(tenant),
        reference: tokens.make(Purpose::Reference, tenant.id, call.id),
        tool_token: tokens.make(Purpose::Tool, tenant.id, call.id).into(),
        user: tenant.id.to_string(),
    }
}

/// The context of a call that was answered earlier, perhaps by another replica.
pub(crate) async fn stored_context(
    app: &VoiceSaas,
    scope: &TenantScope,
    id: CallId,
) -> Result<(Call, CallContext, Agent), StoreError> {
    let mut tx = app.store().begin(scope).await?;
    let call = tx.calls().find(id).await?;
    let (agent, version) = call
        .agent
        .ok_or_else(|| StoreError::new("find the agent of a call that has none", StoreErrorKind::NotFound))?;
    let agent = agent_of(&mut *tx, agent, version).await?;
    let tenant = tx.tenant().get().await?;
    let context = context(app, &call, &tenant, &agent);
    Ok((call, context, agent))
}

async fn agent_of(tx: &mut dyn TenantTx, id: crate::id::AgentId, version: u32) -> Result<Agent, StoreError> {
    tx.agents().version(id, version).await
}

/// What fills the placeholders of an agent that serves many businesses.
fn variables(tenant: &Tenant) -> Variables {
    let profile = &tenant.profile;
    let text = |value: Option<&str>| Value::from(value.unwrap_or_default());
    let hours: Vec<String> = profile
        .hours
        .iter()
        .map(|(day, spans)| {
            let spans: Vec<String> = spans.iter().map(|(from, to)| format!("{from}-{to}")).collect();
            format!("{day} {}", spans.join(", "))
        })
        .collect();
    [
        ("business_name", json!(tenant.name)),
        ("business_id", json!(tenant.id.to_string())),
        ("greeting", text(profile.greeting.as_deref())),
        ("services", json!(profile.services.join(", "))),
        ("hours", json!(hours.join("; "))),
        ("owner_name", text(profile.owner_name.as_deref())),
        (
            "emergency_phone",
            text(profile.emergency_phone.as_ref().map(crate::phone::E164::as_str)),
        ),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
