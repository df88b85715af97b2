//! A segment's lines, forwards. Bounded: a line is never longer than `LINE_BYTES_MAX`.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::AuditError;
use crate::error::Problem;
use crate::line::LINE_BYTES_MAX;
use crate::segment;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// What stands at the reader's place.
pub(crate) enum Next<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// Bytes without a line's end, at the end of what there is now; empty where there is nothing more.
    Tail(&'a [u8]),
    /// More than a line may hold, so none that we wrote.
    TooLong,
}

/// Reads one segment from an offset on.
pub(crate) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    buffer: Vec<u8>,
    /// Where the next line begins.
    offset: u64,
    /// Where what was last returned begins.
    began: u64,
    /// Number of what was last returned; stays 0 where reading began inside the file.
    line: u64,
    counting: bool,
}

impl Reader {
    pub(crate) fn open(
        folder: &Path,
        chain: &str,
        number: u32,
        offset: u64,
    ) -> Result<Self, AuditError> {
        let path = segment::path(folder, chain, number);
        let mut file = File::open(&path).map_err(AuditError::io("open", &path))?;
        file.seek(SeekFrom::Start(offset))
            .map_err(AuditError::io("read", &path))?;
        Ok(Self {
            path,
            file: BufReader::with_capacity(READ_BYTES, file),
            buffer: Vec::new(),
            offset,
            began: offset,
            line: 0,
            counting: offset == 0,
        })
    }

    /// The next line. After `Tail` the reader stands where it stood, so that it can follow a growing file.
    pub(crate) fn next(&mut self) -> Result<Next<'_>, AuditError> {
        let ended = self
            .read()
            .map_err(|source| AuditError::io("read", &self.path)(source))?;
        if ended {
            return Ok(Next::Line(&self.buffer[..self.buffer.len() - 1]));
        }
        if self.buffer.len() > LINE_BYTES_MAX {
            return Ok(Next::TooLong);
        }
        Ok(Next::Tail(&self.buffer))
    }

    /// Fills the buffer; whether with a whole line.
    fn read(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        let bound = LINE_BYTES_MAX as u64 + 1;
        self.file
            .by_ref()
            .take(bound)
            .read_until(b'\n', &mut self.buffer)?;
        let len = self.buffer.len();
        let ended = self.buffer.last() == Some(&b'\n');
        if self.began != self.offset || self.line == 0 {
            self.line += u64::from(self.counting);
        }
        self.began = self.offset;
        if ended || len > LINE_BYTES_MAX {
            self.offset += len as u64;
        } else {
            let back = i64::try_from(len).expect("at most LINE_BYTES_MAX");
            self.file.seek_relative(-back)?;
        }
        Ok(ended)
    }

    /// Where what was last returned begins.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// What was last returned is wrong.
    pub(crate) fn problem(&self, what: &'static str) -> Problem {
        let name = self.path.file_name().unwrap_or_default();
        Problem {
            file: name.to_string_lossy().into_owned(),
            line: self.line,
            offset: self.began,
            what,
        }
    }
}
