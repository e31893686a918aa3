//! Stripe's own pages: Checkout and the customer portal (pages `api/checkout/sessions`,
//! `api/customer_portal/sessions`).

use url::Url;
use voice_saas_core::provider::{
    ErrorKind, ProviderError,
    billing::{
        CheckoutId, CheckoutOrder, CheckoutSession, CheckoutStatus, PortalOrder, PortalPage, PortalSession,
    },
};

use super::{
    api::{Api, Form, error, key, segment},
    subscription,
    wire::{Checkout, OPERATION, PLAN, Portal, TENANT},
};
use crate::http::{Effect, Request};

/// The tags are the checkout's and the subscription's: Stripe copies neither to the other.
pub(super) async fn begin_checkout(
    api: &Api,
    order: &CheckoutOrder,
) -> Result<CheckoutSession, ProviderError> {
    let collect = match order.trial {
        Some(_) => "if_required",
        None => "always",
    };
    let mut form = Form::new()
        .set("mode", "subscription")
        .set("customer", &order.customer)
        .set("client_reference_id", order.tenant)
        .set("success_url", &order.success_url)
        .set("cancel_url", &order.cancel_url)
        .set("payment_method_collection", collect)
        .set("line_items[0][price]", &order.price)
        .set("line_items[0][quantity]", 1);
    for (n, price) in order.metered.iter().enumerate() {
        form = form.set(format!("line_items[{}][price]", n + 1), price);
    }
    for prefix in ["", "subscription_data"] {
        let tag = |name: &str| match prefix {
            "" => format!("metadata[{name}]"),
            _ => format!("{prefix}[metadata][{name}]"),
        };
        form = form
            .set(tag(TENANT), order.tenant)
            .set(tag(OPERATION), &order.operation)
            .set(tag(PLAN), &order.plan);
    }
    let form = subscription::trial(form, "subscription_data", order.trial.as_ref());
    let key = key("begin_checkout", &order.operation, &[order.customer.as_str()]);
    let request = Request::post("begin a checkout", "/v1/checkout/sessions");
    let session: Checkout = api.act(request, form, key).await?;
    Ok(session.into())
}

pub(super) async fn checkout(api: &Api, id: &CheckoutId) -> Result<CheckoutSession, ProviderError> {
    let session: Checkout = api.get(Request::get("fetch a checkout", path(id))).await?;
    Ok(session.into())
}

pub(super) async fn expire_checkout(api: &Api, id: &CheckoutId) -> Result<CheckoutSession, ProviderError> {
    let request = Request::post("expire a checkout", format!("{}/expire", path(id)));
    let refused = match api.set::<Checkout>(request, Form::new()).await {
        Ok(session) => return Ok(session.into()),
        Err(error) => error,
    };
    if !matches!(refused.kind(), ErrorKind::Conflict | ErrorKind::Invalid) {
        return Err(refused);
    }
    match checkout(api, id).await? {
        session if session.status == CheckoutStatus::Open => Err(refused),
        session => Ok(session),
    }
}

/// Each visit gets a session of its own, and one that nobody visits does no harm.
pub(super) async fn open_portal(api: &Api, order: &PortalOrder) -> Result<PortalSession, ProviderError> {
    const OPEN: &str = "open the portal";
    let form = Form::new()
        .set("customer", &order.customer)
        .set("return_url", &order.return_url)
        .maybe("configuration", api.portal_configuration.as_deref());
    let form = match &order.page {
        PortalPage::PaymentMethod => form.set("flow_data[type]", "payment_method_update"),
        PortalPage::Cancel(subscription) => form
            .set("flow_data[type]", "subscription_cancel")
            .set("flow_data[subscription_cancel][subscription]", subscription),
        _ => form,
    };
    let request = Request::post(OPEN, "/v1/billing_portal/sessions").effect(Effect::Read);
    let portal: Portal = api.set(request, form).await?;
    let url = Url::parse(&portal.url)
        .map_err(|_| error(OPEN, ErrorKind::UnexpectedAnswer, "the portal has no URL"))?;
    Ok(PortalSession { url })
}

fn path(id: &CheckoutId) -> String {
    format!("/v1/checkout/sessions/{}", segment(id.as_str()))
}
