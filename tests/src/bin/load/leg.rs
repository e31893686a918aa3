//! A call's media socket as the carrier holds it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    Failure,
    frame::{Heard, Tally, hear},
    pacer::{Clock, Voice},
    stats::Times,
    websocket::{self, Inbox, Message, Side, put_text},
    world::ACCOUNT_SID,
};

/// The side of a media socket that listens.
#[derive(Debug)]
pub(crate) struct Leg {
    call: u32,
    stream: TcpStream,
    inbox: Inbox,
}

/// What a caller heard until the socket closed.
#[derive(Debug, Default)]
pub(crate) struct Listened {
    pub(crate) call: u32,
    pub(crate) tally: Tally,
    /// From the moment a frame was sent until it was heard.
    pub(crate) round_trips: Times,
}

impl Leg {
    /// Opens the socket and says whose it is.
    pub(crate) async fn open(
        call: u32,
        server: SocketAddr,
        path: &str,
        call_sid: &str,
    ) -> Result<(Self, Voice), Failure> {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let inbox = websocket::connect(&mut stream, path).await?;
        let stream_sid = format!("MZ{call:032x}");
        let mut out = Vec::new();
        put_text(
            &mut out,
            br#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#,
            Side::Client,
        );
        let start = format!(
            r#"{{"event":"start","sequenceNumber":"1","streamSid":"{stream_sid}","start":{{"accountSid":"{ACCOUNT_SID}","streamSid":"{stream_sid}","callSid":"{call_sid}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{}}}}}}"#
        );
        put_text(&mut out, start.as_bytes(), Side::Client);
        stream.write_all(&out).await?;

        let stream = stream.into_std()?;
        let voice = Voice {
            call,
            socket: stream.try_clone()?,
            stream: stream_sid,
        };
        let stream = TcpStream::from_std(stream)?;
        Ok((Self { call, stream, inbox }, voice))
    }

    /// Listens until the socket closes, or for this long at most.
    pub(crate) async fn listen(mut self, clock: Arc<Clock>, longest: Duration) -> Listened {
        let mut listened = Listened {
            call: self.call,
            ..Listened::default()
        };
        let heard = self.hear(&clock, &mut listened);
        match tokio::time::timeout(longest, heard).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => eprintln!("call {} broke: {failure}", listened.call),
            Err(_) => eprintln!("call {} did not end", listened.call),
        }
        listened
    }

    async fn hear(&mut self, clock: &Clock, listened: &mut Listened) -> Result<(), Failure> {
        while self.inbox.fill(&mut self.stream).await? > 0 {
            let now = clock.now();
            while let Some(message) = self.inbox.next()? {
                let text = match message {
                    Message::Text(text) => text,
                    Message::Close => return Ok(()),
                    Message::Control => continue,
                };
                match hear(text) {
                    Heard::Frame(stamp) if stamp.call == self.call => {
                        listened.tally.note(stamp.sequence);
                        if clock.counts(stamp.sent) {
                            listened.round_trips.push(now.saturating_sub(stamp.sent));
                        }
                    }
                    Heard::Frame(_) | Heard::Wrong => listened.tally.wrong += 1,
                }
            }
        }
        Ok(())
    }
}
