//! The calls that this process carries right now: agents' sockets opened ahead, and bridges that run.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::sync::{oneshot, watch};

use crate::{
    id::CallId,
    media::{AudioFormat, BridgeOrders, Transcoder},
    provider::{
        ErrorKind, ProviderError,
        voice_agent::{AgentEvent, BoxAgentSession, CallContext, ConversationId, VoiceAgentProvider},
    },
};

/// An agent's socket that was opened ahead is closed when no media socket comes for it within this time.
const UNCLAIMED: Duration = Duration::from_secs(30);

/// A socket that does not close by itself is dropped after this long.
pub(crate) const CLOSING: Duration = Duration::from_secs(2);

/// The bytes of speech that an agent may say ahead of its caller: half a minute. Beyond this it is not read.
const EARLY: usize = 320 * 1024;

/// An agent that is ready to hear and speak.
pub(crate) struct OpenedSession {
    pub(crate) session: BoxAgentSession,
    pub(crate) conversation: ConversationId,
    /// What it said since it was ready.
    pub(crate) early: VecDeque<AgentEvent>,
    /// Between what the call carries and what the agent hears, where they differ.
    pub(crate) to_agent: Option<Box<Transcoder>>,
    /// Between what the agent speaks and what the call carries, where they differ.
    pub(crate) to_caller: Option<Box<Transcoder>>,
}

impl OpenedSession {
    /// An agent that hears and speaks what the call carries.
    pub(crate) fn new(session: BoxAgentSession, conversation: ConversationId) -> Self {
        Self {
            session,
            conversation,
            early: VecDeque::new(),
            to_agent: None,
            to_caller: None,
        }
    }

    /// An agent that hears and speaks this.
    fn with_formats(mut self, input: AudioFormat, output: AudioFormat) -> Result<Self, OpenFailure> {
        let call = AudioFormat::Mulaw8k;
        let way = |from, to| match Transcoder::between(from, to) {
            _ if from == to => Ok(None),
            Some(transcoder) => Ok(Some(Box::new(transcoder))),
            None => Err(OpenFailure::Format { input, output }),
        };
        self.to_agent = way(call, input)?;
        self.to_caller = way(output, call)?;
        Ok(self)
    }

    fn has_room(&self) -> bool {
        let length = |event: &AgentEvent| match event {
            AgentEvent::Audio(audio) => audio.base64().len(),
            _ => 0,
        };
        self.early.iter().map(length).sum::<usize>() < EARLY
    }

    /// Answers the platform's pings and keeps what the agent says, until the agent leaves.
    async fn hold(&mut self) -> Option<ProviderError> {
        loop {
            if !self.has_room() {
                return std::future::pending().await;
            }
            match self.session.next().await {
                Some(Ok(AgentEvent::Idle)) => {}
                Some(Ok(event)) => self.early.push_back(event),
                Some(Err(error)) => return Some(error),
                None => return None,
            }
        }
    }

    /// Ends the conversation.
    async fn close(mut self) {
        let _ = tokio::time::timeout(CLOSING, self.session.close()).await;
    }
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
            Self::Provider(error) => detail(error),
            Self::Format { input, output } => {
                format!(
                    "the agent hears {input:?} and speaks {output:?}; a call carries {:?}",
                    AudioFormat::Mulaw8k
                )
            }
        }
    }
}

/// What a platform's error says, for operators.
pub(crate) fn detail(error: &ProviderError) -> String {
    match error.detail() {
        Some(detail) => format!("{error}: {detail}"),
        None => format!("{error} ({:?})", error.kind()),
    }
}

/// Where an agent's socket that was opened ahead is handed over.
type Claim = oneshot::Sender<Result<OpenedSession, OpenFailure>>;

/// An agent's socket that is being opened ahead, or was.
pub(crate) struct OpenedAhead {
    number: u64,
    claim: oneshot::Sender<Claim>,
}

impl OpenedAhead {
    /// Takes it when it is open; `None` when the agent left in the meantime.
    pub(crate) async fn claim(self) -> Option<Result<OpenedSession, OpenFailure>> {
        let (claim, claimed) = oneshot::channel();
        self.claim.send(claim).ok()?;
        claimed.await.ok()
    }
}

struct Running {
    orders: BridgeOrders,
    changed: watch::Sender<u32>,
}

#[derive(Default)]
struct State {
    ahead: HashMap<CallId, OpenedAhead>,
    opened: u64,
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
        let (claim, claims) = oneshot::channel();
        let id = context.call;
        let number = {
            let mut state = self.state();
            state.opened += 1;
            let number = state.opened;
            state.ahead.insert(id, OpenedAhead { number, claim });
            number
        };
        let this = self.clone();
        tokio::spawn(async move {
            match open(&*provider, &context, patience).await {
                Ok(opened) => keep(opened, claims).await,
                Err(failure) => {
                    // Whoever waits for it may be gone.
                    if let Ok(Ok(claim)) = tokio::time::timeout(UNCLAIMED, claims).await {
                        let _ = claim.send(Err(failure));
                    }
                }
            }
            this.forget(id, number);
        });
    }

    /// The socket that was opened ahead in this process, if any.
    pub(crate) fn take_ahead(&self, id: CallId) -> Option<OpenedAhead> {
        self.state().ahead.remove(&id)
    }

    /// The same call may have been opened again since.
    fn forget(&self, id: CallId, number: u64) {
        let mut state = self.state();
        if state.ahead.get(&id).is_some_and(|ahead| ahead.number == number) {
            state.ahead.remove(&id);
        }
    }

    /// Notes that a bridge runs; the guard notes its end.
    pub(crate) fn enter(&self, id: CallId) -> LiveCall {
        let orders = BridgeOrders::default();
        let (changed, _) = watch::channel(0);
        let running = Running {
            orders: orders.clone(),
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
            orders,
        }
    }

    /// Ends a bridge that runs in this process at once; `false` when none does.
    pub(crate) fn end(&self, id: CallId) -> bool {
        let state = self.state();
        let found = state.running.get(&id);
        found.inspect(|running| running.orders.end()).is_some()
    }

    /// Ends a bridge that runs in this process when the agent's last words were played; `false` when none does.
    pub(crate) fn say_goodbye(&self, id: CallId) -> bool {
        let state = self.state();
        let found = state.running.get(&id);
        found.inspect(|running| running.orders.say_goodbye()).is_some()
    }

    /// Ends all bridges of this process. How many.
    pub(crate) fn end_all(&self) -> usize {
        let state = self.state();
        for running in state.running.values() {
            running.orders.end();
        }
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
    pub(crate) orders: BridgeOrders,
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

/// Keeps an agent company until its caller comes.
async fn keep(mut opened: OpenedSession, claims: oneshot::Receiver<Claim>) {
    let conversation = opened.conversation.clone();
    let claim = tokio::select! {
        biased;
        claim = tokio::time::timeout(UNCLAIMED, claims) => claim,
        error = opened.hold() => {
            // The entry is left to whoever comes: told that it is gone, they open another.
            tracing::info!(%conversation, ?error, "an agent left before its caller came");
            return;
        }
    };
    let unclaimed = match claim {
        Ok(Ok(claim)) => claim.send(Ok(opened)).err().and_then(Result::ok),
        // Nobody came, or the call was opened again.
        Ok(Err(_)) | Err(_) => Some(opened),
    };
    if let Some(opened) = unclaimed {
        tracing::info!(%conversation, "no caller came for an agent");
        opened.close().await;
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
        if let AgentEvent::Ready {
            conversation,
            input,
            output,
        } = event.map_err(OpenFailure::Provider)?
        {
            return OpenedSession::new(session, conversation).with_formats(input, output);
        }
    }
    let closed = ProviderError::new(provider.name(), "open a conversation", ErrorKind::Interrupted)
        .with_detail("it closed the socket before it was ready");
    Err(OpenFailure::Provider(closed))
}

#[cfg(test)]
mod tests;
