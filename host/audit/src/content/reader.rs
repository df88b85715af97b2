//! Reading content: one request's by its place, and what there is in a folder.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pointsman_domain::{Digest, RequestId};

use super::frame::{self, About, FIXED_BYTES, HEAD_BYTES_MAX, Head, MAGIC, SALT_BYTES};
use super::{Place, file_name, list, path};
use crate::error::{AuditError, Problem};

/// Bytes read at once where a frame is looked for.
const SEARCH_BYTES: usize = 64 * 1024;
/// Bytes that hold everything of a frame before its content.
const FRONT_BYTES: usize = FIXED_BYTES + HEAD_BYTES_MAX + SALT_BYTES;

/// What is there of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// As the record's commitment says.
    Kept(Vec<u8>),
    /// It was erased.
    Erased,
    /// Its file is gone, or the place is another's.
    Missing,
    /// It is not what was written.
    Damaged,
}

/// The content of a request that a record names.
///
/// # Errors
/// Where the operating system refuses.
pub fn content(
    folder: &Path,
    place: &Place,
    id: &RequestId,
    commitment: &Digest,
) -> Result<Content, AuditError> {
    let path = path(folder, &place.chain, place.number);
    let failed = |error| AuditError::io("read", &path)(error);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Missing),
        Err(error) => return Err(failed(error)),
    };
    let len = file.metadata().map_err(failed)?.len();
    let Some(found) = front(&file, place.offset, len).map_err(failed)? else {
        return Ok(if place.offset >= len {
            Content::Missing
        } else {
            Content::Damaged
        });
    };
    if found.head.about.id != *id {
        return Ok(Content::Missing);
    }
    if found.is_erased {
        return Ok(Content::Erased);
    }
    let bytes = usize::try_from(found.head.secret_bytes()).map_err(io::Error::other);
    let mut secret = vec![0; bytes.map_err(failed)?];
    let at = found.head.salt_at(place.offset);
    file.read_exact_at(&mut secret, at).map_err(failed)?;
    Ok(match frame::secret(&secret) {
        Some((salt, content)) if frame::commitment(salt, &[content]) == *commitment => {
            Content::Kept(content.to_vec())
        }
        _ => Content::Damaged,
    })
}

/// A whole frame without its content.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) head: Head,
    pub(super) is_erased: bool,
}

/// What begins at a place; none where it is no whole frame.
fn front(file: &File, offset: u64, len: u64) -> io::Result<Option<Front>> {
    let mut bytes = [0; FRONT_BYTES];
    let read = read_up_to(file, &mut bytes, offset)?;
    let Some(head) = Head::parse(&bytes[..read]) else {
        return Ok(None);
    };
    if head.end(offset) > len {
        return Ok(None);
    }
    let salt = usize::try_from(head.salt_at(0)).unwrap_or(FRONT_BYTES);
    let salt = bytes.get(salt..salt + SALT_BYTES);
    Ok(Some(Front {
        is_erased: salt.is_some_and(|salt| salt == [0; SALT_BYTES]),
        head,
    }))
}

/// Reads until the buffer is full or the file is over.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What comes next in one file.
#[derive(Debug)]
pub(super) enum Next {
    Frame(u64, Front),
    /// What begins at this offset is none.
    Broken(u64),
}

/// The frames of one file in order.
#[derive(Debug)]
pub(super) struct Frames {
    len: u64,
    offset: u64,
}

impl Frames {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { len, offset: 0 })
    }

    pub(super) fn next(&mut self, file: &File) -> io::Result<Option<Next>> {
        if self.offset >= self.len {
            return Ok(None);
        }
        let at = self.offset;
        if let Some(front) = front(file, at, self.len)? {
            self.offset = front.head.end(at);
            return Ok(Some(Next::Frame(at, front)));
        }
        self.offset = self.whole_after(file, at + 1)?;
        Ok(Some(Next::Broken(at)))
    }

    /// Where the next whole frame begins, or the file ends. Content cannot pass for a frame: it is JSON, which holds no
    /// zero bytes, and every frame's lengths do.
    fn whole_after(&self, file: &File, mut from: u64) -> io::Result<u64> {
        let mut block = vec![0; SEARCH_BYTES];
        while from < self.len {
            let read = read_up_to(file, &mut block, from)?;
            if read < MAGIC.len() {
                break;
            }
            for found in memchr::memmem::find_iter(&block[..read], &MAGIC) {
                let at = from + found as u64;
                if front(file, at, self.len)?.is_some() {
                    return Ok(at);
                }
            }
            // The magic may lie across two blocks.
            from += (read - (MAGIC.len() - 1)) as u64;
            if read < block.len() {
                break;
            }
        }
        Ok(self.len)
    }
}

/// One request's content, without the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub about: About,
    /// Where it is.
    pub place: Place,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it was erased.
    pub is_erased: bool,
}

/// What a look through a folder meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A whole frame.
    Entry(Entry),
    /// Bytes that are none: torn by a crash, or changed.
    Damaged(Problem),
}

/// Iterates over what a folder keeps.
#[derive(Debug)]
pub struct Contents {
    folder: PathBuf,
    /// The next one last.
    files: Vec<(Arc<str>, u32)>,
    current: Option<(Arc<str>, u32, File, Frames)>,
}

/// What a folder keeps, chain after chain, oldest first; a folder that is not there keeps nothing.
///
/// # Errors
/// Where the folder cannot be read.
pub fn contents(folder: &Path) -> Result<Contents, AuditError> {
    let mut files = list(folder)?;
    files.reverse();
    Ok(Contents {
        folder: folder.to_owned(),
        files,
        current: None,
    })
}

impl Contents {
    fn read(&mut self) -> Result<Option<Seen>, AuditError> {
        loop {
            let Some((chain, number, file, frames)) = &mut self.current else {
                let Some((chain, number)) = self.files.pop() else {
                    return Ok(None);
                };
                let path = path(&self.folder, &chain, number);
                let file = match File::open(&path) {
                    Ok(file) => file,
                    // Removed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(AuditError::io("read", &path)(error)),
                };
                let frames = Frames::of(&file).map_err(AuditError::io("read", &path))?;
                self.current = Some((chain, number, file, frames));
                continue;
            };
            let next = frames.next(file);
            let next = next.map_err(|error| {
                AuditError::io("read", &path(&self.folder, chain, *number))(error)
            })?;
            match next {
                None => self.current = None,
                Some(Next::Frame(offset, front)) => {
                    return Ok(Some(Seen::Entry(Entry {
                        about: front.head.about,
                        place: Place {
                            chain: Arc::clone(chain),
                            number: *number,
                            offset,
                        },
                        bytes: u64::from(front.head.content_bytes),
                        is_erased: front.is_erased,
                    })));
                }
                Some(Next::Broken(offset)) => {
                    return Ok(Some(Seen::Damaged(broken(chain, *number, offset))));
                }
            }
        }
    }
}

impl Iterator for Contents {
    type Item = Result<Seen, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

pub(super) fn broken(chain: &str, number: u32, offset: u64) -> Problem {
    Problem {
        file: file_name(chain, number),
        line: 0,
        offset,
        what: "no whole frame of content: torn by a crash, or changed",
    }
}
