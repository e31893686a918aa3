//! The emulator's own time: the real one plus what `/_control/clock` added.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// Time of the emulated providers. Audio always runs in real time; prices, expiries and retries follow this clock.
#[derive(Debug)]
pub(crate) struct Clock {
    ahead: watch::Sender<Duration>,
}

/// The furthest that the clock may be moved: ten years.
pub(crate) const FURTHEST: Duration = Duration::from_hours(10 * 366 * 24);

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            ahead: watch::Sender::new(Duration::ZERO),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the emulator stands apart from what it tests, and this is its one home of the time"
    )]
    pub(crate) fn now(&self) -> Timestamp {
        let ahead = SignedDuration::try_from(*self.ahead.borrow()).unwrap_or(SignedDuration::ZERO);
        Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// Moves the clock forward; it stops at [`FURTHEST`].
    pub(crate) fn advance(&self, by: Duration) {
        self.ahead
            .send_modify(|ahead| *ahead = ahead.saturating_add(by).min(FURTHEST));
    }

    pub(crate) fn reset(&self) {
        self.ahead.send_replace(Duration::ZERO);
    }

    /// Waits for `span` of this clock's time, which moving the clock shortens.
    pub(crate) async fn sleep(&self, span: Duration) {
        let due = self
            .now()
            .saturating_add(SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX));
        let Ok(due) = due else { return };
        let mut ahead = self.ahead.subscribe();
        loop {
            let Ok(left) = Duration::try_from(self.now().duration_until(due)) else {
                return;
            };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = ahead.changed() => {}
            }
        }
    }
}

/// The date form of Twilio's 2010 API: RFC 2822 in UTC.
pub(crate) fn rfc2822(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn moving_the_clock_ends_a_sleep() {
        let clock = Clock::new();
        let ((), ()) = tokio::join!(clock.sleep(Duration::from_hours(1)), async {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_secs(3_601));
        });
    }

    #[test]
    fn dates_are_rfc_2822_in_utc() {
        let at = Timestamp::from_second(1_438_298_344).expect("a valid instant");
        assert_eq!(rfc2822(at), "Thu, 30 Jul 2015 23:19:04 +0000");
    }
}
