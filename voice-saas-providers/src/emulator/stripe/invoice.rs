//! Invoices: made, finalised, collected.

use serde_json::{Value, json};

use super::subscription::period;
use super::wire::{ApiError, only, page, text};
use super::{DunningEnd, State, int, joined, string};
use crate::emulator::id;

const DAY: i64 = 24 * 3_600;
/// The waits between attempts to collect, in days: Stripe's default schedule learns, this one does not.
const RETRIES: [i64; 3] = [3, 5, 7];

impl State {
    /// What an item costs for a whole period in advance.
    pub(super) fn flat_amount(&self, item: &Value) -> i64 {
        if item["price"]["recurring"]["usage_type"] == "metered" {
            return 0;
        }
        self.amount(item["price"]["id"].as_str().unwrap_or_default(), 1)
    }

    /// The lines of a subscription's present period, and of what was used in the one before.
    pub(super) fn period_lines(&self, subscription: &Value, used: Option<(i64, i64)>) -> Vec<Value> {
        let trial = subscription["status"] == "trialing";
        let mut lines = Vec::new();
        for item in subscription["items"]["data"].as_array().into_iter().flatten() {
            let recurring = &item["price"]["recurring"];
            if recurring["usage_type"] == "metered" {
                let Some((start, end)) = used else { continue };
                let meter = recurring["meter"].as_str().unwrap_or_default();
                let customer = subscription["customer"].as_str().unwrap_or_default();
                let units = self.usage(meter, customer, start, end);
                let amount = self.amount(item["price"]["id"].as_str().unwrap_or_default(), units);
                let mut line = self.line(subscription, item, amount, (start, end));
                line["quantity"] = json!(units);
                line["quantity_decimal"] = json!(units.to_string());
                lines.push(line);
            } else {
                let amount = if trial { 0 } else { self.flat_amount(item) };
                lines.push(self.line(subscription, item, amount, period(subscription)));
            }
        }
        lines
    }

    #[expect(clippy::unused_self, reason = "the other parts of an invoice are methods too")]
    pub(super) fn line(&self, subscription: &Value, item: &Value, amount: i64, period: (i64, i64)) -> Value {
        let price = &item["price"];
        json!({
            "id": format!("il_{}", id::hex(24)), "object": "line_item", "amount": amount,
            "currency": price["currency"], "description": format!("1 × {}", string(&price["product"])),
            "discount_amounts": [], "discountable": true, "discounts": [], "invoice": null, "livemode": false,
            "metadata": subscription["metadata"],
            "parent": {
                "invoice_item_details": null,
                "subscription_item_details": {
                    "invoice_item": null, "proration": false, "proration_details": null,
                    "subscription": subscription["id"], "subscription_item": item["id"],
                },
                "type": "subscription_item_details",
            },
            "period": {"end": period.1, "start": period.0},
            "pricing": {
                "price_details": {"price": price["id"], "product": price["product"]}, "type": "price_details",
                "unit_amount_decimal": price["unit_amount_decimal"],
            },
            "quantity": 1, "quantity_decimal": "1", "subscription": subscription["id"], "subtotal": amount,
            "taxes": [],
        })
    }

    /// A draft, not yet kept.
    pub(super) fn invoice_body(
        &self,
        customer: &str,
        subscription: Option<&str>,
        reason: &str,
        mut lines: Vec<Value>,
    ) -> Value {
        let new = format!("in_{}", id::hex(24));
        for line in &mut lines {
            line["invoice"] = json!(new);
        }
        let payer = self.customer(customer).cloned().unwrap_or_default();
        let found = subscription.and_then(|id| self.subscriptions.get(id));
        let total: i64 = lines.iter().map(|line| int(&line["amount"])).sum();
        let balance = int(&payer["balance"]);
        let due = (total + balance).max(0);
        let parent = found.map(|it| {
            json!({"quote_details": null, "type": "subscription_details",
                "subscription_details": {"metadata": it["metadata"], "subscription": it["id"]}})
        });
        let currency = lines
            .first()
            .map_or(json!("usd"), |line| line["currency"].clone());
        let money = json!({
            "id": new, "object": "invoice", "account_country": "US", "account_name": "Emulated account",
            "account_tax_ids": null, "amount_due": due, "amount_overpaid": 0, "amount_paid": 0,
            "amount_remaining": due, "amount_shipping": 0, "application": null, "attempt_count": 0,
            "attempted": false, "auto_advance": true,
            "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null, "provider": null,
                "status": null},
            "automatically_finalizes_at": null, "billing_reason": reason,
            "collection_method": "charge_automatically", "created": self.now, "currency": currency,
            "customer": customer, "customer_account": null, "customer_address": null,
            "customer_email": payer["email"], "customer_name": payer["name"], "customer_phone": payer["phone"],
            "customer_tax_exempt": "none", "customer_tax_ids": [],
        });
        let rest = json!({
            "default_payment_method": null, "default_source": null, "default_tax_rates": [], "description": null,
            "discounts": [], "due_date": null, "effective_at": null, "ending_balance": null, "footer": null,
            "from_invoice": null, "hosted_invoice_url": null, "invoice_pdf": null,
            "last_finalization_error": null, "latest_revision": null,
            "lines": {"object": "list", "data": lines, "has_more": false, "url": format!("/v1/invoices/{new}/lines")},
            "livemode": false, "metadata": {}, "next_payment_attempt": null, "number": null,
            "parent": parent,
            "payment_settings": {"default_mandate": null, "payment_method_options": null,
                "payment_method_types": null},
            "period_end": self.now, "period_start": self.now, "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0, "receipt_number": null, "rendering": null,
            "starting_balance": balance, "statement_descriptor": null, "status": "draft",
            "status_transitions": {"finalized_at": null, "marked_uncollectible_at": null, "paid_at": null,
                "voided_at": null},
            "subtotal": total, "subtotal_excluding_tax": total, "test_clock": null, "total": total,
            "total_discount_amounts": [], "total_excluding_tax": total,
            "total_taxes": [], "webhooks_delivered_at": null,
        });
        joined(money, rest)
    }

    /// A draft that the subscription knows as its latest invoice.
    pub(super) fn make_invoice(
        &mut self,
        customer: &str,
        subscription: Option<&str>,
        reason: &str,
        lines: Vec<Value>,
    ) -> String {
        let invoice = self.invoice_body(customer, subscription, reason, lines);
        let new = self.invoices.put(invoice.clone());
        if let Some(subscription) = subscription.and_then(|id| self.subscriptions.get_mut(id)) {
            subscription["latest_invoice"] = json!(new);
        }
        self.emit("invoice.created", &invoice);
        new
    }

    /// It gets its number; a credit that is left over goes to the customer's balance.
    pub(super) fn finalize(&mut self, id: &str) {
        self.last_invoice += 1;
        let (number, now) = (self.last_invoice, self.now);
        let base = self.base.clone();
        let Some(invoice) = self.invoices.get_mut(id).filter(|it| it["status"] == "draft") else {
            return;
        };
        let left = (int(&invoice["total"]) + int(&invoice["starting_balance"])).min(0);
        invoice["status"] = json!("open");
        invoice["number"] = json!(format!("EMU-{number:04}"));
        invoice["automatically_finalizes_at"] = Value::Null;
        invoice["status_transitions"]["finalized_at"] = json!(now);
        invoice["effective_at"] = json!(now);
        invoice["ending_balance"] = json!(left);
        invoice["hosted_invoice_url"] = json!(format!("{base}_control/stripe/invoices/{id}"));
        invoice["invoice_pdf"] = json!(format!("{base}_control/stripe/invoices/{id}/pdf"));
        let invoice = invoice.clone();
        if let Some(customer) = self
            .customers
            .get_mut(invoice["customer"].as_str().unwrap_or_default())
        {
            customer["balance"] = json!(left);
        }
        self.emit("invoice.finalized", &invoice);
    }

    /// Tries to collect an open invoice. What becomes of its subscription follows.
    pub(super) fn collect(&mut self, id: &str, card: Option<&str>) -> Option<ApiError> {
        let now = self.now;
        let invoice = self.invoices.get_mut(id).filter(|it| it["status"] == "open")?;
        let due = int(&invoice["amount_remaining"]);
        if due == 0 {
            self.paid(id);
            return None;
        }
        invoice["attempted"] = json!(true);
        invoice["attempt_count"] = json!(int(&invoice["attempt_count"]) + 1);
        let refusal = match card {
            None => Some(None),
            Some(card) => self.charge(card).map(Some),
        };
        let Some(decline) = refusal else {
            self.paid(id);
            return None;
        };
        let invoice = self.invoices.get_mut(id)?;
        let attempts = usize::try_from(int(&invoice["attempt_count"])).unwrap_or(usize::MAX);
        // Nobody tries again without a card.
        let wait = decline.and_then(|_| RETRIES.get(attempts.saturating_sub(1)));
        invoice["next_payment_attempt"] = wait.map_or(Value::Null, |days| json!(now + days * DAY));
        let last = decline.is_some() && wait.is_none();
        let failed = invoice.clone();
        if let Some(customer) = self
            .customers
            .get_mut(failed["customer"].as_str().unwrap_or_default())
        {
            customer["delinquent"] = json!(true);
        }
        self.emit("invoice.payment_failed", &failed);
        if decline.is_some_and(super::card::Decline::asks) {
            self.emit("invoice.payment_action_required", &failed);
        }
        self.fall_behind(&failed, last);
        Some(match decline {
            Some(decline) => decline.error(),
            None => {
                let message = "This customer has no attached payment source or default payment method.";
                ApiError::invalid("resource_missing", "", message)
            }
        })
    }

    fn fall_behind(&mut self, invoice: &Value, last: bool) {
        let Some(id) = invoice["parent"]["subscription_details"]["subscription"].as_str() else {
            return;
        };
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        let running = ["active", "trialing", "past_due"]
            .iter()
            .any(|it| subscription["status"] == *it);
        if !running {
            return;
        }
        self.amend(id, |it| it["status"] = json!("past_due"));
        if !last {
            return;
        }
        match self.dunning_end {
            DunningEnd::Cancel => self.end(id, "payment_failed"),
            DunningEnd::Unpaid => self.amend(id, |it| it["status"] = json!("unpaid")),
            DunningEnd::PastDue => {}
            DunningEnd::Pause => self.pause(id, "final_payment_failure"),
        }
    }

    /// The subscription waits.
    pub(super) fn pause(&mut self, id: &str, why: &str) {
        let now = self.now;
        self.amend(id, |it| {
            it["status"] = json!("paused");
            it["status_details"] = json!({"paused": {
                "subscription": {"type": why}, "transitioned_at": now, "type": "subscription",
            }});
        });
        if let Some(paused) = self.subscriptions.get(id).cloned() {
            self.emit("customer.subscription.paused", &paused);
        }
    }

    fn paid(&mut self, id: &str) {
        let now = self.now;
        let Some(invoice) = self.invoices.get_mut(id) else {
            return;
        };
        invoice["status"] = json!("paid");
        invoice["amount_paid"] = invoice["amount_due"].clone();
        invoice["amount_remaining"] = json!(0);
        invoice["attempted"] = json!(true);
        invoice["next_payment_attempt"] = Value::Null;
        invoice["status_transitions"]["paid_at"] = json!(now);
        let paid = invoice.clone();
        if let Some(customer) = self
            .customers
            .get_mut(paid["customer"].as_str().unwrap_or_default())
        {
            customer["delinquent"] = json!(false);
            customer["currency"] = paid["currency"].clone();
        }
        self.emit("invoice.paid", &paid);
        self.emit("invoice.payment_succeeded", &paid);
        let subscription = string(&paid["parent"]["subscription_details"]["subscription"]);
        let owing = self.invoices.iter().any(|it| {
            it["status"] == "open" && it["parent"]["subscription_details"]["subscription"] == *subscription
        });
        let behind = self.subscriptions.get(&subscription).is_some_and(|it| {
            ["past_due", "unpaid", "incomplete"]
                .iter()
                .any(|status| it["status"] == *status)
        });
        if behind && !owing {
            self.amend(&subscription, |it| it["status"] = json!("active"));
        }
    }

    pub(super) fn pay_invoice(&mut self, id: &str, params: &Value) -> Result<Value, ApiError> {
        only(params, &["payment_method", "off_session", "expand"])?;
        let invoice = self.fetch_invoice(id)?;
        if invoice["status"] == "draft" {
            self.finalize(id);
        } else if invoice["status"] != "open" {
            let message = format!("Invoice is already {}", string(&invoice["status"]));
            return Err(ApiError::invalid("invoice_not_editable", "", message));
        }
        let customer = string(&invoice["customer"]);
        let subscription = string(&invoice["parent"]["subscription_details"]["subscription"]);
        let own = self
            .subscriptions
            .get(&subscription)
            .map(|it| it["default_payment_method"].clone());
        let given = text(params, "/payment_method").map(str::to_owned);
        let own = own.as_ref().and_then(Value::as_str);
        let card = given.or_else(|| self.paying_card(&customer, own));
        let decline = card.as_deref().and_then(|card| self.charge(card));
        // After the first attempt only those that Stripe makes by itself count.
        if let Some(decline) = decline.filter(|_| int(&invoice["attempt_count"]) > 0) {
            self.emit("invoice.payment_failed", &invoice);
            return Err(decline.error());
        }
        match self.collect(id, card.as_deref()) {
            Some(refusal) => Err(refusal),
            None => self.fetch_invoice(id),
        }
    }

    /// It does not count any more.
    pub(super) fn void(&mut self, id: &str) {
        let now = self.now;
        if let Some(invoice) = self.invoices.get_mut(id) {
            invoice["status"] = json!("void");
            invoice["next_payment_attempt"] = Value::Null;
            invoice["status_transitions"]["voided_at"] = json!(now);
            let voided = invoice.clone();
            self.emit("invoice.voided", &voided);
        }
    }

    pub(super) fn fetch_invoice(&self, id: &str) -> Result<Value, ApiError> {
        self.invoices
            .get(id)
            .cloned()
            .ok_or_else(|| ApiError::not_found("invoice", id))
    }

    pub(super) fn list_invoices(&self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &[
                "customer",
                "subscription",
                "status",
                "limit",
                "starting_after",
                "expand",
            ],
        )?;
        let (customer, status) = (text(params, "/customer"), text(params, "/status"));
        let subscription = text(params, "/subscription");
        let wanted = |it: &&Value| {
            let of = &it["parent"]["subscription_details"]["subscription"];
            customer.is_none_or(|customer| it["customer"] == customer)
                && status.is_none_or(|status| it["status"] == status)
                && subscription.is_none_or(|subscription| *of == subscription)
        };
        page(params, "/v1/invoices", self.invoices.newest().filter(wanted))
    }
}
