//! Customers and their cards (pages `api/customers`, `api/payment_methods`, `api/setup_intents`).

use voice_saas_core::{
    id::TenantId,
    provider::{
        ErrorKind, ProviderError,
        billing::{
            BillingCustomer, CardSetup, CardSetupOrder, CustomerOrder, PaymentMethod, PaymentMethodId,
            PaymentMethodOrder, ProviderCustomerId,
        },
        telephony::Removal,
    },
};

use super::{
    api::{Api, Form, error, key, segment},
    wire::{Anything, Customer, Method, OPERATION, SetupIntent, TENANT},
};
use crate::http::Request;

const FIND: &str = "find a customer";
const FETCH: &str = "fetch a customer";

pub(super) async fn create(api: &Api, order: &CustomerOrder) -> Result<BillingCustomer, ProviderError> {
    let card = order.payment_method.as_ref().map(PaymentMethodId::as_str);
    let form = Form::new()
        .set("email", &order.email)
        .maybe("name", order.name.as_deref())
        .maybe("payment_method", card)
        .maybe("invoice_settings[default_payment_method]", card)
        .set(format!("metadata[{TENANT}]"), order.tenant)
        .set(format!("metadata[{OPERATION}]"), &order.operation);
    // With another card it is another act: the first one made nothing, and Stripe remembers that it failed.
    let tenant = order.tenant.to_string();
    let of = [&*tenant, card.unwrap_or_default()];
    let key = key("create_customer", &order.operation, &of);
    let request = Request::post("create a customer", "/v1/customers");
    let made: Customer = api.act(request, form, key).await?;
    Ok(made.into())
}

/// By the address, which is matched exactly and at once; the search index lags behind by minutes.
pub(super) async fn find(
    api: &Api,
    tenant: TenantId,
    email: &str,
) -> Result<Option<BillingCustomer>, ProviderError> {
    let filter = Form::new().set("email", email);
    let found: Vec<Customer> = api.all(FIND, "/v1/customers", &filter).await?;
    let tenant = tenant.to_string();
    Ok(found
        .into_iter()
        .map(BillingCustomer::from)
        .find(|customer| customer.tenant.as_deref() == Some(&*tenant)))
}

/// Stripe answers with a customer's shadow after it was deleted.
pub(super) async fn fetch(api: &Api, id: &ProviderCustomerId) -> Result<BillingCustomer, ProviderError> {
    let found: Customer = api.get(Request::get(FETCH, path(id))).await?;
    if found.deleted {
        return Err(error(FETCH, ErrorKind::NotFound, "the customer was deleted"));
    }
    Ok(found.into())
}

pub(super) async fn delete(api: &Api, id: &ProviderCustomerId) -> Result<Removal, ProviderError> {
    match api
        .get::<Anything>(Request::delete("delete a customer", path(id)))
        .await
    {
        Ok(_) => Ok(Removal::Removed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Removal::AlreadyGone),
        Err(error) => Err(error),
    }
}

/// The customer's default is set by the id in the answer: Stripe gives a test card an id of its own when it is
/// attached.
pub(super) async fn attach(api: &Api, order: &PaymentMethodOrder) -> Result<PaymentMethod, ProviderError> {
    let (customer, method) = (order.customer.as_str(), order.payment_method.as_str());
    let request = Request::post(
        "attach a card",
        format!("/v1/payment_methods/{}/attach", segment(method)),
    );
    let form = Form::new().set("customer", customer);
    let key = key("attach_card", &order.operation, &[customer, method]);
    let attached: PaymentMethod = match api.act::<Method>(request, form, key).await {
        Ok(attached) => attached.into(),
        // A card that was set up on our own page is attached already.
        Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Conflict) => {
            let there = payment_methods(api, &order.customer).await?;
            let there = there.into_iter().find(|it| it.id == order.payment_method);
            there.ok_or(error)?
        }
        Err(error) => return Err(error),
    };
    let form = Form::new().set("invoice_settings[default_payment_method]", &attached.id);
    let request = Request::post("set the default card", path(&order.customer));
    api.set::<Anything>(request, form).await?;
    Ok(attached)
}

pub(super) async fn payment_methods(
    api: &Api,
    customer: &ProviderCustomerId,
) -> Result<Vec<PaymentMethod>, ProviderError> {
    let path = format!("{}/payment_methods", path(customer));
    let found: Vec<Method> = api.all("list cards", &path, &Form::new()).await?;
    Ok(found.into_iter().map(PaymentMethod::from).collect())
}

pub(super) async fn set_up_card(api: &Api, order: &CardSetupOrder) -> Result<CardSetup, ProviderError> {
    const SET_UP: &str = "set up a card";
    let form = Form::new()
        .set("customer", &order.customer)
        .set("usage", "off_session")
        .set("automatic_payment_methods[enabled]", true)
        .set(format!("metadata[{TENANT}]"), order.tenant);
    let key = key("set_up_card", &order.operation, &[order.customer.as_str()]);
    let made: SetupIntent = api
        .act(Request::post(SET_UP, "/v1/setup_intents"), form, key)
        .await?;
    let secret = made
        .client_secret
        .ok_or_else(|| error(SET_UP, ErrorKind::UnexpectedAnswer, "there is no client secret"))?;
    Ok(CardSetup {
        id: made.id,
        client_secret: secret.into(),
    })
}

fn path(id: &ProviderCustomerId) -> String {
    format!("/v1/customers/{}", segment(id.as_str()))
}
