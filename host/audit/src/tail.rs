//! Following a log that is being written: new records since the last look, across segments and new chains.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pointsman_domain::decision::Record;

use crate::AuditError;
use crate::line::Line;
use crate::newest::Backwards;
use crate::reader::{Next, Reader};
use crate::records::decode;
use crate::segment;

/// Records that one look returns at most; the next one goes on behind them.
const POLL_RECORDS_MAX: usize = 1_000;

/// Where a chain is being followed.
struct Place {
    number: u32,
    reader: Reader,
}

/// Follows all chains of a folder from when it was made.
pub struct Tail {
    folder: PathBuf,
    places: BTreeMap<Arc<str>, Place>,
    /// Damage that was met behind records that had to be returned first.
    damage: VecDeque<AuditError>,
}

impl Tail {
    /// Begins at the present end of every chain.
    ///
    /// # Errors
    /// Where the folder or a segment cannot be read.
    pub fn new(folder: &Path) -> Result<Self, AuditError> {
        let mut places = BTreeMap::new();
        for (chain, numbers) in segment::list(folder)? {
            let Some(&number) = numbers.last() else {
                continue;
            };
            let end = Backwards::open(folder, &chain, number)?.end;
            let reader = Reader::open(folder, &chain, number, end)?;
            places.insert(chain, Place { number, reader });
        }
        Ok(Self {
            folder: folder.to_owned(),
            places,
            damage: VecDeque::new(),
        })
    }

    /// What was appended since the last look, in order within each chain; at most 1,000 records.
    ///
    /// # Errors
    /// Where a file cannot be read, or a line does not hold: that is told once, and the next look goes on behind it.
    pub fn poll(&mut self) -> Result<Vec<Record>, AuditError> {
        if let Some(damage) = self.damage.pop_front() {
            return Err(damage);
        }
        let mut records = Vec::new();
        for (chain, numbers) in segment::list(&self.folder)? {
            let place = match self.places.get_mut(&chain) {
                Some(place) => place,
                None => {
                    let Some(&number) = numbers.first() else {
                        continue;
                    };
                    let reader = Reader::open(&self.folder, &chain, number, 0)?;
                    self.places
                        .entry(Arc::clone(&chain))
                        .or_insert(Place { number, reader })
                }
            };
            // The listing is older than the reading below: a segment that has a successor in it takes no more lines.
            let newer = numbers
                .into_iter()
                .filter(|number| *number > place.number)
                .collect::<VecDeque<_>>();
            place.follow(&self.folder, &chain, newer, &mut records, &mut self.damage)?;
        }
        match self.damage.pop_front() {
            Some(damage) if records.is_empty() => Err(damage),
            Some(damage) => {
                self.damage.push_front(damage);
                Ok(records)
            }
            None => Ok(records),
        }
    }
}

impl Place {
    fn follow(
        &mut self,
        folder: &Path,
        chain: &str,
        mut newer: VecDeque<u32>,
        records: &mut Vec<Record>,
        damage: &mut VecDeque<AuditError>,
    ) -> Result<(), AuditError> {
        while records.len() < POLL_RECORDS_MAX && damage.len() < POLL_RECORDS_MAX {
            let parsed = match self.reader.next()? {
                Next::Tail(_) => {
                    let Some(number) = newer.pop_front() else {
                        return Ok(());
                    };
                    *self = Self {
                        number,
                        reader: Reader::open(folder, chain, number, 0)?,
                    };
                    continue;
                }
                Next::TooLong => Err("the line is longer than any of ours"),
                Next::Line(bytes) => match Line::parse(bytes) {
                    Ok(line) if line.seal().is_some() => continue,
                    Ok(line) => decode(&line),
                    Err(what) => Err(what),
                },
            };
            match parsed {
                Ok(record) => records.push(record),
                Err(what) => damage.push_back(AuditError::Damaged(self.reader.problem(what))),
            }
        }
        Ok(())
    }
}
