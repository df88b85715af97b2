//! Records newest first, over all chains: what a listing of the last few reads, without reading the whole log.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pointsman_domain::decision::Record;

use crate::AuditError;
use crate::error::Problem;
use crate::line::{LINE_BYTES_MAX, Line};
use crate::records::{self, at_ms};
use crate::segment::{self, Position};

/// Bytes read at once.
const READ_BYTES: u64 = 128 * 1024;

/// A segment's lines, backwards. A torn tail is left out.
pub(crate) struct Backwards {
    path: PathBuf,
    file: File,
    /// Byte at which `buffer` begins.
    begin: u64,
    /// What was read and not returned; ends with a line's end, or is empty.
    buffer: Vec<u8>,
    /// Where the last returned line began.
    began: u64,
    /// Where the last whole line ends.
    pub(crate) end: u64,
    /// The file's length.
    pub(crate) len: u64,
}

impl Backwards {
    pub(crate) fn open(folder: &Path, chain: &str, number: u32) -> Result<Self, AuditError> {
        let path = segment::path(folder, chain, number);
        let file = File::open(&path).map_err(AuditError::io("open", &path))?;
        let len = file
            .metadata()
            .map_err(AuditError::io("read", &path))?
            .len();
        let mut this = Self {
            path,
            file,
            begin: len,
            buffer: Vec::new(),
            began: len,
            end: 0,
            len,
        };
        while this.begin > 0 {
            this.grow()?;
            if let Some(end) = memchr::memrchr(b'\n', &this.buffer) {
                this.buffer.truncate(end + 1);
                this.end = this.begin + this.buffer.len() as u64;
                return Ok(this);
            }
            if this.buffer.len() > LINE_BYTES_MAX {
                break;
            }
        }
        this.buffer.clear();
        this.begin = 0;
        Ok(this)
    }

    /// Puts the block before `buffer` in front of it.
    fn grow(&mut self) -> Result<(), AuditError> {
        let begin = self.begin.saturating_sub(READ_BYTES);
        let block = usize::try_from(self.begin - begin).expect("at most READ_BYTES");
        let mut longer = vec![0; block];
        self.file
            .read_exact_at(&mut longer, begin)
            .map_err(AuditError::io("read", &self.path))?;
        longer.append(&mut self.buffer);
        self.buffer = longer;
        self.begin = begin;
        Ok(())
    }

    /// The line before the last returned one, without its end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, AuditError> {
        loop {
            if self.buffer.is_empty() {
                if self.begin == 0 {
                    return Ok(None);
                }
                self.grow()?;
            }
            let without_end = self.buffer.len() - 1;
            let start = match memchr::memrchr(b'\n', &self.buffer[..without_end]) {
                Some(end_before) => end_before + 1,
                None if self.begin == 0 => 0,
                None if self.buffer.len() > LINE_BYTES_MAX => {
                    let problem = self.problem("the line is longer than any of ours");
                    (self.begin, self.buffer) = (0, Vec::new());
                    return Err(AuditError::Damaged(problem));
                }
                None => {
                    self.grow()?;
                    continue;
                }
            };
            let mut line = self.buffer.split_off(start);
            line.pop();
            self.began = self.begin + start as u64;
            return Ok(Some(line));
        }
    }

    pub(crate) fn problem(&self, what: &'static str) -> Problem {
        let name = self.path.file_name().unwrap_or_default();
        Problem {
            file: name.to_string_lossy().into_owned(),
            line: 0,
            offset: self.began,
            what,
        }
    }
}

/// One chain, backwards.
struct ChainBackwards {
    chain: Arc<str>,
    /// Segments that are not begun, oldest first.
    segments: Vec<u32>,
    current: Option<(u32, Backwards)>,
    /// What this chain gives next.
    head: Option<Result<(Position, Record), AuditError>>,
}

impl ChainBackwards {
    fn read(&mut self, folder: &Path) -> Result<Option<(Position, Record)>, AuditError> {
        loop {
            let Some((number, lines)) = &mut self.current else {
                let Some(number) = self.segments.pop() else {
                    return Ok(None);
                };
                self.current = Some((number, Backwards::open(folder, &self.chain, number)?));
                continue;
            };
            let Some(bytes) = lines.next()? else {
                self.current = None;
                continue;
            };
            let line =
                Line::parse(&bytes).map_err(|what| AuditError::Damaged(lines.problem(what)))?;
            if line.seal().is_some() {
                continue;
            }
            let record =
                records::decode(&line).map_err(|what| AuditError::Damaged(lines.problem(what)))?;
            let position = Position {
                chain: Arc::clone(&self.chain),
                segment: *number,
                offset: lines.began,
            };
            return Ok(Some((position, record)));
        }
    }
}

/// Iterates over all records, newest first by the time that they carry; within a chain backwards as they were written.
///
/// A line that does not hold is an error once; iteration goes on behind it.
pub struct Newest {
    folder: PathBuf,
    chains: Vec<ChainBackwards>,
}

/// All records of a folder, newest first.
///
/// # Errors
/// Where the folder cannot be read.
pub fn newest(folder: &Path) -> Result<Newest, AuditError> {
    let mut chains = Vec::new();
    for (chain, segments) in segment::list(folder)? {
        let mut chain = ChainBackwards {
            chain,
            segments,
            current: None,
            head: None,
        };
        chain.head = chain.read(folder).transpose();
        chains.push(chain);
    }
    Ok(Newest {
        folder: folder.to_owned(),
        chains,
    })
}

impl Iterator for Newest {
    type Item = Result<(Position, Record), AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        let newest = self
            .chains
            .iter_mut()
            .filter(|chain| chain.head.is_some())
            .max_by_key(|chain| match &chain.head {
                Some(Ok((_, record))) => at_ms(record),
                // Damage is told as soon as it is met.
                Some(Err(_)) | None => u64::MAX,
            })?;
        let item = newest.head.take();
        newest.head = newest.read(&self.folder).transpose();
        item
    }
}
