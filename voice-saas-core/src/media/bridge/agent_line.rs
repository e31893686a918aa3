//! The agent's side of a bridge: yet to be opened, then open.

use std::{
    collections::VecDeque,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;

use crate::{
    call::{OpenFailure, OpenedSession},
    media::{Audio, Transcoder},
    provider::{
        ProviderError,
        voice_agent::{AgentEvent, BoxAgentSession, ConversationId},
    },
};

/// An agent's socket that is on its way.
pub(crate) type Opening = BoxFuture<'static, Result<OpenedSession, OpenFailure>>;

enum State {
    Opening(Opening),
    Open(BoxAgentSession),
}

/// The agent's socket, and what stands between its audio and the call's.
pub(super) struct AgentLine {
    state: State,
    /// What it said before the bridge listened.
    early: VecDeque<AgentEvent>,
    to_agent: Option<Box<Transcoder>>,
    to_caller: Option<Box<Transcoder>>,
}

impl AgentLine {
    pub(super) fn new(opening: Opening) -> Self {
        Self {
            state: State::Opening(opening),
            early: VecDeque::new(),
            to_agent: None,
            to_caller: None,
        }
    }

    /// The socket, when it is open.
    pub(super) fn session(&mut self) -> Option<&mut BoxAgentSession> {
        match &mut self.state {
            State::Opening(_) => None,
            State::Open(session) => Some(session),
        }
    }

    pub(super) fn into_session(self) -> Option<BoxAgentSession> {
        match self.state {
            State::Opening(_) => None,
            State::Open(session) => Some(session),
        }
    }

    /// Waits until it is open; only once, and only before anything else.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<ConversationId, OpenFailure>> {
        let State::Opening(opening) = &mut self.state else {
            return Poll::Pending;
        };
        let opened = ready!(opening.as_mut().poll(cx))?;
        self.state = State::Open(opened.session);
        self.early = opened.early;
        self.to_agent = opened.to_agent;
        self.to_caller = opened.to_caller;
        Poll::Ready(Ok(opened.conversation))
    }

    pub(super) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<AgentEvent, ProviderError>>> {
        if let Some(event) = self.early.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        match &mut self.state {
            State::Opening(_) => Poll::Pending,
            State::Open(session) => session.as_mut().poll_next(cx),
        }
    }

    /// The caller's audio as the agent wants it.
    pub(super) fn for_agent(&mut self, audio: Audio) -> Option<Audio> {
        converted(self.to_agent.as_deref_mut(), audio)
    }

    /// The agent's audio as the call carries it.
    pub(super) fn for_caller(&mut self, audio: Audio) -> Option<Audio> {
        converted(self.to_caller.as_deref_mut(), audio)
    }

    /// The agent's next words do not go on from its last.
    pub(super) fn interrupt(&mut self) {
        if let Some(transcoder) = &mut self.to_caller {
            transcoder.reset();
        }
    }
}

/// Audio that cannot be read is not played.
fn converted(transcoder: Option<&mut Transcoder>, audio: Audio) -> Option<Audio> {
    let Some(transcoder) = transcoder else {
        return Some(audio);
    };
    let converted = transcoder.convert(&audio);
    converted
        .inspect_err(|error| {
            metrics::counter!("voice_saas_media_messages_malformed_total").increment(1);
            tracing::debug!("audio was not understood: {error}");
        })
        .ok()
}
