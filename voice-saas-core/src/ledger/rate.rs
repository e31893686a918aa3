//! What providers charge: a table that the embedder replaces.

use serde::Deserialize;

use crate::{
    money::{Currency, Money, MoneyError},
    phone::Country,
};

/// One price of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// What for, such as `telephony_inbound`.
    pub kind: String,
    /// Who charges it.
    pub provider: String,
    /// Where; `None` = everywhere.
    pub country: Option<Country>,
    /// For how much, such as `minute`.
    pub unit: String,
    /// The price of one unit.
    pub amount: Money,
    /// Where the figure is from.
    pub source: Option<String>,
}

/// Why a rate table cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// Not TOML, or not of this shape; the cause names the line.
    #[error("the rate table cannot be read")]
    Syntax(#[from] toml::de::Error),
    /// A price is not a decimal number.
    #[error("rate {index} ({kind}) has no proper amount")]
    Amount {
        /// Which, from 1.
        index: usize,
        /// Its kind.
        kind: String,
        /// Why.
        source: MoneyError,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    version: String,
    currency: Currency,
    rate: Vec<RateRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateRow {
    kind: String,
    provider: String,
    country: Option<Country>,
    unit: String,
    amount: String,
    source: Option<String>,
}

/// What providers charge.
///
/// ```
/// use voice_saas_core::{ledger::RateTable, phone::Country};
///
/// let rates = RateTable::built_in();
/// let inbound = rates.find("telephony_inbound", "twilio", Some(Country::US)).expect("a US rate");
/// assert_eq!(inbound.amount.to_string(), "0.008500 USD");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateTable {
    version: String,
    rates: Vec<Rate>,
}

impl RateTable {
    /// The table that comes with the library.
    pub fn built_in() -> Self {
        Self::from_toml(include_str!("rates.toml"))
            .unwrap_or_else(|error| unreachable!("a test reads the built-in table: {error}"))
    }

    /// Reads a table.
    ///
    /// # Errors
    /// `Syntax` with the line, `Amount` with the rate.
    pub fn from_toml(text: &str) -> Result<Self, RateError> {
        let file: TableFile = toml::from_str(text)?;
        let rates = file
            .rate
            .into_iter()
            .enumerate()
            .map(
                |(index, row)| match Money::from_decimal_str(&row.amount, file.currency) {
                    Ok(amount) => Ok(Rate {
                        kind: row.kind,
                        provider: row.provider,
                        country: row.country,
                        unit: row.unit,
                        amount,
                        source: row.source,
                    }),
                    Err(source) => Err(RateError::Amount {
                        index: index + 1,
                        kind: row.kind,
                        source,
                    }),
                },
            )
            .collect::<Result<_, _>>()?;
        Ok(Self {
            version: file.version,
            rates,
        })
    }

    /// All prices.
    pub fn rates(&self) -> &[Rate] {
        &self.rates
    }

    /// Which table this is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The price of `kind` at `provider`: the one of the country if there is one, else the one of everywhere.
    pub fn find(&self, kind: &str, provider: &str, country: Option<Country>) -> Option<&Rate> {
        let mut fitting = self
            .rates
            .iter()
            .filter(|rate| rate.kind == kind && rate.provider == provider);
        fitting
            .clone()
            .find(|rate| rate.country.is_some() && rate.country == country)
            .or_else(|| fitting.find(|rate| rate.country.is_none()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_the_built_in_table_says_where_it_is_from() {
        let table = RateTable::built_in();
        for rate in table.rates() {
            assert!(
                rate.source.as_deref().is_some_and(|source| source.len() > 10),
                "{rate:?}"
            );
        }
        assert_eq!(table.version(), "2026-11-2");
    }

    #[test]
    fn there_is_a_rate_for_each_provider_that_the_products_name() {
        let table = RateTable::built_in();
        let us = Some(Country::US);
        for (kind, provider, amount) in [
            ("telephony_inbound", "twilio", "0.008500"),
            ("telephony_outbound", "twilio", "0.013000"),
            ("media_stream", "twilio", "0.004000"),
            ("number_month", "twilio", "1.150000"),
            ("agent", "elevenlabs", "0.100000"),
            ("agent", "openai", "0.048000"),
            ("stt", "deepgram", "0.004333"),
            ("llm", "openai", "0.033333"),
            ("tts", "rime", "0.000000"),
            ("sip", "livekit", "0.004000"),
            ("payment", "stripe", "0.300000"),
            ("payment_share", "stripe", "0.029000"),
        ] {
            let rate = table.find(kind, provider, us).map(|rate| rate.amount.to_string());
            assert_eq!(rate, Some(format!("{amount} USD")), "{kind} at {provider}");
        }
    }

    #[test]
    fn a_wrong_amount_names_its_rate() {
        let text = "version = '1'\ncurrency = 'USD'\n[[rate]]\nkind = 'agent'\nprovider = 'x'\nunit = 'minute'\namount = 'much'";
        let error = RateTable::from_toml(text).unwrap_err();
        assert_eq!(error.to_string(), "rate 1 (agent) has no proper amount");
    }

    #[test]
    fn a_country_without_a_rate_has_no_price() {
        let rates = RateTable::built_in();
        assert_eq!(rates.find("telephony_inbound", "twilio", "GB".parse().ok()), None);
    }
}
