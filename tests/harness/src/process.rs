//! One server process: started, watched, and gone when its handle drops.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::wait::{LOOK, PATIENCE};

/// Lines of the log that an error shows.
const SHOWN_LINES: usize = 40;

/// A server process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its output in `folder`, and waits until it has written its ready file there, which is
    /// returned.
    ///
    /// # Errors
    /// Where it cannot be started, ends, or is not ready in time; the error shows its log.
    pub(crate) async fn start(
        mut command: Command,
        folder: &Path,
    ) -> anyhow::Result<(Self, Value)> {
        let program = Path::new(command.get_program())
            .file_name()
            .unwrap_or_else(|| OsStr::new("server"));
        let name = program.to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        let ready = folder.join(format!("{name}.ready.json"));
        // A file of an earlier start would be believed.
        match std::fs::remove_file(&ready) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", ready.display()));
            }
            _ => {}
        }
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let other = file.try_clone().context("cannot share the log file")?;
        command
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(other);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut process = Self { name, child, log };
        let word = process.ready(&ready).await?;
        Ok((process, word))
    }

    async fn ready(&mut self, file: &Path) -> anyhow::Result<Value> {
        let began = Instant::now();
        loop {
            // A file that is half written is no JSON yet.
            if let Ok(bytes) = std::fs::read(file)
                && let Ok(word) = serde_json::from_slice(&bytes)
            {
                return Ok(word);
            }
            if let Some(status) = self
                .child
                .try_wait()
                .context("cannot ask for the process")?
            {
                bail!(
                    "{} ended before it was ready ({status}):\n{}",
                    self.name,
                    self.tail()
                );
            }
            if began.elapsed() > PATIENCE {
                bail!(
                    "{} was not ready within {PATIENCE:?}:\n{}",
                    self.name,
                    self.tail()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to stdout and stderr.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }

    /// Memory that is resident, from the kernel.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.id());
        let status =
            std::fs::read_to_string(&path).with_context(|| format!("{} has ended", self.name))?;
        let kib = status.lines().find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse()
                .ok()
        });
        let kib: u64 = kib.context("the kernel does not say")?;
        Ok(kib * 1024)
    }

    /// `kill -9`, and waits for its end.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.child
            .kill()
            .with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().context("cannot wait for the process")
    }

    /// SIGTERM, without waiting.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// SIGHUP: look at your certificates.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn hang_up(&self) -> anyhow::Result<()> {
        self.signal(Signal::HUP)
    }

    /// SIGUSR2, without waiting; see `Gateway::upgrade`.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn upgrade(&self) -> anyhow::Result<()> {
        self.signal(Signal::USR2)
    }

    /// Stops it in its tracks; its sockets stay open.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no process id")?;
        kill_process(id, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self
                .child
                .try_wait()
                .context("cannot ask for the process")?
            {
                return Ok(status);
            }
            if began.elapsed() > PATIENCE {
                bail!(
                    "{} did not end within {PATIENCE:?}:\n{}",
                    self.name,
                    self.tail()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut stderr = std::io::stderr().lock();
            let _nowhere_left_to_tell = writeln!(
                stderr,
                "--- end of the log of {}:\n{}\n---",
                self.name,
                self.tail()
            );
        }
        // It may have ended by itself, which is just as well.
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}
