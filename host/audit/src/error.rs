//! What can go wrong with the log, and what to do next.

use std::fmt;
use std::path::{Path, PathBuf};

/// A failure of the decision log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The operating system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried: `open`, `append to`, …
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another process writes this chain.
    #[error(
        "chain {chain} is being written by another process{}; stop that one, or give this one another `state` folder",
        pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    )]
    Locked {
        /// The chain's name.
        chain: String,
        /// The other process, where its lock file says so.
        pid: Option<u32>,
    },
    /// The disk is fuller than the configuration allows.
    #[error("the disk of {} is {used_percent} % full with {} MiB free, and no decision is begun above {max_percent} %; free space there", folder.display(), free_bytes >> 20)]
    Full {
        /// The log's folder.
        folder: PathBuf,
        /// Used space, rounded up.
        used_percent: u8,
        /// What is left.
        free_bytes: u64,
        /// The bound.
        max_percent: u8,
    },
    /// A record that no reader would accept.
    #[error("a record of {bytes} bytes is above the log's {max}; lower the policy's result limits")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A record that cannot be written as JSON.
    #[error("cannot write a record as JSON")]
    Encode(#[source] serde_json::Error),
    /// A chain's name is part of file names.
    #[error("`{0}` cannot name a chain; use 1 to 64 of a-z, 0-9 and -")]
    Name(String),
    /// All segment numbers are used.
    #[error("chain {0} has no segment numbers left; begin another `state` folder")]
    Exhausted(String),
    /// A line that does not hold.
    #[error("{0}; `pointsman audit verify` checks the whole log")]
    Damaged(Problem),
}

impl AuditError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

/// Where the log does not hold, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The segment's file name.
    pub file: String,
    /// Line number, from 1; 0 where it is not known (read backwards) or the whole file is meant.
    pub line: u64,
    /// Byte at which the line begins.
    pub offset: u64,
    /// What does not hold.
    pub what: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, " line {}", self.line)?;
        }
        write!(f, " (byte {}): {}", self.offset, self.what)
    }
}
