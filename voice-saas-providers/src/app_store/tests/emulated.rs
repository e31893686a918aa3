//! The adapter against the emulator.

use std::time::Duration;

use jiff::Timestamp;
use tokio::{net::TcpListener, sync::mpsc};
use uuid::Uuid;
use voice_saas_core::provider::{
    ErrorKind,
    app_store::{
        AppStore, EndReason, ExpiryCause, PlanChange, SignedDataError, StoreEnvironment, StoreEvent,
        StoreNotification, StoreStanding, StoreSubscription, TransactionId,
    },
};

use super::super::{ApiKey, Apple, AppleBuilder};
use crate::{
    emulator::{
        Emulator, EmulatorConfig, Fault, FaultKind, InAppAction, InAppError, InAppPurchase, Operation,
    },
    http::RetryPolicy,
};

const LIVE: StoreEnvironment = StoreEnvironment::Production;
const DAY: Duration = Duration::from_hours(24);

async fn emulator() -> Emulator {
    Emulator::start(EmulatorConfig::new("127.0.0.1:0".parse().unwrap()))
        .await
        .unwrap()
}

fn builder(emulator: &Emulator) -> AppleBuilder {
    let (issuer, key, private_key) = emulator.app_store_key();
    Apple::builder(
        emulator.app_store_bundle_id(),
        ApiKey::new(issuer, key, private_key),
    )
    .with_app_id(emulator.app_store_app_id())
    .with_root(emulator.app_store_root())
    .with_environments([LIVE, StoreEnvironment::Sandbox])
    .with_base_urls(emulator.url().clone(), emulator.app_store_sandbox_url())
}

fn apple(emulator: &Emulator) -> Apple {
    builder(emulator).build().unwrap()
}

/// Takes notifications, and answers each as told.
async fn listener(status: u16) -> (url::Url, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let answer = axum::http::StatusCode::from_u16(status).unwrap();
    let handler = move |body: axum::body::Bytes| async move {
        let _ = sender.send(body.to_vec());
        answer
    };
    let router = axum::Router::new().route("/apple", axum::routing::post(handler));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/apple", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, router).await });
    (url.parse().unwrap(), receiver)
}

async fn next(apple: &Apple, inbox: &mut mpsc::UnboundedReceiver<Vec<u8>>) -> StoreNotification {
    apple.notification(&inbox.recv().await.unwrap()).unwrap()
}

async fn standing(apple: &Apple, id: &str) -> StoreStanding {
    one(apple, id).await.standing()
}

async fn one(apple: &Apple, id: &str) -> StoreSubscription {
    let found = apple.subscriptions(LIVE, &TransactionId::new(id)).await.unwrap();
    <[_; 1]>::try_from(found).unwrap().into_iter().next().unwrap()
}

#[tokio::test]
async fn what_the_app_hands_in_is_what_the_store_says() {
    let emulator = emulator().await;
    let apple = apple(&emulator);
    let token = Uuid::from_u128(7);
    let purchase = InAppPurchase::new("pro.weekly")
        .with_account_token(token)
        .with_length(7 * DAY)
        .with_trial(14 * DAY);
    let receipt = emulator.buy_in_app(purchase).unwrap();
    let transaction = apple.transaction(&receipt.signed_transaction).unwrap();
    assert_eq!(transaction.account_token, Some(token));
    assert_eq!(transaction.original_id.as_str(), receipt.original_transaction_id);
    let now = one(&apple, &receipt.transaction_id).await;
    assert_eq!(now.transaction.id, transaction.id);
    let until = transaction.expires_at;
    assert_eq!(now.standing(), StoreStanding::Trialing { until, renews: true });
    emulator.advance_clock(15 * DAY);
    let renewed = one(&apple, &receipt.transaction_id).await;
    assert_eq!(renewed.transaction.purchased_at, until.unwrap());
    assert!(matches!(renewed.standing(), StoreStanding::Active { .. }));
}

#[tokio::test]
async fn a_life_is_told_in_notifications_that_verify() {
    let emulator = emulator().await;
    let apple = apple(&emulator);
    let (url, mut inbox) = listener(200).await;
    emulator.set_app_store_notification_url(url);
    let purchase = InAppPurchase::new("pro.weekly")
        .with_length(7 * DAY)
        .with_grace(3 * DAY);
    let id = emulator.buy_in_app(purchase).unwrap().original_transaction_id;
    let mut told = async |expected: StoreEvent| {
        let notification = next(&apple, &mut inbox).await;
        assert_eq!(notification.event, expected);
        notification
    };
    told(StoreEvent::Subscribed { again: false }).await;
    emulator.advance_clock(8 * DAY);
    told(StoreEvent::Renewed { recovered: false }).await;

    emulator.act_in_app(&id, InAppAction::DeclinePayments).unwrap();
    emulator.advance_clock(7 * DAY);
    let failed = told(StoreEvent::RenewalFailed { grace: true }).await;
    let until = failed.renewal.unwrap().grace_until;
    assert_eq!(standing(&apple, &id).await, StoreStanding::PastDue { until });
    emulator.advance_clock(3 * DAY);
    told(StoreEvent::GraceEnded).await;
    assert_eq!(standing(&apple, &id).await, StoreStanding::Suspended);
    emulator.act_in_app(&id, InAppAction::AcceptPayments).unwrap();
    told(StoreEvent::Renewed { recovered: true }).await;
    assert!(matches!(
        standing(&apple, &id).await,
        StoreStanding::Active { .. }
    ));

    emulator
        .act_in_app(&id, InAppAction::Upgrade("enterprise.weekly".to_owned()))
        .unwrap();
    let change = PlanChange::Upgrade;
    let upgraded = told(StoreEvent::PlanChanged { change }).await;
    assert_eq!(upgraded.transaction.unwrap().product, "enterprise.weekly");
    emulator.act_in_app(&id, InAppAction::Cancel).unwrap();
    told(StoreEvent::RenewalSwitched { on: false }).await;
    assert!(matches!(
        standing(&apple, &id).await,
        StoreStanding::Canceling { .. }
    ));
    emulator.advance_clock(8 * DAY);
    let cause = ExpiryCause::Voluntary;
    told(StoreEvent::Expired { cause }).await;
    assert_eq!(
        standing(&apple, &id).await,
        StoreStanding::Ended(EndReason::Expired(cause))
    );
    let nothing = emulator.act_in_app(&id, InAppAction::Cancel);
    assert_eq!(nothing, Err(InAppError::NotNow));

    emulator.act_in_app(&id, InAppAction::Resubscribe).unwrap();
    told(StoreEvent::Subscribed { again: true }).await;
    emulator.act_in_app(&id, InAppAction::Refund).unwrap();
    let refunded = told(StoreEvent::Refunded).await;
    assert!(refunded.transaction.unwrap().revoked.is_some());
    assert_eq!(
        standing(&apple, &id).await,
        StoreStanding::Ended(EndReason::Refunded)
    );
    emulator.act_in_app(&id, InAppAction::ReverseRefund).unwrap();
    told(StoreEvent::RefundReversed).await;
    assert!(matches!(
        standing(&apple, &id).await,
        StoreStanding::Active { .. }
    ));
}

#[tokio::test]
async fn notifications_come_late_twice_out_of_order_or_forged() {
    let emulator = emulator().await;
    let apple = apple(&emulator);
    let (url, mut inbox) = listener(200).await;
    emulator.set_app_store_notification_url(url);
    let fault = |kind| {
        emulator
            .inject(Fault::new(Operation::StoreNotification, kind))
            .unwrap();
    };

    fault(FaultKind::Duplicate);
    let receipt = emulator.buy_in_app(InAppPurchase::new("pro")).unwrap();
    let (first, second) = (next(&apple, &mut inbox).await, next(&apple, &mut inbox).await);
    assert_eq!(first, second, "one notification has one id");

    fault(FaultKind::Reorder);
    let id = &receipt.original_transaction_id;
    emulator.act_in_app(id, InAppAction::Cancel).unwrap();
    emulator.advance_clock(DAY);
    emulator.act_in_app(id, InAppAction::Resume).unwrap();
    let (first, second) = (next(&apple, &mut inbox).await, next(&apple, &mut inbox).await);
    assert_eq!(first.event, StoreEvent::RenewalSwitched { on: true });
    assert_eq!(second.event, StoreEvent::RenewalSwitched { on: false });
    assert!(
        second.signed_at < first.signed_at,
        "by its time it is known to be old"
    );

    fault(FaultKind::BadSignature);
    emulator.act_in_app(id, InAppAction::Renew).unwrap();
    let forged = apple.notification(&inbox.recv().await.unwrap());
    assert!(matches!(forged, Err(SignedDataError::Forged(_))), "{forged:?}");
}

#[tokio::test]
async fn a_notification_that_is_refused_comes_again_hours_later() {
    let emulator = emulator().await;
    let apple = apple(&emulator);
    let (url, mut inbox) = listener(500).await;
    emulator.set_app_store_notification_url(url);
    emulator.buy_in_app(InAppPurchase::new("pro")).unwrap();
    let first = next(&apple, &mut inbox).await;
    // The wait begins once the answer was heard.
    let again = loop {
        emulator.advance_clock(Duration::from_hours(1));
        if let Ok(body) = tokio::time::timeout(Duration::from_millis(50), inbox.recv()).await {
            break apple.notification(&body.unwrap()).unwrap();
        }
    };
    assert_eq!(again, first);
}

#[tokio::test]
async fn what_was_missed_is_read_from_the_history() {
    let emulator = emulator().await;
    let apple = apple(&emulator);
    let begin = Timestamp::UNIX_EPOCH;
    let token = Uuid::from_u128(9);
    let purchase = InAppPurchase::new("pro.weekly")
        .with_length(7 * DAY)
        .with_account_token(token);
    let id = emulator.buy_in_app(purchase).unwrap().original_transaction_id;
    emulator.advance_clock(30 * 7 * DAY + DAY);
    let mut transactions = Vec::new();
    let mut page = None;
    loop {
        let found = apple
            .transactions(LIVE, &TransactionId::new(&*id), page.as_deref())
            .await
            .unwrap();
        transactions.extend(found.items);
        page = found.next;
        if page.is_none() {
            break;
        }
    }
    assert_eq!(transactions.len(), 31);
    assert!(transactions.is_sorted_by_key(|it| it.purchased_at));
    assert!(transactions.iter().all(|it| it.account_token == Some(token)));

    let end = transactions.last().unwrap().signed_at;
    let mut notifications = Vec::new();
    loop {
        let found = apple
            .notifications(LIVE, begin, end, page.as_deref())
            .await
            .unwrap();
        notifications.extend(found.items);
        page = found.next;
        if page.is_none() {
            break;
        }
    }
    assert_eq!(notifications.len(), 31, "one purchase and thirty renewals");
    assert_eq!(notifications[0].event, StoreEvent::Subscribed { again: false });
}

#[tokio::test]
async fn production_and_the_sandbox_know_nothing_of_each_other() {
    let emulator = emulator().await;
    let apple = apple(&emulator);
    let receipt = emulator
        .buy_in_app(InAppPurchase::new("pro").in_sandbox())
        .unwrap();
    let transaction = apple.transaction(&receipt.signed_transaction).unwrap();
    assert_eq!(transaction.environment, StoreEnvironment::Sandbox);
    let error = apple.subscriptions(LIVE, &transaction.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.detail(), Some("4040010: Transaction id not found."));
    let found = apple
        .subscriptions(transaction.environment, &transaction.id)
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    let strict = builder(&emulator).with_environments([LIVE]).build().unwrap();
    let refused = strict.transaction(&receipt.signed_transaction).unwrap_err();
    assert_eq!(refused, SignedDataError::WrongEnvironment);
}

#[tokio::test]
async fn a_purchase_from_outside_the_app_is_given_its_owner() {
    let emulator = emulator().await;
    let apple = apple(&emulator);
    let receipt = emulator.buy_in_app(InAppPurchase::new("pro")).unwrap();
    let transaction = apple.transaction(&receipt.signed_transaction).unwrap();
    assert_eq!(transaction.account_token, None);
    let token = Uuid::from_u128(11);
    apple
        .set_account_token(LIVE, &transaction.original_id, token)
        .await
        .unwrap();
    let now = one(&apple, &receipt.transaction_id).await;
    assert_eq!(now.transaction.account_token, Some(token));
}

#[tokio::test]
async fn a_key_of_a_stranger_is_refused() {
    let emulator = emulator().await;
    let (issuer, key, _) = emulator.app_store_key();
    let stranger = super::authority::api_key_named(issuer, key);
    let apple = Apple::builder(emulator.app_store_bundle_id(), stranger)
        .with_app_id(1)
        .with_base_urls(emulator.url().clone(), emulator.app_store_sandbox_url())
        .build()
        .unwrap();
    let error = apple
        .subscriptions(LIVE, &TransactionId::new("1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
}

#[tokio::test]
async fn reading_is_repeated_and_says_what_went_wrong_in_the_end() {
    let emulator = emulator().await;
    let apple = builder(&emulator)
        .with_retry(RetryPolicy::default().with_max_attempts(2))
        .build()
        .unwrap();
    let id = emulator
        .buy_in_app(InAppPurchase::new("pro"))
        .unwrap()
        .transaction_id;
    let inject = |kind, times| {
        let fault = Fault::new(Operation::ReadSubscriptions, kind).with_times(times);
        emulator.inject(fault).unwrap();
    };
    for kind in [
        FaultKind::AnswerLost,
        FaultKind::ServerError,
        FaultKind::RateLimited,
    ] {
        inject(kind, 1);
        one(&apple, &id).await;
    }
    inject(FaultKind::ServerError, 2);
    let error = apple
        .subscriptions(LIVE, &TransactionId::new(&*id))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerError);
    assert!(error.detail().unwrap().starts_with("5000000"));
}
