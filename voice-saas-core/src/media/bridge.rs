//! The bridge between a call's media socket and an agent's socket.
//!
//! One future per call owns both sockets and is polled whenever either has something: a frame that arrives is
//! translated and written to the other side in the same poll, without a task switch and without waiting for the
//! other direction. A side that does not take its frames fills a bounded queue, and then nothing more is read
//! from the other.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{Audio, MediaCommand, MediaEvent, MediaStreamCodec};
use crate::{
    call::CallEventKind,
    provider::{
        BoxError, ProviderError,
        telephony::ProviderCallId,
        voice_agent::{AgentCommand, AgentEvent, BoxAgentSession, ToolCall},
    },
};

/// A media socket's text messages, in both directions.
pub trait MediaSocket:
    Stream<Item = Result<Bytes, BoxError>> + Sink<Bytes, Error = BoxError> + Send + Unpin
{
}

impl<T> MediaSocket for T where
    T: Stream<Item = Result<Bytes, BoxError>> + Sink<Bytes, Error = BoxError> + Send + Unpin
{
}

/// Frames that may wait for a side before nothing more is read from the other: half a second of audio to the
/// agent; an agent sends whole sentences at once, and interrupting drops them.
const TO_AGENT: usize = 25;
const TO_CALLER: usize = 256;

/// How often the watchdogs look.
const TICK: Duration = Duration::from_secs(1);

/// The mark behind the agent's last words.
const LAST_WORDS: &str = "last-words";

/// How a bridge ended.
#[derive(Debug)]
pub(crate) enum BridgeEnd {
    /// The carrier said that the stream is over.
    CallerHungUp,
    /// The agent closed the conversation, and its last words were played.
    AgentEnded,
    /// The agent's socket failed.
    AgentFailed(Option<ProviderError>),
    /// The media socket closed or failed without a word.
    MediaLost,
    /// The call is as long as calls may be.
    MaxDuration,
    /// The media socket went silent.
    Silence,
    /// Somebody ended it from outside.
    Ended,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BridgeLimits {
    pub(crate) max_call: Duration,
    pub(crate) media_silence: Duration,
    pub(crate) agent_silence: Duration,
    pub(crate) last_words: Duration,
}

/// A tool that the agent called, and how to answer it.
#[derive(Debug)]
pub(crate) struct ToolRequest {
    pub(crate) call: ToolCall,
    pub(crate) answer: mpsc::Sender<AgentCommand>,
}

/// What a bridge tells the rest of the library while it runs. Neither channel is ever waited for.
#[derive(Debug)]
pub(crate) struct BridgeOutlets {
    pub(crate) journal: mpsc::Sender<CallEventKind>,
    pub(crate) tools: mpsc::Sender<ToolRequest>,
}

pub(crate) struct Bridge<S> {
    socket: S,
    codec: Box<dyn MediaStreamCodec>,
    session: BoxAgentSession,
    expected_call: Option<ProviderCallId>,
    outlets: BridgeOutlets,
    limits: BridgeLimits,
    to_agent: VecDeque<AgentCommand>,
    to_caller: VecDeque<Bytes>,
    buffer: BytesMut,
    tool_answers: mpsc::Receiver<AgentCommand>,
    tool_answerer: mpsc::Sender<AgentCommand>,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    tick: Pin<Box<Sleep>>,
    began: Instant,
    heard_caller: Instant,
    heard_agent: Instant,
    started: bool,
    /// Audio that came before the media stream had started.
    early: VecDeque<Audio>,
    /// Until when the agent's last words may be played; it has hung up.
    farewell: Option<Instant>,
}

/// What one look at a source found.
enum Look {
    Nothing,
    Something,
    End(BridgeEnd),
}

impl<S: MediaSocket> Bridge<S> {
    pub(crate) fn new(
        socket: S,
        codec: Box<dyn MediaStreamCodec>,
        session: BoxAgentSession,
        expected_call: Option<ProviderCallId>,
        outlets: BridgeOutlets,
        limits: BridgeLimits,
        cancelled: WaitForCancellationFutureOwned,
    ) -> Self {
        let (tool_answerer, tool_answers) = mpsc::channel(8);
        let now = Instant::now();
        Self {
            socket,
            codec,
            session,
            expected_call,
            outlets,
            limits,
            to_agent: VecDeque::new(),
            to_caller: VecDeque::new(),
            buffer: BytesMut::new(),
            tool_answers,
            tool_answerer,
            cancelled: Box::pin(cancelled),
            tick: Box::pin(tokio::time::sleep(TICK)),
            began: now,
            heard_caller: now,
            heard_agent: now,
            started: false,
            early: VecDeque::new(),
            farewell: None,
        }
    }

    /// The two sockets, to be closed.
    pub(crate) fn into_sockets(self) -> (S, BoxAgentSession) {
        (self.socket, self.session)
    }

    fn note(&self, kind: CallEventKind) {
        if self.outlets.journal.try_send(kind).is_err() {
            metrics::counter!("voice_saas_call_events_lost_total").increment(1);
            tracing::error!("a call event was lost: the store does not keep up");
        }
    }

    fn tell_caller(&mut self, command: MediaCommand<'_>) {
        match self.codec.encode(command, &mut self.buffer) {
            Ok(()) => self.to_caller.push_back(self.buffer.split().freeze()),
            Err(error) => {
                self.buffer.clear();
                tracing::warn!("a media message was not sent: {error}");
            }
        }
    }

    fn hear_caller(&mut self, cx: &mut Context<'_>) -> Look {
        if self.to_agent.len() >= TO_AGENT {
            return Look::Nothing;
        }
        let message = match Pin::new(&mut self.socket).poll_next(cx) {
            Poll::Pending => return Look::Nothing,
            Poll::Ready(None) => return Look::End(self.media_gone()),
            Poll::Ready(Some(Err(error))) => {
                tracing::info!("the media socket failed: {error}");
                return Look::End(self.media_gone());
            }
            Poll::Ready(Some(Ok(message))) => message,
        };
        match self.codec.decode(&message) {
            Ok(MediaEvent::Audio(audio)) => {
                self.heard_caller = Instant::now();
                if self.farewell.is_none() {
                    self.to_agent.push_back(AgentCommand::Audio(audio));
                }
            }
            Ok(MediaEvent::Started { call }) => {
                if self
                    .expected_call
                    .as_ref()
                    .is_some_and(|expected| *expected != call)
                {
                    tracing::warn!("the media stream belongs to another call");
                    return Look::End(BridgeEnd::MediaLost);
                }
                self.started = true;
                self.heard_caller = Instant::now();
                while let Some(audio) = self.early.pop_front() {
                    self.tell_caller(MediaCommand::Audio(&audio));
                }
                if self.farewell.is_some() {
                    self.tell_caller(MediaCommand::Mark(LAST_WORDS));
                }
            }
            Ok(MediaEvent::Dtmf(digit)) => {
                self.note(CallEventKind::Dtmf { digit });
                self.to_agent.push_back(AgentCommand::Context(format!(
                    "The caller pressed the key {digit}."
                )));
            }
            Ok(MediaEvent::Mark(name)) if name == LAST_WORDS => return Look::End(BridgeEnd::AgentEnded),
            Ok(MediaEvent::Stopped) => return Look::End(BridgeEnd::CallerHungUp),
            Ok(MediaEvent::Mark(_) | MediaEvent::Ignored) => {}
            Err(error) => tracing::warn!("a media message was not understood: {error}"),
        }
        Look::Something
    }

    fn hear_agent(&mut self, cx: &mut Context<'_>) -> Look {
        if self.farewell.is_some() || self.to_caller.len() >= TO_CALLER || self.early.len() >= TO_CALLER {
            return Look::Nothing;
        }
        let event = match Pin::new(&mut self.session).poll_next(cx) {
            Poll::Pending => return Look::Nothing,
            Poll::Ready(None) => {
                self.farewell = Some(Instant::now() + self.limits.last_words);
                if self.started {
                    self.tell_caller(MediaCommand::Mark(LAST_WORDS));
                }
                return Look::Something;
            }
            Poll::Ready(Some(Err(error))) => return Look::End(BridgeEnd::AgentFailed(Some(error))),
            Poll::Ready(Some(Ok(event))) => event,
        };
        self.heard_agent = Instant::now();
        match event {
            AgentEvent::Audio(audio) if self.started => self.tell_caller(MediaCommand::Audio(&audio)),
            AgentEvent::Audio(audio) => self.early.push_back(audio),
            AgentEvent::Interrupted => {
                // What is queued here was spoken before the interruption; what the carrier holds, it drops.
                self.to_caller.clear();
                self.early.clear();
                if self.started {
                    self.tell_caller(MediaCommand::Clear);
                }
                self.note(CallEventKind::Interrupted);
            }
            AgentEvent::Said { speaker, text } => self.note(CallEventKind::Said { speaker, text }),
            AgentEvent::Corrected { text } => self.note(CallEventKind::Corrected { text }),
            AgentEvent::ToolCall(call) => self.call_tool(call),
            AgentEvent::Ready { .. } | AgentEvent::Idle => {}
        }
        Look::Something
    }

    fn call_tool(&mut self, call: ToolCall) {
        self.note(CallEventKind::ToolCalled {
            tool: call.name.clone(),
            arguments: call.arguments.clone(),
        });
        let id = call.id.clone();
        let request = ToolRequest {
            call,
            answer: self.tool_answerer.clone(),
        };
        if self.outlets.tools.try_send(request).is_err() {
            self.to_agent.push_back(AgentCommand::ToolResult {
                id,
                result: "Too many things at once. Try again in a moment.".to_owned(),
                is_error: true,
            });
        }
    }

    fn hear_tools(&mut self, cx: &mut Context<'_>) -> Look {
        match self.tool_answers.poll_recv(cx) {
            Poll::Ready(Some(answer)) => {
                self.to_agent.push_back(answer);
                Look::Something
            }
            Poll::Ready(None) | Poll::Pending => Look::Nothing,
        }
    }

    /// Writes what waits for the agent, as far as it takes it.
    fn speak_to_agent(&mut self, cx: &mut Context<'_>) -> Result<(), ProviderError> {
        let mut session = self.session.as_mut();
        while !self.to_agent.is_empty() {
            match session.as_mut().poll_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready?,
            }
            if let Some(command) = self.to_agent.pop_front() {
                session.as_mut().start_send(command)?;
            }
        }
        match session.poll_flush(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(flushed) => flushed,
        }
    }

    /// Writes what waits for the caller, as far as the carrier takes it.
    fn speak_to_caller(&mut self, cx: &mut Context<'_>) -> Result<(), BoxError> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.to_caller.is_empty() {
            match socket.as_mut().poll_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready?,
            }
            if let Some(message) = self.to_caller.pop_front() {
                socket.as_mut().start_send(message)?;
            }
        }
        match socket.poll_flush(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(flushed) => flushed,
        }
    }

    /// After the agent hung up, a carrier that closes is no loss.
    fn media_gone(&self) -> BridgeEnd {
        if self.farewell.is_some() {
            BridgeEnd::AgentEnded
        } else {
            BridgeEnd::MediaLost
        }
    }

    fn watch(&mut self, cx: &mut Context<'_>) -> Option<BridgeEnd> {
        if self.cancelled.as_mut().poll(cx).is_ready() {
            return Some(BridgeEnd::Ended);
        }
        while self.tick.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now - self.began >= self.limits.max_call {
                return Some(BridgeEnd::MaxDuration);
            }
            if now - self.heard_caller >= self.limits.media_silence {
                return Some(BridgeEnd::Silence);
            }
            match self.farewell {
                Some(until) if now >= until => return Some(BridgeEnd::AgentEnded),
                None if now - self.heard_agent >= self.limits.agent_silence => {
                    return Some(BridgeEnd::AgentFailed(None));
                }
                _ => {}
            }
            self.tick.as_mut().reset(now + TICK);
        }
        None
    }
}

impl<S: MediaSocket> Future for Bridge<S> {
    type Output = BridgeEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BridgeEnd> {
        let this = self.get_mut();
        if let Some(end) = this.watch(cx) {
            return Poll::Ready(end);
        }
        loop {
            let mut heard = false;
            for look in [this.hear_caller(cx), this.hear_agent(cx), this.hear_tools(cx)] {
                match look {
                    Look::Nothing => {}
                    Look::Something => heard = true,
                    Look::End(end) => return Poll::Ready(end),
                }
            }
            let (waiting_for_agent, waiting_for_caller) = (this.to_agent.len(), this.to_caller.len());
            if let Err(error) = this.speak_to_agent(cx)
                && this.farewell.is_none()
            {
                return Poll::Ready(BridgeEnd::AgentFailed(Some(error)));
            }
            if let Err(error) = this.speak_to_caller(cx) {
                tracing::info!("the media socket failed: {error}");
                return Poll::Ready(this.media_gone());
            }
            // A queue that was full may have hidden a message behind it.
            let room = (waiting_for_agent >= TO_AGENT && this.to_agent.len() < TO_AGENT)
                || (waiting_for_caller >= TO_CALLER && this.to_caller.len() < TO_CALLER);
            if !heard && !room {
                return Poll::Pending;
            }
        }
    }
}
