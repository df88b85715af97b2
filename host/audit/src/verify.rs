//! Checking a whole log: every checksum, every link, the order and the ends of segments.
//!
//! Works offline and beside a running gateway: what that is just appending is a torn tail, which is no problem.

use std::path::Path;

use crate::AuditError;
use crate::error::Problem;
use crate::line::{Hash, Line, torn};
use crate::reader::{Next, Reader};
use crate::segment;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records that hold.
    pub records: u64,
    /// Chains that were read.
    pub chains: u64,
    /// The first thing that does not hold; none where the log is sound.
    pub problem: Option<Problem>,
}

/// Verifies all chains of a folder.
///
/// What no chain can show by itself: a cut at the end of an unsealed segment, newest segments that were removed, or a
/// rewrite of everything behind some line.
///
/// # Errors
/// Where a file cannot be read; damage is not an error but the report's `problem`.
pub fn verify(folder: &Path) -> Result<Report, AuditError> {
    let mut report = Report::default();
    for (chain, numbers) in segment::list(folder)? {
        report.chains += 1;
        let (records, problem) = verify_chain(folder, &chain, &numbers)?;
        report.records += records;
        report.problem = report.problem.or(problem);
    }
    Ok(report)
}

fn verify_chain(
    folder: &Path,
    chain: &str,
    numbers: &[u32],
) -> Result<(u64, Option<Problem>), AuditError> {
    let mut records = 0;
    let mut prev = Hash::genesis(chain);
    for (expected, &number) in (1..).zip(numbers) {
        if number != expected {
            let problem = Problem {
                file: segment::file_name(chain, expected),
                line: 0,
                offset: 0,
                what: "the segment is missing",
            };
            return Ok((records, Some(problem)));
        }
        let mut check = Check {
            prev,
            records: 0,
            sealed: false,
        };
        let newest = number as usize == numbers.len();
        let problem = check.segment(&mut Reader::open(folder, chain, number, 0)?, newest)?;
        records += check.records;
        prev = check.prev;
        if problem.is_some() {
            return Ok((records, problem));
        }
    }
    Ok((records, None))
}

/// One segment under verification.
struct Check {
    /// Hash of the line before.
    prev: Hash,
    records: u64,
    sealed: bool,
}

impl Check {
    fn segment(
        &mut self,
        reader: &mut Reader,
        newest: bool,
    ) -> Result<Option<Problem>, AuditError> {
        loop {
            let result = match reader.next()? {
                Next::Line(bytes) => self.line(bytes),
                Next::TooLong => Err("the line is longer than any of ours"),
                Next::Tail(tail) => {
                    let result = self.end(tail, newest);
                    return Ok(result.err().map(|what| reader.problem(what)));
                }
            };
            if let Err(what) = result {
                return Ok(Some(reader.problem(what)));
            }
        }
    }

    fn line(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let line = Line::parse(bytes)?;
        if line.prev != self.prev {
            return Err(
                "the line does not follow from the one before: a line was changed, removed, added or moved",
            );
        }
        if self.sealed {
            return Err("the line stands behind the segment's seal");
        }
        self.prev = line.hash();
        let Some(seal) = line.seal() else {
            self.records += 1;
            return Ok(());
        };
        if seal.records != self.records {
            return Err("the seal counts other records than the segment holds");
        }
        self.sealed = true;
        Ok(())
    }

    fn end(&self, tail: &[u8], newest: bool) -> Result<(), &'static str> {
        match (self.sealed, newest) {
            (true, _) if tail.is_empty() => Ok(()),
            (true, _) => Err("bytes stand behind the segment's seal"),
            (false, true) if torn(tail) => Ok(()),
            (false, true) => {
                Err("the last line has no end, and is not the beginning of one either")
            }
            (false, false) if tail.is_empty() => {
                Err("the segment ends without a seal, though others follow")
            }
            (false, false) => Err("the segment ends in the middle of a line"),
        }
    }
}
