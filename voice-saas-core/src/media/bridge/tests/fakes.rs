//! A carrier's protocol of plain words, and a driver that polls a bridge only when it was woken.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

use crate::{
    call::{CallEventKind, OpenFailure, OpenedSession},
    media::{
        Audio, AudioFormat, Bridge, BridgeEnd, BridgeLimits, BridgeOrders, BridgeOutlets, MediaCommand,
        MediaError, MediaEvent, MediaStreamCodec, ToolRequest,
        line::{Agent, AgentLine, Carrier, Near, line},
    },
    provider::{
        BoxError,
        telephony::ProviderCallId,
        voice_agent::{AgentCommand, ConversationId},
    },
};

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
    pub(super) orders: BridgeOrders,
    opening: Option<oneshot::Sender<Result<OpenedSession, OpenFailure>>>,
    near: Option<AgentLine>,
}

/// An agent's socket that was just opened.
pub(super) fn opened(near: AgentLine) -> OpenedSession {
    OpenedSession::new(Box::pin(near), ConversationId::new("conv_1"))
}

impl Talk {
    /// The media stream is yet to start.
    pub(super) fn new() -> Self {
        Self::with(64)
    }

    /// The journal takes this many events.
    pub(super) fn with(journal_size: usize) -> Self {
        let mut talk = Self::opening(journal_size);
        talk.opens(|_| {});
        talk
    }

    /// The agent's socket is yet to be opened.
    pub(super) fn opening(journal_size: usize) -> Self {
        let (socket, carrier) = line();
        let (near, agent) = line();
        let (opening, open) = oneshot::channel();
        let (journal_in, journal) = mpsc::channel(journal_size);
        let (tools_in, tools) = mpsc::channel(2);
        let outlets = BridgeOutlets {
            journal: journal_in,
            tools: tools_in,
        };
        let orders = BridgeOrders::default();
        let bridge = Bridge::new(
            socket,
            Box::new(Words),
            Box::pin(async { open.await.unwrap() }),
            Some(ProviderCallId::new("CA1")),
            outlets,
            LIMITS,
            orders.clone(),
        );
        Self {
            bridge: Box::pin(bridge),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            carrier,
            agent,
            journal,
            tools,
            orders,
            opening: Some(opening),
            near: Some(near),
        }
    }

    /// The agent's socket is open.
    pub(super) fn opens(&mut self, prepare: impl FnOnce(&mut OpenedSession)) {
        let mut session = opened(self.near.take().unwrap());
        prepare(&mut session);
        assert!(self.opening.take().unwrap().send(Ok(session)).is_ok());
    }

    /// The agent's socket cannot be opened.
    pub(super) fn fails(&mut self, failure: OpenFailure) {
        assert!(self.opening.take().unwrap().send(Err(failure)).is_ok());
    }

    pub(super) async fn started() -> Self {
        let mut talk = Self::new();
        talk.carrier.says("start CA1");
        talk.goes_on().await;
        talk.events();
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

    /// How many seconds it goes on while the caller is silent, and how it ends.
    pub(super) async fn lasts(&mut self) -> (u64, BridgeEnd) {
        self.goes_on().await;
        for second in 1..10_000 {
            self.carrier.says(frame(0));
            tokio::time::advance(Duration::from_secs(1)).await;
            if let Some(end) = self.run().await {
                return (second, end);
            }
        }
        panic!("the bridge does not end");
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
