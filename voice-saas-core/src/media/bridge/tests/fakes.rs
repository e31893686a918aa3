//! Lines in memory, a carrier's protocol of plain words, and a driver that polls a bridge only when it was woken.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    call::CallEventKind,
    media::{
        Audio, AudioFormat, Bridge, BridgeEnd, BridgeLimits, BridgeOutlets, MediaCommand, MediaError,
        MediaEvent, MediaStreamCodec, ToolRequest,
    },
    provider::{
        BoxError, ErrorKind, ProviderError, ProviderName,
        telephony::ProviderCallId,
        voice_agent::{AgentCommand, AgentEvent},
    },
};

/// An error that a line can break with.
pub(super) trait Broken {
    fn broken() -> Self;
}

impl Broken for BoxError {
    fn broken() -> Self {
        "the line broke".into()
    }
}

impl Broken for ProviderError {
    fn broken() -> Self {
        Self::new(
            ProviderName::new("fake"),
            "carry the conversation",
            ErrorKind::Interrupted,
        )
    }
}

enum Writes {
    Pass,
    Block,
    Fail,
}

struct State<R, W, E> {
    unread: VecDeque<Result<R, E>>,
    /// Said again and again, without end.
    chant: Option<R>,
    ended: bool,
    unflushed: Vec<W>,
    written: Vec<W>,
    writes: Writes,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What the bridge holds of a line.
pub(super) struct Near<R, W, E>(Arc<Mutex<State<R, W, E>>>);

/// What the test holds of it.
pub(super) struct Far<R, W, E>(Arc<Mutex<State<R, W, E>>>);

pub(super) type Carrier = Far<Bytes, Bytes, BoxError>;
pub(super) type Agent = Far<AgentEvent, AgentCommand, ProviderError>;
pub(super) type AgentLine = Near<AgentEvent, AgentCommand, ProviderError>;

pub(super) fn line<R, W, E>() -> (Near<R, W, E>, Far<R, W, E>) {
    let state = Arc::new(Mutex::new(State {
        unread: VecDeque::new(),
        chant: None,
        ended: false,
        unflushed: Vec::new(),
        written: Vec::new(),
        writes: Writes::Pass,
        closed: false,
        reader: None,
        writer: None,
    }));
    (Near(Arc::clone(&state)), Far(state))
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl<R, W, E: Broken> Far<R, W, E> {
    fn state(&self) -> MutexGuard<'_, State<R, W, E>> {
        self.0.lock().unwrap()
    }

    pub(super) fn says(&self, message: impl Into<R>) {
        let mut state = self.state();
        state.unread.push_back(Ok(message.into()));
        wake(&mut state.reader);
    }

    pub(super) fn says_without_end(&self, message: impl Into<R>) {
        let mut state = self.state();
        state.chant = Some(message.into());
        wake(&mut state.reader);
    }

    pub(super) fn breaks(&self) {
        let mut state = self.state();
        state.unread.push_back(Err(E::broken()));
        wake(&mut state.reader);
    }

    pub(super) fn ends(&self) {
        let mut state = self.state();
        state.ended = true;
        wake(&mut state.reader);
    }

    /// Takes nothing from now on.
    pub(super) fn blocks(&self) {
        self.state().writes = Writes::Block;
    }

    pub(super) fn unblocks(&self) {
        let mut state = self.state();
        state.writes = Writes::Pass;
        wake(&mut state.writer);
    }

    /// Fails whoever writes from now on.
    pub(super) fn refuses(&self) {
        let mut state = self.state();
        state.writes = Writes::Fail;
        wake(&mut state.writer);
    }

    /// What was written and flushed since the last look.
    pub(super) fn hears(&self) -> Vec<W> {
        std::mem::take(&mut self.state().written)
    }

    /// What the bridge has not read yet.
    pub(super) fn unread(&self) -> usize {
        self.state().unread.len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }
}

impl Carrier {
    pub(super) fn hears_text(&self) -> Vec<String> {
        let text = |message: Bytes| String::from_utf8(message.to_vec()).unwrap();
        self.hears().into_iter().map(text).collect()
    }
}

impl<R: Clone, W, E> Stream for Near<R, W, E> {
    type Item = Result<R, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock().unwrap();
        if let Some(message) = state.unread.pop_front() {
            return Poll::Ready(Some(message));
        }
        if let Some(message) = state.chant.clone() {
            return Poll::Ready(Some(Ok(message)));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<R, W, E: Broken> Sink<W> for Near<R, W, E> {
    type Error = E;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut state = self.0.lock().unwrap();
        match state.writes {
            Writes::Pass => Poll::Ready(Ok(())),
            Writes::Fail => Poll::Ready(Err(E::broken())),
            Writes::Block => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn start_send(self: Pin<&mut Self>, item: W) -> Result<(), E> {
        self.0.lock().unwrap().unflushed.push(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut state = self.0.lock().unwrap();
        let mut unflushed = std::mem::take(&mut state.unflushed);
        state.written.append(&mut unflushed);
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }
}

impl<R, W, E> Drop for Near<R, W, E> {
    fn drop(&mut self) {
        self.0.lock().unwrap().closed = true;
    }
}

/// `start CA1`, `audio <base64>`, `dtmf 5`, `mark <name>`, `stop`; `clear` in the other direction.
#[derive(Debug)]
struct Words;

impl MediaStreamCodec for Words {
    fn decode(&mut self, message: &Bytes) -> Result<MediaEvent, MediaError> {
        let text = std::str::from_utf8(message).unwrap();
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        Ok(match verb {
            "start" => MediaEvent::Started {
                call: ProviderCallId::new(rest),
            },
            "audio" => MediaEvent::Audio(Audio::from_base64(
                message.slice_ref(rest.as_bytes()),
                AudioFormat::Mulaw8k,
            )),
            "dtmf" => MediaEvent::Dtmf(rest.parse().unwrap()),
            "mark" => MediaEvent::Mark(rest.to_owned()),
            "stop" => MediaEvent::Stopped,
            _ => return Err(MediaError::Malformed("a word that is not known")),
        })
    }

    fn encode(&mut self, command: MediaCommand<'_>, out: &mut BytesMut) -> Result<(), MediaError> {
        match command {
            MediaCommand::Audio(audio) => {
                out.extend_from_slice(b"audio ");
                out.extend_from_slice(audio.base64());
            }
            MediaCommand::Clear => out.extend_from_slice(b"clear"),
            MediaCommand::Mark(name) => out.extend_from_slice(format!("mark {name}").as_bytes()),
        }
        Ok(())
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(super) const LIMITS: BridgeLimits = BridgeLimits {
    max_call: Duration::from_hours(1),
    media_silence: Duration::from_secs(10),
    agent_silence: Duration::from_mins(1),
    last_words: Duration::from_secs(30),
};

/// A bridge of the call `CA1`, and all that it touches.
pub(super) struct Talk {
    bridge: Pin<Box<Bridge<Near<Bytes, Bytes, BoxError>>>>,
    woken: Arc<Woken>,
    pub(super) carrier: Carrier,
    pub(super) agent: Agent,
    journal: mpsc::Receiver<CallEventKind>,
    pub(super) tools: mpsc::Receiver<ToolRequest>,
    pub(super) cancel: CancellationToken,
}

impl Talk {
    /// The media stream is yet to start.
    pub(super) fn new() -> Self {
        Self::with(64)
    }

    /// The journal takes this many events.
    pub(super) fn with(journal_size: usize) -> Self {
        let (socket, carrier) = line();
        let (session, agent) = line();
        let (journal_in, journal) = mpsc::channel(journal_size);
        let (tools_in, tools) = mpsc::channel(2);
        let outlets = BridgeOutlets {
            journal: journal_in,
            tools: tools_in,
        };
        let cancel = CancellationToken::new();
        let bridge = Bridge::new(
            socket,
            Box::new(Words),
            Box::pin(session),
            Some(ProviderCallId::new("CA1")),
            outlets,
            LIMITS,
            cancel.clone().cancelled_owned(),
        );
        Self {
            bridge: Box::pin(bridge),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            carrier,
            agent,
            journal,
            tools,
            cancel,
        }
    }

    pub(super) async fn started() -> Self {
        let mut talk = Self::new();
        talk.carrier.says("start CA1");
        talk.goes_on().await;
        talk
    }

    /// Polls once if the bridge was woken.
    pub(super) fn poll(&mut self) -> Option<BridgeEnd> {
        if !self.woken.0.swap(false, Ordering::SeqCst) {
            return None;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.bridge.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(end) => Some(end),
            Poll::Pending => None,
        }
    }

    /// Polls as long as something wakes the bridge.
    pub(super) async fn run(&mut self) -> Option<BridgeEnd> {
        for _ in 0..1000 {
            // Timers fire, and tokio's budget is given anew.
            tokio::task::yield_now().await;
            if !self.woken.0.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(end) = self.poll() {
                return Some(end);
            }
        }
        panic!("the bridge wakes itself again and again");
    }

    pub(super) async fn goes_on(&mut self) {
        let end = self.run().await;
        assert!(end.is_none(), "the bridge ended: {end:?}");
    }

    pub(super) async fn ends(&mut self) -> BridgeEnd {
        self.run().await.expect("the bridge ends")
    }

    /// Time passes, and all the while the caller is silent in 20 ms frames.
    pub(super) async fn lives_for(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.carrier.says(frame(0));
            tokio::time::advance(Duration::from_secs(1)).await;
            self.goes_on().await;
        }
    }

    pub(super) fn events(&mut self) -> Vec<CallEventKind> {
        std::iter::from_fn(|| self.journal.try_recv().ok()).collect()
    }
}

/// 20 ms of audio with this sample in it.
pub(super) fn audio(sample: u8) -> Audio {
    Audio::encode(&[sample; 160], AudioFormat::Mulaw8k)
}

/// 20 ms of audio as the carrier sends and gets it.
pub(super) fn frame(sample: u8) -> String {
    let base64 = audio(sample).base64().to_vec();
    format!("audio {}", String::from_utf8(base64).unwrap())
}

/// The samples that an agent heard, one for each frame.
pub(super) fn samples(commands: &[AgentCommand]) -> Vec<u8> {
    let sample = |command: &AgentCommand| match command {
        AgentCommand::Audio(audio) => Some(audio.decode().unwrap()[0]),
        _ => None,
    };
    commands.iter().filter_map(sample).collect()
}

impl From<Audio> for AgentEvent {
    fn from(audio: Audio) -> Self {
        Self::Audio(audio)
    }
}
