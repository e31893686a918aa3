//! What waits for a side that does not take it at once.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_sink::Sink;

use crate::{
    media::Audio,
    provider::{
        BoxError, ProviderError,
        voice_agent::{AgentCommand, BoxAgentSession},
    },
};

/// The caller's audio that may wait for an agent. When it listens again, it shall hear what the caller says now
/// and not what was said before the line was blocked; so older audio is dropped.
const STALE: Duration = Duration::from_millis(500);

/// Tool results and keys that may wait for an agent. Beyond this, it is not told of more keys, and calls no more
/// tools because it is not read.
const COMMANDS: usize = 32;

/// The bytes of an agent's speech that may wait for a carrier: half a minute. What an agent says is not dropped
/// unless it is interrupted, so beyond this nothing more is read from the agent.
const SPEECH: usize = 320 * 1024;

/// What waits for the agent.
#[derive(Default)]
pub(super) struct ToAgent {
    audio: VecDeque<Audio>,
    commands: VecDeque<AgentCommand>,
}

impl ToAgent {
    pub(super) fn hear(&mut self, audio: Audio) {
        if audio.duration().is_zero() {
            return;
        }
        self.audio.push_back(audio);
        let mut waiting: Duration = self.audio.iter().map(Audio::duration).sum();
        while waiting > STALE
            && self.audio.len() > 1
            && let Some(stale) = self.audio.pop_front()
        {
            waiting -= stale.duration();
            metrics::counter!("voice_saas_caller_audio_dropped_total").increment(1);
        }
    }

    pub(super) fn tell(&mut self, command: AgentCommand) {
        self.commands.push_back(command);
    }

    /// Whether too many commands wait; audio is bounded by itself.
    pub(super) fn is_full(&self) -> bool {
        self.commands.len() >= COMMANDS
    }

    pub(super) fn clear(&mut self) {
        self.commands.clear();
        self.audio.clear();
    }

    /// Writes as far as the agent takes it. Whether anything moved.
    pub(super) fn write(
        &mut self,
        session: &mut BoxAgentSession,
        cx: &mut Context<'_>,
    ) -> Result<bool, ProviderError> {
        // The agent waits for a tool's result and not for the next 20 milliseconds.
        let told = write(&mut self.commands, |command| command, session.as_mut(), cx)?;
        let heard = write(&mut self.audio, AgentCommand::Audio, session.as_mut(), cx)?;
        Ok(told || heard)
    }
}

/// What waits for the caller.
#[derive(Default)]
pub(super) struct ToCaller {
    /// Audio that came before the media stream had started: it cannot be addressed yet.
    early: VecDeque<Audio>,
    messages: VecDeque<Bytes>,
}

impl ToCaller {
    pub(super) fn keep(&mut self, early: Audio) {
        self.early.push_back(early);
    }

    pub(super) fn take_early(&mut self) -> VecDeque<Audio> {
        std::mem::take(&mut self.early)
    }

    pub(super) fn send(&mut self, message: Bytes) {
        self.messages.push_back(message);
    }

    /// Whether the agent must wait.
    pub(super) fn is_full(&self) -> bool {
        let early = self.early.iter().map(|audio| audio.base64().len());
        let waiting: usize = early.chain(self.messages.iter().map(Bytes::len)).sum();
        waiting >= SPEECH
    }

    /// Whether the carrier has all that it can be given.
    pub(super) fn is_written(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.early.clear();
        self.messages.clear();
    }

    /// Writes as far as the carrier takes it. Whether anything moved.
    pub(super) fn write<S>(&mut self, socket: &mut S, cx: &mut Context<'_>) -> Result<bool, BoxError>
    where
        S: Sink<Bytes, Error = BoxError> + Unpin,
    {
        write(&mut self.messages, |message| message, Pin::new(socket), cx)
    }
}

fn write<Q, T, S: Sink<T> + ?Sized>(
    queue: &mut VecDeque<Q>,
    message: impl Fn(Q) -> T,
    mut sink: Pin<&mut S>,
    cx: &mut Context<'_>,
) -> Result<bool, S::Error> {
    let before = queue.len();
    while !queue.is_empty() && sink.as_mut().poll_ready(cx)?.is_ready() {
        if let Some(item) = queue.pop_front() {
            sink.as_mut().start_send(message(item))?;
        }
    }
    // Also with nothing of ours to write: a socket answers pings by itself, and their answers wait in it.
    match sink.poll_flush(cx) {
        Poll::Ready(flushed) => flushed?,
        Poll::Pending => {}
    }
    Ok(queue.len() < before)
}
