//! Knowlarity: numbers from a plan, click-to-call between two telephones, the call log, live events, pushes.
//!
//! Nothing documents its errors and its limits; refusals come in all shapes that clients have met.

mod call;
mod control;
mod live;
mod log;
mod number;
mod push;
mod script;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::State as AxumState;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use tokio::sync::broadcast;
use url::form_urlencoded;

pub(super) use self::control::router as control_router;
pub use self::push::{KnowlarityPush, PushMethod, PushParameters};
pub use self::script::KnowlarityScript;
use super::fault::Operation;
use super::world::World;
use super::{ControlError, Emulator};

const ACCOUNT: &str = "/Basic/v1/account/";
const STREAM: &str = "/update-stream/";
/// The only plan of the account.
const PLAN: &str = "77";
/// A reader that is further behind than this misses events.
const MOST_WAITING_EVENTS: usize = 1_024;
const MOST_SCRIPTS: usize = 10_000;

/// One account and everything in it.
#[derive(Debug)]
pub(crate) struct Knowlarity {
    authorization: SecretString,
    api_key: SecretString,
    state: Mutex<State>,
    events: broadcast::Sender<String>,
    started: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of allocation.
    numbers: Vec<number::Held>,
    /// In the order in which they ended.
    log: Vec<log::Entry>,
    running: usize,
    /// By the customer's number.
    scripts: HashMap<String, KnowlarityScript>,
    registered: BTreeSet<String>,
    push: Option<KnowlarityPush>,
    /// Pushes that wait until another one has been sent.
    held: Vec<push::Pending>,
    deliveries: VecDeque<push::Delivery>,
}

impl Knowlarity {
    pub(crate) fn new(authorization: SecretString, api_key: SecretString, started: Timestamp) -> Self {
        Self {
            authorization,
            api_key,
            state: Mutex::default(),
            events: broadcast::Sender::new(MOST_WAITING_EVENTS),
            started,
        }
    }

    fn state_lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything but credentials.
    pub(crate) fn reset(&self) {
        *self.state_lock() = State::default();
    }

    pub(crate) fn state(&self, world: &World) -> Value {
        let now = world.clock.now();
        let state = self.state_lock();
        json!({
            "authorization": self.authorization.expose_secret(),
            "api_key": self.api_key.expose_secret(),
            "user_plan_id": PLAN,
            "numbers": state.numbers.iter().map(|it| it.json(now)).collect::<Vec<_>>(),
            "calls": state.log.iter().map(log::Entry::json).collect::<Vec<_>>(),
            "running_calls": state.running,
            "registered_numbers": state.registered,
            "push_url": state.push.as_ref().map(KnowlarityPush::url),
            "pushes": state.deliveries.iter().map(push::Delivery::json).collect::<Vec<_>>(),
        })
    }

    fn is_key(&self, given: Option<&str>) -> bool {
        given.is_some_and(|given| {
            given
                .as_bytes()
                .ct_eq(self.authorization.expose_secret().as_bytes())
                .into()
        })
    }

    /// Both keys, as they are; of the stream, the one in its path.
    pub(crate) fn authorize(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Response>> {
        if let Some(rest) = uri.path().strip_prefix(STREAM) {
            let key = rest.split('/').next();
            return if self.is_key(key) {
                Ok(())
            } else {
                Err(Box::new(unauthorized()))
            };
        }
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let has_api_key = header("x-api-key")
            .is_some_and(|given| bool::from(given.as_bytes().ct_eq(self.api_key.expose_secret().as_bytes())));
        if self.is_key(header("authorization")) && has_api_key {
            Ok(())
        } else {
            Err(Box::new(unauthorized()))
        }
    }
}

fn unauthorized() -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({"message": "Unauthorized"}))).into_response()
}

pub(crate) fn too_many_requests() -> Response {
    (
        StatusCode::TOO_MANY_REQUESTS,
        Json(json!({"message": "Too many requests"})),
    )
        .into_response()
}

pub(crate) fn server_error() -> Response {
    let body = json!({"error": {"message": "Internal server error"}});
    (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
}

/// A refusal with a status of its own.
fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": {"message": message}}))).into_response()
}

/// The path without the key that stands in the stream's.
pub(crate) fn path_to_record(path: &str) -> String {
    match path.strip_prefix(STREAM).and_then(|rest| rest.split_once('/')) {
        Some((_, rest)) => format!("{STREAM}***/{rest}"),
        None => path.to_owned(),
    }
}

/// The operation that faults know a request by.
pub(crate) fn operation(method: &str, path: &str) -> Option<Operation> {
    if path.starts_with(STREAM) {
        return Some(Operation::LiveStream);
    }
    Some(
        match (method, path.strip_prefix(ACCOUNT)?.trim_end_matches('/')) {
            ("GET", "numbers/Circle") => Operation::ListCircles,
            ("GET", "numbers/AvailablePhoneNumbers") => Operation::SearchPlanNumbers,
            ("GET", "numbers") => Operation::ListHeldNumbers,
            ("POST", "numbers") => Operation::AllocateNumber,
            ("GET", "plans") => Operation::ListPlans,
            ("POST", "call/makecall") => Operation::MakeCall,
            ("GET", "calllog") => Operation::ReadCallLog,
            ("POST", "notifications") => Operation::RegisterNumbers,
            _ => return None,
        },
    )
}

/// Everything below `/Basic/v1/account`, and the stream.
pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/Basic/v1/account/{*path}", any(handle))
        .route("/update-stream/{key}/konnect", get(live::stream))
        .with_state(world)
}

async fn handle(AxumState(world): AxumState<Arc<World>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let query = Query::parse(uri.query().unwrap_or_default());
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    match operation(method.as_str(), uri.path()) {
        Some(Operation::ListCircles) => number::circles(&query),
        Some(Operation::SearchPlanNumbers) => number::search(&world, &query),
        Some(Operation::ListHeldNumbers) => number::list(&world, &query),
        Some(Operation::AllocateNumber) => number::allocate(&world, &json),
        Some(Operation::ListPlans) => number::plans(&world),
        Some(Operation::MakeCall) => call::make(&world, &json),
        Some(Operation::ReadCallLog) => log::read(&world, &query),
        Some(Operation::RegisterNumbers) => number::register(&world, &json),
        _ => refuse(StatusCode::NOT_FOUND, "Resource not found"),
    }
}

/// The parameters of a query.
#[derive(Debug)]
struct Query(HashMap<String, String>);

impl Query {
    fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str, otherwise: usize) -> usize {
        self.get(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(otherwise)
    }

    /// The limit and the offset of a list.
    fn page(&self) -> (usize, usize) {
        (self.number("limit", 20).clamp(1, 500), self.number("offset", 0))
    }
}

impl Emulator {
    /// The SR API key of the Knowlarity account.
    #[must_use]
    pub fn knowlarity_authorization(&self) -> &SecretString {
        &self.world.knowlarity.authorization
    }

    /// The application's access key.
    #[must_use]
    pub fn knowlarity_api_key(&self) -> &SecretString {
        &self.world.knowlarity.api_key
    }

    /// The account's plan, from which numbers are taken.
    #[must_use]
    pub fn knowlarity_plan(&self) -> &'static str {
        PLAN
    }

    /// Where Knowlarity pushes calls that are over; nowhere by default.
    pub fn set_knowlarity_push(&self, push: KnowlarityPush) {
        self.world.knowlarity.state_lock().push = Some(push);
    }

    /// Decides what becomes of calls to or from this customer. Others talk for thirty seconds.
    ///
    /// # Errors
    /// The number is out of its limits, or too many are known.
    pub fn set_knowlarity_script(
        &self,
        customer: impl Into<String>,
        script: KnowlarityScript,
    ) -> Result<(), ControlError> {
        control::set_script(&self.world, customer.into(), script)
    }

    /// Knowlarity's staff assign a number to the account, until its plan ends.
    ///
    /// # Errors
    /// The number is out of its limits.
    pub fn assign_knowlarity_number(&self, number: impl Into<String>) -> Result<(), ControlError> {
        control::assign(&self.world, number.into())
    }

    /// A customer calls a number of the account; answers the call's id.
    ///
    /// # Errors
    /// The account does not have the number, or too many calls run.
    pub fn call_knowlarity(&self, from: &str, to: &str) -> Result<String, ControlError> {
        control::call(&self.world, from, to)
    }
}
