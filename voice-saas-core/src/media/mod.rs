//! The audio of a call: what flows between the call's media socket and the agent's socket.

mod audio;
mod bridge;
#[cfg(test)]
pub(crate) mod line;
mod transcode;

use bytes::{Bytes, BytesMut};

use crate::provider::telephony::ProviderCallId;

pub use audio::{Audio, AudioFormat};
pub use bridge::MediaSocket;
pub(crate) use bridge::{Bridge, BridgeEnd, BridgeLimits, BridgeOrders, BridgeOutlets, ToolRequest};
pub(crate) use transcode::Transcoder;

/// Why a media message cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The message is not what the provider's documentation says.
    #[error("malformed media message: {0}")]
    Malformed(&'static str),
    /// The stream has not started, so there is nowhere to send to.
    #[error("the media stream has not started")]
    NotStarted,
    /// The socket failed.
    #[error("the media socket failed")]
    Socket(#[source] crate::provider::BoxError),
}

/// What a call's media socket says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaEvent {
    /// The stream begins.
    Started {
        /// The carrier's id of the call whose audio this is.
        call: ProviderCallId,
    },
    /// The caller's audio.
    Audio(Audio),
    /// The caller pressed a key.
    Dtmf(char),
    /// All audio before this mark was played or cleared.
    Mark(String),
    /// The stream is over.
    Stopped,
    /// Something that this library has no use for.
    Ignored,
}

/// What a call's media socket is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaCommand<'a> {
    /// Play this after what is queued.
    Audio(&'a Audio),
    /// Drop what is queued: the caller speaks.
    Clear,
    /// Say when everything queued so far was played.
    Mark(&'a str),
}

/// A carrier's media socket protocol. Stateless; each socket gets a [`MediaStreamCodec`] of its own.
pub trait MediaCodec: std::fmt::Debug + Send + Sync + 'static {
    /// The codec of one new socket.
    fn open(&self) -> Box<dyn MediaStreamCodec>;
}

/// Translates one media socket's text messages.
pub trait MediaStreamCodec: std::fmt::Debug + Send + 'static {
    /// Reads one message. Audio is a slice of `message`, not a copy.
    ///
    /// # Errors
    /// `Malformed`.
    fn decode(&mut self, message: &Bytes) -> Result<MediaEvent, MediaError>;

    /// Appends the message for `command` to `out`.
    ///
    /// # Errors
    /// `NotStarted` before [`MediaEvent::Started`].
    fn encode(&mut self, command: MediaCommand<'_>, out: &mut BytesMut) -> Result<(), MediaError>;
}
