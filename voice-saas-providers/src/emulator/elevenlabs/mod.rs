//! ElevenLabs Agents: agents, signed URLs, the agent socket, register-call, conversations, post-call webhooks.

mod agent;
mod brain;
mod conversation;
mod initiation;
mod listener;
mod post_call;
mod register;
mod socket;
mod tool;
mod wire;
mod workspace;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as AxumState;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use axum::routing::{any, get};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;
use url::Url;

use self::wire::ApiError;
use super::fault::Operation;
use super::world::World;

const CONVAI: &str = "/v1/convai/";
const SOCKET: &str = "/v1/convai/conversation";
const STREAM: &str = "/v1/convai/twilio/stream/";

/// One workspace and everything in it.
#[derive(Debug)]
pub(crate) struct ElevenLabs {
    api_key: SecretString,
    webhook_secret: SecretString,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last_seq: u64,
    agents: BTreeMap<u64, Value>,
    tools: BTreeMap<u64, Value>,
    /// Name and value, by id.
    secrets: BTreeMap<String, (String, String)>,
    webhooks: BTreeMap<String, workspace::Webhook>,
    settings: Value,
    tickets: HashMap<String, socket::Ticket>,
    registrations: HashMap<String, register::Registration>,
    conversations: BTreeMap<u64, conversation::Conversation>,
    conversation_seqs: HashMap<String, u64>,
    /// Webhooks that wait until another one has been sent.
    held: Vec<post_call::Pending>,
    deliveries: VecDeque<post_call::Delivery>,
    post_call_url: Option<Url>,
}

impl State {
    fn new(last_seq: u64, post_call_url: Option<Url>) -> Self {
        Self {
            last_seq,
            agents: BTreeMap::new(),
            tools: BTreeMap::new(),
            secrets: BTreeMap::new(),
            webhooks: BTreeMap::new(),
            settings: workspace::default_settings(),
            tickets: HashMap::new(),
            registrations: HashMap::new(),
            conversations: BTreeMap::new(),
            conversation_seqs: HashMap::new(),
            held: Vec::new(),
            deliveries: VecDeque::new(),
            post_call_url,
        }
    }

    fn next_seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }
}

impl ElevenLabs {
    pub(crate) fn new(
        api_key: SecretString,
        webhook_secret: SecretString,
        post_call_url: Option<Url>,
    ) -> Self {
        Self {
            api_key,
            webhook_secret,
            state: Mutex::new(State::new(0, post_call_url)),
        }
    }

    pub(crate) fn api_key(&self) -> &SecretString {
        &self.api_key
    }

    pub(crate) fn webhook_secret(&self) -> &SecretString {
        &self.webhook_secret
    }

    fn state_lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_post_call_url(&self, url: Url) {
        self.state_lock().post_call_url = Some(url);
    }

    /// Forgets everything but credentials and where webhooks go.
    pub(crate) fn reset(&self) {
        let mut state = self.state_lock();
        *state = State::new(state.last_seq, state.post_call_url.take());
    }

    pub(crate) fn state(&self) -> Value {
        let state = self.state_lock();
        let conversations = state.conversations.values().rev().map(|it| {
            let mut body = it.body.clone();
            body["pongs"] = json!(it.pongs);
            body
        });
        json!({
            "api_key": self.api_key.expose_secret(),
            "webhook_secret": self.webhook_secret.expose_secret(),
            "post_call_url": state.post_call_url,
            "agents": state.agents.values().rev().collect::<Vec<_>>(),
            "tools": state.tools.values().rev().collect::<Vec<_>>(),
            "conversations": conversations.collect::<Vec<_>>(),
            "post_call_deliveries": state.deliveries.iter().map(post_call::Delivery::json).collect::<Vec<_>>(),
        })
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        let given = headers.get("xi-api-key").map(axum::http::HeaderValue::as_bytes);
        given.is_some_and(|given| bool::from(given.ct_eq(self.api_key.expose_secret().as_bytes())))
    }

    /// Checks the API key. Sockets check their own credentials, because they refuse with a close frame.
    pub(crate) fn authorize(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Response>> {
        let socket = uri.path() == SOCKET || uri.path().starts_with(STREAM);
        if socket || self.has_key(headers) {
            return Ok(());
        }
        let error = if headers.contains_key("xi-api-key") {
            ApiError::unauthorized("invalid_api_key", "Invalid API key")
        } else {
            ApiError::unauthorized("missing_api_key", "The xi-api-key header is missing")
        };
        Err(Box::new(error.answer()))
    }
}

pub(crate) fn too_many_requests() -> Response {
    ApiError::too_many_requests().answer()
}

pub(crate) fn server_error() -> Response {
    ApiError::internal().answer()
}

/// Where sockets of this emulator are reached by whoever sent this request.
fn socket_base(world: &World, headers: &HeaderMap) -> String {
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    // Only a plain authority is put into URLs.
    let plain = |host: &&str| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    };
    host.filter(plain).map_or_else(
        || format!("ws://{}", world.base.authority()),
        |host| format!("ws://{host}"),
    )
}

/// The variables that the service itself gives.
fn system_variables(world: &World, agent: &Value, conversation_id: &str) -> Map<String, Value> {
    let now = world.clock.now();
    let variables = json!({
        "system__agent_id": agent["agent_id"], "system__current_agent_id": agent["agent_id"],
        "system__conversation_id": conversation_id, "system__time_utc": now.to_string(),
        "system__call_duration_secs": 0, "system__agent_turns": 0, "system__is_text_only": false,
    });
    variables.as_object().cloned().unwrap_or_default()
}

/// The operation that faults know a request by.
pub(crate) fn operation(method: &str, path: &str) -> Option<Operation> {
    let segments: Vec<&str> = path.strip_prefix(CONVAI)?.split('/').collect();
    Some(match (method, segments.as_slice()) {
        ("POST", ["agents", "create"]) => Operation::CreateAgent,
        ("GET", ["agents"]) => Operation::ListAgents,
        ("GET", ["agents", _]) => Operation::GetAgent,
        ("PATCH", ["agents", _]) => Operation::UpdateAgent,
        ("DELETE", ["agents", _]) => Operation::DeleteAgent,
        ("POST", ["twilio", "register-call"]) => Operation::RegisterCall,
        ("GET", ["conversation", "get-signed-url" | "get_signed_url"]) => Operation::SignedUrl,
        ("GET", ["conversation"]) => Operation::ConversationSocket,
        ("GET", ["conversations"]) => Operation::ListConversations,
        ("GET", ["conversations", _]) => Operation::GetConversation,
        _ => return None,
    })
}

/// Everything below `/v1/convai` and `/v1/workspace`.
pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route(SOCKET, get(socket::open))
        .route("/v1/convai/twilio/stream/{token}", get(register::open))
        .route("/v1/convai/{*path}", any(handle))
        .route("/v1/workspace/{*path}", any(handle))
        .with_state(world)
}

async fn handle(
    AxumState(world): AxumState<Arc<World>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    dispatch(&world, &method, &uri, &headers, &body).unwrap_or_else(ApiError::answer)
}

fn dispatch(
    world: &World,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let segments: Vec<&str> = uri.path().split('/').skip(2).collect();
    match (method.as_str(), segments.as_slice()) {
        ("POST", ["convai", "agents", "create"]) => agent::create(world, body),
        ("GET", ["convai", "agents"]) => agent::list(world, &query),
        ("GET", ["convai", "agents", id]) => agent::get(world, id),
        ("PATCH", ["convai", "agents", id]) => agent::update(world, id, body),
        ("DELETE", ["convai", "agents", id]) => agent::delete(world, id),
        ("POST", ["convai", "agents", id, "duplicate"]) => agent::duplicate(world, id, body),
        ("POST", ["convai", "twilio", "register-call"]) => register::register(world, headers, body),
        ("GET", ["convai", "conversation", "get-signed-url" | "get_signed_url"]) => {
            socket::signed_url(world, &query, headers)
        }
        ("GET", ["convai", "conversations"]) => conversation::list(world, &query),
        ("GET", ["convai", "conversations", id]) => conversation::get(world, id),
        ("DELETE", ["convai", "conversations", id]) => conversation::delete(world, id),
        ("POST", ["convai", "tools"]) => workspace::create_tool(world, body),
        ("GET", ["convai", "tools"]) => workspace::list_tools(world, &query),
        ("GET", ["convai", "tools", id]) => workspace::get_tool(world, id),
        ("PATCH", ["convai", "tools", id]) => workspace::update_tool(world, id, body),
        ("DELETE", ["convai", "tools", id]) => {
            let force = query.iter().any(|(key, value)| key == "force" && value == "true");
            workspace::delete_tool(world, id, force)
        }
        ("POST", ["convai", "secrets"]) => workspace::create_secret(world, body),
        ("GET", ["convai", "secrets"]) => Ok(workspace::list_secrets(world)),
        ("PATCH", ["convai", "secrets", id]) => workspace::update_secret(world, id, body),
        ("DELETE", ["convai", "secrets", id]) => workspace::delete_secret(world, id),
        ("GET", ["convai", "settings"]) => Ok(workspace::get_settings(world)),
        ("PATCH", ["convai", "settings"]) => workspace::update_settings(world, body),
        ("POST", ["workspace", "webhooks"]) => workspace::create_webhook(world, body),
        ("GET", ["workspace", "webhooks"]) => Ok(workspace::list_webhooks(world)),
        ("PATCH", ["workspace", "webhooks", id]) => workspace::update_webhook(world, id, body),
        ("DELETE", ["workspace", "webhooks", id]) => workspace::delete_webhook(world, id),
        _ => Err(ApiError::not_found("not_found", uri.path())),
    }
}
