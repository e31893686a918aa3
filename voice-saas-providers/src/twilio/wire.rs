//! Twilio's answers, read leniently: its own samples disagree on types, on case, and on null against empty.

use std::{collections::HashMap, str::FromStr, time::Duration};

use super::regulations::address_requirement;
use jiff::{Timestamp, fmt::rfc2822};
use serde::{Deserialize, de::IgnoredAny};
use voice_saas_core::{
    money::{Currency, Money},
    phone::E164,
    provider::telephony::{
        AddressRequirement, AvailableNumber, NumberCapabilities, ProviderCall, ProviderCallId,
        ProviderCallStatus, ProviderNumber, ProviderNumberId,
    },
};

/// A text that may come as a number, as null, or not at all.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Other(IgnoredAny),
}

impl Default for Scalar {
    fn default() -> Self {
        Self::Other(IgnoredAny)
    }
}

impl Scalar {
    /// The text, unless it is empty.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text).filter(|text| !text.is_empty()),
            Self::Number(number) => Some(number.to_string()),
            Self::Other(_) => None,
        }
    }

    /// The same, of what is a text.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
            Self::Number(_) | Self::Other(_) => None,
        }
    }

    fn parse<T: FromStr>(self) -> Option<T> {
        self.text()?.trim().parse().ok()
    }
}

/// The names are in lower case in most answers, in upper case in some, and `fax` is often missing.
#[derive(Debug, Default, Deserialize)]
struct Capabilities(HashMap<String, Option<bool>>);

impl Capabilities {
    fn read(&self) -> NumberCapabilities {
        let has = |wanted: &str| {
            self.0
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case(wanted) && *value == Some(true))
        };
        NumberCapabilities {
            voice: has("voice"),
            sms: has("sms"),
            mms: has("mms"),
        }
    }
}

/// The answer of `AvailablePhoneNumbers`, which has no further pages.
#[derive(Debug, Deserialize)]
pub(super) struct AvailableNumbers {
    pub(super) available_phone_numbers: Vec<Available>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Available {
    phone_number: String,
    #[serde(default)]
    friendly_name: Scalar,
    #[serde(default)]
    locality: Scalar,
    #[serde(default)]
    region: Scalar,
    #[serde(default)]
    address_requirements: Scalar,
    capabilities: Option<Capabilities>,
}

impl Available {
    pub(super) fn address(&self) -> AddressRequirement {
        address_requirement(&self.address_requirements)
    }

    /// `None` when it is no phone number.
    pub(super) fn read(self, monthly_price: Option<Money>) -> Option<AvailableNumber> {
        let number = self.phone_number.parse().ok()?;
        let address = self.address();
        let name = self.friendly_name.text().unwrap_or(self.phone_number);
        let capabilities = self.capabilities.unwrap_or_default().read();
        let number = AvailableNumber::new(number, name, capabilities);
        Some(
            number
                .with_place(self.locality.text(), self.region.text())
                .with_terms(address, monthly_price),
        )
    }
}

/// One page of `IncomingPhoneNumbers`.
#[derive(Debug, Deserialize)]
pub(super) struct Numbers {
    pub(super) incoming_phone_numbers: Vec<OwnedNumber>,
    #[serde(default)]
    pub(super) next_page_uri: Scalar,
}

/// An item of `IncomingPhoneNumbers`. With test credentials most of it is null (page `iam/test-credentials`).
#[derive(Debug, Deserialize)]
pub(super) struct OwnedNumber {
    pub(super) sid: String,
    #[serde(default)]
    phone_number: Scalar,
    #[serde(default)]
    friendly_name: Scalar,
    capabilities: Option<Capabilities>,
    #[serde(default)]
    voice_url: Scalar,
    #[serde(default)]
    trunk_sid: Scalar,
    #[serde(default)]
    voice_application_sid: Scalar,
    #[serde(default)]
    date_created: Scalar,
    #[serde(default, rename = "type")]
    number_type: Scalar,
}

impl OwnedNumber {
    /// The number; `None` when it is none.
    pub(super) fn number(&self) -> Option<E164> {
        self.phone_number.as_str()?.parse().ok()
    }

    /// The trunk that its calls go to.
    pub(super) fn trunk(&self) -> Option<&str> {
        self.trunk_sid.as_str()
    }

    /// What decides its price.
    pub(super) fn number_type(&self) -> Option<&str> {
        self.number_type.as_str()
    }

    pub(super) fn read_as(self, number: E164, monthly_price: Option<Money>) -> ProviderNumber {
        let held_since = self.date_created.text().and_then(|text| timestamp(&text));
        ProviderNumber::new(
            ProviderNumberId::new(self.sid),
            number,
            self.friendly_name.text().unwrap_or_default(),
            self.capabilities.unwrap_or_default().read(),
        )
        .with_voice_url(self.voice_url.text())
        .with_terms(held_since, monthly_price)
    }

    /// Whether calls go to a trunk or an application instead of the voice URL.
    pub(super) fn ignores_its_voice_url(&self) -> bool {
        self.trunk().is_some() || self.voice_application_sid.as_str().is_some()
    }
}

/// A Call.
#[derive(Debug, Deserialize)]
pub(super) struct Call {
    sid: String,
    #[serde(default)]
    status: Scalar,
    #[serde(default)]
    start_time: Scalar,
    #[serde(default)]
    end_time: Scalar,
    #[serde(default)]
    duration: Scalar,
    #[serde(default)]
    price: Scalar,
    #[serde(default)]
    price_unit: Scalar,
}

impl Call {
    pub(super) fn read(self) -> ProviderCall {
        let time = |text: Scalar| text.text().and_then(|text| timestamp(&text));
        ProviderCall::new(
            ProviderCallId::new(self.sid),
            call_status(&self.status.text().unwrap_or_default()),
        )
        .with_times(time(self.start_time), time(self.end_time))
        .with_duration(self.duration.parse().map(Duration::from_secs))
        .with_price(price(self.price, self.price_unit))
    }
}

/// A charge is a negative price; `None` until the call is rated (page `voice/api/call-resource`).
fn price(price: Scalar, unit: Scalar) -> Option<Money> {
    let currency = Currency::from_code(&unit.text()?.to_ascii_uppercase())?;
    let money = Money::from_decimal_str(&price.text()?, currency).ok()?;
    Some(money.abs())
}

/// The words of calls, callbacks and webhooks (page `voice/api/call-resource`).
pub(super) fn call_status(word: &str) -> ProviderCallStatus {
    match word {
        "queued" => ProviderCallStatus::Queued,
        "initiated" => ProviderCallStatus::Initiated,
        "ringing" => ProviderCallStatus::Ringing,
        "in-progress" => ProviderCallStatus::InProgress,
        "completed" => ProviderCallStatus::Completed,
        "busy" => ProviderCallStatus::Busy,
        "no-answer" => ProviderCallStatus::NoAnswer,
        "failed" => ProviderCallStatus::Failed,
        "canceled" => ProviderCallStatus::Canceled,
        _ => ProviderCallStatus::Unknown,
    }
}

/// Whether a call with this status is over for good.
pub(super) fn is_over(status: ProviderCallStatus) -> bool {
    matches!(
        status,
        ProviderCallStatus::Completed
            | ProviderCallStatus::Busy
            | ProviderCallStatus::NoAnswer
            | ProviderCallStatus::Failed
            | ProviderCallStatus::Canceled
    )
}

/// RFC 2822 in this API, ISO 8601 in Twilio's newer ones.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()
        .or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn call(fields: &Value) -> ProviderCall {
        let mut call = json!({"sid": "CA1"});
        for (name, value) in fields.as_object().unwrap() {
            call[name] = value.clone();
        }
        serde_json::from_value::<Call>(call).unwrap().read()
    }

    #[test]
    fn a_rated_call_has_times_duration_and_a_positive_price() {
        let call = call(&json!({
            "status": "completed", "duration": "42", "price": "-0.03000", "price_unit": "USD",
            "start_time": "Thu, 30 Jul 2015 23:19:04 +0000", "end_time": "Thu, 30 Jul 2015 23:19:46 +0000",
        }));
        assert_eq!(call.status, ProviderCallStatus::Completed);
        assert_eq!(call.started_at, Some("2015-07-30T23:19:04Z".parse().unwrap()));
        assert_eq!(call.ended_at, Some("2015-07-30T23:19:46Z".parse().unwrap()));
        assert_eq!(call.duration, Some(Duration::from_secs(42)));
        assert_eq!(call.price, Some(Money::from_micros(30_000, Currency::USD)));
    }

    #[test]
    fn numbers_may_be_numbers_and_units_may_be_in_lower_case() {
        let call = call(&json!({
            "status": "busy", "duration": 42, "price": -0.03, "price_unit": "usd",
            "start_time": "2015-07-30T23:19:04Z",
        }));
        assert_eq!(call.started_at, Some("2015-07-30T23:19:04Z".parse().unwrap()));
        assert_eq!(call.duration, Some(Duration::from_secs(42)));
        assert_eq!(call.price, Some(Money::from_micros(30_000, Currency::USD)));
    }

    #[test]
    fn a_call_that_is_not_rated_yet_has_no_price() {
        for fields in [
            json!({}),
            json!({"price": null, "price_unit": "USD", "duration": null, "start_time": ""}),
            json!({"price": "-1", "price_unit": null, "status": "a new word", "duration": "", "end_time": null}),
        ] {
            let call = call(&fields);
            assert_eq!(
                call,
                ProviderCall::new(ProviderCallId::new("CA1"), ProviderCallStatus::Unknown)
            );
        }
    }

    #[test]
    fn every_word_has_its_status() {
        for (word, status, over) in [
            ("queued", ProviderCallStatus::Queued, false),
            ("initiated", ProviderCallStatus::Initiated, false),
            ("ringing", ProviderCallStatus::Ringing, false),
            ("in-progress", ProviderCallStatus::InProgress, false),
            ("completed", ProviderCallStatus::Completed, true),
            ("busy", ProviderCallStatus::Busy, true),
            ("no-answer", ProviderCallStatus::NoAnswer, true),
            ("failed", ProviderCallStatus::Failed, true),
            ("canceled", ProviderCallStatus::Canceled, true),
            ("a new word", ProviderCallStatus::Unknown, false),
        ] {
            assert_eq!(call_status(word), status);
            assert_eq!(is_over(status), over, "{word}");
        }
    }

    #[test]
    fn capabilities_are_read_in_any_case() {
        for capabilities in [
            json!({"voice": true, "SMS": true, "MMS": false}),
            json!({"Voice": true, "sms": true, "mms": null, "fax": false}),
        ] {
            let capabilities: Capabilities = serde_json::from_value(capabilities).unwrap();
            let expected = NumberCapabilities {
                voice: true,
                sms: true,
                mms: false,
            };
            assert_eq!(capabilities.read(), expected);
        }
    }
}
