//! A call's media socket: let in once, bridged to the agent, and accounted for when it closes.

use std::time::Duration;

use futures_util::SinkExt;

use super::{
    Call, CallEventKind, CallStatus, EndReason,
    attendant::Attendant,
    context,
    live::{self, OpenFailure, OpenedSession},
    settle,
    token::Purpose,
};
use crate::{
    VoiceSaas,
    media::{Bridge, BridgeEnd, BridgeLimits, MediaSocket, MediaStreamCodec},
    provider::{ErrorKind, ProviderError, ProviderName},
    scope::TenantScope,
    store::StoreError,
};

/// A socket that does not close by itself is dropped after this long.
const CLOSING: Duration = Duration::from_secs(2);

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
    tx.commit().await?;
    Ok(MediaLeg {
        app: app.clone(),
        scope,
        call,
        codec: codec.open(),
    })
}

impl MediaLeg {
    /// Carries the call until it is over.
    pub async fn run(self, socket: impl MediaSocket) {
        let tasks = self.app.tasks().clone();
        tasks.track_future(self.carry(socket)).await;
    }

    #[tracing::instrument(name = "media", skip_all, fields(tenant.id = %self.scope.tenant_id(), call.id = %self.call.id))]
    async fn carry(self, mut socket: impl MediaSocket) {
        let Self {
            app,
            scope,
            call,
            codec,
        } = self;
        let live = app.live().enter(call.id);
        let attendant = Attendant::start(app.clone(), scope.clone(), call.clone());

        let opened = match opened(&app, &scope, &call).await {
            Ok(opened) => opened,
            Err(failure) => {
                tracing::warn!("the agent cannot take the call: {}", failure.detail());
                let reason = match failure {
                    OpenFailure::Format { .. } => EndReason::AudioFormatMismatch,
                    OpenFailure::Provider(_) => EndReason::AgentUnavailable,
                };
                attendant.note(CallEventKind::AgentFailed {
                    detail: failure.detail(),
                });
                attendant.finish().await;
                finish(&app, &scope, &call, reason).await;
                let _ = tokio::time::timeout(CLOSING, socket.close()).await;
                return;
            }
        };
        attendant.note(CallEventKind::AgentReady {
            conversation: opened.conversation,
        });

        let settings = app.settings();
        let limits = BridgeLimits {
            max_call: settings.max_call,
            media_silence: settings.media_silence,
            agent_silence: settings.agent_silence,
            last_words: settings.last_words,
        };
        let cancelled = live.end.clone().cancelled_owned();
        let expected = call.provider_call.clone();
        let mut bridge = Bridge::new(
            socket,
            codec,
            opened.session,
            expected,
            attendant.outlets(),
            limits,
            cancelled,
        );
        let end = (&mut bridge).await;
        let (mut socket, mut session) = bridge.into_sockets();

        let reason = reason(&end);
        if let BridgeEnd::AgentFailed(error) = end {
            let detail = error.map_or_else(
                || "its socket said nothing for too long".to_owned(),
                |error| OpenFailure::Provider(error).detail(),
            );
            tracing::warn!("the agent broke off: {detail}");
            attendant.note(CallEventKind::AgentFailed { detail });
        }
        let _ = tokio::time::timeout(CLOSING, session.close()).await;
        attendant.finish().await;
        // The carrier asks what comes next as soon as its socket closes: the reason must be written by then.
        finish(&app, &scope, &call, reason).await;
        let _ = tokio::time::timeout(CLOSING, socket.close()).await;
        drop(live);
    }
}

/// The agent's socket: the one opened ahead here, or, when the webhook went to another replica, one opened now.
async fn opened(app: &VoiceSaas, scope: &TenantScope, call: &Call) -> Result<OpenedSession, OpenFailure> {
    if let Some(opening) = app.live().take_opening(call.id) {
        return opening
            .await
            .unwrap_or_else(|_| Err(lost("the task that opened it was dropped")));
    }
    let (_, context, agent) = context::stored_context(app, scope, call.id)
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

const fn reason(end: &BridgeEnd) -> EndReason {
    match end {
        BridgeEnd::CallerHungUp => EndReason::CallerHungUp,
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
