//! Records in the order in which they were written, chain after chain.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pointsman_domain::decision::Record;

use crate::AuditError;
use crate::line::Line;
use crate::reader::{Next, Reader};
use crate::segment::{self, Position};

/// The record in a line that is no seal.
pub(crate) fn decode(line: &Line<'_>) -> Result<Record, &'static str> {
    serde_json::from_slice(line.json)
        .map_err(|_| "the line is whole, but no record that this version knows")
}

/// The time that a record carries, in milliseconds since the epoch.
pub(crate) fn at_ms(record: &Record) -> u64 {
    match record {
        Record::Opened(opened) => opened.at_ms,
        Record::Closed(closed) => closed.at_ms,
        Record::Control(entry) => entry.at_ms,
        Record::Started { at_ms, .. } | Record::Truncated { at_ms, .. } => *at_ms,
    }
}

/// Iterates over all records. A line that does not hold is an error once; iteration goes on behind it. A torn tail, of
/// a running process or of one that was killed, is no error and no record.
pub struct Records {
    folder: PathBuf,
    /// Chain and segment, next one last.
    segments: Vec<(Arc<str>, u32)>,
    current: Option<(Arc<str>, u32, Reader)>,
}

/// All records of a folder, chain after chain, oldest first within a chain.
///
/// # Errors
/// Where the folder cannot be read.
pub fn records(folder: &Path) -> Result<Records, AuditError> {
    let mut segments: Vec<_> = segment::list(folder)?
        .into_iter()
        .flat_map(|(chain, numbers)| {
            numbers
                .into_iter()
                .map(move |number| (Arc::clone(&chain), number))
        })
        .collect();
    segments.reverse();
    Ok(Records {
        folder: folder.to_owned(),
        segments,
        current: None,
    })
}

impl Records {
    fn read(&mut self) -> Result<Option<(Position, Record)>, AuditError> {
        loop {
            let Some((chain, number, reader)) = &mut self.current else {
                let Some((chain, number)) = self.segments.pop() else {
                    return Ok(None);
                };
                let reader = Reader::open(&self.folder, &chain, number, 0)?;
                self.current = Some((chain, number, reader));
                continue;
            };
            let parsed = match reader.next()? {
                Next::Tail(_) => {
                    self.current = None;
                    continue;
                }
                Next::TooLong => Err("the line is longer than any of ours"),
                Next::Line(bytes) => match Line::parse(bytes) {
                    Ok(line) if line.seal().is_some() => continue,
                    Ok(line) => decode(&line),
                    Err(what) => Err(what),
                },
            };
            let record = parsed.map_err(|what| AuditError::Damaged(reader.problem(what)))?;
            let position = Position {
                chain: Arc::clone(chain),
                segment: *number,
                offset: reader.began(),
            };
            return Ok(Some((position, record)));
        }
    }
}

impl Iterator for Records {
    type Item = Result<(Position, Record), AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
