//! When a request is sent again.

use std::time::Duration;

use http::{HeaderMap, header};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use voice_saas_core::provider::{ProviderError, Recovery};

/// What sending a request twice would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the retry rule decides for each of the three"
)]
pub enum Effect {
    /// Nothing more than sending it once.
    Read,
    /// Nothing more either: the provider recognises it, by a key or because it names the wanted state.
    Keyed,
    /// It would act twice: dial again, buy again.
    Once,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
pub enum Step {
    /// The failure is the answer.
    Fail,
    /// Send again after this wait.
    Wait(Duration),
}

/// How often, and after which wait, a failed request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    max_attempts: u32,
    base: Duration,
    cap: Duration,
    max_wait: Duration,
}

impl Default for RetryPolicy {
    /// Three attempts; back-off from 100 ms, doubled each time up to 3 s (Twilio's own libraries do the same), with
    /// full jitter; no single wait above 10 s.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(3),
            max_wait: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// Every request is sent once.
    pub fn none() -> Self {
        Self::default().with_max_attempts(1)
    }

    /// A request is sent at most this often.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// A provider that asks for a longer wait than this has failed.
    #[must_use]
    pub fn with_max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// What follows the failure of attempt number `attempt` (from 1), with `jitter` in `0.0..=1.0`.
    pub fn next(&self, attempt: u32, effect: Effect, recovery: Recovery, jitter: f64) -> Step {
        let backoff = self.backoff(attempt).mul_f64(jitter);
        let wait = match (recovery, effect) {
            (Recovery::Retry { after }, _) => after.unwrap_or_default().max(backoff),
            (Recovery::Reconcile, Effect::Read | Effect::Keyed) => backoff,
            (Recovery::Reconcile, Effect::Once) | (Recovery::GiveUp, _) => return Step::Fail,
        };
        if attempt < self.max_attempts && wait <= self.max_wait {
            Step::Wait(wait)
        } else {
            Step::Fail
        }
    }

    fn backoff(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }
}

/// The cause of a failure that the provider itself says is its last word on this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the provider says that it would answer the same again")]
pub(crate) struct LastWord;

/// Whether sending the same again is of no use, whatever its effect.
fn is_last_word(error: &ProviderError) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<LastWord>)
}

/// Calls `attempt` with 1, 2, 3… until it succeeds or the policy says that its failure is the answer.
pub(super) async fn run<T, Attempt, Sleep>(
    policy: &RetryPolicy,
    effect: Effect,
    mut attempt: impl FnMut(u32) -> Attempt,
    mut sleep: impl FnMut(Duration) -> Sleep,
    mut jitter: impl FnMut() -> f64,
) -> Result<T, ProviderError>
where
    Attempt: Future<Output = Result<T, ProviderError>>,
    Sleep: Future<Output = ()>,
{
    let mut number = 1;
    loop {
        let error = match attempt(number).await {
            Ok(answer) => return Ok(answer),
            Err(error) if is_last_word(&error) => return Err(error),
            Err(error) => error,
        };
        match policy.next(number, effect, error.recovery(), jitter()) {
            Step::Fail => return Err(error),
            Step::Wait(wait) => {
                tracing::info!(
                    provider = %error.provider(),
                    operation = error.operation(),
                    attempt = number,
                    kind = ?error.kind(),
                    wait_ms = wait.as_millis(),
                    "sending a request again"
                );
                sleep(wait).await;
                number += 1;
            }
        }
    }
}

/// The wait that `Retry-After` asks for, in seconds or as a date (RFC 9110, 10.2.3). A date counts from the
/// provider's own `Date`, so that a clock that is wrong here does no harm; without one, from `now`.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| DateTimeParser::new().parse_timestamp(text).ok();
    let from = headers
        .get(header::DATE)
        .and_then(|value| value.to_str().ok())
        .and_then(date)
        .unwrap_or(now);
    let wait = date(text)?.duration_since(from);
    Some(Duration::try_from(wait).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::ready};

    use voice_saas_core::provider::{ErrorKind, ProviderName};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// After the first of three attempts, with a jitter of one half.
    #[track_caller]
    fn check(effect: Effect, recovery: Recovery, expected: Step) {
        assert_eq!(RetryPolicy::default().next(1, effect, recovery, 0.5), expected);
    }

    fn retry(after: Option<Duration>) -> Recovery {
        Recovery::Retry { after }
    }

    #[test]
    fn a_dial_that_timed_out_is_never_sent_twice() {
        check(Effect::Once, Recovery::Reconcile, Step::Fail);
    }

    #[test]
    fn a_read_that_timed_out_is_sent_again() {
        check(Effect::Read, Recovery::Reconcile, Step::Wait(SECOND / 20));
    }

    #[test]
    fn a_request_that_the_provider_recognises_is_sent_again() {
        check(Effect::Keyed, Recovery::Reconcile, Step::Wait(SECOND / 20));
    }

    #[test]
    fn a_purchase_that_was_not_processed_is_sent_again() {
        check(Effect::Once, retry(None), Step::Wait(SECOND / 20));
    }

    #[test]
    fn the_wait_that_the_provider_asks_for_is_kept() {
        check(Effect::Once, retry(Some(7 * SECOND)), Step::Wait(7 * SECOND));
        check(Effect::Read, retry(Some(SECOND / 1000)), Step::Wait(SECOND / 20));
    }

    #[test]
    fn too_long_a_wait_fails_at_once() {
        check(Effect::Read, retry(Some(11 * SECOND)), Step::Fail);
    }

    #[test]
    fn a_refusal_is_final() {
        for effect in [Effect::Read, Effect::Keyed, Effect::Once] {
            check(effect, Recovery::GiveUp, Step::Fail);
        }
    }

    #[test]
    fn the_last_attempt_is_final() {
        let policy = RetryPolicy::default().with_max_attempts(2);
        assert_eq!(policy.next(2, Effect::Read, retry(None), 0.5), Step::Fail);
        assert_eq!(
            RetryPolicy::none().next(1, Effect::Read, retry(None), 0.5),
            Step::Fail
        );
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        let policy = RetryPolicy::default().with_max_attempts(u32::MAX);
        for (attempt, wait) in [(1, 100), (2, 200), (3, 400), (6, 3000), (4_000_000, 3000)] {
            let step = policy.next(attempt, Effect::Read, Recovery::Reconcile, 1.0);
            assert_eq!(step, Step::Wait(Duration::from_millis(wait)), "{attempt}");
        }
    }

    #[tokio::test]
    async fn the_loop_sleeps_between_attempts_and_returns_the_last_failure() {
        let slept = RefCell::new(Vec::new());
        let error = |number| {
            ProviderError::new(ProviderName::new("test"), "read", ErrorKind::TimedOut)
                .with_detail(format!("attempt {number}"))
        };
        let policy = RetryPolicy::default();
        let answer = run(
            &policy,
            Effect::Read,
            |number| ready(Err::<(), _>(error(number))),
            |wait| {
                slept.borrow_mut().push(wait.as_millis());
                ready(())
            },
            || 1.0,
        );
        assert_eq!(answer.await.unwrap_err().detail(), Some("attempt 3"));
        assert_eq!(*slept.borrow(), [100, 200]);
    }

    #[tokio::test]
    async fn what_the_provider_calls_its_last_word_is_not_asked_again() {
        let attempts = RefCell::new(0);
        let policy = RetryPolicy::default();
        let answer = run(
            &policy,
            Effect::Read,
            |number| {
                *attempts.borrow_mut() = number;
                let error = ProviderError::new(ProviderName::new("test"), "read", ErrorKind::ServerError);
                ready(Err::<(), _>(error.with_source(LastWord)))
            },
            |_| ready(()),
            || 1.0,
        );
        assert_eq!(answer.await.unwrap_err().recovery(), Recovery::Reconcile);
        assert_eq!(*attempts.borrow(), 1);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        for (value, date, expected) in [
            ("7", None, Some(7 * SECOND)),
            ("Sat, 21 Nov 2026 10:00:05 GMT", None, Some(5 * SECOND)),
            (
                "Sat, 21 Nov 2026 10:00:05 GMT",
                Some("Sat, 21 Nov 2026 10:00:02 GMT"),
                Some(3 * SECOND),
            ),
            ("Sat, 21 Nov 2026 09:00:00 GMT", None, Some(Duration::ZERO)),
            ("-7", None, None),
            ("soon", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            if let Some(date) = date {
                headers.insert(header::DATE, date.parse().unwrap());
            }
            assert_eq!(retry_after(&headers, now), expected, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
