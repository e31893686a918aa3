//! The conformance suite of billing, on the emulator.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use uuid::Uuid;
use voice_saas_core::testing::billing::{BillingAccount, Losable};

use super::*;
use crate::emulator::{self, Emulator, EmulatorConfig, Fault, FaultKind};

struct Account {
    emulator: Emulator,
    stripe: Stripe,
    tenants: AtomicU32,
}

async fn fresh_account() -> Account {
    let emulator = Emulator::start(EmulatorConfig::new(([127, 0, 0, 1], 0).into()))
        .await
        .unwrap();
    let stripe = Stripe::builder(emulator.stripe_secret_key().clone())
        .with_base_url(emulator.url().clone())
        .with_retry(RetryPolicy::none())
        .build()
        .unwrap();
    Account {
        emulator,
        stripe,
        tenants: AtomicU32::new(1),
    }
}

impl BillingAccount for Account {
    fn billing(&self) -> &dyn Billing {
        &self.stripe
    }

    fn tenant(&self) -> TenantId {
        let n = self.tenants.fetch_add(1, Ordering::Relaxed);
        TenantId::from_uuid(Uuid::from_u128(n.into()))
    }

    fn good_card(&self) -> PaymentMethodId {
        PaymentMethodId::new("pm_card_visa")
    }

    fn refused_card(&self) -> (PaymentMethodId, &'static str) {
        let card = PaymentMethodId::new("pm_card_visa_chargeDeclinedInsufficientFunds");
        (card, "insufficient_funds")
    }

    fn failing_card(&self) -> PaymentMethodId {
        PaymentMethodId::new("pm_card_chargeCustomerFail")
    }

    fn now(&self) -> Timestamp {
        self.emulator.now()
    }

    fn advance(&self, by: Duration) {
        self.emulator.advance_clock(by);
    }

    fn lose_answer(&self, act: Losable) {
        let operation = match act {
            Losable::Customer => emulator::Operation::CreateCustomer,
            Losable::Subscription => emulator::Operation::CreateSubscription,
            Losable::Change => emulator::Operation::UpdateSubscription,
        };
        let fault = Fault::new(operation, FaultKind::AnswerLost);
        self.emulator.inject(fault).unwrap();
    }
}

voice_saas_core::billing_conformance_tests!(fresh_account);
