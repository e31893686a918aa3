//! Media Streams (page `voice/media-streams/websocket-messages`).

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use voice_saas_core::{
    media::{Audio, AudioFormat, MediaCodec, MediaCommand, MediaError, MediaEvent, MediaStreamCodec},
    provider::telephony::ProviderCallId,
};

/// What a message weighs beside its audio.
const ENVELOPE: usize = 128;

/// The protocol of `<Connect><Stream>`.
#[derive(Debug, Clone, Copy)]
pub(super) struct MediaStreams;

impl MediaCodec for MediaStreams {
    fn open(&self) -> Box<dyn MediaStreamCodec> {
        Box::new(Stream::default())
    }
}

/// One socket.
#[derive(Debug, Default)]
struct Stream {
    /// Known since the stream started.
    sid: Option<String>,
}

/// Every message from Twilio in one flat struct: fifty of them arrive per second and call, and an enum tagged by
/// `event` takes serde twice as long.
#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    start: Option<Start<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
    dtmf: Option<Dtmf>,
}

/// Borrowed from the message, except where the message escapes a character.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    track: Option<Text<'a>>,
    #[serde(borrow)]
    payload: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    call_sid: Text<'a>,
    #[serde(borrow)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow)]
    media_format: Option<Format<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format<'a> {
    #[serde(borrow)]
    encoding: Option<Text<'a>>,
    sample_rate: Option<NumberOrText>,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Dtmf {
    digit: NumberOrText,
}

/// Twilio writes most numbers as texts, some as numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u32),
    Text(String),
    Other(IgnoredAny),
}

impl NumberOrText {
    fn text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
            Self::Other(_) => String::new(),
        }
    }
}

impl MediaStreamCodec for Stream {
    fn decode(&mut self, message: &Bytes) -> Result<MediaEvent, MediaError> {
        let incoming: Incoming<'_> = serde_json::from_slice(message)
            .map_err(|_| MediaError::Malformed("not a message of Media Streams"))?;
        match &*incoming.event.0 {
            "media" => audio(
                incoming
                    .media
                    .ok_or(MediaError::Malformed("media without media"))?,
                message,
            ),
            "start" => {
                let start = incoming
                    .start
                    .ok_or(MediaError::Malformed("start without start"))?;
                self.start(start, incoming.stream_sid)
            }
            "mark" => {
                let mark = incoming.mark.ok_or(MediaError::Malformed("mark without mark"))?;
                Ok(MediaEvent::Mark(mark.name.0.into_owned()))
            }
            "dtmf" => key(incoming.dtmf.ok_or(MediaError::Malformed("dtmf without dtmf"))?),
            "stop" => Ok(MediaEvent::Stopped),
            _ => Ok(MediaEvent::Ignored),
        }
    }

    fn encode(&mut self, command: MediaCommand<'_>, out: &mut BytesMut) -> Result<(), MediaError> {
        let stream_sid = self.sid.as_deref().ok_or(MediaError::NotStarted)?;
        let mut outgoing = Outgoing {
            event: "clear",
            stream_sid,
            media: None,
            mark: None,
        };
        match command {
            MediaCommand::Audio(audio) => {
                if audio.format() != AudioFormat::Mulaw8k {
                    return Err(MediaError::Malformed("audio that is not µ-law at 8 kHz"));
                }
                let payload = std::str::from_utf8(audio.base64())
                    .map_err(|_| MediaError::Malformed("audio that is not base64"))?;
                out.reserve(payload.len() + ENVELOPE);
                outgoing.event = "media";
                outgoing.media = Some(Payload { payload });
            }
            MediaCommand::Clear => {}
            MediaCommand::Mark(name) => {
                outgoing.event = "mark";
                outgoing.mark = Some(Name { name });
            }
            _ => {
                return Err(MediaError::Malformed(
                    "a command that Media Streams has no message for",
                ));
            }
        }
        serde_json::to_writer(out.writer(), &outgoing).expect("memory takes whatever is written");
        Ok(())
    }
}

impl Stream {
    fn start(&mut self, start: Start<'_>, outer_sid: Option<Text<'_>>) -> Result<MediaEvent, MediaError> {
        if self.sid.is_some() {
            return Err(MediaError::Malformed("a second start"));
        }
        if let Some(format) = start.media_format {
            let encoding = format.encoding.is_none_or(|text| text.0 == "audio/x-mulaw");
            let rate = format.sample_rate.is_none_or(|rate| rate.text() == "8000");
            if !encoding || !rate {
                return Err(MediaError::Malformed("a stream that is not µ-law at 8 kHz"));
            }
        }
        let sid = outer_sid
            .or(start.stream_sid)
            .ok_or(MediaError::Malformed("start without streamSid"))?;
        self.sid = Some(sid.0.into_owned());
        Ok(MediaEvent::Started {
            call: ProviderCallId::new(start.call_sid.0),
        })
    }
}

fn audio(media: Media<'_>, message: &Bytes) -> Result<MediaEvent, MediaError> {
    // Our own voice comes back as `outbound` where both tracks are asked for.
    let inbound = media
        .track
        .is_none_or(|track| matches!(&*track.0, "inbound" | "inbound_track"));
    if !inbound {
        return Ok(MediaEvent::Ignored);
    }
    if !is_base64(media.payload.0.as_bytes()) {
        return Err(MediaError::Malformed("audio that is not base64"));
    }
    let base64 = match media.payload.0 {
        Cow::Borrowed(payload) => message.slice_ref(payload.as_bytes()),
        Cow::Owned(payload) => payload.into(),
    };
    Ok(MediaEvent::Audio(Audio::from_base64(
        base64,
        AudioFormat::Mulaw8k,
    )))
}

/// By its alphabet and length: what passes can be put between quotes as it is.
fn is_base64(text: &[u8]) -> bool {
    text.len().is_multiple_of(4)
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}

fn key(dtmf: Dtmf) -> Result<MediaEvent, MediaError> {
    let digit = dtmf.digit.text();
    let mut chars = digit.chars();
    match (chars.next(), chars.next()) {
        (Some(key @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(MediaEvent::Dtmf(key)),
        _ => Err(MediaError::Malformed("a key that no telephone has")),
    }
}

#[derive(Serialize)]
struct Outgoing<'a> {
    event: &'static str,
    #[serde(rename = "streamSid")]
    stream_sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<Payload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<Name<'a>>,
}

#[derive(Serialize)]
struct Payload<'a> {
    payload: &'a str,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ1",
        "start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],
        "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"a":"b"}}}"#;

    fn decode(message: &str) -> Result<MediaEvent, MediaError> {
        Stream::default().decode(&Bytes::copy_from_slice(message.as_bytes()))
    }

    fn started() -> Box<dyn MediaStreamCodec> {
        let mut codec = MediaStreams.open();
        codec.decode(&Bytes::from_static(START.as_bytes())).unwrap();
        codec
    }

    fn encoded(command: MediaCommand<'_>) -> String {
        let mut out = BytesMut::new();
        started().encode(command, &mut out).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn mulaw(base64: &'static str) -> Audio {
        Audio::from_base64(Bytes::from_static(base64.as_bytes()), AudioFormat::Mulaw8k)
    }

    #[track_caller]
    fn check(message: &str, expected: &MediaEvent) {
        assert_eq!(decode(message).unwrap(), *expected, "{message}");
    }

    #[test]
    fn a_stream_says_whose_audio_it_is() {
        let call = ProviderCallId::new("CA1");
        check(START, &MediaEvent::Started { call: call.clone() });
        let as_texts = START.replace("8000", "\"8000\"");
        check(&as_texts, &MediaEvent::Started { call: call.clone() });
        let inner_alone = START.replacen("\"streamSid\":\"MZ1\",", "", 1);
        check(&inner_alone, &MediaEvent::Started { call: call.clone() });
        let without_format = r#"{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1"}}"#;
        check(without_format, &MediaEvent::Started { call });
    }

    #[test]
    fn the_callers_audio_is_a_slice_of_the_message() {
        for track in [r#""track":"inbound","#, r#""track":"inbound_track","#, ""] {
            let message = Bytes::from(format!(
                r#"{{"event":"media","sequenceNumber":"3","streamSid":"MZ1","media":{{{track}"chunk":"1","timestamp":"5","payload":"//8AfQ=="}}}}"#
            ));
            let MediaEvent::Audio(audio) = Stream::default().decode(&message).unwrap() else {
                panic!("no audio in {message:?}");
            };
            assert_eq!(audio.decode().unwrap(), [0xff, 0xff, 0x00, 0x7d]);
            assert_eq!(audio.format(), AudioFormat::Mulaw8k);
            assert!(message.as_ptr_range().contains(&audio.base64().as_ptr()));
        }
    }

    #[test]
    fn an_escaped_payload_is_read_all_the_same() {
        check(
            r#"{"event":"media","media":{"payload":"\/\/8AfQ=="}}"#,
            &MediaEvent::Audio(mulaw("//8AfQ==")),
        );
    }

    #[test]
    fn our_own_voice_is_ignored() {
        for track in ["outbound", "outbound_track", "a new track"] {
            let message = format!(r#"{{"event":"media","media":{{"track":"{track}","payload":"AAAA"}}}}"#);
            check(&message, &MediaEvent::Ignored);
        }
    }

    #[test]
    fn keys_marks_and_the_end_are_told() {
        check(
            r##"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":5,"dtmf":{"track":"inbound_track","digit":"#"}}"##,
            &MediaEvent::Dtmf('#'),
        );
        check(r#"{"event":"dtmf","dtmf":{"digit":7}}"#, &MediaEvent::Dtmf('7'));
        check(
            r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"greeting \"end\""}}"#,
            &MediaEvent::Mark("greeting \"end\"".to_owned()),
        );
        check(
            r#"{"event":"stop","sequenceNumber":"9","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#,
            &MediaEvent::Stopped,
        );
    }

    #[test]
    fn what_is_not_known_is_ignored() {
        check(
            r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#,
            &MediaEvent::Ignored,
        );
        check(
            r#"{"event":"something new","something":{"new":[1,2]}}"#,
            &MediaEvent::Ignored,
        );
    }

    #[test]
    fn what_is_not_the_protocol_is_malformed() {
        for message in [
            "",
            "{",
            "null",
            "[]",
            "{}",
            "\u{feff}{}",
            r#"{"event":7}"#,
            r#"{"event":"media"}"#,
            r#"{"event":"media","media":{}}"#,
            r#"{"event":"media","media":{"payload":7}}"#,
            r#"{"event":"media","media":{"payload":"***="}}"#,
            r#"{"event":"media","media":{"payload":"AAA"}}"#,
            r#"{"event":"media","media":{"payload":"AA\"}"}}"#,
            r#"{"event":"media","media":{"payload":"AAAA"}} trailing"#,
            r#"{"event":"start","streamSid":"MZ1"}"#,
            r#"{"event":"start","streamSid":"MZ1","start":{}}"#,
            r#"{"event":"start","start":{"callSid":"CA1"}}"#,
            r#"{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1","mediaFormat":{"encoding":"audio/l16"}}}"#,
            r#"{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1","mediaFormat":{"sampleRate":16000}}}"#,
            r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#,
            r#"{"event":"dtmf","dtmf":{"digit":""}}"#,
            r#"{"event":"dtmf","dtmf":{"digit":null}}"#,
            r#"{"event":"dtmf","dtmf":{"digit":"x"}}"#,
            r#"{"event":"mark","mark":{}}"#,
            r#"{"event":"dtmf"}"#,
        ] {
            let answer = decode(message);
            assert!(
                matches!(answer, Err(MediaError::Malformed(_))),
                "{message}: {answer:?}"
            );
        }
        let not_utf8 = Bytes::from_static(b"{\"event\":\"\xff\"}");
        assert!(Stream::default().decode(&not_utf8).is_err());
    }

    #[test]
    fn a_message_cut_anywhere_is_malformed() {
        for end in 0..START.len() {
            assert!(decode(&START[..end]).is_err(), "{}", &START[..end]);
        }
    }

    #[test]
    fn a_stream_starts_once() {
        let again = started().decode(&Bytes::from_static(START.as_bytes()));
        assert!(matches!(again, Err(MediaError::Malformed("a second start"))));
    }

    #[test]
    fn commands_are_written_as_twilio_reads_them() {
        let audio = mulaw("//8AfQ==");
        assert_eq!(
            encoded(MediaCommand::Audio(&audio)),
            r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8AfQ=="}}"#
        );
        assert_eq!(
            encoded(MediaCommand::Clear),
            r#"{"event":"clear","streamSid":"MZ1"}"#
        );
        assert_eq!(
            encoded(MediaCommand::Mark("a \"b\"")),
            r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"a \"b\""}}"#
        );
    }

    #[test]
    fn the_space_reserved_for_a_frame_is_enough() {
        let audio = Audio::encode(&[0xff; 160], AudioFormat::Mulaw8k);
        let mut out = BytesMut::new();
        started().encode(MediaCommand::Audio(&audio), &mut out).unwrap();
        assert!(out.len() <= audio.base64().len() + ENVELOPE, "{}", out.len());
    }

    #[test]
    fn before_the_start_there_is_nowhere_to_send_to() {
        let mut out = BytesMut::new();
        let answer = MediaStreams.open().encode(MediaCommand::Clear, &mut out);
        assert!(matches!(answer, Err(MediaError::NotStarted)));
        assert!(out.is_empty());
    }

    #[test]
    fn a_telephone_takes_no_other_audio() {
        let wide = Audio::encode(&[0; 4], AudioFormat::Pcm16 { rate: 16_000 });
        let mut out = BytesMut::new();
        let answer = started().encode(MediaCommand::Audio(&wide), &mut out);
        assert!(matches!(answer, Err(MediaError::Malformed(_))));
        assert!(out.is_empty());
    }
}
