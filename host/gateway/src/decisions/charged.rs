//! What the decision log charged to windows that are still open: what balances begin with after a start, and what a
//! process that still drains adds to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use pointsman_audit::Sums;
use pointsman_domain::Picos;
use pointsman_domain::control::Period;
use pointsman_traffic::window::Window;

/// The charges of all chains of a folder, also of threads that are no more, as they were last looked at.
pub(crate) struct Charged {
    folder: PathBuf,
    sums: Sums,
}

impl Charged {
    /// Looks at them.
    pub(crate) fn read(folder: &Path, now_ms: u64) -> anyhow::Result<Self> {
        let began = Instant::now();
        let sums = sum(folder, now_ms)?;
        tracing::debug!(
            segments_read = sums.read,
            segments_kept = sums.kept,
            unclosed = sums.unclosed,
            ms = began.elapsed().as_millis(),
            "balances are summed from the decision log"
        );
        Ok(Self {
            folder: folder.to_owned(),
            sums,
        })
    }

    /// Over all chains, by the names of the windows.
    pub(crate) fn total(&self) -> BTreeMap<String, Picos> {
        self.sums.total()
    }

    /// What the chains that `foreign` picks were charged more, or less, since they were last looked at.
    pub(crate) fn since(
        &mut self,
        foreign: impl Fn(&str) -> bool,
        now_ms: u64,
    ) -> anyhow::Result<BTreeMap<String, Picos>> {
        let now = sum(&self.folder, now_ms)?;
        let mut more: BTreeMap<String, Picos> = BTreeMap::new();
        for (chain, charged) in now.chains {
            if !foreign(&chain) {
                continue;
            }
            let before = self.sums.chains.insert(chain, charged.clone());
            for (window, picos) in before.into_iter().flatten() {
                *more.entry(window).or_default() -= picos;
            }
            for (window, picos) in charged {
                *more.entry(window).or_default() += picos;
            }
        }
        more.retain(|window, picos| *picos != Picos(0) && is_open(window, now_ms));
        Ok(more)
    }
}

fn sum(folder: &Path, now_ms: u64) -> anyhow::Result<Sums> {
    // Months begin no later than any window that is open.
    let since_ms = Window::at(Period::Month, now_ms).start_ms();
    pointsman_audit::sums(folder, since_ms, &|name| is_open(name, now_ms))
        .context("cannot sum the charges of the decision log")
}

/// Whether a window's name is one of ours, and it has not ended.
fn is_open(name: &str, now_ms: u64) -> bool {
    let window = name.splitn(3, '/').nth(2).and_then(Window::parse);
    window.is_some_and(|window| window.end_ms() > now_ms)
}
