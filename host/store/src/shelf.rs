//! What is queried, in a database of its own: sole user of sled.
//!
//! Promises: rows and mark change together or not at all; whatever goes wrong inside sled, a panic included, comes out
//! as [`Broken`] and nothing else. Its durability is the journal's business: rows that a crash takes are replayed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional as _};
use sled::{IVec, Mode, Tree};

use crate::rows::{Mark, Op, Table};

/// Pages that sled keeps in memory, in bytes. All state is in memory anyway; rows are read at an opening alone.
const CACHE_BYTES: u64 = 1024 * 1024;
/// Pause between tries at a database that a thread of ours still closes.
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const LOCK_TRIES: u32 = 100;

const META: &str = "meta";
const MARK: &[u8] = b"mark";
const SUM: &[u8] = b"sum";

/// The queryable state cannot be used; the journal has all that it held.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) String);

impl From<sled::Error> for Broken {
    fn from(error: sled::Error) -> Self {
        Self(error.to_string())
    }
}

/// Takes a row; what is wrong with it otherwise.
pub(crate) type RowFn<'a> = dyn FnMut(Table, &[u8], &[u8]) -> Result<(), &'static str> + 'a;

/// What the store asks of a database. One implementation today; a fleet's is Postgres.
pub(crate) trait Shelf: Send {
    /// Gives every row to `row`; where they stand, or none where they were never filled whole.
    fn load(&mut self, row: &mut RowFn<'_>) -> Result<Option<Mark>, Broken>;

    /// Changes rows, all or none. Without a mark they are being filled, and count for nothing yet.
    fn apply(&mut self, ops: &[Op], mark: Option<&Mark>) -> Result<(), Broken>;

    /// Brings to the disk what was applied.
    fn flush(&mut self) -> Result<(), Broken>;
}

/// Rows in sled.
pub(crate) struct Sled {
    /// There until it is dropped.
    db: Option<sled::Db>,
    /// One a table in the order of `Table::ALL`, and `meta` last.
    trees: Vec<Tree>,
}

impl Sled {
    pub(crate) fn open(folder: &Path) -> Result<Self, Broken> {
        guarded(|| {
            let db = open_db(folder)?;
            let mut trees = Vec::new();
            for table in Table::ALL {
                trees.push(db.open_tree(table.name())?);
            }
            trees.push(db.open_tree(META)?);
            Ok(Self {
                db: Some(db),
                trees,
            })
        })
    }
}

fn open_db(folder: &Path) -> Result<sled::Db, Broken> {
    let mut tries = 0;
    loop {
        let opened = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .mode(Mode::LowSpace)
            // No thread that wakes twice a second for a journal that is durable already.
            .flush_every_ms(None)
            .open();
        match opened {
            // The folder is ours: its last user was this process or one that has just given it up.
            Err(sled::Error::Io(error))
                if tries < LOCK_TRIES && error.to_string().contains("could not acquire lock") =>
            {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return Ok(opened?),
        }
    }
}

impl Shelf for Sled {
    fn load(&mut self, row: &mut RowFn<'_>) -> Result<Option<Mark>, Broken> {
        guarded(|| {
            let (meta, tables) = self.trees.split_last().expect("opened with it");
            let Some(mark) = meta.get(MARK)? else {
                return Ok(None);
            };
            let mark = parse_mark(&mark)?;
            let said = Sum::parse(meta.get(SUM)?)?;
            let mut found = Sum::default();
            for (table, tree) in Table::ALL.into_iter().zip(tables) {
                for item in tree.iter() {
                    let (key, value) = item?;
                    found.add(table, &key, &value);
                    row(table, &key, &value).map_err(|what| Broken(what.to_owned()))?;
                }
            }
            if found != said {
                return Err(Broken("rows are missing or were changed".to_owned()));
            }
            Ok(Some(mark))
        })
    }

    fn apply(&mut self, ops: &[Op], mark: Option<&Mark>) -> Result<(), Broken> {
        guarded(|| {
            self.trees
                .as_slice()
                .transaction(
                    |trees| -> Result<(), ConflictableTransactionError<Broken>> {
                        let (meta, tables) = trees.split_last().expect("opened with it");
                        let mut sum = Sum::parse(meta.get(SUM)?)
                            .map_err(ConflictableTransactionError::Abort)?;
                        for op in ops {
                            let tree = &tables[op.table as usize];
                            let old = match &op.value {
                                Some(value) => {
                                    sum.add(op.table, &op.key, value);
                                    tree.insert(op.key.as_slice(), value.as_slice())?
                                }
                                None => tree.remove(op.key.as_slice())?,
                            };
                            if let Some(old) = old {
                                sum.remove(op.table, &op.key, &old);
                            }
                        }
                        meta.insert(SUM, sum.bytes())?;
                        match mark {
                            Some(mark) => meta.insert(MARK, mark_bytes(mark))?,
                            // What is half filled stands nowhere.
                            None => meta.remove(MARK)?,
                        };
                        Ok(())
                    },
                )
                .map_err(|error| match error {
                    TransactionError::Abort(broken) => broken,
                    TransactionError::Storage(error) => error.into(),
                })
        })
    }

    fn flush(&mut self) -> Result<(), Broken> {
        guarded(|| {
            if let Some(db) = &self.db {
                db.flush()?;
            }
            Ok(())
        })
    }
}

impl Drop for Sled {
    fn drop(&mut self) {
        let (trees, db) = (std::mem::take(&mut self.trees), self.db.take());
        let closed = guarded(|| {
            drop(trees);
            drop(db);
            Ok(())
        });
        if let Err(broken) = closed {
            tracing::warn!(%broken, "the queryable state did not close; the next start mends it");
        }
    }
}

/// Runs what may panic on a damaged database.
fn guarded<T>(run: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Broken(format!("the database panicked: {text}")))
    })
}

fn mark_bytes(mark: &Mark) -> Vec<u8> {
    [&mark.sequence.to_be_bytes()[..], &mark.head].concat()
}

fn parse_mark(bytes: &[u8]) -> Result<Mark, Broken> {
    let parsed = bytes.split_first_chunk::<8>().and_then(|(sequence, head)| {
        Some(Mark {
            sequence: u64::from_be_bytes(*sequence),
            head: head.try_into().ok()?,
        })
    });
    parsed.ok_or_else(|| Broken("the mark is not what this version writes".to_owned()))
}

/// How many rows there are, and a checksum of all that does not depend on their order: it shows rows that a damaged
/// database lost without a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    checksums: u64,
}

impl Sum {
    fn parse(bytes: Option<IVec>) -> Result<Self, Broken> {
        let Some(bytes) = bytes else {
            return Ok(Self::default());
        };
        let (rows, checksums) = bytes
            .split_first_chunk::<8>()
            .and_then(|(rows, rest)| Some((rows, <&[u8; 8]>::try_from(rest).ok()?)))
            .ok_or_else(|| Broken("the sum is not what this version writes".to_owned()))?;
        Ok(Self {
            rows: u64::from_be_bytes(*rows),
            checksums: u64::from_be_bytes(*checksums),
        })
    }

    fn bytes(self) -> Vec<u8> {
        [self.rows.to_be_bytes(), self.checksums.to_be_bytes()].concat()
    }

    fn add(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.checksums = self.checksums.wrapping_add(checksum(table, key, value));
    }

    fn remove(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.checksums = self.checksums.wrapping_sub(checksum(table, key, value));
    }
}

fn checksum(table: Table, key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[table as u8]);
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    u64::from(hasher.finalize())
}
