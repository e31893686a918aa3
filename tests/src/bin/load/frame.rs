//! Twenty milliseconds of audio that say which ones they are and when they were sent.

use std::{fmt::Write, sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};

/// How much audio a frame holds.
pub(crate) const FRAME: Duration = Duration::from_millis(20);

/// The bytes of µ-law audio in a frame.
const BYTES: usize = 160;

/// The first bytes are the stamp; 18 bytes are 24 characters of base64, so the rest can stay as it is.
const STAMP_BYTES: usize = 18;
const STAMP: usize = 24;
const MARK: [u8; 2] = [0xa5, 0x5a];

/// The rest of the frame, which is the same in all: a noise, so that nothing is gained by it.
static REST: LazyLock<String> = LazyLock::new(|| {
    let noise: Vec<u8> = (0_u8..)
        .take(BYTES - STAMP_BYTES)
        .map(|place| place.wrapping_mul(73))
        .collect();
    STANDARD.encode(noise)
});

/// What a frame says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) call: u32,
    pub(crate) sequence: u32,
    /// Since the clock of the run began.
    pub(crate) sent: Duration,
}

impl Stamp {
    fn encode(self) -> [u8; STAMP] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..4].copy_from_slice(&self.call.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.sequence.to_le_bytes());
        let nanos = u64::try_from(self.sent.as_nanos()).unwrap_or(u64::MAX);
        bytes[8..16].copy_from_slice(&nanos.to_le_bytes());
        bytes[16..].copy_from_slice(&MARK);
        let mut text = [0; STAMP];
        STANDARD
            .encode_slice(bytes, &mut text)
            .expect("18 bytes are 24 characters");
        text
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let bytes: [u8; STAMP_BYTES] = STANDARD.decode(text).ok()?.try_into().ok()?;
        let (call, rest) = bytes.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (nanos, mark) = rest.split_first_chunk()?;
        (mark == MARK).then_some(Self {
            call: u32::from_le_bytes(*call),
            sequence: u32::from_le_bytes(*sequence),
            sent: Duration::from_nanos(u64::from_le_bytes(*nanos)),
        })
    }
}

/// Writes a frame as the carrier sends it (page `voice/media-streams/websocket-messages`).
pub(crate) fn put_media(out: &mut String, stream: &str, stamp: Stamp) {
    let number = stamp.sequence + 2;
    let (chunk, at) = (stamp.sequence + 1, stamp.sequence * 20);
    let text = stamp.encode();
    let audio = std::str::from_utf8(&text).expect("base64 is text");
    write!(
        out,
        r#"{{"event":"media","sequenceNumber":"{number}","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{at}","payload":"{audio}{}"}},"streamSid":"{stream}"}}"#,
        *REST
    )
    .expect("a String takes whatever is written");
}

/// The text between `before` and the next quote.
pub(crate) fn quoted<'a>(message: &'a [u8], before: &[u8]) -> Option<&'a [u8]> {
    let start = message
        .windows(before.len())
        .position(|window| window == before)?
        + before.len();
    let len = message[start..].iter().position(|byte| *byte == b'"')?;
    Some(&message[start..start + len])
}

/// What the carrier is sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// One of our frames, as it was sent.
    Frame(Stamp),
    /// Audio that is none of ours, or spoiled, or no audio.
    Wrong,
}

/// Reads what the carrier is sent.
pub(crate) fn hear(message: &[u8]) -> Heard {
    let audio = quoted(message, br#""payload":""#).and_then(|audio| audio.split_at_checked(STAMP));
    match audio {
        Some((stamp, rest)) if rest == REST.as_bytes() => {
            Stamp::decode(stamp).map_or(Heard::Wrong, Heard::Frame)
        }
        _ => Heard::Wrong,
    }
}

/// Which of a call's frames came back.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    seen: Vec<bool>,
    pub(crate) received: u32,
    pub(crate) duplicated: u32,
    pub(crate) reordered: u32,
    pub(crate) wrong: u32,
}

impl Tally {
    /// Notes a frame of this call.
    pub(crate) fn note(&mut self, sequence: u32) {
        let place = usize::try_from(sequence).expect("addresses have 32 bits at least");
        if place >= self.seen.len() {
            self.seen.resize(place, false);
            self.seen.push(true);
        } else if std::mem::replace(&mut self.seen[place], true) {
            self.duplicated += 1;
            return;
        } else {
            self.reordered += 1;
        }
        self.received += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        call: 7,
        sequence: 300,
        sent: Duration::from_nanos(12_345_678_901),
    };

    #[test]
    fn a_frame_is_a_carriers_message_of_160_bytes_of_audio_and_is_read_again() {
        let mut message = String::new();
        put_media(&mut message, "MZ1", STAMP);
        let json: serde_json::Value = serde_json::from_str(&message).unwrap();
        assert_eq!(
            (&json["event"], &json["streamSid"]),
            (&"media".into(), &"MZ1".into())
        );
        assert_eq!(
            (&json["sequenceNumber"], &json["media"]["timestamp"]),
            (&"302".into(), &"6000".into())
        );
        let audio = STANDARD
            .decode(json["media"]["payload"].as_str().unwrap())
            .unwrap();
        assert_eq!(audio.len(), BYTES);
        assert_eq!(hear(message.as_bytes()), Heard::Frame(STAMP));
    }

    #[test]
    fn a_spoiled_frame_is_not_taken_for_a_frame() {
        let mut message = String::new();
        put_media(&mut message, "MZ1", STAMP);
        let start = message.find("payload\":\"").unwrap() + 10;
        for place in [start, start + 23, start + 24, start + 200] {
            let mut spoiled = message.clone().into_bytes();
            spoiled[place] = if spoiled[place] == b'A' { b'B' } else { b'A' };
            assert_ne!(hear(&spoiled), Heard::Frame(STAMP), "{place}");
        }
        for other in [
            r#"{"event":"clear"}"#,
            r#"{"payload":"abc"}"#,
            r#"{"payload":"abc"#,
            "",
        ] {
            assert_eq!(hear(other.as_bytes()), Heard::Wrong);
        }
    }

    #[test]
    fn what_stands_between_quotes_is_found() {
        assert_eq!(quoted(br#"{"a":"b","c":"d"}"#, br#""c":""#), Some(&b"d"[..]));
        assert_eq!(quoted(br#"{"a":"b"}"#, br#""c":""#), None);
        assert_eq!(quoted(br#"{"c":"b"#, br#""c":""#), None);
    }

    #[test]
    fn frames_that_come_twice_or_late_are_told_from_those_that_never_come() {
        let mut tally = Tally::default();
        for sequence in [0, 1, 3, 2, 3, 5] {
            tally.note(sequence);
        }
        assert_eq!((tally.received, tally.duplicated, tally.reordered), (5, 1, 1));
    }
}
