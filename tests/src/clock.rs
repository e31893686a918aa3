//! The time of the whole system under test.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use voice_saas_core::clock::{Ambient, Clock, SystemClock, SystemIds, SystemRng};

/// The machine's clock, which a test can move forward.
#[derive(Debug, Default)]
pub(crate) struct TestClock {
    ahead: Mutex<Duration>,
}

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// What surrounds a library whose time this is.
    pub(crate) fn ambient(self: &Arc<Self>) -> Ambient {
        let clock = Arc::clone(self);
        Ambient::new(clock, Arc::new(SystemIds), Arc::new(SystemRng))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
