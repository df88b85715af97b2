//! The control journal as entries: where to begin reading, and what a stretch of it adds up to.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pointsman_audit::{AuditError, ChainConfig, Link, Problem, genesis, links, segments};
use pointsman_domain::Digest;
use pointsman_domain::control::{Change, Entry};
use pointsman_domain::decision::Record;

use crate::error::StoreError;
use crate::rows::Mark;
use crate::state::State;

/// The chain's name.
pub(crate) const CHAIN: &str = "journal";
/// Bound: what an opening reads besides what it replays. 1 MiB holds some 2,000 entries.
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024;

pub(crate) fn config() -> ChainConfig {
    ChainConfig {
        segment_bytes_max: SEGMENT_BYTES_MAX,
        // Few entries a day are no reason for a file an hour.
        segment_age_max: Duration::MAX,
        durable: true,
        ..ChainConfig::default()
    }
}

/// Whether a folder has a journal.
pub(crate) fn is_there(folder: &Path) -> Result<bool, StoreError> {
    let numbers = segments(folder, CHAIN).map_err(StoreError::Journal)?;
    Ok(!numbers.is_empty())
}

/// Lines of the journal from the newest segment on whose first entry is at most `sequence`.
pub(crate) fn lines_from(
    folder: &Path,
    sequence: u64,
) -> Result<impl Iterator<Item = Result<Link, AuditError>>, AuditError> {
    let numbers = segments(folder, CHAIN)?;
    let mut begin = 0;
    for (index, &number) in numbers.iter().enumerate().rev() {
        if first_sequence(folder, number)?.is_some_and(|first| first <= sequence) {
            begin = index;
            break;
        }
    }
    let folder = folder.to_owned();
    let rest: Vec<u32> = numbers[begin..].to_vec();
    Ok(rest
        .into_iter()
        .flat_map(move |number| match links(&folder, CHAIN, number) {
            Ok(lines) => Lines::Open(lines),
            Err(error) => Lines::Failed(Some(error)),
        }))
}

enum Lines {
    Open(pointsman_audit::Links),
    Failed(Option<AuditError>),
}

impl Iterator for Lines {
    type Item = Result<Link, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Open(lines) => lines.next(),
            Self::Failed(error) => error.take().map(Err),
        }
    }
}

fn first_sequence(folder: &Path, number: u32) -> Result<Option<u64>, AuditError> {
    for line in links(folder, CHAIN, number)? {
        match line {
            Ok(Link {
                record: Some(Record::Control(entry)),
                ..
            }) => return Ok(Some(entry.sequence)),
            Ok(_) | Err(AuditError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What the journal adds up to.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) state: State,
    /// Where `state` stands in the journal; none before the first entry.
    pub(crate) mark: Option<Mark>,
    /// Hash of the last line, whatever it holds; none where that is damaged.
    pub(crate) head: Option<[u8; 32]>,
    /// Entries that were applied.
    pub(crate) entries: u64,
    /// Damage that loses nothing: before the queryable state's own place, or of a line that is no entry.
    pub(crate) damage: Option<Problem>,
}

/// Why a replay gives nothing.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// What it began with is not a state of this journal.
    Base(&'static str),
    /// The journal lacks an entry that nothing else holds.
    Damaged(Problem),
    /// It cannot be read.
    Unreadable(AuditError),
}

/// Applies the journal behind `base`, or all of it.
///
/// Each line that is read must follow from the one before. Damage at or before the place of `base` loses nothing, if
/// `base` is shown to be of this journal: by the hash of its own entry, or by the one that the next line carries.
/// Damage behind it loses nothing only if the sequence goes on without a gap and no whole line was changed.
pub(crate) fn replay(folder: &Path, base: Option<(Mark, State)>) -> Result<Replayed, Unfit> {
    let (mark, state) = match base {
        Some((mark, state)) => (Some(mark), state),
        None => (None, State::default()),
    };
    let floor = mark.map_or(0, |mark| mark.sequence);
    let mut walk = Walk {
        replayed: Replayed {
            state,
            mark,
            head: None,
            entries: 0,
            damage: None,
        },
        floor,
        placed: mark.is_none(),
        prev: None,
        hole: None,
    };
    let numbers = segments(folder, CHAIN).map_err(Unfit::Unreadable)?;
    if let Some(&first) = numbers.first()
        && first != 1
    {
        walk.missing(1)?;
    }
    if mark.is_none() {
        walk.prev = Some(genesis(CHAIN));
    }
    for line in lines_from(folder, floor).map_err(Unfit::Unreadable)? {
        match line {
            Ok(line) => walk.line(line)?,
            Err(AuditError::Damaged(problem)) => walk.damaged(problem),
            Err(error) => return Err(Unfit::Unreadable(error)),
        }
    }
    walk.end()
}

struct Walk {
    replayed: Replayed,
    /// Sequence of the base.
    floor: u64,
    /// Whether the base was found in the journal.
    placed: bool,
    /// What the next line must carry, where that is known.
    prev: Option<[u8; 32]>,
    /// Damage behind the base that may have held an entry.
    hole: Option<Problem>,
}

impl Walk {
    fn line(&mut self, line: Link) -> Result<(), Unfit> {
        let follows = self.prev.is_none_or(|prev| prev == line.prev);
        self.prev = Some(line.hash);
        if !follows {
            let problem = Problem {
                file: file_of(&line),
                line: 0,
                offset: line.position.offset,
                what: "the line does not follow from the one before: a line was changed, removed, added or moved",
            };
            // A whole line that was changed may be an entry: its sequence says nothing of its content.
            if self.placed {
                return Err(Unfit::Damaged(problem));
            }
            self.replayed.damage.get_or_insert(problem);
        }
        match line.record {
            Some(Record::Control(ref entry)) => self.entry(&line, entry),
            Some(_) | None => Ok(()),
        }
    }

    fn entry(&mut self, line: &Link, entry: &Entry) -> Result<(), Unfit> {
        let sequence = entry.sequence;
        if let Some(mark) = &self.replayed.mark
            && !self.placed
        {
            if sequence < self.floor {
                return Ok(());
            }
            let here = sequence == self.floor && line.hash == mark.head;
            let behind = sequence == self.floor + 1 && line.prev == mark.head;
            if !here && !behind {
                return Err(Unfit::Base("it is not a state of this journal"));
            }
            self.placed = true;
            if here {
                return Ok(());
            }
        }
        if sequence != self.replayed.state.sequence + 1 {
            let lost = self.hole.take().unwrap_or_else(|| Problem {
                file: file_of(line),
                line: 0,
                offset: line.position.offset,
                what: "the entry's sequence does not follow from the one before",
            });
            return Err(Unfit::Damaged(lost));
        }
        // The sequence goes on: what was damaged held no entry.
        self.hole = None;
        self.replayed.state.apply(entry);
        self.replayed.entries += 1;
        self.replayed.mark = Some(Mark {
            sequence,
            head: line.hash,
        });
        Ok(())
    }

    fn damaged(&mut self, problem: Problem) {
        self.prev = None;
        self.replayed.damage.get_or_insert_with(|| problem.clone());
        if self.placed {
            self.hole.get_or_insert(problem);
        }
    }

    /// A segment at the beginning is gone.
    fn missing(&mut self, number: u32) -> Result<(), Unfit> {
        let problem = Problem {
            file: format!("{CHAIN}.{number:06}.log"),
            line: 0,
            offset: 0,
            what: "the segment is missing",
        };
        if self.placed {
            return Err(Unfit::Damaged(problem));
        }
        self.replayed.damage = Some(problem);
        Ok(())
    }

    fn end(self) -> Result<Replayed, Unfit> {
        if !self.placed {
            return Err(Unfit::Base("the journal does not reach as far"));
        }
        match self.hole {
            Some(problem) => Err(Unfit::Damaged(problem)),
            None => Ok(Replayed {
                head: self.prev,
                ..self.replayed
            }),
        }
    }
}

fn file_of(line: &Link) -> String {
    format!("{CHAIN}.{:06}.log", line.position.segment)
}

/// The blobs that entries up to a sequence name.
pub(crate) fn blobs_named(folder: &Path, last: u64) -> Result<BTreeSet<Digest>, StoreError> {
    let mut digests = BTreeSet::new();
    for line in lines_from(folder, 0).map_err(StoreError::Journal)? {
        match line.map(|line| line.record) {
            Ok(Some(Record::Control(entry))) if entry.sequence <= last => {
                digests.extend(blob_of(&entry.change));
            }
            Ok(_) | Err(AuditError::Damaged(_)) => {}
            Err(error) => return Err(StoreError::Journal(error)),
        }
    }
    Ok(digests)
}

fn blob_of(change: &Change) -> Option<Digest> {
    match change {
        Change::PluginPushed(plugin) => Some(plugin.digest),
        Change::VersionPushed(version) => Some(version.bundle),
        Change::PricesPut(prices) => Some(prices.blob),
        Change::Activated { .. }
        | Change::TenantPut(_)
        | Change::TenantRemoved { .. }
        | Change::KeyCreated(_)
        | Change::KeyRevoked { .. }
        | Change::KeyRotated { .. }
        | Change::Seeded => None,
    }
}
