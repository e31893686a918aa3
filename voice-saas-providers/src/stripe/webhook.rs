//! Stripe's webhooks (pages `webhooks/signature`, `api/events`).

use std::fmt::{self, Write as _};

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};
use sha2::Sha256;
use voice_saas_core::{
    provider::{
        billing::{
            BillingCustomer, BillingEvent, BillingEventId, BillingEventKind, BillingInvoice, BillingSnapshot,
            BillingSubscription, BillingWebhook, CheckoutSession, PaymentMethodId, ProviderCustomerId,
            ProviderInvoiceId, ProviderSubscriptionId,
        },
        telephony::{WebhookError, WebhookRequest},
    },
    secret::{ExposeSecret, SecretString},
};

use super::wire::{Checkout, Customer, Invoice, Link, Subscription, TENANT};

/// The header that signs webhooks.
pub const SIGNATURE_HEADER: &str = "stripe-signature";

/// What Stripe's own libraries allow to the past; to the future they allow everything.
const TOLERANCE_SECONDS: i64 = 5 * 60;

#[derive(Clone)]
pub(super) struct Webhook {
    secrets: Vec<SecretString>,
    live: bool,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("secrets", &self.secrets.len())
            .field("live", &self.live)
            .finish()
    }
}

impl BillingWebhook for Webhook {
    fn receive(&self, request: &WebhookRequest<'_>, now: Timestamp) -> Result<BillingEvent, WebhookError> {
        self.verify(request, now)?;
        self.read(request.body)
    }
}

impl Webhook {
    pub(super) fn new(secrets: Vec<SecretString>, live: bool) -> Self {
        Self { secrets, live }
    }

    /// While a secret is being replaced, the header carries a signature by each.
    fn verify(&self, request: &WebhookRequest<'_>, now: Timestamp) -> Result<(), WebhookError> {
        let header = request
            .headers
            .get(SIGNATURE_HEADER)
            .and_then(|value| value.to_str().ok())
            .ok_or(WebhookError::Forged("there is no signature"))?;
        let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
        let time = parts()
            .find_map(|(name, value)| (name == "t").then_some(value))
            .ok_or(WebhookError::Forged("the signature has no time"))?;
        let seconds: i64 = time
            .parse()
            .map_err(|_| WebhookError::Forged("the signature's time is no number"))?;
        let genuine = parts()
            .filter_map(|(name, value)| (name == "v1").then(|| from_hex(value))?)
            .any(|signature| {
                self.secrets
                    .iter()
                    .any(|secret| mac(secret, time, request.body).verify_slice(&signature).is_ok())
            });
        if !genuine {
            return Err(WebhookError::Forged("no secret makes this signature"));
        }
        let age = now.as_second().saturating_sub(seconds);
        if age > TOLERANCE_SECONDS {
            return Err(WebhookError::Forged("the signature is too old"));
        }
        if age < -TOLERANCE_SECONDS {
            return Err(WebhookError::Forged("the signature comes from the future"));
        }
        Ok(())
    }

    fn read(&self, body: &[u8]) -> Result<BillingEvent, WebhookError> {
        let envelope: Envelope<'_> =
            serde_json::from_slice(body).map_err(|_| WebhookError::Malformed("it is not an event"))?;
        if envelope.object != "event" {
            return Err(WebhookError::Malformed("it is a thin event, which says nothing"));
        }
        if envelope.livemode != self.live {
            return Err(WebhookError::Malformed("it is of the other mode, test or live"));
        }
        let created = Timestamp::from_second(envelope.created)
            .map_err(|_| WebhookError::Malformed("its time is none"))?;
        let mut event = BillingEvent::new(BillingEventId::new(envelope.id), created, kind(envelope.kind));
        let object = envelope.data.object.get();
        event.snapshot = snapshot(&event.kind, object);
        point(&mut event, object);
        Ok(event)
    }
}

/// The object stays raw until the type is known.
#[derive(Deserialize)]
struct Envelope<'a> {
    id: String,
    #[serde(default)]
    object: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    #[serde(default)]
    livemode: bool,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: &'a RawValue,
}

fn kind(name: String) -> BillingEventKind {
    use BillingEventKind as Kind;
    match &*name {
        "checkout.session.completed" => Kind::CheckoutCompleted,
        "checkout.session.expired" => Kind::CheckoutExpired,
        "checkout.session.async_payment_succeeded" => Kind::CheckoutPaid,
        "checkout.session.async_payment_failed" => Kind::CheckoutFailed,
        "customer.subscription.created" => Kind::SubscriptionCreated,
        "customer.subscription.updated"
        | "customer.subscription.pending_update_applied"
        | "customer.subscription.pending_update_expired" => Kind::SubscriptionUpdated,
        "customer.subscription.deleted" => Kind::SubscriptionEnded,
        "customer.subscription.paused" => Kind::SubscriptionPaused,
        "customer.subscription.resumed" => Kind::SubscriptionResumed,
        "customer.subscription.trial_will_end" => Kind::TrialEnding,
        "invoice.created" => Kind::InvoiceCreated,
        "invoice.finalized" => Kind::InvoiceFinalized,
        "invoice.paid" => Kind::InvoicePaid,
        "invoice.payment_failed" => Kind::InvoiceFailed,
        "invoice.payment_action_required" => Kind::InvoiceActionRequired,
        "invoice.finalization_failed" => Kind::InvoiceNotFinalized,
        "invoice.upcoming" => Kind::InvoiceUpcoming,
        "invoice.voided" => Kind::InvoiceVoided,
        "invoice.marked_uncollectible" => Kind::InvoiceUncollectible,
        "customer.created" | "customer.updated" => Kind::CustomerUpdated,
        "customer.deleted" => Kind::CustomerDeleted,
        "payment_method.attached" | "payment_method.automatically_updated" => Kind::PaymentMethodAttached,
        "setup_intent.succeeded" => Kind::CardSetUp,
        "charge.refunded" | "refund.created" => Kind::Refunded,
        "charge.dispute.created" => Kind::Disputed,
        _ => Kind::Other(name),
    }
}

/// What the object says, when it says it in a way that can be read: endpoints keep the version that they were made
/// with.
fn snapshot(kind: &BillingEventKind, object: &str) -> BillingSnapshot {
    use BillingEventKind as Kind;
    fn read<W: DeserializeOwned, T: From<W>>(
        object: &str,
        wrap: fn(Box<T>) -> BillingSnapshot,
    ) -> BillingSnapshot {
        match serde_json::from_str::<W>(object) {
            Ok(wire) => wrap(Box::new(wire.into())),
            Err(error) => {
                tracing::warn!(%error, "the object of a webhook cannot be read; it is fetched instead");
                BillingSnapshot::None
            }
        }
    }
    match kind {
        Kind::SubscriptionCreated
        | Kind::SubscriptionUpdated
        | Kind::SubscriptionEnded
        | Kind::SubscriptionPaused
        | Kind::SubscriptionResumed
        | Kind::TrialEnding => {
            read::<Subscription, BillingSubscription>(object, BillingSnapshot::Subscription)
        }
        Kind::InvoiceCreated
        | Kind::InvoiceFinalized
        | Kind::InvoicePaid
        | Kind::InvoiceFailed
        | Kind::InvoiceActionRequired
        | Kind::InvoiceNotFinalized
        | Kind::InvoiceUpcoming
        | Kind::InvoiceVoided
        | Kind::InvoiceUncollectible => read::<Invoice, BillingInvoice>(object, BillingSnapshot::Invoice),
        Kind::CheckoutCompleted | Kind::CheckoutExpired | Kind::CheckoutPaid | Kind::CheckoutFailed => {
            read::<Checkout, CheckoutSession>(object, BillingSnapshot::Checkout)
        }
        Kind::CustomerUpdated | Kind::CustomerDeleted => {
            read::<Customer, BillingCustomer>(object, BillingSnapshot::Customer)
        }
        _ => BillingSnapshot::None,
    }
}

/// Whom and what an event concerns, read from whatever object it brings.
fn point(event: &mut BillingEvent, object: &str) {
    let Ok(object) = serde_json::from_str::<Value>(object) else {
        return;
    };
    let text = |value: &Value| value.as_str().filter(|it| !it.is_empty()).map(str::to_owned);
    let linked = |pointer: &str| {
        let link: Link = serde_json::from_value(object.pointer(pointer)?.clone()).ok()?;
        Some(link.into_id()).filter(|id| !id.is_empty())
    };
    let own = |name: &str| (object["object"] == name).then(|| text(&object["id"]))?;
    event.customer = own("customer")
        .or_else(|| linked("/customer"))
        .map(ProviderCustomerId::new);
    event.subscription = own("subscription")
        .or_else(|| linked("/subscription"))
        .or_else(|| linked("/parent/subscription_details/subscription"))
        .map(ProviderSubscriptionId::new);
    event.invoice = own("invoice")
        .or_else(|| linked("/invoice"))
        .map(ProviderInvoiceId::new);
    event.payment_method = own("payment_method")
        .or_else(|| linked("/payment_method"))
        .map(PaymentMethodId::new);
    event.tenant = text(&object["metadata"][TENANT])
        .or_else(|| text(&object["parent"]["subscription_details"]["metadata"][TENANT]))
        .or_else(|| text(&object["client_reference_id"]));
}

/// The value of [`SIGNATURE_HEADER`] for `body`, as Stripe would make it.
pub fn sign_for_tests(secret: &SecretString, timestamp: Timestamp, body: &[u8]) -> String {
    let time = timestamp.as_second().to_string();
    let signature = mac(secret, &time, body).finalize().into_bytes();
    let hex = signature.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string can be written to");
        hex
    });
    format!("t={time},v1={hex}")
}

/// The key is the secret's text as it was given, `whsec_` included.
fn mac(secret: &SecretString, time: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes keys of every length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
        })
        .collect()
}
