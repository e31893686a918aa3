//! What Stripe tells of a subscription's life, on the emulator.

use std::{collections::VecDeque, time::Duration};

use http::{HeaderMap, Method};
use tokio::sync::mpsc;
use voice_saas_core::provider::{
    billing::{
        BillingEvent, BillingEventKind, BillingSnapshot, CheckoutPayment, CheckoutStatus, SubscriptionStatus,
    },
    telephony::{WebhookError, WebhookRequest},
};

use super::*;
use crate::emulator::{self, DunningEnd, Emulator, EmulatorConfig, Fault, FaultKind};

const DAY: Duration = Duration::from_hours(24);

/// Answers the statuses in turn, then 200, and passes everything on.
struct Inbox {
    letters: mpsc::UnboundedSender<(HeaderMap, Vec<u8>)>,
    statuses: std::sync::Mutex<VecDeque<u16>>,
}

impl wiremock::Respond for Inbox {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let letter = (request.headers.clone(), request.body.clone());
        self.letters.send(letter).expect("the test still listens");
        let status = self.statuses.lock().unwrap().pop_front();
        ResponseTemplate::new(status.unwrap_or(200))
    }
}

struct Account {
    emulator: Emulator,
    stripe: Stripe,
    letters: mpsc::UnboundedReceiver<(HeaderMap, Vec<u8>)>,
    _application: MockServer,
}

impl Account {
    async fn new(statuses: &[u16]) -> Self {
        let emulator = Emulator::start(EmulatorConfig::new(([127, 0, 0, 1], 0).into()))
            .await
            .unwrap();
        let application = MockServer::start().await;
        let (sender, letters) = mpsc::unbounded_channel();
        Mock::given(method("POST"))
            .respond_with(Inbox {
                letters: sender,
                statuses: std::sync::Mutex::new(statuses.iter().copied().collect()),
            })
            .mount(&application)
            .await;
        emulator.set_stripe_webhook_url(format!("{}/webhooks/stripe", application.uri()).parse().unwrap());
        let stripe = Stripe::builder(emulator.stripe_secret_key().clone())
            .with_webhook_secret(emulator.stripe_webhook_secret().clone())
            .with_base_url(emulator.url().clone())
            .with_retry(RetryPolicy::none())
            .build()
            .unwrap();
        Self {
            emulator,
            stripe,
            letters,
            _application: application,
        }
    }

    /// The next webhook, as the adapter reads it.
    async fn next(&mut self) -> Result<BillingEvent, WebhookError> {
        let (headers, body) = self.letters.recv().await.unwrap();
        let request = WebhookRequest {
            method: &Method::POST,
            path_and_query: "/webhooks/stripe",
            headers: &headers,
            body: &body,
        };
        self.stripe.webhook().receive(&request, self.emulator.now())
    }

    /// All webhooks up to the first of this kind.
    async fn until(&mut self, kind: BillingEventKind) -> Vec<BillingEvent> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap();
            let last = event.kind == kind;
            events.push(event);
            if last {
                return events;
            }
        }
    }

    async fn customer(&self, card: &str) -> ProviderCustomerId {
        let order = customer_order().with_payment_method(PaymentMethodId::new(card));
        self.stripe.create_customer(&order).await.unwrap().id
    }

    async fn price(&self) -> ProviderPriceId {
        let price = PlanPrice {
            lookup_key: "basic_month".to_owned(),
            plan: "basic".to_owned(),
            plan_name: "Basic".to_owned(),
            charge: Charge::Flat(Money::from_micros(49_990_000, Currency::USD)),
            period: BillingPeriod::MONTH,
        };
        self.stripe.publish(&[price]).await.unwrap()[0].id.clone()
    }

    async fn trial(&self, card: &str) -> BillingSubscription {
        let order = SubscriptionOrder::new(
            TENANT.parse().unwrap(),
            self.customer(card).await,
            operation(),
            "basic",
            vec![self.price().await],
        );
        let order = order.with_trial(Trial::days(14));
        self.stripe.create_subscription(&order).await.unwrap()
    }

    async fn status(&self, subscription: &BillingSubscription) -> SubscriptionStatus {
        self.stripe.subscription(&subscription.id).await.unwrap().status
    }
}

fn other(kind: &str) -> BillingEventKind {
    BillingEventKind::Other(kind.to_owned())
}

#[tokio::test]
async fn a_life_is_told_in_signed_webhooks() {
    let mut account = Account::new(&[]).await;
    let made = account.trial("pm_card_visa").await;
    // The clock moves when everything has come: what was signed before would be too old.
    account.until(other("invoice.payment_succeeded")).await;
    account.emulator.advance_clock(15 * DAY);
    let events = account.until(BillingEventKind::InvoicePaid).await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.clone()).collect();
    assert_eq!(
        kinds,
        [
            BillingEventKind::TrialEnding,
            BillingEventKind::InvoiceCreated,
            BillingEventKind::SubscriptionUpdated,
            BillingEventKind::InvoiceFinalized,
            BillingEventKind::InvoicePaid,
        ]
    );
    let paid = events.last().unwrap();
    assert_eq!(paid.subscription, Some(made.id.clone()));
    assert_eq!(paid.tenant.as_deref(), Some(TENANT));
    let BillingSnapshot::Invoice(invoice) = &paid.snapshot else {
        panic!("no invoice");
    };
    assert_eq!(invoice.amount_paid, Money::from_micros(49_990_000, Currency::USD));
    let at = |kind: BillingEventKind| events.iter().find(|event| event.kind == kind).unwrap().created;
    let trial_end = made.trial_end.unwrap();
    assert_eq!(at(BillingEventKind::InvoiceCreated), trial_end);
    let notice = trial_end.duration_since(at(BillingEventKind::TrialEnding));
    assert_eq!(notice.as_hours(), 72);
}

#[tokio::test]
async fn a_webhook_comes_twice_late_or_forged_on_demand() {
    let mut account = Account::new(&[]).await;
    let fault = |kind| Fault::new(emulator::Operation::BillingWebhook, kind);
    account.emulator.inject(fault(FaultKind::Duplicate)).unwrap();
    account.customer("pm_card_visa").await;
    let (first, second) = (account.next().await.unwrap(), account.next().await.unwrap());
    assert_eq!(first, second);
    assert_eq!(
        account.next().await.unwrap().kind,
        BillingEventKind::PaymentMethodAttached
    );

    account.emulator.inject(fault(FaultKind::Reorder)).unwrap();
    let order = CustomerOrder::new(
        TENANT.parse().unwrap(),
        Operation::new("saga_2").unwrap(),
        "b@example.com",
    );
    let order = order.with_payment_method(PaymentMethodId::new("pm_card_visa"));
    account.stripe.create_customer(&order).await.unwrap();
    let kinds = [
        account.next().await.unwrap().kind,
        account.next().await.unwrap().kind,
    ];
    assert_eq!(
        kinds,
        [
            BillingEventKind::PaymentMethodAttached,
            BillingEventKind::CustomerUpdated
        ]
    );

    account.emulator.inject(fault(FaultKind::BadSignature)).unwrap();
    let made = account
        .stripe
        .find_customer(TENANT.parse().unwrap(), "b@example.com")
        .await;
    account
        .stripe
        .delete_customer(&made.unwrap().unwrap().id)
        .await
        .unwrap();
    assert!(matches!(account.next().await, Err(WebhookError::Forged(_))));
}

#[tokio::test]
async fn a_webhook_that_fails_comes_again_later() {
    let mut account = Account::new(&[500]).await;
    let order = customer_order();
    account.stripe.create_customer(&order).await.unwrap();
    let first = account.next().await.unwrap();
    let attempts = |account: &Account| {
        let state = account.emulator.state();
        state["stripe"]["webhook_deliveries"].as_array().unwrap().len()
    };
    // The answer must have arrived, and the repetition must wait, before the clock moves.
    while attempts(&account) == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    account.emulator.advance_clock(Duration::from_secs(61));
    let again = account.next().await.unwrap();
    assert_eq!(first, again);
}

#[tokio::test]
async fn a_failed_renewal_ends_as_the_account_says() {
    for (end, status) in [
        (DunningEnd::Cancel, SubscriptionStatus::Canceled),
        (DunningEnd::Unpaid, SubscriptionStatus::Unpaid),
        (DunningEnd::PastDue, SubscriptionStatus::PastDue),
        (DunningEnd::Pause, SubscriptionStatus::Paused),
    ] {
        let account = Account::new(&[]).await;
        account.emulator.set_dunning_end(end);
        let made = account.trial("pm_card_chargeCustomerFail").await;
        account.emulator.advance_clock(15 * DAY);
        assert_eq!(account.status(&made).await, SubscriptionStatus::PastDue);
        account.emulator.advance_clock(16 * DAY);
        assert_eq!(account.status(&made).await, status, "{end:?}");
    }
}

#[tokio::test]
async fn a_checkout_that_is_completed_makes_a_subscription() {
    let mut account = Account::new(&[]).await;
    let order = CheckoutOrder::new(
        TENANT.parse().unwrap(),
        operation(),
        account
            .stripe
            .create_customer(&customer_order())
            .await
            .unwrap()
            .id,
        "basic",
        account.price().await,
        "https://example.com/done?session={CHECKOUT_SESSION_ID}",
        "https://example.com/back".parse().unwrap(),
    );
    let begun = account.stripe.begin_checkout(&order).await.unwrap();
    let id = begun.id.as_str();
    let declined = account.emulator.complete_checkout(id, Some("pm_card_radarBlock"));
    assert!(declined.unwrap_err().contains("declined"));
    let url = account
        .emulator
        .complete_checkout(id, Some("pm_card_visa"))
        .unwrap();
    assert_eq!(url, format!("https://example.com/done?session={id}"));
    let events = account.until(BillingEventKind::CheckoutCompleted).await;
    let completed = events.last().unwrap();
    let BillingSnapshot::Checkout(session) = &completed.snapshot else {
        panic!("no checkout");
    };
    assert_eq!(session.status, CheckoutStatus::Complete);
    assert_eq!(session.payment, CheckoutPayment::Paid);
    assert_eq!(session.tenant.as_deref(), Some(TENANT));
    let made = account
        .stripe
        .subscription(session.subscription.as_ref().unwrap())
        .await
        .unwrap();
    assert_eq!(made.status, SubscriptionStatus::Active);
    assert_eq!(made.operation.as_deref(), Some("saga_1"));
    assert!(
        account
            .emulator
            .complete_checkout(id, Some("pm_card_visa"))
            .is_err()
    );
}

#[tokio::test]
async fn a_checkout_closes_by_itself() {
    let mut account = Account::new(&[]).await;
    let order = CheckoutOrder::new(
        TENANT.parse().unwrap(),
        operation(),
        account
            .stripe
            .create_customer(&customer_order())
            .await
            .unwrap()
            .id,
        "basic",
        account.price().await,
        "https://example.com/done",
        "https://example.com/back".parse().unwrap(),
    );
    account.stripe.begin_checkout(&order).await.unwrap();
    account.until(other("price.created")).await;
    account.emulator.advance_clock(2 * DAY);
    account.until(BillingEventKind::CheckoutExpired).await;
}

#[tokio::test]
async fn a_card_that_is_given_on_our_own_page_pays_once_it_is_attached() {
    let mut account = Account::new(&[]).await;
    let customer = account
        .stripe
        .create_customer(&customer_order())
        .await
        .unwrap()
        .id;
    let setup = CardSetupOrder {
        customer: customer.clone(),
        tenant: TENANT.parse().unwrap(),
        operation: operation(),
    };
    let begun = account.stripe.set_up_card(&setup).await.unwrap();
    let declined = account
        .emulator
        .complete_card_setup(&begun.id, "pm_card_radarBlock");
    assert!(declined.unwrap_err().contains("declined"));
    let card = account
        .emulator
        .complete_card_setup(&begun.id, "pm_card_visa")
        .unwrap();
    let events = account.until(BillingEventKind::CardSetUp).await;
    let told = events.last().unwrap();
    assert_eq!(told.payment_method, Some(PaymentMethodId::new(&*card)));
    assert_eq!(told.customer.as_ref(), Some(&customer));
    let order = PaymentMethodOrder {
        customer: customer.clone(),
        payment_method: PaymentMethodId::new(card),
        operation: operation(),
    };
    let attached = account.stripe.attach_payment_method(&order).await.unwrap();
    let found = account.stripe.customer(&customer).await.unwrap();
    assert_eq!(found.default_payment_method, Some(attached.id));
}
