//! Changes of a subscription, and what they cost.

use serde_json::{Value, json};

use super::calendar::period_end;
use super::subscription::{period, same_interval};
use super::wire::{ApiError, number, only, tag, text, word};
use super::{State, int, string};

/// What a change of items comes to.
#[derive(Debug)]
struct Change {
    items: Vec<Value>,
    /// Prorations, and the first full period where the interval changed.
    lines: Vec<Value>,
    /// Whether a new period begins now.
    restarts: bool,
    /// Whether it is invoiced now.
    at_once: bool,
}

const PRORATIONS: [&str; 3] = ["create_prorations", "always_invoice", "none"];

impl State {
    pub(super) fn update_subscription(&mut self, id: &str, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &[
                "items",
                "proration_behavior",
                "proration_date",
                "payment_behavior",
                "metadata",
                "cancel_at_period_end",
                "default_payment_method",
                "trial_end",
                "off_session",
                "expand",
            ],
        )?;
        let found = self.subscription(id)?.clone();
        let only_tags = params
            .as_object()
            .is_some_and(|fields| fields.keys().all(|name| name == "metadata" || name == "expand"));
        if !found["ended_at"].is_null() && !only_tags {
            let message = "A canceled subscription can only update its cancellation_details and metadata.";
            return Err(ApiError::invalid(
                "invalid_canceled_subscription_fields",
                "",
                message,
            ));
        }
        let method = text(params, "/default_payment_method");
        if let Some(method) = method
            && self
                .methods
                .get(method)
                .is_none_or(|it| it["customer"] != found["customer"])
        {
            return Err(ApiError::no_such(
                "PaymentMethod",
                method,
                "default_payment_method",
            ));
        }
        let change = match params.get("items") {
            Some(_) => Some(self.plan_change(&found, params, "")?),
            None => None,
        };
        let due = change.as_ref().filter(|change| change.at_once);
        if let Some(change) = due
            && text(params, "/payment_behavior") == Some("error_if_incomplete")
        {
            self.check_payable(&found, &change.lines)?;
        }
        let now = self.now;
        self.amend(id, |it| {
            tag(it, params);
            match text(params, "/cancel_at_period_end") {
                Some("true") => {
                    it["cancel_at_period_end"] = json!(true);
                    it["cancel_at"] = json!(period(it).1);
                    it["canceled_at"] = json!(now);
                    it["cancellation_details"]["reason"] = json!("cancellation_requested");
                }
                Some(_) => {
                    it["cancel_at_period_end"] = json!(false);
                    it["cancel_at"] = Value::Null;
                    it["canceled_at"] = Value::Null;
                    it["cancellation_details"]["reason"] = Value::Null;
                }
                None => {}
            }
            if let Some(method) = method {
                it["default_payment_method"] = json!(method);
            }
            if let Some(change) = &change {
                it["items"]["data"] = json!(change.items);
                if change.restarts {
                    it["billing_cycle_anchor"] = json!(now);
                }
            }
        });
        if let Some(change) = change {
            self.settle(id, &found, change);
        }
        match text(params, "/trial_end") {
            Some("now") if found["status"] == "trialing" => self.end_trial(id, true),
            Some(_) if found["status"] == "trialing" => self.move_trial(id, number(params, "/trial_end")?),
            _ => {}
        }
        Ok(self.subscription(id)?.clone())
    }

    fn check_payable(&self, subscription: &Value, lines: &[Value]) -> Result<(), ApiError> {
        let due: i64 = lines.iter().map(|line| int(&line["amount"])).sum();
        if due <= 0 {
            return Ok(());
        }
        let customer = string(&subscription["customer"]);
        let card = self.paying_card(&customer, subscription["default_payment_method"].as_str());
        let Some(card) = card else {
            let message = "This customer has no attached payment source or default payment method.";
            return Err(ApiError::invalid("resource_missing", "", message));
        };
        self.charge(&card).map_or(Ok(()), |decline| Err(decline.error()))
    }

    fn settle(&mut self, id: &str, subscription: &Value, change: Change) {
        if !change.at_once {
            self.pending
                .entry(id.to_owned())
                .or_default()
                .extend(change.lines);
            return;
        }
        if change.lines.is_empty() {
            return;
        }
        let customer = string(&subscription["customer"]);
        let invoice = self.make_invoice(&customer, Some(id), "subscription_update", change.lines);
        self.finalize(&invoice);
        let card = self.paying_card(&customer, subscription["default_payment_method"].as_str());
        self.collect(&invoice, card.as_deref());
    }

    fn move_trial(&mut self, id: &str, end: Option<i64>) {
        let Some(end) = end.filter(|end| *end > self.now) else {
            return;
        };
        self.amend(id, |it| {
            it["trial_end"] = json!(end);
            it["billing_cycle_anchor"] = json!(end);
            if let Some(items) = it["items"]["data"].as_array_mut() {
                for item in items {
                    item["current_period_end"] = json!(end);
                }
            }
        });
        self.noticed.remove(id);
    }

    /// The items as the parameters below `root` want them, and what the rest of the period costs.
    fn plan_change(&self, subscription: &Value, params: &Value, root: &str) -> Result<Change, ApiError> {
        let at = |name: &str| format!("{root}/{name}");
        let behaviour = word(
            params,
            &at("proration_behavior"),
            &PRORATIONS,
            "create_prorations",
        )?;
        let (start, end) = period(subscription);
        let date = number(params, &at("proration_date"))?.unwrap_or(self.now);
        if !(start..=end).contains(&date) {
            let message = "Invalid proration_date: it must be within the current period.";
            return Err(ApiError::invalid("parameter_invalid", "proration_date", message));
        }
        let before = subscription["items"]["data"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let given = params
            .pointer(&at("items"))
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let mut items = self.changed_items(subscription, &before, &given)?;
        same_interval(&items)?;
        let interval = |items: &[Value]| {
            let recurring = &items[0]["price"]["recurring"];
            (recurring["interval"].clone(), recurring["interval_count"].clone())
        };
        let trial = subscription["status"] == "trialing";
        let restarts = !trial && interval(&before) != interval(&items);
        let mut lines = Vec::new();
        if !trial && behaviour != "none" {
            let share = |item: &Value| self.share(item, date, (start, end));
            for item in before.iter().filter(|item| !has_price(&items, item)) {
                lines.push(self.proration(subscription, item, -share(item), (date, end), "Unused time"));
            }
            if !restarts {
                for item in items.iter().filter(|item| !has_price(&before, item)) {
                    lines.push(self.proration(
                        subscription,
                        item,
                        share(item),
                        (date, end),
                        "Remaining time",
                    ));
                }
            }
        }
        lines.retain(|line| line["amount"] != 0);
        if restarts {
            for item in &mut items {
                item["current_period_start"] = json!(self.now);
                let end = period_end(self.now, &item["price"]["recurring"], self.now);
                item["current_period_end"] = json!(end);
            }
            let mut next = subscription.clone();
            next["items"]["data"] = json!(items);
            lines.extend(self.period_lines(&next, None));
        }
        Ok(Change {
            items,
            lines,
            restarts,
            at_once: restarts || behaviour == "always_invoice",
        })
    }

    fn changed_items(
        &self,
        subscription: &Value,
        before: &[Value],
        given: &[Value],
    ) -> Result<Vec<Value>, ApiError> {
        let mut items = before.to_vec();
        for step in given {
            only(
                step,
                &["id", "price", "quantity", "deleted", "clear_usage", "metadata"],
            )?;
            let price = text(step, "/price")
                .map(|price| self.recurring_price(price))
                .transpose()?;
            let fresh =
                price.map(|price| self.item(&string(&subscription["id"]), price, period(subscription)));
            match (text(step, "/id"), fresh) {
                (Some(id), fresh) => {
                    let place = items.iter().position(|item| item["id"] == id);
                    let place = place.ok_or_else(|| ApiError::no_such("subscription item", id, "items"))?;
                    if text(step, "/deleted") == Some("true") {
                        items.remove(place);
                    } else if let Some(mut fresh) = fresh {
                        fresh["id"] = json!(id);
                        items[place] = fresh;
                    }
                }
                (None, Some(fresh)) => items.push(fresh),
                (None, None) => return Err(ApiError::missing("items[0][price]")),
            }
        }
        if items.is_empty() {
            let message = "A subscription must have at least one item.";
            return Err(ApiError::invalid("parameter_invalid", "items", message));
        }
        Ok(items)
    }

    /// The part of an item's price that belongs to the rest of the period, by seconds.
    fn share(&self, item: &Value, date: i64, (start, end): (i64, i64)) -> i64 {
        let whole = i128::from(self.flat_amount(item));
        let length = i128::from((end - start).max(1));
        let rest = i128::from(end - date);
        i64::try_from((whole * rest * 2 + length) / (length * 2)).unwrap_or(i64::MAX)
    }

    fn proration(
        &self,
        subscription: &Value,
        item: &Value,
        amount: i64,
        period: (i64, i64),
        what: &str,
    ) -> Value {
        let mut line = self.line(subscription, item, amount, period);
        line["description"] = json!(format!("{what} on {}", string(&item["price"]["product"])));
        line["parent"]["subscription_item_details"]["proration"] = json!(true);
        line
    }

    pub(super) fn preview_invoice(&mut self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &["customer", "subscription", "subscription_details", "expand"],
        )?;
        let id = text(params, "/subscription").ok_or_else(|| ApiError::missing("subscription"))?;
        let found = self
            .subscriptions
            .get(id)
            .ok_or_else(|| ApiError::no_such("subscription", id, "subscription"))?
            .clone();
        let details = &params["subscription_details"];
        only(
            &json!(details.as_object().cloned().unwrap_or_default()),
            &["items", "proration_behavior", "proration_date", "metadata"],
        )?;
        let change = self.plan_change(&found, params, "/subscription_details")?;
        let lines = if change.at_once {
            change.lines
        } else {
            let mut next = found.clone();
            next["items"]["data"] = json!(change.items);
            let (start, end) = period(&found);
            let anchor = int(&found["billing_cycle_anchor"]);
            if let Some(items) = next["items"]["data"].as_array_mut() {
                for item in items {
                    item["current_period_start"] = json!(end);
                    let next_end = period_end(anchor, &item["price"]["recurring"], end);
                    item["current_period_end"] = json!(next_end);
                }
            }
            let pending = self.pending.get(id).cloned().unwrap_or_default();
            let coming = self.period_lines(&next, Some((start, end)));
            [pending, change.lines, coming].concat()
        };
        let customer = string(&found["customer"]);
        let mut invoice = self.invoice_body(&customer, Some(id), "upcoming", lines);
        invoice["id"] = json!(format!("upcoming_in_{}", crate::emulator::id::hex(24)));
        let date = number(params, "/subscription_details/proration_date")?.unwrap_or(self.now);
        invoice["parent"]["subscription_details"]["subscription_proration_date"] = json!(date);
        Ok(invoice)
    }
}

fn has_price(items: &[Value], wanted: &Value) -> bool {
    items
        .iter()
        .any(|item| item["price"]["id"] == wanted["price"]["id"])
}
