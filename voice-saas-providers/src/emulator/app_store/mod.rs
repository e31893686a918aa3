//! The App Store: subscriptions that follow the emulator's clock, the App Store Server API, signed notifications.
//!
//! Its certificates hang below a root of its own, which adapters must be told to trust. Production is at the emulator's
//! own address, the sandbox below `/sandbox`.

mod api;
mod authority;
mod control;
mod life;
mod notify;
mod purchase;
mod token;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use self::authority::Authority;
use self::life::{Happened, Subscription};
use self::token::ApiKey;
use super::Emulator;
use super::fault::Operation;
use super::world::World;

pub(super) use self::api::router;
pub(super) use self::control::router as control_router;
pub use self::purchase::{InAppAction, InAppError, InAppPurchase, InAppReceipt};

/// The app that everything is bought in.
const BUNDLE_ID: &str = "com.example.voice";
/// Its number.
const APP_ID: u64 = 1_234_567_890;
/// Where the sandbox is.
const SANDBOX: &str = "/sandbox";
const MOST_SUBSCRIPTIONS: usize = 10_000;

/// One app in the App Store.
#[derive(Debug)]
pub(crate) struct AppStore {
    authority: Authority,
    /// Signs what is to look forged.
    stranger: Authority,
    key: ApiKey,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they were bought.
    subscriptions: Vec<Subscription>,
    last_id: u64,
    notification_url: Option<Url>,
    /// Notifications that wait to be sent.
    outbox: VecDeque<notify::Notification>,
    sending: bool,
    /// Those that wait until another one has been sent.
    held: Vec<notify::Notification>,
    /// All that were to be sent, for the notification history.
    history: Vec<notify::Notification>,
    deliveries: VecDeque<notify::Delivery>,
}

impl AppStore {
    pub(crate) fn new() -> Self {
        Self {
            authority: Authority::new(),
            stranger: Authority::new(),
            key: ApiKey::new(),
            state: Mutex::default(),
        }
    }

    fn state_lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything but credentials and certificates.
    pub(crate) fn reset(&self) {
        *self.state_lock() = State::default();
    }

    pub(crate) fn state(&self) -> Value {
        let state = self.state_lock();
        json!({
            "bundle_id": BUNDLE_ID,
            "app_apple_id": APP_ID,
            "issuer_id": self.key.issuer_id,
            "key_id": self.key.key_id,
            "subscriptions": state.subscriptions.iter().map(Subscription::json).collect::<Vec<_>>(),
            "notification_url": state.notification_url,
            "notifications": state.deliveries.iter().map(notify::Delivery::json).collect::<Vec<_>>(),
        })
    }

    /// A token of the key's, for this app, that has not expired.
    pub(crate) fn authorize(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), Box<Response>> {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok());
        if self.key.accepts(header, now.as_second()) {
            Ok(())
        } else {
            Err(Box::new(StatusCode::UNAUTHORIZED.into_response()))
        }
    }
}

impl State {
    /// Ids are of Apple's length.
    fn next_id(&mut self) -> String {
        self.last_id += 1;
        format!("{}", 2_000_000_000_000_000 + self.last_id)
    }

    /// Lets everything happen that is due, and writes down what is to be told of it.
    fn settle(&mut self, app_store: &AppStore, now: Timestamp) {
        loop {
            let due = self.subscriptions.iter().enumerate();
            let due = due.filter_map(|(index, it)| Some((it.due(now)?, index))).min();
            let Some((at, index)) = due else { return };
            let id = self.next_id();
            let happened = self.subscriptions[index].pass(at, id);
            self.tell(app_store, index, happened, at);
        }
    }

    fn tell(&mut self, app_store: &AppStore, index: usize, happened: Happened, at: Timestamp) {
        let subscription = &self.subscriptions[index];
        let notification = notify::Notification::about(app_store, subscription, happened, at);
        self.history.push(notification.clone());
        self.outbox.push_back(notification);
    }

    /// By the id of any of its transactions.
    fn find(&self, transaction: &str, environment: &str) -> Option<usize> {
        self.subscriptions
            .iter()
            .position(|it| it.environment == environment && it.has(transaction))
    }
}

/// Lets everything happen that is due by now: renewals, expiries, ends of grace.
pub(super) fn settle(world: &Arc<World>) {
    let now = world.clock.now();
    world.app_store.state_lock().settle(&world.app_store, now);
    notify::flush(world);
}

/// The operation that faults know a request by.
pub(crate) fn operation(method: &str, path: &str) -> Option<Operation> {
    let path = path.strip_prefix(SANDBOX).unwrap_or(path);
    let parts: Vec<_> = path.strip_prefix("/inApps/")?.split('/').collect();
    Some(match (method, &*parts) {
        ("GET", ["v1", "subscriptions", _]) => Operation::ReadSubscriptions,
        ("GET", ["v2", "history", _]) => Operation::ReadTransactions,
        ("GET", ["v1", "transactions", _]) => Operation::ReadTransaction,
        ("PUT", ["v1", "transactions", _, "appAccountToken"]) => Operation::SetAccountToken,
        ("POST", ["v1", "notifications", "history"]) => Operation::ReadNotifications,
        ("POST", ["v1", "notifications", "test"]) => Operation::TestNotification,
        _ => return None,
    })
}

pub(crate) fn too_many_requests() -> Response {
    refuse(StatusCode::TOO_MANY_REQUESTS, 4_290_000, "Rate limit exceeded.")
}

pub(crate) fn server_error() -> Response {
    refuse(
        StatusCode::INTERNAL_SERVER_ERROR,
        5_000_000,
        "An unknown error occurred.",
    )
}

fn refuse(status: StatusCode, code: u64, message: &str) -> Response {
    (status, Json(json!({"errorCode": code, "errorMessage": message}))).into_response()
}

impl Emulator {
    /// The app's bundle id.
    #[must_use]
    pub fn app_store_bundle_id(&self) -> &'static str {
        BUNDLE_ID
    }

    /// The app's number.
    #[must_use]
    pub fn app_store_app_id(&self) -> u64 {
        APP_ID
    }

    /// The root (a certificate in DER) below which everything is signed.
    #[must_use]
    pub fn app_store_root(&self) -> &[u8] {
        self.world.app_store.authority.root()
    }

    /// The issuer of tokens, the id of its key, and the key as a `.p8` file holds it.
    #[must_use]
    pub fn app_store_key(&self) -> (&str, &str, SecretString) {
        let key = &self.world.app_store.key;
        (&key.issuer_id, &key.key_id, key.private_key.clone())
    }

    /// Where the sandbox is asked; production is at [`url`](Self::url).
    #[must_use]
    pub fn app_store_sandbox_url(&self) -> Url {
        let mut url = self.world.base.clone();
        url.set_path(SANDBOX);
        url
    }

    /// Where the App Store tells what happens to subscriptions; nowhere by default.
    pub fn set_app_store_notification_url(&self, url: Url) {
        self.world.app_store.state_lock().notification_url = Some(url);
    }

    /// A customer buys a subscription in the app, which gets the signed transaction.
    ///
    /// # Errors
    /// The purchase is out of its limits, or there are too many.
    pub fn buy_in_app(&self, purchase: InAppPurchase) -> Result<InAppReceipt, InAppError> {
        purchase::buy(&self.world, purchase)
    }

    /// Lets something happen to a subscription now.
    ///
    /// # Errors
    /// There is no such subscription, or this cannot happen to it as it stands.
    pub fn act_in_app(
        &self,
        original_transaction_id: &str,
        action: InAppAction,
    ) -> Result<InAppReceipt, InAppError> {
        purchase::act(&self.world, original_transaction_id, action)
    }
}
