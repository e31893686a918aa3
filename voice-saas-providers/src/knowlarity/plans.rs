//! Plans, circles, and when numbers end (`/account/plans/`, `/account/numbers/`).

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use voice_saas_core::{
    phone::{Country, E164},
    provider::{
        ErrorKind, ProviderError,
        telephony::{NumberKind, ProviderPage},
    },
};

use super::{
    Knowlarity, NAME, answer,
    wire::{List, Scalar},
};
use crate::http::Request;

/// What the account has bought: minutes, channels, and places for numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// What [`with_plan`](super::KnowlarityBuilder::with_plan) takes.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its kind, in Knowlarity's words.
    pub kind: Option<String>,
    /// When it ends, where Knowlarity says so. Its numbers end with it.
    pub expires_at: Option<Timestamp>,
}

/// An Indian telecom region, in which numbers are searched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Circle {
    /// What a search takes.
    pub id: String,
    /// Its name, such as `Karnataka`.
    pub name: Option<String>,
}

/// A number of the account, with its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldNumber {
    /// The number.
    pub number: E164,
    /// Its kind, when it is one of those that the library knows.
    pub kind: Option<NumberKind>,
    /// How it shows itself in outgoing calls, in Knowlarity's words.
    pub cli_type: Option<String>,
    /// Since when the account holds it.
    pub held_since: Option<Timestamp>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// Whether Knowlarity says that this is past.
    pub expired: bool,
}

impl HeldNumber {
    /// Whether it has ended by `now`: by Knowlarity's word, or by its own end.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expired || self.expires_at.is_some_and(|end| end <= now)
    }

    /// `None` when it is no number.
    fn read(value: Value) -> Option<Self> {
        let row: HeldRow = serde_json::from_value(value).ok()?;
        Some(Self {
            number: row
                .phone_number
                .or(row.number)
                .or(row.knowlarity_number)
                .number()?,
            kind: row.number_type.as_str().and_then(kind_of),
            cli_type: row.cli_type.text(),
            held_since: row.created_time.time(),
            expires_at: row.expiry_time.time(),
            expired: row.is_expired.is_true(),
        })
    }
}

/// The stored page cuts the name of the number's own field off.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HeldRow {
    phone_number: Scalar,
    number: Scalar,
    knowlarity_number: Scalar,
    number_type: Scalar,
    cli_type: Scalar,
    created_time: Scalar,
    expiry_time: Scalar,
    is_expired: Scalar,
}

/// The words for kinds of numbers, in both directions.
pub(super) fn kind_word(kind: NumberKind) -> Option<&'static str> {
    Some(match kind {
        NumberKind::Local => "LANDLINE",
        NumberKind::TollFree => "TOLLFREE",
        NumberKind::Mobile => "MOBILE",
        _ => return None,
    })
}

fn kind_of(word: &str) -> Option<NumberKind> {
    [NumberKind::Local, NumberKind::TollFree, NumberKind::Mobile]
        .into_iter()
        .find(|kind| kind_word(*kind).is_some_and(|known| known.eq_ignore_ascii_case(word)))
}

impl Knowlarity {
    /// The account's plans.
    ///
    /// # Errors
    /// What the request may fail with.
    pub async fn plans(&self) -> Result<Vec<Plan>, ProviderError> {
        const PLANS: &str = "list plans";
        let request = Request::get(PLANS, self.path("plans/"));
        let list: List = answer::read(PLANS, &self.api.send(request).await?, &["objects"])?;
        Ok(list.objects.into_iter().filter_map(read_plan).collect())
    }

    /// The regions of a country.
    ///
    /// # Errors
    /// What the request may fail with.
    pub async fn circles(&self, country: Country) -> Result<Vec<Circle>, ProviderError> {
        const CIRCLES: &str = "list circles";
        let request = Request::get(CIRCLES, self.path("numbers/Circle")).query("country", country);
        let answer: Value = self.api.send(request).await?.json()?;
        let rows = match &answer {
            Value::Array(rows) => rows,
            other => ["objects", "circles", "Circle"]
                .iter()
                .find_map(|name| other.get(name)?.as_array())
                .ok_or_else(|| answer::refused(CIRCLES, &answer))?,
        };
        Ok(rows.iter().filter_map(read_circle).collect())
    }

    /// One page of the account's numbers with their ends, those that are past included.
    ///
    /// # Errors
    /// `Invalid` when `page` is not what a page before it said.
    pub async fn held_numbers(&self, page: Option<&str>) -> Result<ProviderPage<HeldNumber>, ProviderError> {
        self.held("list numbers", page, None).await
    }

    pub(super) async fn held(
        &self,
        operation: &'static str,
        page: Option<&str>,
        number: Option<&E164>,
    ) -> Result<ProviderPage<HeldNumber>, ProviderError> {
        let offset = offset(operation, page)?;
        let mut request = Request::get(operation, self.path("numbers/"))
            .query("limit", self.page_size)
            .query("offset", offset);
        if let Some(number) = number {
            request = request.query("number", number);
        }
        let list: List = answer::read(operation, &self.api.send(request).await?, &["objects"])?;
        let next = list.next(offset, self.page_size).map(|next| next.to_string());
        let items = list.objects.into_iter().filter_map(|row| {
            let number = HeldNumber::read(row);
            if number.is_none() {
                tracing::warn!("Knowlarity lists a number that is none");
            }
            number
        });
        Ok(ProviderPage {
            items: items.collect(),
            next,
        })
    }
}

/// Where a page begins.
pub(super) fn offset(operation: &'static str, page: Option<&str>) -> Result<u64, ProviderError> {
    page.map_or(Ok(0), str::parse).map_err(|_| {
        ProviderError::new(NAME, operation, ErrorKind::Invalid)
            .with_detail("a page is named by what the page before it said")
    })
}

fn read_plan(value: Value) -> Option<Plan> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Row {
        id: Scalar,
        user_plan_id: Scalar,
        plan: Scalar,
        plan_type: Scalar,
        expiry_time: Scalar,
        expiry_date: Scalar,
        end_time: Scalar,
    }
    let row: Row = serde_json::from_value(value).ok()?;
    Some(Plan {
        id: row.user_plan_id.or(row.id).text()?,
        name: row.plan.text(),
        kind: row.plan_type.text(),
        expires_at: row.expiry_time.or(row.expiry_date).or(row.end_time).time(),
    })
}

fn read_circle(value: &Value) -> Option<Circle> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Row {
        id: Scalar,
        circle_id: Scalar,
        name: Scalar,
        circle: Scalar,
        circle_name: Scalar,
    }
    let row = Row::deserialize(value).ok()?;
    Some(Circle {
        id: row.circle_id.or(row.id).text()?,
        name: row.name.or(row.circle_name).or(row.circle).text(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn held(value: Value) -> HeldNumber {
        HeldNumber::read(value).unwrap()
    }

    #[test]
    fn a_number_is_found_under_each_of_the_names_it_may_have() {
        for name in ["phone_number", "number", "knowlarity_number"] {
            let number = held(json!({name: "918040123456", "number_type": "landline"}));
            assert_eq!(number.number.as_str(), "+918040123456");
            assert_eq!(number.kind, Some(NumberKind::Local));
        }
        assert_eq!(HeldNumber::read(json!({"id": 7})), None);
    }

    #[test]
    fn a_number_ends_by_knowlaritys_word_or_by_its_date() {
        let now: Timestamp = "2026-11-21T06:30:00Z".parse().unwrap();
        let with = |end: &str, expired: Value| {
            held(json!({"number": "+918040123456", "expiry_time": end, "is_expired": expired}))
                .is_expired(now)
        };
        assert!(!with("2026-11-21 12:00:01+05:30", json!(false)));
        assert!(with("2026-11-21 12:00:00+05:30", json!(false)));
        assert!(with("2030-01-01 00:00:00+05:30", json!("true")));
        assert!(!with("None", json!(null)));
    }

    #[test]
    fn circles_and_plans_are_read_under_either_name() {
        let circle = read_circle(&json!({"circle_id": 9, "circle": "Karnataka"})).unwrap();
        assert_eq!((&*circle.id, circle.name.as_deref()), ("9", Some("Karnataka")));
        let plan = read_plan(json!({"id": 77, "plan": "SR Pro", "plan_type": "paid"})).unwrap();
        assert_eq!((&*plan.id, plan.expires_at), ("77", None));
        assert_eq!(read_plan(json!({"plan": "SR Pro"})), None);
    }
}
