//! `/_control/stripe`: what customers do on Stripe's own pages, and what operators set in its dashboard.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::wire::{self, ApiError, text};
use super::{DunningEnd, card, webhook};
use crate::emulator::control::{done, read};
use crate::emulator::world::World;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UrlBody {
    url: Url,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DunningBody {
    end: DunningEnd,
}

/// The control routes.
pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/_control/stripe/webhook_url", post(webhook_url))
        .route("/_control/stripe/dunning", post(dunning))
        .route(
            "/_control/stripe/checkout/{id}",
            get(checkout_page).post(checkout),
        )
        .route("/_control/stripe/portal/{id}", get(portal_page).post(portal))
        .route("/_control/stripe/setup_intents/{id}", post(set_up))
        .with_state(world)
}

async fn webhook_url(State(world): State<Arc<World>>, body: Bytes) -> Response {
    done(read::<UrlBody>(&body).map(|body| world.stripe.set_webhook_url(body.url)))
}

async fn dunning(State(world): State<Arc<World>>, body: Bytes) -> Response {
    done(read::<DunningBody>(&body).map(|body| world.stripe.set_dunning_end(body.end)))
}

/// A customer fills a checkout in; answers where they are sent then, or what the page says instead.
pub(crate) fn complete_checkout(world: &Arc<World>, id: &str, card: Option<&str>) -> Result<String, String> {
    complete(world, id, card).map_err(|error| message(&error))
}

fn complete(world: &Arc<World>, id: &str, card: Option<&str>) -> Result<String, ApiError> {
    let completed = act(world, |state| state.complete_checkout(id, card))?;
    let url = completed["success_url"].as_str().unwrap_or_default();
    Ok(url.replace("{CHECKOUT_SESSION_ID}", id))
}

/// A customer gives a card on the application's own page; answers the card's id.
pub(crate) fn complete_setup(world: &Arc<World>, id: &str, card: &str) -> Result<String, String> {
    let done = act(world, |state| state.complete_setup(id, card)).map_err(|error| message(&error))?;
    Ok(super::string(&done["payment_method"]))
}

async fn set_up(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let given = fields(&headers, &body);
    let done = given.and_then(|given| {
        let card = wire::required(&given, "payment_method")?;
        act(&world, |state| state.complete_setup(&id, card))
    });
    match done {
        Ok(setup) => Json(setup).into_response(),
        Err(error) => refused(&error),
    }
}

fn act(
    world: &Arc<World>,
    act: impl FnOnce(&mut super::State) -> Result<Value, ApiError>,
) -> Result<Value, ApiError> {
    let now = world.clock.now().as_second();
    let answer = {
        let mut state = world.stripe.state_lock();
        state.catch_up(now);
        act(&mut state)
    };
    webhook::flush(world);
    answer
}

fn message(error: &ApiError) -> String {
    super::string(&error.body()["error"]["message"])
}

/// What was sent, as JSON or by the page's form.
fn fields(headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    if body.is_empty() {
        Ok(json!({}))
    } else if is_form(headers) {
        wire::parse(body)
    } else {
        serde_json::from_slice(body)
            .map_err(|error| ApiError::invalid("parameter_invalid", "", error.to_string()))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

fn refused(error: &ApiError) -> Response {
    (error.status, Json(error.body())).into_response()
}

async fn checkout(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let completed =
        fields(&headers, &body).and_then(|given| complete(&world, &id, text(&given, "/payment_method")));
    match completed {
        Ok(url) if is_form(&headers) => Redirect::to(&url).into_response(),
        Ok(url) => Json(json!({"success_url": url})).into_response(),
        Err(error) => refused(&error),
    }
}

async fn portal(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let given = match fields(&headers, &body) {
        Ok(given) => given,
        Err(error) => return refused(&error),
    };
    let action = text(&given, "/action").unwrap_or_default();
    let card = text(&given, "/payment_method");
    match act(&world, |state| state.use_portal(&id, action, card)) {
        Ok(_) if is_form(&headers) => {
            let state = world.stripe.state_lock();
            let back = state.portals.get(&id).map(|it| super::string(&it["return_url"]));
            Redirect::to(&back.unwrap_or_default()).into_response()
        }
        Ok(object) => Json(object).into_response(),
        Err(error) => refused(&error),
    }
}

async fn checkout_page(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    let state = world.stripe.state_lock();
    match state.checkouts.get(&id) {
        Some(session) if session["status"] == "open" => page(
            "Emulated checkout",
            &format!(
                "<form method=\"post\">{}<button>Subscribe</button></form>",
                cards(true)
            ),
        ),
        _ => gone(),
    }
}

async fn portal_page(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    let state = world.stripe.state_lock();
    if state.portals.get(&id).is_none() {
        return gone();
    }
    let button = |action: &str, words: &str| {
        format!("<form method=\"post\"><button name=\"action\" value=\"{action}\">{words}</button></form>")
    };
    let card = format!(
        "<form method=\"post\">{}<button name=\"action\" value=\"payment_method\">Change card</button></form>",
        cards(false)
    );
    let cancel = button("cancel", "Cancel at the period's end");
    page(
        "Emulated customer portal",
        &[card, cancel, button("reactivate", "Keep the subscription")].concat(),
    )
}

fn cards(none: bool) -> String {
    let mut select = "<label>Test card <select name=\"payment_method\">".to_owned();
    for name in card::names() {
        // Writing to a String cannot fail.
        let _ = write!(select, "<option>{name}</option>");
    }
    if none {
        select.push_str("<option value=\"\">none</option>");
    }
    select.push_str("</select></label>");
    select
}

fn page(title: &str, body: &str) -> Response {
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1>{body}</html>"
    ))
    .into_response()
}

fn gone() -> Response {
    (StatusCode::NOT_FOUND, "there is no such page any more").into_response()
}
