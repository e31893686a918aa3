//! The conformance suite of [`Billing`].
//!
//! A provider's own tests say how to look at its account, and run every case on a fresh one:
//!
//! ```text
//! async fn fresh_account() -> MyAccount { … }
//! voice_saas_core::billing_conformance_tests!(fresh_account);
//! ```

mod customer;
mod plan;
mod subscription;

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    id::TenantId,
    money::{Currency, Money},
    provider::billing::{
        Billing, BillingCustomer, BillingInvoice, BillingPeriod, BillingSubscription, Charge, CustomerOrder,
        Meter, Operation, PaymentMethodId, PlanPrice, ProviderPriceId, SubscriptionOrder,
    },
};

pub use self::{customer::*, plan::*, subscription::*};

const DAY: Duration = Duration::from_hours(24);
const EMAIL: &str = "ada@example.com";

/// An act whose answer can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever tests an adapter knows how to lose each"
)]
pub enum Losable {
    /// Making a customer.
    Customer,
    /// Making a subscription.
    Subscription,
    /// Changing a plan.
    Change,
}

/// An account at a provider, empty, as a test sees it.
pub trait BillingAccount: Send + Sync {
    /// The adapter, which sends again nothing by itself.
    fn billing(&self) -> &dyn Billing;

    /// A tenant; another one each time.
    fn tenant(&self) -> TenantId;

    /// A card that always pays.
    fn good_card(&self) -> PaymentMethodId;

    /// A card that is refused when it is put on file, and the bank's word for it.
    fn refused_card(&self) -> (PaymentMethodId, &'static str);

    /// A card that is put on file and never pays.
    fn failing_card(&self) -> PaymentMethodId;

    /// The provider's time.
    fn now(&self) -> Timestamp;

    /// Moves the provider's time.
    fn advance(&self, by: Duration);

    /// Lets the next such act succeed without an answer.
    fn lose_answer(&self, act: Losable);
}

fn operation(id: &str) -> Operation {
    Operation::new(id).expect("an operation")
}

fn dollars(amount: i64) -> Money {
    Money::from_micros(amount * 1_000_000, Currency::USD)
}

fn flat(plan: &str, amount: i64) -> PlanPrice {
    PlanPrice {
        lookup_key: format!("{plan}_month"),
        plan: plan.to_owned(),
        plan_name: plan.to_uppercase(),
        charge: Charge::Flat(dollars(amount)),
        period: BillingPeriod::MONTH,
    }
}

fn metered() -> PlanPrice {
    PlanPrice {
        lookup_key: "survey_answers".to_owned(),
        charge: Charge::Metered {
            meter: Meter {
                event_name: "survey_answers".to_owned(),
                name: "Answers".to_owned(),
            },
            included: 10,
            unit: Money::from_micros(125_000, Currency::USD),
        },
        ..flat("survey", 0)
    }
}

async fn price(account: &dyn BillingAccount, price: PlanPrice) -> ProviderPriceId {
    let published = account
        .billing()
        .publish(&[price])
        .await
        .expect("the price is published");
    published[0].id.clone()
}

async fn customer(
    account: &dyn BillingAccount,
    card: Option<PaymentMethodId>,
) -> (TenantId, BillingCustomer) {
    let tenant = account.tenant();
    let mut order = CustomerOrder::new(tenant, operation("signup"), EMAIL);
    order.payment_method = card;
    let made = account
        .billing()
        .create_customer(&order)
        .await
        .expect("the customer is made");
    (tenant, made)
}

fn order(tenant: TenantId, customer: &BillingCustomer, price: &ProviderPriceId) -> SubscriptionOrder {
    SubscriptionOrder::new(
        tenant,
        customer.id.clone(),
        operation("subscribe"),
        "basic",
        vec![price.clone()],
    )
}

async fn subscribed(account: &dyn BillingAccount, order: &SubscriptionOrder) -> BillingSubscription {
    account
        .billing()
        .create_subscription(order)
        .await
        .expect("the subscription is made")
}

/// A customer with a card that pays, on the basic plan at 50 dollars.
async fn paying(account: &dyn BillingAccount) -> (BillingCustomer, BillingSubscription) {
    let basic = price(account, flat("basic", 50)).await;
    let (tenant, customer) = customer(account, Some(account.good_card())).await;
    let made = subscribed(account, &order(tenant, &customer, &basic)).await;
    (customer, made)
}

async fn now_is(account: &dyn BillingAccount, subscription: &BillingSubscription) -> BillingSubscription {
    account
        .billing()
        .subscription(&subscription.id)
        .await
        .expect("the subscription is there")
}

async fn invoices(account: &dyn BillingAccount, customer: &BillingCustomer) -> Vec<BillingInvoice> {
    let page = account.billing().invoices(&customer.id, None).await;
    page.expect("the invoices are listed").items
}

/// The account has no subscription but those expected.
async fn count(account: &dyn BillingAccount) -> usize {
    let (mut found, mut page) = (0, None);
    loop {
        let got = account
            .billing()
            .list_subscriptions(page)
            .await
            .expect("the list is given");
        found += got.items.len();
        if got.next.is_none() {
            return found;
        }
        page = got.next;
    }
}

/// Makes a `#[tokio::test]` of every case of the suite. Its argument is the name of an async function without arguments
/// that gives a fresh [`BillingAccount`](crate::testing::billing::BillingAccount).
#[macro_export]
macro_rules! billing_conformance_tests {
    ($fresh_account:ident) => {
        $crate::billing_conformance_tests! { $fresh_account;
            a_price_that_is_published_twice_is_made_once
            a_new_amount_is_a_new_price_under_the_same_key
            an_amount_that_no_invoice_can_hold_is_refused
            a_customer_is_made_once_and_found_by_its_tenant
            a_customer_without_an_answer_is_found
            a_refused_card_leaves_no_customer
            a_customer_that_is_deleted_is_gone
            a_card_that_is_put_on_file_pays
            a_trial_without_a_card_ends
            a_trial_with_a_card_becomes_a_paid_period
            a_paused_subscription_is_reactivated_with_a_card
            a_subscription_is_made_once_and_found_by_its_operation
            a_declined_first_payment_leaves_no_subscription
            a_change_of_plan_costs_what_was_said
            a_change_of_plan_that_is_declined_changes_nothing
            a_change_without_proration_is_free_until_the_next_period
            a_cancellation_at_the_periods_end_can_be_taken_back
            a_subscription_that_ended_stays_so
            a_failed_renewal_is_paid_with_a_new_card
            usage_is_charged_once_and_beyond_what_is_included
            a_checkout_is_open_until_it_is_closed
            pages_open_for_customers_alone
        }
    };
    ($fresh_account:ident; $($case:ident)+) => {$(
        #[tokio::test]
        async fn $case() {
            let account = $fresh_account().await;
            $crate::testing::billing::$case(&account).await;
        }
    )+};
}
