//! As much of the WebSocket protocol (RFC 6455) as the load needs: whole messages of less than 64 KiB.

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{Failure, http1::Head};

/// What clients mask with. It should be unpredictable where a proxy might be fooled; here it only has to cost what
/// any other costs.
const MASK: [u8; 4] = [0x5a, 0x13, 0xc7, 0x2e];

/// The example of the specification; it tells connections apart and proves nothing.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Who sends a frame: only clients mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Appends a text message.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &[u8], from: Side) {
    let masked = if from == Side::Client { 0x80 } else { 0 };
    out.push(0x81);
    match u8::try_from(text.len()) {
        Ok(len @ ..=125) => out.push(masked | len),
        _ => {
            let len = u16::try_from(text.len()).expect("all messages here are short");
            out.push(masked | 0x7e);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
    if from == Side::Client {
        out.extend_from_slice(&MASK);
    }
    let start = out.len();
    out.extend_from_slice(text);
    if from == Side::Client {
        mask(&mut out[start..], MASK);
    }
}

fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let mut chunks = bytes.chunks_exact_mut(4);
    for chunk in &mut chunks {
        for (byte, key) in chunk.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// A message as it arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Text(&'a [u8]),
    Close,
    /// A ping or a pong.
    Control,
}

/// What was read and not yet looked at.
#[derive(Debug)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; 8 * 1024],
            start: 0,
            end: 0,
        }
    }

    /// Reads once. How much came; 0 = the other side closed.
    pub(crate) async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<usize, Failure> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = stream.read(&mut self.buffer[self.end..]).await?;
        self.end += read;
        Ok(read)
    }

    /// The next message, when all of it is there.
    pub(crate) fn next(&mut self) -> Result<Option<Message<'_>>, Failure> {
        let unread = &self.buffer[self.start..self.end];
        let &[first, second, ref rest @ ..] = unread else {
            return Ok(None);
        };
        let (len, len_bytes) = match (second & 0x7f, rest) {
            (0x7f, _) => return Err("a WebSocket message that is too long".into()),
            (0x7e, &[high, low, ..]) => (usize::from(u16::from_be_bytes([high, low])), 2),
            (0x7e, _) => return Ok(None),
            (len, _) => (usize::from(len), 0),
        };
        let key_bytes = if second & 0x80 == 0 { 0 } else { 4 };
        let head = 2 + len_bytes + key_bytes;
        if unread.len() < head + len {
            return Ok(None);
        }
        let payload = self.start + head..self.start + head + len;
        let key: Option<[u8; 4]> = (key_bytes == 4).then(|| {
            let key = &self.buffer[payload.start - 4..payload.start];
            [key[0], key[1], key[2], key[3]]
        });
        self.start = payload.end;
        if let Some(key) = key {
            mask(&mut self.buffer[payload.clone()], key);
        }
        match first {
            0x81 => Ok(Some(Message::Text(&self.buffer[payload]))),
            0x88 => Ok(Some(Message::Close)),
            0x89 | 0x8a => Ok(Some(Message::Control)),
            _ => Err("a WebSocket message of another kind, or in pieces".into()),
        }
    }

    /// The head of an HTTP message, once it is there.
    async fn head<T>(
        &mut self,
        stream: &mut TcpStream,
        read: impl Fn(Head<'_>) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        loop {
            if let Some(head) = Head::read(&self.buffer[self.start..self.end])? {
                let read = read(head)?;
                self.start += head.len;
                return Ok(Some(read));
            }
            if self.fill(stream).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Asks for a socket at `path`. What came behind the answer is in the inbox.
pub(crate) async fn connect(stream: &mut TcpStream, path: &str) -> Result<Inbox, Failure> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: load\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: \
         13\r\nsec-websocket-key: {KEY}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut inbox = Inbox::new();
    let upgraded = inbox.head(stream, |head| {
        let accepted = head.header("sec-websocket-accept") == Some(&*derive_accept_key(KEY.as_bytes()));
        match head.status()? {
            101 if accepted => Ok(()),
            status => Err(format!("the WebSocket was refused with {status}").into()),
        }
    });
    upgraded.await?.ok_or("the WebSocket was refused by a close")?;
    Ok(inbox)
}

/// What a client of a server wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A WebSocket at this path and query; the key to accept it with.
    Socket { path: String, accept: String },
    /// Something else at this path and query.
    Plain { path: String },
}

/// Waits for a request without a body; `None` when the client closes.
pub(crate) async fn wanted(inbox: &mut Inbox, stream: &mut TcpStream) -> Result<Option<Wanted>, Failure> {
    inbox
        .head(stream, |head| {
            let path = head
                .first_line()
                .split(' ')
                .nth(1)
                .ok_or("no path in an HTTP request")?
                .to_owned();
            Ok(match head.header("sec-websocket-key") {
                Some(key) => Wanted::Socket {
                    path,
                    accept: derive_accept_key(key.as_bytes()),
                },
                None => Wanted::Plain { path },
            })
        })
        .await
}

/// Lets a client have its socket.
pub(crate) async fn accept(stream: &mut TcpStream, accept: &str) -> Result<(), Failure> {
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: \
         {accept}\r\n\r\n"
    );
    Ok(stream.write_all(answer.as_bytes()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an inbox makes of bytes that arrive in these pieces.
    async fn texts(bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut inbox = Inbox::new();
        let mut texts = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while inbox.fill(&mut piece).await.unwrap() > 0 {
                while let Some(message) = inbox.next().unwrap() {
                    let Message::Text(text) = message else {
                        panic!("{message:?}");
                    };
                    texts.push(text.to_vec());
                }
            }
        }
        texts
    }

    #[tokio::test]
    async fn what_one_side_puts_the_other_reads_however_it_is_cut() {
        let messages = [
            vec![],
            vec![b'a'; 125],
            vec![b'b'; 126],
            vec![b'c'; 3],
            vec![b'd'; 20_000],
        ];
        for side in [Side::Client, Side::Server] {
            let mut bytes = Vec::new();
            for message in &messages {
                put_text(&mut bytes, message, side);
            }
            for piece in [1, 7, 4_096, bytes.len()] {
                assert_eq!(texts(&bytes, piece).await, messages);
            }
        }
    }

    #[test]
    fn a_clients_message_is_the_one_of_the_specification() {
        let mut inbox = Inbox::new();
        // RFC 6455, section 5.7: a masked text message that says "Hello".
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        inbox.buffer[..hello.len()].copy_from_slice(&hello);
        inbox.end = hello.len();
        assert_eq!(inbox.next().unwrap(), Some(Message::Text(b"Hello")));
        assert_eq!(inbox.next().unwrap(), None);
    }

    #[test]
    fn closes_and_pings_are_told_from_text() {
        let mut inbox = Inbox::new();
        inbox.buffer[..6].copy_from_slice(&[0x89, 0, 0x88, 0, 0x82, 0]);
        inbox.end = 6;
        assert_eq!(inbox.next().unwrap(), Some(Message::Control));
        assert_eq!(inbox.next().unwrap(), Some(Message::Close));
        assert!(inbox.next().is_err());
    }
}
