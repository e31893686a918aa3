//! What customers do in the app and in their settings, and what Apple decides.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::life::{Happened, Period, Status, Subscription};
use super::{AppStore, MOST_SUBSCRIPTIONS, State, notify};
use crate::emulator::world::World;

const DAY: Duration = Duration::from_hours(24);
/// The longest period: a year.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// A subscription to be bought in the app.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InAppPurchase {
    pub(super) product: String,
    pub(super) token: Option<Uuid>,
    pub(super) length: Duration,
    pub(super) trial: Duration,
    pub(super) grace: Duration,
    pub(super) is_sandbox: bool,
}

impl InAppPurchase {
    /// This product, for 30 days at a time, without a trial and without a grace period, in production.
    #[must_use]
    pub fn new(product: impl Into<String>) -> Self {
        Self {
            product: product.into(),
            token: None,
            length: 30 * DAY,
            trial: Duration::ZERO,
            grace: Duration::ZERO,
            is_sandbox: false,
        }
    }

    /// The app says for whom it buys.
    #[must_use]
    pub fn with_account_token(mut self, token: Uuid) -> Self {
        self.token = Some(token);
        self
    }

    /// For this long at a time.
    #[must_use]
    pub fn with_length(mut self, length: Duration) -> Self {
        self.length = length;
        self
    }

    /// First for so long without a payment.
    #[must_use]
    pub fn with_trial(mut self, trial: Duration) -> Self {
        self.trial = trial;
        self
    }

    /// With so long a grace when a payment fails.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// In the sandbox.
    #[must_use]
    pub fn in_sandbox(mut self) -> Self {
        self.is_sandbox = true;
        self
    }
}

/// What happens to a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InAppAction {
    /// The period ends now, and the next one is paid.
    Renew,
    /// The subscription ends now.
    Expire,
    /// The customer lets it end with the period.
    Cancel,
    /// The customer lets it go on after all.
    Resume,
    /// From now on payments fail.
    DeclinePayments,
    /// From now on payments succeed; one that had failed does so now.
    AcceptPayments,
    /// Apple pays the latest period back.
    Refund,
    /// Apple takes a refund back.
    ReverseRefund,
    /// The family's share ends.
    Revoke,
    /// The customer subscribes again after the end.
    Resubscribe,
    /// The customer takes a larger product at once.
    Upgrade(String),
    /// The customer takes a smaller product from the next period on.
    Downgrade(String),
}

/// What the app gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InAppReceipt {
    /// The subscription.
    pub original_transaction_id: String,
    /// Its latest period.
    pub transaction_id: String,
    /// The same, signed: what the app hands to its server.
    pub signed_transaction: String,
}

/// Why something does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InAppError {
    /// The product's name is empty, or a span is out of its limits.
    #[error(
        "a product has 1 to 100 characters; its period lasts a day to a year, its trial and grace at most a year"
    )]
    OutOfRange,
    /// There is no such subscription.
    #[error("no such subscription")]
    NotFound,
    /// This cannot happen to a subscription as it stands.
    #[error("this cannot happen to the subscription as it stands")]
    NotNow,
    /// There are as many subscriptions as the emulator carries.
    #[error("too many subscriptions; reset")]
    TooMany,
}

fn check_product(product: &str) -> Result<(), InAppError> {
    if (1..=100).contains(&product.len()) {
        Ok(())
    } else {
        Err(InAppError::OutOfRange)
    }
}

fn span(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or_default()
}

pub(super) fn buy(world: &Arc<World>, purchase: InAppPurchase) -> Result<InAppReceipt, InAppError> {
    check_product(&purchase.product)?;
    if !(DAY..=LONGEST).contains(&purchase.length) || purchase.trial > LONGEST || purchase.grace > LONGEST {
        return Err(InAppError::OutOfRange);
    }
    let (app_store, now) = (&world.app_store, world.clock.now());
    let receipt = {
        let mut state = app_store.state_lock();
        state.settle(app_store, now);
        if state.subscriptions.len() >= MOST_SUBSCRIPTIONS {
            return Err(InAppError::TooMany);
        }
        let id = state.next_id();
        let is_trial = !purchase.trial.is_zero();
        let first = if is_trial { purchase.trial } else { purchase.length };
        let period = Period {
            id: id.clone(),
            product: purchase.product.clone(),
            from: now,
            until: now.saturating_add(span(first)).unwrap_or(Timestamp::MAX),
            is_trial,
            is_renewal: false,
            upgraded: false,
            revoked: None,
        };
        state.subscriptions.push(Subscription {
            environment: if purchase.is_sandbox {
                "Sandbox"
            } else {
                "Production"
            },
            original_id: id,
            group: "20965632".to_owned(),
            token: purchase.token.map(|token| token.to_string()),
            price: 9_990,
            currency: "USD".to_owned(),
            length: span(purchase.length),
            grace: span(purchase.grace),
            status: Status::Active,
            renews: true,
            pays: true,
            next_product: purchase.product,
            expiry: None,
            periods: vec![period],
        });
        let index = state.subscriptions.len() - 1;
        state.tell(app_store, index, Happened("SUBSCRIBED", Some("INITIAL_BUY")), now);
        receipt(app_store, &state.subscriptions[index], now)
    };
    notify::flush(world);
    Ok(receipt)
}

pub(super) fn act(world: &Arc<World>, id: &str, action: InAppAction) -> Result<InAppReceipt, InAppError> {
    let (app_store, now) = (&world.app_store, world.clock.now());
    let receipt = {
        let mut state = app_store.state_lock();
        state.settle(app_store, now);
        let index = state
            .subscriptions
            .iter()
            .position(|it| it.original_id == id)
            .ok_or(InAppError::NotFound)?;
        if let Some(happened) = apply(&mut state, index, action, now)? {
            state.tell(app_store, index, happened, now);
        }
        receipt(app_store, &state.subscriptions[index], now)
    };
    notify::flush(world);
    Ok(receipt)
}

/// What is told of it, if anything.
fn apply(
    state: &mut State,
    index: usize,
    action: InAppAction,
    now: Timestamp,
) -> Result<Option<Happened>, InAppError> {
    let id = state.next_id();
    let it = &mut state.subscriptions[index];
    let is_running = matches!(it.status, Status::Active | Status::Grace | Status::BillingRetry);
    let is_over = matches!(it.status, Status::Expired | Status::Revoked);
    Ok(Some(match action {
        InAppAction::DeclinePayments => {
            it.pays = false;
            return Ok(None);
        }
        InAppAction::AcceptPayments => {
            it.pays = true;
            if !matches!(it.status, Status::Grace | Status::BillingRetry) {
                return Ok(None);
            }
            it.recover(id, now)
        }
        InAppAction::Renew if it.status == Status::Active => {
            it.period_mut().until = now;
            it.begin(id, now);
            Happened("DID_RENEW", None)
        }
        InAppAction::Expire if is_running => {
            let until = it.period().until.min(now);
            it.period_mut().until = until;
            it.expire(1)
        }
        InAppAction::Cancel if is_running && it.renews => {
            it.renews = false;
            Happened("DID_CHANGE_RENEWAL_STATUS", Some("AUTO_RENEW_DISABLED"))
        }
        InAppAction::Resume if is_running && !it.renews => {
            it.renews = true;
            Happened("DID_CHANGE_RENEWAL_STATUS", Some("AUTO_RENEW_ENABLED"))
        }
        InAppAction::Refund if it.period().revoked.is_none() => {
            it.period_mut().revoked = Some((now, "REFUND_FULL"));
            it.status = Status::Revoked;
            it.renews = false;
            Happened("REFUND", None)
        }
        InAppAction::ReverseRefund if it.period().revoked.is_some() => {
            it.period_mut().revoked = None;
            it.renews = it.period().until > now;
            it.status = if it.renews {
                Status::Active
            } else {
                Status::Expired
            };
            Happened("REFUND_REVERSED", None)
        }
        InAppAction::Revoke if it.period().revoked.is_none() => {
            it.period_mut().revoked = Some((now, "FAMILY_REVOKE"));
            it.status = Status::Revoked;
            it.renews = false;
            Happened("REVOKE", None)
        }
        InAppAction::Resubscribe if is_over => {
            it.begin(id, now);
            it.period_mut().is_renewal = false;
            (it.renews, it.pays) = (true, true);
            Happened("SUBSCRIBED", Some("RESUBSCRIBE"))
        }
        InAppAction::Upgrade(product) if it.status == Status::Active => {
            check_product(&product)?;
            it.period_mut().upgraded = true;
            it.next_product = product;
            it.begin(id, now);
            it.period_mut().is_renewal = false;
            Happened("DID_CHANGE_RENEWAL_PREF", Some("UPGRADE"))
        }
        InAppAction::Downgrade(product) if is_running => {
            check_product(&product)?;
            let taken_back = product == it.period().product;
            it.next_product = product;
            Happened("DID_CHANGE_RENEWAL_PREF", (!taken_back).then_some("DOWNGRADE"))
        }
        _ => return Err(InAppError::NotNow),
    }))
}

fn receipt(app_store: &AppStore, subscription: &Subscription, now: Timestamp) -> InAppReceipt {
    let period = subscription.period();
    InAppReceipt {
        original_transaction_id: subscription.original_id.clone(),
        transaction_id: period.id.clone(),
        signed_transaction: subscription.signed_transaction(app_store, period, now),
    }
}
