//! Lines in memory, for tests: a socket that the test holds by its far end.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;

use crate::{
    media::Audio,
    provider::{
        BoxError, ErrorKind, ProviderError, ProviderName,
        voice_agent::{AgentCommand, AgentEvent},
    },
};

/// An error that a line can break with.
pub(crate) trait Broken {
    fn broken() -> Self;
}

impl Broken for BoxError {
    fn broken() -> Self {
        "the line broke".into()
    }
}

impl Broken for ProviderError {
    fn broken() -> Self {
        Self::new(
            ProviderName::new("fake"),
            "carry the conversation",
            ErrorKind::Interrupted,
        )
    }
}

enum Writes {
    Pass,
    Block,
    Fail,
}

struct State<R, W, E> {
    unread: VecDeque<Result<R, E>>,
    /// Said again and again, without end.
    chant: Option<R>,
    ended: bool,
    unflushed: Vec<W>,
    written: Vec<W>,
    writes: Writes,
    hung_up: bool,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What the bridge holds of a line.
pub(crate) struct Near<R, W, E>(Arc<Mutex<State<R, W, E>>>);

/// What the test holds of it.
pub(crate) struct Far<R, W, E>(Arc<Mutex<State<R, W, E>>>);

pub(crate) type Carrier = Far<Bytes, Bytes, BoxError>;
pub(crate) type Agent = Far<AgentEvent, AgentCommand, ProviderError>;
pub(crate) type AgentLine = Near<AgentEvent, AgentCommand, ProviderError>;

pub(crate) fn line<R, W, E>() -> (Near<R, W, E>, Far<R, W, E>) {
    let state = Arc::new(Mutex::new(State {
        unread: VecDeque::new(),
        chant: None,
        ended: false,
        unflushed: Vec::new(),
        written: Vec::new(),
        writes: Writes::Pass,
        hung_up: false,
        closed: false,
        reader: None,
        writer: None,
    }));
    (Near(Arc::clone(&state)), Far(state))
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl<R, W, E: Broken> Far<R, W, E> {
    fn state(&self) -> MutexGuard<'_, State<R, W, E>> {
        self.0.lock().unwrap()
    }

    pub(crate) fn says(&self, message: impl Into<R>) {
        let mut state = self.state();
        state.unread.push_back(Ok(message.into()));
        wake(&mut state.reader);
    }

    pub(crate) fn says_without_end(&self, message: impl Into<R>) {
        let mut state = self.state();
        state.chant = Some(message.into());
        wake(&mut state.reader);
    }

    pub(crate) fn breaks(&self) {
        let mut state = self.state();
        state.unread.push_back(Err(E::broken()));
        wake(&mut state.reader);
    }

    pub(crate) fn ends(&self) {
        let mut state = self.state();
        state.ended = true;
        wake(&mut state.reader);
    }

    /// Takes nothing from now on.
    pub(crate) fn blocks(&self) {
        self.state().writes = Writes::Block;
    }

    pub(crate) fn unblocks(&self) {
        let mut state = self.state();
        state.writes = Writes::Pass;
        wake(&mut state.writer);
    }

    /// Fails whoever writes from now on.
    pub(crate) fn refuses(&self) {
        let mut state = self.state();
        state.writes = Writes::Fail;
        wake(&mut state.writer);
    }

    /// What was written and flushed since the last look.
    pub(crate) fn hears(&self) -> Vec<W> {
        std::mem::take(&mut self.state().written)
    }

    /// What the bridge has not read yet.
    pub(crate) fn unread(&self) -> usize {
        self.state().unread.len()
    }

    /// Whether the end was said before the line was dropped.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.state().hung_up
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }
}

impl Carrier {
    pub(crate) fn hears_text(&self) -> Vec<String> {
        let text = |message: Bytes| String::from_utf8(message.to_vec()).unwrap();
        self.hears().into_iter().map(text).collect()
    }
}

impl<R: Clone, W, E> Stream for Near<R, W, E> {
    type Item = Result<R, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock().unwrap();
        if let Some(message) = state.unread.pop_front() {
            return Poll::Ready(Some(message));
        }
        if let Some(message) = state.chant.clone() {
            return Poll::Ready(Some(Ok(message)));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<R, W, E: Broken> Sink<W> for Near<R, W, E> {
    type Error = E;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut state = self.0.lock().unwrap();
        match state.writes {
            Writes::Pass => Poll::Ready(Ok(())),
            Writes::Fail => Poll::Ready(Err(E::broken())),
            Writes::Block => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn start_send(self: Pin<&mut Self>, item: W) -> Result<(), E> {
        self.0.lock().unwrap().unflushed.push(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut state = self.0.lock().unwrap();
        let mut unflushed = std::mem::take(&mut state.unflushed);
        state.written.append(&mut unflushed);
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.0.lock().unwrap().hung_up = true;
        Poll::Ready(Ok(()))
    }
}

impl<R, W, E> Drop for Near<R, W, E> {
    fn drop(&mut self) {
        self.0.lock().unwrap().closed = true;
    }
}

impl From<Audio> for AgentEvent {
    fn from(audio: Audio) -> Self {
        Self::Audio(audio)
    }
}
