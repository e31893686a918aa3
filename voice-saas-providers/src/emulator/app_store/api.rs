//! The App Store Server API.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::life::Subscription;
use super::{APP_ID, BUNDLE_ID, SANDBOX, notify, refuse, settle};
use crate::emulator::world::World;

const PAGE: usize = 20;

/// Both environments.
pub(crate) fn router(world: Arc<World>) -> Router {
    let routes = Router::new()
        .route("/inApps/v1/subscriptions/{id}", get(subscriptions))
        .route("/inApps/v1/transactions/{id}", get(transaction))
        .route("/inApps/v1/transactions/{id}/appAccountToken", put(set_token))
        .route("/inApps/v2/history/{id}", get(history))
        .route("/inApps/v1/notifications/history", post(notifications))
        .route("/inApps/v1/notifications/test", post(test));
    Router::new()
        .merge(routes.clone())
        .nest(SANDBOX, routes)
        .with_state(world)
}

/// The environment that was asked. Nested routes see the rest of the path alone.
#[derive(Debug, Clone, Copy)]
struct Asked(&'static str);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        let whole: Option<&axum::extract::OriginalUri> = parts.extensions.get();
        let uri: &Uri = whole.map_or(&parts.uri, |uri| &uri.0);
        Ok(Self(if uri.path().starts_with(SANDBOX) {
            "Sandbox"
        } else {
            "Production"
        }))
    }
}

fn query(text: Option<String>) -> Vec<(String, String)> {
    form_urlencoded::parse(text.unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

fn unknown(id: &str) -> Response {
    if id.bytes().all(|byte| byte.is_ascii_digit()) {
        refuse(StatusCode::NOT_FOUND, 4_040_010, "Transaction id not found.")
    } else {
        refuse(StatusCode::BAD_REQUEST, 4_000_006, "Invalid transaction id.")
    }
}

/// The subscriptions of whoever has this transaction.
fn customers(subscriptions: &[Subscription], index: usize) -> impl Iterator<Item = &Subscription> {
    let asked = &subscriptions[index];
    subscriptions.iter().filter(move |it| {
        let same_person = it.token.is_some() && it.token == asked.token;
        it.environment == asked.environment && (same_person || it.original_id == asked.original_id)
    })
}

fn place(environment: &str) -> Value {
    let mut place = json!({"environment": environment, "bundleId": BUNDLE_ID});
    if environment == "Production" {
        place["appAppleId"] = json!(APP_ID);
    }
    place
}

async fn subscriptions(
    State(world): State<Arc<World>>,
    Asked(environment): Asked,
    Path(id): Path<String>,
    RawQuery(text): RawQuery,
) -> Response {
    settle(&world);
    let wanted: Vec<_> = query(text)
        .into_iter()
        .filter(|(name, _)| name == "status")
        .map(|(_, value)| value)
        .collect();
    let (app_store, now) = (&world.app_store, world.clock.now());
    let state = app_store.state_lock();
    let Some(index) = state.find(&id, environment) else {
        return unknown(&id);
    };
    let last: Vec<_> = customers(&state.subscriptions, index)
        .filter(|it| wanted.is_empty() || wanted.contains(&(it.status as u8).to_string()))
        .map(|it| {
            json!({
                "status": it.status as u8,
                "originalTransactionId": it.original_id,
                "signedTransactionInfo": it.signed_transaction(app_store, it.period(), now),
                "signedRenewalInfo": it.signed_renewal(app_store, now),
            })
        })
        .collect();
    let mut answer = place(environment);
    answer["data"] = if last.is_empty() {
        json!([])
    } else {
        let group = &state.subscriptions[index].group;
        json!([{"subscriptionGroupIdentifier": group, "lastTransactions": last}])
    };
    Json(answer).into_response()
}

async fn transaction(
    State(world): State<Arc<World>>,
    Asked(environment): Asked,
    Path(id): Path<String>,
) -> Response {
    settle(&world);
    let (app_store, now) = (&world.app_store, world.clock.now());
    let state = app_store.state_lock();
    let Some(subscription) = state.find(&id, environment).map(|it| &state.subscriptions[it]) else {
        return unknown(&id);
    };
    let period = subscription.periods.iter().find(|it| it.id == id);
    let period = period.unwrap_or(&subscription.periods[0]);
    let signed = subscription.signed_transaction(app_store, period, now);
    Json(json!({ "signedTransactionInfo": signed })).into_response()
}

async fn history(
    State(world): State<Arc<World>>,
    Asked(environment): Asked,
    Path(id): Path<String>,
    RawQuery(text): RawQuery,
) -> Response {
    settle(&world);
    let asked: HashMap<_, _> = query(text).into_iter().collect();
    let (app_store, now) = (&world.app_store, world.clock.now());
    let state = app_store.state_lock();
    let Some(index) = state.find(&id, environment) else {
        return unknown(&id);
    };
    let skip = match asked
        .get("revision")
        .map(|revision| revision.strip_prefix("rev_"))
    {
        None => 0,
        Some(revision) => match revision.and_then(|it| it.parse().ok()) {
            Some(skip) => skip,
            None => return refuse(StatusCode::BAD_REQUEST, 4_000_005, "Invalid request revision."),
        },
    };
    let mut periods: Vec<_> = customers(&state.subscriptions, index)
        .flat_map(|it| it.periods.iter().map(move |period| (period.from, it, period)))
        .collect();
    periods.sort_by_key(|(from, _, period)| (*from, period.id.clone()));
    if asked.get("sort").is_some_and(|sort| sort == "DESCENDING") {
        periods.reverse();
    }
    let total = periods.len();
    let signed: Vec<_> = periods
        .into_iter()
        .skip(skip)
        .take(PAGE)
        .map(|(_, it, period)| it.signed_transaction(app_store, period, now))
        .collect();
    let end = skip + signed.len();
    let mut answer = place(environment);
    answer["revision"] = json!(format!("rev_{end}"));
    answer["hasMore"] = json!(end < total);
    answer["signedTransactions"] = json!(signed);
    Json(answer).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    app_account_token: String,
}

async fn set_token(
    State(world): State<Arc<World>>,
    Asked(environment): Asked,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let Some(token) = serde_json::from_slice::<Token>(&body)
        .ok()
        .and_then(|body| body.app_account_token.parse::<uuid::Uuid>().ok())
    else {
        let message = "Invalid request. The app account token field must be a valid UUID.";
        return refuse(StatusCode::BAD_REQUEST, 4_000_183, message);
    };
    let mut state = world.app_store.state_lock();
    let Some(index) = state.find(&id, environment) else {
        return unknown(&id);
    };
    let subscription = &mut state.subscriptions[index];
    if subscription.original_id != id {
        let message = "Invalid request. The transaction ID provided is not an original transaction ID.";
        return refuse(StatusCode::BAD_REQUEST, 4_000_187, message);
    }
    subscription.token = Some(token.to_string());
    StatusCode::OK.into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    start_date: i64,
    end_date: i64,
}

async fn notifications(
    State(world): State<Arc<World>>,
    Asked(environment): Asked,
    RawQuery(text): RawQuery,
    body: Bytes,
) -> Response {
    settle(&world);
    let Ok(span) = serde_json::from_slice::<Span>(&body) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            4_000_015,
            "Invalid request. The start date is missing.",
        );
    };
    if span.start_date > span.end_date {
        let message = "Invalid request. The end date precedes the start date.";
        return refuse(StatusCode::BAD_REQUEST, 4_000_016, message);
    }
    let asked: HashMap<_, _> = query(text).into_iter().collect();
    let skip: usize = asked
        .get("paginationToken")
        .and_then(|token| token.parse().ok())
        .unwrap_or_default();
    let state = world.app_store.state_lock();
    let within = span.start_date..=span.end_date;
    let found: Vec<_> = state
        .history
        .iter()
        .filter(|it| it.environment == environment && within.contains(&it.at.as_millisecond()))
        .collect();
    let page: Vec<_> = found
        .iter()
        .skip(skip)
        .take(PAGE)
        .map(|it| json!({"signedPayload": it.signed, "sendAttempts": []}))
        .collect();
    let end = skip + page.len();
    let mut answer = json!({"notificationHistory": page, "hasMore": end < found.len()});
    if end < found.len() {
        answer["paginationToken"] = json!(end.to_string());
    }
    Json(answer).into_response()
}

async fn test(State(world): State<Arc<World>>, Asked(environment): Asked) -> Response {
    let id = {
        let app_store = &world.app_store;
        let mut state = app_store.state_lock();
        if state.notification_url.is_none() {
            let message = "No App Store Server Notification URL found for provided app.";
            return refuse(StatusCode::NOT_FOUND, 4_040_007, message);
        }
        let notification = notify::Notification::test(app_store, environment, world.clock.now());
        let id = notification.id.clone();
        state.history.push(notification.clone());
        state.outbox.push_back(notification);
        id
    };
    notify::flush(&world);
    Json(json!({ "testNotificationToken": id })).into_response()
}
