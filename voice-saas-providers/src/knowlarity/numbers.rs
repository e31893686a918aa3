//! Numbers, as far as Knowlarity's interface goes: listed, searched, and taken from a plan (`/account/numbers/`).

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use voice_saas_core::{
    phone::{Country, E164},
    provider::{
        ErrorKind, ProviderError,
        telephony::{
            AvailableNumber, NumberCapabilities, NumberKind, NumberOrder, NumberProvider, NumberQuery,
            NumberRequirements, NumberWebhooks, ProviderNumber, ProviderNumberId, ProviderPage, Removal,
        },
    },
};

use super::{
    Allocation, Circle, HeldNumber, Knowlarity, NAME, answer, plans, unsupported,
    wire::{self, Scalar},
};
use crate::http::{Request, RetryPolicy};

const VOICE: NumberCapabilities = NumberCapabilities {
    voice: true,
    sms: false,
    mms: false,
};

#[async_trait]
impl NumberProvider for Knowlarity {
    /// The query's area is a circle, by its id or its name. Prices are not told.
    ///
    /// `Unsupported` for numbers near another one, or with text messages.
    async fn search(&self, query: &NumberQuery) -> Result<Vec<AvailableNumber>, ProviderError> {
        const SEARCH: &str = "search for numbers";
        let kind = plans::kind_word(query.kind)
            .ok_or_else(|| unsupported(SEARCH, "ask for local, mobile or toll-free numbers"))?;
        if query.near.is_some() {
            return Err(unsupported(
                SEARCH,
                "numbers have no distance here; name a circle as the area",
            ));
        }
        if query.capabilities.sms || query.capabilities.mms {
            return Err(unsupported(
                SEARCH,
                "which numbers carry messages is not told; ask for calls alone",
            ));
        }
        let wanted = usize::from(query.limit.max(1));
        let mut found = Vec::new();
        for circle in self.circles_of(query).await? {
            if found.len() >= wanted {
                break;
            }
            found.append(&mut self.search_in(SEARCH, kind, &circle, query).await?);
        }
        found.truncate(wanted);
        Ok(found)
    }

    /// Takes the number from the plan, until the plan ends. Neither a tag nor webhooks can be given; what finds the
    /// number again is the number. `NumberUnavailable` is read from words that are not documented: another refusal is
    /// `Invalid`.
    async fn buy(&self, order: &NumberOrder) -> Result<ProviderNumber, ProviderError> {
        const ALLOCATE: &str = "take a number from the plan";
        let plan = self.plan.as_ref().ok_or_else(|| {
            unsupported(
                ALLOCATE,
                "numbers come with a plan: name one with with_plan, or have Knowlarity assign the number and import it",
            )
        })?;
        let until = self.allocate_until(ALLOCATE, plan).await?;
        let request = Request::post(ALLOCATE, self.path("numbers/"))
            .json(&json!({
                "user_plan_id": plan.user_plan_id,
                "expiry_time": wire::filter_time(until),
                "number": order.number,
            }))
            .retry(RetryPolicy::none());
        let answer = self.api.send(request).await?;
        let allocated: Allocated = answer::read(ALLOCATE, &answer, &["Number", "number"])?;
        if allocated.number.number().as_ref() != Some(&order.number) {
            return Err(ProviderError::new(NAME, ALLOCATE, ErrorKind::UnexpectedAnswer)
                .with_detail("another number was allocated than the one ordered"));
        }
        Ok(owned(order.number.clone(), None))
    }

    async fn find(&self, number: &E164) -> Result<Option<ProviderNumber>, ProviderError> {
        let now = self.ambient.now();
        let mut page: Option<String> = None;
        loop {
            let held = self.held("find a number", page.as_deref(), Some(number)).await?;
            // Whether the filter takes parts of numbers, or nothing at all, is not documented.
            if let Some(found) = held
                .items
                .into_iter()
                .find(|it| it.number == *number && !it.is_expired(now))
            {
                return Ok(Some(found.into()));
            }
            // A list that goes nowhere has no further pages.
            if held.next.is_none() || held.next == page {
                return Ok(None);
            }
            page = held.next;
        }
    }

    /// Numbers that have ended are left out: [`held_numbers`](Knowlarity::held_numbers) has them.
    async fn list(&self, page: Option<&str>) -> Result<ProviderPage<ProviderNumber>, ProviderError> {
        let now = self.ambient.now();
        let held = self.held_numbers(page).await?;
        let live = held.items.into_iter().filter(|it| !it.is_expired(now));
        Ok(ProviderPage {
            items: live.map(ProviderNumber::from).collect(),
            next: held.next,
        })
    }

    async fn configure(&self, _: &ProviderNumberId, _: &NumberWebhooks) -> Result<(), ProviderError> {
        Err(unsupported(
            "configure a number",
            "calls are routed in the SuperReceptionist dashboard: paste the address of POST /webhooks/knowlarity/{secret} there as URL push",
        ))
    }

    async fn release(&self, _: &ProviderNumberId) -> Result<Removal, ProviderError> {
        Err(unsupported(
            "release a number",
            "numbers are given back in the SuperReceptionist dashboard, or end with their plan; take it out of service here",
        ))
    }

    async fn rename(&self, _: &ProviderNumberId, _: &str) -> Result<(), ProviderError> {
        Err(unsupported(
            "rename a number",
            "numbers have no names at Knowlarity; keep the label here",
        ))
    }

    async fn requirements(&self, _: Country, _: NumberKind) -> Result<NumberRequirements, ProviderError> {
        Err(unsupported(
            "read what a number's buyer must have",
            "papers are asked for once, when the plan is bought; ask Knowlarity's staff",
        ))
    }
}

impl Knowlarity {
    /// Where to search: in the area, in the circle of the settings, or everywhere.
    async fn circles_of(&self, query: &NumberQuery) -> Result<Vec<Circle>, ProviderError> {
        let known = |id: &str| Circle {
            id: id.to_owned(),
            name: None,
        };
        let Some(area) = &query.area_code else {
            return match &self.circle {
                Some(id) => Ok(vec![known(id)]),
                None => self.circles(query.country).await,
            };
        };
        if area.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(vec![known(area)]);
        }
        let circles = self.circles(query.country).await?;
        let named = |circle: &Circle| {
            circle.id == *area
                || circle
                    .name
                    .as_ref()
                    .is_some_and(|name| name.eq_ignore_ascii_case(area))
        };
        Ok(circles.into_iter().filter(named).collect())
    }

    async fn search_in(
        &self,
        operation: &'static str,
        kind: &str,
        circle: &Circle,
        query: &NumberQuery,
    ) -> Result<Vec<AvailableNumber>, ProviderError> {
        let mut request = Request::get(operation, self.path("numbers/AvailablePhoneNumbers"))
            .query("circle_id", &circle.id)
            .query("number_type", kind)
            .query("how_many", query.limit.max(1));
        if let Some(digits) = &query.contains {
            request = request.query("pattern", digits);
        }
        let answer = self.api.send(request).await?;
        let found: Available = answer::read(operation, &answer, &["numbers"])?;
        // What a pattern may be is not documented, so its answer is searched again.
        let fits = |number: &E164| {
            number.country() == Some(query.country)
                && query
                    .contains
                    .as_deref()
                    .is_none_or(|digits| number.as_str().contains(digits))
        };
        let numbers = found.numbers.into_iter().filter_map(|row| {
            let row = AvailableRow::deserialize(row).ok()?;
            let number = row.number.number().filter(fits)?;
            let name = number.to_string();
            let region = circle.name.clone().or(row.circle.text());
            Some(AvailableNumber::new(number, name, VOICE).with_place(None, region))
        });
        Ok(numbers.collect())
    }

    /// Until when a number is taken: what the settings say, or the plan's own end.
    async fn allocate_until(
        &self,
        operation: &'static str,
        plan: &Allocation,
    ) -> Result<Timestamp, ProviderError> {
        if let Some(until) = plan.until {
            return Ok(until);
        }
        let plans = self.plans().await?;
        let end = plans
            .into_iter()
            .find(|it| it.id == plan.user_plan_id)
            .ok_or_else(|| {
                ProviderError::new(NAME, operation, ErrorKind::Invalid)
                    .with_detail("the account has no plan with the id that with_plan was given")
            })?
            .expires_at;
        end.ok_or_else(|| {
            ProviderError::new(NAME, operation, ErrorKind::Invalid)
                .with_detail("Knowlarity does not say when the plan ends; say it with with_plan_until")
        })
    }
}

impl From<HeldNumber> for ProviderNumber {
    fn from(held: HeldNumber) -> Self {
        owned(held.number, held.held_since)
    }
}

/// A number is its own id and its own name.
fn owned(number: E164, since: Option<Timestamp>) -> ProviderNumber {
    let name = number.to_string();
    ProviderNumber::new(ProviderNumberId::new(&*name), number, name.clone(), VOICE).with_terms(since, None)
}

#[derive(Debug, Deserialize)]
struct Allocated {
    #[serde(alias = "Number")]
    number: Scalar,
}

#[derive(Debug, Deserialize)]
struct Available {
    numbers: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AvailableRow {
    number: Scalar,
    circle: Scalar,
}
