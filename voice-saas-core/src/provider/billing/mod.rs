//! The port to whoever collects the money: customers, subscriptions, sessions on the provider's own pages, usage,
//! invoices, webhooks.
//!
//! The provider's status of a subscription is kept as the provider said it; what access follows from it is decided
//! elsewhere. Nothing here is a tenant's row: a provider's object carries our tenant's id as a tag, and whoever reads
//! it back holds it against the tenant that it belongs to.
//!
//! To write one, implement [`Billing`] and run the conformance suite of [`testing`](crate::testing).

mod catalogue;
mod customer;
mod invoice;
mod operation;
mod session;
mod subscription;
mod usage;
mod webhook;

use std::fmt;

use async_trait::async_trait;

use super::{
    ProviderError, ProviderName,
    telephony::{ProviderPage, Removal, opaque_ids},
};
use crate::id::TenantId;

pub use catalogue::{BillingPeriod, CatalogueError, Charge, Meter, PeriodUnit, PlanPrice, PublishedPrice};
pub use customer::{
    BillingCustomer, Card, CardSetup, CardSetupOrder, CustomerOrder, PaymentMethod, PaymentMethodOrder,
};
pub use invoice::{BillingInvoice, InvoiceStatus};
pub use operation::{Operation, OperationError};
pub use session::{
    CheckoutOrder, CheckoutPayment, CheckoutSession, CheckoutStatus, PortalOrder, PortalPage, PortalSession,
};
pub use subscription::{
    BillingSubscription, Cancellation, ChangePreview, MissingCard, PlanChange, Proration, ServicePeriod,
    SubscriptionItem, SubscriptionOrder, SubscriptionStatus, Trial,
};
pub use usage::UsageReport;
pub use webhook::{BillingEvent, BillingEventKind, BillingSnapshot, BillingWebhook};

opaque_ids! {
    /// A billing provider's id of a customer, such as Stripe's `cus_…`.
    ProviderCustomerId;
    /// A billing provider's id of a card or another means of payment, such as Stripe's `pm_…`.
    PaymentMethodId;
    /// A billing provider's id of a price, such as Stripe's `price_…`.
    ProviderPriceId;
    /// A billing provider's id of a subscription, such as Stripe's `sub_…`.
    ProviderSubscriptionId;
    /// A billing provider's id of an invoice, such as Stripe's `in_…`.
    ProviderInvoiceId;
    /// A billing provider's id of a checkout, such as Stripe's `cs_…`.
    CheckoutId;
    /// A billing provider's id of an event, such as Stripe's `evt_…`. The same event may come more than once.
    BillingEventId;
}

/// Whoever collects the money.
///
/// An act that takes an [`Operation`] is done once however often it is asked for, within the time for which the
/// provider remembers (Stripe: at least a day). After that, and after every failure whose recovery is
/// [`Reconcile`](super::Recovery::Reconcile), the caller looks first: [`find_customer`](Self::find_customer),
/// [`find_subscription`](Self::find_subscription). The other acts name the wanted state and may be repeated.
///
/// A card that was declined is [`ErrorKind::PaymentDeclined`](super::ErrorKind), and
/// [`ProviderError::decline`] says why.
#[async_trait]
pub trait Billing: fmt::Debug + Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> ProviderName;

    /// Its webhooks.
    fn webhook(&self) -> &dyn BillingWebhook;

    /// Makes what is missing of these prices, with their products and meters, and says where each of them is; one for
    /// each that was given, in the same order. A price whose amount changed is made anew and takes the lookup key
    /// over; subscriptions to the old one go on.
    ///
    /// # Errors
    /// `Invalid` for an amount that the provider's currency cannot hold.
    async fn publish(&self, prices: &[PlanPrice]) -> Result<Vec<PublishedPrice>, ProviderError>;

    /// Makes a customer that carries the tenant's id.
    ///
    /// # Errors
    /// `PaymentDeclined` when the order brings a card that cannot be attached; no customer is made then.
    async fn create_customer(&self, order: &CustomerOrder) -> Result<BillingCustomer, ProviderError>;

    /// The tenant's customer, when there is one with this e-mail address. For looking after an ambiguous failure: it
    /// reads no index that lags behind.
    async fn find_customer(
        &self,
        tenant: TenantId,
        email: &str,
    ) -> Result<Option<BillingCustomer>, ProviderError>;

    /// A customer.
    ///
    /// # Errors
    /// `NotFound`, also for one that was deleted.
    async fn customer(&self, id: &ProviderCustomerId) -> Result<BillingCustomer, ProviderError>;

    /// Deletes a customer, and at once every subscription that it has.
    async fn delete_customer(&self, id: &ProviderCustomerId) -> Result<Removal, ProviderError>;

    /// Puts a card on file and makes it the one that pays.
    ///
    /// # Errors
    /// `PaymentDeclined` when the bank refuses.
    async fn attach_payment_method(&self, order: &PaymentMethodOrder)
    -> Result<PaymentMethod, ProviderError>;

    /// The means of payment on file.
    async fn payment_methods(
        &self,
        customer: &ProviderCustomerId,
    ) -> Result<Vec<PaymentMethod>, ProviderError>;

    /// Begins to take a card on our own page, by the provider's script; no card number reaches us.
    async fn set_up_card(&self, order: &CardSetupOrder) -> Result<CardSetup, ProviderError>;

    /// Makes a subscription that carries the tenant's id and the operation's. Without a trial the first period is paid
    /// at once.
    ///
    /// # Errors
    /// `PaymentDeclined`; no subscription is made then.
    async fn create_subscription(
        &self,
        order: &SubscriptionOrder,
    ) -> Result<BillingSubscription, ProviderError>;

    /// The customer's subscription that this operation made, whatever has become of it.
    async fn find_subscription(
        &self,
        customer: &ProviderCustomerId,
        operation: &Operation,
    ) -> Result<Option<BillingSubscription>, ProviderError>;

    /// A subscription as it is now.
    ///
    /// # Errors
    /// `NotFound`.
    async fn subscription(&self, id: &ProviderSubscriptionId) -> Result<BillingSubscription, ProviderError>;

    /// All subscriptions, those that ended too, newest first, page by page.
    async fn list_subscriptions(
        &self,
        page: Option<String>,
    ) -> Result<ProviderPage<BillingSubscription>, ProviderError>;

    /// What a change would cost now, without making it.
    async fn preview_change(&self, change: &PlanChange) -> Result<ChangePreview, ProviderError>;

    /// Changes what is subscribed to.
    ///
    /// # Errors
    /// `PaymentDeclined`; nothing is changed then. `Conflict` for a subscription that ended.
    async fn change_plan(&self, change: &PlanChange) -> Result<BillingSubscription, ProviderError>;

    /// Ends a subscription. One that ended already is given as it is.
    async fn cancel(
        &self,
        id: &ProviderSubscriptionId,
        when: Cancellation,
    ) -> Result<BillingSubscription, ProviderError>;

    /// Takes a cancellation at the period's end back, and lets a paused subscription go on. One that goes on already
    /// is given as it is.
    ///
    /// # Errors
    /// `Conflict` for a subscription that ended: a new one is made instead. `PaymentDeclined`.
    async fn reactivate(&self, id: &ProviderSubscriptionId) -> Result<BillingSubscription, ProviderError>;

    /// Tries to collect an open invoice now, after a new card was put on file. One that is paid is given as it is.
    ///
    /// # Errors
    /// `PaymentDeclined`, `Conflict` for an invoice that is no longer to be paid.
    async fn pay_invoice(&self, id: &ProviderInvoiceId) -> Result<BillingInvoice, ProviderError>;

    /// The customer's invoices, newest first, page by page.
    async fn invoices(
        &self,
        customer: &ProviderCustomerId,
        page: Option<String>,
    ) -> Result<ProviderPage<BillingInvoice>, ProviderError>;

    /// Opens a page of the provider's where the customer subscribes. At most one may be open for a tenant, or two
    /// subscriptions can be bought: the old one is [expired](Self::expire_checkout) first.
    async fn begin_checkout(&self, order: &CheckoutOrder) -> Result<CheckoutSession, ProviderError>;

    /// A checkout as it is now. That the customer came back from it proves nothing; this does.
    async fn checkout(&self, id: &CheckoutId) -> Result<CheckoutSession, ProviderError>;

    /// Closes a checkout. One that is closed or completed already is given as it is.
    async fn expire_checkout(&self, id: &CheckoutId) -> Result<CheckoutSession, ProviderError>;

    /// Opens a page of the provider's where the customer changes cards and the subscription. Good once, for a short
    /// time.
    async fn open_portal(&self, order: &PortalOrder) -> Result<PortalSession, ProviderError>;

    /// Reports usage. The provider drops a report whose identifier it has seen, for a limited time (Stripe: at least a
    /// day), so a report that was acknowledged is never sent again.
    async fn report_usage(&self, report: &UsageReport) -> Result<(), ProviderError>;
}
