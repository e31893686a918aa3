//! A live conversation over the agents socket.

mod wire;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;
use futures_util::SinkExt;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{
        self, Utf8Bytes,
        protocol::{CloseFrame, Message, WebSocketConfig, frame::coding::CloseCode},
    },
};
use url::Url;
use voice_saas_core::{
    media::{Audio, AudioFormat},
    provider::{
        ErrorKind, ProviderError,
        voice_agent::{AgentCommand, AgentEvent},
    },
};

use self::wire::{Incoming, Outgoing};
use super::{NAME, error};

const OPEN: &str = "open the conversation's socket";
const CARRY: &str = "carry the conversation";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens agents sockets.
///
/// Holds what all of them share, above all the TLS configuration: with one of its own, every call would carry
/// another copy of the root certificates and of the session cache, some 80 KiB.
#[derive(Clone)]
pub struct SessionConnector {
    tls: Connector,
    timeout: Duration,
}

impl SessionConnector {
    /// Trusts Mozilla's roots and gives a server five seconds to let a conversation begin.
    pub fn new() -> Self {
        Self {
            tls: Connector::Rustls(Arc::new(tls())),
            timeout: Duration::from_secs(5),
        }
    }

    /// Gives a server this long to let a conversation begin.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects to `url` (`ws` or `wss`) and sends `initiation` as the first message.
    ///
    /// # Errors
    /// `Unreachable` when there is no connection, `TimedOut`, `Invalid` for a URL that is none, what the HTTP status
    /// says when the upgrade is refused, `Interrupted` when the connection breaks.
    pub async fn connect(
        &self,
        url: &Url,
        initiation: &impl Serialize,
    ) -> Result<AgentSocket, ProviderError> {
        let initiation = serde_json::to_string(initiation)
            .map_err(|cause| ProviderError::new(NAME, OPEN, ErrorKind::Invalid).with_source(cause))?;
        let opening = async {
            let (mut socket, _) =
                connect_async_tls_with_config(url.as_str(), Some(limits()), true, Some(self.tls.clone()))
                    .await
                    .map_err(refused)?;
            socket
                .send(Message::text(initiation))
                .await
                .map_err(|cause| broken(OPEN, cause))?;
            Ok(AgentSocket::new(socket))
        };
        tokio::time::timeout(self.timeout, opening)
            .await
            .unwrap_or_else(|_| Err(ProviderError::new(NAME, OPEN, ErrorKind::TimedOut)))
    }
}

impl Default for SessionConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SessionConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConnector")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Names its cryptography, because rustls panics when it has to choose and an application brought two kinds.
fn tls() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A caller's frame is under 300 bytes and most of the agent's are under 4 KiB. The read buffer is held for the
/// whole call; the library's default would be 128 KiB. Every frame is written at once: 20 ms are already a
/// long time in a conversation.
fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(16 << 20))
        .max_frame_size(Some(16 << 20))
}

/// A live conversation.
///
/// Answers the platform's pings itself and drops the audio that an interruption made stale. Frames sent before
/// [`AgentEvent::Ready`] are passed on at once; the platform may drop them, so the media bridge waits for it.
///
/// After an error the stream ends.
pub struct AgentSocket {
    socket: Socket,
    /// Where messages are put together; its memory is used again for every frame.
    scratch: BytesMut,
    /// `None` until the metadata came.
    output: Option<AudioFormat>,
    interrupted_at: Option<i64>,
    /// What an `error` event said: the close that follows it may say less.
    complaint: Option<(Option<u16>, String)>,
    closing: bool,
    ended: bool,
}

impl AgentSocket {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            scratch: BytesMut::new(),
            output: None,
            interrupted_at: None,
            complaint: None,
            closing: false,
            ended: false,
        }
    }

    fn hear(&mut self, text: &Bytes) -> Result<AgentEvent, ProviderError> {
        let incoming =
            wire::read(text).map_err(|cause| unexpected("a message that cannot be read", cause))?;
        Ok(match incoming {
            Incoming::Audio { base64, event } => self.audio(base64, event),
            Incoming::Ping { event } => {
                // Not flushed: the message goes out at once unless the socket is blocked, and then it follows what
                // blocks it. A flush from here could take the wake-up of a task that only sends. If it cannot be
                // sent, the next read says why, and better.
                let _ = self.say(&Outgoing::Pong { event_id: event });
                AgentEvent::Idle
            }
            Incoming::Interruption { event } => {
                self.interrupted_at = self.interrupted_at.max(event);
                AgentEvent::Interrupted
            }
            Incoming::Metadata {
                conversation,
                input: Some(input),
                output: Some(output),
            } => {
                self.output = Some(output);
                AgentEvent::Ready {
                    conversation,
                    input,
                    output,
                }
            }
            Incoming::Metadata { .. } => {
                return Err(ProviderError::new(NAME, CARRY, ErrorKind::UnexpectedAnswer)
                    .with_detail("an audio format that is not known"));
            }
            Incoming::Said { speaker, text } => AgentEvent::Said { speaker, text },
            Incoming::Corrected { text } => AgentEvent::Corrected { text },
            Incoming::ToolCall(call) => AgentEvent::ToolCall(call),
            Incoming::Error { code, message } => {
                self.complaint = Some((code, error::shortened(message)));
                AgentEvent::Idle
            }
            Incoming::Unknown => AgentEvent::Idle,
        })
    }

    /// An event may be numbered like the interruption that cut it short; it is stale too. (The Python SDK drops it,
    /// the JavaScript SDK plays it.)
    fn audio(&self, base64: Bytes, event: Option<i64>) -> AgentEvent {
        let stale = event.is_some() && event <= self.interrupted_at;
        match self.output {
            Some(format) if !stale && !base64.is_empty() => {
                AgentEvent::Audio(Audio::from_base64(base64, format))
            }
            _ => AgentEvent::Idle,
        }
    }

    fn say(&mut self, message: &Outgoing<'_>) -> Result<(), ProviderError> {
        serde_json::to_writer((&mut self.scratch).writer(), message)
            .expect("text and numbers are written to memory");
        self.send_scratch()
    }

    fn send_scratch(&mut self) -> Result<(), ProviderError> {
        let text = Utf8Bytes::try_from(self.scratch.split().freeze()).expect("JSON is UTF-8");
        self.socket
            .start_send_unpin(Message::Text(text))
            .map_err(|cause| broken(CARRY, cause))
    }

    /// The conversation is over: how?
    fn over(&mut self, close: Option<&CloseFrame>) -> Option<Result<AgentEvent, ProviderError>> {
        self.ended = true;
        let (told, complaint) = self.complaint.take().unwrap_or_default();
        let code = close.map(|frame| u16::from(frame.code)).or(told);
        if self.closing || code == Some(CloseCode::Normal.into()) {
            return None;
        }
        let reason = close.map_or("", |frame| frame.reason.as_str());
        let code_text = code.map_or("without a code".to_owned(), |code| code.to_string());
        let detail = format!("closed {code_text}: {reason} {complaint}");
        let kind = match code {
            // A variable is missing, an override is not allowed, a message is wrong: no repeat helps.
            Some(1008) => ErrorKind::Invalid,
            Some(1002 | 1011) => ErrorKind::ServerError,
            _ => ErrorKind::Interrupted,
        };
        let error =
            ProviderError::new(NAME, CARRY, kind).with_detail(error::shortened(detail.trim().to_owned()));
        Some(Err(error))
    }
}

impl Stream for AgentSocket {
    type Item = Result<AgentEvent, ProviderError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let item = match ready!(Pin::new(&mut this.socket).poll_next(cx)) {
            Some(Ok(Message::Text(text))) => {
                let event = this.hear(&text.into());
                this.ended = event.is_err();
                Some(event)
            }
            Some(Ok(Message::Close(frame))) => {
                // The answer to the close is queued by the socket library and goes out if it can at once.
                let _ = Pin::new(&mut this.socket).poll_flush(cx);
                this.over(frame.as_ref())
            }
            Some(Ok(_)) => Some(Ok(AgentEvent::Idle)),
            Some(Err(tungstenite::Error::Capacity(cause))) => {
                this.ended = true;
                Some(Err(unexpected("a message that is too long", cause)))
            }
            Some(Err(cause)) => this
                .over(None)
                .map(|event| event.map_err(|error| error.with_source(cause))),
            None => this.over(None),
        };
        Poll::Ready(item)
    }
}

impl Sink<AgentCommand> for AgentSocket {
    type Error = ProviderError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ProviderError>> {
        Pin::new(&mut self.get_mut().socket)
            .poll_ready(cx)
            .map_err(|cause| broken(CARRY, cause))
    }

    fn start_send(self: Pin<&mut Self>, command: AgentCommand) -> Result<(), ProviderError> {
        let this = self.get_mut();
        match command {
            AgentCommand::Audio(audio) => {
                if !wire::write_audio(audio.base64(), &mut this.scratch) {
                    return Err(ProviderError::new(NAME, CARRY, ErrorKind::Invalid)
                        .with_detail("the caller's audio is not base64"));
                }
                this.send_scratch()
            }
            AgentCommand::ToolResult { id, result, is_error } => this.say(&Outgoing::ClientToolResult {
                tool_call_id: &id,
                result: &result,
                is_error,
            }),
            AgentCommand::Context(text) => this.say(&Outgoing::ContextualUpdate { text: &text }),
            _ => Err(ProviderError::new(NAME, CARRY, ErrorKind::Unsupported)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ProviderError>> {
        Pin::new(&mut self.get_mut().socket)
            .poll_flush(cx)
            .map_err(|cause| broken(CARRY, cause))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ProviderError>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        if !this.closing {
            this.closing = true;
            let normal = CloseFrame {
                code: CloseCode::Normal,
                reason: Utf8Bytes::default(),
            };
            this.socket
                .start_send_unpin(Message::Close(Some(normal)))
                .map_err(|cause| broken(CARRY, cause))?;
        }
        Pin::new(&mut this.socket)
            .poll_close(cx)
            .map_err(|cause| broken(CARRY, cause))
    }
}

/// The buffers hold what was said on the phone.
impl fmt::Debug for AgentSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentSocket")
            .field("output", &self.output)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// No conversation begins before the socket is open, so a failure to open it left nothing behind.
fn refused(cause: tungstenite::Error) -> ProviderError {
    let kind = match cause {
        tungstenite::Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let failure = error::classify(response.status(), response.headers(), body);
            let detail = failure.detail.unwrap_or_else(|| response.status().to_string());
            return ProviderError::new(NAME, OPEN, failure.kind).with_detail(detail);
        }
        tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_) => ErrorKind::Invalid,
        tungstenite::Error::Io(_) | tungstenite::Error::Tls(_) => ErrorKind::Unreachable,
        _ => ErrorKind::UnexpectedAnswer,
    };
    ProviderError::new(NAME, OPEN, kind).with_source(cause)
}

fn broken(operation: &'static str, cause: tungstenite::Error) -> ProviderError {
    ProviderError::new(NAME, operation, ErrorKind::Interrupted).with_source(cause)
}

fn unexpected(detail: &str, cause: impl std::error::Error + Send + Sync + 'static) -> ProviderError {
    ProviderError::new(NAME, CARRY, ErrorKind::UnexpectedAnswer)
        .with_detail(detail)
        .with_source(cause)
}

#[cfg(test)]
mod tests;
