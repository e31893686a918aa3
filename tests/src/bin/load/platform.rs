//! The far end of a call: an agents' platform whose agents say what they hear, at once.

use std::{
    fmt::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::{
    Failure,
    frame::quoted,
    websocket::{self, Inbox, Message, Side, Wanted, put_text},
};

/// How often an agent asks whether somebody is there.
const PING: Duration = Duration::from_secs(5);

const SIGNED_URL: &str = "/v1/convai/conversation/get-signed-url";
const CONVERSATION: &str = "/v1/convai/conversation?";

/// The far end, while it is there.
#[derive(Debug)]
pub(crate) struct Platform {
    address: SocketAddr,
    /// How often an agent also tells what was said; `None` = never.
    turn: Option<Duration>,
    pub(crate) conversations: AtomicU64,
    pub(crate) pings: AtomicU64,
    pub(crate) pongs: AtomicU64,
}

impl Platform {
    /// Listens from now on.
    pub(crate) async fn start(address: SocketAddr, turn: Option<Duration>) -> Result<Arc<Self>, Failure> {
        let listener = TcpListener::bind(address).await?;
        let this = Arc::new(Self {
            address: listener.local_addr()?,
            turn,
            conversations: AtomicU64::default(),
            pings: AtomicU64::default(),
            pongs: AtomicU64::default(),
        });
        let platform = Arc::clone(&this);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let platform = Arc::clone(&platform);
                tokio::spawn(async move {
                    if let Err(failure) = platform.serve(stream).await {
                        eprintln!("the platform lost a connection: {failure}");
                    }
                });
            }
        });
        Ok(this)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    async fn serve(&self, mut stream: TcpStream) -> Result<(), Failure> {
        stream.set_nodelay(true)?;
        let mut inbox = Inbox::new();
        while let Some(wanted) = websocket::wanted(&mut inbox, &mut stream).await? {
            match wanted {
                Wanted::Plain { path } if path.starts_with(SIGNED_URL) => {
                    let url = format!("ws://{}{CONVERSATION}agent_id=agent_load&token=t", self.address);
                    let body = format!(r#"{{"signed_url":"{url}"}}"#);
                    stream.write_all(plain("200 OK", &body).as_bytes()).await?;
                }
                Wanted::Plain { .. } => stream.write_all(plain("404 Not Found", "{}").as_bytes()).await?,
                Wanted::Socket { path, accept } => {
                    websocket::accept(&mut stream, &accept).await?;
                    return if path.starts_with(CONVERSATION) {
                        self.converse(stream, inbox).await
                    } else {
                        echo(stream, inbox).await
                    };
                }
            }
        }
        Ok(())
    }

    /// Speaks as an agent over the bridge's socket.
    async fn converse(&self, mut stream: TcpStream, mut inbox: Inbox) -> Result<(), Failure> {
        let conversation = self.conversations.fetch_add(1, Ordering::Relaxed);
        let mut agent = Agent::default();
        let mut next_ping = Instant::now() + PING;
        let mut next_turn = self.turn.map(|turn| Instant::now() + turn);
        while inbox.fill(&mut stream).await? > 0 {
            while let Some(message) = inbox.next()? {
                match message {
                    Message::Text(text) => match quoted(text, br#""user_audio_chunk":""#) {
                        Some(audio) => agent.say_audio(std::str::from_utf8(audio)?)?,
                        None if text.starts_with(br#"{"type":"pong""#) => {
                            self.pongs.fetch_add(1, Ordering::Relaxed);
                        }
                        None if text.starts_with(br#"{"type":"conversation_initiation_client_data""#) => {
                            agent.greet(conversation)?;
                        }
                        None => {}
                    },
                    Message::Close => {
                        agent.out.extend_from_slice(&[0x88, 0]);
                        stream.write_all(&agent.out).await?;
                        return Ok(());
                    }
                    Message::Control => {}
                }
            }
            // Frames come fifty times a second: no timer is needed to be nearly on time.
            let now = Instant::now();
            if now >= next_ping {
                next_ping = now + PING;
                self.pings.fetch_add(1, Ordering::Relaxed);
                agent.ping()?;
            }
            if let (Some(turn), Some(due)) = (self.turn, next_turn)
                && now >= due
            {
                next_turn = Some(now + turn);
                agent.tell();
            }
            stream.write_all(&agent.out).await?;
            agent.out.clear();
        }
        Ok(())
    }
}

/// What an agent has to say.
#[derive(Debug, Default)]
struct Agent {
    event: u32,
    text: String,
    out: Vec<u8>,
}

impl Agent {
    fn put(&mut self) {
        put_text(&mut self.out, self.text.as_bytes(), Side::Server);
        self.text.clear();
        self.event += 1;
    }

    fn say_audio(&mut self, audio: &str) -> Result<(), Failure> {
        let event = self.event;
        write!(
            self.text,
            r#"{{"audio_event":{{"audio_base_64":"{audio}","event_id":{event}}},"type":"audio"}}"#
        )?;
        self.put();
        Ok(())
    }

    fn greet(&mut self, conversation: u64) -> Result<(), Failure> {
        write!(
            self.text,
            r#"{{"conversation_initiation_metadata_event":{{"conversation_id":"conv_{conversation}","agent_output_audio_format":"ulaw_8000","user_input_audio_format":"ulaw_8000"}},"type":"conversation_initiation_metadata"}}"#
        )?;
        self.put();
        Ok(())
    }

    fn ping(&mut self) -> Result<(), Failure> {
        let event = self.event;
        write!(
            self.text,
            r#"{{"ping_event":{{"event_id":{event},"ping_ms":null}},"type":"ping"}}"#
        )?;
        self.put();
        Ok(())
    }

    /// A turn of the conversation, with what either side said.
    fn tell(&mut self) {
        self.text.push_str(
            r#"{"user_transcription_event":{"user_transcript":"Can I have a table for two at eight, please?"},"type":"user_transcript"}"#,
        );
        self.put();
        self.text.push_str(
            r#"{"agent_response_event":{"agent_response":"Of course. A table for two at eight. May I have your name?"},"type":"agent_response"}"#,
        );
        self.put();
    }
}

fn plain(status: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}")
}

/// Answers a caller's media socket itself, as a bridge to such an agent would.
async fn echo(mut stream: TcpStream, mut inbox: Inbox) -> Result<(), Failure> {
    let (mut text, mut out) = (String::new(), Vec::new());
    while inbox.fill(&mut stream).await? > 0 {
        while let Some(message) = inbox.next()? {
            let Message::Text(message) = message else {
                continue;
            };
            if let Some(audio) = quoted(message, br#""payload":""#) {
                let audio = std::str::from_utf8(audio)?;
                let stream = quoted(message, br#""streamSid":""#).ok_or("media without a stream")?;
                let stream = std::str::from_utf8(stream)?;
                write!(
                    text,
                    r#"{{"event":"media","streamSid":"{stream}","media":{{"payload":"{audio}"}}}}"#
                )?;
                put_text(&mut out, text.as_bytes(), Side::Server);
                text.clear();
            } else if message.starts_with(br#"{"event":"stop""#) {
                out.extend_from_slice(&[0x88, 0]);
                stream.write_all(&out).await?;
                return Ok(());
            }
        }
        stream.write_all(&out).await?;
        out.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Heard, Stamp, hear, put_media};

    /// The next text that arrives.
    async fn text(inbox: &mut Inbox, stream: &mut TcpStream) -> String {
        loop {
            if let Some(message) = inbox.next().unwrap() {
                let Message::Text(text) = message else {
                    panic!("{message:?}");
                };
                return String::from_utf8(text.to_vec()).unwrap();
            }
            assert!(inbox.fill(stream).await.unwrap() > 0);
        }
    }

    async fn say(stream: &mut TcpStream, text: &str) {
        let mut out = Vec::new();
        put_text(&mut out, text.as_bytes(), Side::Client);
        stream.write_all(&out).await.unwrap();
    }

    #[tokio::test]
    async fn an_agent_greets_and_then_says_what_it_hears() {
        let platform = Platform::start("127.0.0.1:0".parse().unwrap(), None)
            .await
            .unwrap();
        let mut stream = TcpStream::connect(platform.address()).await.unwrap();
        let path = format!("{CONVERSATION}agent_id=a");
        let mut inbox = websocket::connect(&mut stream, &path).await.unwrap();
        say(&mut stream, r#"{"type":"conversation_initiation_client_data"}"#).await;
        let greeting = text(&mut inbox, &mut stream).await;
        let greeting: serde_json::Value = serde_json::from_str(&greeting).unwrap();
        assert_eq!(greeting["type"], "conversation_initiation_metadata");
        say(&mut stream, r#"{"user_audio_chunk":"abcd"}"#).await;
        let audio = text(&mut inbox, &mut stream).await;
        let audio: serde_json::Value = serde_json::from_str(&audio).unwrap();
        assert_eq!(
            (&audio["type"], &audio["audio_event"]["audio_base_64"]),
            (&"audio".into(), &"abcd".into())
        );
    }

    #[tokio::test]
    async fn a_caller_without_a_bridge_hears_its_own_frames() {
        let platform = Platform::start("127.0.0.1:0".parse().unwrap(), None)
            .await
            .unwrap();
        let mut stream = TcpStream::connect(platform.address()).await.unwrap();
        let mut inbox = websocket::connect(&mut stream, "/media").await.unwrap();
        let stamp = Stamp {
            call: 1,
            sequence: 2,
            sent: Duration::from_secs(3),
        };
        let mut message = String::new();
        put_media(&mut message, "MZ1", stamp);
        say(&mut stream, &message).await;
        assert_eq!(
            hear(text(&mut inbox, &mut stream).await.as_bytes()),
            Heard::Frame(stamp)
        );
    }
}
