//! Erasing: salt and content are overwritten with zeros where they stand, on the disk before it returns.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

use super::frame::About;
use super::reader::{Frames, Next, broken};
use super::{list, path};
use crate::error::{AuditError, Problem};

/// Bytes overwritten at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// What was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Requests whose content was there.
    pub requests: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// Requests that were meant and had been erased before; their bytes were overwritten again.
    pub before: u64,
    /// Places that are no whole frame, so that nobody can say whose content they hold.
    pub damaged: Vec<Problem>,
}

/// Erases what `is_meant`. A gateway may write meanwhile: it appends, and this changes whole frames alone.
///
/// # Errors
/// Where the operating system refuses; what was erased until then stays erased, and a repetition goes on.
pub fn erase(folder: &Path, is_meant: impl Fn(&About) -> bool) -> Result<Erased, AuditError> {
    let mut erased = Erased::default();
    for (chain, number) in list(folder)? {
        let path = path(folder, &chain, number);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(AuditError::io("open", &path)(error)),
        };
        let problem = |offset| broken(&chain, number, offset);
        in_file(&file, &is_meant, problem, &mut erased)
            .map_err(AuditError::io("erase content in", &path))?;
    }
    Ok(erased)
}

fn in_file(
    file: &File,
    is_meant: &impl Fn(&About) -> bool,
    problem: impl Fn(u64) -> Problem,
    erased: &mut Erased,
) -> io::Result<()> {
    let mut frames = Frames::of(file)?;
    let mut wiped = Vec::new();
    while let Some(next) = frames.next(file)? {
        let (offset, front) = match next {
            Next::Frame(offset, front) => (offset, front),
            Next::Broken(offset) => {
                erased.damaged.push(problem(offset));
                continue;
            }
        };
        if !is_meant(&front.head.about) {
            continue;
        }
        let (at, bytes) = (front.head.salt_at(offset), front.head.secret_bytes());
        zero(file, at, bytes)?;
        wiped.push((at, bytes));
        if front.is_erased {
            erased.before += 1;
        } else {
            erased.requests += 1;
            erased.bytes += u64::from(front.head.content_bytes);
        }
    }
    if wiped.is_empty() {
        return Ok(());
    }
    file.sync_data()?;
    for (at, bytes) in wiped {
        // The space is worth having; where the file system keeps it, zeros stand there all the same.
        let _kept = fallocate(
            file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            at,
            bytes,
        );
    }
    Ok(())
}

/// The salt is what stands first, and so what goes first: content without it is nobody's any more.
fn zero(file: &File, at: u64, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; BLOCK_BYTES];
    let mut done = 0;
    while done < bytes {
        let block = usize::try_from(bytes - done).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        file.write_all_at(&zeros[..block], at + done)?;
        done += block as u64;
    }
    Ok(())
}
