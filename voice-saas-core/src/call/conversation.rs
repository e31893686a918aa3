//! What a voice-agent platform tells of a conversation: before it begins, and when it is over.

use super::{Call, CallEventKind, InboundError, Outcome, context, cost, decide::decide, token::Purpose};
use crate::{
    VoiceSaas,
    id::CallId,
    phone::E164,
    provider::{
        ProviderError,
        telephony::{ProviderCallId, WebhookAnswer, WebhookError},
        voice_agent::{AgentWebhook, AgentWebhookEvent, Conversation, ConversationStatus},
    },
    scope::{Actor, TenantScope},
    store::StoreError,
    usage::{self, CallKind},
};

/// Does what a platform's webhook asks for.
pub(crate) async fn receive(
    app: &VoiceSaas,
    provider: &str,
    webhook: &dyn AgentWebhook,
    event: AgentWebhookEvent,
) -> Result<Option<WebhookAnswer>, InboundError> {
    match event {
        AgentWebhookEvent::Initiation { call, from, to } => {
            initiate(app, provider, webhook, call, &from, &to).await.map(Some)
        }
        AgentWebhookEvent::Ended(conversation) => {
            let reference = conversation.reference.as_deref();
            match reference.and_then(|reference| app.call_tokens().read(Purpose::Reference, reference)) {
                Some((scope, call)) => save(app, &scope, call, provider, &conversation).await?,
                None => tracing::info!("a conversation that is not ours ended: {}", conversation.id),
            }
            Ok(None)
        }
        AgentWebhookEvent::Ignored => Ok(None),
    }
}

/// A call reached an agent at the platform's own number: which tenant's is it? The number that was called decides,
/// never the caller.
async fn initiate(
    app: &VoiceSaas,
    provider: &str,
    webhook: &dyn AgentWebhook,
    provider_call: Option<ProviderCallId>,
    from: &str,
    to: &str,
) -> Result<WebhookAnswer, InboundError> {
    let number: E164 = to
        .parse()
        .map_err(|_| WebhookError::Malformed("called_number is not an E.164 number"))?;
    let route = app.routes().find(&number).await?;
    let route = route.ok_or(WebhookError::Malformed("called_number is nobody's here"))?;
    let mut decision = decide(&route);
    let Outcome::Agent(agent) = decision.outcome else {
        return Err(WebhookError::Malformed("nobody answers called_number").into());
    };
    let ambient = app.ambient();
    let id = CallId::generate(ambient.ids());
    let scope = TenantScope::mint(route.tenant.id, Actor::Call(id));
    let provider_call = provider_call.unwrap_or_else(|| ProviderCallId::new(format!("{provider}:{id}")));
    let mut call = Call::inbound(
        id,
        &route.number.provider,
        provider_call.clone(),
        from,
        to,
        ambient.now(),
    );
    call.number = Some(route.number.id);

    let mut tx = app.store().begin(&scope).await?;
    let kind = CallKind::inbound(&route.number.provider, &number, &agent.provider);
    let (outcome, windows) = usage::admission(app, &mut *tx, &route.tenant.timezone, &kind).await?;
    decision.tried.push(usage::tried(&outcome));
    match &outcome {
        Ok(_) => call.agent = Some((agent.spec.id, agent.version)),
        Err(refusal) => call.refuse(refusal.code.end_reason()),
    }
    let first = CallEventKind::Incoming {
        decision: serde_json::json!(decision.tried),
    };

    if tx.calls().add(&call, &first).await? {
        if let Ok(admitted) = &outcome {
            usage::reserve(app, &mut *tx, id, admitted, windows).await?;
        }
        tx.commit().await?;
        if outcome.is_err() {
            return Err(
                WebhookError::Malformed("the plan of whose number it is has no room for the call").into(),
            );
        }
    } else if let Some(known) = tx
        .calls()
        .find_by_provider_call(&call.provider, &provider_call)
        .await?
    {
        call = known;
    }
    Ok(webhook.answer_initiation(&context::context(app, &call, &route.tenant, agent)))
}

/// Keeps a platform's record of a conversation. Keeping it again changes nothing.
pub(crate) async fn save(
    app: &VoiceSaas,
    scope: &TenantScope,
    id: CallId,
    provider: &str,
    conversation: &Conversation,
) -> Result<(), StoreError> {
    let mut tx = app.store().begin(scope).await?;
    let mut call = match tx.calls().find_for_update(id).await {
        // The call was erased in the meantime.
        Err(error) if error.is_not_found() => return Ok(()),
        found => found?,
    };
    if !conversation.turns.is_empty() {
        tx.calls().save_transcript(id, &conversation.turns).await?;
    }
    call.conversation = Some(conversation.id.clone());
    call.summary = conversation.summary.clone().or(call.summary);
    tx.calls().update(&call).await?;
    if let Some(charged) = conversation.cost {
        cost::correct_agent(app, &mut *tx, &call, provider, charged).await?;
    }
    tx.commit().await
}

/// Asks the platform for a record whose webhook has not come. `false` while it is not there yet.
pub(crate) async fn back_fill(
    app: &VoiceSaas,
    scope: &TenantScope,
    call: &Call,
    provider: &str,
) -> Result<bool, BackFillError> {
    let (Some(platform), Some(id)) = (app.voice_agents(provider), &call.conversation) else {
        return Ok(true);
    };
    let conversation = platform.conversation(id).await?;
    if !matches!(
        conversation.status,
        ConversationStatus::Done | ConversationStatus::Failed
    ) {
        return Ok(false);
    }
    save(app, scope, call.id, provider, &conversation).await?;
    Ok(true)
}

/// Why a record could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackFillError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
