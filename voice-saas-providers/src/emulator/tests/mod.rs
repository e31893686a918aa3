//! The emulator from outside: over HTTP and sockets, with a small application that answers its webhooks.

mod account;
mod agent;
mod app;
mod app_store;
mod call;
mod control;
mod fault;
mod number;

use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{Emulator, EmulatorConfig};

/// An emulator and a client with its credentials.
struct Bench {
    emulator: Emulator,
    http: reqwest::Client,
    folder: Folder,
}

/// A folder for recordings that goes when the test ends.
struct Folder(std::path::PathBuf);

/// The status and JSON body of an answer; `Null` for an empty one.
type Answer = (u16, Value);

impl Bench {
    async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("emulator-test-{}", super::id::hex(16)));
        let config = EmulatorConfig::new(([127, 0, 0, 1], 0).into()).with_recordings(&folder);
        let emulator = Emulator::start(config)
            .await
            .expect("a free port can be listened on");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self {
            emulator,
            http,
            folder: Folder(folder),
        }
    }

    fn into_emulator(self) -> Emulator {
        drop(self.folder);
        self.emulator
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.emulator.url().as_str().trim_end_matches('/'))
    }

    /// The path below the account.
    fn account(&self, path: &str) -> String {
        format!(
            "/2010-04-01/Accounts/{}/{path}",
            self.emulator.twilio_account_sid()
        )
    }

    fn twilio(&self, method: Method, path: &str) -> RequestBuilder {
        let token = self.emulator.twilio_auth_token().expose_secret();
        let url = self.url(&self.account(path));
        self.http
            .request(method, url)
            .basic_auth(self.emulator.twilio_account_sid(), Some(token))
    }

    fn elevenlabs(&self, method: Method, path: &str) -> RequestBuilder {
        let key = self.emulator.elevenlabs_api_key().expose_secret();
        self.http
            .request(method, self.url(path))
            .header("xi-api-key", key)
    }

    async fn get(&self, path: &str) -> Answer {
        answer(self.twilio(Method::GET, path)).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        answer(self.twilio(Method::POST, path).form(form)).await
    }

    async fn control(&self, method: Method, path: &str, body: Value) -> Answer {
        answer(self.http.request(method, self.url(path)).json(&body)).await
    }

    /// Buys a number whose calls go to `app`.
    async fn buy(&self, app: &app::App) -> String {
        let found = self.get("AvailablePhoneNumbers/US/Local.json?PageSize=1").await.1;
        let number = found["available_phone_numbers"][0]["phone_number"]
            .as_str()
            .expect("stock")
            .to_owned();
        let (voice, fallback, status) = (app.url("/voice"), app.url("/fallback"), app.url("/status"));
        let form = [
            ("PhoneNumber", number.as_str()),
            ("VoiceUrl", &voice),
            ("VoiceFallbackUrl", &fallback),
            ("StatusCallback", &status),
        ];
        assert_eq!(self.post("IncomingPhoneNumbers.json", &form).await.0, 201);
        number
    }

    /// Makes an agent for telephones.
    async fn agent(&self, first_message: &str) -> String {
        let config = json!({"name": "Acme desk", "conversation_config": {
            "agent": {"first_message": first_message, "prompt": {"prompt": "You answer for {{business_name}}."}},
            "tts": {"agent_output_audio_format": "ulaw_8000"},
            "asr": {"user_input_audio_format": "ulaw_8000"},
            "conversation": {"client_events": [
                "audio", "interruption", "user_transcript", "agent_response", "agent_response_correction",
                "conversation_initiation_metadata", "ping", "client_tool_call"]},
        }});
        let (status, body) = answer(
            self.elevenlabs(Method::POST, "/v1/convai/agents/create")
                .json(&config),
        )
        .await;
        assert_eq!(status, 200, "{body}");
        body["agent_id"].as_str().expect("an id").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Not every test records anything.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Sends a request of a test.
#[expect(
    clippy::disallowed_methods,
    reason = "tests speak to the emulator without the layer that it is a witness of"
)]
async fn send(request: RequestBuilder) -> reqwest::Result<reqwest::Response> {
    request.send().await
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = send(request).await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_default())
}
