//! Invoices and the usage that goes onto them (pages `api/invoices`, `api/billing/meter-event`).

use voice_saas_core::provider::{
    ErrorKind, ProviderError,
    billing::{BillingInvoice, InvoiceStatus, ProviderCustomerId, ProviderInvoiceId, UsageReport},
    telephony::ProviderPage,
};

use super::{
    api::{Api, Form, segment},
    catalogue::{CUSTOMER_KEY, VALUE_KEY},
    wire::{Anything, Invoice},
};
use crate::http::Request;

const LIST: &str = "list invoices";

/// An invoice can be paid once, whoever asks for it how often.
pub(super) async fn pay(api: &Api, id: &ProviderInvoiceId) -> Result<BillingInvoice, ProviderError> {
    const PAY: &str = "pay an invoice";
    let path = format!("/v1/invoices/{}", segment(id.as_str()));
    let request = Request::post(PAY, format!("{path}/pay"));
    let refused = match api.set::<Invoice>(request, Form::new()).await {
        Ok(invoice) => return Ok(invoice.into()),
        Err(error) => error,
    };
    if !matches!(refused.kind(), ErrorKind::Conflict | ErrorKind::Invalid) {
        return Err(refused);
    }
    let found: Invoice = api.get(Request::get(PAY, path)).await?;
    let found = BillingInvoice::from(found);
    match found.status {
        InvoiceStatus::Paid => Ok(found),
        InvoiceStatus::Void | InvoiceStatus::Uncollectible => Err(super::api::error(
            PAY,
            ErrorKind::Conflict,
            "the invoice is no longer to be paid",
        )),
        _ => Err(refused),
    }
}

pub(super) async fn list(
    api: &Api,
    customer: &ProviderCustomerId,
    page: Option<&str>,
) -> Result<ProviderPage<BillingInvoice>, ProviderError> {
    let filter = Form::new().set("customer", customer);
    let page: ProviderPage<Invoice> = api.page(LIST, "/v1/invoices", &filter, page).await?;
    Ok(ProviderPage {
        items: page.items.into_iter().map(Into::into).collect(),
        next: page.next,
    })
}

/// The identifier is the key: Stripe knows it for at least a day.
pub(super) async fn report_usage(api: &Api, report: &UsageReport) -> Result<(), ProviderError> {
    let form = Form::new()
        .set("event_name", &report.event_name)
        .set(format!("payload[{CUSTOMER_KEY}]"), &report.customer)
        .set(format!("payload[{VALUE_KEY}]"), report.quantity)
        .set("identifier", &report.identifier)
        .set("timestamp", report.at.as_second());
    let request = Request::post("report usage", "/v1/billing/meter_events");
    match api.set::<Anything>(request, form).await {
        Ok(_) => Ok(()),
        // It has this report already.
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        Err(error) => Err(error),
    }
}
