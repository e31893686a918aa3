//! The carriers keep the contract of every carrier with numbers.
#![cfg(all(feature = "emulator", feature = "testing"))]

use voice_saas_core::{
    provider::telephony::{NumberQuery, TelephonyProvider},
    testing::number::NumberAccount,
};
use voice_saas_providers::{
    emulator::{Emulator, EmulatorConfig, Fault, FaultKind, Operation},
    http::RetryPolicy,
};

/// A carrier, emulated.
#[derive(Debug)]
struct Account<C> {
    emulator: Emulator,
    carrier: C,
    query: NumberQuery,
    purchase: Operation,
}

impl<C: TelephonyProvider> NumberAccount for Account<C> {
    fn carrier(&self) -> &dyn TelephonyProvider {
        &self.carrier
    }

    fn query(&self) -> NumberQuery {
        self.query.clone()
    }

    fn lose_answer(&self) {
        let fault = Fault::new(self.purchase, FaultKind::AnswerLost);
        self.emulator.inject(fault).expect("a possible fault");
    }
}

async fn emulator() -> Emulator {
    Emulator::start(EmulatorConfig::new(([127, 0, 0, 1], 0).into()))
        .await
        .expect("a free port")
}

#[cfg(feature = "twilio")]
mod twilio {
    use voice_saas_core::phone::Country;
    use voice_saas_providers::twilio::Twilio;

    use super::*;

    async fn fresh_account() -> Account<Twilio> {
        let emulator = emulator().await;
        let token = emulator.twilio_auth_token().clone();
        let carrier = Twilio::builder(emulator.twilio_account_sid(), token)
            .with_base_url(emulator.url().clone())
            .with_retry(RetryPolicy::none())
            .build()
            .expect("a valid set-up");
        Account {
            emulator,
            carrier,
            query: NumberQuery::new(Country::US),
            purchase: Operation::BuyNumber,
        }
    }

    voice_saas_core::number_conformance_tests!(fresh_account);
}

#[cfg(feature = "knowlarity")]
mod knowlarity {
    use voice_saas_providers::knowlarity::{Knowlarity, KnowlarityBuilder};

    use super::*;

    async fn account(plan: fn(KnowlarityBuilder, &Emulator) -> KnowlarityBuilder) -> Account<Knowlarity> {
        let emulator = emulator().await;
        let keys = (emulator.knowlarity_authorization(), emulator.knowlarity_api_key());
        let builder = Knowlarity::builder(keys.0.clone(), keys.1.clone())
            .with_base_url(emulator.url().clone())
            .with_retry(RetryPolicy::none())
            .with_page_size(2);
        let carrier = plan(builder, &emulator).build().expect("a valid set-up");
        Account {
            carrier,
            query: NumberQuery::new("IN".parse().expect("a country")),
            purchase: Operation::AllocateNumber,
            emulator,
        }
    }

    mod with_a_plan {
        use super::*;

        async fn fresh_account() -> Account<Knowlarity> {
            account(|builder, emulator| builder.with_plan(emulator.knowlarity_plan())).await
        }

        voice_saas_core::number_conformance_tests!(fresh_account);
    }

    mod without_a_plan {
        use super::*;

        async fn fresh_account() -> Account<Knowlarity> {
            account(|builder, _| builder).await
        }

        voice_saas_core::number_conformance_tests!(fresh_account);
    }
}
