//! The application under the emulator's webhooks: answers TwiML, records everything, and carries audio.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::emulator::audio::{FRAME, probe_of, speak};

/// One request that the application got.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) path: String,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Received {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

#[derive(Debug)]
struct Shared {
    addr: SocketAddr,
    /// The TwiML of each path; the status 500 where there is none.
    answers: Mutex<Vec<(String, String)>>,
    received: watch::Sender<Vec<Received>>,
    /// Every event that the media socket got, audio left out.
    events: watch::Sender<Vec<Value>>,
}

#[derive(Debug)]
pub(super) struct App {
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl App {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            addr,
            answers: Mutex::default(),
            received: watch::Sender::default(),
            events: watch::Sender::default(),
        });
        let router = Router::new()
            .route("/media", get(media))
            .fallback(any(webhook))
            .with_state(Arc::clone(&shared));
        let server =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("the server runs") });
        Self { shared, server }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.shared.addr)
    }

    pub(super) fn media_url(&self) -> String {
        format!("ws://{}/media", self.shared.addr)
    }

    /// Decides what a path answers.
    pub(super) fn answer(&self, path: &str, twiml: &str) {
        let mut answers = self.shared.answers.lock().expect("no test panicked holding it");
        answers.retain(|(known, _)| known != path);
        answers.push((path.to_owned(), twiml.to_owned()));
    }

    /// What was received on a path.
    pub(super) fn received(&self, path: &str) -> Vec<Received> {
        self.shared
            .received
            .borrow()
            .iter()
            .filter(|it| it.path == path)
            .cloned()
            .collect()
    }

    /// Waits until this many requests came in on a path.
    pub(super) async fn wait_for(&self, path: &str, count: usize) -> Vec<Received> {
        let mut received = self.shared.received.subscribe();
        let enough = |all: &Vec<Received>| all.iter().filter(|it| it.path == path).count() >= count;
        received.wait_for(enough).await.expect("the application runs");
        self.received(path)
    }

    /// The media socket's events of one kind.
    pub(super) fn events(&self, kind: &str) -> Vec<Value> {
        self.shared
            .events
            .borrow()
            .iter()
            .filter(|event| event["event"] == kind)
            .cloned()
            .collect()
    }

    /// Waits for the first event of a kind.
    pub(super) async fn wait_for_event(&self, kind: &str) {
        let mut events = self.shared.events.subscribe();
        let there = |all: &Vec<Value>| all.iter().any(|event| event["event"] == kind);
        events.wait_for(there).await.expect("the application runs");
    }
}

async fn webhook(State(app): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let source = if body.is_empty() {
        uri.query().unwrap_or_default().as_bytes()
    } else {
        &body
    };
    let parameters = url::form_urlencoded::parse(source).into_owned().collect();
    let received = Received {
        path: uri.path().to_owned(),
        parameters,
        headers,
        body: body.clone(),
    };
    app.received.send_modify(|all| all.push(received));
    let answers = app.answers.lock().expect("no test panicked holding it");
    match answers.iter().find(|(path, _)| path == uri.path()) {
        Some((_, twiml)) => ([("content-type", "text/xml")], twiml.clone()).into_response(),
        None if uri.path() == "/status" || uri.path() == "/post-call" => "".into_response(),
        None => axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn media(State(app): State<Arc<Shared>>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let handshake = Received {
        path: "/media".into(),
        parameters: Vec::new(),
        headers,
        body: Bytes::new(),
    };
    app.received.send_modify(|all| all.push(handshake));
    upgrade.on_upgrade(move |socket| talk(app, socket))
}

/// Greets, echoes probes at once, and closes when a key is pressed.
async fn talk(app: Arc<Shared>, mut socket: WebSocket) {
    let mut stream_sid = Value::Null;
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        let event: Value = serde_json::from_str(&text).expect("Twilio sends JSON");
        let mut answers = Vec::new();
        match event["event"].as_str() {
            Some("start") => {
                stream_sid = event["streamSid"].clone();
                answers.push(json!({"event": "media", "media": {"payload": STANDARD.encode(speak("Hi"))}}));
                answers.push(json!({"event": "mark", "mark": {"name": "greeted"}}));
            }
            Some("media") => {
                let payload = event["media"]["payload"].as_str().expect("a payload");
                let frame = STANDARD.decode(payload).expect("base64");
                assert_eq!(frame.len(), FRAME);
                if probe_of(&frame).is_some() {
                    answers.push(json!({"event": "media", "media": {"payload": payload}}));
                }
            }
            Some("dtmf") => {
                app.events.send_modify(|all| all.push(event));
                return;
            }
            _ => {}
        }
        if event["event"] != "media" {
            app.events.send_modify(|all| all.push(event));
        }
        for mut answer in answers {
            answer["streamSid"] = stream_sid.clone();
            if socket
                .send(Message::Text(answer.to_string().into()))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}
