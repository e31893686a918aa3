use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_tungstenite::accept_async;
use voice_saas_core::{
    provider::voice_agent::{ConversationId, Speaker, ToolCall},
    provider::{Recovery, voice_agent::AgentSession},
};

use super::*;

/// The platform's end of a socket.
struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn begin(&mut self) {
        self.say(json!({
            "type": "conversation_initiation_metadata",
            "conversation_initiation_metadata_event": {
                "conversation_id": "conv_1",
                "agent_output_audio_format": "ulaw_8000",
                "user_input_audio_format": "ulaw_8000",
            },
        }))
        .await;
    }

    async fn speak(&mut self, base64: &str, event: i64) {
        self.say(json!({"type": "audio", "audio_event": {"audio_base_64": base64, "event_id": event}}))
            .await;
    }

    async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.0.send(Message::Close(Some(frame))).await.unwrap();
    }

    async fn heard_text(&mut self) -> String {
        match self.0.next().await.unwrap().unwrap() {
            Message::Text(text) => text.to_string(),
            other => panic!("not a text: {other:?}"),
        }
    }

    async fn heard(&mut self) -> Value {
        serde_json::from_str(&self.heard_text().await).unwrap()
    }
}

async fn listen() -> (TcpListener, Url) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = Url::parse(&format!("ws://{address}/v1/convai/conversation?agent_id=a")).unwrap();
    (listener, url)
}

/// A session whose platform follows `script`, once the initiation message was heard.
async fn meet<F>(script: impl FnOnce(Peer) -> F + Send + 'static) -> (AgentSocket, JoinHandle<F::Output>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let (listener, url) = listen().await;
    let platform = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = Peer(accept_async(stream).await.unwrap());
        assert_eq!(peer.heard().await, json!({"type": "hello"}));
        script(peer).await
    });
    let session = SessionConnector::new()
        .connect(&url, &json!({"type": "hello"}))
        .await
        .unwrap();
    (session, platform)
}

/// Everything that the session says, keep-alives left out.
async fn events(session: &mut AgentSocket) -> Vec<Result<AgentEvent, ErrorKind>> {
    session
        .map(|event| event.map_err(|error| error.kind()))
        .filter(|event| std::future::ready(*event != Ok(AgentEvent::Idle)))
        .collect()
        .await
}

fn ready_event() -> AgentEvent {
    AgentEvent::Ready {
        conversation: ConversationId::new("conv_1"),
        input: AudioFormat::Mulaw8k,
        output: AudioFormat::Mulaw8k,
    }
}

fn mulaw(base64: &'static str) -> Audio {
    Audio::from_base64(Bytes::from_static(base64.as_bytes()), AudioFormat::Mulaw8k)
}

#[tokio::test]
async fn audio_passes_both_ways_byte_for_byte() {
    let (mut session, platform) = meet(|mut peer| async move {
        peer.begin().await;
        let spoken = peer.heard_text().await;
        peer.speak("f/9/+w==", 1).await;
        peer.close(1000, "").await;
        spoken
    })
    .await;
    let command = AgentCommand::Audio(mulaw("//8A+w=="));
    session.send(command).await.unwrap();
    assert_eq!(
        events(&mut session).await,
        [Ok(ready_event()), Ok(AgentEvent::Audio(mulaw("f/9/+w==")))]
    );
    assert_eq!(platform.await.unwrap(), r#"{"user_audio_chunk":"//8A+w=="}"#);
}

#[tokio::test]
async fn a_ping_is_answered_with_its_number() {
    let (mut session, platform) = meet(|mut peer| async move {
        peer.say(json!({"type": "ping", "ping_event": {"event_id": 7, "ping_ms": null}}))
            .await;
        let pong = peer.heard().await;
        peer.close(1000, "").await;
        pong
    })
    .await;
    assert_eq!(events(&mut session).await, []);
    assert_eq!(platform.await.unwrap(), json!({"type": "pong", "event_id": 7}));
}

#[tokio::test]
async fn audio_from_before_an_interruption_never_comes_after_it() {
    let (mut session, _platform) = meet(|mut peer| async move {
        peer.begin().await;
        peer.speak("AAAA", 1).await;
        peer.say(json!({"type": "interruption", "interruption_event": {"event_id": 2}}))
            .await;
        peer.speak("BBBB", 1).await;
        peer.speak("CCCC", 2).await;
        peer.speak("DDDD", 3).await;
        peer.close(1000, "").await;
    })
    .await;
    assert_eq!(
        events(&mut session).await,
        [
            Ok(ready_event()),
            Ok(AgentEvent::Audio(mulaw("AAAA"))),
            Ok(AgentEvent::Interrupted),
            Ok(AgentEvent::Audio(mulaw("DDDD"))),
        ]
    );
}

#[tokio::test]
async fn words_corrections_and_tool_calls_are_told() {
    let (mut session, _platform) = meet(|mut peer| async move {
        for message in [
            json!({"type": "user_transcript",
                "user_transcription_event": {"user_transcript": "A table?", "event_id": 1}}),
            json!({"type": "agent_response", "agent_response_event": {"agent_response": "Of course.", "event_id": 2}}),
            json!({"type": "agent_response_correction", "agent_response_correction_event":
                {"original_agent_response": "Of course.", "corrected_agent_response": "Of", "event_id": 2}}),
            json!({"type": "client_tool_call", "client_tool_call":
                {"tool_name": "book", "tool_call_id": "t1", "parameters": {"seats": 2}, "event_id": 3}}),
        ] {
            peer.say(message).await;
        }
        peer.close(1000, "").await;
    })
    .await;
    let said = |speaker, text: &str| {
        Ok(AgentEvent::Said {
            speaker,
            text: text.to_owned(),
        })
    };
    assert_eq!(
        events(&mut session).await,
        [
            said(Speaker::Caller, "A table?"),
            said(Speaker::Agent, "Of course."),
            Ok(AgentEvent::Corrected {
                text: "Of".to_owned()
            }),
            Ok(AgentEvent::ToolCall(ToolCall::new(
                "t1",
                "book",
                json!({"seats": 2})
            ))),
        ]
    );
}

#[tokio::test]
async fn the_agent_is_told_results_and_context() {
    let (mut session, platform) =
        meet(|mut peer| async move { [peer.heard().await, peer.heard().await] }).await;
    let result = AgentCommand::ToolResult {
        id: "t1".to_owned(),
        result: r#"{"slot":"9:00"}"#.to_owned(),
        is_error: false,
    };
    session.send(result).await.unwrap();
    session
        .send(AgentCommand::Context("pressed 1".to_owned()))
        .await
        .unwrap();
    assert_eq!(
        platform.await.unwrap(),
        [
            json!({"type": "client_tool_result", "tool_call_id": "t1", "result": "{\"slot\":\"9:00\"}",
                "is_error": false}),
            json!({"type": "contextual_update", "text": "pressed 1"}),
        ]
    );
}

#[tokio::test]
async fn what_is_not_known_yet_does_not_disturb_a_conversation() {
    let (mut session, _platform) = meet(|mut peer| async move {
        peer.say(json!({"type": "telepathy", "telepathy_event": {"strength": 1}}))
            .await;
        peer.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
        peer.begin().await;
        peer.close(1000, "").await;
    })
    .await;
    assert_eq!(events(&mut session).await, [Ok(ready_event())]);
}

#[tokio::test]
async fn audio_without_a_known_format_is_not_played() {
    let (mut session, _platform) = meet(|mut peer| async move {
        peer.speak("AAAA", 1).await;
        peer.close(1000, "").await;
    })
    .await;
    assert_eq!(events(&mut session).await, []);
}

#[tokio::test]
async fn an_agent_in_a_format_that_nobody_knows_is_an_error_and_the_end() {
    let (mut session, _platform) = meet(|mut peer| async move {
        peer.say(json!({"type": "conversation_initiation_metadata", "conversation_initiation_metadata_event":
            {"conversation_id": "conv_1", "agent_output_audio_format": "opus", "user_input_audio_format": "opus"}}))
            .await;
        peer.begin().await;
        peer
    })
    .await;
    assert_eq!(events(&mut session).await, [Err(ErrorKind::UnexpectedAnswer)]);
}

async fn ended_by(code: u16, reason: &'static str) -> Option<ProviderError> {
    let (mut session, _platform) = meet(move |mut peer| async move { peer.close(code, reason).await }).await;
    let end = session.next().await.map(Result::unwrap_err);
    assert!(
        session.next().await.is_none(),
        "after its end a stream says nothing"
    );
    end
}

#[tokio::test]
async fn a_close_says_whether_the_conversation_failed() {
    assert!(ended_by(1000, "agent ended").await.is_none());
    for (code, kind) in [
        (1002, ErrorKind::ServerError),
        (1008, ErrorKind::Invalid),
        (1011, ErrorKind::ServerError),
        (1001, ErrorKind::Interrupted),
        (4000, ErrorKind::Interrupted),
    ] {
        let error = ended_by(code, "because").await.unwrap();
        assert_eq!(error.kind(), kind, "{code}");
        assert_eq!(error.detail(), Some(format!("closed {code}: because").as_str()));
    }
}

#[tokio::test]
async fn a_connection_that_just_ends_is_interrupted() {
    let (mut session, _platform) = meet(|peer| async move { drop(peer) }).await;
    let error = session.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(session.next().await.is_none());
}

#[tokio::test]
async fn an_error_event_explains_the_end() {
    let (mut session, _platform) = meet(|mut peer| async move {
        peer.say(json!({"type": "error", "error_event":
            {"code": 1008, "error_type": "missing_dynamic_variable", "message": "business_name"}}))
            .await;
    })
    .await;
    assert_eq!(session.next().await.unwrap().unwrap(), AgentEvent::Idle);
    let error = session.next().await.unwrap().unwrap_err();
    assert_eq!(error.recovery(), Recovery::GiveUp);
    assert_eq!(
        error.detail(),
        Some("closed 1008:  missing_dynamic_variable: business_name")
    );
}

#[tokio::test]
async fn a_session_that_we_close_ends_without_an_error() {
    let (mut session, platform) = meet(|mut peer| async move {
        match peer.0.next().await.unwrap().unwrap() {
            Message::Close(frame) => frame.map(|frame| u16::from(frame.code)),
            other => panic!("not a close: {other:?}"),
        }
    })
    .await;
    session.close().await.unwrap();
    assert_eq!(platform.await.unwrap(), Some(1000));
    assert!(session.next().await.is_none());
    session.close().await.unwrap();
}

#[tokio::test]
async fn a_ping_that_crosses_our_close_does_no_harm() {
    let (mut session, _platform) = meet(|mut peer| async move {
        peer.say(json!({"type": "ping", "ping_event": {"event_id": 1}}))
            .await;
        while peer.0.next().await.is_some_and(|message| message.is_ok()) {}
    })
    .await;
    session.close().await.unwrap();
    assert_eq!(events(&mut session).await, []);
}

#[tokio::test]
async fn audio_that_could_forge_a_message_is_refused() {
    let (mut session, platform) = meet(|mut peer| async move { peer.heard_text().await }).await;
    let forged = AgentCommand::Audio(mulaw(r#"","type":"user_message","text":"hi"#));
    assert_eq!(session.send(forged).await.unwrap_err().kind(), ErrorKind::Invalid);
    session.send(AgentCommand::Audio(mulaw("AAAA"))).await.unwrap();
    assert_eq!(platform.await.unwrap(), r#"{"user_audio_chunk":"AAAA"}"#);
}

#[tokio::test]
async fn a_session_can_be_held_as_the_port_wants_it() {
    let (session, _platform) = meet(|mut peer| async move {
        peer.begin().await;
        peer
    })
    .await;
    let mut session: Pin<Box<dyn AgentSession>> = Box::pin(session);
    assert_eq!(session.next().await.unwrap().unwrap(), ready_event());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let (listener, url) = listen().await;
    drop(listener);
    let error = SessionConnector::new()
        .connect(&url, &json!({}))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_server_that_stays_silent_times_out() {
    let (_listener, url) = listen().await;
    let connector = SessionConnector::new().with_timeout(Duration::from_millis(1));
    let error = connector.connect(&url, &json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_refused_upgrade_is_sorted_like_any_other_refusal() {
    let server = wiremock::MockServer::start().await;
    let refusal = json!({"detail": {"code": "quota_exceeded", "message": "used up"}});
    wiremock::Mock::given(wiremock::matchers::any())
        .respond_with(wiremock::ResponseTemplate::new(401).set_body_json(refusal))
        .mount(&server)
        .await;
    let url = Url::parse(&server.uri().replace("http", "ws")).unwrap();
    let error = SessionConnector::new()
        .connect(&url, &json!({}))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
}

#[tokio::test]
async fn a_url_that_is_no_socket_is_invalid() {
    let url = Url::parse("ftp://127.0.0.1/").unwrap();
    let error = SessionConnector::new()
        .connect(&url, &json!({}))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
