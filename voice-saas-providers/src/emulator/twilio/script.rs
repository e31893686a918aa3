//! What the person on the telephone does.

use std::time::Duration;

use crate::emulator::audio::{FRAME, SPEECH, SPEECH_TEXT, speak, test_tone};

/// The longest that an emulated call lasts.
pub(super) const LONGEST_CALL: Duration = Duration::from_mins(2);
const LONGEST_AUDIO: usize = 120 * 8_000;
const MOST_TEXTS: usize = 50;
const LONGEST_TEXT: usize = 500;
const MOST_DIGITS: usize = 32;

/// The audio that a caller plays after the greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerAudio {
    /// A recorded sentence of about four seconds.
    Speech,
    /// One second of 440 Hz.
    Tone,
    /// Nothing: the caller goes on to the texts.
    Silence,
    /// Headerless μ-law, 8 kHz, mono.
    Ulaw(Vec<u8>),
}

/// What the person on the telephone does once the call is answered: waits for the greeting, plays the audio and
/// says the texts (waiting for an answer after each), presses the digits, measures the round trip, hangs up.
#[derive(Debug, Clone)]
pub struct Script {
    audio: CallerAudio,
    say: Vec<String>,
    dtmf: String,
    seconds: Option<u32>,
    barge_in: bool,
    probe: bool,
    record: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a script was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScriptError(String);

impl Script {
    /// Plays the recorded sentence, says nothing else, and hangs up after the probes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            audio: CallerAudio::Speech,
            say: Vec::new(),
            dtmf: String::new(),
            seconds: None,
            barge_in: false,
            probe: true,
            record: true,
        }
    }

    /// What to play after the greeting.
    #[must_use]
    pub fn with_audio(mut self, audio: CallerAudio) -> Self {
        self.audio = audio;
        self
    }

    /// A text to say in tone-speech; each waits for the answer to the one before.
    #[must_use]
    pub fn with_say(mut self, text: impl Into<String>) -> Self {
        self.say.push(text.into());
        self
    }

    /// Digits (`0`-`9`, `*`, `#`) to press after the last text.
    #[must_use]
    pub fn with_dtmf(mut self, digits: impl Into<String>) -> Self {
        self.dtmf = digits.into();
        self
    }

    /// Hangs up this many seconds after the call was answered, whatever is going on.
    #[must_use]
    pub fn with_seconds(mut self, seconds: u32) -> Self {
        self.seconds = Some(seconds);
        self
    }

    /// Starts to speak 300 ms into the greeting instead of waiting for its end.
    #[must_use]
    pub fn with_barge_in(mut self) -> Self {
        self.barge_in = true;
        self
    }

    /// Hangs up without measuring the round trip.
    #[must_use]
    pub fn without_probe(mut self) -> Self {
        self.probe = false;
        self
    }

    /// Keeps no recording, which saves a megabyte per call for two minutes: for many calls at once.
    #[must_use]
    pub fn without_recording(mut self) -> Self {
        self.record = false;
        self
    }

    /// Checks the limits of every part.
    pub(crate) fn validate(&self) -> Result<(), ScriptError> {
        let refuse = |message: &str| Err(ScriptError(message.to_owned()));
        if matches!(&self.audio, CallerAudio::Ulaw(audio) if audio.is_empty() || audio.len() > LONGEST_AUDIO)
        {
            return refuse("audio must be 1 to 960000 bytes of μ-law (two minutes)");
        }
        if self.say.len() > MOST_TEXTS || self.say.iter().any(|text| text.len() > LONGEST_TEXT) {
            return refuse("say takes at most 50 texts of at most 500 bytes each");
        }
        if self.seconds.is_some_and(|seconds| !(1..=120).contains(&seconds)) {
            return refuse("seconds must be 1 to 120");
        }
        let digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'*' | b'#');
        if self.dtmf.len() > MOST_DIGITS || !self.dtmf.bytes().all(digit) {
            return refuse("dtmf takes at most 32 of 0-9, * and #");
        }
        Ok(())
    }

    pub(super) fn longest(&self) -> Duration {
        self.seconds
            .map_or(LONGEST_CALL, |seconds| Duration::from_secs(seconds.into()))
    }

    pub(super) fn records(&self) -> bool {
        self.record
    }

    /// The steps of the call, in order.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut utterances = Vec::new();
        match &self.audio {
            CallerAudio::Speech => utterances.push((SPEECH_TEXT.to_owned(), SPEECH.to_vec())),
            CallerAudio::Tone => utterances.push(("[tone]".to_owned(), test_tone(50))),
            CallerAudio::Ulaw(audio) => utterances.push(("[audio]".to_owned(), audio.clone())),
            CallerAudio::Silence => {}
        }
        utterances.extend(self.say.iter().map(|text| (text.clone(), speak(text))));
        let mut steps = vec![if self.barge_in {
            Step::AwaitVoice
        } else {
            Step::AwaitAnswer
        }];
        for (text, audio) in utterances {
            steps.push(Step::Speak { text, audio });
            steps.push(Step::AwaitAnswer);
        }
        steps.extend(self.dtmf.chars().map(Step::Press));
        if self.probe {
            steps.push(Step::Probe);
        }
        steps
    }
}

/// One step of a [`Script`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Waits until the agent has spoken and stopped, or said nothing for three seconds.
    AwaitAnswer,
    /// Waits until the agent has been speaking for 300 ms.
    AwaitVoice,
    Speak {
        text: String,
        audio: Vec<u8>,
    },
    Press(char),
    Probe,
}

/// What happens when a number is called over the API, or is dialled by `<Dial>`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Callee {
    /// Picks up and follows the script.
    Answers(Script),
    /// The line is busy.
    Busy,
    /// Nobody picks up.
    NoAnswer,
    /// The number cannot be reached.
    Unreachable,
}

/// How a step of the caller looks to the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Send this frame.
    Send([u8; FRAME]),
    /// Send the probe with this index.
    Probe(usize),
    /// Press this key, and send silence.
    Press(char),
    /// Put the receiver down.
    HangUp,
}
