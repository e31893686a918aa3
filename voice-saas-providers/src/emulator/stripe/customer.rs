//! Customers, their cards, and setup intents.

use serde_json::{Value, json};

use super::State;
use super::card::{self, Decline};
use super::wire::{ApiError, number, only, page, required, tag, text};
use crate::emulator::id;

const FIELDS: &[&str] = &[
    "email",
    "name",
    "description",
    "phone",
    "metadata",
    "address",
    "payment_method",
    "invoice_settings",
    "business_name",
    "individual_name",
    "preferred_locales",
    "tax_exempt",
    "balance",
    "expand",
];

impl State {
    /// A customer that is not deleted.
    pub(super) fn customer(&self, id: &str) -> Option<&Value> {
        self.customers.get(id).filter(|it| it["deleted"] != true)
    }

    pub(super) fn create_customer(&mut self, params: &Value) -> Result<Value, ApiError> {
        only(params, FIELDS)?;
        if let Some(email) = text(params, "/email")
            && !email.contains('@')
        {
            let message = format!("Invalid email address: {email}");
            return Err(ApiError::invalid("email_invalid", "email", message));
        }
        let new = format!("cus_{}", id::hex(14));
        let card = text(params, "/payment_method")
            .map(|name| self.new_card(name, &new))
            .transpose()?;
        let default = text(params, "/invoice_settings/default_payment_method");
        let default = match (default, &card) {
            (None, _) => Value::Null,
            // The card's test name stands for the card that was just made of it.
            (Some(_), Some(card)) => card["id"].clone(),
            (Some(name), None) => return Err(ApiError::no_such("PaymentMethod", name, "invoice_settings")),
        };
        let field = |name: &str| text(params, &format!("/{name}"));
        let mut customer = json!({
            "id": new, "object": "customer", "address": null, "balance": number(params, "/balance")?.unwrap_or(0),
            "created": self.now, "currency": null, "customer_account": null, "default_source": null,
            "delinquent": false, "description": field("description"), "discount": null, "email": field("email"),
            "invoice_prefix": id::hex(8).to_ascii_uppercase(),
            "invoice_settings": {"default_payment_method": default, "footer": null,
                "rendering_options": null},
            "livemode": false, "metadata": {}, "name": field("name"), "next_invoice_sequence": 1,
            "phone": field("phone"), "preferred_locales": [], "tax_exempt": "none",
            "test_clock": null,
        });
        tag(&mut customer, params);
        self.customers.put(customer.clone());
        self.emit("customer.created", &customer);
        if let Some(card) = card {
            self.methods.put(card.clone());
            self.emit("payment_method.attached", &card);
        }
        Ok(customer)
    }

    /// The object of a card that is put on file, not yet kept.
    fn new_card(&mut self, name: &str, customer: &str) -> Result<Value, ApiError> {
        let test =
            card::find(name).ok_or_else(|| ApiError::no_such("PaymentMethod", name, "payment_method"))?;
        let made = test.attach(customer, self.now)?;
        let made_id = made["id"].as_str().unwrap_or_default().to_owned();
        self.cards.insert(made_id, test);
        Ok(made)
    }

    pub(super) fn update_customer(&mut self, id: &str, params: &Value) -> Result<Value, ApiError> {
        only(params, FIELDS)?;
        self.customer(id)
            .ok_or_else(|| ApiError::not_found("customer", id))?;
        let default = text(params, "/invoice_settings/default_payment_method");
        if let Some(method) = default {
            let owned = self.methods.get(method).is_some_and(|it| it["customer"] == id);
            if !owned {
                return Err(ApiError::no_such("PaymentMethod", method, "invoice_settings"));
            }
        }
        let customer = self
            .customers
            .get_mut(id)
            .ok_or_else(|| ApiError::not_found("customer", id))?;
        for name in ["email", "name", "description", "phone"] {
            if let Some(value) = params.get(name) {
                customer[name] = value.clone();
            }
        }
        if let Some(method) = default {
            customer["invoice_settings"]["default_payment_method"] = json!(method);
        }
        tag(customer, params);
        let customer = customer.clone();
        self.emit("customer.updated", &customer);
        Ok(customer)
    }

    pub(super) fn fetch_customer(&self, id: &str) -> Result<Value, ApiError> {
        let found = self
            .customers
            .get(id)
            .ok_or_else(|| ApiError::not_found("customer", id))?;
        if found["deleted"] == true {
            return Ok(json!({"id": id, "object": "customer", "deleted": true}));
        }
        Ok(found.clone())
    }

    pub(super) fn list_customers(&self, params: &Value) -> Result<Value, ApiError> {
        only(params, &["email", "limit", "starting_after", "expand"])?;
        let email = text(params, "/email");
        let wanted = |it: &&Value| it["deleted"] != true && email.is_none_or(|email| it["email"] == email);
        page(params, "/v1/customers", self.customers.newest().filter(wanted))
    }

    /// Its subscriptions end at once.
    pub(super) fn delete_customer(&mut self, id: &str) -> Result<Value, ApiError> {
        let customer = self
            .customer(id)
            .ok_or_else(|| ApiError::not_found("customer", id))?
            .clone();
        let running: Vec<String> = self
            .subscriptions
            .iter()
            .filter(|it| it["customer"] == id && it["ended_at"].is_null())
            .filter_map(|it| it["id"].as_str().map(str::to_owned))
            .collect();
        for subscription in running {
            self.end(&subscription, "cancellation_requested");
        }
        if let Some(kept) = self.customers.get_mut(id) {
            kept["deleted"] = json!(true);
        }
        self.emit("customer.deleted", &customer);
        Ok(json!({"id": id, "object": "customer", "deleted": true}))
    }

    pub(super) fn attach(&mut self, name: &str, params: &Value) -> Result<Value, ApiError> {
        only(params, &["customer", "expand"])?;
        let customer = required(params, "customer")?;
        self.customer(customer)
            .ok_or_else(|| ApiError::no_such("customer", customer, "customer"))?;
        if let Some(known) = self.methods.get(name) {
            if known["customer"] == customer {
                return Ok(known.clone());
            }
            let message = "The payment method you provided has already been attached to a customer.";
            return Err(ApiError::invalid("payment_method_unexpected_state", "", message));
        }
        let card = self.new_card(name, customer)?;
        self.methods.put(card.clone());
        self.emit("payment_method.attached", &card);
        Ok(card)
    }

    pub(super) fn list_methods(&self, customer: &str, params: &Value) -> Result<Value, ApiError> {
        only(params, &["type", "limit", "starting_after", "expand"])?;
        self.customer(customer)
            .ok_or_else(|| ApiError::not_found("customer", customer))?;
        let of = self.methods.newest().filter(|it| it["customer"] == customer);
        page(params, &format!("/v1/customers/{customer}/payment_methods"), of)
    }

    pub(super) fn create_setup(&mut self, params: &Value) -> Result<Value, ApiError> {
        only(
            params,
            &[
                "customer",
                "usage",
                "automatic_payment_methods",
                "metadata",
                "description",
                "expand",
            ],
        )?;
        if let Some(customer) = text(params, "/customer") {
            self.customer(customer)
                .ok_or_else(|| ApiError::no_such("customer", customer, "customer"))?;
        }
        let new = format!("seti_{}", id::hex(24));
        let mut setup = json!({
            "id": new, "object": "setup_intent", "application": null,
            "automatic_payment_methods": {"allow_redirects": "always", "enabled": true}, "cancellation_reason": null,
            "client_secret": format!("{new}_secret_{}", id::hex(25)), "created": self.now,
            "customer": text(params, "/customer"), "customer_account": null, "description": null,
            "flow_directions": null, "last_setup_error": null,
            "latest_attempt": null, "livemode": false, "mandate": null, "metadata": {},
            "next_action": null, "payment_method": null, "payment_method_configuration_details": null,
            "payment_method_options": {"card": {"network": null, "request_three_d_secure": "automatic"}},
            "payment_method_types": ["card"], "single_use_mandate": null, "status": "requires_payment_method",
            "usage": text(params, "/usage").unwrap_or("off_session"),
        });
        tag(&mut setup, params);
        self.setups.put(setup.clone());
        self.emit("setup_intent.created", &setup);
        Ok(setup)
    }

    /// The customer fills the card in on the application's page.
    pub(super) fn complete_setup(&mut self, id: &str, card: &str) -> Result<Value, ApiError> {
        let setup = self
            .setups
            .get(id)
            .filter(|it| it["status"] == "requires_payment_method")
            .ok_or_else(|| ApiError::not_found("setupintent", id))?;
        let customer = setup["customer"].as_str().unwrap_or_default().to_owned();
        let attached = self.attach(card, &json!({"customer": customer}))?;
        let setup = self
            .setups
            .get_mut(id)
            .ok_or_else(|| ApiError::not_found("setupintent", id))?;
        setup["status"] = json!("succeeded");
        setup["payment_method"] = attached["id"].clone();
        let setup = setup.clone();
        self.emit("setup_intent.succeeded", &setup);
        Ok(setup)
    }

    /// The card that pays a subscription: its own, else the customer's.
    pub(super) fn paying_card(&self, customer: &str, own: Option<&str>) -> Option<String> {
        let settings = &self.customer(customer)?["invoice_settings"];
        own.or_else(|| settings["default_payment_method"].as_str())
            .map(str::to_owned)
    }

    /// What the bank says to a payment by this card.
    pub(super) fn charge(&self, method: &str) -> Option<Decline> {
        self.cards.get(method).and_then(|card| card.charge())
    }
}
