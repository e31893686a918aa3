//! Twilio: numbers with their prices and requirements, ports, SIP trunks, subaccounts, calls, signed webhooks, TwiML and
//! Media Streams. Twilio spreads them over several hosts; here they are one.

mod account;
mod call;
mod caller;
mod credential;
mod engine;
mod inventory;
mod number;
mod pattern;
mod phone;
mod place;
mod player;
mod port;
mod pricing;
mod progress;
mod regulation;
mod report;
mod route;
mod script;
mod signature;
mod stream;
mod trunk;
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
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

pub(crate) use self::call::place;
pub use self::report::{
    CallError, CallReport, CallStatus, RoundTrip, Speaker, TranscriptLine, WebhookExchange,
};
use self::route::{Resource, Route};
pub use self::script::{Callee, CallerAudio, Script, ScriptError};
use self::wire::{ApiError, Form};
use super::fault::Operation;
use super::world::World;

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
    /// By the order of creation, as all that follow.
    subaccounts: BTreeMap<u64, account::Subaccount>,
    trunks: BTreeMap<u64, trunk::Trunk>,
    /// Domains of trunks, and when their trunk was deleted.
    cooling_domains: HashMap<String, Timestamp>,
    credential_lists: BTreeMap<u64, credential::CredentialList>,
    port_ins: BTreeMap<u64, port::PortIn>,
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

    /// The key for signatures of an account's webhooks, or a wrong one.
    fn signing_token(&self, account: &str, wrong: bool) -> String {
        if wrong {
            return super::id::hex(32);
        }
        let state = self.state_lock();
        let subaccount = state.subaccounts.values().find(|it| it.sid == account);
        subaccount.map_or_else(
            || self.auth_token.expose_secret().to_owned(),
            |it| it.auth_token.clone(),
        )
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
        let now = world.clock.now();
        let calls = self.calls_json(now);
        let mut state = self.state_lock();
        state.land_ports(now);
        let numbers: Vec<_> = state
            .numbers
            .values()
            .rev()
            .map(number::OwnedNumber::json)
            .collect();
        let lists = state.credential_lists.values().rev();
        let lists: Vec<_> = lists.map(credential::CredentialList::state).collect();
        let subaccounts = state.subaccounts.values().rev();
        let subaccounts: Vec<_> = subaccounts.map(|it| it.json(&self.account_sid)).collect();
        let base = world.base.as_str().trim_end_matches('/');
        json!({
            "account_sid": self.account_sid,
            "auth_token": self.auth_token.expose_secret(),
            "numbers": numbers,
            "calls": calls,
            "trunks": state.trunks_json(),
            "credential_lists": lists,
            "subaccounts": subaccounts,
            "port_ins": state.ports_json(base, now),
        })
    }

    /// Checks Basic authentication with the SID and token of the account, or of a subaccount that is not closed.
    pub(crate) fn authorize(&self, headers: &HeaderMap) -> Result<(), Box<Response>> {
        match self.caller(headers) {
            Some(_) => Ok(()),
            None => Err(Box::new(ApiError::unauthorized().answer())),
        }
    }

    /// The account whose credentials a request bears.
    fn caller(&self, headers: &HeaderMap) -> Option<String> {
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Basic "))
            .and_then(|encoded| STANDARD.decode(encoded).ok())?;
        let is = |sid: &str, token: &str| bool::from(given.ct_eq(format!("{sid}:{token}").as_bytes()));
        if is(&self.account_sid, self.auth_token.expose_secret()) {
            return Some(self.account_sid.clone());
        }
        let state = self.state_lock();
        let open = state
            .subaccounts
            .values()
            .filter(|it| it.status != account::Status::Closed);
        let caller = { open }.find(|it| is(&it.sid, &it.auth_token));
        caller.map(|it| it.sid.clone())
    }
}

pub(crate) fn too_many_requests() -> Response {
    ApiError::too_many_requests().answer()
}

pub(crate) fn server_error() -> Response {
    ApiError::internal().answer()
}

/// The operation that faults know a request by.
pub(crate) fn operation(method: &str, path: &str) -> Option<Operation> {
    Route::parse(method, path)?.operation()
}

/// Everything below `/2010-04-01`, and what newer hosts have.
pub(crate) fn router(world: Arc<World>) -> Router {
    // The API's paths end in `.json` behind a parameter, which the router's own patterns cannot say.
    [
        "/2010-04-01/{*path}",
        "/v1/Trunks",
        "/v1/Trunks/{*path}",
        "/v1/Porting/{*path}",
        "/v1/PhoneNumbers/{*path}",
        "/v2/RegulatoryCompliance/{*path}",
    ]
    .into_iter()
    .fold(Router::new(), |router, path| router.route(path, any(handle)))
    .with_state(world)
}

/// A request, and on whose behalf it is answered.
struct Ask<'a> {
    world: &'a Arc<World>,
    /// The account whose credentials it bears.
    caller: &'a str,
    /// The account whose resources it is about.
    account: &'a str,
    path: &'a str,
    query: &'a Form,
    form: &'a Form,
    body: &'a [u8],
}

impl Ask<'_> {
    /// Where everything is, without the slash at its end.
    fn base(&self) -> String {
        self.world.base.as_str().trim_end_matches('/').to_owned()
    }

    /// What was asked for, without its query.
    fn url(&self) -> String {
        format!("{}{}", self.base(), self.path)
    }

    fn not_found(&self) -> ApiError {
        ApiError::not_found(self.path)
    }

    /// Whether the caller's credentials reach an account: its own, and those within it.
    fn sees(&self, account: &str) -> bool {
        account == self.caller || self.caller == self.world.twilio.account_sid()
    }
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
    world: &Arc<World>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    let twilio = &world.twilio;
    let path = uri.path();
    let caller = twilio.caller(headers).ok_or_else(ApiError::unauthorized)?;
    let route = Route::parse(method.as_str(), path).ok_or_else(|| ApiError::not_found(path))?;
    let account = match route {
        Route::Below(account, _) => account,
        _ => &caller,
    };
    let ask = Ask {
        world,
        caller: &caller,
        account,
        path,
        query: &Form::parse(uri.query().unwrap_or_default().as_bytes()),
        form: &Form::parse(body),
        body,
    };
    {
        let mut state = twilio.state_lock();
        state.land_ports(world.clock.now());
        if !state.has_account(twilio, account) || !ask.sees(account) {
            return Err(ask.not_found());
        }
        let changes = method != Method::GET && (account == caller || method == Method::POST);
        if changes && !state.is_active(account) {
            return Err(ApiError::suspended());
        }
    }
    match route {
        Route::ListAccounts => account::list(&ask),
        Route::CreateAccount => account::create(&ask),
        Route::FetchAccount(sid) => account::fetch(&ask, sid),
        Route::UpdateAccount(sid) => account::update(&ask, sid),
        Route::Below(_, resource) => below(&ask, resource),
        Route::Trunk(route) => trunk::handle(&ask, route),
        Route::Prices(country) => pricing::handle(&ask, country),
        Route::Regulations(sid) => regulation::handle(&ask, sid),
        Route::Port(route) => port::handle(&ask, route),
    }
}

fn below(ask: &Ask<'_>, resource: Resource<'_>) -> Result<Response, ApiError> {
    let Ask {
        world,
        account,
        path,
        query,
        form,
        ..
    } = *ask;
    let account_path = format!("/2010-04-01/Accounts/{account}");
    match resource {
        Resource::Countries => {
            let countries = inventory::countries(&account_path, None);
            Ok(axum::Json(json!({"countries": countries, "uri": path})).into_response())
        }
        Resource::Country(country) => {
            let found = inventory::countries(&account_path, Some(country)).pop();
            Ok(axum::Json(found.ok_or_else(|| ask.not_found())?).into_response())
        }
        Resource::Search { country, kind } => number::search(world, path, country, kind, query),
        Resource::BuyNumber { kind } => number::buy(world, account, kind, form),
        Resource::ListNumbers => Ok(number::list(world, account, path, query)),
        Resource::FetchNumber(sid) => number::fetch(world, account, path, sid),
        Resource::UpdateNumber(sid) => number::update(world, account, path, sid, form),
        Resource::ReleaseNumber(sid) => number::release(world, account, path, sid),
        Resource::CreateCall => call::create(world, account, form),
        Resource::ListCalls => Ok(call::list(world, account, path, query)),
        Resource::FetchCall(sid) => call::fetch(world, account, path, sid),
        Resource::UpdateCall(sid) => call::update(world, account, path, sid, form),
        Resource::DeleteCall(sid) => call::delete(world, account, path, sid),
        Resource::ListCredentialLists => Ok(credential::list(ask)),
        Resource::CreateCredentialList => credential::create(ask),
        Resource::FetchCredentialList(sid) => credential::fetch(ask, sid),
        Resource::DeleteCredentialList(sid) => credential::delete(ask, sid),
        Resource::ListCredentials(list) => credential::list_credentials(ask, list),
        Resource::CreateCredential(list) => credential::create_credential(ask, list),
        Resource::UpdateCredential(list, sid) => credential::update_credential(ask, list, sid),
        Resource::DeleteCredential(list, sid) => credential::delete_credential(ask, list, sid),
    }
}
