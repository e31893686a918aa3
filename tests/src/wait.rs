//! Waiting for what happens in the background.

use std::time::Duration;

use tokio::time::Instant;

/// Nothing in a test takes nearly as long, not even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks again and again until the answer is something.
///
/// # Panics
/// When it is still nothing after half a minute.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
