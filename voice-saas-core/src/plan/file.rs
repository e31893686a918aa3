//! The catalogue's TOML form, and what is wrong with it, by line.

use std::{collections::HashSet, ops::Range, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::{Catalogue, Limits, Overage, Period, Plan, PlanId, SpendCap, SpendKind, Trial};
use crate::{
    money::{Currency, Money},
    tenant::Platform,
};

/// Why a plan catalogue cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", line.map_or_else(String::new, |line| format!("line {line} of the plan catalogue: ")))]
pub struct PlanError {
    line: Option<usize>,
    what: String,
}

impl PlanError {
    pub(super) fn without_place(what: impl Into<String>) -> Self {
        Self {
            line: None,
            what: what.into(),
        }
    }

    fn at(text: &str, span: &Range<usize>, what: impl Into<String>) -> Self {
        let before = text.as_bytes().iter().take(span.start);
        Self {
            line: Some(before.filter(|byte| **byte == b'\n').count() + 1),
            what: what.into(),
        }
    }

    /// The line that is wrong, from 1.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    version: String,
    currency: Currency,
    near_percent: Option<Spanned<u8>>,
    grace_days: Option<u16>,
    registration: RegistrationTable,
    plan: Vec<PlanTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistrationTable {
    web: Spanned<String>,
    mobile: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanTable {
    id: Spanned<String>,
    platform: Platform,
    family: Spanned<String>,
    name: Spanned<String>,
    price: Spanned<String>,
    period: Period,
    trial: Option<Spanned<TrialTable>>,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    features: Vec<Spanned<String>>,
    #[serde(default)]
    overage: OverageTable,
    grace_days: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrialTable {
    days: u16,
    calls: Option<u32>,
    numbers: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    calls_per_day: Option<Spanned<u32>>,
    calls_per_week: Option<Spanned<u32>>,
    calls_per_month: Option<Spanned<u32>>,
    minutes_per_month: Option<Spanned<u32>>,
    concurrency: Option<Spanned<u32>>,
    numbers: Option<u32>,
    agents: Option<Spanned<u32>>,
    spend: Option<SpendTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpendTable {
    amount: Spanned<String>,
    of: SpendKind,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct OverageTable {
    call: Option<Spanned<String>>,
    minute: Option<Spanned<String>>,
}

/// A text that is being read.
struct Reader<'a> {
    text: &'a str,
    currency: Currency,
}

pub(super) fn read(text: &str) -> Result<Catalogue, PlanError> {
    let file: CatalogueFile = toml::from_str(text).map_err(|error| match error.span() {
        Some(span) => PlanError::at(text, &span, error.message()),
        None => PlanError::without_place(error.message()),
    })?;
    let reader = Reader {
        text,
        currency: file.currency,
    };
    let grace = file.grace_days.unwrap_or(0);
    let mut names = HashSet::new();
    let mut plans = Vec::new();
    for table in file.plan {
        if !names.insert(table.id.get_ref().clone()) {
            return Err(reader.wrong(&table.id, "two plans have this id; rename one of them"));
        }
        plans.push(reader.plan(table, grace)?);
    }
    let near_percent = match file.near_percent {
        None => 80,
        Some(percent) if (1..=100).contains(percent.get_ref()) => percent.into_inner(),
        Some(percent) => return Err(reader.wrong(&percent, "near_percent must be 1 to 100")),
    };
    let registration = |name: Spanned<String>, platform| {
        let found = plans.iter().find(|plan| plan.id.as_str() == name.get_ref());
        match found {
            None => Err(reader.wrong(&name, "there is no plan of this id; write one, or name another")),
            Some(plan) if plan.platform != platform => Err(reader.wrong(
                &name,
                "the plan is for the other platform; name one of this platform",
            )),
            Some(plan) if !plan.begins_unpaid() => {
                Err(reader.wrong(&name, "whoever registers pays nothing yet; give the plan a trial"))
            }
            Some(plan) => Ok(plan.id.clone()),
        }
    };
    let web = registration(file.registration.web, Platform::Web)?;
    let mobile = registration(file.registration.mobile, Platform::Mobile)?;
    Ok(Catalogue {
        version: file.version,
        currency: file.currency,
        web,
        mobile,
        near_percent,
        plans,
    })
}

impl Reader<'_> {
    fn wrong<T>(&self, place: &Spanned<T>, what: impl Into<String>) -> PlanError {
        PlanError::at(self.text, &place.span(), what)
    }

    fn plan(&self, table: PlanTable, grace: u16) -> Result<Plan, PlanError> {
        let word = |text: &str| {
            let bytes = || text.bytes();
            !text.is_empty() && bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !word(table.id.get_ref()) {
            return Err(self.wrong(&table.id, "an id is made of a-z, 0-9 and _; rewrite it"));
        }
        if !word(table.family.get_ref()) {
            return Err(self.wrong(&table.family, "a family is made of a-z, 0-9 and _; rewrite it"));
        }
        if table.name.get_ref().trim().is_empty() {
            return Err(self.wrong(&table.name, "people need a name; write one"));
        }
        if let Some(empty) = table.features.iter().find(|feature| !word(feature.get_ref())) {
            return Err(self.wrong(empty, "a feature is made of a-z, 0-9 and _; rewrite it"));
        }
        let price = self.money(&table.price)?;
        let trial = table.trial.as_ref().map(|trial| self.trial(trial)).transpose()?;
        let overage = Overage {
            call: table
                .overage
                .call
                .as_ref()
                .map(|text| self.money(text))
                .transpose()?,
            minute: table
                .overage
                .minute
                .as_ref()
                .map(|text| self.money(text))
                .transpose()?,
        };
        let limits = self.limits(table.limits)?;
        if let Some(place) = &table.overage.minute
            && limits.minutes_per_month.is_none()
        {
            return Err(self.wrong(
                place,
                "no minute is beyond the limit of a plan without one; set minutes_per_month",
            ));
        }
        Ok(Plan {
            id: PlanId::new(table.id.into_inner()),
            platform: table.platform,
            family: table.family.into_inner(),
            name: table.name.into_inner(),
            price,
            period: table.period,
            trial,
            limits,
            features: table.features.into_iter().map(Spanned::into_inner).collect(),
            overage,
            grace: Duration::from_hours(24 * u64::from(table.grace_days.unwrap_or(grace))),
        })
    }

    fn trial(&self, trial: &Spanned<TrialTable>) -> Result<Trial, PlanError> {
        let TrialTable { days, calls, numbers } = *trial.get_ref();
        if days == 0 || calls == Some(0) {
            return Err(self.wrong(trial, "a trial of nothing is none; leave it out"));
        }
        Ok(Trial { days, calls, numbers })
    }

    fn limits(&self, table: LimitsTable) -> Result<Limits, PlanError> {
        let spend = match table.spend {
            None => None,
            Some(spend) => {
                let amount = self.money(&spend.amount)?;
                if amount.amount_micros() == 0 {
                    return Err(self.wrong(
                        &spend.amount,
                        "no call is possible with a cap of nothing; raise it",
                    ));
                }
                Some(SpendCap { amount, of: spend.of })
            }
        };
        Ok(Limits {
            calls_per_day: self.limit(table.calls_per_day)?,
            calls_per_week: self.limit(table.calls_per_week)?,
            calls_per_month: self.limit(table.calls_per_month)?,
            minutes_per_month: self.limit(table.minutes_per_month)?,
            concurrency: self.limit(table.concurrency)?,
            // Who uses the platform's own numbers has none.
            numbers: table.numbers,
            agents: self.limit(table.agents)?,
            spend,
        })
    }

    fn limit(&self, limit: Option<Spanned<u32>>) -> Result<Option<u32>, PlanError> {
        match limit {
            Some(limit) if *limit.get_ref() == 0 => Err(self.wrong(
                &limit,
                "a limit of 0 allows nothing; raise it, or leave it out for no limit",
            )),
            limit => Ok(limit.map(Spanned::into_inner)),
        }
    }

    fn money(&self, text: &Spanned<String>) -> Result<Money, PlanError> {
        Money::from_decimal_str(text.get_ref(), self.currency)
            .ok()
            .filter(|money| money.amount_micros() >= 0)
            .ok_or_else(|| self.wrong(text, "not an amount; write one such as \"49.99\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
version = "1"
currency = "EUR"

[registration]
web = "basic"
mobile = "app"

[[plan]]
id = "basic"
platform = "web"
family = "business"
name = "Basic"
price = "49.99"
period = "month"
trial = { days = 7, calls = 4 }
limits = { calls_per_week = 20 }

[[plan]]
id = "app"
platform = "mobile"
family = "consumer"
name = "App"
price = "4.99"
period = "week"
trial = { days = 7 }
"#;

    #[track_caller]
    fn wrong(from: &str, to: &str) -> (usize, String) {
        assert!(GOOD.contains(from), "{from}");
        let error = read(&GOOD.replacen(from, to, 1)).unwrap_err();
        (error.line().expect("a line"), error.to_string())
    }

    #[test]
    fn a_catalogue_reads_back_as_it_is_written() {
        let catalogue = read(GOOD).unwrap();
        let basic = catalogue.find("basic").unwrap();
        assert_eq!(basic.price.to_string(), "49.990000 EUR");
        assert_eq!(basic.limits.calls_per_week, Some(20));
        assert_eq!(basic.trial.unwrap().calls, Some(4));
        assert_eq!(catalogue.registration(Platform::Mobile).id.as_str(), "app");
    }

    #[test]
    fn whatever_is_wrong_is_named_with_its_line() {
        for (from, to, line, what) in [
            (
                "calls_per_week",
                "call_per_week",
                17,
                "unknown field `call_per_week`",
            ),
            ("\"49.99\"", "\"cheap\"", 14, "not an amount"),
            ("\"49.99\"", "\"-1\"", 14, "not an amount"),
            ("= 20", "= 0", 17, "leave it out for no limit"),
            ("calls = 4", "calls = 0", 16, "a trial of nothing"),
            (
                "period = \"month\"",
                "period = \"moon\"",
                15,
                "unknown variant `moon`",
            ),
            ("id = \"app\"", "id = \"basic\"", 20, "two plans have this id"),
            ("id = \"basic\"", "id = \"Basic plan\"", 10, "an id is made of"),
            ("web = \"basic\"", "web = \"none\"", 6, "no plan of this id"),
            ("web = \"basic\"", "web = \"app\"", 6, "the other platform"),
            ("trial = { days = 7 }", "", 7, "give the plan a trial"),
            ("name = \"Basic\"", "", 9, "missing field `name`"),
        ] {
            let (at, text) = wrong(from, to);
            assert!(at == line && text.contains(what), "{to}: {text}");
        }
    }

    #[test]
    fn minutes_are_beyond_a_limit_only_where_there_is_one() {
        let (line, text) = wrong("limits = {", "overage = { minute = \"0.10\" }\nlimits = {");
        assert!(line == 17 && text.contains("set minutes_per_month"), "{text}");
    }

    /// Every figure that the plans of the built-in catalogue have, in the order in which they are offered.
    #[test]
    fn the_built_in_catalogue_has_the_figures_of_the_products() {
        let catalogue = Catalogue::built_in();
        let figures: Vec<String> = catalogue
            .plans()
            .iter()
            .map(|plan| {
                let trial = plan.trial.map(|trial| (trial.days, trial.calls));
                let limits = (plan.limits.calls_per_week, plan.limits.numbers);
                format!(
                    "{} {} {:?} {trial:?} {limits:?}",
                    plan.id, plan.price, plan.period
                )
            })
            .collect();
        assert_eq!(
            figures,
            [
                "consumer_weekly 4.990000 USD Week Some((7, Some(3))) (None, Some(0))",
                "business_basic 49.990000 USD Month Some((7, Some(4))) (Some(20), None)",
                "business_professional 99.000000 USD Month Some((7, Some(4))) (Some(50), None)",
                "business_enterprise 299.000000 USD Month Some((7, Some(4))) (None, None)",
                "receptionist_starter 299.000000 USD Month Some((14, None)) (None, Some(1))",
                "receptionist_professional 799.000000 USD Month Some((14, None)) (None, Some(1))",
                "receptionist_enterprise 1499.000000 USD Month Some((14, None)) (None, None)",
                "pay_per_survey 0.500000 USD PerUnit None (None, None)",
            ]
        );
        assert_eq!(
            catalogue.registration(Platform::Web).id.as_str(),
            "business_basic"
        );
        assert_eq!(
            catalogue.registration(Platform::Mobile).id.as_str(),
            "consumer_weekly"
        );
        assert!(
            catalogue
                .find("receptionist_enterprise")
                .unwrap()
                .has("api_access")
        );
    }
}
