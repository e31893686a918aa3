//! Products, prices, meters, and what was used.

use std::str::FromStr as _;

use rust_decimal::prelude::ToPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

use super::State;
use super::wire::{ApiError, number, only, page, required, tag, text, word};
use crate::emulator::id;

/// The first so many units cost so much each.
#[derive(Debug, Clone)]
pub(super) struct Tier {
    up_to: Option<i64>,
    unit: Decimal,
}

/// One meter event.
#[derive(Debug, Clone)]
pub(super) struct Used {
    event_name: String,
    customer: String,
    value: i64,
    at: i64,
    identifier: String,
    /// When it came, for the time in which repetitions are known.
    came: i64,
}

impl Used {
    pub(super) fn json(&self) -> Value {
        json!({"event_name": self.event_name, "customer": self.customer, "value": self.value,
            "timestamp": self.at, "identifier": self.identifier})
    }
}

const DAY: i64 = 24 * 3_600;

impl State {
    pub(super) fn create_product(&mut self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &["id", "name", "description", "metadata", "active", "expand"],
        )?;
        let name = required(params, "name")?;
        let new = text(params, "/id").map_or_else(|| format!("prod_{}", id::hex(14)), str::to_owned);
        if self.products.get(&new).is_some() {
            let message = format!("Product already exists: {new}");
            return Err(ApiError::invalid("resource_already_exists", "id", message));
        }
        let mut product = json!({
            "id": new, "object": "product", "active": true, "created": self.now, "default_price": null,
            "description": text(params, "/description"), "images": [], "livemode": false, "marketing_features": [],
            "metadata": {}, "name": name, "shippable": null,
            "statement_descriptor": null, "tax_code": null, "tax_details": null, "type": "service",
            "unit_label": null, "updated": self.now, "url": null,
        });
        tag(&mut product, params);
        self.products.put(product.clone());
        self.emit("product.created", &product);
        Ok(product)
    }

    pub(super) fn list_prices(&self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &[
                "active",
                "lookup_keys",
                "product",
                "limit",
                "starting_after",
                "expand",
                "currency",
                "type",
            ],
        )?;
        let keys = params["lookup_keys"].as_array();
        if keys.is_some_and(|keys| keys.len() > 10) {
            return Err(ApiError::invalid(
                "parameter_invalid",
                "lookup_keys",
                "at most 10",
            ));
        }
        let active = text(params, "/active").map(|word| word == "true");
        let product = text(params, "/product");
        let wanted = |it: &&Value| {
            active.is_none_or(|active| it["active"] == active)
                && product.is_none_or(|product| it["product"] == product)
                && keys.is_none_or(|keys| keys.contains(&it["lookup_key"]))
        };
        page(params, "/v1/prices", self.prices.newest().filter(wanted))
    }

    pub(super) fn create_price(&mut self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &[
                "currency",
                "product",
                "unit_amount",
                "unit_amount_decimal",
                "recurring",
                "billing_scheme",
                "tiers_mode",
                "tiers",
                "lookup_key",
                "transfer_lookup_key",
                "nickname",
                "metadata",
                "active",
                "tax_behavior",
                "expand",
            ],
        )?;
        let currency = required(params, "currency")?;
        let product = required(params, "product")?;
        if self.products.get(product).is_none() {
            return Err(ApiError::no_such("product", product, "product"));
        }
        let lookup_key = text(params, "/lookup_key");
        let tiers = tiers(params)?;
        let tiered = !tiers.is_empty();
        let amount = text(params, "/unit_amount").or_else(|| text(params, "/unit_amount_decimal"));
        let amount = amount.map(decimal).transpose()?;
        if amount.is_none() && !tiered {
            return Err(ApiError::missing("unit_amount"));
        }
        let mut price = json!({
            "id": format!("price_{}", id::hex(24)), "object": "price", "active": true,
            "billing_scheme": if tiered { "tiered" } else { "per_unit" }, "created": self.now,
            "currency": currency, "custom_unit_amount": null, "livemode": false, "lookup_key": lookup_key,
            "metadata": {}, "nickname": text(params, "/nickname"), "product": product,
            "recurring": self.recurring(params)?, "tax_behavior": "unspecified",
            "tiers_mode": text(params, "/tiers_mode"), "transform_quantity": null,
            "type": if params.get("recurring").is_some() { "recurring" } else { "one_time" },
            "unit_amount": amount.filter(Decimal::is_integer).and_then(|it| it.to_i64()),
            "unit_amount_decimal": amount.map(|it| it.normalize().to_string()),
        });
        tag(&mut price, params);
        self.take_lookup_key(lookup_key, text(params, "/transfer_lookup_key") == Some("true"))?;
        let new = self.prices.put(price.clone());
        let whole = [Tier {
            up_to: None,
            unit: amount.unwrap_or_default(),
        }];
        self.tiers
            .insert(new, if tiered { tiers } else { whole.to_vec() });
        self.emit("price.created", &price);
        Ok(price)
    }

    fn take_lookup_key(&mut self, key: Option<&str>, transfer: bool) -> Result<(), ApiError> {
        let Some(key) = key else { return Ok(()) };
        let holder = self.prices.iter().find(|it| it["lookup_key"] == key);
        let Some(holder) = holder.and_then(|it| it["id"].as_str()).map(str::to_owned) else {
            return Ok(());
        };
        if !transfer {
            let message = format!("A price with lookup key `{key}` already exists.");
            return Err(ApiError::invalid(
                "resource_already_exists",
                "lookup_key",
                message,
            ));
        }
        if let Some(price) = self.prices.get_mut(&holder) {
            price["lookup_key"] = Value::Null;
            let price = price.clone();
            self.emit("price.updated", &price);
        }
        Ok(())
    }

    fn recurring(&self, params: &Value) -> Result<Value, ApiError> {
        let Some(recurring) = params.get("recurring") else {
            return Ok(Value::Null);
        };
        only(recurring, &["interval", "interval_count", "usage_type", "meter"])?;
        let usage = word(recurring, "/usage_type", &["licensed", "metered"], "licensed")?;
        let meter = text(recurring, "/meter");
        match meter {
            None if usage == "metered" => return Err(ApiError::missing("recurring[meter]")),
            Some(meter) if self.meters.get(meter).is_none() => {
                return Err(ApiError::no_such("meter", meter, "recurring[meter]"));
            }
            _ => {}
        }
        Ok(json!({
            "interval": word(recurring, "/interval", &["day", "week", "month", "year"], "")?,
            "interval_count": number(recurring, "/interval_count")?.unwrap_or(1).clamp(1, 1_095),
            "meter": meter, "trial_period_days": null, "usage_type": usage,
        }))
    }

    pub(super) fn create_meter(&mut self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &[
                "display_name",
                "event_name",
                "default_aggregation",
                "customer_mapping",
                "value_settings",
                "expand",
            ],
        )?;
        let event_name = required(params, "event_name")?;
        if self.meters.iter().any(|it| it["event_name"] == event_name) {
            let message = format!("An active meter with event name {event_name} already exists");
            return Err(ApiError::invalid(
                "resource_already_exists",
                "event_name",
                message,
            ));
        }
        let key = |pointer, default| text(params, pointer).unwrap_or(default);
        let meter = json!({
            "id": format!("mtr_test_{}", id::hex(28)), "object": "billing.meter", "created": self.now,
            "customer_mapping": {
                "event_payload_key": key("/customer_mapping/event_payload_key", "stripe_customer_id"),
                "type": "by_id",
            },
            "default_aggregation": {
                "formula": word(params, "/default_aggregation/formula", &["sum", "count", "last"], "")?,
            },
            "display_name": required(params, "display_name")?, "event_name": event_name, "event_time_window": null,
            "livemode": false, "status": "active", "status_transitions": {"deactivated_at": null},
            "updated": self.now,
            "value_settings": {"event_payload_key": key("/value_settings/event_payload_key", "value")},
        });
        self.meters.put(meter.clone());
        Ok(meter)
    }

    pub(super) fn list_meters(&self, params: &Value) -> Result<Value, ApiError> {
        only(params, &["status", "limit", "starting_after", "expand"])?;
        page(params, "/v1/billing/meters", self.meters.newest())
    }

    /// A report whose identifier came before, within a day, is dropped.
    pub(super) fn report(&mut self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &["event_name", "payload", "identifier", "timestamp", "expand"],
        )?;
        let event_name = required(params, "event_name")?;
        let meter = self.meters.iter().find(|it| it["event_name"] == event_name);
        let Some(meter) = meter else {
            return Err(ApiError::no_such(
                "active meter for event name",
                event_name,
                "event_name",
            ));
        };
        let payload = |place: &str| {
            let key = meter[place]["event_payload_key"].as_str().unwrap_or_default();
            let missing = || ApiError::missing(&format!("payload[{key}]"));
            params["payload"][key]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(missing)
        };
        let customer = payload("customer_mapping")?;
        let value = payload("value_settings")?;
        let value = value.parse().map_err(|_| {
            ApiError::invalid("parameter_invalid", "payload[value]", "must be a whole number")
        })?;
        if self.customer(&customer).is_none() {
            return Err(ApiError::no_such("customer", &customer, "payload"));
        }
        let at = number(params, "/timestamp")?.unwrap_or(self.now);
        if at < self.now - 35 * DAY || at > self.now + 300 {
            let message = "The timestamp must be within the past 35 days or up to 5 minutes in the future.";
            return Err(ApiError::invalid("timestamp_invalid", "timestamp", message));
        }
        let identifier = text(params, "/identifier").map_or_else(id::uuid, str::to_owned);
        let event = json!({
            "object": "billing.meter_event", "created": self.now, "event_name": event_name,
            "identifier": identifier, "livemode": false, "payload": params["payload"], "timestamp": at,
        });
        let seen = |it: &Used| it.identifier == identifier && it.came > self.now - DAY;
        if !self.used.iter().any(seen) {
            self.used.push(Used {
                event_name: event_name.to_owned(),
                customer,
                value,
                at,
                identifier,
                came: self.now,
            });
        }
        Ok(event)
    }

    /// Units that were used of a meter from `start` to before `end`.
    pub(super) fn usage(&self, meter: &str, customer: &str, start: i64, end: i64) -> i64 {
        let Some(meter) = self.meters.get(meter) else {
            return 0;
        };
        let counts = |it: &&Used| {
            meter["event_name"] == *it.event_name && it.customer == customer && (start..end).contains(&it.at)
        };
        self.used.iter().filter(counts).map(|it| it.value).sum()
    }

    /// What so many units of a price come to, in its smallest unit.
    pub(super) fn amount(&self, price: &str, units: i64) -> i64 {
        let mut from = 0;
        let mut total = Decimal::ZERO;
        for tier in self.tiers.get(price).into_iter().flatten() {
            let to = tier.up_to.map_or(units, |up_to| up_to.min(units));
            if to > from {
                total += tier.unit * Decimal::from(to - from);
                from = to;
            }
        }
        total
            .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero)
            .to_i64()
            .unwrap_or(i64::MAX)
    }
}

fn decimal(text: &str) -> Result<Decimal, ApiError> {
    Decimal::from_str(text)
        .map_err(|_| ApiError::invalid("parameter_invalid", "unit_amount", "Invalid decimal"))
}

fn tiers(params: &Value) -> Result<Vec<Tier>, ApiError> {
    let given = params["tiers"].as_array().map(Vec::as_slice).unwrap_or_default();
    given
        .iter()
        .map(|tier| {
            only(
                tier,
                &["up_to", "unit_amount", "unit_amount_decimal", "flat_amount"],
            )?;
            let unit = text(tier, "/unit_amount").or_else(|| text(tier, "/unit_amount_decimal"));
            let up_to = match required(tier, "up_to")? {
                "inf" => None,
                _ => number(tier, "/up_to")?,
            };
            Ok(Tier {
                up_to,
                unit: unit.map(decimal).transpose()?.unwrap_or_default(),
            })
        })
        .collect()
}
