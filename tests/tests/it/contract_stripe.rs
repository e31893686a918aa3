//! The contract with Stripe: every request of the adapter, every answer of the emulator, and every webhook are what
//! Stripe's OpenAPI document says.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::{HeaderMap, Method};
use serde_json::{Value, json};
use uuid::Uuid;
use voice_saas_core::{
    id::TenantId,
    money::{Currency, Money},
    provider::{
        billing::{
            Billing, BillingPeriod, BillingSnapshot, Cancellation, CardSetupOrder, Charge, CheckoutId,
            CheckoutOrder, CustomerOrder, Meter, MissingCard, Operation, PaymentMethodId, PaymentMethodOrder,
            PlanChange, PlanPrice, PortalOrder, PortalPage, Proration, ProviderCustomerId, ProviderInvoiceId,
            ProviderPriceId, ProviderSubscriptionId, SubscriptionOrder, Trial, UsageReport,
        },
        telephony::WebhookRequest,
    },
};
use voice_saas_providers::{
    emulator::{Emulator, EmulatorConfig},
    http::RetryPolicy,
    stripe::{SIGNATURE_HEADER, Stripe, StripeBuilder, sign_for_tests},
};
use voice_saas_tests::spec::{Answer, Exchange, Recorder, Spec, request_sites};

use crate::contract_twilio::{check, examine_answers, examine_requests};

const FILE: &str = "stripe.json";
const FIXTURES: &str = "stripe-fixtures.json";
const EMAIL: &str = "ada@example.com";
const DAY: Duration = Duration::from_hours(24);

/// Every place in the adapter that makes a request, and what the request is. Lists are read by one place for all.
const CONTRACTS: &[(&str, &[&str])] = &[
    (
        "api.rs get(operation)",
        &[
            "GET /v1/billing/meters",
            "GET /v1/customers",
            "GET /v1/customers/{id}/payment_methods",
            "GET /v1/invoices",
            "GET /v1/subscriptions",
        ],
    ),
    ("catalogue.rs get(FIND_PRICES)", &["GET /v1/prices"]),
    (
        "catalogue.rs post(\"create a meter\")",
        &["POST /v1/billing/meters"],
    ),
    ("catalogue.rs post(\"create a product\")", &["POST /v1/products"]),
    ("catalogue.rs post(CREATE_PRICE)", &["POST /v1/prices"]),
    (
        "customer.rs delete(\"delete a customer\")",
        &["DELETE /v1/customers/{id}"],
    ),
    ("customer.rs get(FETCH)", &["GET /v1/customers/{id}"]),
    (
        "customer.rs post(\"attach a card\")",
        &["POST /v1/payment_methods/{id}/attach"],
    ),
    ("customer.rs post(\"create a customer\")", &["POST /v1/customers"]),
    (
        "customer.rs post(\"set the default card\")",
        &["POST /v1/customers/{id}"],
    ),
    ("customer.rs post(SET_UP)", &["POST /v1/setup_intents"]),
    ("invoice.rs get(PAY)", &["GET /v1/invoices/{id}"]),
    (
        "invoice.rs post(\"report usage\")",
        &["POST /v1/billing/meter_events"],
    ),
    ("invoice.rs post(PAY)", &["POST /v1/invoices/{id}/pay"]),
    ("plan.rs post(CHANGE)", &["POST /v1/subscriptions/{id}"]),
    ("plan.rs post(PREVIEW)", &["POST /v1/invoices/create_preview"]),
    (
        "session.rs get(\"fetch a checkout\")",
        &["GET /v1/checkout/sessions/{id}"],
    ),
    (
        "session.rs post(\"begin a checkout\")",
        &["POST /v1/checkout/sessions"],
    ),
    (
        "session.rs post(\"expire a checkout\")",
        &["POST /v1/checkout/sessions/{id}/expire"],
    ),
    ("session.rs post(OPEN)", &["POST /v1/billing_portal/sessions"]),
    (
        "subscription.rs delete(CANCEL)",
        &["DELETE /v1/subscriptions/{id}"],
    ),
    (
        "subscription.rs get(\"fetch a subscription\")",
        &["GET /v1/subscriptions/{id}"],
    ),
    (
        "subscription.rs post(\"create a subscription\")",
        &["POST /v1/subscriptions"],
    ),
    ("subscription.rs post(CANCEL)", &["POST /v1/subscriptions/{id}"]),
    (
        "subscription.rs post(REACTIVATE)",
        &["POST /v1/subscriptions/{id}"],
    ),
    (
        "subscription.rs post(REACTIVATE)",
        &["POST /v1/subscriptions/{id}/resume"],
    ),
];

fn contracts() -> BTreeSet<String> {
    let operations = CONTRACTS.iter().flat_map(|(_, operations)| *operations);
    operations.map(|operation| (*operation).to_owned()).collect()
}

fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(7))
}

fn operation(id: &str) -> Operation {
    Operation::new(id).expect("an operation")
}

fn builder(recorder: &Recorder, key: &str) -> StripeBuilder {
    Stripe::builder(key.into())
        .with_base_url(recorder.url().clone())
        .with_retry(RetryPolicy::none())
}

fn prices() -> Vec<PlanPrice> {
    let metered = |included| Charge::Metered {
        meter: Meter {
            event_name: "survey_answers".to_owned(),
            name: "Answers".to_owned(),
        },
        included,
        unit: Money::from_micros(8_500, Currency::USD),
    };
    let price = |key: &str, charge| PlanPrice {
        lookup_key: key.to_owned(),
        plan: key.to_owned(),
        plan_name: "A plan".to_owned(),
        charge,
        period: BillingPeriod::MONTH,
    };
    vec![
        price(
            "basic",
            Charge::Flat(Money::from_micros(49_990_000, Currency::USD)),
        ),
        price("pro", Charge::Flat(Money::from_micros(99_000_000, Currency::USD))),
        price("answers", metered(0)),
        price("answers_beyond", metered(10)),
    ]
}

fn checkout(customer: &ProviderCustomerId, price: &ProviderPriceId) -> CheckoutOrder {
    CheckoutOrder::new(
        tenant(),
        operation("checkout"),
        customer.clone(),
        "basic",
        price.clone(),
        "https://example.com/done?session={CHECKOUT_SESSION_ID}",
        "https://example.com/back".parse().expect("a URL"),
    )
}

fn change(
    subscription: &ProviderSubscriptionId,
    price: &ProviderPriceId,
    proration: Proration,
) -> PlanChange {
    PlanChange {
        subscription: subscription.clone(),
        plan: "pro".to_owned(),
        prices: vec![price.clone()],
        proration,
        at: None,
        operation: operation("change"),
    }
}

/// Every request about prices and customers, with everything in it and with nothing that need not be.
async fn ask_for_customers(stripe: &Stripe) {
    let customer = ProviderCustomerId::new("cus_1");
    let card = PaymentMethodId::new("pm_1");
    stripe.publish(&prices()).await.expect("prices");
    let order = CustomerOrder::new(tenant(), operation("signup"), EMAIL);
    stripe.create_customer(&order).await.expect("a customer");
    let order = order.with_name("Ada").with_payment_method(card.clone());
    stripe.create_customer(&order).await.expect("a customer");
    stripe.find_customer(tenant(), EMAIL).await.expect("an answer");
    stripe.customer(&customer).await.expect("a customer");
    stripe.delete_customer(&customer).await.expect("it goes");
    let order = PaymentMethodOrder {
        customer: customer.clone(),
        payment_method: card.clone(),
        operation: operation("card"),
    };
    stripe.attach_payment_method(&order).await.expect("a card");
    stripe.payment_methods(&customer).await.expect("cards");
    let setup = CardSetupOrder {
        customer: customer.clone(),
        tenant: tenant(),
        operation: operation("setup"),
    };
    // The least answer has a secret of any kind or none.
    let _ = stripe.set_up_card(&setup).await;
}

/// The same of subscriptions, invoices and pages.
async fn ask_for_subscriptions(stripe: &Stripe) {
    let customer = ProviderCustomerId::new("cus_1");
    let price = ProviderPriceId::new("price_1");
    let card = PaymentMethodId::new("pm_1");
    let order = SubscriptionOrder::new(
        tenant(),
        customer.clone(),
        operation("subscribe"),
        "basic",
        vec![price.clone(), ProviderPriceId::new("price_2")],
    );
    stripe.create_subscription(&order).await.expect("a subscription");
    for missing_card in [MissingCard::Cancel, MissingCard::Pause, MissingCard::Invoice] {
        let trial = Trial {
            days: 14,
            missing_card,
        };
        let order = order.clone().with_trial(trial).with_payment_method(card.clone());
        stripe.create_subscription(&order).await.expect("a subscription");
    }
    stripe
        .find_subscription(&customer, &operation("x"))
        .await
        .expect("an answer");
    stripe
        .list_subscriptions(Some("sub_0".to_owned()))
        .await
        .expect("a page");

    for status in ["sub_active", "sub_paused", "sub_ending"] {
        let id = ProviderSubscriptionId::new(status);
        stripe.reactivate(&id).await.expect("it goes on");
        for when in [Cancellation::AtPeriodEnd, Cancellation::Now] {
            stripe.cancel(&id, when).await.expect("it ends");
        }
        for proration in [Proration::PayNow, Proration::NextInvoice, Proration::None] {
            let mut change = change(&id, &price, proration);
            // What the least answer says of a preview need not be a time.
            let _ = stripe.preview_change(&change).await;
            change.at = Some(jiff::Timestamp::UNIX_EPOCH);
            let _ = stripe.preview_change(&change).await;
            stripe.change_plan(&change).await.expect("a change");
        }
    }
    let invoice = ProviderInvoiceId::new("in_refused");
    let _ = stripe.pay_invoice(&invoice).await;
    stripe
        .invoices(&customer, Some("in_0".to_owned()))
        .await
        .expect("a page");
    let report = UsageReport {
        event_name: "survey_answers".to_owned(),
        customer: customer.clone(),
        quantity: 3,
        identifier: "call_1".to_owned(),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    stripe.report_usage(&report).await.expect("it counts");

    let order = checkout(&customer, &price);
    stripe.begin_checkout(&order).await.expect("a checkout");
    let order = order
        .with_trial(Trial::days(7))
        .with_metered(vec![ProviderPriceId::new("price_2")]);
    stripe.begin_checkout(&order).await.expect("a checkout");
    let id = CheckoutId::new("cs_1");
    stripe.checkout(&id).await.expect("a checkout");
    stripe.expire_checkout(&id).await.expect("it closes");
    for page in [
        PortalPage::Overview,
        PortalPage::PaymentMethod,
        PortalPage::Cancel(ProviderSubscriptionId::new("sub_active")),
    ] {
        let order = PortalOrder {
            customer: customer.clone(),
            page,
            return_url: "https://example.com/back".parse().expect("a URL"),
        };
        stripe.open_portal(&order).await.expect("a portal");
    }
}

/// The least that the document allows, but for what the steps need.
fn answer(spec: &Spec, exchange: &Exchange) -> Answer {
    let Ok(operation) = spec.operation(&exchange.method, &exchange.path) else {
        return Answer::empty(404);
    };
    if exchange.path.ends_with("in_refused/pay") {
        let error = json!({"error": {"type": "invalid_request_error", "code": "invoice_not_editable"}});
        return Answer::json(400, &error);
    }
    let mut answer = operation.answer();
    let mut body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    match operation.name() {
        "GET /v1/subscriptions/{id}" => {
            body["status"] = json!(if exchange.path.ends_with("paused") {
                "paused"
            } else {
                "active"
            });
            body["cancel_at_period_end"] = json!(exchange.path.ends_with("ending"));
            body["items"]["data"] = json!([
                {"id": "si_1", "price": {"id": "price_0", "recurring": {"usage_type": "licensed"}}},
                {"id": "si_2", "price": {"id": "price_9", "recurring": {"usage_type": "metered"}}},
            ]);
        }
        "POST /v1/billing_portal/sessions" => body["url"] = json!("https://billing.stripe.com/session/1"),
        _ => {}
    }
    answer.body = body.to_string().into();
    answer
}

#[test]
fn every_place_that_makes_a_request_to_stripe_has_a_contract() {
    let known: Vec<_> = CONTRACTS.iter().map(|(site, _)| *site).collect();
    assert_eq!(request_sites("stripe"), known);
}

#[tokio::test]
async fn every_request_to_stripe_is_one_that_it_specifies() {
    let Some(spec) = Spec::load(FILE, check).map(Arc::new) else {
        return;
    };
    let answering = Arc::clone(&spec);
    let recorder = Recorder::answering(move |exchange| answer(&answering, exchange)).await;
    let bare = builder(&recorder, "sk_test_1").build().expect("a valid set-up");
    let full = builder(&recorder, "rk_live_1")
        .with_portal_configuration("bpc_1")
        .build()
        .expect("a valid set-up");
    for stripe in [&bare, &full] {
        ask_for_customers(stripe).await;
        ask_for_subscriptions(stripe).await;
    }
    let (operations, violations) = examine_requests(&spec, &recorder.exchanges());
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(operations, contracts());
}

/// Every act of a life, from the first price to the last invoice.
async fn live(emulator: &Emulator, stripe: &Stripe) -> (ProviderCustomerId, ProviderPriceId) {
    let published = stripe.publish(&prices()).await.expect("prices");
    let [basic, pro, answers] = [0, 1, 3].map(|n| published[n].id.clone());
    let order = CustomerOrder::new(tenant(), operation("signup"), EMAIL);
    let order = order.with_payment_method(PaymentMethodId::new("pm_card_visa"));
    let customer = stripe.create_customer(&order).await.expect("a customer").id;
    let found = stripe.find_customer(tenant(), EMAIL).await.expect("an answer");
    assert_eq!(found.map(|found| found.id), Some(customer.clone()));
    stripe.customer(&customer).await.expect("a customer");
    let order = SubscriptionOrder::new(
        tenant(),
        customer.clone(),
        operation("subscribe"),
        "basic",
        vec![basic.clone(), answers],
    );
    let made = stripe
        .create_subscription(&order)
        .await
        .expect("a subscription")
        .id;
    stripe
        .find_subscription(&customer, &operation("subscribe"))
        .await
        .expect("an answer");
    let report = UsageReport {
        event_name: "survey_answers".to_owned(),
        customer: customer.clone(),
        quantity: 30,
        identifier: "call_1".to_owned(),
        at: emulator.now(),
    };
    stripe.report_usage(&report).await.expect("it counts");
    emulator.advance_clock(10 * DAY);
    for proration in [Proration::None, Proration::NextInvoice, Proration::PayNow] {
        let change = change(&made, &pro, proration);
        stripe.preview_change(&change).await.expect("a preview");
    }
    let upgrade = change(&made, &pro, Proration::PayNow);
    stripe.change_plan(&upgrade).await.expect("a change");
    stripe
        .cancel(&made, Cancellation::AtPeriodEnd)
        .await
        .expect("it ends");
    stripe.reactivate(&made).await.expect("it goes on");

    let mut card = PaymentMethodOrder {
        customer: customer.clone(),
        payment_method: PaymentMethodId::new("pm_card_chargeCustomerFail"),
        operation: operation("card"),
    };
    stripe.attach_payment_method(&card).await.expect("a card");
    emulator.advance_clock(32 * DAY);
    let invoices = stripe.invoices(&customer, None).await.expect("invoices").items;
    let open = invoices[0].id.clone().expect("an id");
    stripe.pay_invoice(&open).await.expect_err("the bank refuses");
    card.payment_method = PaymentMethodId::new("pm_card_visa");
    stripe.attach_payment_method(&card).await.expect("a card");
    stripe.payment_methods(&customer).await.expect("cards");
    for _ in 0..2 {
        stripe.pay_invoice(&open).await.expect("it is paid");
    }
    stripe.cancel(&made, Cancellation::Now).await.expect("it ends");
    (customer, basic)
}

/// What customers do on pages, and without a card.
async fn visit(emulator: &Emulator, stripe: &Stripe, customer: ProviderCustomerId, basic: ProviderPriceId) {
    let setup = CardSetupOrder {
        customer: customer.clone(),
        tenant: tenant(),
        operation: operation("setup"),
    };
    stripe.set_up_card(&setup).await.expect("a secret");
    for page in [PortalPage::Overview, PortalPage::PaymentMethod] {
        let order = PortalOrder {
            customer: customer.clone(),
            page,
            return_url: "https://example.com/back".parse().expect("a URL"),
        };
        stripe.open_portal(&order).await.expect("a portal");
    }

    let order = checkout(&customer, &basic).with_trial(Trial::days(7));
    let begun = stripe.begin_checkout(&order).await.expect("a checkout").id;
    stripe.expire_checkout(&begun).await.expect("it closes");
    let mut order = checkout(&customer, &basic);
    order.operation = operation("another");
    let begun = stripe.begin_checkout(&order).await.expect("a checkout").id;
    let completed = emulator.complete_checkout(begun.as_str(), Some("pm_card_mastercard"));
    completed.expect("it is filled in");
    stripe.checkout(&begun).await.expect("a checkout");

    let poor = CustomerOrder::new(tenant(), operation("poor"), "b@example.com");
    let poor = stripe.create_customer(&poor).await.expect("a customer").id;
    let order = SubscriptionOrder::new(tenant(), poor.clone(), operation("poor"), "basic", vec![basic]);
    let order = order.with_trial(Trial {
        days: 7,
        missing_card: MissingCard::Pause,
    });
    let paused = stripe
        .create_subscription(&order)
        .await
        .expect("a subscription")
        .id;
    emulator.advance_clock(8 * DAY);
    let card = PaymentMethodOrder {
        customer: poor.clone(),
        payment_method: PaymentMethodId::new("pm_card_amex"),
        operation: operation("rich"),
    };
    stripe.attach_payment_method(&card).await.expect("a card");
    stripe.reactivate(&paused).await.expect("it goes on");
    stripe.delete_customer(&poor).await.expect("it goes");
    stripe.list_subscriptions(None).await.expect("a page");
}

#[tokio::test]
async fn the_emulator_answers_and_tells_what_stripe_specifies() {
    let Some(spec) = Spec::load(FILE, check) else {
        return;
    };
    let emulator = Emulator::start(EmulatorConfig::new(([127, 0, 0, 1], 0).into()))
        .await
        .expect("a free port");
    let recorder = Recorder::in_front_of(emulator.url()).await;
    let stripe = Stripe::builder(emulator.stripe_secret_key().clone())
        .with_base_url(recorder.url().clone())
        .with_retry(RetryPolicy::none())
        .build()
        .expect("a valid set-up");
    let (customer, basic) = live(&emulator, &stripe).await;
    visit(&emulator, &stripe, customer, basic).await;

    let (operations, mut violations) = examine_answers(&spec, &recorder.exchanges());
    let state = emulator.state();
    let events = state["stripe"]["events"].as_array().expect("events");
    assert!(events.len() > 30);
    for event in events {
        let mut wrong = spec.violations(spec.schema("event"), event);
        // The envelope leaves its object open; its own schema does not.
        wrong.retain(|what| !what.contains("/data/"));
        let object = &event["data"]["object"];
        let name = object["object"].as_str().expect("a kind");
        wrong.extend(spec.violations(spec.schema(name), object));
        violations.extend(wrong.into_iter().map(|what| format!("{}: {what}", event["type"])));
    }
    violations.sort();
    violations.dedup();
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(operations, contracts());
}

/// What Stripe itself ships as samples, as if each had just happened.
#[test]
fn stripes_own_samples_are_read() {
    let Some(fixtures) = Spec::load(FIXTURES, check) else {
        return;
    };
    let secret = "whsec_test".into();
    let stripe = Stripe::builder("sk_test_1".into())
        .with_webhook_secret("whsec_test".into())
        .build()
        .expect("a valid set-up");
    for (kind, name) in [
        ("customer.subscription.updated", "subscription"),
        ("customer.subscription.deleted", "subscription"),
        ("invoice.paid", "invoice"),
        ("invoice.payment_failed", "invoice"),
        ("checkout.session.completed", "checkout.session"),
        ("customer.updated", "customer"),
        ("payment_method.attached", "payment_method"),
        ("setup_intent.succeeded", "setup_intent"),
        ("charge.refunded", "charge"),
    ] {
        let mut event = fixtures.sample("event");
        event["type"] = json!(kind);
        event["data"]["object"] = fixtures.sample(name);
        let body = event.to_string();
        let now = jiff::Timestamp::from_second(1_800_000_000).expect("a time");
        let mut headers = HeaderMap::new();
        let signature = sign_for_tests(&secret, now, body.as_bytes());
        headers.insert(SIGNATURE_HEADER, signature.parse().expect("a header"));
        let request = WebhookRequest {
            method: &Method::POST,
            path_and_query: "/webhooks/stripe",
            headers: &headers,
            body: body.as_bytes(),
        };
        let read = stripe.webhook().receive(&request, now).expect("an event");
        assert_eq!(read.id.as_str(), event["id"].as_str().expect("an id"));
        let ours = ["subscription", "invoice", "checkout.session", "customer"].contains(&name);
        assert_eq!(read.snapshot != BillingSnapshot::None, ours, "{kind}");
    }
}
