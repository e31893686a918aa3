//! Subscriptions (pages `api/subscriptions`, `billing/subscriptions/overview`).

use voice_saas_core::provider::{
    ErrorKind, ProviderError,
    billing::{
        BillingSubscription, Cancellation, MissingCard, Operation, PaymentMethodId, ProviderCustomerId,
        ProviderSubscriptionId, SubscriptionOrder, SubscriptionStatus, Trial,
    },
    telephony::ProviderPage,
};

use super::{
    api::{Api, Form, error, key, segment},
    wire::{OPERATION, PLAN, Subscription, TENANT},
};
use crate::http::Request;

const FIND: &str = "find a subscription";
const LIST: &str = "list subscriptions";
const SUBSCRIPTIONS: &str = "/v1/subscriptions";

/// `error_if_incomplete` makes a declined first payment a plain refusal that leaves nothing behind.
pub(super) async fn create(
    api: &Api,
    order: &SubscriptionOrder,
) -> Result<BillingSubscription, ProviderError> {
    let card = order.payment_method.as_ref().map(PaymentMethodId::as_str);
    let mut form = Form::new()
        .set("customer", &order.customer)
        .set("payment_behavior", "error_if_incomplete")
        .set("payment_settings[save_default_payment_method]", "on_subscription")
        .set("billing_mode[type]", "flexible")
        .maybe("default_payment_method", card)
        .with(|form| trial(form, "", order.trial.as_ref()))
        .set(format!("metadata[{TENANT}]"), order.tenant)
        .set(format!("metadata[{OPERATION}]"), &order.operation)
        .set(format!("metadata[{PLAN}]"), &order.plan);
    for (n, price) in order.prices.iter().enumerate() {
        form = form.set(format!("items[{n}][price]"), price);
    }
    let of = [order.customer.as_str(), card.unwrap_or_default()];
    let key = key("create_subscription", &order.operation, &of);
    let request = Request::post("create a subscription", SUBSCRIPTIONS);
    let made: Subscription = api.act(request, form, key).await?;
    Ok(made.into())
}

/// The classic trial fields, below `prefix` in brackets where there is one.
pub(super) fn trial(form: Form, prefix: &str, trial: Option<&Trial>) -> Form {
    let Some(trial) = trial else { return form };
    let name = |name: &str, rest: &str| {
        if prefix.is_empty() {
            format!("{name}{rest}")
        } else {
            format!("{prefix}[{name}]{rest}")
        }
    };
    let then = match trial.missing_card {
        MissingCard::Cancel => "cancel",
        MissingCard::Pause => "pause",
        MissingCard::Invoice => "create_invoice",
    };
    form.set(name("trial_period_days", ""), trial.days).set(
        name("trial_settings", "[end_behavior][missing_payment_method]"),
        then,
    )
}

/// Ended ones too: what was made and has ended since must not be made again.
pub(super) async fn find(
    api: &Api,
    customer: &ProviderCustomerId,
    operation: &Operation,
) -> Result<Option<BillingSubscription>, ProviderError> {
    let filter = Form::new().set("customer", customer).set("status", "all");
    let found: Vec<Subscription> = api.all(FIND, SUBSCRIPTIONS, &filter).await?;
    Ok(found
        .into_iter()
        .map(BillingSubscription::from)
        .find(|it| it.operation.as_deref() == Some(operation.id())))
}

pub(super) async fn fetch(api: &Api, id: &ProviderSubscriptionId) -> Result<Subscription, ProviderError> {
    api.get(Request::get("fetch a subscription", path(id))).await
}

pub(super) async fn list(
    api: &Api,
    page: Option<&str>,
) -> Result<ProviderPage<BillingSubscription>, ProviderError> {
    let filter = Form::new().set("status", "all");
    let page: ProviderPage<Subscription> = api.page(LIST, SUBSCRIPTIONS, &filter, page).await?;
    Ok(ProviderPage {
        items: page.items.into_iter().map(Into::into).collect(),
        next: page.next,
    })
}

pub(super) async fn cancel(
    api: &Api,
    id: &ProviderSubscriptionId,
    when: Cancellation,
) -> Result<BillingSubscription, ProviderError> {
    const CANCEL: &str = "cancel a subscription";
    let answer: Result<Subscription, _> = match when {
        Cancellation::Now => api.get(Request::delete(CANCEL, path(id))).await,
        Cancellation::AtPeriodEnd => {
            let form = Form::new().set("cancel_at_period_end", true);
            api.set(Request::post(CANCEL, path(id)), form).await
        }
    };
    let refused = match answer {
        Ok(subscription) => return Ok(subscription.into()),
        Err(error) => error,
    };
    // How Stripe refuses depends on how it ended; that it ended is what was wanted.
    let about_state = matches!(
        refused.kind(),
        ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Invalid
    );
    if !about_state {
        return Err(refused);
    }
    match fetch(api, id).await.map(BillingSubscription::from) {
        Ok(subscription) if subscription.status.is_final() => Ok(subscription),
        _ => Err(refused),
    }
}

/// Resuming starts a new period, which is paid at once.
pub(super) async fn reactivate(
    api: &Api,
    id: &ProviderSubscriptionId,
) -> Result<BillingSubscription, ProviderError> {
    const REACTIVATE: &str = "reactivate a subscription";
    let found = fetch(api, id).await?;
    let answer: Subscription = match SubscriptionStatus::from(found.status.clone()) {
        status if status.is_final() => {
            return Err(error(REACTIVATE, ErrorKind::Conflict, "the subscription ended"));
        }
        SubscriptionStatus::Paused => {
            let form = Form::new()
                .set("billing_cycle_anchor[type]", "now")
                .set("payment_behavior", "resume_on_payment_attempt");
            let request = Request::post(REACTIVATE, format!("{}/resume", path(id)));
            api.set(request, form).await?
        }
        _ if found.cancel_at_period_end => {
            let form = Form::new().set("cancel_at_period_end", false);
            api.set(Request::post(REACTIVATE, path(id)), form).await?
        }
        _ => found,
    };
    Ok(answer.into())
}

pub(super) fn path(id: &ProviderSubscriptionId) -> String {
    format!("{SUBSCRIPTIONS}/{}", segment(id.as_str()))
}
