//! Room on the disk: how much there is, and reserving it ahead. Knows nothing of lines.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// What a disk has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRoom {
    /// Used space in percent, rounded up, as `df` reckons it: the superuser's reserve counts as used.
    pub used_percent: u8,
    /// Bytes that this process may still write.
    pub free_bytes: u64,
}

impl DiskRoom {
    /// Of the disk that holds `folder`.
    ///
    /// # Errors
    /// Where the operating system does not tell.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let stat = statvfs(folder)?;
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        let usable = used.saturating_add(stat.f_bavail);
        let percent = match usable {
            0 => 100,
            usable => (u128::from(used) * 100).div_ceil(u128::from(usable)),
        };
        Ok(Self {
            used_percent: u8::try_from(percent).unwrap_or(100),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    /// Whether more than `percent` is used and less than `headroom_bytes` are free: a tenth of a large disk is still
    /// room for days.
    #[must_use]
    pub const fn is_short(self, percent: u8, headroom_bytes: u64) -> bool {
        self.used_percent > percent && self.free_bytes < headroom_bytes
    }
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
