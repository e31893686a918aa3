//! Stripe Billing: customers, test cards, the catalogue, subscriptions that renew with the emulator's clock, invoices,
//! Checkout and portal pages, signed webhooks.

mod calendar;
mod card;
mod catalogue;
mod change;
mod control;
mod customer;
mod engine;
mod invoice;
mod session;
mod shelf;
mod subscription;
#[cfg(test)]
mod tests;
mod webhook;
mod wire;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as AxumState;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Notify;
use url::Url;

use self::shelf::Shelf;
use self::wire::ApiError;
use super::fault::Operation;
use super::world::World;

pub(crate) use self::control::{complete_checkout, complete_setup, router as control_router};

/// How long a key is remembered, in seconds.
const REMEMBERED: i64 = 24 * 3_600;
/// Roots of everything that is played.
const ROOTS: [&str; 11] = [
    "/v1/customers",
    "/v1/payment_methods",
    "/v1/setup_intents",
    "/v1/products",
    "/v1/prices",
    "/v1/billing",
    "/v1/subscriptions",
    "/v1/invoices",
    "/v1/checkout",
    "/v1/billing_portal",
    "/v1/events",
];

/// What the account does with a subscription after the last attempt to collect its invoice has failed. It is a setting
/// of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DunningEnd {
    /// The subscription ends.
    #[default]
    Cancel,
    /// It becomes `unpaid`.
    Unpaid,
    /// It stays `past_due`.
    PastDue,
    /// It is paused.
    Pause,
}

/// One account and everything in it.
#[derive(Debug)]
pub(crate) struct Stripe {
    secret_key: SecretString,
    webhook_secret: SecretString,
    state: Mutex<State>,
    /// Something may happen earlier than was thought.
    wake: Notify,
}

/// What was answered under a key.
#[derive(Debug, Clone)]
struct Remembered {
    request: Vec<u8>,
    status: StatusCode,
    body: Value,
    at: i64,
}

#[derive(Debug, Default)]
struct State {
    /// Where the emulator is reached, with a slash at the end.
    base: String,
    /// The time of what is being done.
    now: i64,
    /// The request that is being handled, and its key.
    request: Option<(String, Option<String>)>,
    customers: Shelf,
    methods: Shelf,
    /// How the cards on file behave.
    cards: HashMap<String, &'static card::TestCard>,
    setups: Shelf,
    products: Shelf,
    prices: Shelf,
    tiers: HashMap<String, Vec<catalogue::Tier>>,
    meters: Shelf,
    used: Vec<catalogue::Used>,
    subscriptions: Shelf,
    /// Prorations that wait for the next invoice, by subscription.
    pending: HashMap<String, Vec<Value>>,
    /// Subscriptions whose trial's end was announced.
    noticed: BTreeSet<String>,
    invoices: Shelf,
    last_invoice: u64,
    checkouts: Shelf,
    /// What each checkout is to make.
    asked: HashMap<String, Value>,
    portals: Shelf,
    keys: HashMap<String, Remembered>,
    dunning_end: DunningEnd,
    webhook_url: Option<Url>,
    events: VecDeque<Value>,
    outbox: VecDeque<Value>,
    sending: bool,
    /// Webhooks that wait until another one has been sent.
    held: Vec<Value>,
    deliveries: VecDeque<webhook::Delivery>,
}

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Both objects as one.
fn joined(mut one: Value, other: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (one.as_object_mut(), other) {
        fields.extend(more);
    }
    one
}

impl Stripe {
    pub(crate) fn new(secret_key: SecretString, webhook_secret: SecretString, base: &Url) -> Self {
        Self {
            secret_key,
            webhook_secret,
            state: Mutex::new(State {
                base: base.to_string(),
                ..State::default()
            }),
            wake: Notify::new(),
        }
    }

    pub(crate) fn secret_key(&self) -> &SecretString {
        &self.secret_key
    }

    pub(crate) fn webhook_secret(&self) -> &SecretString {
        &self.webhook_secret
    }

    fn state_lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_webhook_url(&self, url: Url) {
        self.state_lock().webhook_url = Some(url);
    }

    pub(crate) fn set_dunning_end(&self, end: DunningEnd) {
        self.state_lock().dunning_end = end;
    }

    /// Forgets everything but credentials and where webhooks go.
    pub(crate) fn reset(&self) {
        let mut state = self.state_lock();
        *state = State {
            base: std::mem::take(&mut state.base),
            webhook_url: state.webhook_url.take(),
            sending: state.sending,
            ..State::default()
        };
    }

    pub(crate) fn state(&self) -> Value {
        let state = self.state_lock();
        let all = |shelf: &Shelf| shelf.newest().cloned().collect::<Vec<_>>();
        json!({
            "secret_key": self.secret_key.expose_secret(),
            "webhook_secret": self.webhook_secret.expose_secret(),
            "webhook_url": state.webhook_url,
            "customers": all(&state.customers),
            "payment_methods": all(&state.methods),
            "setup_intents": all(&state.setups),
            "products": all(&state.products),
            "prices": all(&state.prices),
            "meters": all(&state.meters),
            "meter_events": state.used.iter().map(catalogue::Used::json).collect::<Vec<_>>(),
            "subscriptions": all(&state.subscriptions),
            "invoices": all(&state.invoices),
            "checkout_sessions": all(&state.checkouts),
            "portal_sessions": all(&state.portals),
            "events": state.events.iter().rev().collect::<Vec<_>>(),
            "webhook_deliveries": state.deliveries.iter().map(webhook::Delivery::json).collect::<Vec<_>>(),
        })
    }

    /// Checks the secret key, as a bearer token or as the user name.
    pub(crate) fn authorize(&self, headers: &HeaderMap) -> Result<(), Box<Response>> {
        let header = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let given = match header.split_once(' ') {
            Some(("Bearer", key)) => Some(key.to_owned()),
            Some(("Basic", pair)) => STANDARD
                .decode(pair)
                .ok()
                .and_then(|pair| String::from_utf8(pair).ok())
                .map(|pair| pair.split(':').next().unwrap_or_default().to_owned()),
            _ => None,
        };
        let Some(given) = given else {
            let message = "You did not provide an API key.";
            return Err(Box::new(refused(&ApiError::unauthorized(message))));
        };
        if bool::from(given.as_bytes().ct_eq(self.secret_key.expose_secret().as_bytes())) {
            return Ok(());
        }
        let message = "Invalid API Key provided";
        Err(Box::new(refused(&ApiError::unauthorized(message))))
    }
}

fn refused(error: &ApiError) -> Response {
    wire::answer(error.status, &error.body())
}

pub(crate) fn too_many_requests() -> Response {
    refused(&ApiError::too_many_requests())
}

pub(crate) fn server_error() -> Response {
    refused(&ApiError::internal())
}

/// Lets everything happen that was due, and sends the webhooks of it.
pub(crate) fn catch_up(world: &Arc<World>) {
    let now = world.clock.now().as_second();
    world.stripe.state_lock().catch_up(now);
    webhook::flush(world);
}

/// Lets things happen when they are due, until shutdown.
pub(crate) fn start(world: &Arc<World>) {
    const LONGEST: Duration = Duration::from_hours(24);
    let (world, stopping) = (Arc::clone(world), world.stopping().clone());
    let tracker = world.tasks.clone();
    tracker.spawn(async move {
        let ticking = async {
            loop {
                let next = world.stripe.state_lock().next_time();
                let now = world.clock.now().as_second();
                let wait = next.map(|next| Duration::from_secs(u64::try_from(next - now).unwrap_or(0)));
                let wait = wait.map_or(LONGEST, |wait| wait.min(LONGEST));
                tokio::select! {
                    () = world.clock.sleep(wait) => catch_up(&world),
                    () = world.stripe.wake.notified() => {}
                }
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = ticking => {}
        }
    });
}

/// The operation that faults know a request by.
pub(crate) fn operation(method: &str, path: &str) -> Option<Operation> {
    let segments: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
    Some(match (method, segments.as_slice()) {
        ("POST", ["customers"]) => Operation::CreateCustomer,
        ("GET", ["customers"]) => Operation::ListCustomers,
        ("GET", ["customers", _]) => Operation::FetchCustomer,
        ("POST", ["customers", _]) => Operation::UpdateCustomer,
        ("DELETE", ["customers", _]) => Operation::DeleteCustomer,
        ("GET", ["customers", _, "payment_methods"]) => Operation::ListCards,
        ("POST", ["payment_methods", _, "attach"]) => Operation::AttachCard,
        ("POST", ["setup_intents"]) => Operation::SetUpCard,
        ("GET", ["prices"]) => Operation::ListPrices,
        ("POST", ["products"]) => Operation::CreateProduct,
        ("POST", ["prices"]) => Operation::CreatePrice,
        ("GET", ["billing", "meters"]) => Operation::ListMeters,
        ("POST", ["billing", "meters"]) => Operation::CreateMeter,
        ("POST", ["billing", "meter_events"]) => Operation::ReportUsage,
        ("POST", ["subscriptions"]) => Operation::CreateSubscription,
        ("GET", ["subscriptions"]) => Operation::ListSubscriptions,
        ("GET", ["subscriptions", _]) => Operation::FetchSubscription,
        ("POST", ["subscriptions", _]) => Operation::UpdateSubscription,
        ("DELETE", ["subscriptions", _]) => Operation::CancelSubscription,
        ("POST", ["subscriptions", _, "resume"]) => Operation::ResumeSubscription,
        ("POST", ["invoices", "create_preview"]) => Operation::PreviewInvoice,
        ("GET", ["invoices"]) => Operation::ListInvoices,
        ("GET", ["invoices", _]) => Operation::FetchInvoice,
        ("POST", ["invoices", _, "pay"]) => Operation::PayInvoice,
        ("POST", ["checkout", "sessions"]) => Operation::CreateCheckout,
        ("GET", ["checkout", "sessions", _]) => Operation::FetchCheckout,
        ("POST", ["checkout", "sessions", _, "expire"]) => Operation::ExpireCheckout,
        ("POST", ["billing_portal", "sessions"]) => Operation::CreatePortal,
        _ => return None,
    })
}

/// Everything below the roots.
pub(crate) fn router(world: Arc<World>) -> Router {
    ROOTS
        .iter()
        .fold(Router::new(), |router, root| {
            router
                .route(root, any(handle))
                .route(&format!("{root}/{{*path}}"), any(handle))
        })
        .with_state(world)
}

async fn handle(
    AxumState(world): AxumState<Arc<World>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = world.clock.now().as_second();
    let response = {
        let mut state = world.stripe.state_lock();
        state.catch_up(now);
        state.answer(&method, &uri, &headers, &body)
    };
    webhook::flush(&world);
    response
}

impl State {
    /// Answers a request; one that acted already under its key gets the same answer.
    fn answer(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
        let key = headers
            .get("idempotency-key")
            .filter(|_| method == Method::POST)
            .and_then(|key| key.to_str().ok())
            .map(str::to_owned);
        let request = Sha256::new()
            .chain_update(uri.path())
            .chain_update(b"\n")
            .chain_update(body)
            .finalize()
            .to_vec();
        let now = self.now;
        self.keys.retain(|_, it| it.at + REMEMBERED > now);
        if let Some(key) = &key
            && let Some(known) = self.keys.get(key)
        {
            if known.request != request {
                return refused(&ApiError::other_parameters(key));
            }
            let mut response = wire::answer(known.status, &known.body);
            let headers = response.headers_mut();
            headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
            return response;
        }
        self.request = Some((format!("req_{}", super::id::hex(14)), key.clone()));
        let query = if method == Method::POST {
            body
        } else {
            uri.query().unwrap_or_default().as_bytes()
        };
        let done = wire::parse(query).and_then(|params| self.dispatch(method, uri.path(), &params));
        self.request = None;
        let (status, answer, kept) = match done {
            Ok(answer) => (StatusCode::OK, answer, true),
            Err(error) => (error.status, error.body(), error.kept),
        };
        if let Some(key) = key.filter(|_| kept) {
            let remembered = Remembered {
                request,
                status,
                body: answer.clone(),
                at: now,
            };
            self.keys.insert(key, remembered);
        }
        wire::answer(status, &answer)
    }

    fn dispatch(&mut self, method: &Method, path: &str, params: &Value) -> Result<Value, ApiError> {
        let segments: Vec<&str> = path.split('/').skip(2).collect();
        match (method.as_str(), segments.as_slice()) {
            ("POST", ["customers"]) => self.create_customer(params),
            ("GET", ["customers"]) => self.list_customers(params),
            ("GET", ["customers", id]) => self.fetch_customer(id),
            ("POST", ["customers", id]) => self.update_customer(id, params),
            ("DELETE", ["customers", id]) => self.delete_customer(id),
            ("GET", ["customers", id, "payment_methods"]) => self.list_methods(id, params),
            ("POST", ["payment_methods", id, "attach"]) => self.attach(id, params),
            ("POST", ["setup_intents"]) => self.create_setup(params),
            ("POST", ["products"]) => self.create_product(params),
            ("GET", ["prices"]) => self.list_prices(params),
            ("POST", ["prices"]) => self.create_price(params),
            ("GET", ["billing", "meters"]) => self.list_meters(params),
            ("POST", ["billing", "meters"]) => self.create_meter(params),
            ("POST", ["billing", "meter_events"]) => self.report(params),
            ("POST", ["subscriptions"]) => self.create_subscription(params),
            ("GET", ["subscriptions"]) => self.list_subscriptions(params),
            ("GET", ["subscriptions", id]) => self.subscription(id).cloned(),
            ("POST", ["subscriptions", id]) => self.update_subscription(id, params),
            ("DELETE", ["subscriptions", id]) => self.cancel_subscription(id, params),
            ("POST", ["subscriptions", id, "resume"]) => self.resume_subscription(id, params),
            ("POST", ["invoices", "create_preview"]) => self.preview_invoice(params),
            ("GET", ["invoices"]) => self.list_invoices(params),
            ("GET", ["invoices", id]) => self.fetch_invoice(id),
            ("POST", ["invoices", id, "pay"]) => self.pay_invoice(id, params),
            ("POST", ["checkout", "sessions"]) => self.create_checkout(params),
            ("GET", ["checkout", "sessions", id]) => self.fetch_checkout(id),
            ("POST", ["checkout", "sessions", id, "expire"]) => self.expire_checkout(id),
            ("POST", ["billing_portal", "sessions"]) => self.create_portal(params),
            ("GET", ["events"]) => wire::page(params, "/v1/events", self.events.iter().rev()),
            _ => Err(ApiError::not_found("route", path)),
        }
    }
}
