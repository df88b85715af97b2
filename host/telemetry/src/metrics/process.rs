//! What the kernel says of this process, read when the metrics are.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::registry::Registry;

use super::{Level, add, level};

/// Gauges that are set at each reading; what the kernel does not say stays at nothing.
#[derive(Debug, Default)]
pub(super) struct Process {
    resident_bytes: Level,
    threads: Level,
    open_files: Level,
    started_s: Level,
}

impl Process {
    pub(super) fn register(&self, r: &mut Registry) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.started_s
            .set(now.map_or(0, |now| level(now.as_secs())));
        add(
            r,
            "resident_memory_bytes",
            "Memory that is resident",
            &self.resident_bytes,
        );
        add(r, "threads", "Threads", &self.threads);
        add(r, "open_fds", "Open file descriptors", &self.open_files);
        add(
            r,
            "start_time_seconds",
            "When it began, in seconds since the epoch",
            &self.started_s,
        );
    }

    pub(super) fn read(&self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let (kib, threads) = counts(&status);
        self.resident_bytes.set(level(kib.saturating_mul(1024)));
        self.threads.set(level(threads));
        // The one that reads the folder is among them.
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count());
        let others = u64::try_from(files.saturating_sub(1)).unwrap_or(u64::MAX);
        self.open_files.set(level(others));
    }
}

/// `VmRSS` in KiB and `Threads`.
fn counts(status: &str) -> (u64, u64) {
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    (
        number("VmRSS:").unwrap_or(0),
        number("Threads:").unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn the_kernels_words_are_read() {
        let status = "Name:\tpointsman\nVmRSS:\t   40960 kB\nThreads:\t5\n";
        assert_eq!(counts(status), (40_960, 5));
        assert_eq!(counts("Name:\tpointsman\nVmRSS:\t?\n"), (0, 0));
    }
}
