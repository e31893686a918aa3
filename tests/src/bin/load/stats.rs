//! How long things took.

use std::time::Duration;

/// Times, of which each is kept: runs are bounded, and nothing is rounded into buckets.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn summary(mut self) -> Summary {
        self.0.sort_unstable();
        let at = |per_mille| rank(self.0.len(), per_mille).map_or(Duration::ZERO, |place| self.0[place]);
        Summary {
            count: self.0.len(),
            p50: at(500),
            p99: at(990),
            p999: at(999),
            max: at(1_000),
        }
    }
}

/// The place of a quantile among `count` sorted values: that of the smallest one which so many per mille do not exceed.
fn rank(count: usize, per_mille: usize) -> Option<usize> {
    (count * per_mille)
        .div_ceil(1_000)
        .max(1)
        .checked_sub(1)
        .filter(|place| *place < count)
}

/// What is said about times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) max: Duration,
}

/// In milliseconds.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// A count as a number to divide by or to be divided.
#[expect(clippy::cast_precision_loss, reason = "no run counts to 2^52")]
pub(crate) const fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(times: impl IntoIterator<Item = u64>) -> Summary {
        Times(times.into_iter().map(Duration::from_millis).collect()).summary()
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let ms = Duration::from_millis;
        let thousand = summary((1..=1_000).rev());
        assert_eq!(
            (thousand.count, thousand.p50, thousand.p99),
            (1_000, ms(500), ms(990))
        );
        assert_eq!((thousand.p999, thousand.max), (ms(999), ms(1_000)));
        let few = summary([3, 1, 2]);
        assert_eq!(
            (few.p50, few.p99, few.p999, few.max),
            (ms(2), ms(3), ms(3), ms(3))
        );
    }

    #[test]
    fn nothing_took_no_time() {
        assert_eq!(summary([]).max, Duration::ZERO);
        assert_eq!(summary([]).count, 0);
    }
}
