//! From what the last process left to the state that the journal adds up to.

use std::fs;
use std::path::{Path, PathBuf};

use pointsman_audit::Problem;

use crate::error::StoreError;
use crate::journal::{self, Replayed, Unfit};
use crate::rows::{Mark, difference};
use crate::shelf::{Broken, Shelf, Sled};
use crate::state::State;

/// sled's folder.
const FOLDER: &str = "state";
/// Where one that is broken is kept until the next one breaks.
const BROKEN: &str = "state.broken";
/// Rows that go into one transaction while a database is filled.
const FILL_ROWS: usize = 1_000;

/// What opening a store found and mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries that were replayed from the journal.
    pub replayed: u64,
    /// Why the queryable state was rebuilt from the journal; none where it was not, or there was none in a new folder.
    pub rebuilt: Option<String>,
    /// Why there is no queryable state on the disk for now; the state in memory is whole all the same.
    pub shelf_failed: Option<String>,
    /// Bytes of a half-written entry that were cut. It was never acknowledged.
    pub cut_bytes: u64,
    /// Damage of the journal that loses nothing of the state: the queryable state covers it, or it held no entry. The
    /// control audit has a hole there.
    pub damage: Option<Problem>,
}

/// The state, and the database that holds it, where one can be had.
pub(crate) struct Found {
    pub(crate) state: State,
    pub(crate) shelf: Option<Box<dyn Shelf>>,
}

/// Finds the state of a folder whose journal is open for writing.
pub(crate) fn recover(folder: &Path, recovered: &mut Recovered) -> Result<Found, StoreError> {
    let path = folder.join(FOLDER);
    let had_one = path.exists();
    let why = match load(&path) {
        Ok((shelf, Some((mark, state)))) => {
            match catch_up(folder, shelf, mark, state, recovered)? {
                Ok(found) => return Ok(found),
                Err(why) => why,
            }
        }
        Ok((_, None)) => "it was never filled whole".to_owned(),
        Err(broken) => broken.to_string(),
    };
    let replayed = replay(folder, None)?.map_err(|what| StoreError::Damaged {
        folder: folder.to_owned(),
        problem: Problem {
            file: journal::CHAIN.to_owned(),
            line: 0,
            offset: 0,
            what,
        },
    })?;
    if had_one || replayed.entries > 0 {
        tracing::warn!(
            why,
            entries = replayed.entries,
            "the queryable state is rebuilt from the journal"
        );
        recovered.rebuilt = Some(why);
    }
    told(&replayed, recovered);
    let shelf = rebuild(folder, &replayed)
        .inspect_err(|broken| {
            tracing::error!(%broken, "there is no queryable state on the disk; the next start tries again");
            recovered.shelf_failed = Some(broken.to_string());
        })
        .ok();
    Ok(Found {
        state: replayed.state,
        shelf,
    })
}

type Loaded = (Box<dyn Shelf>, Option<(Mark, State)>);

fn load(path: &Path) -> Result<Loaded, Broken> {
    if !path.exists() {
        return Err(Broken("there was none".to_owned()));
    }
    let mut shelf = Sled::open(path)?;
    let mut state = State::default();
    let mark = shelf.load(&mut |table, key, value| state.put_row(table, key, value))?;
    let base = mark.map(|mark| {
        state.sequence = mark.sequence;
        (mark, state)
    });
    Ok((Box::new(shelf), base))
}

/// Replays what the database lacks; why it cannot be used otherwise.
fn catch_up(
    folder: &Path,
    mut shelf: Box<dyn Shelf>,
    mark: Mark,
    state: State,
    recovered: &mut Recovered,
) -> Result<Result<Found, String>, StoreError> {
    let before = state.clone();
    let replayed = match replay(folder, Some((mark, state)))? {
        Ok(replayed) => replayed,
        Err(why) => return Ok(Err(why.to_owned())),
    };
    if replayed.entries > 0
        && let Err(broken) = fill(&mut *shelf, &before, &replayed)
    {
        return Ok(Err(broken.to_string()));
    }
    told(&replayed, recovered);
    Ok(Ok(Found {
        state: replayed.state,
        shelf: Some(shelf),
    }))
}

/// The journal behind `base`; why `base` is none of it otherwise.
fn replay(
    folder: &Path,
    base: Option<(Mark, State)>,
) -> Result<Result<Replayed, &'static str>, StoreError> {
    match journal::replay(folder, base) {
        Ok(replayed) => Ok(Ok(replayed)),
        Err(Unfit::Base(why)) => Ok(Err(why)),
        Err(Unfit::Damaged(problem)) => Err(StoreError::Damaged {
            folder: folder.to_owned(),
            problem,
        }),
        Err(Unfit::Unreadable(error)) => Err(StoreError::Journal(error)),
    }
}

fn told(replayed: &Replayed, recovered: &mut Recovered) {
    recovered.replayed = replayed.entries;
    if let Some(problem) = &replayed.damage {
        recovered.damage.get_or_insert_with(|| problem.clone());
    }
}

/// A new database in the place of whatever is there.
fn rebuild(folder: &Path, replayed: &Replayed) -> Result<Box<dyn Shelf>, Broken> {
    set_aside(folder)
        .map_err(|error| Broken(format!("the broken one stays in its place: {error}")))?;
    let mut shelf = Sled::open(&folder.join(FOLDER))?;
    fill(&mut shelf, &State::default(), replayed)?;
    Ok(Box::new(shelf))
}

fn fill(shelf: &mut dyn Shelf, before: &State, replayed: &Replayed) -> Result<(), Broken> {
    let Some(mark) = &replayed.mark else {
        return Ok(());
    };
    let ops = difference(before, &replayed.state).map_err(|error| Broken(error.to_string()))?;
    let mut chunks = ops.chunks(FILL_ROWS).peekable();
    loop {
        let rows = chunks.next().unwrap_or_default();
        let last = chunks.peek().is_none();
        shelf.apply(rows, last.then_some(mark))?;
        if last {
            return shelf.flush();
        }
    }
}

/// Moves the database out of the way; the one before it is not worth keeping.
pub(crate) fn set_aside(folder: &Path) -> std::io::Result<()> {
    let (path, broken): (PathBuf, PathBuf) = (folder.join(FOLDER), folder.join(BROKEN));
    if fs::symlink_metadata(&path).is_err() {
        return Ok(());
    }
    let clear = |path: &Path| match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    clear(&broken)?;
    fs::rename(&path, &broken).or_else(|_| clear(&path))
}
