//! CPU time by the kernel's account, and which core runs what.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// What a tick of `/proc/stat` is: Linux tells user space hundredths of a second, whatever its own clock.
const TICK_S: f64 = 0.01;

/// CPU time of processes, of threads that have ended too.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// By process and thread, in nanoseconds: the kernel forgets a thread with its end.
    seen: BTreeMap<(u32, u32), u64>,
}

impl Clock {
    /// All that was seen of these processes, in nanoseconds; it never falls.
    pub(super) fn look(&mut self, pids: &[u32]) -> anyhow::Result<u64> {
        for &pid in pids {
            let folder = format!("/proc/{pid}/task");
            let tasks =
                std::fs::read_dir(&folder).with_context(|| format!("process {pid} has ended"))?;
            for task in tasks {
                let task = task.with_context(|| format!("cannot read {folder}"))?;
                let name = task.file_name().to_string_lossy().into_owned();
                // A thread that has just ended is none.
                let text = std::fs::read_to_string(task.path().join("schedstat"));
                let (Ok(text), Ok(thread)) = (text, name.parse()) else {
                    continue;
                };
                let on_cpu = text.split_ascii_whitespace().next();
                let ns = on_cpu
                    .and_then(|ns| ns.parse().ok())
                    .context("the kernel keeps no scheduler statistics")?;
                self.seen.insert((pid, thread), ns);
            }
        }
        Ok(self.seen.values().sum())
    }
}

/// CPU time of a process, by the tick.
fn process_s(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name may hold spaces; it ends with the last bracket. The times are fields 14 and 15 of all, 3 being the first
    // after it.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    Ok(ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        * TICK_S)
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
    let mut seconds = process_s(std::process::id())?;
    for &pid in pids {
        seconds += process_s(pid)?;
    }
    Ok(seconds)
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

#[cfg(test)]
mod tests {
    use super::{Clock, process_s};

    #[test]
    fn what_a_thread_has_used_stays_after_its_end() {
        let pid = std::process::id();
        let mut clock = Clock::default();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let began = std::time::Instant::now();
            while began.elapsed().as_millis() < 30 {}
            // Ends when the other side is dropped.
            let _told = wait.recv();
        });
        while clock.look(&[pid]).expect("ourselves") < 30_000_000 {
            std::thread::yield_now();
        }
        drop(go_on);
        thread.join().expect("it ends");
        assert!(clock.look(&[pid]).expect("ourselves") >= 30_000_000);
        assert!(process_s(pid).expect("ourselves") >= 0.02);
    }
}
