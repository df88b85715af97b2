//! What a chain's last process left behind: where the chain goes on, what was torn, which requests have no end.
//!
//! Runs once, when a chain is opened, under its lock. Reads the newest segment whole only where it has no seal, and
//! older ones only as far back as requests that were open then.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use pointsman_domain::decision::{Opened, Record};

use crate::AuditError;
use crate::error::Problem;
use crate::line::{Hash, Kind, Line, Seal, torn};
use crate::newest::Backwards;
use crate::reader::{Next, Reader};
use crate::segment;

/// What opening a chain found.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Bytes of a half-written line that were cut; a `truncated` record says so in the log.
    pub cut_bytes: u64,
    /// Requests that were opened and never closed. They are reported by every opening until each has a `closed` record,
    /// so append one for each.
    pub unclosed: Vec<Opened>,
    /// A segment that does not hold. It is left as it is, and the chain goes on in a new one behind its last whole line.
    pub damage: Option<Problem>,
}

/// Where the chain goes on.
pub(crate) struct Resumed {
    /// The newest segment's number; 0 for a new chain.
    pub(crate) number: u32,
    /// Hash of the last line.
    pub(crate) prev: Hash,
    /// The newest segment, where it has no seal yet and is not damaged.
    pub(crate) unsealed: Option<Unsealed>,
    pub(crate) recovery: Recovery,
}

/// A segment that its process did not seal.
pub(crate) struct Unsealed {
    /// Bytes of whole lines.
    pub(crate) len: u64,
    pub(crate) records: u64,
}

/// Looks at what is there; changes nothing.
pub(crate) fn look(folder: &Path, chain: &str) -> Result<Resumed, AuditError> {
    let numbers = segment::list(folder)?.remove(chain).unwrap_or_default();
    let mut resumed = Resumed {
        number: 0,
        prev: Hash::genesis(chain),
        unsealed: None,
        recovery: Recovery::default(),
    };
    let Some((&newest, older)) = numbers.split_last() else {
        return Ok(resumed);
    };
    resumed.number = newest;
    let last = last_line(folder, chain, newest)?;
    if let Some(Last {
        hash,
        seal: Some(seal),
        whole: true,
    }) = last
    {
        resumed.prev = hash;
        if seal.open > 0 {
            resumed.recovery.unclosed = unclosed(folder, chain, &numbers)?;
        }
        return Ok(resumed);
    }
    if let Some(&number) = older.last()
        && let Some(last) = last_line(folder, chain, number)?
    {
        resumed.prev = last.hash;
    }
    scan(folder, chain, newest, &mut resumed)?;
    resumed.recovery.unclosed = unclosed(folder, chain, &numbers)?;
    Ok(resumed)
}

/// The last line of a segment that holds.
pub(crate) struct Last {
    pub(crate) hash: Hash,
    pub(crate) seal: Option<Seal>,
    /// Whether nothing stands behind it.
    pub(crate) whole: bool,
}

pub(crate) fn last_line(
    folder: &Path,
    chain: &str,
    number: u32,
) -> Result<Option<Last>, AuditError> {
    let mut lines = Backwards::open(folder, chain, number)?;
    let mut whole = lines.end == lines.len;
    while let Some(bytes) = lines.next()? {
        if let Ok(line) = Line::parse(&bytes) {
            return Ok(Some(Last {
                hash: line.hash(),
                seal: line.seal(),
                whole,
            }));
        }
        whole = false;
    }
    Ok(None)
}

/// Reads a segment without a seal: where its whole lines end, and whether they hold.
fn scan(folder: &Path, chain: &str, number: u32, resumed: &mut Resumed) -> Result<(), AuditError> {
    let mut reader = Reader::open(folder, chain, number, 0)?;
    let mut records = 0;
    loop {
        let checked = match reader.next()? {
            Next::Line(bytes) => match Line::parse(bytes) {
                Ok(line) => {
                    let follows = line.prev == resumed.prev;
                    resumed.prev = line.hash();
                    records += u64::from(line.seal().is_none());
                    if follows {
                        Ok(())
                    } else {
                        Err("the line does not follow from the one before")
                    }
                }
                Err(what) => Err(what),
            },
            Next::TooLong => Err("the line is longer than any of ours"),
            Next::Tail(tail) if torn(tail) => {
                if resumed.recovery.damage.is_none() {
                    resumed.recovery.cut_bytes = tail.len() as u64;
                    resumed.unsealed = Some(Unsealed {
                        len: reader.began(),
                        records,
                    });
                }
                return Ok(());
            }
            Next::Tail(_) => {
                let problem = reader
                    .problem("the last line has no end, and is not the beginning of one either");
                resumed.recovery.damage.get_or_insert(problem);
                return Ok(());
            }
        };
        if let Err(what) = checked {
            resumed
                .recovery
                .damage
                .get_or_insert_with(|| reader.problem(what));
        }
    }
}

/// What one segment says of requests that it does not hold both records of.
#[derive(Default)]
struct Halves {
    /// Opened here and not closed here: the JSON of `opened` by id.
    opened: HashMap<String, Vec<u8>>,
    /// Closed here and not opened here.
    closed: HashSet<String>,
}

fn halves(folder: &Path, chain: &str, number: u32) -> Result<Halves, AuditError> {
    let mut halves = Halves::default();
    let mut reader = Reader::open(folder, chain, number, 0)?;
    loop {
        let bytes = match reader.next()? {
            Next::Line(bytes) => bytes,
            Next::TooLong => continue,
            Next::Tail(_) => return Ok(halves),
        };
        let Ok(line) = Line::parse(bytes) else {
            continue;
        };
        match line.id() {
            Some((Kind::Opened, id)) => {
                halves.opened.insert(id.to_owned(), line.json.to_vec());
            }
            Some((Kind::Closed, id)) => {
                let opened_here = halves.opened.remove(id).is_some();
                if !opened_here {
                    halves.closed.insert(id.to_owned());
                }
            }
            None => {}
        }
    }
}

/// Requests without an end. Goes back only until every request that was open when the newest segment began is found:
/// the seal before it says how many those are.
fn unclosed(folder: &Path, chain: &str, numbers: &[u32]) -> Result<Vec<Opened>, AuditError> {
    let Some((&newest, older)) = numbers.split_last() else {
        return Ok(Vec::new());
    };
    let Halves {
        opened,
        closed: mut closed_last,
    } = halves(folder, chain, newest)?;
    let mut found: Vec<Vec<u8>> = opened.into_values().collect();
    let mut closed_between = HashSet::new();
    let mut missing = match older.last() {
        // Without a seal nobody has counted.
        Some(&number) => last_line(folder, chain, number)?
            .and_then(|last| last.seal)
            .map_or(u64::MAX, |seal| seal.open),
        None => 0,
    };
    for &number in older.iter().rev() {
        if missing == 0 {
            break;
        }
        let Halves { opened, closed } = halves(folder, chain, number)?;
        for (id, json) in opened {
            if closed_between.remove(&id) {
                continue;
            }
            missing = missing.saturating_sub(1);
            if !closed_last.remove(&id) {
                found.push(json);
            }
        }
        closed_between.extend(closed);
    }
    let opened = |json: Vec<u8>| match serde_json::from_slice(&json) {
        Ok(Record::Opened(opened)) => Some(*opened),
        _ => None,
    };
    let mut unclosed: Vec<Opened> = found.into_iter().filter_map(opened).collect();
    unclosed.sort_by(|a, b| (a.at_ms, &a.id).cmp(&(b.at_ms, &b.id)));
    Ok(unclosed)
}
