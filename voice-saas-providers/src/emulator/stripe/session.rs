//! Checkout and the customer portal: the pages, and what comes of them.

use serde_json::{Value, json};

use super::wire::{ApiError, number, only, required, tag, text, word};
use super::{State, int, joined, string};
use crate::emulator::id;

const DAY: i64 = 24 * 3_600;
/// The portal's configuration that every account has here.
const CONFIGURATION: &str = "bpc_1EmulatorDefault";

impl State {
    pub(super) fn create_checkout(&mut self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &[
                "mode",
                "customer",
                "customer_email",
                "client_reference_id",
                "metadata",
                "success_url",
                "cancel_url",
                "payment_method_collection",
                "line_items",
                "subscription_data",
                "expires_at",
                "locale",
                "allow_promotion_codes",
                "expand",
            ],
        )?;
        let mode = word(params, "/mode", &["subscription"], "")?;
        let success_url = required(params, "success_url")?;
        if let Some(customer) = text(params, "/customer")
            && self.customer(customer).is_none()
        {
            return Err(ApiError::no_such("customer", customer, "customer"));
        }
        let lines = params["line_items"].as_array().filter(|lines| !lines.is_empty());
        let lines = lines.ok_or_else(|| ApiError::missing("line_items"))?;
        let mut total = 0;
        let mut currency = Value::Null;
        for line in lines {
            let price = self.recurring_price(required(line, "price")?)?;
            currency = price["currency"].clone();
            total += price["unit_amount"].as_i64().unwrap_or(0);
        }
        let trial = number(params, "/subscription_data/trial_period_days")?.is_some();
        let expires = number(params, "/expires_at")?.unwrap_or(self.now + DAY);
        let new = format!("cs_test_{}", id::hex(58));
        let due = if trial { 0 } else { total };
        let beginning = json!({
            "id": new, "object": "checkout.session", "after_expiration": null,
            "allow_promotion_codes": null, "amount_subtotal": due, "amount_total": due,
            "automatic_tax": {"enabled": false, "liability": null, "provider": null, "status": null},
            "billing_address_collection": null, "cancel_url": text(params, "/cancel_url"),
            "client_reference_id": text(params, "/client_reference_id"), "client_secret": null,
            "consent": null, "created": self.now, "currency": currency,
            "customer": text(params, "/customer"), "customer_account": null, "customer_creation": null,
            "customer_details": null, "customer_email": text(params, "/customer_email"), "discounts": null,
            "expires_at": expires, "integration_identifier": null, "invoice": null, "livemode": false,
        });
        let rest = json!({
            "locale": null, "metadata": {}, "mode": mode, "payment_intent": null, "payment_link": null,
            "payment_method_collection": text(params, "/payment_method_collection").unwrap_or("always"),
            "payment_method_configuration_details": null, "payment_method_options": null,
            "payment_method_types": ["card"], "payment_status": "unpaid", "recovered_from": null,
            "setup_intent": null, "status": "open", "submit_type": null, "subscription": null,
            "success_url": success_url,
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted_page", "url": format!("{}_control/stripe/checkout/{new}", self.base),
        });
        let mut session = joined(beginning, rest);
        tag(&mut session, params);
        self.checkouts.put(session.clone());
        let asked = json!({"items": params["line_items"], "data": params["subscription_data"]});
        self.asked.insert(new, asked);
        Ok(session)
    }

    pub(super) fn fetch_checkout(&self, id: &str) -> Result<Value, ApiError> {
        self.checkouts
            .get(id)
            .cloned()
            .ok_or_else(|| ApiError::not_found("checkout.session", id))
    }

    pub(super) fn expire_checkout(&mut self, id: &str) -> Result<Value, ApiError> {
        self.fetch_checkout(id)?;
        let Some(session) = self.close(id) else {
            let message = "Only Checkout Sessions with a status in [\"open\"] can be expired.";
            return Err(ApiError::invalid("status_transition_invalid", "", message));
        };
        self.emit("checkout.session.expired", &session);
        Ok(session)
    }

    pub(super) fn close(&mut self, id: &str) -> Option<Value> {
        let session = self.checkouts.get_mut(id).filter(|it| it["status"] == "open")?;
        session["status"] = json!("expired");
        session["url"] = Value::Null;
        Some(session.clone())
    }

    /// The customer fills the page in; without a card where none is asked for.
    pub(super) fn complete_checkout(&mut self, id: &str, card: Option<&str>) -> Result<Value, ApiError> {
        let session = self.fetch_checkout(id)?;
        if session["status"] != "open" {
            let message = "This Checkout Session is no longer active.";
            return Err(ApiError::invalid("status_transition_invalid", "", message));
        }
        let free =
            int(&session["amount_total"]) == 0 && session["payment_method_collection"] == "if_required";
        if card.is_none() && !free {
            return Err(ApiError::missing("payment_method"));
        }
        let customer = match session["customer"].as_str() {
            Some(customer) => customer.to_owned(),
            None => string(&self.create_customer(&json!({"email": session["customer_email"]}))?["id"]),
        };
        let asked = self.asked.get(id).cloned().unwrap_or_default();
        let mut params = json!({
            "customer": customer, "items": asked["items"], "payment_behavior": "error_if_incomplete",
        });
        for name in ["metadata", "trial_period_days", "trial_end", "trial_settings"] {
            if let Some(value) = asked["data"].get(name) {
                params[name] = value.clone();
            }
        }
        if let Some(card) = card {
            let attached = self.attach(card, &json!({"customer": customer}))?;
            params["default_payment_method"] = attached["id"].clone();
        }
        let subscription = self.create_subscription(&params)?;
        let paid = if free { "no_payment_required" } else { "paid" };
        let Some(session) = self.checkouts.get_mut(id) else {
            return Err(ApiError::not_found("checkout.session", id));
        };
        session["status"] = json!("complete");
        session["payment_status"] = json!(paid);
        session["url"] = Value::Null;
        session["customer"] = json!(customer);
        session["subscription"] = subscription["id"].clone();
        session["invoice"] = subscription["latest_invoice"].clone();
        let session = session.clone();
        self.emit("checkout.session.completed", &session);
        Ok(session)
    }

    pub(super) fn create_portal(&mut self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &[
                "customer",
                "return_url",
                "configuration",
                "flow_data",
                "locale",
                "expand",
            ],
        )?;
        let customer = required(params, "customer")?;
        if self.customer(customer).is_none() {
            return Err(ApiError::no_such("customer", customer, "customer"));
        }
        let flow = params.get("flow_data").map(|flow| {
            let cancel = text(flow, "/subscription_cancel/subscription");
            json!({
                "after_completion": {"hosted_confirmation": null, "redirect": null, "type": "portal_homepage"},
                "customer_update": null,
                "subscription_cancel": cancel.map(|id| json!({"retention": null, "subscription": id})),
                "subscription_pause": null, "subscription_update": null, "subscription_update_confirm": null,
                "type": flow["type"],
            })
        });
        let new = format!("bps_{}", id::hex(24));
        let portal = json!({
            "id": new, "object": "billing_portal.session",
            "configuration": text(params, "/configuration").unwrap_or(CONFIGURATION), "created": self.now,
            "customer": customer, "customer_account": null, "flow": flow, "livemode": false, "locale": null,
            "return_url": text(params, "/return_url"),
            "url": format!("{}_control/stripe/portal/{new}", self.base),
        });
        self.portals.put(portal.clone());
        Ok(portal)
    }

    /// The customer does something in the portal.
    pub(super) fn use_portal(
        &mut self,
        id: &str,
        action: &str,
        card: Option<&str>,
    ) -> Result<Value, ApiError> {
        let portal = self
            .portals
            .get(id)
            .cloned()
            .ok_or_else(|| ApiError::not_found("portal session", id))?;
        let customer = string(&portal["customer"]);
        if action == "payment_method" {
            let card = card.ok_or_else(|| ApiError::missing("payment_method"))?;
            let attached = self.attach(card, &json!({"customer": customer}))?;
            let default = json!({"invoice_settings": {"default_payment_method": attached["id"]}});
            return self.update_customer(&customer, &default);
        }
        let running = self
            .subscriptions
            .newest()
            .find(|it| it["customer"] == customer && it["ended_at"].is_null());
        let subscription = running.map(|it| string(&it["id"]));
        let subscription = subscription.ok_or_else(|| ApiError::not_found("subscription", ""))?;
        let ends = match action {
            "cancel" => "true",
            "reactivate" => "false",
            _ => {
                return Err(ApiError::invalid(
                    "parameter_invalid",
                    "action",
                    "cancel, reactivate or payment_method",
                ));
            }
        };
        self.update_subscription(&subscription, &json!({"cancel_at_period_end": ends}))
    }
}
