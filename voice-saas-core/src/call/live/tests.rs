//! Agents' sockets that are opened before the media socket arrives.

use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

use super::*;
use crate::{
    id::AgentId,
    media::{
        Audio,
        line::{Agent, AgentLine, line},
    },
    provider::{
        ProviderName,
        telephony::{ProviderCallId, ProviderPage, Removal},
        voice_agent::{
            AgentCapabilities, AgentSpec, AgentWebhook, Attachment, Conversation, Direction, ProviderAgent,
            ProviderAgentId, Variables,
        },
    },
    secret::SecretString,
};

const PATIENCE: Duration = Duration::from_secs(3);

/// A platform that has one line, or refuses.
struct OneLine(Mutex<Option<AgentLine>>);

impl fmt::Debug for OneLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneLine")
    }
}

impl OneLine {
    fn error() -> ProviderError {
        ProviderError::new(ProviderName::new("fake"), "do this", ErrorKind::Unsupported)
    }
}

#[async_trait]
impl VoiceAgentProvider for OneLine {
    fn name(&self) -> ProviderName {
        ProviderName::new("fake")
    }

    fn capabilities(&self) -> AgentCapabilities {
        AgentCapabilities::new(false, true, false)
    }

    fn webhook(&self) -> Option<&dyn AgentWebhook> {
        None
    }

    async fn warm_up(&self) -> Result<(), ProviderError> {
        Err(Self::error())
    }

    async fn ensure_agent(
        &self,
        _: &AgentSpec,
        _: Option<&ProviderAgentId>,
    ) -> Result<ProviderAgentId, ProviderError> {
        Err(Self::error())
    }

    async fn delete_agent(&self, _: &ProviderAgentId) -> Result<Removal, ProviderError> {
        Err(Self::error())
    }

    async fn find_agent(&self, _: &ProviderAgentId) -> Result<Option<ProviderAgent>, ProviderError> {
        Err(Self::error())
    }

    async fn list_agents(&self, _: Option<&str>) -> Result<ProviderPage<ProviderAgent>, ProviderError> {
        Err(Self::error())
    }

    fn bridges(&self) -> bool {
        true
    }

    async fn attach(&self, _: &CallContext) -> Result<Attachment, ProviderError> {
        Err(Self::error())
    }

    async fn open(&self, _: &CallContext) -> Result<BoxAgentSession, ProviderError> {
        let line = self.0.lock().unwrap().take().ok_or_else(Self::error)?;
        Ok(Box::pin(line))
    }

    async fn conversation(&self, _: &ConversationId) -> Result<Conversation, ProviderError> {
        Err(Self::error())
    }
}

fn id() -> CallId {
    CallId::from_uuid(Uuid::from_u128(1))
}

/// Begins to open a line; the agent at its other end says these events.
fn open_ahead(events: impl IntoIterator<Item = AgentEvent>) -> (LiveCalls, Agent) {
    let calls = LiveCalls::default();
    let agent = open_in(&calls, events);
    (calls, agent)
}

fn open_in(calls: &LiveCalls, events: impl IntoIterator<Item = AgentEvent>) -> Agent {
    let (near, agent) = line();
    for event in events {
        agent.says(event);
    }
    let context = CallContext {
        call: id(),
        provider_call: ProviderCallId::new("CA1"),
        direction: Direction::Inbound,
        from: "+12125550100".to_owned(),
        to: "+12125550142".to_owned(),
        agent: AgentSpec::new(AgentId::from_uuid(Uuid::from_u128(3)), "Receptionist", "Help."),
        provider_agent: None,
        variables: Variables::new(),
        reference: String::new(),
        tool_token: SecretString::from(""),
        user: String::new(),
    };
    calls.open_ahead(Arc::new(OneLine(Mutex::new(Some(near)))), context, PATIENCE);
    agent
}

fn ready(input: AudioFormat, output: AudioFormat) -> AgentEvent {
    AgentEvent::Ready {
        conversation: ConversationId::new("conv_1"),
        input,
        output,
    }
}

fn telephony() -> AgentEvent {
    ready(AudioFormat::Mulaw8k, AudioFormat::Mulaw8k)
}

fn said(seconds: usize) -> AgentEvent {
    Audio::encode(&vec![1; seconds * 8_000], AudioFormat::Mulaw8k).into()
}

async fn opened(calls: &LiveCalls) -> OpenedSession {
    match calls.take_ahead(id()).unwrap().claim().await.unwrap() {
        Ok(opened) => opened,
        Err(failure) => panic!("it was not opened: {failure:?}"),
    }
}

async fn failure(calls: &LiveCalls) -> String {
    match calls.take_ahead(id()).unwrap().claim().await.unwrap() {
        Ok(_) => panic!("it was opened"),
        Err(failure) => format!("{failure:?}"),
    }
}

/// Whoever is ready to do something does it.
async fn after(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_opened_ahead_is_taken_once() {
    let (calls, agent) = open_ahead([AgentEvent::Idle, telephony()]);
    let opened = opened(&calls).await;
    assert_eq!(opened.conversation, ConversationId::new("conv_1"));
    assert!(opened.to_agent.is_none() && opened.to_caller.is_none());
    assert!(calls.take_ahead(id()).is_none());

    after(60).await;
    assert!(!agent.is_closed());
    drop(opened);
    assert!(agent.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_nobody_claims_is_closed() {
    let (calls, agent) = open_ahead([telephony()]);
    after(29).await;
    assert!(!agent.is_closed());
    after(2).await;
    assert!(agent.is_closed() && agent.is_hung_up());
    assert!(calls.take_ahead(id()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_is_gone_when_the_agent_is_ready_leaves_no_conversation_behind() {
    let (calls, agent) = open_ahead([]);
    let claim = calls.take_ahead(id()).unwrap().claim();
    assert!(tokio::time::timeout(Duration::from_secs(1), claim).await.is_err());
    agent.says(telephony());
    after(1).await;
    assert!(agent.is_closed() && agent.is_hung_up());
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_heard_while_it_waits_and_what_it_said_is_kept() {
    let (calls, agent) = open_ahead([telephony()]);
    agent.says(AgentEvent::Idle);
    agent.says(said(1));
    after(5).await;
    assert_eq!(agent.unread(), 0);
    agent.says(AgentEvent::Interrupted);
    after(5).await;
    assert_eq!(agent.unread(), 0);
    assert_eq!(opened(&calls).await.early, [said(1), AgentEvent::Interrupted]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_speaks_without_end_before_its_caller_comes_is_not_kept_without_end() {
    let (calls, agent) = open_ahead([telephony()]);
    agent.says_without_end(said(1));
    after(5).await;
    assert_eq!(opened(&calls).await.early.len(), 31);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_leaves_before_its_caller_comes_is_not_handed_over() {
    for leave in [|agent: &Agent| agent.ends(), |agent: &Agent| agent.breaks()] {
        let (calls, agent) = open_ahead([telephony()]);
        after(5).await;
        leave(&agent);
        after(1).await;
        assert!(agent.is_closed());
        assert!(calls.take_ahead(id()).is_none());

        // Not even to a caller who comes at the same time.
        let (calls, agent) = open_ahead([telephony()]);
        after(5).await;
        let ahead = calls.take_ahead(id()).unwrap();
        leave(&agent);
        after(1).await;
        assert!(ahead.claim().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_opening_of_a_call_replaces_the_first_and_outlives_it() {
    let (calls, first) = open_ahead([telephony()]);
    after(20).await;
    let second = open_in(&calls, [telephony()]);
    after(1).await;
    assert!(first.is_closed() && !second.is_closed());
    after(15).await;
    opened(&calls).await;

    // A first whose socket was taken does not take the second away either.
    let (calls, _first) = open_ahead([telephony()]);
    after(20).await;
    let taken = opened(&calls).await;
    let _second = open_in(&calls, [telephony()]);
    after(20).await;
    opened(&calls).await;
    drop(taken);
}

#[tokio::test(start_paused = true)]
async fn the_task_that_opened_a_socket_ends_when_it_is_taken() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let (calls, _agent) = open_ahead([telephony()]);
    after(1).await;
    assert_eq!(tasks(), before + 1);
    let _opened = opened(&calls).await;
    after(1).await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_ready_in_time_has_timed_out() {
    let (calls, agent) = open_ahead([AgentEvent::Idle]);
    let failure = failure(&calls).await;
    assert!(failure.contains("TimedOut"), "{failure}");
    assert!(agent.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_a_caller_who_comes_later_too() {
    let (calls, agent) = open_ahead([]);
    agent.ends();
    after(10).await;
    let failure = failure(&calls).await;
    assert!(failure.contains("Interrupted"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_speaks_pcm_is_translated() {
    let pcm = AudioFormat::Pcm16 { rate: 16_000 };
    let (calls, _agent) = open_ahead([ready(pcm, AudioFormat::Mulaw8k)]);
    let hears = opened(&calls).await;
    assert!(hears.to_agent.is_some() && hears.to_caller.is_none());
    let (calls, _agent) = open_ahead([ready(AudioFormat::Mulaw8k, pcm)]);
    let speaks = opened(&calls).await;
    assert!(speaks.to_agent.is_none() && speaks.to_caller.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_format_cannot_be_translated_cannot_take_the_call() {
    let cd = AudioFormat::Pcm16 { rate: 44_100 };
    for (input, output) in [(cd, AudioFormat::Mulaw8k), (AudioFormat::Mulaw8k, cd)] {
        let (calls, _agent) = open_ahead([ready(input, output)]);
        let failure = failure(&calls).await;
        assert!(failure.starts_with("Format"), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_hangs_up_before_it_is_ready_was_interrupted() {
    let (calls, agent) = open_ahead([AgentEvent::Idle]);
    agent.ends();
    let failure = failure(&calls).await;
    assert!(failure.contains("Interrupted"), "{failure}");
}
