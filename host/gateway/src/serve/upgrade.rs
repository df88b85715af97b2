//! Upgrade without a refused connection: a new process takes over the listening sockets while this one drains.
//!
//! SIGUSR2 → the control listener pauses → the store is given up → the program at its own path is started with its own
//! arguments, the sockets and a line back to this process → it opens the state, builds, and says that it serves → this
//! process stops accepting, lets its requests end, and exits. Where the new one ends, or says nothing in time, it is
//! killed and this process goes on as if nothing had been. Connections that wait in a socket's queue wait for whoever
//! accepts next. Each process writes decision chains of its own: the locks on their names tell whose they are.

use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use command_fds::{CommandFdExt as _, FdMapping};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use super::listen::{Listeners, READY};
use crate::limits;
use crate::node::Node;

/// What a new process says when it serves.
const SERVES: &[u8; 7] = b"serves\n";
/// The first descriptor of `LISTEN_FDS`.
const FIRST: i32 = 3;

/// What one process alone may hold.
pub(super) trait Handover {
    /// Gives it up for the next process; requests go on without it.
    fn before_handover(&self) -> anyhow::Result<()>;
    /// Takes it again, the next process being gone.
    fn take_back(&self) -> anyhow::Result<()>;
}

/// The control state; decision chains are each process's own.
impl Handover for Node {
    fn before_handover(&self) -> anyhow::Result<()> {
        self.plane.release()
    }

    fn take_back(&self) -> anyhow::Result<()> {
        self.plane.take_back()
    }
}

/// What starts this program again: a newer one, where its file was replaced.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl Program {
    /// To be called at the start: later the file may have been replaced, and its old name is no longer known.
    pub(super) fn of_this_process() -> Self {
        let mut words = std::env::args_os();
        let first = words.next().map(PathBuf::from);
        let real = std::env::current_exe().unwrap_or_default();
        // As it was called, since that may be a link which the next release points elsewhere.
        let path = first
            .and_then(|first| called(&first, &real))
            .unwrap_or(real);
        Self {
            path,
            arguments: words.collect(),
        }
    }
}

/// The absolute path behind `argv[0]`, where it leads to this very program.
fn called(first: &Path, real: &Path) -> Option<PathBuf> {
    let leads_here = |path: &PathBuf| path.canonicalize().is_ok_and(|leads| leads == real);
    if first.components().count() > 1 {
        let path = std::path::absolute(first).ok()?;
        return leads_here(&path).then_some(path);
    }
    let folders = std::env::var_os("PATH")?;
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(first));
    paths.find(leads_here)
}

/// The next process, until it serves.
pub(super) struct Successor {
    child: Child,
    line: UnixStream,
}

/// Starts it.
pub(super) fn start(program: &Program, listeners: &Listeners) -> anyhow::Result<Successor> {
    let (ours, theirs) = StdUnixStream::pair().context("cannot make a line to the new process")?;
    ours.set_nonblocking(true)
        .context("cannot use the line to the new process")?;
    let line = UnixStream::from_std(ours).context("cannot use the line to the new process")?;
    let sockets = listeners.handed_on();
    let mut sockets = sockets.context("cannot share the listening sockets")?;
    sockets.push((READY, theirs.into()));
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .env("LISTEN_FDS", sockets.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDS_FIRST_FD");
    let mappings = (FIRST..)
        .zip(sockets)
        .map(|(child_fd, (_, parent_fd))| FdMapping {
            parent_fd,
            child_fd,
        });
    command
        .fd_mappings(mappings.collect())
        .context("cannot hand on the sockets")?;
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    tracing::info!(pid = child.id(), "the new process starts");
    // With it goes our copy of the other end of the line: from here on its end is the new process's end.
    drop(command);
    Ok(Successor { child, line })
}

impl Successor {
    /// Waits until it says that it serves.
    pub(super) async fn ready(&mut self, within: Duration) -> anyhow::Result<()> {
        let mut word = [0; SERVES.len()];
        let read = tokio::time::timeout(within, self.line.read_exact(&mut word)).await;
        match read {
            Ok(Ok(_)) if word == *SERVES => {
                tracing::info!(pid = self.child.id(), "the new process serves");
                Ok(())
            }
            Ok(_) => {
                self.last_words().await;
                bail!("the new process ended before it served; its words are above")
            }
            Err(_) => bail!(
                "the new process did not serve within {} ms (data.upgrade-ms)",
                within.as_millis()
            ),
        }
    }

    /// It hung up, and may still have to say why.
    async fn last_words(&mut self) {
        let until = Instant::now() + Duration::from_millis(limits::LAST_WORDS_MS);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends one that does not serve, and waits until it is gone: only then is free what it held.
    pub(super) fn end(mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// Tells the process before this one that this one serves.
pub(super) fn tell(mut predecessor: StdUnixStream) {
    if let Err(error) = predecessor.write_all(SERVES) {
        tracing::warn!(error = %error, "the process before this one does not listen; it may have ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_kept_and_what_leads_elsewhere_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("a path");
        let (real, other, link) = (folder.join("v1"), folder.join("v2"), folder.join("link"));
        std::fs::write(&real, "1").expect("written");
        std::fs::write(&other, "2").expect("written");
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        assert_eq!(called(&link, &real), Some(link.clone()));
        assert_eq!(called(&real, &real), Some(real.clone()));
        assert_eq!(called(&other, &real), None);
        assert_eq!(called(Path::new("not-in-any-path"), &real), None);
    }
}
