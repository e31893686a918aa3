//! What numbers cost a month: `PhoneNumbers/Countries` of the pricing host.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::Ask;
use super::inventory::COUNTRIES;
use super::wire::{ApiError, meta_page};

/// Country, kind as this host spells it, dollars. Twilio's own prices move; these stand still.
const PRICES: [(&str, &str, &str); 13] = [
    ("US", "local", "1.15"),
    ("US", "toll free", "2.15"),
    ("CA", "local", "1.15"),
    ("CA", "toll free", "2.15"),
    ("GB", "local", "1.15"),
    ("GB", "mobile", "1.15"),
    ("GB", "toll free", "2.15"),
    ("DE", "local", "1.15"),
    ("DE", "mobile", "15.00"),
    ("CZ", "local", "1.75"),
    ("CZ", "mobile", "25.00"),
    ("AU", "local", "3.00"),
    ("AU", "mobile", "6.50"),
];

fn country(base: &str, code: &str, name: &str) -> Value {
    json!({"country": name, "iso_country": code, "url": format!("{base}/v1/PhoneNumbers/Countries/{code}")})
}

/// All countries, or the prices of one.
pub(super) fn handle(ask: &Ask<'_>, only: Option<&str>) -> Result<Response, ApiError> {
    let base = ask.base();
    let Some(only) = only else {
        let items = COUNTRIES
            .iter()
            .zip((1..=COUNTRIES.len() as u64).rev())
            .map(|((code, name), seq)| (seq, country(&base, code, name)));
        return Ok(meta_page(&ask.url(), "countries", ask.query, items));
    };
    let (code, name) = COUNTRIES
        .iter()
        .find(|(code, _)| code.eq_ignore_ascii_case(only))
        .ok_or_else(|| ask.not_found())?;
    let mut answer = country(&base, code, name);
    let prices = PRICES.iter().filter(|(of, ..)| of == code);
    answer["phone_number_prices"] = prices
        .map(|(_, kind, price)| json!({"number_type": kind, "base_price": price, "current_price": price}))
        .collect();
    answer["price_unit"] = json!("USD");
    Ok(Json(answer).into_response())
}
