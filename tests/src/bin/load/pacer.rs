//! The callers' voices: one thread that sends every call's next frame when it is due.
//!
//! It sleeps by itself, because a runtime's timers tick once a millisecond: the frames of many calls would then leave
//! in bursts, as they never do at a carrier.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    Failure,
    frame::{FRAME, Stamp, put_media},
    stats::Times,
    websocket::{Side, put_text},
};

/// How long the thread sleeps at most, so that new calls need not wait long.
const NAP: Duration = Duration::from_millis(2);

/// The clock of a run, and which part of it counts.
#[derive(Debug)]
pub(crate) struct Clock {
    epoch: Instant,
    from: AtomicU64,
    to: AtomicU64,
}

impl Clock {
    pub(crate) fn start() -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            from: AtomicU64::new(u64::MAX),
            to: AtomicU64::new(u64::MAX),
        })
    }

    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// From now on, it counts.
    pub(crate) fn count(&self) {
        self.from.store(nanos(self.now()), Ordering::Relaxed);
    }

    /// From now on, it does not count any more.
    pub(crate) fn count_no_more(&self) {
        self.to.store(nanos(self.now()), Ordering::Relaxed);
    }

    /// Whether what was sent then counts.
    pub(crate) fn counts(&self, sent: Duration) -> bool {
        let from = self.from.load(Ordering::Relaxed);
        (from..self.to.load(Ordering::Relaxed)).contains(&nanos(sent))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Where a call's frames go.
#[derive(Debug)]
pub(crate) struct Voice {
    pub(crate) call: u32,
    /// Never waited for: a server that does not read for seconds has failed.
    pub(crate) socket: TcpStream,
    pub(crate) stream: String,
}

/// What the thread did.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    /// Frames per call.
    pub(crate) sent: Vec<u32>,
    /// Frames that a socket did not take.
    pub(crate) refused: u64,
    /// How late the load itself was.
    pub(crate) late: Times,
    /// The calls, to be ended.
    pub(crate) voices: Vec<Voice>,
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Pacer {
    voices: Sender<Voice>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Spoken>,
}

impl Pacer {
    pub(crate) fn start(clock: Arc<Clock>) -> Self {
        let (voices, new) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || speak(&clock, &new, &stopped));
        Self { voices, stop, thread }
    }

    /// Begins to speak for a call.
    pub(crate) fn add(&self, voice: Voice) -> Result<(), Failure> {
        Ok(self.voices.send(voice)?)
    }

    /// Says no more.
    pub(crate) fn finish(self) -> Result<Spoken, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the pacer failed".into())
    }
}

/// When a call's frames are due: calls are spread over the twenty milliseconds as evenly as can be without knowing how
/// many there will be (steps of the golden ratio).
fn phase(call: u32) -> Duration {
    Duration::from_nanos(u64::from(call) * 12_360_680 % nanos(FRAME))
}

/// The first moment of this phase that is not over.
fn first_due(now: Duration, phase: Duration) -> Duration {
    let turns = nanos(now.saturating_sub(phase)).div_ceil(nanos(FRAME));
    phase + Duration::from_nanos(turns * nanos(FRAME))
}

fn speak(clock: &Clock, new: &Receiver<Voice>, stop: &AtomicBool) -> Spoken {
    let mut spoken = Spoken::default();
    let mut due = BinaryHeap::new();
    let (mut text, mut bytes) = (String::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        while let Ok(voice) = new.try_recv() {
            due.push(Reverse((
                first_due(clock.now(), phase(voice.call)),
                spoken.voices.len(),
            )));
            spoken.voices.push(voice);
            spoken.sent.push(0);
        }
        let Some(mut next) = due.peek_mut() else {
            thread::sleep(NAP);
            continue;
        };
        let Reverse((at, place)) = *next;
        let wait = at.saturating_sub(clock.now());
        if !wait.is_zero() {
            thread::sleep(wait.min(NAP));
            continue;
        }
        *next = Reverse((at + FRAME, place));
        drop(next);

        let voice = &mut spoken.voices[place];
        let sent = clock.now();
        let stamp = Stamp {
            call: voice.call,
            sequence: spoken.sent[place],
            sent,
        };
        put_media(&mut text, &voice.stream, stamp);
        put_text(&mut bytes, text.as_bytes(), Side::Client);
        if !send(&mut voice.socket, &bytes) {
            spoken.refused += 1;
        }
        text.clear();
        bytes.clear();
        spoken.sent[place] += 1;
        if clock.counts(sent) {
            spoken.late.push(sent.saturating_sub(at));
        }
    }
    spoken
}

/// Whether the socket took all of it.
fn send(socket: &mut TcpStream, bytes: &[u8]) -> bool {
    loop {
        match socket.write(bytes) {
            Ok(len) => return len == bytes.len(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

impl Voice {
    /// Says that the caller hung up. Whether it could be said.
    pub(crate) fn hang_up(mut self) -> bool {
        let text = format!(
            r#"{{"event":"stop","sequenceNumber":"9","streamSid":"{}"}}"#,
            self.stream
        );
        let mut bytes = Vec::new();
        put_text(&mut bytes, text.as_bytes(), Side::Client);
        send(&mut self.socket, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_spread_over_the_twenty_milliseconds() {
        let mut phases: Vec<_> = (0..400).map(phase).collect();
        phases.sort_unstable();
        assert!(phases.iter().all(|phase| *phase < FRAME));
        let gaps = phases.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        assert!(gaps.max().unwrap() < Duration::from_micros(150));
    }

    #[test]
    fn a_call_begins_at_the_next_moment_of_its_phase() {
        let ms = Duration::from_millis;
        for (now, phase, expected) in [(0, 5, 5), (5, 5, 5), (6, 5, 25), (43, 3, 43), (44, 3, 63)] {
            assert_eq!(first_due(ms(now), ms(phase)), ms(expected));
        }
    }

    #[test]
    fn only_what_was_sent_while_it_counted_counts() {
        let clock = Clock::start();
        let counts = |nanos| clock.counts(Duration::from_nanos(nanos));
        assert!(!counts(0) && !counts(1_000));
        clock.from.store(10, Ordering::Relaxed);
        assert!(!counts(9) && counts(10) && counts(1_000));
        clock.to.store(20, Ordering::Relaxed);
        assert!(!counts(9) && counts(19) && !counts(20));
    }
}
