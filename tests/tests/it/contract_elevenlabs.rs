//! The contract with ElevenLabs: every request of the adapter, what it says first on the agents socket, and every
//! answer of the emulator is what ElevenLabs' OpenAPI document says.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use voice_saas_core::provider::{
    telephony::{ProviderCallId, Removal},
    voice_agent::{
        AgentEvent, AgentSpec, Attachment, Binding, CallContext, ConversationId, ConversationStatus,
        Direction, ProviderAgentId, Variables, VoiceAgentProvider,
    },
};
use voice_saas_providers::{
    elevenlabs::{AttachMode, ElevenLabs, ElevenLabsBuilder, SHARED_AGENT_NAME},
    emulator::{Emulator, EmulatorConfig},
    http::RetryPolicy,
};
use voice_saas_tests::spec::{Answer, Exchange, Recorder, Spec, request_sites};

use crate::contract_twilio::{check, examine_answers, examine_requests};

const FILE: &str = "elevenlabs.json";
const INITIATION: &str = "ConversationInitiationClientDataRequest-Input";
const OURS: &str = "agt_018f3c1e5d0f7a3b9c2d4e5f60718293";
const GONE: &str = "agent_gone";

/// Every place in the adapter that makes a request, and what the request is.
const CONTRACTS: [(&str, &str); 8] = [
    ("agents.rs delete(DELETE)", "DELETE /v1/convai/agents/{agent_id}"),
    (
        "agents.rs get(\"find an agent\")",
        "GET /v1/convai/agents/{agent_id}",
    ),
    ("agents.rs get(\"list agents\")", "GET /v1/convai/agents"),
    (
        "agents.rs patch(\"update an agent\")",
        "PATCH /v1/convai/agents/{agent_id}",
    ),
    (
        "agents.rs post(\"create an agent\")",
        "POST /v1/convai/agents/create",
    ),
    (
        "attach.rs get(SIGN)",
        "GET /v1/convai/conversation/get-signed-url",
    ),
    ("attach.rs post(REGISTER)", "POST /v1/convai/twilio/register-call"),
    (
        "mod.rs get(\"read a conversation\")",
        "GET /v1/convai/conversations/{conversation_id}",
    ),
];

fn contracts() -> BTreeSet<String> {
    CONTRACTS
        .iter()
        .map(|(_, operation)| (*operation).to_owned())
        .collect()
}

/// An agent of which nothing is said that need not be.
fn least(binding: Binding) -> AgentSpec {
    AgentSpec::new(OURS.parse().expect("an id"), "Acme", "Be kind.").with_binding(binding)
}

/// An agent of which everything is said.
fn whole(binding: Binding) -> AgentSpec {
    AgentSpec::new(
        OURS.parse().expect("an id"),
        "Zoë's \"front\" desk",
        "Answer for {{business}} at {{system__time_utc}}.",
    )
    .with_first_message("Hello {{caller}}")
    .with_language("pt-BR")
    .with_voice(Some("voice_1".to_owned()))
    .with_binding(binding)
    .with_variables(Variables::from([
        ("business".to_owned(), json!("Acme")),
        ("open".to_owned(), json!(true)),
        ("tables".to_owned(), json!(12)),
        ("hours".to_owned(), json!([9, 17])),
        ("fax".to_owned(), Value::Null),
    ]))
}

fn call(agent: AgentSpec, direction: Direction, provider_agent: &ProviderAgentId) -> CallContext {
    CallContext {
        call: "call_018f3c1e5d0f7a3b9c2d4e5f60718293".parse().expect("an id"),
        provider_call: ProviderCallId::new("CA0123456789abcdef0123456789abcdef"),
        direction,
        from: "+14155550199".to_owned(),
        to: "+14155550100".to_owned(),
        provider_agent: (agent.binding == Binding::Dedicated).then(|| provider_agent.clone()),
        agent,
        variables: Variables::from([("caller".to_owned(), json!("Ada"))]),
        reference: "ref".to_owned(),
        tool_token: "token".into(),
        user: "ten_018f3c1e5d0f7a3b9c2d4e5f60718293".to_owned(),
    }
}

/// Sets everything that an operator may set.
fn set_up(builder: ElevenLabsBuilder) -> ElevenLabsBuilder {
    builder
        .with_llm("gemini-2.5-flash")
        .with_speech_model("eleven_flash_v2_5")
        .with_voice("voice_2")
        .with_initiation_secret("initiation".into())
        .with_webhook_secret("wsec_1".into())
}

/// The adapter without settings and with all of them.
fn adapters(recorder: &Recorder, attach: AttachMode) -> [ElevenLabs; 2] {
    let bare = || {
        ElevenLabs::builder("sk_test".into())
            .with_base_url(recorder.url().clone())
            .with_retry(RetryPolicy::none())
            .with_attach(attach)
    };
    [bare(), set_up(bare())].map(|builder| builder.build().expect("a valid set-up"))
}

/// A workspace that answers as the document says. Either it has every agent that is looked for, or none.
async fn workspace(spec: &Arc<Spec>, has_agents: bool, socket: &str) -> Recorder {
    let (spec, socket) = (Arc::clone(spec), socket.to_owned());
    Recorder::answering(move |exchange| {
        let Ok(operation) = spec.operation(&exchange.method, &exchange.path) else {
            return Answer::empty(404);
        };
        let answer = operation.answer();
        match (exchange.method.as_str(), operation.template()) {
            ("PATCH", _) if exchange.path.ends_with(GONE) => Answer::json(
                404,
                &json!({"detail": {"code": "agent_not_found", "message": "no"}}),
            ),
            ("GET", "/v1/convai/agents") if has_agents => {
                Answer::json(200, &listed(&spec, exchange, &answer))
            }
            ("GET", "/v1/convai/conversation/get-signed-url") => {
                Answer::json(200, &json!({"signed_url": socket}))
            }
            ("POST", "/v1/convai/twilio/register-call") => Answer::new(200, "text/html", "<Response/>"),
            _ => answer,
        }
    })
    .await
}

/// The document says nothing about what is inside an update, so each update is also held against what creates an
/// agent: the adapter sends the same for both.
fn updates_as_creations(exchanges: &[Exchange]) -> Vec<Exchange> {
    let updates = exchanges.iter().filter(|exchange| exchange.method == "PATCH");
    let creations = updates.map(|update| Exchange {
        method: "POST".to_owned(),
        path: "/v1/convai/agents/create".to_owned(),
        ..update.clone()
    });
    creations.collect()
}

/// A page with the agent that is looked for.
fn listed(spec: &Spec, exchange: &Exchange, empty: &Answer) -> Value {
    let mut query = url::form_urlencoded::parse(exchange.query.as_bytes());
    let search = query
        .find(|(name, _)| name == "search")
        .map(|(_, value)| value.into_owned());
    let mut page: Value = serde_json::from_slice(&empty.body).expect("a page");
    let mut agent = spec.least(spec.schema("AgentSummaryResponseModel"));
    agent["agent_id"] = json!("agent_found");
    agent["name"] = match search {
        Some(id) if id.starts_with("agt_") => json!(format!("Front desk [{id}]")),
        Some(name) => json!(name),
        None => json!(SHARED_AGENT_NAME),
    };
    page["agents"] = json!([agent]);
    page
}

/// An agents socket that keeps what it is told first.
async fn socket() -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!(
        "ws://{}/v1/convai/conversation",
        listener.local_addr().expect("an address")
    );
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut socket = tokio_tungstenite::accept_async(stream)
                .await
                .expect("a handshake");
            let first = socket.next().await.expect("a message").expect("a message");
            let message = serde_json::from_str(first.to_text().expect("text")).expect("JSON");
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

#[test]
fn every_place_that_makes_a_request_to_elevenlabs_has_a_contract() {
    assert_eq!(request_sites("elevenlabs"), CONTRACTS.map(|(site, _)| site));
}

#[tokio::test]
async fn every_request_to_elevenlabs_is_one_that_it_specifies() {
    let Some(spec) = Spec::load(FILE, check).map(Arc::new) else {
        return;
    };
    let (url, _first) = socket().await;
    let (empty, full) = (
        workspace(&spec, false, &url).await,
        workspace(&spec, true, &url).await,
    );
    let existing = ProviderAgentId::new("agent_1");
    for recorder in [&empty, &full] {
        for agents in adapters(recorder, AttachMode::RegisterCall) {
            agents.warm_up().await.expect("the shared agent is there");
            for agent in [
                least(Binding::Dedicated),
                whole(Binding::Dedicated),
                least(Binding::Shared),
            ] {
                for existing in [None, Some(&existing), Some(&ProviderAgentId::new(GONE))] {
                    agents
                        .ensure_agent(&agent, existing)
                        .await
                        .expect("the agent is there");
                }
            }
            agents.list_agents(None).await.expect("a page");
            agents.list_agents(Some("cursor=")).await.expect("a page");
            agents.find_agent(&existing).await.expect("an answer");
            assert_eq!(
                agents.delete_agent(&existing).await.expect("it goes"),
                Removal::Removed
            );
            let id = ConversationId::new("conv_1");
            agents.conversation(&id).await.expect("a conversation");
            for agent in [Binding::Shared, Binding::Dedicated]
                .into_iter()
                .flat_map(|it| [least(it), whole(it)])
            {
                for direction in [Direction::Inbound, Direction::Outbound] {
                    let call = call(agent.clone(), direction, &existing);
                    let attachment = agents.attach(&call).await.expect("TwiML");
                    assert_eq!(attachment, Attachment::Markup("<Response/>".to_owned()));
                    agents.open(&call).await.expect("a socket");
                }
            }
        }
    }
    let exchanges = [empty.exchanges(), full.exchanges()].concat();
    let (operations, mut violations) = examine_requests(&spec, &exchanges);
    violations.extend(examine_requests(&spec, &updates_as_creations(&exchanges)).1);
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(operations, contracts());
}

#[tokio::test]
async fn a_conversation_begins_with_data_that_elevenlabs_specifies() {
    let Some(spec) = Spec::load(FILE, check).map(Arc::new) else {
        return;
    };
    let (url, mut first) = socket().await;
    let recorder = workspace(&spec, false, &url).await;
    let existing = ProviderAgentId::new("agent_1");
    for agents in adapters(&recorder, AttachMode::Bridge) {
        for agent in [Binding::Shared, Binding::Dedicated]
            .into_iter()
            .flat_map(|it| [least(it), whole(it)])
        {
            let call = call(agent, Direction::Inbound, &existing);
            let session = agents.open(&call).await.expect("a socket");
            let message = first.recv().await.expect("a first message");
            drop(session);
            let answer = agents.webhook().expect("webhooks").answer_initiation(&call);
            let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
            for mut data in [message, answer] {
                let overrides = data.get("conversation_config_override");
                assert_eq!(
                    overrides.is_some(),
                    call.agent.binding == Binding::Shared,
                    "{data}"
                );
                let kind = data.as_object_mut().and_then(|data| data.remove("type"));
                assert_eq!(kind, Some(json!("conversation_initiation_client_data")));
                let violations = spec.violations(spec.schema(INITIATION), &data);
                assert!(violations.is_empty(), "{violations:#?}");
            }
        }
    }
}

#[tokio::test]
async fn the_emulator_answers_what_elevenlabs_specifies() {
    let Some(spec) = Spec::load(FILE, check) else {
        return;
    };
    let over = Arc::new(Notify::new());
    let told = Arc::clone(&over);
    let application = Recorder::answering(move |_| {
        told.notify_one();
        Answer::empty(200)
    })
    .await;
    let config =
        EmulatorConfig::new(([127, 0, 0, 1], 0).into()).with_post_call_url(application.url().clone());
    let emulator = Emulator::start(config).await.expect("a free port");
    let recorder = Recorder::in_front_of(emulator.url()).await;
    let builder = || {
        ElevenLabs::builder(emulator.elevenlabs_api_key().clone())
            .with_base_url(recorder.url().clone())
            .with_retry(RetryPolicy::none())
    };
    let bridge = builder().build().expect("a valid set-up");
    let register = set_up(builder())
        .with_attach(AttachMode::RegisterCall)
        .build()
        .expect("a valid set-up");

    for agents in [&bridge, &register] {
        // The second one finds what the first one made.
        agents.warm_up().await.expect("the shared agent is there");
    }
    let made = bridge
        .ensure_agent(&whole(Binding::Dedicated), None)
        .await
        .expect("it is made");
    let updated = register
        .ensure_agent(&least(Binding::Dedicated), Some(&made))
        .await;
    assert_eq!(updated.expect("it is brought up to date"), made);
    assert_eq!(bridge.list_agents(None).await.expect("a page").items.len(), 2);
    let found = bridge.find_agent(&made).await.expect("it is looked for");
    assert_eq!(found.expect("it is there").id, made);

    for agent in [whole(Binding::Shared), whole(Binding::Dedicated)] {
        let call = call(agent, Direction::Inbound, &made);
        register.attach(&call).await.expect("TwiML");
        let mut session = bridge.open(&call).await.expect("a socket");
        let id = loop {
            let event = session
                .next()
                .await
                .expect("the socket is open")
                .expect("an event");
            if let AgentEvent::Ready { conversation, .. } = event {
                break conversation;
            }
        };
        bridge.conversation(&id).await.expect("it is going on");
        session.close().await.expect("the socket closes");
        over.notified().await;
        let record = bridge.conversation(&id).await.expect("it is over");
        assert_eq!(record.status, ConversationStatus::Done);
        assert_eq!(record.reference.as_deref(), Some("ref"));
    }
    assert_eq!(
        bridge.delete_agent(&made).await.expect("it was there"),
        Removal::Removed
    );
    assert_eq!(
        bridge.delete_agent(&made).await.expect("it was there"),
        Removal::AlreadyGone
    );

    let (operations, violations) = examine_answers(&spec, &recorder.exchanges());
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(operations, contracts());
}
