//! Subscriptions: made, found, cancelled, resumed.

use serde_json::{Value, json};

use super::calendar::period_end;
use super::wire::{ApiError, number, only, page, required, tag, text, word};
use super::{State, int, joined, string};
use crate::emulator::id;

const DAY: i64 = 24 * 3_600;
/// How long a first payment may take.
pub(super) const INCOMPLETE: i64 = 23 * 3_600;

impl State {
    pub(super) fn subscription(&self, id: &str) -> Result<&Value, ApiError> {
        self.subscriptions
            .get(id)
            .ok_or_else(|| ApiError::not_found("subscription", id))
    }

    pub(super) fn create_subscription(&mut self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &[
                "customer",
                "items",
                "trial_period_days",
                "trial_end",
                "trial_settings",
                "payment_behavior",
                "payment_settings",
                "billing_mode",
                "default_payment_method",
                "metadata",
                "proration_behavior",
                "off_session",
                "cancel_at_period_end",
                "collection_method",
                "expand",
            ],
        )?;
        let customer = required(params, "customer")?.to_owned();
        if self.customer(&customer).is_none() {
            return Err(ApiError::no_such("customer", &customer, "customer"));
        }
        let own = text(params, "/default_payment_method");
        if let Some(method) = own
            && self
                .methods
                .get(method)
                .is_none_or(|it| it["customer"] != customer)
        {
            return Err(ApiError::no_such(
                "PaymentMethod",
                method,
                "default_payment_method",
            ));
        }
        let trial_end = self.trial_end(params)?;
        let new = format!("sub_{}", id::hex(24));
        let items = self.items(&new, &params["items"], trial_end)?;
        let incomplete = self.first_payment(params, &customer, &items, trial_end)?;
        let status = match (trial_end, incomplete) {
            (Some(_), _) => "trialing",
            (None, true) => "incomplete",
            (None, false) => "active",
        };
        let subscription = self.body(&new, params, &items, status, trial_end)?;
        self.subscriptions.put(subscription.clone());
        self.emit("customer.subscription.created", &subscription);
        let lines = self.period_lines(&subscription, None);
        let invoice = self.make_invoice(&customer, Some(&new), "subscription_create", lines);
        self.finalize(&invoice);
        let card = self.paying_card(&customer, own);
        if text(params, "/payment_behavior") != Some("default_incomplete") || trial_end.is_some() {
            self.collect(&invoice, card.as_deref());
        }
        Ok(self.subscription(&new)?.clone())
    }

    fn trial_end(&self, params: &Value) -> Result<Option<i64>, ApiError> {
        if let Some(days) = number(params, "/trial_period_days")? {
            if !(1..=730).contains(&days) {
                let message = "Invalid trial_period_days: must be 1 to 730";
                return Err(ApiError::invalid(
                    "parameter_invalid",
                    "trial_period_days",
                    message,
                ));
            }
            return Ok(Some(self.now + days * DAY));
        }
        Ok(match text(params, "/trial_end") {
            None | Some("now") => None,
            Some(_) => number(params, "/trial_end")?.filter(|end| *end > self.now),
        })
    }

    /// The items of a subscription that begins now; during a trial their period is the trial.
    pub(super) fn items(
        &self,
        subscription: &str,
        given: &Value,
        trial_end: Option<i64>,
    ) -> Result<Vec<Value>, ApiError> {
        let given = given.as_array().filter(|items| !items.is_empty());
        let given = given.ok_or_else(|| ApiError::missing("items"))?;
        let items: Vec<Value> = given
            .iter()
            .map(|item| {
                only(item, &["price", "quantity", "metadata"])?;
                let price = self.recurring_price(required(item, "price")?)?;
                let anchor = trial_end.unwrap_or(self.now);
                let end = trial_end.unwrap_or_else(|| period_end(anchor, &price["recurring"], self.now));
                Ok(self.item(subscription, price, (self.now, end)))
            })
            .collect::<Result<_, ApiError>>()?;
        same_interval(&items)?;
        Ok(items)
    }

    pub(super) fn recurring_price(&self, id: &str) -> Result<&Value, ApiError> {
        let price = self
            .prices
            .get(id)
            .ok_or_else(|| ApiError::no_such("price", id, "items[0][price]"))?;
        if price["recurring"].is_null() {
            let message =
                "The price specified is set to `type=one_time` but this field only accepts recurring.";
            return Err(ApiError::invalid("parameter_invalid", "items[0][price]", message));
        }
        Ok(price)
    }

    pub(super) fn item(&self, subscription: &str, price: &Value, period: (i64, i64)) -> Value {
        let recurring = &price["recurring"];
        let mut item = json!({
            "id": format!("si_{}", id::hex(14)), "object": "subscription_item", "billing_thresholds": null,
            "created": self.now, "current_period_end": period.1, "current_period_start": period.0,
            "current_trial": null, "discounts": [], "metadata": {},
            "plan": {
                "id": price["id"], "object": "plan", "active": true, "amount": price["unit_amount"],
                "amount_decimal": price["unit_amount_decimal"], "billing_scheme": price["billing_scheme"],
                "created": price["created"], "currency": price["currency"], "interval": recurring["interval"],
                "interval_count": recurring["interval_count"], "livemode": false, "metadata": {},
                "meter": recurring["meter"], "nickname": null, "product": price["product"],
                "tiers_mode": price["tiers_mode"], "transform_usage": null, "trial_period_days": null,
                "usage_type": recurring["usage_type"],
            },
            "price": price, "subscription": subscription, "tax_rates": [],
        });
        if recurring["usage_type"] == "licensed" {
            item["quantity"] = json!(1);
        }
        item
    }

    /// Whether the first payment stays undone; a refusal where that leaves nothing behind.
    fn first_payment(
        &self,
        params: &Value,
        customer: &str,
        items: &[Value],
        trial_end: Option<i64>,
    ) -> Result<bool, ApiError> {
        let behaviour = word(
            params,
            "/payment_behavior",
            &[
                "allow_incomplete",
                "default_incomplete",
                "error_if_incomplete",
                "pending_if_incomplete",
            ],
            "allow_incomplete",
        )?;
        let due: i64 = items.iter().map(|item| self.flat_amount(item)).sum();
        if trial_end.is_some() || due == 0 {
            return Ok(false);
        }
        if behaviour == "default_incomplete" {
            return Ok(true);
        }
        let card = self.paying_card(customer, text(params, "/default_payment_method"));
        let Some(card) = card else {
            let message = "This customer has no attached payment source or default payment method.";
            return Err(ApiError::invalid("resource_missing", "", message));
        };
        match self.charge(&card) {
            Some(decline) if behaviour == "error_if_incomplete" => Err(decline.error()),
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }

    fn body(
        &self,
        new: &str,
        params: &Value,
        items: &[Value],
        status: &str,
        trial_end: Option<i64>,
    ) -> Result<Value, ApiError> {
        let missing = word(
            params,
            "/trial_settings/end_behavior/missing_payment_method",
            &["cancel", "pause", "create_invoice"],
            "create_invoice",
        )?;
        let anchor = trial_end.unwrap_or(self.now);
        let beginning = json!({
            "id": new, "object": "subscription", "application": null,
            "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null},
            "billing_cycle_anchor": anchor, "billing_cycle_anchor_config": null,
            "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
            "billing_thresholds": null, "cancel_at": null,
            "cancel_at_period_end": text(params, "/cancel_at_period_end") == Some("true"), "canceled_at": null,
            "cancellation_details": {"comment": null, "feedback": null, "feedback_option": null, "reason": null},
            "collection_method": "charge_automatically", "created": self.now,
            "currency": items[0]["price"]["currency"], "customer": params["customer"], "customer_account": null,
            "days_until_due": null, "default_payment_method": text(params, "/default_payment_method"),
            "default_source": null, "default_tax_rates": [], "description": null, "discounts": [], "ended_at": null,
            "invoice_settings": {"account_tax_ids": null, "description": null, "footer": null},
            "items": {"object": "list", "data": items, "has_more": false,
                "url": format!("/v1/subscription_items?subscription={new}")},
        });
        let rest = json!({
            "latest_invoice": null, "livemode": false, "metadata": {}, "next_pending_invoice_item_invoice": null,
            "pause_collection": null,
            "payment_settings": {"payment_method_options": null, "payment_method_types": null,
                "save_default_payment_method": text(params, "/payment_settings/save_default_payment_method")
                    .unwrap_or("off")},
            "pending_invoice_item_interval": null, "pending_setup_intent": null, "pending_update": null,
            "schedule": null, "start_date": self.now, "status": status, "test_clock": null, "trial_end": trial_end,
            "trial_settings": {"end_behavior": {"billing_cycle_anchor": null, "missing_payment_method": missing}},
            "trial_start": trial_end.map(|_| self.now),
        });
        let mut body = joined(beginning, rest);
        tag(&mut body, params);
        Ok(body)
    }

    /// Changes a subscription and tells of it, if anything is different then.
    pub(super) fn amend(&mut self, id: &str, change: impl FnOnce(&mut Value)) {
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        let before = subscription.clone();
        change(subscription);
        let after = subscription.clone();
        self.emit_change("customer.subscription.updated", &before, &after);
    }

    /// The end, at once.
    pub(super) fn end(&mut self, id: &str, reason: &str) {
        let now = self.now;
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        subscription["status"] = json!("canceled");
        subscription["ended_at"] = json!(now);
        if subscription["canceled_at"].is_null() {
            subscription["canceled_at"] = json!(now);
        }
        subscription["cancellation_details"]["reason"] = json!(reason);
        let ended = subscription.clone();
        self.emit("customer.subscription.deleted", &ended);
        // What is open stays open, but is no longer collected.
        let open: Vec<String> = self
            .invoices
            .iter()
            .filter(|it| it["parent"]["subscription_details"]["subscription"] == id && it["status"] == "open")
            .map(|it| string(&it["id"]))
            .collect();
        for invoice in open {
            if let Some(invoice) = self.invoices.get_mut(&invoice) {
                invoice["next_payment_attempt"] = Value::Null;
                invoice["auto_advance"] = json!(false);
            }
        }
    }

    pub(super) fn list_subscriptions(&self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &["customer", "status", "price", "limit", "starting_after", "expand"],
        )?;
        let (customer, status) = (text(params, "/customer"), text(params, "/status"));
        let price = text(params, "/price");
        let wanted = |it: &&Value| {
            let shown = match status {
                Some("all") => true,
                Some(status) => it["status"] == status,
                None => it["status"] != "canceled" && it["status"] != "incomplete_expired",
            };
            let data = it["items"]["data"].as_array();
            shown
                && customer.is_none_or(|customer| it["customer"] == customer)
                && price.is_none_or(|price| {
                    data.is_some_and(|data| data.iter().any(|item| item["price"]["id"] == price))
                })
        };
        page(
            params,
            "/v1/subscriptions",
            self.subscriptions.newest().filter(wanted),
        )
    }

    pub(super) fn cancel_subscription(&mut self, id: &str, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &["invoice_now", "prorate", "cancellation_details", "expand"],
        )?;
        let found = self.subscription(id)?;
        if !found["ended_at"].is_null() {
            return Err(ApiError::not_found("subscription", id));
        }
        self.end(id, "cancellation_requested");
        Ok(self.subscription(id)?.clone())
    }

    /// A new period begins, and is paid at once.
    pub(super) fn resume_subscription(&mut self, id: &str, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &[
                "billing_cycle_anchor",
                "payment_behavior",
                "proration_behavior",
                "expand",
            ],
        )?;
        let found = self.subscription(id)?;
        if found["status"] != "paused" {
            let message = "Only paused subscriptions can be resumed.";
            return Err(ApiError::invalid("status_transition_invalid", "", message));
        }
        let (customer, own) = (
            string(&found["customer"]),
            found["default_payment_method"].clone(),
        );
        let now = self.now;
        self.renew_items(id, now);
        self.amend(id, |it| {
            it["status"] = json!("active");
            it["billing_cycle_anchor"] = json!(now);
            if let Some(fields) = it.as_object_mut() {
                fields.remove("status_details");
            }
        });
        let resumed = self.subscription(id)?.clone();
        self.emit("customer.subscription.resumed", &resumed);
        let lines = self.period_lines(&resumed, None);
        let invoice = self.make_invoice(&customer, Some(id), "subscription_update", lines);
        self.finalize(&invoice);
        let card = self.paying_card(&customer, own.as_str());
        self.collect(&invoice, card.as_deref());
        Ok(self.subscription(id)?.clone())
    }

    /// Lets the items' next period begin at `start`, counted from there.
    pub(super) fn renew_items(&mut self, id: &str, anchor: i64) {
        let now = self.now;
        if let Some(subscription) = self.subscriptions.get_mut(id)
            && let Some(items) = subscription["items"]["data"].as_array_mut()
        {
            for item in items {
                let end = period_end(anchor, &item["price"]["recurring"], now);
                item["current_period_start"] = json!(now);
                item["current_period_end"] = json!(end);
            }
        }
    }
}

/// The period of a subscription: its items agree.
pub(super) fn period(subscription: &Value) -> (i64, i64) {
    let item = &subscription["items"]["data"][0];
    (
        int(&item["current_period_start"]),
        int(&item["current_period_end"]),
    )
}

pub(super) fn same_interval(items: &[Value]) -> Result<(), ApiError> {
    let terms = |item: &Value| {
        let recurring = &item["price"]["recurring"];
        (
            recurring["interval"].clone(),
            recurring["interval_count"].clone(),
            item["price"]["currency"].clone(),
        )
    };
    if items.windows(2).all(|pair| terms(&pair[0]) == terms(&pair[1])) {
        return Ok(());
    }
    let message = "The emulator wants all items of a subscription to have one interval and one currency.";
    Err(ApiError::invalid("parameter_invalid", "items", message))
}
