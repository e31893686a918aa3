//! A call comes in: who is called, who answers, and what the carrier is told.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    Call, CallAnswer, CallEventKind, EndReason, MediaLeg, MediaRefused, Outcome, UnroutedCall, context,
    conversation, deadline, decide::decide, hint, media_leg, progress, token::Purpose, tool,
};
use crate::{
    VoiceSaas,
    agent::Agent,
    id::{CallId, UnroutedCallId},
    number::shared_route,
    phone::E164,
    provider::{
        BoxError,
        telephony::{
            CallPlan, IncomingCall, ProviderSubaccountId, TelephonyEvent, WebhookAnswer, WebhookError,
            WebhookKind, WebhookRequest,
        },
        voice_agent::{AgentWebhookKind, Attachment},
    },
    scope::{Actor, SystemScope, TenantScope},
    store::{Route, StoreError},
    subaccount,
    usage::{self, CallKind},
};

/// Why a provider's request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InboundError {
    /// No such provider, or none with webhooks.
    #[error("no such provider calls us")]
    UnknownProvider,
    /// It is forged or cannot be understood.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The provider should send it again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often, and how long apart, a repeated webhook looks whether its first delivery has an answer by now.
const REPEAT_LOOKS: u32 = 20;
const REPEAT_PAUSE: Duration = Duration::from_millis(200);

/// Calls as carriers and platforms tell of them: see [`VoiceSaas::inbound`].
#[derive(Debug)]
pub struct InboundCalls<'a> {
    app: &'a VoiceSaas,
}

impl<'a> InboundCalls<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// Takes a carrier's webhook: verifies it, and does what it asks for. `None` = nothing to say.
    ///
    /// # Errors
    /// `UnknownProvider`, `Webhook`; `Store` only for [`WebhookKind::Status`], which carriers repeat, and when whose
    /// account it comes from cannot be looked up: a caller who waits always gets an answer otherwise.
    #[tracing::instrument(name = "webhook", skip_all, fields(provider = provider, kind = ?kind, call.id))]
    pub async fn telephony(
        &self,
        provider: &str,
        kind: WebhookKind,
        request: &WebhookRequest<'_>,
    ) -> Result<Option<WebhookAnswer>, InboundError> {
        let carrier = self
            .app
            .telephony(provider)
            .ok_or(InboundError::UnknownProvider)?;
        let webhook = carrier.webhook().ok_or(InboundError::UnknownProvider)?;
        let event = match webhook.subaccount(request) {
            None => webhook.receive(kind, request)?,
            Some(account) => self.of_subaccount(provider, &account, kind, request).await?,
        };
        match event {
            TelephonyEvent::Progress(progress) => {
                progress::apply(self.app, provider, &progress).await?;
                Ok(None)
            }
            TelephonyEvent::Hint(call) => {
                hint::follow(self.app, provider, &call).await?;
                Ok(None)
            }
            TelephonyEvent::Other => Ok(None),
            TelephonyEvent::Incoming(call) => {
                let plan = match kind {
                    WebhookKind::AfterMedia => self.after_media(provider, &call).await,
                    _ => self.answer(provider, &call).await,
                };
                let plan = plan.unwrap_or_else(|error| {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(source, "a call could not be looked after: {error}");
                    say(&self.app.settings().fallback_message)
                });
                Ok(Some(webhook.answer(&plan)))
            }
        }
    }

    /// Takes a webhook that claims to come from a tenant's own account: that account's secret signs it, for what is the
    /// tenant's and for nothing else.
    async fn of_subaccount(
        &self,
        provider: &str,
        account: &ProviderSubaccountId,
        kind: WebhookKind,
        request: &WebhookRequest<'_>,
    ) -> Result<TelephonyEvent, InboundError> {
        let forged = |why| InboundError::Webhook(WebhookError::Forged(why));
        let entered = subaccount::named(self.app, provider, account).await?;
        let entered = entered.ok_or_else(|| forged("it comes from an account that is none of ours"))?;
        let webhook = entered.carrier.webhook().ok_or(InboundError::UnknownProvider)?;
        let event = webhook.receive(kind, request)?;
        let call = match &event {
            TelephonyEvent::Incoming(call) => {
                let number = call.to.parse::<E164>().ok();
                let route = match number.filter(|_| kind != WebhookKind::AfterMedia) {
                    Some(number) => self.app.routes().find(&number).await?,
                    None => None,
                };
                if route.is_some_and(|route| route.tenant.id != entered.tenant) {
                    return Err(forged("the account does not hold the number"));
                }
                &call.id
            }
            TelephonyEvent::Progress(progress) => &progress.id,
            TelephonyEvent::Hint(call) => call,
            TelephonyEvent::Other => return Ok(event),
        };
        let system = SystemScope::mint("see whose call a webhook names");
        let mut tx = self.app.store().begin_reading(&system).await?;
        match tx.owner_of_call(provider, call).await? {
            Some((tenant, _)) if tenant != entered.tenant => Err(forged("the call is not the account's")),
            _ => Ok(event),
        }
    }

    /// Takes a voice-agent platform's webhook.
    ///
    /// # Errors
    /// `UnknownProvider`, `Webhook`, `Store`.
    pub async fn voice_agents(
        &self,
        provider: &str,
        kind: AgentWebhookKind,
        request: &WebhookRequest<'_>,
    ) -> Result<Option<WebhookAnswer>, InboundError> {
        let platform = self
            .app
            .voice_agents(provider)
            .ok_or(InboundError::UnknownProvider)?;
        let webhook = platform.webhook().ok_or(InboundError::UnknownProvider)?;
        let event = webhook.receive(kind, request, self.app.ambient().now())?;
        conversation::receive(self.app, provider, webhook, event).await
    }

    /// Lets a media socket in, once, before it is upgraded.
    ///
    /// # Errors
    /// `Forbidden`, `UnknownProvider`, `Store`.
    pub async fn media(&self, provider: &str, token: &str) -> Result<MediaLeg, MediaRefused> {
        media_leg::admit(self.app, provider, token).await
    }

    /// Runs a tool for the call that the token is bound to.
    ///
    /// # Errors
    /// `Forbidden`, `Tool`, `Call`.
    pub async fn tool(&self, token: &str, name: &str, arguments: &Value) -> Result<Value, tool::ToolRefused> {
        tool::run_with_token(self.app, token, name, arguments).await
    }

    async fn answer(&self, provider: &str, incoming: &IncomingCall) -> Result<CallPlan, StoreError> {
        let Ok(number) = incoming.to.parse::<E164>() else {
            return self.unrouted(provider, incoming).await;
        };
        // Asked only for numbers that are nobody's own: others do not wait for it.
        let (route, shared) = match self.app.routes().find(&number).await? {
            Some(route) => (route, false),
            None => match shared_route(self.app, &number, &incoming.from).await? {
                Some(route) => (Arc::new(route), true),
                None => return self.unrouted(provider, incoming).await,
            },
        };

        let ambient = self.app.ambient();
        let id = CallId::generate(ambient.ids());
        let scope = TenantScope::mint(route.tenant.id, Actor::Call(id));
        let mut call = Call::inbound(
            id,
            provider,
            incoming.id.clone(),
            &incoming.from,
            &incoming.to,
            ambient.now(),
        );
        // A shared number is none of the tenant's.
        call.number = (!shared).then_some(route.number.id);

        let mut decision = decide(&route);
        let mut tx = self.app.store().begin(&scope).await?;
        let mut admission = None;
        if let Outcome::Agent(agent) = decision.outcome {
            let kind = CallKind::inbound(provider, &number, &agent.provider);
            let (outcome, windows) =
                usage::admission(self.app, &mut *tx, &route.tenant.timezone, &kind).await?;
            decision.tried.push(usage::tried(&outcome));
            match outcome {
                Ok(admitted) => admission = Some((admitted, windows)),
                Err(refusal) => decision.outcome = Outcome::Refuse(refusal.code.end_reason()),
            }
        }
        let agent = match decision.outcome {
            Outcome::Agent(agent) => {
                call.agent = Some((agent.spec.id, agent.version));
                Some(agent)
            }
            Outcome::Refuse(reason) => {
                call.refuse(reason);
                call.answer = Some(CallAnswer::Plan(say(&self.app.settings().refused_message)));
                None
            }
        };
        let platform = agent.and_then(|agent| self.app.voice_agents(&agent.provider));
        if platform.is_some_and(|platform| platform.bridges()) {
            call.answer = Some(CallAnswer::Bridge);
        }

        let first = CallEventKind::Incoming {
            decision: json!(decision.tried),
        };
        if !tx.calls().add(&call, &first).await? {
            drop(tx);
            return self.repeat(provider, &scope, incoming).await;
        }
        if let Some((admitted, windows)) = admission {
            usage::reserve(self.app, &mut *tx, id, &admitted, windows).await?;
            if let Some(seconds) = admitted.max_seconds
                && call.answer != Some(CallAnswer::Bridge)
            {
                deadline::enqueue(self.app, &mut *tx, id, seconds).await?;
            }
        }
        tx.commit().await?;
        tracing::Span::current().record("call.id", tracing::field::display(id));

        let Some(agent) = agent else {
            let reason = call.end_reason.map_or("", EndReason::as_str);
            metrics::counter!("voice_saas_inbound_calls_total", "outcome" => reason).increment(1);
            return Ok(self.plan_of(provider, &scope, &call));
        };
        metrics::counter!("voice_saas_inbound_calls_total", "outcome" => "agent").increment(1);
        if call.answer == Some(CallAnswer::Bridge)
            && let Some(platform) = platform
        {
            let context = context::context(self.app, &call, &route.tenant, agent);
            self.app
                .live()
                .open_ahead(Arc::clone(platform), context, self.app.settings().agent_timeout);
            return Ok(self.plan_of(provider, &scope, &call));
        }
        self.attach(provider, &scope, call, &route, agent).await
    }

    /// Asks the platform to connect the call in its own way, and writes down what came of it.
    async fn attach(
        &self,
        provider: &str,
        scope: &TenantScope,
        call: Call,
        route: &Route,
        agent: &Agent,
    ) -> Result<CallPlan, StoreError> {
        let patience = self.app.settings().agent_timeout;
        let attached: Result<Attachment, BoxError> = match self.app.voice_agents(&agent.provider) {
            None => Err(format!("the platform {} is not configured", agent.provider).into()),
            Some(platform) => {
                let context = context::context(self.app, &call, &route.tenant, agent);
                match tokio::time::timeout(patience, platform.attach(&context)).await {
                    Ok(attached) => attached.map_err(|error| match error.detail() {
                        Some(detail) => format!("{error}: {detail}").into(),
                        None => error.into(),
                    }),
                    Err(_) => Err(format!("{} did not answer within {patience:?}", agent.provider).into()),
                }
            }
        };

        let now = self.app.ambient().now();
        let mut tx = self.app.store().begin(scope).await?;
        let mut call = tx.calls().find_for_update(call.id).await?;
        match attached {
            Ok(Attachment::Markup(body)) => call.answer = Some(CallAnswer::Plan(CallPlan::Verbatim { body })),
            Ok(Attachment::Bridge) => call.answer = Some(CallAnswer::Bridge),
            Err(error) => {
                let detail = error.to_string();
                tracing::warn!(call.id = %call.id, "the agent cannot take the call: {detail}");
                call.answer = Some(CallAnswer::Plan(say(&self.app.settings().fallback_message)));
                call.end_reason = Some(EndReason::AgentUnavailable);
                tx.calls()
                    .append(call.id, now, &CallEventKind::AgentFailed { detail })
                    .await?;
            }
        }
        tx.calls().update(&call).await?;
        tx.commit().await?;
        Ok(self.plan_of(provider, scope, &call))
    }

    /// The same webhook came again: the same answer. While the first delivery is still being answered, waits for it.
    async fn repeat(
        &self,
        provider: &str,
        scope: &TenantScope,
        incoming: &IncomingCall,
    ) -> Result<CallPlan, StoreError> {
        for _ in 0..REPEAT_LOOKS {
            let mut tx = self.app.store().begin(scope).await?;
            let found = tx.calls().find_by_provider_call(provider, &incoming.id).await?;
            drop(tx);
            match found {
                Some(call) if call.answer.is_some() => return Ok(self.plan_of(provider, scope, &call)),
                Some(_) => tokio::time::sleep(REPEAT_PAUSE).await,
                // The call is another tenant's: the number changed hands in between.
                None => break,
            }
        }
        Ok(say(&self.app.settings().fallback_message))
    }

    /// The media socket of a call closed, or never came. What next?
    async fn after_media(&self, provider: &str, incoming: &IncomingCall) -> Result<CallPlan, StoreError> {
        let system = SystemScope::mint("find the call whose audio ended");
        let owner = self
            .app
            .store()
            .begin_system(&system)
            .await?
            .owner_of_call(provider, &incoming.id)
            .await?;
        let Some((tenant, id)) = owner else {
            return Ok(CallPlan::HangUp);
        };
        let scope = TenantScope::mint(tenant, Actor::Call(id));
        let mut tx = self.app.store().begin(&scope).await?;
        let mut call = tx.calls().find_for_update(id).await?;
        if call.end_reason.is_none() && call.media_at.is_none() {
            call.end_reason = Some(EndReason::MediaLost);
            tx.calls().update(&call).await?;
            tx.commit().await?;
        }
        Ok(match call.end_reason {
            Some(EndReason::AgentUnavailable | EndReason::AgentFailed | EndReason::AudioFormatMismatch) => {
                say(&self.app.settings().fallback_message)
            }
            Some(EndReason::MediaLost) if call.media_at.is_none() => {
                say(&self.app.settings().fallback_message)
            }
            _ => CallPlan::HangUp,
        })
    }

    /// A call to a number that is nobody's: polite to the caller, on record for the operator.
    async fn unrouted(&self, provider: &str, incoming: &IncomingCall) -> Result<CallPlan, StoreError> {
        metrics::counter!("voice_saas_inbound_calls_total", "outcome" => "unknown_number").increment(1);
        let ambient = self.app.ambient();
        let call = UnroutedCall {
            id: UnroutedCallId::generate(ambient.ids()),
            provider: provider.to_owned(),
            provider_call: incoming.id.clone(),
            from: incoming.from.clone(),
            to: incoming.to.clone(),
            at: ambient.now(),
        };
        let mut tx = self
            .app
            .store()
            .begin_system(&SystemScope::mint("keep a call that reached nobody"))
            .await?;
        tx.add_unrouted_call(&call).await?;
        tx.commit().await?;
        Ok(say(&self.app.settings().unknown_number_message))
    }

    fn plan_of(&self, provider: &str, scope: &TenantScope, call: &Call) -> CallPlan {
        match &call.answer {
            Some(CallAnswer::Plan(plan)) => plan.clone(),
            Some(CallAnswer::Bridge) => {
                let token = self
                    .app
                    .call_tokens()
                    .make(Purpose::Media, scope.tenant_id(), call.id);
                CallPlan::Bridge {
                    media_url: self.app.public_url().media(provider, &token),
                    then: self.app.public_url().webhook(provider, "after-media"),
                }
            }
            None => say(&self.app.settings().fallback_message),
        }
    }
}

fn say(text: &str) -> CallPlan {
    CallPlan::Say {
        text: text.to_owned(),
        language: "en".to_owned(),
    }
}
