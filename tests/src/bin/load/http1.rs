//! As much of HTTP/1.1 as the load needs, so that it costs next to nothing beside what it measures.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Failure;

/// The first line and the headers of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    text: &'a str,
    /// With the empty line behind it.
    pub(crate) len: usize,
}

impl<'a> Head<'a> {
    /// The head that `bytes` begin with; `None` when there is more of it to come.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Option<Self>, Failure> {
        const LONGEST: usize = 64 * 1024;
        match bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(end) => Ok(Some(Self {
                text: std::str::from_utf8(&bytes[..end])?,
                len: end + 4,
            })),
            None if bytes.len() > LONGEST => Err("an endless HTTP head".into()),
            None => Ok(None),
        }
    }

    /// Such as `GET /path HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub(crate) fn first_line(&self) -> &'a str {
        self.text.split("\r\n").next().unwrap_or("")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let mut headers = self
            .text
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        headers
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub(crate) fn status(&self) -> Result<u16, Failure> {
        let word = self.first_line().split(' ').nth(1).ok_or("no HTTP status")?;
        Ok(word.parse()?)
    }

    fn body_len(&self) -> Result<usize, Failure> {
        let len = self
            .header("content-length")
            .ok_or("an HTTP answer without content-length")?;
        Ok(len.parse()?)
    }
}

/// An answer that came whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// The answer that `bytes` begin with, and how long it is; `None` when there is more of it to come.
fn answer(bytes: &[u8]) -> Result<Option<(Answer, usize)>, Failure> {
    let Some(head) = Head::read(bytes)? else {
        return Ok(None);
    };
    let end = head.len + head.body_len()?;
    let Some(body) = bytes.get(head.len..end) else {
        return Ok(None);
    };
    let answer = Answer {
        status: head.status()?,
        body: std::str::from_utf8(body)?.to_owned(),
    };
    Ok(Some((answer, end)))
}

/// A connection that is kept alive.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4 * 1024),
        })
    }

    /// Sends a whole request and waits for its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        self.stream.write_all(request).await?;
        loop {
            if let Some((answer, len)) = answer(&self.buffer)? {
                self.buffer.drain(..len);
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        self.exchange(format!("GET {path} HTTP/1.1\r\nhost: load\r\n\r\n").as_bytes())
            .await
    }
}

/// The sum of a counter over all its labels, in Prometheus' text; what nobody counted yet is zero.
pub(crate) fn counter(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let values = samples
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit(' ').next());
    values
        .filter_map(|value| value.parse::<f64>().ok())
        .fold(0.0, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\ncontent-length: 5\r\n\r\nhello";

    #[test]
    fn an_answer_is_read_when_all_of_it_is_there() {
        for len in 0..OK.len() {
            assert_eq!(answer(&OK[..len]).unwrap(), None);
        }
        let twice = [OK, OK].concat();
        let (answer, len) = answer(&twice).unwrap().unwrap();
        assert_eq!((answer.status, &*answer.body, len), (200, "hello", OK.len()));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for wrong in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
            "x y\r\n\r\n",
        ] {
            assert!(answer(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Head::read(&vec![b'x'; 70_000]).is_err());
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let head = Head::read(b"GET /a?b HTTP/1.1\r\nSec-WebSocket-Key:  abc \r\n\r\nrest")
            .unwrap()
            .unwrap();
        assert_eq!(head.first_line(), "GET /a?b HTTP/1.1");
        assert_eq!(head.header("sec-websocket-key"), Some("abc"));
        assert_eq!(head.header("host"), None);
    }

    #[test]
    fn a_counter_is_summed_over_its_labels() {
        let text = "# TYPE lost counter\nlost{why=\"a b\"} 2\nlost 1\nlost_total 7\n";
        assert!((counter(text, "lost") - 3.0).abs() < f64::EPSILON);
        assert!(counter(text, "found").abs() < f64::EPSILON);
    }
}
