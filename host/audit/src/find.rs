//! Finding a request's records by its id: a byte comparison a line, newest segments first.

use std::cmp::Reverse;
use std::path::Path;
use std::sync::Arc;

use pointsman_domain::decision::Record;

use crate::AuditError;
use crate::line::{self, Kind, Line};
use crate::reader::{Next, Reader};
use crate::records;
use crate::segment::{self, Position};

/// Characters of a whole id (a UUID with hyphens).
const ID_CHARS: usize = 36;

/// The records of requests whose id begins with `id`, each request's `opened` before its `closed`.
///
/// Looks no further once a whole id's `opened` is found, or once two requests share the prefix: then it is ambiguous,
/// and the result holds records of at least two requests. An empty prefix finds nothing. Damaged lines are passed over.
///
/// # Errors
/// Where the folder or a segment cannot be read, or a found line is no record that this version knows.
pub fn find(folder: &Path, id: &str) -> Result<Vec<(Position, Record)>, AuditError> {
    let mut found = Vec::new();
    if id.is_empty() {
        return Ok(found);
    }
    let mut segments: Vec<(Arc<str>, u32)> = Vec::new();
    for (chain, numbers) in segment::list(folder)? {
        let chain = |number| (Arc::clone(&chain), number);
        segments.extend(numbers.into_iter().map(chain));
    }
    segments.sort_by_key(|&(_, number)| Reverse(number));
    let mut search = Search {
        needles: [
            line::opening(Kind::Opened, id),
            line::opening(Kind::Closed, id),
        ],
        whole: id.len() >= ID_CHARS,
        first: None,
        done: false,
    };
    for (chain, number) in segments {
        // Segments are read newest first, lines oldest first: what an older segment adds goes in front.
        let mut here = search.segment(folder, &chain, number)?;
        here.append(&mut found);
        found = here;
        if search.done {
            break;
        }
    }
    Ok(found)
}

struct Search {
    /// How the two lines begin.
    needles: [Vec<u8>; 2],
    /// Whether the id is a whole one.
    whole: bool,
    /// The first id that matched.
    first: Option<String>,
    done: bool,
}

impl Search {
    fn segment(
        &mut self,
        folder: &Path,
        chain: &Arc<str>,
        number: u32,
    ) -> Result<Vec<(Position, Record)>, AuditError> {
        let mut found = Vec::new();
        let mut reader = Reader::open(folder, chain, number, 0)?;
        loop {
            let bytes = match reader.next()? {
                Next::Line(bytes) => bytes,
                Next::TooLong => continue,
                Next::Tail(_) => return Ok(found),
            };
            if !self.needles.iter().any(|needle| bytes.starts_with(needle)) {
                continue;
            }
            let Ok(line) = Line::parse(bytes) else {
                continue;
            };
            let Some((kind, id)) = line.id() else {
                continue;
            };
            let first = self.first.get_or_insert_with(|| id.to_owned());
            let ambiguous = first != id;
            self.done |= ambiguous || (self.whole && kind == Kind::Opened);
            let record =
                records::decode(&line).map_err(|what| AuditError::Damaged(reader.problem(what)))?;
            let position = Position {
                chain: Arc::clone(chain),
                segment: number,
                offset: reader.began(),
            };
            found.push((position, record));
            if ambiguous {
                return Ok(found);
            }
        }
    }
}
