use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::app::App;
use super::{Bench, answer, send};
use crate::emulator::audio::{FRAME, Heard, SPEECH_TEXT, ToneReader, probe, speak};
use crate::emulator::{CallerAudio, Fault, FaultKind, Operation, PlaceCall, Script, Speaker};

/// A client on the agent socket.
struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    seen: Vec<Value>,
}

impl Client {
    async fn connect(url: &str) -> Self {
        let (socket, _) = connect_async(url).await.expect("the socket opens");
        Self {
            socket,
            seen: Vec::new(),
        }
    }

    async fn send(&mut self, body: Value) {
        self.socket
            .send(Message::text(body.to_string()))
            .await
            .expect("the socket is open");
    }

    async fn begin(&mut self, variables: Value) {
        self.send(json!({"type": "conversation_initiation_client_data", "dynamic_variables": variables}))
            .await;
    }

    async fn say(&mut self, audio: &[u8]) {
        for frame in audio.chunks(FRAME) {
            self.send(json!({"user_audio_chunk": STANDARD.encode(frame)}))
                .await;
        }
    }

    /// The next event of a kind; answers pings meanwhile.
    async fn next(&mut self, kind: &str) -> Value {
        loop {
            let message = self
                .socket
                .next()
                .await
                .expect("the socket is open")
                .expect("a message");
            let Message::Text(text) = message else {
                panic!("{kind} does not come before {message:?}")
            };
            let event: Value = serde_json::from_str(&text).expect("JSON");
            self.seen.push(event.clone());
            if event["type"] == "ping" {
                self.send(json!({"type": "pong", "event_id": event["ping_event"]["event_id"]}))
                    .await;
            }
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// The code and reason of the close frame, whatever comes before it.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Text(text))) => self.seen.push(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return (1006, String::new()),
            }
        }
    }

    /// The text in the audio events that came so far.
    fn heard(&self) -> Vec<String> {
        let mut reader = ToneReader::default();
        let audio: Vec<u8> = self
            .seen
            .iter()
            .filter_map(|event| event["audio_event"]["audio_base_64"].as_str())
            .flat_map(|audio| STANDARD.decode(audio).expect("base64"))
            .collect();
        let texts = audio.chunks(FRAME).filter_map(|frame| match reader.push(frame) {
            Some(Heard::Text { text, .. }) => Some(text),
            _ => None,
        });
        texts.collect()
    }
}

impl Bench {
    async fn signed_url(&self, agent: &str, more: &str) -> String {
        let path = format!("/v1/convai/conversation/get-signed-url?agent_id={agent}{more}");
        let (status, body) = answer(self.elevenlabs(Method::GET, &path)).await;
        assert_eq!(status, 200, "{body}");
        body["signed_url"].as_str().expect("a URL").to_owned()
    }

    fn public_url(&self, agent: &str) -> String {
        format!(
            "ws://{}/v1/convai/conversation?agent_id={agent}",
            self.emulator.addr()
        )
    }
}

#[tokio::test]
async fn agents_are_made_merged_listed_and_deleted() {
    let bench = Bench::start().await;
    let agent = bench.agent("Hello").await;
    bench.agent("Other").await;
    let item = format!("/v1/convai/agents/{agent}");
    let change = json!({"conversation_config": {"agent": {"language": "cs"}}, "name": "Renamed"});
    let (status, patched) = answer(bench.elevenlabs(Method::PATCH, &item).json(&change)).await;
    assert_eq!((status, &patched["name"]), (200, &json!("Renamed")));
    let spoken = &patched["conversation_config"]["agent"];
    assert_eq!(
        (&spoken["first_message"], &spoken["language"]),
        (&json!("Hello"), &json!("cs"))
    );
    let first = answer(bench.elevenlabs(Method::GET, "/v1/convai/agents?page_size=1"))
        .await
        .1;
    let rest = format!(
        "/v1/convai/agents?page_size=1&cursor={}",
        first["next_cursor"].as_str().expect("more")
    );
    let second = answer(bench.elevenlabs(Method::GET, &rest)).await.1;
    assert_eq!(
        (&second["agents"][0]["agent_id"], &second["has_more"]),
        (&json!(agent), &json!(false))
    );
    assert_eq!(answer(bench.elevenlabs(Method::DELETE, &item)).await.0, 200);
    let (status, gone) = answer(bench.elevenlabs(Method::GET, &item)).await;
    assert_eq!(
        (status, &gone["detail"]["code"]),
        (404, &json!("agent_not_found"))
    );
}

#[tokio::test]
async fn wrong_agents_and_keys_are_refused_in_the_documented_envelopes() {
    let bench = Bench::start().await;
    let wrong = json!({"conversation_config": {"tts": {"agent_output_audio_format": "opus"}}});
    let (status, body) = answer(
        bench
            .elevenlabs(Method::POST, "/v1/convai/agents/create")
            .json(&wrong),
    )
    .await;
    assert_eq!(
        (status, &body["detail"][0]["loc"][3]),
        (422, &json!("agent_output_audio_format"))
    );
    let (status, body) = answer(
        bench
            .http
            .get(bench.url("/v1/convai/agents"))
            .header("xi-api-key", "x"),
    )
    .await;
    assert_eq!(
        (status, &body["detail"]["code"]),
        (401, &json!("invalid_api_key"))
    );
}

#[tokio::test]
async fn a_conversation_is_spoken_understood_and_reported() {
    let (bench, app) = (Bench::start().await, App::start().await);
    bench
        .emulator
        .set_post_call_url(app.url("/post-call").parse().expect("a URL"));
    let agent = bench.agent("Hello, this is {{business_name}}.").await;
    let mut client = Client::connect(&bench.public_url(&agent)).await;
    client
        .begin(json!({"business_name": "Acme", "business_id": "b_1"}))
        .await;
    let metadata = client.next("conversation_initiation_metadata").await;
    let metadata = &metadata["conversation_initiation_metadata_event"];
    assert_eq!(metadata["agent_output_audio_format"], "ulaw_8000");
    let id = metadata["conversation_id"].as_str().expect("an id").to_owned();
    let greeting = client.next("agent_response").await;
    assert_eq!(
        greeting["agent_response_event"]["agent_response"],
        "Hello, this is Acme."
    );
    client.next("audio").await;
    client.say(&probe(7)).await;
    let echo = client.next("audio").await;
    assert_eq!(echo["audio_event"]["audio_base_64"], STANDARD.encode(probe(7)));
    assert_eq!(client.heard(), ["Hello, this is Acme."]);
    client
        .say(&speak("please call tool lookup {\"name\": \"Ann\"}"))
        .await;
    let call = client.next("client_tool_call").await["client_tool_call"].take();
    assert_eq!(
        (&call["tool_name"], &call["parameters"]),
        (&json!("lookup"), &json!({"name": "Ann"}))
    );
    client.send(json!({"type": "client_tool_result", "tool_call_id": call["tool_call_id"], "result": "found", "is_error": false})).await;
    let spoken = client.next("agent_response").await;
    assert_eq!(
        spoken["agent_response_event"]["agent_response"],
        "The tool lookup answered: found"
    );
    client.socket.close(None).await.expect("the socket closes");

    let [webhook] = &app.wait_for("/post-call", 1).await[..] else {
        panic!("one webhook")
    };
    let signature = webhook.header("elevenlabs-signature");
    let (time, hash) = signature
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(",v0="))
        .expect("a signature");
    assert!(time.parse::<i64>().is_ok() && hash.len() == 64, "{signature}");
    let body: Value = serde_json::from_slice(&webhook.body).expect("JSON");
    assert_eq!(
        (&body["type"], &body["data"]["conversation_id"]),
        (&json!("post_call_transcription"), &json!(id))
    );
    assert_eq!(
        body["data"]["conversation_initiation_client_data"]["dynamic_variables"]["business_id"],
        "b_1"
    );
    let (_, conversation) =
        answer(bench.elevenlabs(Method::GET, &format!("/v1/convai/conversations/{id}"))).await;
    assert_eq!(
        (&conversation["status"], &body["data"]),
        (&json!("done"), &conversation)
    );
    let roles: Vec<_> = conversation["transcript"]
        .as_array()
        .expect("turns")
        .iter()
        .map(|turn| turn["role"].clone())
        .collect();
    assert_eq!(roles, ["agent", "user", "agent", "agent", "agent"]);
}

#[tokio::test]
async fn speaking_into_the_greeting_interrupts_it() {
    let bench = Bench::start().await;
    let agent = bench
        .agent("Hello, this is a rather long greeting that nobody wants to hear to its end.")
        .await;
    let mut client = Client::connect(&bench.public_url(&agent)).await;
    client.begin(json!({"business_name": "Acme"})).await;
    client.next("audio").await;
    client.say(&speak("stop")).await;
    let interruption = client.next("interruption").await["interruption_event"]["event_id"].as_u64();
    client.next("agent_response_correction").await;
    let next = client.next("audio").await["audio_event"]["event_id"].as_u64();
    assert!(
        interruption.is_some() && interruption < next,
        "{interruption:?} {next:?}"
    );
}

#[tokio::test]
async fn a_goodbye_ends_the_conversation_from_the_agents_side() {
    let bench = Bench::start().await;
    let agent = bench.agent("").await;
    let mut client = Client::connect(&bench.public_url(&agent)).await;
    client.begin(json!({"business_name": "A"})).await;
    client.say(&speak("goodbye")).await;
    assert_eq!(client.closed().await.0, 1000);
    assert_eq!(client.heard(), ["Goodbye from A."]);
}

#[tokio::test]
async fn what_breaks_the_contract_is_closed_with_1008_after_an_error_event() {
    let bench = Bench::start().await;
    let agent = bench.agent("Hello, this is {{business_name}}.").await;
    let data = |body: Value| {
        let mut data = json!({"type": "conversation_initiation_client_data"});
        data.as_object_mut()
            .expect("an object")
            .extend(body.as_object().expect("an object").clone());
        data
    };
    let prompt = json!({"agent": {"prompt": {"prompt": "x"}}});
    let cases = [
        (data(json!({})), "missing_dynamic_variable"),
        (
            data(
                json!({"dynamic_variables": {"business_name": "A"}, "conversation_config_override": prompt}),
            ),
            "override_error",
        ),
        (json!({"user_audio_chunk": ""}), "invalid_message"),
    ];
    for (message, expected) in cases {
        let mut client = Client::connect(&bench.public_url(&agent)).await;
        client.send(message).await;
        let (code, reason) = client.closed().await;
        assert_eq!((code, reason.split(':').next()), (1008, Some(expected)));
        assert_eq!(
            client
                .seen
                .last()
                .map(|event| &event["error_event"]["error_type"]),
            Some(&json!(expected))
        );
    }
    let mut unknown = Client::connect(&bench.public_url("agent_none")).await;
    assert_eq!(unknown.closed().await.0, 1008);
}

#[tokio::test]
async fn a_signed_url_with_a_conversation_id_is_good_once_and_expires() {
    let bench = Bench::start().await;
    let agent = bench.agent("Hi").await;
    let url = bench.signed_url(&agent, "&include_conversation_id=true").await;
    let id = url
        .split("conversation_id=")
        .nth(1)
        .expect("the id is in the URL")
        .to_owned();
    let mut client = Client::connect(&url).await;
    client.begin(json!({"business_name": "A"})).await;
    let metadata = client.next("conversation_initiation_metadata").await;
    assert_eq!(
        metadata["conversation_initiation_metadata_event"]["conversation_id"],
        json!(id)
    );
    assert_eq!(Client::connect(&url).await.closed().await.0, 1008);
    let late = bench.signed_url(&agent, "").await;
    bench.emulator.advance_clock(std::time::Duration::from_mins(16));
    assert_eq!(Client::connect(&late).await.closed().await.0, 1008);
}

#[tokio::test]
async fn a_private_agent_wants_a_signed_url() {
    let bench = Bench::start().await;
    let agent = bench.agent("Hi").await;
    let auth = json!({"platform_settings": {"auth": {"enable_auth": true}}});
    let path = format!("/v1/convai/agents/{agent}");
    assert_eq!(
        answer(bench.elevenlabs(Method::PATCH, &path).json(&auth)).await.0,
        200
    );
    assert_eq!(
        Client::connect(&bench.public_url(&agent)).await.closed().await.0,
        1008
    );
    let mut client = Client::connect(&bench.signed_url(&agent, "").await).await;
    client.begin(json!({"business_name": "A"})).await;
    client.next("conversation_initiation_metadata").await;
}

#[tokio::test]
async fn a_dropped_conversation_socket_has_no_close_frame() {
    let bench = Bench::start().await;
    let agent = bench.agent("Hi").await;
    let fault = Fault::new(Operation::ConversationSocket, FaultKind::DropSocket);
    bench
        .emulator
        .inject(fault.with_delay(std::time::Duration::from_millis(50)))
        .expect("a possible fault");
    let mut client = Client::connect(&bench.public_url(&agent)).await;
    client.begin(json!({"business_name": "A"})).await;
    client.next("audio").await;
    assert_eq!(client.closed().await.0, 1006);
}

#[tokio::test]
async fn a_registered_call_talks_to_the_agent_and_barges_in() {
    let (bench, app) = (Bench::start().await, App::start().await);
    bench
        .emulator
        .set_post_call_url(app.url("/post-call").parse().expect("a URL"));
    let number = bench.buy(&app).await;
    let agent = bench
        .agent("Hello, this is {{business_name}}. How can I help you today?")
        .await;
    let body = json!({"agent_id": agent, "from_number": "+14155550199", "to_number": number,
        "conversation_initiation_client_data": {"dynamic_variables": {"business_name": "Acme", "call_ref": "r_1"}}});
    let request = bench
        .elevenlabs(Method::POST, "/v1/convai/twilio/register-call")
        .json(&body);
    let response = send(request).await.expect("an answer");
    assert!(
        response.headers()["content-type"]
            .to_str()
            .is_ok_and(|kind| kind.starts_with("text/html"))
    );
    app.answer("/voice", &response.text().await.expect("TwiML"));
    let script = Script::new()
        .with_audio(CallerAudio::Silence)
        .with_say("book me")
        .with_barge_in();
    let sid = bench
        .emulator
        .place_call(PlaceCall::new("+14155550199", &number).with_script(script));
    let report = bench
        .emulator
        .wait_for_call(&sid.expect("placed"))
        .await
        .expect("known");
    let lines: Vec<_> = report
        .transcript
        .iter()
        .map(|line| (line.role, line.text.as_str(), line.interrupted))
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.contains(&(Speaker::Caller, "book me", false)));
    assert!(
        lines
            .iter()
            .any(|(role, text, cut)| *role == Speaker::Agent && *cut && text.starts_with("Hello, this"))
    );
    assert_eq!(
        lines[2],
        (Speaker::Agent, "This is Acme. I heard: book me", false)
    );
    assert_eq!(report.clears, 1);
    assert_eq!(report.round_trip.map(|trip| trip.samples), Some(25));
    let [webhook] = &app.wait_for("/post-call", 1).await[..] else {
        panic!("one webhook")
    };
    let body: Value = serde_json::from_slice(&webhook.body).expect("JSON");
    assert_eq!(
        body["data"]["conversation_initiation_client_data"]["dynamic_variables"]["call_ref"],
        "r_1"
    );
    assert_eq!(
        body["data"]["metadata"]["phone_call"]["agent_number"],
        json!(number)
    );
}

#[tokio::test]
async fn the_recorded_sentence_is_recognised_over_the_telephone() {
    let (bench, app) = (Bench::start().await, App::start().await);
    let number = bench.buy(&app).await;
    let agent = bench.agent("Hi").await;
    let body = json!({"agent_id": agent, "from_number": "+14155550199", "to_number": number,
        "conversation_initiation_client_data": {"dynamic_variables": {"business_name": "A"}}});
    let request = bench
        .elevenlabs(Method::POST, "/v1/convai/twilio/register-call")
        .json(&body);
    let response = send(request).await.expect("an answer");
    app.answer("/voice", &response.text().await.expect("TwiML"));
    let script = Script::new().without_probe().without_recording();
    let sid = bench
        .emulator
        .place_call(PlaceCall::new("+14155550199", &number).with_script(script));
    let report = bench
        .emulator
        .wait_for_call(&sid.expect("placed"))
        .await
        .expect("known");
    let expected = format!("This is A. I heard: {SPEECH_TEXT}");
    assert_eq!(
        report.transcript.last().map(|line| line.text.as_str()),
        Some(expected.as_str())
    );
    assert_eq!((report.clears, report.heard_wav), (0, None));
}

#[tokio::test]
async fn a_server_tool_is_called_with_what_its_configuration_binds() {
    let (bench, app) = (Bench::start().await, App::start().await);
    app.answer("/tools/book", "{\"booked\":true}");
    let secret = json!({"type": "new", "name": "key", "value": "s3cret"});
    let secret = answer(bench.elevenlabs(Method::POST, "/v1/convai/secrets").json(&secret))
        .await
        .1;
    let config = json!({"tool_config": {
    "type": "webhook", "name": "book", "description": "Books", "api_schema": {
        "url": app.url("/tools/book"), "method": "POST",
        "request_headers": {"x-tool-key": {"secret_id": secret["secret_id"]},
                            "x-call-token": {"variable_name": "secret__token"}},
        "request_body_schema": {"type": "object", "properties": {
            "slot": {"type": "string", "description": "start"},
            "conversation": {"type": "string", "dynamic_variable": "system__conversation_id"}}},
    }}});
    let (status, tool) = answer(bench.elevenlabs(Method::POST, "/v1/convai/tools").json(&config)).await;
    assert_eq!(status, 200, "{tool}");
    let agent = bench.agent("").await;
    let change = json!({"conversation_config": {"agent": {"prompt": {"tool_ids": [tool["id"]]}}}});
    let path = format!("/v1/convai/agents/{agent}");
    assert_eq!(
        answer(bench.elevenlabs(Method::PATCH, &path).json(&change))
            .await
            .0,
        200
    );
    let mut client = Client::connect(&bench.public_url(&agent)).await;
    client
        .begin(json!({"business_name": "A", "secret__token": "tok"}))
        .await;
    client
        .send(json!({"type": "user_message", "text": "call tool book {\"slot\": \"9:00\"}"}))
        .await;
    let spoken = client.next("agent_response").await;
    assert_eq!(
        spoken["agent_response_event"]["agent_response"],
        "The tool book answered: {\"booked\":true}"
    );
    let [call] = &app.received("/tools/book")[..] else {
        panic!("one call of the tool")
    };
    assert_eq!(
        (call.header("x-tool-key"), call.header("x-call-token")),
        ("s3cret", "tok")
    );
    let body: Value = serde_json::from_slice(&call.body).expect("JSON");
    assert_eq!(body["slot"], "9:00");
    assert!(
        body["conversation"]
            .as_str()
            .is_some_and(|id| id.starts_with("conv_"))
    );
}

#[tokio::test]
async fn the_workspace_webhook_is_signed_with_its_own_secret() {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let (bench, app) = (Bench::start().await, App::start().await);
    let settings =
        json!({"settings": {"auth_type": "hmac", "name": "post-call", "webhook_url": app.url("/post-call")}});
    let webhook = answer(
        bench
            .elevenlabs(Method::POST, "/v1/workspace/webhooks")
            .json(&settings),
    )
    .await
    .1;
    let chosen =
        json!({"webhooks": {"post_call_webhook_id": webhook["webhook_id"], "events": ["transcript"]}});
    assert_eq!(
        answer(
            bench
                .elevenlabs(Method::PATCH, "/v1/convai/settings")
                .json(&chosen)
        )
        .await
        .0,
        200
    );
    let agent = bench.agent("Hi").await;
    let mut client = Client::connect(&bench.public_url(&agent)).await;
    client.begin(json!({"business_name": "A"})).await;
    client.next("audio").await;
    client.socket.close(None).await.expect("the socket closes");
    let [sent] = &app.wait_for("/post-call", 1).await[..] else {
        panic!("one webhook")
    };
    let (time, hash) = sent.header("elevenlabs-signature")[2..]
        .split_once(",v0=")
        .expect("a signature");
    let secret = webhook["webhook_secret"].as_str().expect("a secret");
    assert_ne!(secret, bench.emulator.elevenlabs_webhook_secret().expose_secret());
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(&[time.as_bytes(), b".", &sent.body].concat());
    assert_eq!(hash, crate::emulator::id::lower_hex(&mac.finalize().into_bytes()));
}
