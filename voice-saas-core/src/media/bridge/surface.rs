//! Where a bridge touches the rest of the library.

use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use tokio::sync::mpsc;

use crate::{
    call::{CallEventKind, OpenFailure},
    provider::{
        BoxError, ProviderError,
        voice_agent::{AgentCommand, ToolCall},
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

/// How a bridge ended.
#[derive(Debug)]
pub(crate) enum BridgeEnd {
    /// The carrier said that the stream is over.
    CallerHungUp,
    /// The agent's socket could not be opened.
    AgentUnavailable(OpenFailure),
    /// The agent closed the conversation, and its last words were played.
    AgentEnded,
    /// The agent's socket failed.
    AgentFailed(Option<ProviderError>),
    /// The media socket closed or failed without a word, or takes nothing any more.
    MediaLost,
    /// The call is as long as calls may be.
    MaxDuration,
    /// The media socket went silent.
    Silence,
    /// Somebody ended it from outside, at once or with a farewell.
    Ended,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BridgeLimits {
    pub(crate) max_call: Duration,
    pub(crate) media_silence: Duration,
    pub(crate) agent_silence: Duration,
    /// How long a farewell may take, however much there is to be played.
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
