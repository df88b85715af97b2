//! What can go wrong with control state, and what to do next.

use std::io;
use std::path::{Path, PathBuf};

use pointsman_audit::{AuditError, Problem};
use pointsman_domain::Digest;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried: `open`, `write`, …
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process owns the folder.
    #[error(
        "{} is owned by another process{}; stop that one, or let it make the change through its control listener",
        folder.display(),
        pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    )]
    Owned {
        /// The folder.
        folder: PathBuf,
        /// The other process, where its lock file says so.
        pid: Option<u32>,
    },
    /// The folder was written in a format that this version does not read.
    #[error(
        "{} is of store format `{found}`, and this version reads {oldest} to {newest}; run the version that wrote it or a newer one, or restore a backup into an empty folder",
        path.display()
    )]
    Format {
        /// The file that says so.
        path: PathBuf,
        /// What it says, at most 64 characters; empty where it is missing beside a journal.
        found: String,
        /// The oldest format that is read.
        oldest: u32,
        /// The newest one, which is written.
        newest: u32,
    },
    /// The journal does not hold, and nothing else says what stood there.
    #[error(
        "the control journal in {} is damaged: {problem}; what stood there cannot be guessed: restore a backup into an empty folder, and keep this one for evidence",
        folder.display()
    )]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// Where and how.
        problem: Problem,
    },
    /// The journal could not be opened or read.
    #[error("cannot read the control journal")]
    Journal(#[source] AuditError),
    /// The journal did not take an entry.
    #[error("the control journal did not take the change, and nothing is changed")]
    Commit(#[source] AuditError),
    /// An entry that no reader would accept.
    #[error(
        "the change makes an entry of {bytes} bytes, above the journal's {max}; nothing is changed: send less at once"
    )]
    EntryTooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A blob above the configured size.
    #[error("{bytes} bytes are above the {max} that a blob may have")]
    BlobTooLarge {
        /// Its size.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// A blob that is not there.
    #[error("blob {digest} is not in the store; push it again, or restore a backup")]
    BlobMissing {
        /// Its name.
        digest: Digest,
    },
    /// A blob that is not what its name says.
    #[error("blob {digest} is damaged on the disk; push it again, or restore a backup")]
    BlobDamaged {
        /// Its name.
        digest: Digest,
    },
    /// A backup goes into an empty folder only.
    #[error("{} is not empty; restore into an empty or missing folder", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// An archive that is none of ours, or not whole.
    #[error("the archive cannot be restored: {what}")]
    Archive {
        /// Why not.
        what: String,
    },
    /// An archive could not be read or written.
    #[error("cannot {what} the archive")]
    Stream {
        /// `read` or `write`.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn archive(what: impl Into<String>) -> Self {
        Self::Archive { what: what.into() }
    }
}
