//! A cursor over untrusted bytes: every read is checked against what is left.

use crate::Error;
use crate::limits::METADATA_BYTES_MAX;

pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of strings and arrays handed out so far; bounded by `METADATA_BYTES_MAX`.
    held_bytes: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            held_bytes: 0,
        }
    }

    pub(crate) fn at(&self) -> u64 {
        self.at as u64
    }

    pub(crate) fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    pub(crate) fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], Error> {
        let left = self.left();
        if count > left {
            return Err(Error::Truncated {
                at: self.at(),
                what,
                needed: count,
                left,
            });
        }
        // `count` fits usize: it is at most the length of a slice.
        let end = self.at + count as usize;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let mut fixed = [0; N];
        fixed.copy_from_slice(self.take(N as u64, what)?);
        Ok(fixed)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        self.fixed(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        self.fixed(what).map(u64::from_le_bytes)
    }

    /// A count bounded by `limit`.
    pub(crate) fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, Error> {
        let found = self.u64(what)?;
        if found > limit {
            return Err(Error::TooLarge { what, found, limit });
        }
        Ok(found)
    }

    /// A length-prefixed UTF-8 string of at most `limit` bytes.
    pub(crate) fn string(&mut self, what: &'static str, limit: u64) -> Result<&'a str, Error> {
        let length = self.count(what, limit)?;
        let at = self.at();
        self.hold(length)?;
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| Error::Utf8 { what, at })
    }

    /// Accounts for memory about to be allocated for metadata.
    pub(crate) fn hold(&mut self, count: u64) -> Result<(), Error> {
        self.held_bytes = self.held_bytes.saturating_add(count);
        if self.held_bytes > METADATA_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "metadata in bytes",
                found: self.held_bytes,
                limit: METADATA_BYTES_MAX,
            });
        }
        Ok(())
    }
}
