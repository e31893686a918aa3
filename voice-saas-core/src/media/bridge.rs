//! The bridge between a call's media socket and an agent's socket.
//!
//! One future per call owns both sockets and is polled whenever either has something: a frame that arrives is
//! translated and written to the other side in the same poll, without a task switch. Neither direction waits for
//! the other. The caller's socket is always read, because a hang-up comes that way too: for an agent that does not
//! listen, old audio is dropped. A carrier that does not take the agent's words makes the agent wait.
//!
//! It begins before the agent's socket is open, so that a caller who hangs up meanwhile is heard. It ends at once, or
//! with a farewell: what the agent said is played, however the agent or its tool ended the call.

mod agent_line;
mod farewell;
mod orders;
mod queue;
mod surface;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, Sleep},
};

pub use self::surface::MediaSocket;
use self::{
    agent_line::{AgentLine, Opening},
    farewell::{By, Farewell},
    orders::Order,
    queue::{ToAgent, ToCaller},
};
pub(crate) use self::{
    orders::BridgeOrders,
    surface::{BridgeEnd, BridgeLimits, BridgeOutlets, ToolRequest},
};
use super::{Audio, MediaCommand, MediaEvent, MediaStreamCodec};
use crate::{
    call::CallEventKind,
    provider::{
        BoxError, ProviderError,
        telephony::ProviderCallId,
        voice_agent::{AgentCommand, AgentEvent, BoxAgentSession, ToolCall},
    },
};

/// How often the watchdogs look when nothing else happens.
const TICK: Duration = Duration::from_secs(1);

/// How often a poll looks at both sockets before the watchdogs and other calls have their turn.
const ROUNDS: usize = 64;

/// How the agent's side is.
enum Agent {
    /// Its socket is yet to be opened; what it is told waits.
    Opens,
    /// It hears and speaks.
    Listens,
    /// Its socket takes nothing any more, for this reason. What it still has to say may explain it better: an
    /// agent that hangs up may break a write before its close is read.
    Deaf(ProviderError),
    /// It hung up.
    Gone,
}

pub(crate) struct Bridge<S> {
    socket: S,
    codec: Box<dyn MediaStreamCodec>,
    line: AgentLine,
    expected_call: Option<ProviderCallId>,
    outlets: BridgeOutlets,
    limits: BridgeLimits,
    to_agent: ToAgent,
    to_caller: ToCaller,
    buffer: BytesMut,
    tool_answers: mpsc::Receiver<AgentCommand>,
    tool_answerer: mpsc::Sender<AgentCommand>,
    orders: BridgeOrders,
    tick: Pin<Box<Sleep>>,
    began: Instant,
    /// The time of this poll.
    now: Instant,
    /// Who has nothing more to say in this poll, and has the waker.
    caller_is_silent: bool,
    agent_is_silent: bool,
    heard_caller: Instant,
    heard_agent: Instant,
    /// When the carrier last had all that it could be given, or took a part of it.
    carrier_took: Instant,
    started: bool,
    agent: Agent,
    farewell: Option<Farewell>,
    /// Why the carrier takes nothing any more; what it still has to say may be that the caller hung up.
    carrier_broke: Option<BoxError>,
}

impl<S: MediaSocket> Bridge<S> {
    pub(crate) fn new(
        socket: S,
        codec: Box<dyn MediaStreamCodec>,
        opening: Opening,
        expected_call: Option<ProviderCallId>,
        outlets: BridgeOutlets,
        limits: BridgeLimits,
        orders: BridgeOrders,
    ) -> Self {
        let (tool_answerer, tool_answers) = mpsc::channel(8);
        let now = Instant::now();
        Self {
            socket,
            codec,
            line: AgentLine::new(opening),
            expected_call,
            outlets,
            limits,
            to_agent: ToAgent::default(),
            to_caller: ToCaller::default(),
            buffer: BytesMut::new(),
            tool_answers,
            tool_answerer,
            orders,
            tick: Box::pin(tokio::time::sleep(TICK)),
            began: now,
            now,
            caller_is_silent: false,
            agent_is_silent: false,
            heard_caller: now,
            heard_agent: now,
            carrier_took: now,
            started: false,
            agent: Agent::Opens,
            farewell: None,
            carrier_broke: None,
        }
    }

    /// The two sockets, to be closed; the agent's if it was open.
    pub(crate) fn into_sockets(self) -> (S, Option<BoxAgentSession>) {
        (self.socket, self.line.into_session())
    }

    fn note(&self, kind: CallEventKind) {
        if self.outlets.journal.try_send(kind).is_err() {
            metrics::counter!("voice_saas_call_events_lost_total").increment(1);
            tracing::error!("a call event was lost: the store does not keep up");
        }
    }

    fn tell_caller(&mut self, command: MediaCommand<'_>) {
        let plays = match command {
            MediaCommand::Audio(audio) => audio.duration(),
            MediaCommand::Clear | MediaCommand::Mark(_) => Duration::ZERO,
        };
        match self.codec.encode(command, &mut self.buffer) {
            Ok(()) => self.to_caller.send(self.buffer.split().freeze(), plays),
            Err(error) => {
                self.buffer.clear();
                tracing::warn!("a media message was not sent: {error}");
            }
        }
    }

    /// Nothing is kept for an agent that does not listen any more.
    fn tell_agent(&mut self, command: AgentCommand) {
        if matches!(self.agent, Agent::Opens | Agent::Listens) {
            self.to_agent.tell(command);
        }
    }

    fn hear_caller(&mut self, cx: &mut Context<'_>) -> ControlFlow<BridgeEnd, bool> {
        if self.caller_is_silent {
            return Continue(false);
        }
        let message = match Pin::new(&mut self.socket).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => message,
            Poll::Ready(Some(Err(error))) => return Break(self.media_failed(&error)),
            Poll::Ready(None) => return Break(self.carrier_gone(BridgeEnd::MediaLost)),
            Poll::Pending => {
                // Unless a write finds the socket broken: then it is asked once more.
                self.caller_is_silent = true;
                return match self.carrier_broke.take() {
                    Some(error) => Break(self.media_failed(&error)),
                    None => Continue(false),
                };
            }
        };
        match self.codec.decode(&message) {
            Ok(MediaEvent::Started { call }) => self.start(&call)?,
            Ok(MediaEvent::Stopped) => return Break(self.carrier_gone(BridgeEnd::CallerHungUp)),
            // Before it starts, nobody knows whose stream it is.
            Ok(_) if !self.started => {}
            Ok(MediaEvent::Audio(audio)) => {
                self.heard_caller = self.now;
                if matches!(self.agent, Agent::Opens | Agent::Listens)
                    && let Some(audio) = self.line.for_agent(audio)
                {
                    self.to_agent.hear(audio);
                }
            }
            Ok(MediaEvent::Dtmf(digit)) => self.pressed(digit),
            Ok(MediaEvent::Mark(name)) => self.played(&name),
            Ok(MediaEvent::Ignored) => {}
            Err(error) => {
                metrics::counter!("voice_saas_media_messages_malformed_total").increment(1);
                tracing::debug!("a media message was not understood: {error}");
            }
        }
        Continue(true)
    }

    fn start(&mut self, call: &ProviderCallId) -> ControlFlow<BridgeEnd> {
        if self
            .expected_call
            .as_ref()
            .is_some_and(|expected| expected != call)
        {
            tracing::warn!("the media stream belongs to another call");
            return Break(BridgeEnd::MediaLost);
        }
        self.started = true;
        self.heard_caller = self.now;
        for audio in self.to_caller.take_early() {
            self.tell_caller(MediaCommand::Audio(&audio));
        }
        self.mark_last_words();
        Continue(())
    }

    fn pressed(&mut self, digit: char) {
        self.note(CallEventKind::Dtmf { digit });
        if self.to_agent.is_full() {
            tracing::warn!("the agent was not told of a key: it does not listen");
        } else {
            self.tell_agent(AgentCommand::Context(format!(
                "The caller pressed the key {digit}."
            )));
        }
    }

    fn await_agent(&mut self, cx: &mut Context<'_>) -> ControlFlow<BridgeEnd, bool> {
        match self.line.poll_open(cx) {
            Poll::Pending => return Continue(false),
            Poll::Ready(Err(failure)) => return Break(BridgeEnd::AgentUnavailable(failure)),
            Poll::Ready(Ok(conversation)) => self.note(CallEventKind::AgentReady { conversation }),
        }
        self.agent = Agent::Listens;
        self.heard_agent = self.now;
        let line = &mut self.line;
        self.to_agent.convert(|audio| line.for_agent(audio));
        Continue(true)
    }

    fn hear_agent(&mut self, cx: &mut Context<'_>) -> ControlFlow<BridgeEnd, bool> {
        match self.agent {
            Agent::Opens => return self.await_agent(cx),
            Agent::Gone => return Continue(false),
            Agent::Listens | Agent::Deaf(_) => {}
        }
        if self.agent_is_silent || self.to_caller.is_full() || self.to_agent.is_full() {
            return Continue(false);
        }
        let event = match self.line.poll_event(cx) {
            Poll::Ready(Some(Ok(event))) => event,
            // Whoever was told to say goodbye may leave in any way.
            Poll::Ready(Some(Err(error))) if self.farewell.is_none() => {
                return Break(BridgeEnd::AgentFailed(Some(error)));
            }
            Poll::Ready(Some(Err(_)) | None) => {
                self.agent = Agent::Gone;
                self.to_agent.clear();
                self.begin_farewell(By::Agent);
                return Continue(true);
            }
            Poll::Pending => {
                self.agent_is_silent = true;
                return match std::mem::replace(&mut self.agent, Agent::Listens) {
                    Agent::Deaf(error) if self.farewell.is_none() => {
                        Break(BridgeEnd::AgentFailed(Some(error)))
                    }
                    agent => {
                        self.agent = agent;
                        Continue(false)
                    }
                };
            }
        };
        self.heard_agent = self.now;
        match event {
            AgentEvent::Audio(audio) => self.speak(audio),
            AgentEvent::Interrupted => self.interrupt(),
            AgentEvent::Said { speaker, text } => self.note(CallEventKind::Said { speaker, text }),
            AgentEvent::Corrected { text } => self.note(CallEventKind::Corrected { text }),
            AgentEvent::ToolCall(call) => self.call_tool(call),
            AgentEvent::Ready { .. } | AgentEvent::Idle => {}
        }
        Continue(true)
    }

    fn speak(&mut self, audio: Audio) {
        let Some(audio) = self.line.for_caller(audio) else {
            return;
        };
        if self.started {
            self.tell_caller(MediaCommand::Audio(&audio));
        } else {
            self.to_caller.keep(audio);
        }
        self.heard_more();
    }

    /// What is queued here was spoken before the interruption, and a mark among it never comes back. What the carrier
    /// holds, it drops; what is on the way to it arrives before the `clear` and is dropped too, and is never more than
    /// the queue lets it have ahead.
    fn interrupt(&mut self) {
        self.to_caller.clear();
        self.line.interrupt();
        if self.started {
            self.tell_caller(MediaCommand::Clear);
        }
        self.mark_last_words();
        self.note(CallEventKind::Interrupted);
    }

    fn call_tool(&mut self, call: ToolCall) {
        self.note(CallEventKind::ToolCalled {
            tool: call.name.clone(),
            arguments: call.arguments.clone(),
        });
        let request = ToolRequest {
            call,
            answer: self.tool_answerer.clone(),
        };
        let refused = self.outlets.tools.try_send(request);
        if let Err(TrySendError::Full(request) | TrySendError::Closed(request)) = refused {
            self.note(CallEventKind::ToolAnswered {
                tool: request.call.name,
                is_error: true,
            });
            self.tell_agent(AgentCommand::ToolResult {
                id: request.call.id,
                result: "Too many things at once. Try again in a moment.".to_owned(),
                is_error: true,
            });
        }
    }

    fn hear_tools(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(Some(answer)) = self.tool_answers.poll_recv(cx) else {
            return false;
        };
        self.tell_agent(answer);
        true
    }

    fn speak_to_agent(&mut self, cx: &mut Context<'_>) -> bool {
        if !matches!(self.agent, Agent::Listens) {
            return false;
        }
        let Some(session) = self.line.session() else {
            return false;
        };
        self.to_agent.write(session, cx).unwrap_or_else(|error| {
            self.to_agent.clear();
            self.agent = Agent::Deaf(error);
            self.agent_is_silent = false;
            true
        })
    }

    fn speak_to_caller(&mut self, cx: &mut Context<'_>) -> bool {
        if self.carrier_broke.is_some() {
            return false;
        }
        let now = self.now;
        let moved = self
            .to_caller
            .write(&mut self.socket, now, cx)
            .unwrap_or_else(|error| {
                self.to_caller.clear();
                self.carrier_broke = Some(error);
                self.caller_is_silent = false;
                true
            });
        if moved || self.to_caller.is_written(now) {
            self.carrier_took = now;
        }
        moved
    }

    fn media_failed(&self, error: &BoxError) -> BridgeEnd {
        tracing::info!("the media socket failed: {error}");
        self.carrier_gone(BridgeEnd::MediaLost)
    }

    /// During the farewell, it does not matter how the carrier goes.
    fn carrier_gone(&self, end: BridgeEnd) -> BridgeEnd {
        self.farewell.as_ref().map_or(end, Farewell::end)
    }

    /// Whether anything takes too long. To be asked after what waits was read: a process that stood still for a
    /// while finds the proof of life in its sockets.
    fn watch(&self) -> ControlFlow<BridgeEnd> {
        let now = self.now;
        if now - self.began >= self.limits.max_call {
            return Break(BridgeEnd::MaxDuration);
        }
        if now - self.heard_caller >= self.limits.media_silence {
            return Break(self.carrier_gone(BridgeEnd::Silence));
        }
        if now - self.carrier_took >= self.limits.media_silence {
            return Break(self.carrier_gone(BridgeEnd::MediaLost));
        }
        match &self.farewell {
            Some(farewell) if farewell.is_over(now, self.to_caller.played(now), self.limits.last_words) => {
                Break(farewell.end())
            }
            None if now - self.heard_agent >= self.limits.agent_silence => {
                Break(BridgeEnd::AgentFailed(None))
            }
            _ => Continue(()),
        }
    }

    /// Takes one thing from each source and writes all that can be written. Whether anything moved: after a round
    /// in which nothing did, each source has the waker, or stands behind a full queue whose sink has it.
    fn round(&mut self, cx: &mut Context<'_>) -> ControlFlow<BridgeEnd, bool> {
        let mut moved = self.hear_caller(cx)?;
        moved |= self.hear_agent(cx)?;
        moved |= self.hear_tools(cx);
        moved |= self.speak_to_agent(cx);
        moved |= self.speak_to_caller(cx);
        Continue(moved)
    }
}

impl<S: MediaSocket> Future for Bridge<S> {
    type Output = BridgeEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BridgeEnd> {
        let this = self.get_mut();
        (this.now, this.caller_is_silent, this.agent_is_silent) = (Instant::now(), false, false);
        match this.orders.poll(cx) {
            Some(Order::End) => return Poll::Ready(BridgeEnd::Ended),
            Some(Order::Goodbye) => this.begin_farewell(By::Order),
            None => {}
        }
        while this.tick.as_mut().poll(cx).is_ready() {
            this.tick.as_mut().reset(this.now + TICK);
        }
        let mut moved = true;
        for _ in 0..ROUNDS {
            match this.round(cx) {
                Continue(true) => {}
                Continue(false) => {
                    moved = false;
                    break;
                }
                Break(end) => return Poll::Ready(end),
            }
        }
        if let Break(end) = this.watch() {
            return Poll::Ready(end);
        }
        if moved {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
