//! What tests need: a clock that stands still, counting ids, repeatable randomness, conformance suites.
//!
//! ```
//! use voice_saas_core::{clock::Clock, testing::ManualClock};
//!
//! let clock = ManualClock::at("2026-11-21T09:00:00Z");
//! clock.advance(std::time::Duration::from_secs(60));
//! assert_eq!(clock.now().to_string(), "2026-11-21T09:01:00Z");
//! ```

pub mod billing;
pub mod fixtures;
pub mod mail;
pub mod mock;
pub mod number;
pub mod store;
pub mod trunk;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    clock::{Ambient, Clock, IdSource, Rng},
    id::TenantId,
    scope::{Actor, SystemScope, TenantScope},
};

/// A clock that moves when it is told to.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that stands at this RFC 3339 time.
    ///
    /// # Panics
    /// When the text is no such time.
    pub fn at(time: &str) -> Self {
        Self(Mutex::new(time.parse().expect("an RFC 3339 time")))
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ids that count up from one.
#[derive(Debug, Default)]
pub struct CountingIds(AtomicU64);

impl IdSource for CountingIds {
    fn uuid(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1))
    }
}

/// Randomness that is the same in every run.
#[derive(Debug, Default)]
pub struct CountingRng(AtomicU64);

impl Rng for CountingRng {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // The odd constant of SplitMix64 spreads a counter over all bits.
            let value = self
                .0
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&value.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// An ambient of which everything repeats, around this clock.
pub fn ambient(clock: Arc<ManualClock>) -> Ambient {
    Ambient::new(
        clock,
        Arc::new(CountingIds::default()),
        Arc::new(CountingRng::default()),
    )
}

/// A scope over this tenant's rows. Outside of tests, only a verified credential or webhook gives one.
pub fn tenant_scope(tenant: TenantId) -> TenantScope {
    TenantScope::mint(tenant, Actor::System("test"))
}

/// A scope over the cross-tenant look-ups.
pub fn system_scope() -> SystemScope {
    SystemScope::mint("test")
}
