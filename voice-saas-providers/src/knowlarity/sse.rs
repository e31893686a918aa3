//! Server-sent events (WHATWG HTML, "Interpreting an event stream"), of which Knowlarity uses `data` alone.

/// A single event is never this long.
const LONGEST_EVENT: usize = 1024 * 1024;

/// Reads events out of chunks that end wherever they like.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
}

/// An event is longer than 1 MiB.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than 1 MiB")]
pub(super) struct TooLong;

impl Events {
    /// The data of every event that is whole after this chunk.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut events = Vec::new();
        for &byte in chunk {
            let second_half = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                _ if second_half => {}
                b'\n' | b'\r' => events.extend(self.end_of_line()),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LONGEST_EVENT {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    fn end_of_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then_some(data);
        }
        let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line);
        let value = line
            .strip_prefix(b"data:")
            .or((line == b"data").then_some(b"".as_slice()))?;
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data
            .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\r\nid: 7\r\ndata: {\"a\":\r\ndata: \"ä\"}\r\n\r\ndata:x\n\n\n:ping\n\rdata\r\rdata: lost";

    fn read(chunks: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
        let mut events = Events::default();
        let read = chunks.into_iter().flat_map(|chunk| events.push(&chunk).unwrap());
        read.map(|event| String::from_utf8(event).unwrap()).collect()
    }

    #[test]
    fn events_are_the_same_however_the_stream_is_cut() {
        let expected = ["{\"a\":\n\"ä\"}", "x", ""];
        for size in [1, 2, 3, 7, STREAM.len()] {
            let chunks = STREAM.as_bytes().chunks(size).map(<[u8]>::to_vec);
            assert_eq!(read(chunks), expected, "{size}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        let chunk = vec![b'x'; LONGEST_EVENT / 2];
        assert_eq!(events.push(&chunk), Ok(vec![]));
        assert_eq!(events.push(&chunk), Ok(vec![]));
        assert_eq!(events.push(b"x"), Err(TooLong));
    }
}
