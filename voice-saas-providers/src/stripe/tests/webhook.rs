//! Webhooks: who sent them, and what they say.

use http::{HeaderMap, Method};
use jiff::Timestamp;
use voice_saas_core::provider::{
    billing::{BillingEvent, BillingEventKind, BillingSnapshot, SubscriptionStatus},
    telephony::{WebhookError, WebhookRequest},
};

use super::*;

const NOW: i64 = 1_700_000_000;

fn webhook() -> Webhook {
    Webhook::new(vec!["whsec_old".into(), "whsec_test".into()], false)
}

fn receive(signature: Option<&str>, body: &str, now: i64) -> Result<BillingEvent, WebhookError> {
    let mut headers = HeaderMap::new();
    if let Some(signature) = signature {
        headers.insert(SIGNATURE_HEADER, signature.parse().unwrap());
    }
    let request = WebhookRequest {
        method: &Method::POST,
        path_and_query: "/webhooks/stripe",
        headers: &headers,
        body: body.as_bytes(),
    };
    webhook().receive(&request, Timestamp::from_second(now).unwrap())
}

fn signed(secret: &str, body: &str) -> String {
    let time = Timestamp::from_second(NOW).unwrap();
    sign_for_tests(&secret.into(), time, body.as_bytes())
}

fn event(kind: &str, object: &Value) -> String {
    json!({"id": "evt_1", "object": "event", "type": kind, "created": NOW, "livemode": false,
        "api_version": "2025-03-31.basil", "data": {"object": object}})
    .to_string()
}

fn read(kind: &str, object: &Value) -> BillingEvent {
    let body = event(kind, object);
    receive(Some(&signed("whsec_test", &body)), &body, NOW).unwrap()
}

#[test]
fn the_signature_is_the_one_of_the_official_libraries() {
    assert_eq!(
        signed("whsec_test", r#"{"id":"evt_1"}"#),
        "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925"
    );
}

#[test]
fn a_signature_holds_for_every_secret_and_among_others() {
    let body = event("plan.created", &json!({}));
    for secret in ["whsec_old", "whsec_test"] {
        receive(Some(&signed(secret, &body)), &body, NOW).unwrap();
    }
    let several = format!(
        "{},v1=00ff,v0=00,v1={}",
        signed("whsec_other", &body),
        signed("whsec_test", &body).split_once("v1=").unwrap().1
    );
    receive(Some(&several), &body, NOW + 300).unwrap();
}

#[test]
fn what_is_not_signed_for_us_now_is_refused() {
    let body = event("plan.created", &json!({}));
    let good = signed("whsec_test", &body);
    let refused = |signature: Option<&str>, body: &str, now: i64| {
        assert!(
            matches!(receive(signature, body, now), Err(WebhookError::Forged(_))),
            "{signature:?} {now}"
        );
    };
    refused(None, &body, NOW);
    refused(Some(""), &body, NOW);
    refused(Some("t=1700000000"), &body, NOW);
    refused(Some("t=soon,v1=00"), &body, NOW);
    refused(Some(&good.replace("v1=", "v0=")), &body, NOW);
    refused(Some(&signed("whsec_other", &body)), &body, NOW);
    refused(Some(&good), &format!("{body} "), NOW);
    refused(Some(&good), &body, NOW + 301);
    refused(Some(&good), &body, NOW - 301);
}

#[test]
fn what_is_signed_but_makes_no_sense_is_malformed() {
    let live = event("invoice.paid", &json!({})).replace("\"livemode\":false", "\"livemode\":true");
    let thin =
        event("invoice.paid", &json!({})).replace("\"object\":\"event\"", "\"object\":\"v2.core.event\"");
    for body in ["", "[]", "{}", "not JSON", &live, &thin] {
        let received = receive(Some(&signed("whsec_test", body)), body, NOW);
        assert!(matches!(received, Err(WebhookError::Malformed(_))), "{body}");
    }
}

#[test]
fn a_kind_that_is_not_known_is_kept() {
    let event = read(
        "radar.early_fraud_warning.created",
        &json!({"id": "issfr_1", "customer": "cus_1"}),
    );
    assert_eq!(
        event.kind,
        BillingEventKind::Other("radar.early_fraud_warning.created".to_owned())
    );
    assert_eq!(event.customer, Some(ProviderCustomerId::new("cus_1")));
    assert_eq!(event.snapshot, BillingSnapshot::None);
}

#[test]
fn a_subscription_brings_its_snapshot_and_its_tags() {
    let event = read(
        "customer.subscription.updated",
        &json!({"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "past_due",
            "metadata": {"tenant_id": TENANT, "operation_id": "saga_1"}}),
    );
    assert_eq!(event.kind, BillingEventKind::SubscriptionUpdated);
    assert_eq!(event.created.as_second(), NOW);
    assert_eq!(event.subscription, Some(ProviderSubscriptionId::new("sub_1")));
    assert_eq!(event.tenant.as_deref(), Some(TENANT));
    let BillingSnapshot::Subscription(subscription) = event.snapshot else {
        panic!("no subscription");
    };
    assert_eq!(subscription.status, SubscriptionStatus::PastDue);
    assert_eq!(subscription.operation.as_deref(), Some("saga_1"));
}

#[test]
fn an_invoice_of_an_old_or_a_new_version_leads_to_its_subscription() {
    for place in [
        json!({"subscription": "sub_1"}),
        json!({"parent": {"subscription_details": {"subscription": {"id": "sub_1"}, "metadata": {"tenant_id": TENANT}}}}),
    ] {
        let mut invoice = json!({"id": "in_1", "object": "invoice", "customer": "cus_1", "currency": "usd",
            "amount_due": 29_900, "status": "open"});
        for (name, value) in place.as_object().unwrap() {
            invoice[name] = value.clone();
        }
        let event = read("invoice.payment_failed", &invoice);
        assert_eq!(event.kind, BillingEventKind::InvoiceFailed);
        assert_eq!(event.subscription, Some(ProviderSubscriptionId::new("sub_1")));
        assert_eq!(event.invoice, Some(ProviderInvoiceId::new("in_1")));
        let BillingSnapshot::Invoice(invoice) = event.snapshot else {
            panic!("no invoice");
        };
        assert_eq!(invoice.amount_due, Money::from_micros(299_000_000, Currency::USD));
    }
}

#[test]
fn an_object_that_cannot_be_read_still_says_whom_it_concerns() {
    let event = read(
        "customer.subscription.updated",
        &json!({"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": 7}),
    );
    assert_eq!(event.snapshot, BillingSnapshot::None);
    assert_eq!(event.subscription, Some(ProviderSubscriptionId::new("sub_1")));
}
