//! Agents' sockets that are opened before the media socket arrives.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use uuid::Uuid;

use super::fakes::{Agent, AgentLine, line};
use crate::{
    call::LiveCalls,
    id::{AgentId, CallId},
    media::AudioFormat,
    provider::{
        ErrorKind, ProviderError, ProviderName,
        telephony::{ProviderCallId, ProviderPage, Removal},
        voice_agent::{
            AgentCapabilities, AgentEvent, AgentSpec, AgentWebhook, Attachment, BoxAgentSession, CallContext,
            Conversation, ConversationId, Direction, ProviderAgent, ProviderAgentId, Variables,
            VoiceAgentProvider,
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
    let (near, agent) = line();
    for event in events {
        agent.says(event);
    }
    let calls = LiveCalls::default();
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
    (calls, agent)
}

fn ready(input: AudioFormat, output: AudioFormat) -> AgentEvent {
    AgentEvent::Ready {
        conversation: ConversationId::new("conv_1"),
        input,
        output,
    }
}

async fn failure(calls: &LiveCalls) -> String {
    match calls.take_opening(id()).unwrap().await.unwrap() {
        Ok(_) => panic!("it was opened"),
        Err(failure) => format!("{failure:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_opened_ahead_is_taken_once() {
    let (calls, agent) = open_ahead([
        AgentEvent::Idle,
        ready(AudioFormat::Mulaw8k, AudioFormat::Mulaw8k),
    ]);
    let opened = calls.take_opening(id()).unwrap().await.unwrap();
    let Ok(opened) = opened else {
        panic!("it was not opened");
    };
    assert_eq!(opened.conversation, ConversationId::new("conv_1"));
    assert!(calls.take_opening(id()).is_none());

    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!agent.is_closed());
    drop(opened);
    assert!(agent.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_nobody_claims_is_closed() {
    let (calls, agent) = open_ahead([ready(AudioFormat::Mulaw8k, AudioFormat::Mulaw8k)]);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(!agent.is_closed());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(agent.is_closed());
    assert!(calls.take_opening(id()).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_ready_in_time_has_timed_out() {
    let (calls, agent) = open_ahead([AgentEvent::Idle]);
    let failure = failure(&calls).await;
    assert!(failure.contains("TimedOut"), "{failure}");
    assert!(agent.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_speaks_another_format_cannot_take_the_call() {
    let pcm = AudioFormat::Pcm16 { rate: 16_000 };
    for (input, output) in [(pcm, AudioFormat::Mulaw8k), (AudioFormat::Mulaw8k, pcm)] {
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
