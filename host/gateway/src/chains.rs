//! Whose decision chain is whose: a name, its lock, and what a killed process left behind.

use std::sync::PoisonError;

use anyhow::Context as _;
use pointsman_audit::{AuditError, Chain, ChainConfig, Recovery};
use pointsman_domain::decision::Record;

use crate::decisions;
use crate::limits;
use crate::node::Node;
use crate::pipeline::epoch_ms;

impl Node {
    /// A worker's own chain, recovered if the last process died. Where the process before this one still drains, its
    /// chains are locked, and the worker takes the next free name.
    /// With its name.
    pub(crate) fn open_chain(&self, index: usize) -> anyhow::Result<(Chain, String)> {
        let workers = self.workers();
        let tries = if self.succeeds {
            limits::CHAINS_TRIED_MAX
        } else {
            1
        };
        // No two workers try the same name.
        let mut names = (0..tries).map(|round| format!("worker-{}", index + round * workers));
        let (mut chain, recovery, name) = loop {
            let name = names
                .next()
                .context("every decision chain is being written by another process")?;
            match self.chain(&name) {
                Ok((chain, recovery)) => break (chain, recovery, name),
                Err(AuditError::Locked { .. }) if self.succeeds => {}
                Err(error) => {
                    let folder = self.decisions_dir();
                    return Err(error).with_context(|| {
                        format!(
                            "cannot open the decision log {name} in {}",
                            folder.display()
                        )
                    });
                }
            }
        };
        let started = Record::Started {
            at_ms: epoch_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        chain
            .append(&started)
            .context("cannot append to the decision log")?;
        close(&mut chain, &name, &recovery)?;
        let mut ours = self
            .own_chains
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ours.insert(name.clone());
        Ok((chain, name))
    }

    /// Ends in order the chains that nobody writes: a process that had other names may have been killed. Whether another
    /// process still writes one.
    pub(crate) fn mend_chains(&self) -> bool {
        let mut others = false;
        let Ok(listed) = std::fs::read_dir(self.decisions_dir()) else {
            return others;
        };
        for entry in listed.flatten() {
            let file = entry.file_name();
            let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".lock")) else {
                continue;
            };
            let (mut chain, recovery) = match self.chain(name) {
                Ok(opened) => opened,
                // It is written, here or by a process that still drains.
                Err(AuditError::Locked { pid, .. }) => {
                    others |= pid != Some(std::process::id());
                    continue;
                }
                Err(_) => continue,
            };
            let mended = close(&mut chain, name, &recovery)
                .and_then(|()| chain.seal().context("cannot seal the decision log"));
            if let Err(error) = mended {
                tracing::error!(chain = name, error = %format!("{error:#}"), "an abandoned decision log could not be ended in order; the next start tries again");
            }
        }
        others
    }

    /// Balances take up what the process before this one charged since they were summed; whether it still may.
    pub(crate) fn follow_predecessor(&self) -> anyhow::Result<bool> {
        let still = self.mend_chains();
        let ours = self
            .own_chains
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_foreign = |chain: &str| !ours.contains(chain);
        let mut charged = self.charged.lock().unwrap_or_else(PoisonError::into_inner);
        let more = charged.since(is_foreign, epoch_ms())?;
        self.meters.charge(&more);
        Ok(still)
    }

    fn chain(&self, name: &str) -> Result<(Chain, Recovery), AuditError> {
        Chain::open(&self.decisions_dir(), name, ChainConfig::default())
    }
}

/// Tells what was recovered, and closes what its process had opened.
fn close(chain: &mut Chain, name: &str, recovery: &Recovery) -> anyhow::Result<()> {
    if recovery.cut_bytes > 0 || !recovery.unclosed.is_empty() {
        tracing::warn!(chain = %name, cut_bytes = recovery.cut_bytes, unclosed = recovery.unclosed.len(), "recovered after a crash");
    }
    if let Some(damage) = &recovery.damage {
        tracing::error!(chain = %name, damage = %damage, "the decision log does not hold; it is kept, and goes on in a new segment");
    }
    for opened in &recovery.unclosed {
        let end = Record::Closed(Box::new(decisions::abandoned(opened, epoch_ms())));
        chain
            .append(&end)
            .context("cannot append to the decision log")?;
    }
    Ok(())
}
