//! Prices, changes between them, and what is charged by use.

#![expect(clippy::missing_panics_doc, reason = "a case fails by a panic")]

use super::{
    BillingAccount, DAY, Losable, customer, dollars, flat, invoices, metered, now_is, operation, order,
    paying, price, subscribed,
};
use crate::{
    money::{Currency, Money},
    provider::{
        ErrorKind,
        billing::{Charge, PaymentMethodOrder, PlanChange, Proration, UsageReport},
    },
};

/// Publishing the same again changes nothing.
pub async fn a_price_that_is_published_twice_is_made_once(account: &dyn BillingAccount) {
    let prices = [flat("basic", 50), flat("pro", 99), metered()];
    let first = account.billing().publish(&prices).await.expect("it is published");
    let keys: Vec<_> = first.iter().map(|price| &*price.lookup_key).collect();
    assert_eq!(keys, ["basic_month", "pro_month", "survey_answers"]);
    let again = account.billing().publish(&prices).await.expect("it is there");
    assert_eq!(again, first);
}

/// Prices do not change; another amount is another price under the same key, and going back is one more.
pub async fn a_new_amount_is_a_new_price_under_the_same_key(account: &dyn BillingAccount) {
    let first = price(account, flat("basic", 50)).await;
    let dearer = price(account, flat("basic", 60)).await;
    assert_ne!(first, dearer);
    assert_eq!(price(account, flat("basic", 60)).await, dearer);
    let back = price(account, flat("basic", 50)).await;
    assert_ne!(back, dearer);
    assert_eq!(price(account, flat("basic", 50)).await, back);
}

/// A fraction of a cent cannot be charged in advance.
pub async fn an_amount_that_no_invoice_can_hold_is_refused(account: &dyn BillingAccount) {
    let mut odd = flat("odd", 0);
    odd.charge = Charge::Flat(Money::from_micros(8_500, Currency::USD));
    let refused = account.billing().publish(&[odd]).await;
    assert_eq!(refused.expect_err("an odd amount").kind(), ErrorKind::Invalid);
}

/// A change of plan costs what its preview said, and is made once.
pub async fn a_change_of_plan_costs_what_was_said(account: &dyn BillingAccount) {
    let (customer, made) = paying(account).await;
    let pro = price(account, flat("pro", 99)).await;
    account.advance(10 * DAY);
    let billing = account.billing();
    let mut change = PlanChange {
        subscription: made.id.clone(),
        plan: "pro".to_owned(),
        prices: vec![pro.clone()],
        proration: Proration::PayNow,
        at: None,
        operation: operation("upgrade"),
    };
    let said = billing.preview_change(&change).await.expect("a preview");
    assert_eq!(said.amount_due, said.prorated);
    assert!(said.amount_due.amount_micros() > 0 && said.amount_due.amount_micros() < 49_000_000);
    change.at = Some(said.at);
    account.lose_answer(Losable::Change);
    billing
        .change_plan(&change)
        .await
        .expect_err("the answer is lost");
    let changed = billing.change_plan(&change).await.expect("it is made");
    assert_eq!(changed.items[0].price, pro);
    assert_eq!(changed.items.len(), 1);
    assert_eq!(changed.plan.as_deref(), Some("pro"));
    let of_change = invoices(account, &customer).await;
    assert_eq!(of_change.len(), 2);
    assert_eq!(of_change[0].amount_paid, said.amount_due);
}

/// A change that cannot be paid is not made.
pub async fn a_change_of_plan_that_is_declined_changes_nothing(account: &dyn BillingAccount) {
    let (customer, made) = paying(account).await;
    let pro = price(account, flat("pro", 99)).await;
    let billing = account.billing();
    let card = PaymentMethodOrder {
        customer: customer.id.clone(),
        payment_method: account.failing_card(),
        operation: operation("card"),
    };
    billing
        .attach_payment_method(&card)
        .await
        .expect("it is put on file");
    let change = PlanChange {
        subscription: made.id.clone(),
        plan: "pro".to_owned(),
        prices: vec![pro],
        proration: Proration::PayNow,
        at: None,
        operation: operation("upgrade"),
    };
    let refused = billing.change_plan(&change).await.expect_err("the bank refuses");
    assert_eq!(refused.kind(), ErrorKind::PaymentDeclined);
    assert_eq!(now_is(account, &made).await.items, made.items);
}

/// A smaller plan from the next period on costs and gives nothing now.
pub async fn a_change_without_proration_is_free_until_the_next_period(account: &dyn BillingAccount) {
    let (customer, made) = paying(account).await;
    let small = price(account, flat("small", 20)).await;
    let change = PlanChange {
        subscription: made.id.clone(),
        plan: "small".to_owned(),
        prices: vec![small],
        proration: Proration::None,
        at: None,
        operation: operation("downgrade"),
    };
    let billing = account.billing();
    let said = billing.preview_change(&change).await.expect("a preview");
    assert_eq!((said.prorated, said.amount_due), (dollars(0), dollars(20)));
    billing.change_plan(&change).await.expect("it is made");
    assert_eq!(invoices(account, &customer).await.len(), 1);
    account.advance(32 * DAY);
    assert_eq!(invoices(account, &customer).await[0].amount_paid, dollars(20));
}

/// Usage beyond what is included is charged afterwards, and a repeated report counts once.
pub async fn usage_is_charged_once_and_beyond_what_is_included(account: &dyn BillingAccount) {
    let answers = price(account, metered()).await;
    let (tenant, customer) = customer(account, Some(account.good_card())).await;
    subscribed(account, &order(tenant, &customer, &answers)).await;
    for (call, quantity) in [("call_1", 8), ("call_2", 6), ("call_1", 8)] {
        let report = UsageReport {
            event_name: "survey_answers".to_owned(),
            customer: customer.id.clone(),
            quantity,
            identifier: call.to_owned(),
            at: account.now(),
        };
        account.billing().report_usage(&report).await.expect("it counts");
    }
    account.advance(32 * DAY);
    // Four beyond the ten that are included.
    let newest = &invoices(account, &customer).await[0];
    assert_eq!(newest.amount_paid, Money::from_micros(500_000, Currency::USD));
}
