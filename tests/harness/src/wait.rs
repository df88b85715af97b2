//! Waiting on state.

use std::time::{Duration, Instant};

/// How long any wait lasts at most; generous, because it is reached only where a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at the state.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// Waits until `holds` does.
///
/// # Errors
/// Where it does not within [`PATIENCE`].
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        if holds().await {
            return Ok(());
        }
        anyhow::ensure!(
            began.elapsed() < PATIENCE,
            "within {PATIENCE:?} it never came: {what}"
        );
        tokio::time::sleep(LOOK).await;
    }
}
