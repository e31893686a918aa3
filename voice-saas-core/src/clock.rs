//! Time, identifiers and randomness, as parameters.
//!
//! Nothing in this crate asks the machine for the hour, a UUID or a random byte, except the `System…` types
//! below; everything else is given an [`Ambient`], so that a test decides what they are.
//!
//! ```
//! use voice_saas_core::clock::Ambient;
//!
//! let ambient = Ambient::system();
//! assert!(ambient.now() <= ambient.now());
//! ```

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use uuid::Uuid;

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// Makes identifiers.
pub trait IdSource: fmt::Debug + Send + Sync + 'static {
    /// A fresh UUID, later in order than those made before it.
    fn uuid(&self) -> Uuid;
}

/// Makes randomness that an attacker cannot guess.
pub trait Rng: fmt::Debug + Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one home of the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// UUIDv7 of the machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl IdSource for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of fresh UUIDs")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// The operating system's random number generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has randomness to give");
    }
}

/// What surrounds every use case: the time, identifiers, randomness.
#[derive(Debug, Clone)]
pub struct Ambient {
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    rng: Arc<dyn Rng>,
}

impl Ambient {
    /// Puts the three together.
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, ids, rng }
    }

    /// The machine's own.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(SystemIds), Arc::new(SystemRng))
    }

    /// The present moment, to the microsecond: what is answered now is what a store gives back later.
    pub fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// Where identifiers come from.
    pub fn ids(&self) -> &dyn IdSource {
        &*self.ids
    }

    /// Fills `N` random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill(&mut bytes);
        bytes
    }

    /// A number in `0.0..1.0`, for jitter.
    pub fn jitter(&self) -> f64 {
        let bits = u32::from_le_bytes(self.random());
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}
