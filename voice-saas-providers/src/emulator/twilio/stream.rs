//! The client side of a bidirectional Media Stream: what Twilio does after `<Connect><Stream>`.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tokio_util::sync::CancellationToken;

use super::phone::{Phone, Sent};
use super::player::Player;
use super::signature;
use super::twiml;
use crate::emulator::fault::{FaultKind, Operation};
use crate::emulator::id;
use crate::emulator::world::World;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const TICK: Duration = Duration::from_millis(20);
const HANDSHAKE: Duration = Duration::from_secs(10);
const SEND: Duration = Duration::from_secs(5);
const LARGEST_MESSAGE: usize = 2 * 1024 * 1024;
/// The report is brought up to date this often, in ticks.
const REPORT_EVERY: u64 = 50;

/// Why a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// The far side closed the socket: the TwiML goes on.
    ServerClosed,
    /// The caller put the receiver down.
    CallerHungUp,
    /// The call was ended or redirected over the API.
    Interrupted,
    /// An entry for the error log; the TwiML goes on.
    Failed(u32, String),
}

/// A message of the far side. Flat, because it is read for every frame.
#[derive(Debug, Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    media: Option<Payload<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
}

#[derive(Debug, Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// One stream of a call.
pub(super) struct MediaStream<'a> {
    pub(super) world: &'a World,
    pub(super) account: &'a str,
    pub(super) call_sid: &'a str,
    pub(super) stream_sid: String,
    pub(super) phone: &'a mut Phone,
    player: Player,
    sequence: u64,
    chunk: u64,
}

impl<'a> MediaStream<'a> {
    pub(super) fn new(world: &'a World, account: &'a str, call_sid: &'a str, phone: &'a mut Phone) -> Self {
        let stream_sid = id::sid("MZ");
        Self {
            world,
            account,
            call_sid,
            stream_sid,
            phone,
            player: Player::default(),
            sequence: 0,
            chunk: 0,
        }
    }

    /// Connects, and carries audio both ways in real time until one side ends it.
    pub(super) async fn run(mut self, stream: &twiml::Stream, stop: &CancellationToken) -> StreamEnd {
        const HERE: &[FaultKind] = &[
            FaultKind::Slow,
            FaultKind::Refused,
            FaultKind::BadSignature,
            FaultKind::DropSocket,
        ];
        let fault = self.world.faults.take(Operation::MediaStream, HERE);
        let delay = fault
            .and_then(|fault| fault.delay())
            .unwrap_or(Duration::from_secs(1));
        let fault = fault.map(|fault| fault.kind());
        if fault == Some(FaultKind::Slow) {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return StreamEnd::Interrupted,
            }
        }
        let connected = tokio::select! {
            connected = timeout(HANDSHAKE, self.connect(&stream.url, fault)) => connected,
            () = stop.cancelled() => return StreamEnd::Interrupted,
        };
        let socket = match connected {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return StreamEnd::Failed(31_920, error),
            Err(_) => return StreamEnd::Failed(31_920, "the handshake took too long".into()),
        };
        let drop_at = (fault == Some(FaultKind::DropSocket)).then(|| Instant::now() + delay);
        let (mut writer, reader) = socket.split();
        let carried = self.carry(stream, &mut writer, reader, stop, drop_at).await;
        let end = carried.unwrap_or_else(|end| end);
        if matches!(end, StreamEnd::CallerHungUp | StreamEnd::Interrupted) {
            self.say_goodbye(&mut writer).await;
        }
        self.phone.disconnected();
        end
    }

    async fn connect(&self, url: &str, fault: Option<FaultKind>) -> Result<Socket, String> {
        if fault == Some(FaultKind::Refused) {
            return Err("the connection was refused".into());
        }
        // Twilio drops the query of a stream's URL.
        let url = url.split(['?', '#']).next().unwrap_or_default();
        if !url.starts_with("wss://") && !url.starts_with("ws://") {
            return Err(format!("{url} is not a websocket URL"));
        }
        let mut request = url.into_client_request().map_err(|error| error.to_string())?;
        let token = self
            .world
            .twilio
            .signing_token(self.account, fault == Some(FaultKind::BadSignature));
        let signature = signature::sign(&token, url, &[]);
        let value = HeaderValue::try_from(signature).map_err(|error| error.to_string())?;
        request.headers_mut().insert("x-twilio-signature", value);
        let config = WebSocketConfig::default()
            .max_message_size(Some(LARGEST_MESSAGE))
            .max_frame_size(Some(LARGEST_MESSAGE));
        let no_delay = true;
        match connect_async_tls_with_config(request, Some(config), no_delay, None).await {
            Ok((socket, _)) => Ok(socket),
            Err(SocketError::Http(response)) => Err(format!("the server answered {}", response.status())),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn carry(
        &mut self,
        stream: &twiml::Stream,
        writer: &mut SplitSink<Socket, Message>,
        mut reader: SplitStream<Socket>,
        stop: &CancellationToken,
        drop_at: Option<Instant>,
    ) -> Result<StreamEnd, StreamEnd> {
        send(
            writer,
            &json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
        )
        .await?;
        let parameters: serde_json::Map<_, _> = stream
            .parameters
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let start = json!({"start": {
            "accountSid": self.account, "streamSid": self.stream_sid, "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }});
        self.event(writer, "start", start).await?;
        let mut ticks = interval(TICK);
        // After a stall the line catches up, as a network that delivers late packets in a burst does.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                // What has arrived is read first, so that a close is seen before the next write fails on it.
                biased;
                () = stop.cancelled() => return Ok(StreamEnd::Interrupted),
                () = sleep_until(drop_at.unwrap_or_else(Instant::now)), if drop_at.is_some() => {
                    return Err(StreamEnd::Failed(31_924, "the connection was lost".into()));
                }
                message = reader.next() => {
                    if let Some(end) = self.receive(writer, message).await? {
                        return Ok(end);
                    }
                }
                _ = ticks.tick() => {
                    if self.tick(writer).await? {
                        return Ok(StreamEnd::CallerHungUp);
                    }
                }
            }
        }
    }

    /// Plays and sends 20 ms; true when the caller hangs up.
    async fn tick(&mut self, writer: &mut SplitSink<Socket, Message>) -> Result<bool, StreamEnd> {
        let mut played = self.player.tick();
        let marks = std::mem::take(&mut played.marks);
        let (frame, key) = match self.phone.tick(&played) {
            Sent::HangUp => return Ok(true),
            Sent::Frame(frame) => (frame, None),
            Sent::Key(key, frame) => (frame, Some(key)),
        };
        for name in marks {
            self.event(writer, "mark", json!({"mark": {"name": name}}))
                .await?;
        }
        if let Some(key) = key {
            let digit = key.to_string();
            self.event(
                writer,
                "dtmf",
                json!({"dtmf": {"track": "inbound_track", "digit": digit}}),
            )
            .await?;
        }
        self.chunk += 1;
        let timestamp = ((self.chunk - 1) * 20).to_string();
        let media = json!({"media": {
            "track": "inbound", "chunk": self.chunk.to_string(), "timestamp": timestamp,
            "payload": STANDARD.encode(frame),
        }});
        self.event(writer, "media", media).await?;
        if self.chunk.is_multiple_of(REPORT_EVERY) {
            let phone = &*self.phone;
            self.world
                .twilio
                .with_report(self.call_sid, |report| phone.report(report));
        }
        Ok(false)
    }

    async fn receive(
        &mut self,
        writer: &mut SplitSink<Socket, Message>,
        message: Option<Result<Message, SocketError>>,
    ) -> Result<Option<StreamEnd>, StreamEnd> {
        let text = match message {
            None | Some(Ok(Message::Close(_)) | Err(SocketError::ConnectionClosed)) => {
                return Ok(Some(StreamEnd::ServerClosed));
            }
            Some(Err(error)) => return Err(StreamEnd::Failed(31_924, error.to_string())),
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => return Err(invalid("a binary message")),
            Some(Ok(_)) => return Ok(None),
        };
        let incoming: Incoming<'_> =
            serde_json::from_str(&text).map_err(|error| invalid(&error.to_string()))?;
        let ours = incoming.stream_sid.as_deref() == Some(self.stream_sid.as_str());
        match &*incoming.event {
            "media" | "mark" | "clear" if !ours => return Err(invalid("the streamSid is not this stream's")),
            "media" => {
                let payload = incoming
                    .media
                    .ok_or_else(|| invalid("media without media"))?
                    .payload;
                let audio = STANDARD
                    .decode(payload.as_bytes())
                    .map_err(|error| invalid(&error.to_string()))?;
                self.phone.arrived(&audio);
                self.player.audio(audio);
            }
            "mark" => {
                let name = incoming
                    .mark
                    .ok_or_else(|| invalid("mark without mark"))?
                    .name
                    .into_owned();
                if let Some(name) = self.player.mark(name) {
                    self.event(writer, "mark", json!({"mark": {"name": name}}))
                        .await?;
                }
            }
            "clear" => {
                for name in self.phone.cleared(&mut self.player) {
                    self.event(writer, "mark", json!({"mark": {"name": name}}))
                        .await?;
                }
            }
            other => return Err(invalid(&format!("the event {other}"))),
        }
        Ok(None)
    }

    async fn say_goodbye(&mut self, writer: &mut SplitSink<Socket, Message>) {
        let stop = json!({"stop": {"accountSid": self.account, "callSid": self.call_sid}});
        // The far side may be gone already, which is no news at the end of a call.
        if self.event(writer, "stop", stop).await.is_ok() {
            let _ = timeout(SEND, writer.close()).await;
        }
    }

    async fn event(
        &mut self,
        writer: &mut SplitSink<Socket, Message>,
        name: &str,
        mut body: Value,
    ) -> Result<(), StreamEnd> {
        self.sequence += 1;
        body["event"] = json!(name);
        body["sequenceNumber"] = json!(self.sequence.to_string());
        body["streamSid"] = json!(self.stream_sid);
        send(writer, &body).await
    }
}

async fn send(writer: &mut SplitSink<Socket, Message>, body: &Value) -> Result<(), StreamEnd> {
    match timeout(SEND, writer.send(Message::text(body.to_string()))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(SocketError::ConnectionClosed | SocketError::AlreadyClosed)) => Err(StreamEnd::ServerClosed),
        Ok(Err(error)) => Err(StreamEnd::Failed(31_924, error.to_string())),
        Err(_) => Err(StreamEnd::Failed(31_924, "the server stopped reading".into())),
    }
}

fn invalid(what: &str) -> StreamEnd {
    StreamEnd::Failed(31_951, format!("invalid message: {what}"))
}
