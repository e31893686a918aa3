//! Waiting for what happens in another process.

use std::time::Duration;

use tokio::time::Instant;

/// A job that is tried eight times, each time later, takes two minutes until it turns back.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);
/// The first pause between two looks, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(200)];

/// Asks again and again until the answer is something; says what it waited for in vain.
pub(crate) async fn eventually<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Option<T>, String>,
) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = PAUSES[0];
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(format!("HANG: in vain waited for {what}"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSES[1]);
    }
}
