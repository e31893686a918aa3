//! Texts in every form that Knowlarity writes them in: its pages, its clients and its own answers disagree.

use std::time::Duration;

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::Value;
use voice_saas_core::phone::{Country, E164};

/// India's only zone is half an hour off the full ones.
fn india() -> Offset {
    Offset::UTC.saturating_add(SignedDuration::from_mins(330))
}

/// A text that may come as a number, as a truth, as null, or not at all. `None` as a text is nothing, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scalar(Option<String>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Number(serde_json::Number),
            Truth(bool),
            Other(IgnoredAny),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Text(text) => Self::from(text.as_str()),
            Form::Number(number) => Self(Some(number.to_string())),
            Form::Truth(truth) => Self(Some(truth.to_string())),
            Form::Other(_) => Self(None),
        })
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        let text = text.trim();
        let nothing = text.is_empty()
            || ["none", "null"]
                .iter()
                .any(|word| text.eq_ignore_ascii_case(word));
        Self((!nothing).then(|| text.to_owned()))
    }
}

impl Scalar {
    pub(super) fn text(self) -> Option<String> {
        self.0
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    pub(super) fn number(&self) -> Option<E164> {
        number(self.as_str()?)
    }

    pub(super) fn time(&self) -> Option<Timestamp> {
        time(self.as_str()?)
    }

    pub(super) fn seconds(&self) -> Option<Duration> {
        let text = self.as_str()?;
        let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
        whole.parse().ok().map(Duration::from_secs)
    }

    pub(super) fn count(&self) -> Option<u64> {
        self.as_str()?.parse().ok()
    }

    pub(super) fn is_true(&self) -> bool {
        self.as_str()
            .is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1")
    }
}

/// A phone number in any of its forms: `+919876543210`, `919876543210`, `09876543210`, `9876543210`, or behind a word
/// as in `Call Missed#+919876543210`.
pub(super) fn number(text: &str) -> Option<E164> {
    let text = text.rsplit('#').next().unwrap_or(text).trim();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let digits = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b" -()".contains(&byte));
    let india: Country = "IN".parse().ok()?;
    digits.then(|| E164::read(text, india).ok()).flatten()
}

/// A time in any of its forms; without an offset it is India's.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        Some(local.to_zoned(TimeZone::fixed(india())).ok()?.timestamp())
    })
}

/// A time as filters take it: `2024-03-13 12:00:00+05:30`.
pub(super) fn filter_time(at: Timestamp) -> String {
    let local = india().to_datetime(at);
    format!("{}+05:30", local.strftime("%Y-%m-%d %H:%M:%S"))
}

/// One page of a list. What cannot be read of it is left to whoever reads the items.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    meta: Option<Meta>,
    pub(super) objects: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Meta {
    #[serde(default)]
    next: Scalar,
    #[serde(default)]
    total_count: Scalar,
}

impl List {
    /// Where the next page begins, if there is one: by the number of all items, by the link to the next page, or
    /// because this one is full.
    pub(super) fn next(&self, offset: u64, limit: u16) -> Option<u64> {
        let here = u64::try_from(self.objects.len()).unwrap_or(u64::MAX);
        let after = offset.saturating_add(here);
        let more = match &self.meta {
            _ if here == 0 => false,
            Some(meta) => match meta.total_count.count() {
                Some(total) => after < total,
                None => meta.next.as_str().is_some(),
            },
            None => here >= limit.into(),
        };
        more.then_some(after)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_read_in_every_form_that_is_sent() {
        for text in [
            "+919876543210",
            "919876543210",
            "09876543210",
            "9876543210",
            "Call Missed#+919876543210",
            " 98765 43210 ",
        ] {
            assert_eq!(
                number(text).map(|it| it.to_string()).as_deref(),
                Some("+919876543210"),
                "{text}"
            );
        }
        assert_eq!(number("08040123456").unwrap().as_str(), "+918040123456");
        for text in ["", "None", "Call Missed", "Call Missed#", "anonymous", "12"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_read_in_every_form_that_is_sent() {
        for text in [
            "2024-03-13 12:00:00+05:30",
            "2024-03-13T12:00:00+05:30",
            "2024-03-13 06:30:00.000000+00:00",
            "2024-03-13T06:30:00Z",
            "2024-03-13 12:00:00",
        ] {
            let read = time(text).map(|at| at.to_string());
            assert_eq!(read.as_deref(), Some("2024-03-13T06:30:00Z"), "{text}");
        }
        assert_eq!(time("yesterday"), None);
        assert_eq!(
            filter_time("2024-03-12T19:00:00Z".parse().unwrap()),
            "2024-03-13 00:30:00+05:30"
        );
    }

    #[test]
    fn nothing_is_written_in_several_ways() {
        for nothing in [json!(null), json!(""), json!("None"), json!({}), json!("null")] {
            let scalar: Scalar = serde_json::from_value(nothing).unwrap();
            assert_eq!(scalar, Scalar::default());
        }
        let scalar = |value| serde_json::from_value::<Scalar>(value).unwrap();
        assert_eq!(scalar(json!("42.7")).seconds(), Some(Duration::from_secs(42)));
        assert_eq!(scalar(json!(42)).seconds(), Some(Duration::from_secs(42)));
        assert!(scalar(json!("true")).is_true() && scalar(json!(true)).is_true());
    }

    #[track_caller]
    fn next(meta: &Value, items: usize, expected: Option<u64>) {
        let list = json!({"meta": meta, "objects": vec![1; items]});
        let list: List = serde_json::from_value(list).unwrap();
        assert_eq!(list.next(10, 5), expected);
    }

    #[test]
    fn a_list_ends_however_its_end_is_told() {
        next(&json!({"total_count": 16}), 5, Some(15));
        next(&json!({"total_count": "15", "next": "/x?offset=15"}), 5, None);
        next(&json!({"next": "/x?offset=15"}), 5, Some(15));
        next(&json!({"next": null}), 5, None);
        next(&json!(null), 5, Some(15));
        next(&json!(null), 4, None);
        next(&json!({"total_count": 99}), 0, None);
    }
}
