//! Calls that are placed one after the other.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

/// Lets one pass in each interval, in the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    interval: Duration,
    last: Arc<Mutex<Option<Instant>>>,
}

impl Pace {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Arc::default(),
        }
    }

    /// Waits for one's turn. Who stops waiting leaves no gap.
    pub(super) async fn turn(&self) {
        let mut last = self.last.lock().await;
        let due = self.due(*last, Instant::now());
        tokio::time::sleep_until(due).await;
        *last = Some(due);
    }

    /// When the next one goes.
    fn due(&self, last: Option<Instant>, now: Instant) -> Instant {
        last.map_or(now, |last| now.max(last + self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_goes_at_once_and_the_others_an_interval_apart() {
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let pace = Pace::new(second);
        assert_eq!(pace.due(None, start), start);
        assert_eq!(pace.due(Some(start), start + second / 4), start + second);
        assert_eq!(pace.due(Some(start), start + 9 * second), start + 9 * second);
        pace.turn().await;
        assert!(pace.last.lock().await.is_some_and(|last| last >= start));
    }
}
