//! `/_control/app_store`: the same as the emulator's methods over HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::purchase::{act, buy};
use super::{InAppAction, InAppError, InAppPurchase, InAppReceipt};
use crate::emulator::control::{done, read};
use crate::emulator::world::World;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PurchaseBody {
    product: String,
    app_account_token: Option<Uuid>,
    #[serde(default = "month")]
    days: u32,
    #[serde(default)]
    trial_days: u32,
    #[serde(default)]
    grace_days: u32,
    #[serde(default)]
    sandbox: bool,
}

fn month() -> u32 {
    30
}

fn days(days: u32) -> Duration {
    Duration::from_hours(u64::from(days) * 24)
}

#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum ActionBody {
    Renew,
    Expire,
    Cancel,
    Resume,
    DeclinePayments,
    AcceptPayments,
    Refund,
    ReverseRefund,
    Revoke,
    Resubscribe,
    Upgrade { product: String },
    Downgrade { product: String },
}

impl From<ActionBody> for InAppAction {
    fn from(body: ActionBody) -> Self {
        match body {
            ActionBody::Renew => Self::Renew,
            ActionBody::Expire => Self::Expire,
            ActionBody::Cancel => Self::Cancel,
            ActionBody::Resume => Self::Resume,
            ActionBody::DeclinePayments => Self::DeclinePayments,
            ActionBody::AcceptPayments => Self::AcceptPayments,
            ActionBody::Refund => Self::Refund,
            ActionBody::ReverseRefund => Self::ReverseRefund,
            ActionBody::Revoke => Self::Revoke,
            ActionBody::Resubscribe => Self::Resubscribe,
            ActionBody::Upgrade { product } => Self::Upgrade(product),
            ActionBody::Downgrade { product } => Self::Downgrade(product),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UrlBody {
    url: Url,
}

/// The control routes.
pub(in crate::emulator) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/_control/app_store/purchases", post(purchases))
        .route("/_control/app_store/subscriptions/{id}", post(actions))
        .route("/_control/app_store/notification_url", post(notification_url))
        .with_state(world)
}

fn answer(result: Result<InAppReceipt, InAppError>) -> Response {
    let error = match result {
        Ok(receipt) => return (StatusCode::CREATED, Json(receipt)).into_response(),
        Err(error) => error,
    };
    let status = match error {
        InAppError::OutOfRange => StatusCode::UNPROCESSABLE_ENTITY,
        InAppError::NotFound => StatusCode::NOT_FOUND,
        InAppError::NotNow => StatusCode::CONFLICT,
        InAppError::TooMany => StatusCode::TOO_MANY_REQUESTS,
    };
    (status, Json(json!({"error": error.to_string()}))).into_response()
}

async fn purchases(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let body: PurchaseBody = match read(&body) {
        Ok(body) => body,
        Err(error) => return done(Err(error)),
    };
    let mut purchase = InAppPurchase::new(body.product)
        .with_length(days(body.days))
        .with_trial(days(body.trial_days))
        .with_grace(days(body.grace_days));
    if let Some(token) = body.app_account_token {
        purchase = purchase.with_account_token(token);
    }
    if body.sandbox {
        purchase = purchase.in_sandbox();
    }
    answer(buy(&world, purchase))
}

async fn actions(State(world): State<Arc<World>>, Path(id): Path<String>, body: Bytes) -> Response {
    match read::<ActionBody>(&body) {
        Ok(body) => answer(act(&world, &id, body.into())),
        Err(error) => done(Err(error)),
    }
}

async fn notification_url(State(world): State<Arc<World>>, body: Bytes) -> Response {
    done(read::<UrlBody>(&body).map(|body| {
        world.app_store.state_lock().notification_url = Some(body.url);
    }))
}
