//! Room on the disk: how much is used, and reserving it ahead. Knows nothing of lines.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Used space in percent, rounded up, as `df` reckons it: the superuser's reserve counts as used.
pub(crate) fn used_percent(folder: &Path) -> io::Result<u8> {
    let stat = statvfs(folder)?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    let usable = used + stat.f_bavail;
    if usable == 0 {
        return Ok(100);
    }
    let percent = (u128::from(used) * 100).div_ceil(u128::from(usable));
    Ok(u8::try_from(percent).unwrap_or(100))
}

/// Reserves `len` bytes from `offset`, beyond the end of the file: its size stays, so that readers see content only.
///
/// A file system without `fallocate` reserves nothing; there an append finds the full disk by itself.
pub(crate) fn reserve(file: &File, offset: u64, len: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, offset, len) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
