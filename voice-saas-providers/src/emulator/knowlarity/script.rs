//! What becomes of a call.

use std::time::Duration;

/// What becomes of a call, and when the log knows of it. Times are those of the emulator's clock, which tests move.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnowlarityScript {
    pub(super) end: End,
    pub(super) log_delay: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Talks(Duration),
    AgentMisses,
    CustomerMisses,
    Refused,
    SaysNothing,
}

impl KnowlarityScript {
    fn new(end: End) -> Self {
        Self {
            end,
            log_delay: Duration::ZERO,
        }
    }

    /// Both are joined, and talk for this long.
    #[must_use]
    pub fn talks(span: Duration) -> Self {
        Self::new(End::Talks(span))
    }

    /// The agent's telephone rings, and nobody answers.
    #[must_use]
    pub fn agent_misses() -> Self {
        Self::new(End::AgentMisses)
    }

    /// The agent answers, and the customer does not.
    #[must_use]
    pub fn customer_misses() -> Self {
        Self::new(End::CustomerMisses)
    }

    /// The request is refused, with status 200 and an `error`.
    #[must_use]
    pub fn refused() -> Self {
        Self::new(End::Refused)
    }

    /// The request is answered 200 with neither a `success` nor an `error`; the call is placed all the same, and both
    /// talk for thirty seconds.
    #[must_use]
    pub fn says_nothing() -> Self {
        Self::new(End::SaysNothing)
    }

    /// The log knows of the call this long after its end.
    #[must_use]
    pub fn with_log_delay(mut self, delay: Duration) -> Self {
        self.log_delay = delay;
        self
    }
}

impl Default for KnowlarityScript {
    fn default() -> Self {
        Self::talks(Duration::from_secs(30))
    }
}
