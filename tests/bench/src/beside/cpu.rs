//! CPU time by the kernel's account, and which core runs what.

use std::process::Command;

use anyhow::{Context as _, ensure};

/// What a tick of `/proc/stat` is: Linux tells user space hundredths of a second, whatever its own clock.
const TICK_S: f64 = 0.01;

/// CPU time of all threads of a process, in nanoseconds.
pub(super) fn process_ns(pid: u32) -> anyhow::Result<u64> {
    let folder = format!("/proc/{pid}/task");
    let mut sum = 0;
    for task in std::fs::read_dir(&folder).with_context(|| format!("process {pid} has ended"))? {
        let path = task
            .with_context(|| format!("cannot read {folder}"))?
            .path()
            .join("schedstat");
        // A thread that has just ended is none.
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let on_cpu = text.split_ascii_whitespace().next();
        sum += on_cpu
            .and_then(|ns| ns.parse::<u64>().ok())
            .context("the kernel keeps no scheduler statistics")?;
    }
    Ok(sum)
}

/// The processes that a process has started.
pub(super) fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(text
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

/// What all cores of the machine have done.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Seconds of work.
    pub busy_s: f64,
    /// Seconds in which another guest had the core.
    pub stolen_s: f64,
}

impl Machine {
    /// Since the machine started.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub fn now() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = line
            .split_ascii_whitespace()
            .skip(1)
            .filter_map(|ticks| ticks.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal
        let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
            anyhow::bail!("/proc/stat is of a kind that is not known here");
        };
        Ok(Self {
            busy_s: (user + nice + system + irq + softirq) * TICK_S,
            stolen_s: steal * TICK_S,
        })
    }
}

/// Seconds of CPU that this process and the given ones have used.
pub(super) fn ours_s(pids: &[u32]) -> anyhow::Result<f64> {
    let mut ns = process_ns(std::process::id())?;
    for &pid in pids {
        ns += process_ns(pid)?;
    }
    Ok(ns as f64 / 1e9)
}

/// Moves the calling process to a core; what it starts from then on stays there too.
///
/// # Errors
/// Where there is no such core, or no `taskset`.
pub fn pin_self(core: usize) -> anyhow::Result<()> {
    let pid = std::process::id().to_string();
    let output = Command::new("taskset")
        .args(["-cp", &core.to_string(), &pid])
        .output()
        .context("cannot run taskset; it comes with util-linux")?;
    ensure!(
        output.status.success(),
        "cannot move to core {core}: gateway and load need a core each ({})",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
