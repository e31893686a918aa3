//! What the platform is told about a call, in each of the three ways.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio_tungstenite::{accept_async, tungstenite::Message};
use voice_saas_core::provider::{
    telephony::ProviderCallId,
    voice_agent::{AgentEvent, Direction},
};
use wiremock::matchers::body_json;

use super::*;

const REGISTER: &str = "/v1/convai/twilio/register-call";
const TWIML: &str = r#"<?xml version="1.0"?><Response><Connect><Stream url="wss://x"/></Connect></Response>"#;

fn call(agent: AgentSpec) -> CallContext {
    CallContext {
        call: "call_018f3c1e5d0f7a3b9c2d4e5f60718293".parse().unwrap(),
        provider_call: ProviderCallId::new("CA1"),
        direction: Direction::Inbound,
        from: "+14155550123".to_owned(),
        to: "+14155550100".to_owned(),
        agent,
        provider_agent: None,
        variables: Variables::from([
            ("business_name".to_owned(), json!("Acme")),
            ("call_ref".to_owned(), json!("forged")),
            ("secret__call_token".to_owned(), json!("forged")),
            ("system__caller_id".to_owned(), json!("forged")),
        ]),
        reference: "ref-1".to_owned(),
        tool_token: SecretString::from("token-1"),
        user: "ten_1".to_owned(),
    }
}

fn dedicated_call() -> CallContext {
    let mut call = call(dedicated());
    call.provider_agent = Some(ProviderAgentId::new("agent_7"));
    call
}

fn shared_call() -> CallContext {
    let agent = AgentSpec::new(
        AGENT_ID.parse().unwrap(),
        "Front desk",
        "Help {{caller_name}} with {{topic}}.",
    )
    .with_first_message("This is {{business_name}}.")
    .with_language("en-GB")
    .with_variables(Variables::from([("topic".to_owned(), json!("bookings"))]));
    call(agent)
}

fn shared_variables() -> Value {
    json!({
        "business_name": "Acme", "caller_name": "", "topic": "bookings",
        "call_id": "call_018f3c1e5d0f7a3b9c2d4e5f60718293", "call_ref": "ref-1",
        "caller_number": "+14155550123", "called_number": "+14155550100", "secret__call_token": "token-1",
    })
}

fn shared_data() -> Value {
    json!({
        "dynamic_variables": shared_variables(),
        "conversation_config_override": {
            "agent": {"first_message": "This is {{business_name}}.", "language": "en",
                "prompt": {"prompt": "Help {{caller_name}} with {{topic}}."}},
            "tts": {"voice_id": "voice_default"},
        },
        "user_id": "ten_1",
    })
}

fn shared_message() -> Value {
    let mut message = shared_data();
    message["type"] = json!("conversation_initiation_client_data");
    message
}

fn calls(server: &MockServer, attach: AttachMode) -> ElevenLabs {
    builder(server)
        .with_retry(RetryPolicy::default())
        .with_shared_agent(ProviderAgentId::new("agent_shared"))
        .with_voice("voice_default")
        .with_attach(attach)
        .build()
        .unwrap()
}

async fn on_register(server: &MockServer, body: Value, answer: ResponseTemplate) {
    Mock::given(method("POST"))
        .and(path(REGISTER))
        .and(header("accept", "text/html"))
        .and(body_json(body))
        .respond_with(answer)
        .expect(1)
        .mount(server)
        .await;
}

fn registration(agent: &str, direction: &str, data: &Value) -> Value {
    json!({"agent_id": agent, "from_number": "+14155550123", "to_number": "+14155550100",
        "direction": direction, "conversation_initiation_client_data": data})
}

fn twiml() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(TWIML, "text/html; charset=utf-8")
}

#[tokio::test]
async fn a_registered_call_gets_the_platforms_twiml_word_for_word() {
    let server = MockServer::start().await;
    on_register(
        &server,
        registration("agent_shared", "inbound", &shared_data()),
        twiml(),
    )
    .await;
    let attachment = calls(&server, AttachMode::RegisterCall)
        .attach(&shared_call())
        .await
        .unwrap();
    assert_eq!(attachment, Attachment::Markup(TWIML.to_owned()));
}

#[tokio::test]
async fn a_call_to_a_dedicated_agent_overrides_nothing() {
    let server = MockServer::start().await;
    let data = json!({
        "dynamic_variables": {
            "business_name": "Acme", "caller_name": "", "call_id": "call_018f3c1e5d0f7a3b9c2d4e5f60718293",
            "call_ref": "ref-1", "caller_number": "+14155550123", "called_number": "+14155550100",
            "secret__call_token": "token-1",
        },
        "user_id": "ten_1",
    });
    on_register(&server, registration("agent_7", "outbound", &data), twiml()).await;
    let mut call = dedicated_call();
    call.direction = Direction::Outbound;
    let attachment = calls(&server, AttachMode::RegisterCall)
        .attach(&call)
        .await
        .unwrap();
    assert_eq!(attachment, Attachment::Markup(TWIML.to_owned()));
}

#[tokio::test]
async fn a_registration_that_may_have_worked_is_not_repeated() {
    let server = MockServer::start().await;
    let body = registration("agent_shared", "inbound", &shared_data());
    on_register(&server, body, refused(500, "internal_error")).await;
    let error = calls(&server, AttachMode::RegisterCall)
        .attach(&shared_call())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerError);
}

#[tokio::test]
async fn what_is_not_twiml_is_not_passed_to_the_carrier() {
    let server = MockServer::start().await;
    let body = registration("agent_shared", "inbound", &shared_data());
    let answer = ResponseTemplate::new(200).set_body_json(json!({"twiml": TWIML}));
    on_register(&server, body, answer).await;
    let error = calls(&server, AttachMode::RegisterCall)
        .attach(&shared_call())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedAnswer);
}

#[tokio::test]
async fn a_bridged_call_is_attached_without_asking_anybody() {
    let server = MockServer::start().await;
    let agents = calls(&server, AttachMode::Bridge);
    assert!(agents.bridges());
    assert_eq!(agents.attach(&shared_call()).await.unwrap(), Attachment::Bridge);
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dedicated_agent_that_was_not_made_yet_takes_no_calls() {
    let server = MockServer::start().await;
    let agents = calls(&server, AttachMode::RegisterCall);
    let call = call(dedicated());
    assert_eq!(
        agents.attach(&call).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        agents.open(&call).await.err().map(|error| error.kind()),
        Some(ErrorKind::NotFound)
    );
}

#[tokio::test]
async fn a_socket_is_opened_by_a_signed_url_and_hears_of_the_call_first() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let signed_url = format!(
        "ws://{}/v1/convai/conversation?conversation_signature=s",
        listener.local_addr().unwrap()
    );
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/v1/convai/conversation/get-signed-url"))
        .and(query_param("agent_id", "agent_shared"))
        .and(query_param("include_conversation_id", "true"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"signed_url": signed_url})))
        .expect(1)
        .mount(&server)
        .await;
    let platform = tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        let first = socket.next().await.unwrap().unwrap();
        let metadata = json!({"type": "conversation_initiation_metadata", "conversation_initiation_metadata_event":
            {"conversation_id": "conv_1", "agent_output_audio_format": "ulaw_8000",
                "user_input_audio_format": "ulaw_8000"}});
        socket.send(Message::text(metadata.to_string())).await.unwrap();
        first
    });
    let mut session = calls(&server, AttachMode::Bridge)
        .open(&shared_call())
        .await
        .unwrap();
    assert!(matches!(session.next().await, Some(Ok(AgentEvent::Ready { .. }))));
    let first = platform.await.unwrap();
    let first: Value = serde_json::from_str(first.to_text().unwrap()).unwrap();
    assert_eq!(first, shared_message());
}

#[tokio::test]
async fn an_initiation_is_answered_with_everything_the_agent_needs() {
    let server = MockServer::start().await;
    let agents = calls(&server, AttachMode::Bridge);
    let answer = agents.webhook().unwrap().answer_initiation(&shared_call());
    assert_eq!(answer.content_type, "application/json");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body, shared_message());
}
