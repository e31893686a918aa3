//! People who use the service.

use std::ops::Deref;

use serde_json::{Value, json};

use crate::{Api, wait::eventually};

/// The password of every test user.
pub const PASSWORD: &str = "correct horse battery";

/// A tenant's owner, who calls public routes alone.
#[derive(Debug, Clone)]
pub struct TestUser {
    api: Api,
    business: String,
    /// What registering answered.
    session: Value,
}

impl Deref for TestUser {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// The texts of a field of JSON.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn text(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::String(text) => text.clone(),
        _ => panic!("no text {field} in {value}"),
    }
}

impl TestUser {
    /// Registers a business.
    pub async fn register(api: &Api, business: &str) -> Self {
        let email = format!("{}@example.com", business.to_lowercase().replace(' ', "."));
        let account = json!({ "email": email, "password": PASSWORD, "name": business });
        let session = api.post("/v1/auth/register", &account).await.ok(201);
        Self {
            api: api.with_bearer(text(&session, "token")),
            business: business.to_owned(),
            session,
        }
    }

    /// The name of the business.
    pub fn business(&self) -> &str {
        &self.business
    }

    /// The address that they log in with.
    pub fn email(&self) -> String {
        text(&self.session["user"], "email")
    }

    /// The id of their tenant.
    pub fn tenant_id(&self) -> String {
        text(&self.session["tenant"], "id")
    }

    /// The id of the person.
    pub fn user_id(&self) -> String {
        text(&self.session["user"], "id")
    }

    /// The access token of their first session.
    pub fn token(&self) -> String {
        text(&self.session, "token")
    }

    /// The refresh token of their first session.
    pub fn refresh_token(&self) -> String {
        text(&self.session, "refresh_token")
    }

    /// An agent with a number, in one request: what it answered.
    pub async fn agent_with_number(&self) -> Value {
        let business = &self.business;
        self.agent_with(json!({ "name": format!("{business}'s receptionist"), "provision_phone": true }))
            .await
    }

    /// An agent with these settings, which greets by the business's name unless they say otherwise.
    pub async fn agent_with(&self, mut settings: Value) -> Value {
        for (field, default) in [
            ("name", "Receptionist"),
            ("system_prompt", "You answer the phone for {{business_name}}."),
            ("first_message", "Hello, this is {{business_name}}."),
        ] {
            if settings.get(field).is_none() {
                settings[field] = json!(default);
            }
        }
        self.post("/v1/agents", &settings).await.ok(201)
    }

    /// An API key with these scopes, as a client.
    pub async fn api_key(&self, scopes: &[&str]) -> Api {
        let key = json!({ "name": "a program", "scopes": scopes });
        let key = self.post("/v1/api-keys", &key).await.ok(201);
        self.with_bearer(text(&key, "secret"))
    }

    /// All calls, newest first.
    ///
    /// # Panics
    /// When the answer is no list.
    pub async fn calls(&self) -> Vec<Value> {
        let listed = self.get("/v1/calls").await.ok(200);
        listed["data"].as_array().expect("a list").clone()
    }

    /// The id of the only call, as soon as there is one.
    ///
    /// # Panics
    /// When there are several, or none comes.
    pub async fn the_call(&self) -> String {
        eventually("a call", async || {
            let calls = self.calls().await;
            assert!(calls.len() <= 1, "{calls:?}");
            calls.first().map(|call| text(call, "id"))
        })
        .await
    }

    /// A call as it is now.
    pub async fn call(&self, id: &str) -> Value {
        self.get(&format!("/v1/calls/{id}")).await.ok(200)
    }

    /// A call's transcript as it is now.
    pub async fn transcript(&self, id: &str) -> Value {
        self.get(&format!("/v1/calls/{id}/transcript")).await.ok(200)
    }

    /// A call once it has a terminal status.
    pub async fn ended_call(&self, id: &str) -> Value {
        eventually("the end of a call", async || {
            let call = self.call(id).await;
            (!call["ended_at"].is_null()).then_some(call)
        })
        .await
    }

    /// A call's transcript once it is the platform's own record.
    pub async fn recorded(&self, id: &str) -> Value {
        eventually("the record of a conversation", async || {
            let transcript = self.transcript(id).await;
            (transcript["complete"] == true).then_some(transcript)
        })
        .await
    }

    /// The events of a call, from its beginning until its end, as they are sent.
    ///
    /// # Panics
    /// When the answer is no stream of events.
    pub async fn events(&self, id: &str) -> Vec<Value> {
        let stream = self.get(&format!("/v1/calls/{id}/events")).await;
        assert_eq!(stream.status(), 200);
        assert_eq!(stream.header("content-type"), "text/event-stream");
        let data = stream
            .text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).expect("an event is JSON"))
            .collect()
    }
}

/// The kinds of events, in order.
pub fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap_or("?"))
        .collect()
}

/// The first event of a kind.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn event<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found = events.iter().find(|event| event["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {events:#?}"))
}
