//! The store itself: open, commit, read, give up.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use pointsman_audit::{AuditError, Chain};
use pointsman_domain::Digest;
use pointsman_domain::control::{Change, Entry, Idempotency};
use pointsman_domain::decision::Record;

use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::folder;
use crate::journal;
use crate::recovery::{self, Found, Recovered};
use crate::rows::{Mark, difference};
use crate::shelf::{Broken, Shelf};
use crate::state::State;

/// Commits after which the queryable state goes to the disk; a crash replays at most so many.
const FLUSH_COMMITS: u32 = 64;

/// A store's bounds.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The largest blob, in bytes.
    pub blob_bytes_max: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            blob_bytes_max: 100 * 1024 * 1024,
        }
    }
}

/// Control state in a folder that this process owns.
pub struct Store {
    folder: PathBuf,
    blobs: Blobs,
    /// What the journal adds up to; changed only under `writer`.
    state: RwLock<State>,
    writer: Mutex<Writer>,
    /// Held for as long as the store lives, and dropped last; the operating system frees it with the process.
    _owner: File,
}

struct Writer {
    journal: Chain,
    /// None once it failed; the next opening mends it.
    shelf: Option<Box<dyn Shelf>>,
    /// Commits that the shelf took since it was last brought to the disk.
    unflushed: u32,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in a folder, makes it where there is none, and mends what the last process left.
    ///
    /// # Errors
    /// Where another process owns the folder, its format is not known, its journal is damaged beyond what the queryable
    /// state covers, or the operating system refuses. Whatever is wrong with the queryable state is no error.
    pub fn open(folder: &Path, config: StoreConfig) -> Result<(Self, Recovered), StoreError> {
        folder::make(folder)?;
        let owner = folder::own(folder)?;
        folder::check_format(folder)?;
        let (journal, chain) = Chain::open(folder, journal::CHAIN, journal::config()).map_err(
            |error| match error {
                AuditError::Locked { pid, .. } => StoreError::Owned {
                    folder: folder.to_owned(),
                    pid,
                },
                error => StoreError::Journal(error),
            },
        )?;
        let mut recovered = Recovered {
            cut_bytes: chain.cut_bytes,
            damage: chain.damage,
            ..Recovered::default()
        };
        let blobs = Blobs::open(folder, config.blob_bytes_max)?;
        let Found { state, shelf } = recovery::recover(folder, &mut recovered)?;
        let store = Self {
            folder: folder.to_owned(),
            blobs,
            state: RwLock::new(state),
            writer: Mutex::new(Writer {
                journal,
                shelf,
                unflushed: 0,
            }),
            _owner: owner,
        };
        Ok((store, recovered))
    }

    /// All control state as of the last commit; a copy that never changes and costs a few counts.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Keeps bytes, which are on the disk when this returns; their digest. What is there already stays.
    ///
    /// # Errors
    /// Where they are too many, or the operating system refuses: nothing of them is left then.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.blobs.put(bytes)
    }

    /// The bytes of a digest, checked against it.
    ///
    /// # Errors
    /// Where they are not there, are damaged, or cannot be read.
    pub fn blob(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        self.blobs.read(digest)
    }

    /// Commits one change; the state that it led to, which is on the disk when this returns.
    ///
    /// `at_ms` is the caller's clock, in milliseconds since the epoch; the order is the sequence's alone.
    ///
    /// # Errors
    /// Where the journal does not take the entry: nothing is changed then. Nothing that fails after the journal took it
    /// is an error: the change has happened.
    pub fn commit(
        &self,
        at_ms: u64,
        actor: &str,
        change: Change,
        idempotency: Option<Idempotency>,
    ) -> Result<State, StoreError> {
        let mut writer = self.writer();
        let before = self.state();
        let entry = Entry {
            sequence: before.sequence + 1,
            at_ms,
            actor: actor.to_owned(),
            change,
            idempotency,
        };
        let sequence = entry.sequence;
        let record = Record::Control(Box::new(entry));
        writer.journal.append(&record).map_err(refused)?;
        let mut state = before.clone();
        if let Record::Control(entry) = &record {
            state.apply(entry);
        }
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state.clone();
        let mark = Mark {
            sequence,
            head: writer.journal.head(),
        };
        writer.shelve(&self.folder, &before, &state, &mark);
        Ok(state)
    }

    /// Entries behind a sequence, oldest first, at most `limit`. One that is damaged is left out: the sequence shows it.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub fn entries(&self, after: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        // What is appended meanwhile may still fail.
        let last = self.state().sequence;
        if after >= last {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        let lines = journal::lines_from(&self.folder, after + 1).map_err(StoreError::Journal)?;
        for line in lines {
            if entries.len() >= limit {
                break;
            }
            match line.map(|line| line.record) {
                Ok(Some(Record::Control(entry))) if entry.sequence > last => break,
                Ok(Some(Record::Control(entry))) if entry.sequence > after => entries.push(*entry),
                Ok(_) | Err(AuditError::Damaged(_)) => {}
                Err(error) => return Err(StoreError::Journal(error)),
            }
        }
        Ok(entries)
    }

    /// Gives the folder up, so that another process can take it over: the journal is sealed, the queryable state is on
    /// the disk.
    ///
    /// # Errors
    /// Where the journal cannot be sealed; the folder is given up all the same, and the next opening seals it.
    pub fn release(self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        writer.flush(&self.folder);
        writer.journal.seal().map_err(StoreError::Journal)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Runs while nobody commits.
    pub(crate) fn still<T>(&self, run: impl FnOnce(&State, &Chain) -> T) -> T {
        let writer = self.writer();
        run(&self.state(), &writer.journal)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Brings a commit to the queryable state. What fails here is mended at the next opening.
    fn shelve(&mut self, folder: &Path, before: &State, after: &State, mark: &Mark) {
        let Some(shelf) = &mut self.shelf else {
            return;
        };
        let applied = difference(before, after)
            .map_err(|error| Broken(error.to_string()))
            .and_then(|ops| shelf.apply(&ops, Some(mark)));
        match applied {
            Ok(()) => {
                self.unflushed += 1;
                if self.unflushed >= FLUSH_COMMITS {
                    self.flush(folder);
                }
            }
            Err(broken) => self.give_up(folder, &broken),
        }
    }

    fn flush(&mut self, folder: &Path) {
        self.unflushed = 0;
        if let Some(shelf) = &mut self.shelf
            && let Err(broken) = shelf.flush()
        {
            self.give_up(folder, &broken);
        }
    }

    fn give_up(&mut self, folder: &Path, broken: &Broken) {
        tracing::error!(%broken, "the queryable state failed: state is served from memory, and rebuilt from the journal at the next start");
        self.shelf = None;
        if let Err(error) = recovery::set_aside(folder) {
            tracing::warn!(%error, "the failed queryable state stays in its place; the next start checks it");
        }
    }
}

fn refused(error: AuditError) -> StoreError {
    match error {
        AuditError::TooLarge { bytes, max } => StoreError::EntryTooLarge { bytes, max },
        error => StoreError::Commit(error),
    }
}

#[cfg(test)]
mod tests {
    use pointsman_domain::control::Change;

    use super::{Store, StoreConfig};
    use crate::rows::{Mark, Op};
    use crate::shelf::{Broken, RowFn, Shelf};

    /// A database that takes some commits, and then nothing.
    struct Failing {
        left: u32,
        flushes: bool,
    }

    impl Shelf for Failing {
        fn load(&mut self, _: &mut RowFn<'_>) -> Result<Option<Mark>, Broken> {
            Ok(None)
        }

        fn apply(&mut self, _: &[Op], _: Option<&Mark>) -> Result<(), Broken> {
            let left = self.left.checked_sub(1);
            self.left = left.ok_or_else(|| Broken("no room".to_owned()))?;
            Ok(())
        }

        fn flush(&mut self) -> Result<(), Broken> {
            let failed = || Broken("no room".to_owned());
            self.flushes.then_some(()).ok_or_else(failed)
        }
    }

    #[test]
    fn a_queryable_state_that_fails_fails_no_commit_and_is_rebuilt() {
        for (left, flushes) in [(0, true), (3, true), (1_000, false)] {
            let folder = tempfile::tempdir().expect("a folder");
            let open = || Store::open(folder.path(), StoreConfig::default()).expect("opens");
            let (store, _) = open();
            store.writer().shelf = Some(Box::new(Failing { left, flushes }));
            for sequence in 1..=70 {
                let state = store
                    .commit(sequence, "admin", Change::Seeded, None)
                    .expect("the journal took it");
                assert_eq!(state.sequence, sequence);
            }
            assert!(store.writer().shelf.is_none());
            let state = store.state();
            drop(store);
            let (store, recovered) = open();
            assert_eq!(store.state(), state);
            assert_eq!(recovered.replayed, 70);
            assert!(recovered.rebuilt.is_some());
        }
    }
}
