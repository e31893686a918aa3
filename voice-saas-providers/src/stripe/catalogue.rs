//! Products, prices and meters (pages `api/products`, `api/prices`, `api/billing/meter`).

use voice_saas_core::{
    money::Money,
    provider::{
        ErrorKind, ProviderError,
        billing::{
            BillingPeriod, Charge, Meter, Operation, PeriodUnit, PlanPrice, ProviderPriceId, PublishedPrice,
        },
    },
};

use super::{
    api::{Api, Form, error, fingerprint, key},
    minor,
    wire::{Anything, List, MeterFacts, PLAN, Price},
};
use crate::http::Request;

/// What a meter event says whose usage it is, and how much.
pub(super) const CUSTOMER_KEY: &str = "stripe_customer_id";
pub(super) const VALUE_KEY: &str = "value";

const FIND_PRICES: &str = "find prices";
const CREATE_PRICE: &str = "create a price";
/// How many lookup keys Stripe takes at a time.
const MOST_KEYS: usize = 10;
/// The tag that says what a price was made from: a price never changes, and its tiers are not in lists.
const TERMS: &str = "terms";

pub(super) async fn publish(api: &Api, prices: &[PlanPrice]) -> Result<Vec<PublishedPrice>, ProviderError> {
    let mut found = Vec::new();
    for chunk in prices.chunks(MOST_KEYS) {
        found.extend(find(api, chunk).await?);
    }
    let mut meters = None;
    let mut published = Vec::new();
    for price in prices {
        let present = found
            .iter()
            .find(|it| it.lookup_key.as_deref() == Some(&*price.lookup_key));
        let id = match present {
            Some(present) if is_same(present, price) => present.id.clone(),
            present => make(api, price, present, &mut meters).await?,
        };
        published.push(PublishedPrice {
            lookup_key: price.lookup_key.clone(),
            id: ProviderPriceId::new(id),
        });
    }
    Ok(published)
}

async fn find(api: &Api, prices: &[PlanPrice]) -> Result<Vec<Price>, ProviderError> {
    let mut filter = Form::new().set("active", true).set("limit", MOST_KEYS);
    for (n, price) in prices.iter().enumerate() {
        filter = filter.set(format!("lookup_keys[{n}]"), &price.lookup_key);
    }
    let list: List<Price> = api
        .get(Request::get(FIND_PRICES, filter.below("/v1/prices")))
        .await?;
    Ok(list.data)
}

/// Whether a price charges what is wanted: by its tag, or a flat one that somebody else made by its amount.
fn is_same(present: &Price, wanted: &PlanPrice) -> bool {
    let tag = present.metadata.as_ref().and_then(|tags| tags.get(TERMS));
    if tag.is_some_and(|tag| *tag == terms(wanted)) {
        return present.active;
    }
    let Charge::Flat(amount) = wanted.charge else {
        return false;
    };
    let Some(recurring) = &present.recurring else {
        return false;
    };
    present.active
        && present.unit_amount.is_some()
        && present.unit_amount == minor::whole(amount)
        && present.currency == minor::code(amount.currency())
        && recurring.interval == unit(wanted.period)
        && recurring.interval_count == wanted.period.count()
        && recurring.usage_type.as_deref() != Some("metered")
}

/// What the price charges, as a tag.
fn terms(price: &PlanPrice) -> String {
    let period = format!("{} {}", price.period.count(), unit(price.period));
    let charge = match &price.charge {
        Charge::Flat(amount) => format!("flat {amount}"),
        Charge::Metered {
            meter,
            included,
            unit,
        } => {
            format!("metered {} {included} {unit}", meter.event_name)
        }
    };
    fingerprint(&[&period, &charge])
}

async fn make(
    api: &Api,
    price: &PlanPrice,
    replaced: Option<&Price>,
    meters: &mut Option<Vec<MeterFacts>>,
) -> Result<String, ProviderError> {
    ensure_product(api, price).await?;
    let form = Form::new()
        .set("product", product_id(&price.plan))
        .set("lookup_key", &price.lookup_key)
        .set("transfer_lookup_key", true)
        .set("recurring[interval]", unit(price.period))
        .set("recurring[interval_count]", price.period.count())
        .set(format!("metadata[{TERMS}]"), terms(price))
        .set(format!("metadata[{PLAN}]"), &price.plan);
    let form = match &price.charge {
        Charge::Flat(amount) => flat(form, *amount)?,
        Charge::Metered {
            meter,
            included,
            unit,
        } => {
            let meter = ensure_meter(api, meter, meters).await?;
            metered(form, &meter, *included, *unit)
        }
    };
    // What it replaces is part of the key: from one amount to another and back is two acts.
    let replaced = replaced.map_or("", |price| &*price.id);
    let key = catalogue_key("create_price", &[&price.lookup_key, &terms(price), replaced])?;
    let request = Request::post(CREATE_PRICE, "/v1/prices");
    let made: Price = api.act(request, form, key).await?;
    Ok(made.id)
}

fn flat(form: Form, amount: Money) -> Result<Form, ProviderError> {
    let units = minor::whole(amount).ok_or_else(|| {
        error(
            CREATE_PRICE,
            ErrorKind::Invalid,
            format!("{amount} has a fraction of the smallest unit"),
        )
    })?;
    Ok(form
        .set("currency", minor::code(amount.currency()))
        .set("unit_amount", units))
}

fn metered(form: Form, meter: &str, included: u64, unit: Money) -> Form {
    let form = form
        .set("currency", minor::code(unit.currency()))
        .set("recurring[usage_type]", "metered")
        .set("recurring[meter]", meter);
    if included == 0 {
        return form.set("unit_amount_decimal", minor::decimal(unit));
    }
    form.set("billing_scheme", "tiered")
        .set("tiers_mode", "graduated")
        .set("tiers[0][up_to]", included)
        .set("tiers[0][unit_amount]", 0)
        .set("tiers[1][up_to]", "inf")
        .set("tiers[1][unit_amount_decimal]", minor::decimal(unit))
}

/// One product for each plan: the portal cannot offer two prices of one product with the same period.
async fn ensure_product(api: &Api, price: &PlanPrice) -> Result<(), ProviderError> {
    let id = product_id(&price.plan);
    let form = Form::new()
        .set("id", &id)
        .set("name", &price.plan_name)
        .set(format!("metadata[{PLAN}]"), &price.plan);
    // The id is the key.
    match api
        .set::<Anything>(Request::post("create a product", "/v1/products"), form)
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        Err(error) => Err(error),
    }
}

async fn ensure_meter(
    api: &Api,
    meter: &Meter,
    known: &mut Option<Vec<MeterFacts>>,
) -> Result<String, ProviderError> {
    let known = match known {
        Some(known) => known,
        None => {
            let filter = Form::new().set("status", "active");
            known.insert(api.all("list meters", "/v1/billing/meters", &filter).await?)
        }
    };
    if let Some(found) = known.iter().find(|it| it.event_name == meter.event_name) {
        return Ok(found.id.clone());
    }
    let form = Form::new()
        .set("display_name", &meter.name)
        .set("event_name", &meter.event_name)
        .set("default_aggregation[formula]", "sum")
        .set("customer_mapping[type]", "by_id")
        .set("customer_mapping[event_payload_key]", CUSTOMER_KEY)
        .set("value_settings[event_payload_key]", VALUE_KEY);
    let key = catalogue_key("create_meter", &[&meter.event_name])?;
    let request = Request::post("create a meter", "/v1/billing/meters");
    let made: MeterFacts = api.act(request, form, key).await?;
    let id = made.id.clone();
    known.push(made);
    Ok(id)
}

/// The catalogue belongs to no tenant's operation; what is made says which act it is.
fn catalogue_key(act: &str, of: &[&str]) -> Result<String, ProviderError> {
    let operation = Operation::new("catalogue")
        .map_err(|wrong| error("publish prices", ErrorKind::Invalid, wrong.to_string()))?;
    Ok(key(act, &operation, of))
}

/// Our own id, so that a product is made once.
fn product_id(plan: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    format!("vs_{}", plan.chars().map(allowed).collect::<String>())
}

fn unit(period: BillingPeriod) -> &'static str {
    match period.unit() {
        PeriodUnit::Day => "day",
        PeriodUnit::Week => "week",
        PeriodUnit::Month => "month",
        PeriodUnit::Year => "year",
    }
}
