//! The calls that this process carries right now: agents' sockets opened ahead, and bridges that run.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    id::CallId,
    media::AudioFormat,
    provider::{
        ErrorKind, ProviderError,
        voice_agent::{AgentEvent, BoxAgentSession, CallContext, ConversationId, VoiceAgentProvider},
    },
};

/// An agent's socket that was opened ahead is closed when no media socket comes for it within this time.
const UNCLAIMED: Duration = Duration::from_secs(30);

/// An agent that is ready to hear and speak.
pub(crate) struct OpenedSession {
    pub(crate) session: BoxAgentSession,
    pub(crate) conversation: ConversationId,
}

/// Why an agent cannot take a call.
#[derive(Debug)]
pub(crate) enum OpenFailure {
    Provider(ProviderError),
    Format { input: AudioFormat, output: AudioFormat },
}

impl OpenFailure {
    /// For operators.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Provider(error) => match error.detail() {
                Some(detail) => format!("{error}: {detail}"),
                None => format!("{error} ({:?})", error.kind()),
            },
            Self::Format { input, output } => {
                format!(
                    "the agent hears {input:?} and speaks {output:?}; a call carries {:?}",
                    AudioFormat::Mulaw8k
                )
            }
        }
    }
}

type Opening = oneshot::Receiver<Result<OpenedSession, OpenFailure>>;

struct Running {
    end: CancellationToken,
    changed: watch::Sender<u32>,
}

#[derive(Default)]
struct State {
    opening: HashMap<CallId, Opening>,
    running: HashMap<CallId, Running>,
}

/// The calls that this process carries right now.
#[derive(Clone, Default)]
pub(crate) struct LiveCalls(Arc<Mutex<State>>);

impl LiveCalls {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to open the agent's socket, so that it is ready when the media socket arrives.
    pub(crate) fn open_ahead(
        &self,
        provider: Arc<dyn VoiceAgentProvider>,
        context: CallContext,
        patience: Duration,
    ) {
        let (sender, receiver) = oneshot::channel();
        let id = context.call;
        self.state().opening.insert(id, receiver);
        let this = self.clone();
        tokio::spawn(async move {
            // Whoever waits for it may be gone; then the socket is dropped with the message.
            let _ = sender.send(open(&*provider, &context, patience).await);
            tokio::time::sleep(UNCLAIMED).await;
            if this.take_opening(id).is_some() {
                tracing::info!(call.id = %id, "no media socket came for a call");
            }
        });
    }

    /// The socket that was opened ahead in this process, if any.
    pub(crate) fn take_opening(&self, id: CallId) -> Option<Opening> {
        self.state().opening.remove(&id)
    }

    /// Notes that a bridge runs; the guard notes its end.
    pub(crate) fn enter(&self, id: CallId) -> LiveCall {
        let end = CancellationToken::new();
        let (changed, _) = watch::channel(0);
        let running = Running {
            end: end.clone(),
            changed,
        };
        let count = {
            let mut state = self.state();
            state.running.insert(id, running);
            state.running.len()
        };
        set_gauge(count);
        LiveCall {
            calls: self.clone(),
            id,
            end,
        }
    }

    /// Ends a bridge that runs in this process; `false` when none does.
    pub(crate) fn end(&self, id: CallId) -> bool {
        let state = self.state();
        let found = state.running.get(&id);
        found.inspect(|running| running.end.cancel()).is_some()
    }

    /// Ends all bridges of this process. How many.
    pub(crate) fn end_all(&self) -> usize {
        let state = self.state();
        state.running.values().for_each(|running| running.end.cancel());
        state.running.len()
    }

    /// Says that events up to this place were written.
    pub(crate) fn wrote_events(&self, id: CallId, up_to: u32) {
        if let Some(running) = self.state().running.get(&id) {
            running.changed.send_replace(up_to);
        }
    }

    /// Tells of events as they are written, while a bridge runs in this process.
    pub(crate) fn watch_events(&self, id: CallId) -> Option<watch::Receiver<u32>> {
        self.state()
            .running
            .get(&id)
            .map(|running| running.changed.subscribe())
    }
}

#[expect(clippy::cast_precision_loss, reason = "no process carries 2^52 calls")]
fn set_gauge(count: usize) {
    metrics::gauge!("voice_saas_live_calls").set(count as f64);
}

/// A bridge that runs.
pub(crate) struct LiveCall {
    calls: LiveCalls,
    id: CallId,
    pub(crate) end: CancellationToken,
}

impl Drop for LiveCall {
    fn drop(&mut self) {
        let count = {
            let mut state = self.calls.state();
            state.running.remove(&self.id);
            state.running.len()
        };
        set_gauge(count);
    }
}

/// Opens the agent's socket and waits until it is ready.
pub(crate) async fn open(
    provider: &dyn VoiceAgentProvider,
    context: &CallContext,
    patience: Duration,
) -> Result<OpenedSession, OpenFailure> {
    let late = || {
        OpenFailure::Provider(
            ProviderError::new(provider.name(), "open a conversation", ErrorKind::TimedOut)
                .with_detail(format!("it was not ready after {patience:?}")),
        )
    };
    tokio::time::timeout(patience, open_ready(provider, context))
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn open_ready(
    provider: &dyn VoiceAgentProvider,
    context: &CallContext,
) -> Result<OpenedSession, OpenFailure> {
    let mut session = provider.open(context).await.map_err(OpenFailure::Provider)?;
    while let Some(event) = session.next().await {
        match event.map_err(OpenFailure::Provider)? {
            AgentEvent::Ready {
                conversation,
                input: AudioFormat::Mulaw8k,
                output: AudioFormat::Mulaw8k,
            } => {
                return Ok(OpenedSession {
                    session,
                    conversation,
                });
            }
            AgentEvent::Ready { input, output, .. } => return Err(OpenFailure::Format { input, output }),
            _ => {}
        }
    }
    let closed = ProviderError::new(provider.name(), "open a conversation", ErrorKind::Interrupted)
        .with_detail("it closed the socket before it was ready");
    Err(OpenFailure::Provider(closed))
}
