//! What numbers cost a month (page `phone-numbers/pricing`).
//!
//! Searches and lists of numbers hold no prices; they come from another host, once per country.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::{sync::OnceCell, time::Instant};
use voice_saas_core::{
    money::{Currency, Money},
    phone::Country,
    provider::ProviderError,
};

use super::{Twilio, wire::Scalar};
use crate::http::Request;

/// Whoever searches waits for the price too.
const PATIENCE: Duration = Duration::from_secs(3);
/// A country whose prices could not be had is not asked about again before this is over.
const PAUSE: Duration = Duration::from_mins(1);

/// The prices of each country, asked for once in the life of the adapter.
#[derive(Debug, Clone, Default)]
pub(super) struct Prices(Arc<Mutex<HashMap<Country, Arc<CountryPrices>>>>);

#[derive(Debug, Default)]
struct CountryPrices {
    by_kind: OnceCell<HashMap<String, Money>>,
    failed: Mutex<Option<Instant>>,
}

impl Prices {
    fn of(&self, country: Country) -> Arc<CountryPrices> {
        let mut countries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(countries.entry(country).or_default())
    }
}

impl CountryPrices {
    fn failed_lately(&self) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < PAUSE)
    }
}

#[derive(Debug, Deserialize)]
struct PriceList {
    #[serde(default)]
    price_unit: Scalar,
    #[serde(default)]
    phone_number_prices: Vec<NumberPrice>,
}

#[derive(Debug, Deserialize)]
struct NumberPrice {
    #[serde(default)]
    number_type: Scalar,
    #[serde(default)]
    base_price: Scalar,
    /// With the account's discount.
    #[serde(default)]
    current_price: Scalar,
}

impl PriceList {
    fn read(self) -> HashMap<String, Money> {
        let unit = self.price_unit.text().unwrap_or_default().to_ascii_uppercase();
        let Some(currency) = Currency::from_code(&unit) else {
            return HashMap::new();
        };
        let price = |price: NumberPrice| {
            let text = price.current_price.text().or(price.base_price.text())?;
            let money = Money::from_decimal_str(&text, currency).ok()?;
            Some((kind(&price.number_type.text()?), money))
        };
        self.phone_number_prices.into_iter().filter_map(price).collect()
    }
}

/// `toll free`, `toll-free`, `TollFree` and `tollfree` are the same to Twilio, at one place each.
fn kind(word: &str) -> String {
    word.chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

impl Twilio {
    /// What a number of this kind costs a month; `None` when Twilio does not say. Never a reason to fail.
    pub(super) async fn monthly_price(&self, country: Country, number_type: &str) -> Option<Money> {
        let prices = self.prices.of(country);
        let asked = prices.by_kind.get_or_try_init(|| async {
            // Whoever waited for an answer that did not come need not ask again.
            if prices.failed_lately() {
                return Err(None);
            }
            self.prices_in(country).await.map_err(Some)
        });
        match asked.await {
            Ok(by_kind) => by_kind.get(&kind(number_type)).copied(),
            Err(None) => None,
            Err(Some(error)) => {
                tracing::warn!(%country, %error, detail = error.detail(), "numbers are shown without prices");
                *prices.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                None
            }
        }
    }

    async fn prices_in(&self, country: Country) -> Result<HashMap<String, Money>, ProviderError> {
        const PRICES: &str = "look up prices";
        let request = Request::get(PRICES, format!("/v1/PhoneNumbers/Countries/{country}")).timeout(PATIENCE);
        let list: PriceList = self.hosts.pricing.send(request).await?.json()?;
        Ok(list.read())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{method, path},
    };

    use super::*;
    use crate::twilio::fixture::twilio;

    async fn server(answer: ResponseTemplate, times: u64) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/v1/PhoneNumbers/Countries/US"))
            .respond_with(answer)
            .expect(times)
            .mount(&server)
            .await;
        server
    }

    fn usd(micros: i64) -> Money {
        Money::from_micros(micros, Currency::USD)
    }

    #[tokio::test]
    async fn a_country_is_asked_about_once_and_its_kinds_are_known_by_any_spelling() {
        let prices = json!({"country": "United States", "iso_country": "US", "price_unit": "usd",
        "phone_number_prices": [
            {"number_type": "local", "base_price": "1.15", "current_price": "1.00"},
            {"number_type": "toll free", "base_price": 2.15, "current_price": null},
            {"number_type": "mobile", "base_price": null},
        ]});
        let server = server(ResponseTemplate::new(200).set_body_json(prices), 1).await;
        let twilio = twilio(&server);
        for (word, price) in [
            ("local", Some(usd(1_000_000))),
            ("Local", Some(usd(1_000_000))),
            ("toll-free", Some(usd(2_150_000))),
            ("tollfree", Some(usd(2_150_000))),
            ("Mobile", None),
            ("", None),
        ] {
            assert_eq!(
                twilio.clone().monthly_price(Country::US, word).await,
                price,
                "{word}"
            );
        }
    }

    #[tokio::test]
    async fn prices_that_cannot_be_had_are_not_asked_for_at_every_search() {
        for answer in [
            ResponseTemplate::new(500),
            ResponseTemplate::new(404),
            ResponseTemplate::new(200).set_body_string("<html>"),
        ] {
            let server = server(answer, 1).await;
            let twilio = twilio(&server);
            for _ in 0..3 {
                assert_eq!(twilio.monthly_price(Country::US, "local").await, None);
            }
        }
    }

    #[tokio::test]
    async fn prices_in_an_unknown_currency_are_no_prices() {
        let prices = json!({"price_unit": "shells", "phone_number_prices": [
            {"number_type": "local", "base_price": "1.15"}]});
        let server = server(ResponseTemplate::new(200).set_body_json(prices), 1).await;
        assert_eq!(twilio(&server).monthly_price(Country::US, "local").await, None);
    }
}
