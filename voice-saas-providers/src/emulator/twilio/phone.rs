//! The telephone: the caller, the ear, and the record of what both said.

use std::time::{Duration, Instant};

use super::caller::Caller;
use super::player::{Played, Player};
use super::report::{CallReport, RoundTrip, Speaker, TranscriptLine};
use super::script::{Action, Script};
use crate::emulator::audio::{FRAME, Heard, ToneReader, is_silent, probe, probe_of};

const MOST_LINES: usize = 1_000;

/// One telephone for the length of a call, whatever streams it is connected to meanwhile.
#[derive(Debug)]
pub(super) struct Phone {
    caller: Caller,
    reader: ToneReader,
    /// Played audio that does not fill a frame yet; tone-speech is read in whole frames of the agent's audio.
    unread: Vec<u8>,
    heard: Option<Vec<u8>>,
    sent_probes: Vec<Option<Instant>>,
    round_trips: Vec<Duration>,
    frames_sent: u64,
    frames_heard: u64,
    clears: u64,
    transcript: Vec<TranscriptLine>,
}

/// What the telephone sends in a tick.
#[derive(Debug)]
pub(super) enum Sent {
    Frame([u8; FRAME]),
    Key(char, [u8; FRAME]),
    HangUp,
}

impl Phone {
    pub(super) fn new(script: &Script) -> Self {
        Self {
            caller: Caller::new(script),
            reader: ToneReader::default(),
            unread: Vec::new(),
            heard: script.records().then(Vec::new),
            sent_probes: Vec::new(),
            round_trips: Vec::new(),
            frames_sent: 0,
            frames_heard: 0,
            clears: 0,
            transcript: Vec::new(),
        }
    }

    /// Hears 20 ms and answers what is said in them.
    pub(super) fn tick(&mut self, played: &Played) -> Sent {
        let frame = played.frame();
        if let Some(heard) = &mut self.heard {
            heard.extend(frame);
        }
        if !played.audio.is_empty() {
            self.frames_heard += 1;
        }
        self.listen(&played.audio);
        let (action, begins) = self.caller.tick(!is_silent(&frame), self.round_trips.len());
        if let Some(text) = begins {
            self.note(Speaker::Caller, text, false);
        }
        let (frame, key) = match action {
            Action::HangUp => return Sent::HangUp,
            Action::Send(frame) => (frame, None),
            Action::Press(key) => ([super::super::audio::SILENCE; FRAME], Some(key)),
            Action::Probe(index) => {
                self.sent_probes
                    .resize(self.sent_probes.len().max(index + 1), None);
                self.sent_probes[index] = Some(Instant::now());
                (probe(index), None)
            }
        };
        self.frames_sent += 1;
        key.map_or(Sent::Frame(frame), |key| Sent::Key(key, frame))
    }

    /// Takes note of audio at the moment it arrives, which is when a probe's round trip ends.
    pub(super) fn arrived(&mut self, audio: &[u8]) {
        if !self.caller.probes() {
            return;
        }
        for frame in audio.chunks_exact(FRAME) {
            let sent = probe_of(frame)
                .and_then(|index| self.sent_probes.get_mut(index))
                .and_then(Option::take);
            self.round_trips.extend(sent.map(|sent| sent.elapsed()));
        }
    }

    /// The agent threw its audio away.
    pub(super) fn cleared(&mut self, player: &mut Player) -> Vec<String> {
        self.clears += 1;
        self.unread.clear();
        let cut = self.reader.cut();
        self.note_heard(cut);
        player.clear()
    }

    fn listen(&mut self, audio: &[u8]) {
        if audio.is_empty() && self.unread.is_empty() {
            let heard = self.reader.push(&[super::super::audio::SILENCE; FRAME]);
            self.note_heard(heard);
            return;
        }
        self.unread.extend(audio);
        while self.unread.len() >= FRAME {
            let frame: Vec<u8> = self.unread.drain(..FRAME).collect();
            let heard = self.reader.push(&frame);
            self.note_heard(heard);
        }
    }

    fn note_heard(&mut self, heard: Option<Heard>) {
        if let Some(Heard::Text { text, complete }) = heard {
            self.note(Speaker::Agent, text, !complete);
        }
    }

    fn note(&mut self, role: Speaker, text: String, interrupted: bool) {
        if self.transcript.len() < MOST_LINES {
            self.transcript.push(TranscriptLine {
                role,
                text,
                interrupted,
            });
        }
    }

    /// The line is dead: what was being heard is cut off.
    pub(super) fn disconnected(&mut self) {
        self.unread.clear();
        let cut = self.reader.cut();
        self.note_heard(cut);
    }

    /// Brings the report up to date.
    pub(super) fn report(&self, report: &mut CallReport) {
        report.frames_sent = self.frames_sent;
        report.frames_heard = self.frames_heard;
        report.clears = self.clears;
        report.transcript.clone_from(&self.transcript);
        report.round_trip = RoundTrip::of(self.round_trips.clone());
    }

    /// The recording, if one was made and anything was heard.
    pub(super) fn take_recording(&mut self) -> Option<Vec<u8>> {
        self.heard.take().filter(|heard| !heard.is_empty())
    }
}
