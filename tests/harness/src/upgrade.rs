//! The process that a gateway hands over to: no child of the test, so it is known by what it says itself.

use std::path::PathBuf;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::gateway::Gateway;
use crate::wait::eventually;

/// A process that serves and was started by another gateway. Dropped, it is killed.
#[derive(Debug)]
pub struct Successor {
    id: u32,
}

impl Gateway {
    /// What the ready file says now.
    #[must_use]
    pub fn word(&self) -> Value {
        let path: PathBuf = self.config().with_file_name("pointsman.ready.json");
        let bytes = std::fs::read(path).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// SIGUSR2 to the process that serves, and waits until another one says that it serves.
    ///
    /// # Errors
    /// Where none ever does.
    pub async fn upgrade(&self) -> anyhow::Result<Successor> {
        let before = self.word()["pid"].as_u64();
        let before = u32::try_from(before.context("the ready file tells no pid")?)?;
        signal(before, Signal::USR2)?;
        let mut now = before;
        eventually("another process serves", async || {
            let pid = self.word()["pid"].as_u64().unwrap_or_default();
            now = u32::try_from(pid).unwrap_or_default();
            now != before && now != 0
        })
        .await
        .with_context(|| self.process.log())?;
        Ok(Successor { id: now })
    }
}

impl Successor {
    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// SIGTERM, without waiting.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn terminate(&self) -> anyhow::Result<()> {
        signal(self.id, Signal::TERM)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn ended(&self) -> anyhow::Result<()> {
        eventually("the new process ends", async || !runs(self.id)).await
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if runs(self.id) {
            let _ended_already = signal(self.id, Signal::KILL);
        }
    }
}

/// Whether a process is there and has not ended; nobody may wait for one whose parent is gone.
fn runs(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_some_and(|state| !state.starts_with('Z'))
}

fn signal(id: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    let pid = pid.context("no process id")?;
    kill_process(pid, signal).with_context(|| format!("cannot signal process {id}"))
}
