//! Customers, their cards, and the pages that open for them.

#![expect(clippy::missing_panics_doc, reason = "a case fails by a panic")]

use super::{BillingAccount, EMAIL, Losable, count, customer, flat, now_is, operation, paying, price};
use crate::provider::{
    ErrorKind,
    billing::{
        CardSetupOrder, CheckoutOrder, CheckoutStatus, CustomerOrder, PaymentMethodOrder, PortalOrder,
        PortalPage, Trial,
    },
    telephony::Removal,
};

/// The same operation makes the same customer.
pub async fn a_customer_is_made_once_and_found_by_its_tenant(account: &dyn BillingAccount) {
    let billing = account.billing();
    let tenant = account.tenant();
    assert_eq!(
        billing.find_customer(tenant, EMAIL).await.expect("an answer"),
        None
    );
    let order = CustomerOrder::new(tenant, operation("signup"), EMAIL).with_name("Ada");
    let made = billing.create_customer(&order).await.expect("it is made");
    assert_eq!(made.tenant, Some(tenant.to_string()));
    assert_eq!(billing.create_customer(&order).await.expect("it is there"), made);
    let found = billing.find_customer(tenant, EMAIL).await.expect("an answer");
    assert_eq!(found.as_ref(), Some(&made));
    let other = billing.find_customer(account.tenant(), EMAIL).await;
    assert_eq!(other.expect("an answer"), None);
    assert_eq!(billing.customer(&made.id).await.expect("it is there"), made);
}

/// After a creation whose answer never came, what is there is found.
pub async fn a_customer_without_an_answer_is_found(account: &dyn BillingAccount) {
    let tenant = account.tenant();
    let order = CustomerOrder::new(tenant, operation("signup"), EMAIL);
    account.lose_answer(Losable::Customer);
    let billing = account.billing();
    billing
        .create_customer(&order)
        .await
        .expect_err("the answer is lost");
    let found = billing.find_customer(tenant, EMAIL).await.expect("an answer");
    let again = billing.create_customer(&order).await.expect("it is there");
    assert_eq!(found, Some(again));
}

/// A card that is refused leaves nothing behind, and says why.
pub async fn a_refused_card_leaves_no_customer(account: &dyn BillingAccount) {
    let tenant = account.tenant();
    let (card, why) = account.refused_card();
    let order = CustomerOrder::new(tenant, operation("signup"), EMAIL).with_payment_method(card);
    let billing = account.billing();
    let refused = billing.create_customer(&order).await.expect_err("a bad card");
    assert_eq!(refused.kind(), ErrorKind::PaymentDeclined);
    assert_eq!(refused.decline().map(|decline| &*decline.code), Some(why));
    assert_eq!(
        billing.find_customer(tenant, EMAIL).await.expect("an answer"),
        None
    );
    // The same operation with another card is not held against it.
    let order = order.with_payment_method(account.good_card());
    billing.create_customer(&order).await.expect("a good card");
}

/// Deleting may be repeated, and what was deleted is not there.
pub async fn a_customer_that_is_deleted_is_gone(account: &dyn BillingAccount) {
    let (customer, subscription) = paying(account).await;
    let billing = account.billing();
    let removed = billing.delete_customer(&customer.id).await.expect("it goes");
    assert_eq!(removed, Removal::Removed);
    let again = billing.delete_customer(&customer.id).await.expect("it is gone");
    assert_eq!(again, Removal::AlreadyGone);
    let gone = billing.customer(&customer.id).await.expect_err("it is gone");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert!(now_is(account, &subscription).await.status.is_final());
}

/// A new card pays from then on.
pub async fn a_card_that_is_put_on_file_pays(account: &dyn BillingAccount) {
    let (_, customer) = customer(account, None).await;
    let billing = account.billing();
    let mut order = PaymentMethodOrder {
        customer: customer.id.clone(),
        payment_method: account.refused_card().0,
        operation: operation("card"),
    };
    let refused = billing
        .attach_payment_method(&order)
        .await
        .expect_err("a bad card");
    assert_eq!(refused.kind(), ErrorKind::PaymentDeclined);
    order.payment_method = account.good_card();
    let attached = billing.attach_payment_method(&order).await.expect("a good card");
    assert_eq!(
        billing.attach_payment_method(&order).await.expect("it is there"),
        attached
    );
    let found = billing.customer(&customer.id).await.expect("it is there");
    assert_eq!(found.default_payment_method.as_ref(), Some(&attached.id));
    let listed = billing.payment_methods(&customer.id).await.expect("the cards");
    assert_eq!(listed, [attached]);
}

/// A checkout is open until it is closed, and makes nothing by itself.
pub async fn a_checkout_is_open_until_it_is_closed(account: &dyn BillingAccount) {
    let basic = price(account, flat("basic", 50)).await;
    let (tenant, customer) = customer(account, None).await;
    let cancel = "https://example.com/back".parse().expect("a URL");
    let order = CheckoutOrder::new(
        tenant,
        operation("checkout"),
        customer.id.clone(),
        "basic",
        basic,
        "https://example.com/done?session={CHECKOUT_SESSION_ID}",
        cancel,
    )
    .with_trial(Trial::days(14));
    let billing = account.billing();
    let begun = billing.begin_checkout(&order).await.expect("it is open");
    assert_eq!(begun.status, CheckoutStatus::Open);
    assert_eq!(begun.tenant, Some(tenant.to_string()));
    assert!(begun.url.is_some() && begun.expires_at.is_some());
    let again = billing.begin_checkout(&order).await.expect("it is open");
    assert_eq!(again.id, begun.id);
    for _ in 0..2 {
        let closed = billing.expire_checkout(&begun.id).await.expect("it closes");
        assert_eq!(closed.status, CheckoutStatus::Expired);
    }
    let found = billing.checkout(&begun.id).await.expect("it is there");
    assert_eq!(
        (found.status, found.subscription),
        (CheckoutStatus::Expired, None)
    );
    assert_eq!(count(account).await, 0);
}

/// The portal and the script for cards open for a customer alone.
pub async fn pages_open_for_customers_alone(account: &dyn BillingAccount) {
    let (customer, subscription) = paying(account).await;
    let billing = account.billing();
    let mut order = PortalOrder {
        customer: customer.id.clone(),
        page: PortalPage::Overview,
        return_url: "https://example.com/back".parse().expect("a URL"),
    };
    for page in [
        PortalPage::Overview,
        PortalPage::PaymentMethod,
        PortalPage::Cancel(subscription.id),
    ] {
        order.page = page;
        let portal = billing.open_portal(&order).await.expect("it opens");
        assert!(portal.url.has_host());
    }
    let setup = CardSetupOrder {
        customer: customer.id.clone(),
        tenant: account.tenant(),
        operation: operation("setup"),
    };
    billing.set_up_card(&setup).await.expect("a secret");
    billing.delete_customer(&customer.id).await.expect("it goes");
    order.page = PortalPage::Overview;
    let refused = billing.open_portal(&order).await.expect_err("nobody is there");
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}
