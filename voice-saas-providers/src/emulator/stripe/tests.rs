//! What the adapter never does, and what it does not see.

use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::{State, wire};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 24 * 3_600;

fn state() -> State {
    State {
        base: "http://127.0.0.1/".to_owned(),
        now: NOW,
        ..State::default()
    }
}

/// Status, and whether it was replayed.
fn post(state: &mut State, path: &str, key: &str, form: &str) -> (StatusCode, bool) {
    let mut headers = HeaderMap::new();
    headers.insert("idempotency-key", key.parse().expect("a header"));
    let uri = path.parse().expect("a path");
    let answer = state.answer(&Method::POST, &uri, &headers, form.as_bytes());
    (
        answer.status(),
        answer.headers().contains_key("idempotent-replayed"),
    )
}

/// Lets so many seconds pass.
fn step(state: &mut State, seconds: i64) {
    state.catch_up(state.now + seconds);
}

fn customers(state: &State) -> usize {
    state.customers.iter().count()
}

#[test]
fn a_key_replays_what_was_answered_for_a_day() {
    let mut state = state();
    let create = |state: &mut State, email: &str| post(state, "/v1/customers", "k1", email);
    assert_eq!(create(&mut state, "email=a@b"), (StatusCode::OK, false));
    assert_eq!(create(&mut state, "email=a@b"), (StatusCode::OK, true));
    assert_eq!(create(&mut state, "email=c@d"), (StatusCode::BAD_REQUEST, false));
    assert_eq!(customers(&state), 1);
    state.catch_up(NOW + 2 * DAY);
    assert_eq!(create(&mut state, "email=a@b"), (StatusCode::OK, false));
    assert_eq!(customers(&state), 2);
}

#[test]
fn a_declined_card_is_replayed_and_a_wrong_parameter_is_not() {
    let mut state = state();
    let card = "email=a@b&payment_method=pm_card_chargeDeclinedExpiredCard";
    for replayed in [false, true] {
        let answer = post(&mut state, "/v1/customers", "k1", card);
        assert_eq!(answer, (StatusCode::PAYMENT_REQUIRED, replayed));
    }
    for _ in 0..2 {
        let answer = post(&mut state, "/v1/customers", "k2", "emial=a@b");
        assert_eq!(answer, (StatusCode::BAD_REQUEST, false));
    }
    assert_eq!(customers(&state), 0);
}

/// A customer and a price, by their ids.
fn account(state: &mut State) -> (String, String) {
    let customer = state
        .create_customer(&json!({"email": "a@b"}))
        .expect("a customer");
    let product = state
        .create_product(&json!({"name": "Basic"}))
        .expect("a product");
    let price = json!({"currency": "usd", "product": product["id"], "unit_amount": "4999",
        "recurring": {"interval": "month"}});
    let price = state.create_price(&price).expect("a price");
    (super::string(&customer["id"]), super::string(&price["id"]))
}

fn status(state: &State, id: &Value) -> String {
    let found = state.subscription(id.as_str().expect("an id"));
    super::string(&found.expect("a subscription")["status"])
}

#[test]
fn a_first_payment_that_is_not_made_within_a_day_expires() {
    let mut state = state();
    let (customer, price) = account(&mut state);
    let params =
        json!({"customer": customer, "items": [{"price": price}], "payment_behavior": "default_incomplete"});
    let made = state.create_subscription(&params).expect("a subscription");
    assert_eq!(made["status"], "incomplete");
    step(&mut state, 23 * 3_600 + 1);
    assert_eq!(status(&state, &made["id"]), "incomplete_expired");
    let invoice = state.fetch_invoice(made["latest_invoice"].as_str().expect("an id"));
    assert_eq!(invoice.expect("an invoice")["status"], "void");
}

#[test]
fn the_portal_cancels_reactivates_and_takes_cards() {
    let mut state = state();
    let (customer, price) = account(&mut state);
    let params = json!({"customer": customer, "items": [{"price": price}], "trial_period_days": "14"});
    let made = state.create_subscription(&params).expect("a subscription");
    let portal = state
        .create_portal(&json!({"customer": customer}))
        .expect("a portal");
    let portal = super::string(&portal["id"]);
    let cancelled = state
        .use_portal(&portal, "cancel", None)
        .expect("it is cancelled");
    assert_eq!(cancelled["cancel_at_period_end"], true);
    let kept = state.use_portal(&portal, "reactivate", None).expect("it goes on");
    assert_eq!(kept["cancel_at_period_end"], false);
    let paying = state.use_portal(&portal, "payment_method", Some("pm_card_visa"));
    assert!(paying.expect("a card")["invoice_settings"]["default_payment_method"].is_string());
    assert!(state.use_portal(&portal, "explode", None).is_err());
    step(&mut state, 15 * DAY);
    assert_eq!(status(&state, &made["id"]), "active");
}

#[test]
fn renewals_follow_the_calendar_for_years() {
    let mut state = state();
    let (customer, price) = account(&mut state);
    state
        .attach("pm_card_visa", &json!({"customer": customer}))
        .map(|card| {
            let default = json!({"invoice_settings": {"default_payment_method": card["id"]}});
            state.update_customer(&customer, &default)
        })
        .expect("a card")
        .expect("a default");
    let params = json!({"customer": customer, "items": [{"price": price}]});
    let made = state.create_subscription(&params).expect("a subscription");
    assert_eq!(made["status"], "active");
    step(&mut state, 2 * 366 * DAY);
    let paid = state.invoices.iter().filter(|it| it["status"] == "paid").count();
    assert_eq!(paid, 25);
}

#[test]
fn a_list_of_unknown_parameters_is_refused_by_name() {
    let error = wire::only(&json!({"customer": "c", "custmer": "c"}), &["customer"]);
    assert!(error.expect_err("unknown").body().to_string().contains("custmer"));
}

#[test]
fn an_attempt_by_hand_does_not_count_as_one_of_the_schedule() {
    let mut state = state();
    let (customer, price) = account(&mut state);
    let card = state.attach("pm_card_chargeCustomerFail", &json!({"customer": customer}));
    let card = card.expect("a card");
    let params = json!({"customer": customer, "items": [{"price": price}], "trial_period_days": "1",
        "default_payment_method": card["id"]});
    let made = state.create_subscription(&params).expect("a subscription");
    step(&mut state, 2 * DAY);
    let invoice = super::string(
        &state
            .subscription(made["id"].as_str().expect("an id"))
            .expect("it")["latest_invoice"],
    );
    for _ in 0..5 {
        assert!(state.pay_invoice(&invoice, &json!({})).is_err());
    }
    let open = state.fetch_invoice(&invoice).expect("an invoice");
    assert_eq!(
        (&open["attempt_count"], &open["status"]),
        (&json!(1), &json!("open"))
    );
    assert!(open["next_payment_attempt"].is_number());
    assert_eq!(status(&state, &made["id"]), "past_due");
}
