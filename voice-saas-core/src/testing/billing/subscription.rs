//! Subscriptions from their trial to their end.

#![expect(clippy::missing_panics_doc, reason = "a case fails by a panic")]

use jiff::SignedDuration;

use super::{
    BillingAccount, DAY, Losable, count, customer, dollars, flat, invoices, now_is, operation, order, paying,
    price, subscribed,
};
use crate::provider::{
    ErrorKind,
    billing::{
        Cancellation, InvoiceStatus, MissingCard, PaymentMethodOrder, PlanChange, Proration,
        SubscriptionStatus, Trial,
    },
};

/// A trial needs no card, and ends without one.
pub async fn a_trial_without_a_card_ends(account: &dyn BillingAccount) {
    let basic = price(account, flat("basic", 50)).await;
    let (tenant, customer) = customer(account, None).await;
    let order = order(tenant, &customer, &basic).with_trial(Trial::days(14));
    let made = subscribed(account, &order).await;
    assert_eq!(made.status, SubscriptionStatus::Trialing);
    let end = account.now() + SignedDuration::from_hours(14 * 24);
    let late = end - made.trial_end.expect("an end");
    assert!(late.get_seconds().abs() <= 60, "{late}");
    assert_eq!(made.tenant, Some(tenant.to_string()));
    assert_eq!(made.plan.as_deref(), Some("basic"));
    account.advance(15 * DAY);
    assert_eq!(now_is(account, &made).await.status, SubscriptionStatus::Canceled);
}

/// A trial with a card is paid for when it ends, and its usage is not.
pub async fn a_trial_with_a_card_becomes_a_paid_period(account: &dyn BillingAccount) {
    let basic = price(account, flat("basic", 50)).await;
    let (tenant, customer) = customer(account, Some(account.good_card())).await;
    let order = order(tenant, &customer, &basic).with_trial(Trial::days(14));
    let made = subscribed(account, &order).await;
    account.advance(15 * DAY);
    let now = now_is(account, &made).await;
    assert_eq!(now.status, SubscriptionStatus::Active);
    assert_eq!(
        now.period.expect("a period").start,
        made.trial_end.expect("an end")
    );
    let newest = &invoices(account, &customer).await[0];
    assert_eq!(
        (&newest.status, newest.amount_paid),
        (&InvoiceStatus::Paid, dollars(50))
    );
    assert_eq!(newest.subscription.as_ref(), Some(&made.id));
    assert_eq!(newest.tenant, Some(tenant.to_string()));
}

/// A trial that ended without a card can wait for one.
pub async fn a_paused_subscription_is_reactivated_with_a_card(account: &dyn BillingAccount) {
    let basic = price(account, flat("basic", 50)).await;
    let (tenant, customer) = customer(account, None).await;
    let order = order(tenant, &customer, &basic).with_trial(Trial {
        days: 14,
        missing_card: MissingCard::Pause,
    });
    let made = subscribed(account, &order).await;
    account.advance(15 * DAY);
    let paused = now_is(account, &made).await;
    assert_eq!(paused.status, SubscriptionStatus::Paused);
    assert!(paused.pause_reason.is_some());
    let card = PaymentMethodOrder {
        customer: customer.id.clone(),
        payment_method: account.good_card(),
        operation: operation("card"),
    };
    let billing = account.billing();
    billing.attach_payment_method(&card).await.expect("a good card");
    let resumed = billing.reactivate(&made.id).await.expect("it goes on");
    assert_eq!(resumed.status, SubscriptionStatus::Active);
    assert_eq!(invoices(account, &customer).await[0].amount_paid, dollars(50));
}

/// The same operation makes the same subscription, and finds it, whatever has become of it.
pub async fn a_subscription_is_made_once_and_found_by_its_operation(account: &dyn BillingAccount) {
    let basic = price(account, flat("basic", 50)).await;
    let (tenant, customer) = customer(account, Some(account.good_card())).await;
    let order = order(tenant, &customer, &basic);
    account.lose_answer(Losable::Subscription);
    let billing = account.billing();
    billing
        .create_subscription(&order)
        .await
        .expect_err("the answer is lost");
    let made = subscribed(account, &order).await;
    assert_eq!(count(account).await, 1);
    let find = async |id| {
        let found = billing.find_subscription(&customer.id, &operation(id)).await;
        found.expect("an answer").map(|found| found.id)
    };
    assert_eq!(find("subscribe").await, Some(made.id.clone()));
    assert_eq!(find("another").await, None);
    billing
        .cancel(&made.id, Cancellation::Now)
        .await
        .expect("it ends");
    assert_eq!(find("subscribe").await, Some(made.id));
}

/// A first payment that is declined leaves no subscription.
pub async fn a_declined_first_payment_leaves_no_subscription(account: &dyn BillingAccount) {
    let basic = price(account, flat("basic", 50)).await;
    let (tenant, customer) = customer(account, Some(account.failing_card())).await;
    let refused = account
        .billing()
        .create_subscription(&order(tenant, &customer, &basic))
        .await;
    let refused = refused.expect_err("the bank refuses");
    assert_eq!(refused.kind(), ErrorKind::PaymentDeclined);
    assert!(refused.decline().is_some());
    assert_eq!(count(account).await, 0);
}

/// A cancellation can be taken back until it takes effect.
pub async fn a_cancellation_at_the_periods_end_can_be_taken_back(account: &dyn BillingAccount) {
    let (_, made) = paying(account).await;
    let billing = account.billing();
    let cancelled = billing
        .cancel(&made.id, Cancellation::AtPeriodEnd)
        .await
        .expect("it ends");
    assert!(cancelled.cancel_at_period_end);
    assert_eq!(cancelled.status, SubscriptionStatus::Active);
    let kept = billing.reactivate(&made.id).await.expect("it goes on");
    assert!(!kept.cancel_at_period_end);
    account.advance(32 * DAY);
    assert_eq!(now_is(account, &made).await.status, SubscriptionStatus::Active);
    billing
        .cancel(&made.id, Cancellation::AtPeriodEnd)
        .await
        .expect("it ends");
    account.advance(32 * DAY);
    let ended = now_is(account, &made).await;
    assert_eq!(ended.status, SubscriptionStatus::Canceled);
    assert!(ended.ended_at.is_some());
}

/// What ended stays ended, whatever is asked of it.
pub async fn a_subscription_that_ended_stays_so(account: &dyn BillingAccount) {
    let (_, made) = paying(account).await;
    let billing = account.billing();
    for when in [Cancellation::Now, Cancellation::Now, Cancellation::AtPeriodEnd] {
        let ended = billing.cancel(&made.id, when).await.expect("it ended");
        assert_eq!(ended.status, SubscriptionStatus::Canceled, "{when:?}");
    }
    let refused = billing.reactivate(&made.id).await.expect_err("it ended");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let change = PlanChange {
        subscription: made.id,
        plan: "pro".to_owned(),
        prices: vec![price(account, flat("pro", 99)).await],
        proration: Proration::PayNow,
        at: None,
        operation: operation("upgrade"),
    };
    let refused = billing.change_plan(&change).await.expect_err("it ended");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

/// A renewal that fails is paid with a new card.
pub async fn a_failed_renewal_is_paid_with_a_new_card(account: &dyn BillingAccount) {
    let (customer, made) = paying(account).await;
    let billing = account.billing();
    let mut card = PaymentMethodOrder {
        customer: customer.id.clone(),
        payment_method: account.failing_card(),
        operation: operation("worse"),
    };
    billing
        .attach_payment_method(&card)
        .await
        .expect("it is put on file");
    account.advance(32 * DAY);
    let late = now_is(account, &made).await;
    assert_eq!(late.status, SubscriptionStatus::PastDue);
    let open = &invoices(account, &customer).await[0];
    assert_eq!(
        (&open.status, open.amount_remaining),
        (&InvoiceStatus::Open, dollars(50))
    );
    assert!(open.attempts > 0 && open.next_attempt.is_some());
    let id = open.id.clone().expect("an id");
    let refused = billing.pay_invoice(&id).await.expect_err("the bank refuses");
    assert_eq!(refused.kind(), ErrorKind::PaymentDeclined);
    card.payment_method = account.good_card();
    card.operation = operation("better");
    billing
        .attach_payment_method(&card)
        .await
        .expect("it is put on file");
    for _ in 0..2 {
        let paid = billing.pay_invoice(&id).await.expect("it is paid");
        assert_eq!(
            (paid.status, paid.amount_paid),
            (InvoiceStatus::Paid, dollars(50))
        );
    }
    assert_eq!(now_is(account, &made).await.status, SubscriptionStatus::Active);
}
