//! Mocks of the ports, for injecting one failure or for proving that a call is made once or never. For anything
//! that keeps state, use the emulator.
//!
//! ```
//! use voice_saas_core::{
//!     provider::{
//!         ErrorKind, ProviderError, ProviderName,
//!         telephony::{CallProvider, ProviderCallId},
//!     },
//!     testing::mock::MockCallProvider,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut calls = MockCallProvider::new();
//! calls.expect_hang_up().once().returning(|_| {
//!     Err(ProviderError::new(ProviderName::new("twilio"), "hang up", ErrorKind::TimedOut))
//! });
//! assert!(calls.hang_up(&ProviderCallId::new("CA1")).await.is_err());
//! # }
//! ```

use async_trait::async_trait;

use crate::{
    event::{DomainEvent, EventSink},
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
        telephony::{CallProvider, ProviderCall, ProviderCallId, ProviderPage, Removal},
    },
};

mockall::mock! {
    /// Whoever collects the money.
    #[derive(Debug)]
    pub Billing {}

    #[async_trait]
    impl Billing for Billing {
        fn name(&self) -> ProviderName;
        fn webhook(&self) -> &dyn BillingWebhook;
        async fn publish(&self, prices: &[PlanPrice]) -> Result<Vec<PublishedPrice>, ProviderError>;
        async fn create_customer(&self, order: &CustomerOrder) -> Result<BillingCustomer, ProviderError>;
        async fn find_customer(
            &self,
            tenant: TenantId,
            email: &str,
        ) -> Result<Option<BillingCustomer>, ProviderError>;
        async fn customer(&self, id: &ProviderCustomerId) -> Result<BillingCustomer, ProviderError>;
        async fn delete_customer(&self, id: &ProviderCustomerId) -> Result<Removal, ProviderError>;
        async fn attach_payment_method(
            &self,
            order: &PaymentMethodOrder,
        ) -> Result<PaymentMethod, ProviderError>;
        async fn payment_methods(
            &self,
            customer: &ProviderCustomerId,
        ) -> Result<Vec<PaymentMethod>, ProviderError>;
        async fn set_up_card(&self, order: &CardSetupOrder) -> Result<CardSetup, ProviderError>;
        async fn create_subscription(
            &self,
            order: &SubscriptionOrder,
        ) -> Result<BillingSubscription, ProviderError>;
        async fn find_subscription(
            &self,
            customer: &ProviderCustomerId,
            operation: &Operation,
        ) -> Result<Option<BillingSubscription>, ProviderError>;
        async fn subscription(
            &self,
            id: &ProviderSubscriptionId,
        ) -> Result<BillingSubscription, ProviderError>;
        async fn list_subscriptions(
            &self,
            page: Option<String>,
        ) -> Result<ProviderPage<BillingSubscription>, ProviderError>;
        async fn preview_change(&self, change: &PlanChange) -> Result<ChangePreview, ProviderError>;
        async fn change_plan(&self, change: &PlanChange) -> Result<BillingSubscription, ProviderError>;
        async fn cancel(
            &self,
            id: &ProviderSubscriptionId,
            when: Cancellation,
        ) -> Result<BillingSubscription, ProviderError>;
        async fn reactivate(
            &self,
            id: &ProviderSubscriptionId,
        ) -> Result<BillingSubscription, ProviderError>;
        async fn pay_invoice(&self, id: &ProviderInvoiceId) -> Result<BillingInvoice, ProviderError>;
        async fn invoices(
            &self,
            customer: &ProviderCustomerId,
            page: Option<String>,
        ) -> Result<ProviderPage<BillingInvoice>, ProviderError>;
        async fn begin_checkout(&self, order: &CheckoutOrder) -> Result<CheckoutSession, ProviderError>;
        async fn checkout(&self, id: &CheckoutId) -> Result<CheckoutSession, ProviderError>;
        async fn expire_checkout(&self, id: &CheckoutId) -> Result<CheckoutSession, ProviderError>;
        async fn open_portal(&self, order: &PortalOrder) -> Result<PortalSession, ProviderError>;
        async fn report_usage(&self, report: &UsageReport) -> Result<(), ProviderError>;
    }
}

mockall::mock! {
    /// Single calls at a carrier.
    #[derive(Debug)]
    pub CallProvider {}

    #[async_trait]
    impl CallProvider for CallProvider {
        async fn fetch(&self, id: &ProviderCallId) -> Result<ProviderCall, ProviderError>;
        async fn hang_up(&self, id: &ProviderCallId) -> Result<Removal, ProviderError>;
    }
}

mockall::mock! {
    /// Who wants to know.
    #[derive(Debug)]
    pub EventSink {}

    #[async_trait]
    impl EventSink for EventSink {
        async fn deliver(
            &self,
            tenant: TenantId,
            event: &DomainEvent,
        ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
    }
}
