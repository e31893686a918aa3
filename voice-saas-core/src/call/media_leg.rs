//! A call's media socket: let in once, bridged to the agent, and accounted for when it closes.

use std::time::Duration;

use futures_util::SinkExt;

use super::{
    Call, CallEventKind, CallStatus, EndReason,
    attendant::Attendant,
    context,
    live::{self, CLOSING, OpenFailure, OpenedSession},
    settle,
    token::Purpose,
};
use crate::{
    VoiceSaas,
    id::CallId,
    media::{Bridge, BridgeEnd, BridgeLimits, MediaSocket, MediaStreamCodec},
    provider::{ErrorKind, ProviderError, ProviderName, voice_agent::BoxAgentSession},
    scope::TenantScope,
    store::StoreError,
};

/// Why a media socket is not let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaRefused {
    /// The token is not one of ours, was used before, or its call is over.
    #[error("the media token is not good")]
    Forbidden,
    /// The carrier has no media socket.
    #[error("no such carrier has a media socket")]
    UnknownProvider,
    /// The call could not be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A media socket that was let in and is yet to be upgraded.
pub struct MediaLeg {
    app: VoiceSaas,
    scope: TenantScope,
    call: Call,
    codec: Box<dyn MediaStreamCodec>,
    /// How long the tenant's plan lets it last, where that is less than any call may.
    longest: Option<Duration>,
}

impl std::fmt::Debug for MediaLeg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaLeg")
            .field("call", &self.call.id)
            .finish_non_exhaustive()
    }
}

/// Lets a media socket in, once, before it is upgraded.
pub(crate) async fn admit(app: &VoiceSaas, provider: &str, token: &str) -> Result<MediaLeg, MediaRefused> {
    let codec = app
        .telephony(provider)
        .and_then(|provider| provider.media())
        .ok_or(MediaRefused::UnknownProvider)?;
    let (scope, id) = app
        .call_tokens()
        .read(Purpose::Media, token)
        .ok_or(MediaRefused::Forbidden)?;
    let now = app.ambient().now();
    let mut tx = app.store().begin(&scope).await?;
    if !tx.calls().claim_media(id, now).await? {
        return Err(MediaRefused::Forbidden);
    }
    let mut call = tx.calls().find_for_update(id).await?;
    if call.provider != provider {
        return Err(MediaRefused::Forbidden);
    }
    if call.status.may_become(CallStatus::InProgress) {
        call.status = CallStatus::InProgress;
        call.answered_at = Some(now);
        tx.calls().update(&call).await?;
    }
    tx.calls().append(id, now, &CallEventKind::MediaConnected).await?;
    let reservation = tx.usage().reservation(id).await?;
    let seconds = reservation.and_then(|reservation| reservation.max_seconds);
    tx.commit().await?;
    Ok(MediaLeg {
        app: app.clone(),
        scope,
        call,
        codec: codec.open(),
        longest: seconds.map(|seconds| Duration::from_secs(u64::from(seconds))),
    })
}

impl MediaLeg {
    /// Carries the call until it is over.
    pub async fn run(self, socket: impl MediaSocket) {
        let tasks = self.app.tasks().clone();
        tasks.track_future(self.carry(socket)).await;
    }

    #[tracing::instrument(name = "media", skip_all, fields(tenant.id = %self.scope.tenant_id(), call.id = %self.call.id))]
    async fn carry(self, socket: impl MediaSocket) {
        let Self {
            app,
            scope,
            call,
            codec,
            longest,
        } = self;
        let live = app.live().enter(call.id);
        let attendant = Attendant::start(app.clone(), scope.clone(), call.clone());

        let settings = app.settings();
        let limits = BridgeLimits {
            max_call: longest.unwrap_or(settings.max_call).min(settings.max_call),
            media_silence: settings.media_silence,
            agent_silence: settings.agent_silence,
            last_words: settings.last_words,
        };
        let mut bridge = Bridge::new(
            socket,
            codec,
            Box::pin(opened(app.clone(), scope.clone(), call.id)),
            call.provider_call.clone(),
            attendant.outlets(),
            limits,
            live.orders.clone(),
        );
        let end = (&mut bridge).await;
        let (socket, session) = bridge.into_sockets();

        if let Some(detail) = complaint(&end) {
            tracing::warn!("the agent cannot carry the call: {detail}");
            attendant.note(CallEventKind::AgentFailed { detail });
        }
        attendant.finish().await;
        // The carrier asks what comes next as soon as its socket closes: the reason must be written by then. Until
        // it closes, the caller hears nothing.
        let reason = match (&end, longest) {
            (BridgeEnd::MaxDuration, Some(_)) => EndReason::PlanLimitReached,
            (end, _) => reason(end),
        };
        finish(&app, &scope, &call, reason).await;
        close(socket, session).await;
        drop(live);
    }
}

/// Closes both sockets side by side.
async fn close(mut socket: impl MediaSocket, session: Option<BoxAgentSession>) {
    let agent = async {
        if let Some(mut session) = session {
            let _ = tokio::time::timeout(CLOSING, session.close()).await;
        }
    };
    let carrier = tokio::time::timeout(CLOSING, socket.close());
    let _ = tokio::join!(carrier, agent);
}

/// The agent's socket: the one opened ahead here, or, when the webhook went to another replica or the agent left
/// since, one opened now.
async fn opened(app: VoiceSaas, scope: TenantScope, call: CallId) -> Result<OpenedSession, OpenFailure> {
    if let Some(ahead) = app.live().take_ahead(call)
        && let Some(opened) = ahead.claim().await
    {
        return opened;
    }
    let (_, context, agent) = context::stored_context(&app, &scope, call)
        .await
        .map_err(|error| lost(&format!("its call could not be read: {error}")))?;
    let provider = app
        .voice_agents(&agent.provider)
        .ok_or_else(|| lost("its platform is not configured"))?;
    live::open(&**provider, &context, app.settings().agent_timeout).await
}

fn lost(detail: &str) -> OpenFailure {
    let name = ProviderName::new("voice-saas");
    OpenFailure::Provider(
        ProviderError::new(name, "open a conversation", ErrorKind::Unsupported).with_detail(detail),
    )
}

/// What the agent did wrong, for operators.
fn complaint(end: &BridgeEnd) -> Option<String> {
    match end {
        BridgeEnd::AgentUnavailable(failure) => Some(failure.detail()),
        BridgeEnd::AgentFailed(Some(error)) => Some(live::detail(error)),
        BridgeEnd::AgentFailed(None) => Some("its socket said nothing for too long".to_owned()),
        _ => None,
    }
}

const fn reason(end: &BridgeEnd) -> EndReason {
    match end {
        BridgeEnd::CallerHungUp => EndReason::CallerHungUp,
        BridgeEnd::AgentUnavailable(OpenFailure::Format { .. }) => EndReason::AudioFormatMismatch,
        BridgeEnd::AgentUnavailable(OpenFailure::Provider(_)) => EndReason::AgentUnavailable,
        BridgeEnd::AgentEnded => EndReason::AgentEnded,
        BridgeEnd::AgentFailed(_) => EndReason::AgentFailed,
        BridgeEnd::MediaLost => EndReason::MediaLost,
        BridgeEnd::MaxDuration => EndReason::MaxDuration,
        BridgeEnd::Silence => EndReason::Silence,
        BridgeEnd::Ended => EndReason::HungUp,
    }
}

/// Writes down why the audio ended, and sees to it that the call is settled even if the carrier stays silent.
async fn finish(app: &VoiceSaas, scope: &TenantScope, call: &Call, reason: EndReason) {
    let written = async {
        let mut tx = app.store().begin(scope).await?;
        let mut row = tx.calls().find_for_update(call.id).await?;
        if row.end_reason.is_none_or(|reason| reason == EndReason::Completed) {
            row.end_reason = Some(reason);
            tx.calls().update(&row).await?;
        }
        settle::enqueue(app, &mut *tx, call.id).await?;
        tx.commit().await
    };
    if let Err(error) = written.await {
        let error: StoreError = error;
        tracing::error!(call.id = %call.id, "the end of a call was not written; the sweep will find it: {error}");
    }
}
