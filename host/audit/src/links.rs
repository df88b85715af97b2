//! The lines of one chain with the hashes that link them: what a replay checks while it reads.

use std::path::Path;
use std::sync::Arc;

use pointsman_domain::decision::Record;

use crate::AuditError;
use crate::line::{Hash, Line, torn};
use crate::reader::{Next, Reader};
use crate::records;
use crate::segment::{self, Position};

/// One whole line.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Where it stands.
    pub position: Position,
    /// Hash of the line before, as it says.
    pub prev: [u8; 32],
    /// Its own hash.
    pub hash: [u8; 32],
    /// What it holds; none for a segment's seal.
    pub record: Option<Record>,
}

/// Iterates over one segment. A line that does not hold is an error once; iteration goes on behind it. A torn tail is
/// no error and no line.
pub struct Links {
    chain: Arc<str>,
    segment: u32,
    reader: Reader,
    done: bool,
}

/// What the first line of a chain carries.
#[must_use]
pub fn genesis(chain: &str) -> [u8; 32] {
    Hash::genesis(chain).0
}

/// The numbers of a chain's segments, in order.
///
/// # Errors
/// Where the folder cannot be read.
pub fn segments(folder: &Path, chain: &str) -> Result<Vec<u32>, AuditError> {
    Ok(segment::list(folder)?.remove(chain).unwrap_or_default())
}

/// The lines of one segment.
///
/// # Errors
/// Where it cannot be opened.
pub fn links(folder: &Path, chain: &str, segment: u32) -> Result<Links, AuditError> {
    Ok(Links {
        chain: chain.into(),
        segment,
        reader: Reader::open(folder, chain, segment, 0)?,
        done: false,
    })
}

impl Links {
    fn read(&mut self) -> Result<Option<Link>, AuditError> {
        let parsed = match self.reader.next()? {
            Next::Tail(tail) => {
                self.done = true;
                if torn(tail) {
                    return Ok(None);
                }
                Err("the last line has no end, and is not the beginning of one either")
            }
            Next::TooLong => Err("the line is longer than any of ours"),
            Next::Line(bytes) => Line::parse(bytes).and_then(|line| {
                let record = match line.seal() {
                    Some(_) => None,
                    None => Some(records::decode(&line)?),
                };
                Ok((line.prev.0, line.hash().0, record))
            }),
        };
        let (prev, hash, record) =
            parsed.map_err(|what| AuditError::Damaged(self.reader.problem(what)))?;
        let position = Position {
            chain: Arc::clone(&self.chain),
            segment: self.segment,
            offset: self.reader.began(),
        };
        Ok(Some(Link {
            position,
            prev,
            hash,
            record,
        }))
    }
}

impl Iterator for Links {
    type Item = Result<Link, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read().transpose();
        // What cannot be read would be tried for ever.
        self.done |= !matches!(item, Some(Ok(_) | Err(AuditError::Damaged(_))));
        item
    }
}
