//! What waits for a side that does not take it at once.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_sink::Sink;
use tokio::time::Instant;

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

/// The bytes of an agent's speech that may wait for a carrier: a minute and a half, longer than any turn. What an
/// agent says is not dropped unless it is interrupted, so beyond this nothing more is read from the agent, not even
/// that it was interrupted.
const SPEECH: usize = 1024 * 1024;

/// How far the carrier is ahead of what it plays. An agent speaks faster than that, and what the kernel and the
/// network hold of it cannot be taken back: a `clear` comes behind it. So the rest waits here, where an interruption
/// drops it. The bridge looks once a second, so the caller would only notice one that stood still for nine.
const AHEAD: Duration = Duration::from_secs(10);

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

    /// Puts what waits into another form.
    pub(super) fn convert(&mut self, convert: impl FnMut(Audio) -> Option<Audio>) {
        self.audio = std::mem::take(&mut self.audio)
            .into_iter()
            .filter_map(convert)
            .collect();
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
        let told = write(&mut self.commands, VecDeque::pop_front, session.as_mut(), cx)?;
        let next = |audio: &mut VecDeque<Audio>| audio.pop_front().map(AgentCommand::Audio);
        let heard = write(&mut self.audio, next, session.as_mut(), cx)?;
        Ok(told || heard)
    }
}

/// A message for the carrier.
struct Message {
    text: Bytes,
    plays: Duration,
}

/// What waits for the caller.
#[derive(Default)]
pub(super) struct ToCaller {
    /// Audio that came before the media stream had started: it cannot be addressed yet.
    early: VecDeque<Audio>,
    messages: VecDeque<Message>,
    /// The bytes of both.
    bytes: usize,
    /// How long both play.
    plays: Duration,
    /// When the carrier will have played what it was given.
    played: Option<Instant>,
}

impl ToCaller {
    pub(super) fn keep(&mut self, early: Audio) {
        self.bytes += early.base64().len();
        self.plays += early.duration();
        self.early.push_back(early);
    }

    pub(super) fn take_early(&mut self) -> VecDeque<Audio> {
        for early in &self.early {
            self.bytes -= early.base64().len();
            self.plays -= early.duration();
        }
        std::mem::take(&mut self.early)
    }

    /// A message, and how long it plays.
    pub(super) fn send(&mut self, text: Bytes, plays: Duration) {
        self.bytes += text.len();
        self.plays += plays;
        self.messages.push_back(Message { text, plays });
    }

    /// Whether the agent must wait.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= SPEECH
    }

    /// Whether the carrier has all that it can be given now.
    pub(super) fn is_written(&self, now: Instant) -> bool {
        self.messages
            .front()
            .is_none_or(|next| is_too_early(next, self.played, now))
    }

    /// When all will have been played, if nothing holds it up any longer; `None` when there was nothing to play.
    pub(super) fn played(&self, now: Instant) -> Option<Instant> {
        if self.messages.is_empty() && self.early.is_empty() {
            return self.played;
        }
        Some(self.played.map_or(now, |played| played.max(now)) + self.plays)
    }

    /// Drops what waits; what the carrier has, it is told to drop.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes as far as the carrier takes it, and no further ahead than it should be. Whether anything moved.
    pub(super) fn write<S>(
        &mut self,
        socket: &mut S,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<bool, BoxError>
    where
        S: Sink<Bytes, Error = BoxError> + Unpin,
    {
        let Self {
            messages,
            bytes,
            plays,
            played,
            ..
        } = self;
        let next = |messages: &mut VecDeque<Message>| {
            let message = messages.pop_front_if(|next| !is_too_early(next, *played, now))?;
            *bytes -= message.text.len();
            if !message.plays.is_zero() {
                *plays -= message.plays;
                *played = Some(played.map_or(now, |played| played.max(now)) + message.plays);
            }
            Some(message.text)
        };
        write(messages, next, Pin::new(socket), cx)
    }
}

fn is_too_early(message: &Message, played: Option<Instant>, now: Instant) -> bool {
    !message.plays.is_zero() && played.is_some_and(|played| played > now + AHEAD)
}

fn write<Q, T, S: Sink<T> + ?Sized>(
    queue: &mut VecDeque<Q>,
    mut next: impl FnMut(&mut VecDeque<Q>) -> Option<T>,
    mut sink: Pin<&mut S>,
    cx: &mut Context<'_>,
) -> Result<bool, S::Error> {
    let before = queue.len();
    while !queue.is_empty() && sink.as_mut().poll_ready(cx)?.is_ready() {
        let Some(item) = next(queue) else { break };
        sink.as_mut().start_send(item)?;
    }
    // Also with nothing of ours to write: a socket answers pings by itself, and their answers wait in it.
    match sink.poll_flush(cx) {
        Poll::Ready(flushed) => flushed?,
        Poll::Pending => {}
    }
    Ok(queue.len() < before)
}
