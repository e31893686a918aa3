//! Stripe Billing: customers, subscriptions, Checkout, the customer portal, meters, invoices, webhooks.
//!
//! A thin client of its own, written for API version [`API_VERSION`]. Every item names the page of `docs.stripe.com`
//! that it follows. Answers are read leniently: Stripe adds values to old versions too, and webhooks are written in
//! the version of their endpoint, not in ours.
//!
//! ```
//! use voice_saas_core::provider::billing::Billing;
//! use voice_saas_providers::stripe::Stripe;
//!
//! let stripe = Stripe::builder("sk_test_key".into()).with_webhook_secret("whsec_test".into()).build()?;
//! assert_eq!(stripe.name().as_str(), "stripe");
//! # Ok::<(), voice_saas_core::provider::ProviderError>(())
//! ```
//!
//! Two things are to be set in the dashboard, because the API has no word for them: which means of payment are offered,
//! and what follows the last failed attempt to collect an invoice.

mod api;
mod builder;
mod catalogue;
mod customer;
mod error;
mod invoice;
mod minor;
mod plan;
mod session;
mod subscription;
#[cfg(test)]
mod tests;
mod webhook;
mod wire;

use async_trait::async_trait;
use voice_saas_core::{
    id::TenantId,
    provider::{
        ProviderError, ProviderName,
        billing::{
            Billing, BillingCustomer, BillingInvoice, BillingSubscription, BillingWebhook, Cancellation,
            CardSetup, CardSetupOrder, ChangePreview, CheckoutId, CheckoutOrder, CheckoutSession,
            CustomerOrder, Operation, PaymentMethod, PaymentMethodOrder, PlanChange, PlanPrice, PortalOrder,
            PortalSession, ProviderCustomerId, ProviderInvoiceId, ProviderSubscriptionId, PublishedPrice,
            SubscriptionOrder, UsageReport,
        },
        telephony::{ProviderPage, Removal},
    },
    secret::SecretString,
};

use self::{api::Api, webhook::Webhook};

pub use api::API_VERSION;
pub use builder::StripeBuilder;
pub use webhook::{SIGNATURE_HEADER, sign_for_tests};

/// The name under which everything of Stripe's is kept.
pub const NAME: ProviderName = ProviderName::new("stripe");

/// One Stripe account, in live or in test mode.
///
/// Cheap to clone; clones share connections and limits.
#[derive(Debug, Clone)]
pub struct Stripe {
    api: Api,
    webhook: Webhook,
}

impl Stripe {
    /// Begins with the account's secret key (`sk_…`), or a restricted one (`rk_…`). Its prefix says the mode.
    pub fn builder(secret_key: SecretString) -> StripeBuilder {
        StripeBuilder::new(secret_key)
    }
}

#[async_trait]
impl Billing for Stripe {
    fn name(&self) -> ProviderName {
        NAME
    }

    fn webhook(&self) -> &dyn BillingWebhook {
        &self.webhook
    }

    async fn publish(&self, prices: &[PlanPrice]) -> Result<Vec<PublishedPrice>, ProviderError> {
        catalogue::publish(&self.api, prices).await
    }

    async fn create_customer(&self, order: &CustomerOrder) -> Result<BillingCustomer, ProviderError> {
        customer::create(&self.api, order).await
    }

    async fn find_customer(
        &self,
        tenant: TenantId,
        email: &str,
    ) -> Result<Option<BillingCustomer>, ProviderError> {
        customer::find(&self.api, tenant, email).await
    }

    async fn customer(&self, id: &ProviderCustomerId) -> Result<BillingCustomer, ProviderError> {
        customer::fetch(&self.api, id).await
    }

    async fn delete_customer(&self, id: &ProviderCustomerId) -> Result<Removal, ProviderError> {
        customer::delete(&self.api, id).await
    }

    async fn attach_payment_method(
        &self,
        order: &PaymentMethodOrder,
    ) -> Result<PaymentMethod, ProviderError> {
        customer::attach(&self.api, order).await
    }

    async fn payment_methods(
        &self,
        customer: &ProviderCustomerId,
    ) -> Result<Vec<PaymentMethod>, ProviderError> {
        customer::payment_methods(&self.api, customer).await
    }

    async fn set_up_card(&self, order: &CardSetupOrder) -> Result<CardSetup, ProviderError> {
        customer::set_up_card(&self.api, order).await
    }

    async fn create_subscription(
        &self,
        order: &SubscriptionOrder,
    ) -> Result<BillingSubscription, ProviderError> {
        subscription::create(&self.api, order).await
    }

    async fn find_subscription(
        &self,
        customer: &ProviderCustomerId,
        operation: &Operation,
    ) -> Result<Option<BillingSubscription>, ProviderError> {
        subscription::find(&self.api, customer, operation).await
    }

    async fn subscription(&self, id: &ProviderSubscriptionId) -> Result<BillingSubscription, ProviderError> {
        Ok(subscription::fetch(&self.api, id).await?.into())
    }

    async fn list_subscriptions(
        &self,
        page: Option<String>,
    ) -> Result<ProviderPage<BillingSubscription>, ProviderError> {
        subscription::list(&self.api, page.as_deref()).await
    }

    async fn preview_change(&self, change: &PlanChange) -> Result<ChangePreview, ProviderError> {
        plan::preview(&self.api, change).await
    }

    async fn change_plan(&self, change: &PlanChange) -> Result<BillingSubscription, ProviderError> {
        plan::change(&self.api, change).await
    }

    async fn cancel(
        &self,
        id: &ProviderSubscriptionId,
        when: Cancellation,
    ) -> Result<BillingSubscription, ProviderError> {
        subscription::cancel(&self.api, id, when).await
    }

    async fn reactivate(&self, id: &ProviderSubscriptionId) -> Result<BillingSubscription, ProviderError> {
        subscription::reactivate(&self.api, id).await
    }

    async fn pay_invoice(&self, id: &ProviderInvoiceId) -> Result<BillingInvoice, ProviderError> {
        invoice::pay(&self.api, id).await
    }

    async fn invoices(
        &self,
        customer: &ProviderCustomerId,
        page: Option<String>,
    ) -> Result<ProviderPage<BillingInvoice>, ProviderError> {
        invoice::list(&self.api, customer, page.as_deref()).await
    }

    async fn begin_checkout(&self, order: &CheckoutOrder) -> Result<CheckoutSession, ProviderError> {
        session::begin_checkout(&self.api, order).await
    }

    async fn checkout(&self, id: &CheckoutId) -> Result<CheckoutSession, ProviderError> {
        session::checkout(&self.api, id).await
    }

    async fn expire_checkout(&self, id: &CheckoutId) -> Result<CheckoutSession, ProviderError> {
        session::expire_checkout(&self.api, id).await
    }

    async fn open_portal(&self, order: &PortalOrder) -> Result<PortalSession, ProviderError> {
        session::open_portal(&self.api, order).await
    }

    async fn report_usage(&self, report: &UsageReport) -> Result<(), ProviderError> {
        invoice::report_usage(&self.api, report).await
    }
}
