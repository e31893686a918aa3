//! Twilio: numbers, calls, signed webhooks, TwiML and Media Streams.

mod call;
mod caller;
mod engine;
mod inventory;
mod number;
mod phone;
mod player;
mod progress;
mod report;
mod script;
mod signature;
mod stream;
mod twiml;
mod webhook;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as AxumState;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

pub(crate) use self::call::place;
pub use self::report::{
    CallError, CallReport, CallStatus, RoundTrip, Speaker, TranscriptLine, WebhookExchange,
};
pub use self::script::{Callee, CallerAudio, Script, ScriptError};
use self::wire::{ApiError, Form};
use super::fault::Operation;
use super::world::World;

const VERSION: &str = "/2010-04-01";
const MOST_CALLEES: usize = 10_000;

/// The emulator carries as many live calls as it can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too many calls run already")]
pub(crate) struct CallRefused;

/// One account and everything in it.
#[derive(Debug)]
pub(crate) struct Twilio {
    account_sid: String,
    auth_token: SecretString,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_seq: u64,
    /// By the order of purchase.
    numbers: BTreeMap<u64, number::OwnedNumber>,
    /// By the order of creation.
    calls: BTreeMap<u64, call::Call>,
    call_seqs: HashMap<String, u64>,
    callees: HashMap<String, Callee>,
}

impl State {
    fn next_seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }
}

impl Twilio {
    pub(crate) fn new(account_sid: String, auth_token: SecretString) -> Self {
        Self {
            account_sid,
            auth_token,
            state: Mutex::default(),
        }
    }

    pub(crate) fn account_sid(&self) -> &str {
        &self.account_sid
    }

    pub(crate) fn auth_token(&self) -> &SecretString {
        &self.auth_token
    }

    fn state_lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key for signatures, or a wrong one.
    fn signing_token(&self, wrong: bool) -> String {
        if wrong {
            super::id::hex(32)
        } else {
            self.auth_token.expose_secret().to_owned()
        }
    }

    /// Decides what happens when a number is called over the API. False when too many are known already.
    pub(crate) fn set_callee(&self, number: String, callee: Callee) -> bool {
        let mut state = self.state_lock();
        let room = state.callees.len() < MOST_CALLEES || state.callees.contains_key(&number);
        if room {
            state.callees.insert(number, callee);
        }
        room
    }

    fn callee(&self, number: &str) -> Option<Callee> {
        self.state_lock().callees.get(number).cloned()
    }

    pub(crate) fn reset(&self) {
        let mut state = self.state_lock();
        for call in state.calls.values() {
            call.close();
        }
        // Sequence numbers go on, so that page tokens from before the reset find nothing.
        *state = State {
            last_seq: state.last_seq,
            ..State::default()
        };
    }

    pub(crate) fn state(&self, world: &World) -> Value {
        let calls = self.calls_json(world.clock.now());
        let state = self.state_lock();
        let numbers: Vec<_> = state
            .numbers
            .values()
            .rev()
            .map(number::OwnedNumber::json)
            .collect();
        json!({
            "account_sid": self.account_sid,
            "auth_token": self.auth_token.expose_secret(),
            "numbers": numbers,
            "calls": calls,
        })
    }

    /// Checks Basic authentication with the account's SID and token.
    pub(crate) fn authorize(&self, headers: &HeaderMap) -> Result<(), Box<Response>> {
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Basic "))
            .and_then(|encoded| STANDARD.decode(encoded).ok());
        let expected = format!("{}:{}", self.account_sid, self.auth_token.expose_secret());
        match given {
            Some(given) if bool::from(given.ct_eq(expected.as_bytes())) => Ok(()),
            _ => Err(Box::new(ApiError::unauthorized().answer())),
        }
    }
}

pub(crate) fn too_many_requests() -> Response {
    ApiError::too_many_requests().answer()
}

pub(crate) fn server_error() -> Response {
    ApiError::internal().answer()
}

/// What a request is about, below `/2010-04-01/Accounts/{sid}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Account,
    Countries,
    Country(&'a str),
    Search { country: &'a str, kind: &'a str },
    BuyNumber { kind: Option<&'a str> },
    ListNumbers,
    FetchNumber(&'a str),
    UpdateNumber(&'a str),
    ReleaseNumber(&'a str),
    CreateCall,
    ListCalls,
    FetchCall(&'a str),
    UpdateCall(&'a str),
    DeleteCall(&'a str),
}

impl<'a> Route<'a> {
    /// The account in the path, and the route; `None` for paths that are not emulated.
    fn parse(method: &str, path: &'a str) -> Option<(&'a str, Self)> {
        const NUMBERS: &str = "IncomingPhoneNumbers";
        const SEARCH: &str = "AvailablePhoneNumbers";
        let path = path
            .strip_prefix(VERSION)?
            .strip_prefix("/Accounts/")?
            .strip_suffix(".json")?;
        let segments: Vec<&str> = path.split('/').collect();
        let (account, rest) = segments.split_first()?;
        let route = match (method, rest) {
            ("GET", []) => Self::Account,
            ("GET", [SEARCH]) => Self::Countries,
            ("GET", [SEARCH, country]) => Self::Country(country),
            ("GET", [SEARCH, country, kind]) => Self::Search { country, kind },
            ("POST", [NUMBERS]) => Self::BuyNumber { kind: None },
            ("POST", [NUMBERS, kind @ ("Local" | "Mobile" | "TollFree")]) => {
                Self::BuyNumber { kind: Some(kind) }
            }
            ("GET", [NUMBERS]) => Self::ListNumbers,
            ("GET", [NUMBERS, sid]) => Self::FetchNumber(sid),
            ("POST", [NUMBERS, sid]) => Self::UpdateNumber(sid),
            ("DELETE", [NUMBERS, sid]) => Self::ReleaseNumber(sid),
            ("POST", ["Calls"]) => Self::CreateCall,
            ("GET", ["Calls"]) => Self::ListCalls,
            ("GET", ["Calls", sid]) => Self::FetchCall(sid),
            ("POST", ["Calls", sid]) => Self::UpdateCall(sid),
            ("DELETE", ["Calls", sid]) => Self::DeleteCall(sid),
            _ => return None,
        };
        Some((account, route))
    }
}

/// The operation that faults know a request by.
pub(crate) fn operation(method: &str, path: &str) -> Option<Operation> {
    Some(match Route::parse(method, path)?.1 {
        Route::Search { .. } => Operation::SearchNumbers,
        Route::BuyNumber { .. } => Operation::BuyNumber,
        Route::ListNumbers => Operation::ListNumbers,
        Route::FetchNumber(_) => Operation::FetchNumber,
        Route::UpdateNumber(_) => Operation::UpdateNumber,
        Route::ReleaseNumber(_) => Operation::ReleaseNumber,
        Route::CreateCall => Operation::CreateCall,
        Route::ListCalls => Operation::ListCalls,
        Route::FetchCall(_) => Operation::FetchCall,
        Route::UpdateCall(_) => Operation::UpdateCall,
        Route::Account | Route::Countries | Route::Country(_) | Route::DeleteCall(_) => return None,
    })
}

/// Everything below `/2010-04-01`.
pub(crate) fn router(world: Arc<World>) -> Router {
    // The API's paths end in `.json` behind a parameter, which the router's own patterns cannot say.
    Router::new()
        .route("/2010-04-01/{*path}", any(handle))
        .with_state(world)
}

async fn handle(AxumState(world): AxumState<Arc<World>>, method: Method, uri: Uri, body: Bytes) -> Response {
    dispatch(&world, &method, &uri, &body).unwrap_or_else(ApiError::answer)
}

fn dispatch(world: &Arc<World>, method: &Method, uri: &Uri, body: &[u8]) -> Result<Response, ApiError> {
    let path = uri.path();
    let query = Form::parse(uri.query().unwrap_or_default().as_bytes());
    let form = Form::parse(body);
    let not_found = || ApiError::not_found(path);
    let (account, route) = Route::parse(method.as_str(), path).ok_or_else(not_found)?;
    if account != world.twilio.account_sid {
        return Err(not_found());
    }
    let account_path = format!("{VERSION}/Accounts/{account}");
    match route {
        Route::Account => Ok(axum::Json(json!({
            "sid": account, "owner_account_sid": account, "friendly_name": "Emulated account", "status": "active",
            "type": "Full", "uri": path,
        }))
        .into_response()),
        Route::Countries => {
            let countries = inventory::countries(&account_path, None);
            Ok(axum::Json(json!({"countries": countries, "uri": path})).into_response())
        }
        Route::Country(country) => {
            let found = inventory::countries(&account_path, Some(country)).pop().ok_or_else(not_found)?;
            Ok(axum::Json(found).into_response())
        }
        Route::Search { country, kind } => number::search(world, path, country, kind, &query),
        Route::BuyNumber { kind } => number::buy(world, kind, &form),
        Route::ListNumbers => Ok(number::list(world, path, &query)),
        Route::FetchNumber(sid) => number::fetch(world, path, sid),
        Route::UpdateNumber(sid) => number::update(world, path, sid, &form),
        Route::ReleaseNumber(sid) => number::release(world, path, sid),
        Route::CreateCall => call::create(world, &form),
        Route::ListCalls => Ok(call::list(world, path, &query)),
        Route::FetchCall(sid) => call::fetch(world, path, sid),
        Route::UpdateCall(sid) => call::update(world, path, sid, &form),
        Route::DeleteCall(sid) => call::delete(world, path, sid),
    }
}
