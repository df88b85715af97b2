//! What the decision log charged to windows that are still open: what balances begin with after a start.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use pointsman_domain::Picos;
use pointsman_domain::control::Period;
use pointsman_traffic::window::Window;

/// Charges by the names of their windows, over all chains of the folder, also of threads that are no more.
pub(crate) fn charged(folder: &Path, now_ms: u64) -> anyhow::Result<BTreeMap<String, Picos>> {
    let began = Instant::now();
    // Months begin no later than any window that is open.
    let since_ms = Window::at(Period::Month, now_ms).start_ms();
    let sums = pointsman_audit::sums(folder, since_ms, &|name| is_open(name, now_ms))
        .context("cannot sum the charges of the decision log")?;
    tracing::debug!(
        segments_read = sums.read,
        segments_kept = sums.kept,
        unclosed = sums.unclosed,
        ms = began.elapsed().as_millis(),
        "balances are summed from the decision log"
    );
    Ok(sums.total())
}

/// Whether a window's name is one of ours, and it has not ended.
fn is_open(name: &str, now_ms: u64) -> bool {
    let window = name.splitn(3, '/').nth(2).and_then(Window::parse);
    window.is_some_and(|window| window.end_ms() > now_ms)
}
