//! Stripe's objects as they are read: only what is used, and nothing of it required that need not be there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use url::Url;
use voice_saas_core::{
    money::{Currency, Money},
    provider::billing::{
        BillingCustomer, BillingInvoice, BillingSubscription, Card, CheckoutId, CheckoutPayment,
        CheckoutSession, PaymentMethod, PaymentMethodId, ProviderCustomerId, ProviderInvoiceId,
        ProviderPriceId, ProviderSubscriptionId, ServicePeriod, SubscriptionItem,
    },
};

use super::{api::Listed, minor};

/// The tags of ours that objects carry.
pub(super) const TENANT: &str = "tenant_id";
pub(super) const OPERATION: &str = "operation_id";
pub(super) const PLAN: &str = "plan";

type Metadata = BTreeMap<String, String>;

/// A page.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            data: Vec::new(),
            has_more: false,
        }
    }
}

/// Another object: its id, or all of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Link {
    Id(String),
    Whole { id: String },
}

impl Link {
    pub(super) fn into_id(self) -> String {
        match self {
            Self::Id(id) | Self::Whole { id } => id,
        }
    }
}

fn link<T>(link: Option<Link>, id: impl FnOnce(String) -> T) -> Option<T> {
    link.map(Link::into_id).filter(|text| !text.is_empty()).map(id)
}

pub(super) fn time(seconds: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_second(seconds?).ok()
}

fn url(text: Option<&str>) -> Option<Url> {
    Url::parse(text?).ok()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) deleted: bool,
    email: Option<String>,
    metadata: Option<Metadata>,
    invoice_settings: Option<InvoiceSettings>,
    delinquent: Option<bool>,
    created: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InvoiceSettings {
    default_payment_method: Option<Link>,
}

impl Listed for Customer {
    fn id(&self) -> String {
        self.id.clone()
    }
}

impl From<Customer> for BillingCustomer {
    fn from(wire: Customer) -> Self {
        let mut customer = Self::new(ProviderCustomerId::new(wire.id));
        customer.tenant = wire.metadata.unwrap_or_default().remove(TENANT);
        customer.email = wire.email;
        let settings = wire.invoice_settings.unwrap_or_default();
        customer.default_payment_method = link(settings.default_payment_method, PaymentMethodId::new);
        customer.delinquent = wire.delinquent.unwrap_or_default();
        customer.created = time(wire.created);
        customer
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Method {
    pub(super) id: String,
    card: Option<CardFacts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CardFacts {
    brand: String,
    last4: String,
    exp_month: u8,
    exp_year: u16,
}

impl Listed for Method {
    fn id(&self) -> String {
        self.id.clone()
    }
}

impl From<Method> for PaymentMethod {
    fn from(wire: Method) -> Self {
        Self {
            id: PaymentMethodId::new(wire.id),
            card: wire.card.map(|card| Card {
                brand: card.brand,
                last4: card.last4,
                exp_month: card.exp_month,
                exp_year: card.exp_year,
            }),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SetupIntent {
    pub(super) id: String,
    pub(super) client_secret: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Price {
    pub(super) id: String,
    pub(super) active: bool,
    pub(super) currency: String,
    pub(super) lookup_key: Option<String>,
    pub(super) unit_amount: Option<i64>,
    pub(super) recurring: Option<Recurring>,
    pub(super) metadata: Option<Metadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Recurring {
    pub(super) interval: String,
    pub(super) interval_count: u16,
    pub(super) usage_type: Option<String>,
}

impl Listed for Price {
    fn id(&self) -> String {
        self.id.clone()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct MeterFacts {
    pub(super) id: String,
    pub(super) event_name: String,
}

impl Listed for MeterFacts {
    fn id(&self) -> String {
        self.id.clone()
    }
}

/// What is not looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Anything {}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Subscription {
    pub(super) id: String,
    customer: Option<Link>,
    pub(super) status: String,
    pub(super) items: List<Item>,
    trial_end: Option<i64>,
    pub(super) cancel_at_period_end: bool,
    cancel_at: Option<i64>,
    ended_at: Option<i64>,
    cancellation_details: Option<CancellationDetails>,
    status_details: Option<StatusDetails>,
    latest_invoice: Option<Link>,
    default_payment_method: Option<Link>,
    metadata: Option<Metadata>,
    created: Option<i64>,
    /// Where the period was before 2025-03-31.
    current_period_start: Option<i64>,
    current_period_end: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) price: Price,
    current_period_start: Option<i64>,
    current_period_end: Option<i64>,
}

impl Item {
    pub(super) fn is_metered(&self) -> bool {
        let recurring = self.price.recurring.as_ref();
        recurring.and_then(|it| it.usage_type.as_deref()) == Some("metered")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CancellationDetails {
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusDetails {
    paused: Option<PausedDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PausedDetails {
    subscription: Option<PausedSubscription>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PausedSubscription {
    r#type: Option<String>,
}

impl Listed for Subscription {
    fn id(&self) -> String {
        self.id.clone()
    }
}

impl Subscription {
    /// From the latest start to the earliest end: all items agree unless their intervals differ.
    fn period(&self) -> Option<ServicePeriod> {
        let items = &self.items.data;
        let start = items.iter().filter_map(|item| item.current_period_start).max();
        let end = items.iter().filter_map(|item| item.current_period_end).min();
        Some(ServicePeriod {
            start: time(start.or(self.current_period_start))?,
            end: time(end.or(self.current_period_end))?,
        })
    }
}

impl From<Subscription> for BillingSubscription {
    fn from(wire: Subscription) -> Self {
        let customer = wire.customer.clone().map(Link::into_id).unwrap_or_default();
        let mut subscription = Self::new(
            ProviderSubscriptionId::new(&*wire.id),
            ProviderCustomerId::new(customer),
            wire.status.clone(),
        );
        subscription.period = wire.period();
        let mut metadata = wire.metadata.unwrap_or_default();
        subscription.tenant = metadata.remove(TENANT);
        subscription.operation = metadata.remove(OPERATION);
        subscription.plan = metadata.remove(PLAN);
        let items = wire.items.data.into_iter().map(|item| SubscriptionItem {
            metered: item.is_metered(),
            id: item.id,
            price: ProviderPriceId::new(item.price.id),
            lookup_key: item.price.lookup_key,
        });
        subscription.items = items.collect();
        subscription.trial_end = time(wire.trial_end);
        subscription.cancel_at_period_end = wire.cancel_at_period_end;
        subscription.cancel_at = time(wire.cancel_at);
        subscription.ended_at = time(wire.ended_at);
        subscription.end_reason = wire.cancellation_details.and_then(|it| it.reason);
        let paused = wire.status_details.and_then(|it| it.paused);
        subscription.pause_reason = paused.and_then(|it| it.subscription?.r#type);
        subscription.latest_invoice = link(wire.latest_invoice, ProviderInvoiceId::new);
        subscription.default_payment_method = link(wire.default_payment_method, PaymentMethodId::new);
        subscription.created = time(wire.created);
        subscription
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Invoice {
    id: Option<String>,
    number: Option<String>,
    pub(super) status: Option<String>,
    billing_reason: Option<String>,
    customer: Option<Link>,
    parent: Option<InvoiceParent>,
    /// Where the subscription was before 2025-03-31.
    subscription: Option<Link>,
    currency: String,
    amount_due: i64,
    amount_paid: i64,
    amount_remaining: i64,
    attempt_count: u32,
    next_payment_attempt: Option<i64>,
    hosted_invoice_url: Option<String>,
    #[serde(rename = "invoice_pdf")]
    pdf: Option<String>,
    lines: List<Line>,
    pub(super) created: Option<i64>,
    status_transitions: Option<StatusTransitions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InvoiceParent {
    subscription_details: Option<SubscriptionDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SubscriptionDetails {
    subscription: Option<Link>,
    metadata: Option<Metadata>,
    subscription_proration_date: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusTransitions {
    paid_at: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    amount: i64,
    period: Option<LinePeriod>,
    parent: Option<LineParent>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
struct LinePeriod {
    start: i64,
    end: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LineParent {
    subscription_item_details: Option<ItemDetails>,
    invoice_item_details: Option<ItemDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ItemDetails {
    proration: bool,
}

impl Line {
    fn is_prorated(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| {
            [&parent.subscription_item_details, &parent.invoice_item_details]
                .into_iter()
                .flatten()
                .any(|details| details.proration)
        })
    }
}

impl Listed for Invoice {
    fn id(&self) -> String {
        self.id.clone().unwrap_or_default()
    }
}

impl Invoice {
    fn currency(&self) -> Currency {
        minor::currency(&self.currency).unwrap_or(Currency::USD)
    }

    pub(super) fn amount_due(&self) -> Money {
        minor::money(self.amount_due, self.currency())
    }

    /// What the rest of the present period adds or takes off.
    pub(super) fn prorated(&self) -> Money {
        let lines = self.lines.data.iter().filter(|line| line.is_prorated());
        minor::money(lines.map(|line| line.amount).sum(), self.currency())
    }

    /// The moment that prorations were counted from.
    pub(super) fn proration_date(&self) -> Option<Timestamp> {
        let details = self.parent.as_ref()?.subscription_details.as_ref()?;
        time(details.subscription_proration_date)
    }

    fn service(&self) -> Option<ServicePeriod> {
        let periods = || self.lines.data.iter().filter_map(|line| line.period);
        Some(ServicePeriod {
            start: time(periods().map(|period| period.start).min())?,
            end: time(periods().map(|period| period.end).max())?,
        })
    }
}

impl From<Invoice> for BillingInvoice {
    fn from(wire: Invoice) -> Self {
        let currency = wire.currency();
        let service = wire.service();
        let id = wire.id.filter(|id| !id.is_empty()).map(ProviderInvoiceId::new);
        let mut invoice = Self::new(id, wire.status.unwrap_or_default(), currency);
        let details = wire
            .parent
            .and_then(|it| it.subscription_details)
            .unwrap_or_default();
        invoice.number = wire.number;
        invoice.reason = wire.billing_reason;
        invoice.customer = link(wire.customer, ProviderCustomerId::new);
        invoice.subscription = link(
            details.subscription.or(wire.subscription),
            ProviderSubscriptionId::new,
        );
        invoice.tenant = details.metadata.unwrap_or_default().remove(TENANT);
        invoice.amount_due = minor::money(wire.amount_due, currency);
        invoice.amount_paid = minor::money(wire.amount_paid, currency);
        invoice.amount_remaining = minor::money(wire.amount_remaining, currency);
        invoice.attempts = wire.attempt_count;
        invoice.next_attempt = time(wire.next_payment_attempt);
        invoice.hosted_url = url(wire.hosted_invoice_url.as_deref());
        invoice.pdf = url(wire.pdf.as_deref());
        invoice.service = service;
        invoice.created = time(wire.created);
        invoice.paid_at = time(wire.status_transitions.unwrap_or_default().paid_at);
        invoice
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Checkout {
    id: String,
    url: Option<String>,
    status: Option<String>,
    payment_status: Option<String>,
    client_reference_id: Option<String>,
    metadata: Option<Metadata>,
    customer: Option<Link>,
    subscription: Option<Link>,
    expires_at: Option<i64>,
}

impl From<Checkout> for CheckoutSession {
    fn from(wire: Checkout) -> Self {
        let mut session = Self::new(CheckoutId::new(wire.id), wire.status.unwrap_or_default());
        session.url = url(wire.url.as_deref());
        session.payment = match wire.payment_status.as_deref() {
            Some("paid") => CheckoutPayment::Paid,
            Some("no_payment_required") => CheckoutPayment::NotRequired,
            _ => CheckoutPayment::Unpaid,
        };
        let mut metadata = wire.metadata.unwrap_or_default();
        session.tenant = metadata.remove(TENANT).or(wire.client_reference_id);
        session.operation = metadata.remove(OPERATION);
        session.customer = link(wire.customer, ProviderCustomerId::new);
        session.subscription = link(wire.subscription, ProviderSubscriptionId::new);
        session.expires_at = time(wire.expires_at);
        session
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Portal {
    pub(super) url: String,
}
