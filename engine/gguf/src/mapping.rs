//! The bytes of a file: mapped, or held in memory for tests and fuzzing.
//!
//! The only module of this crate with unsafe code. Promises an immutable byte slice for as long as it lives.

use std::fs::File;
use std::path::Path;

use crate::Error;

#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(memmap2::Mmap),
    Held(Vec<u8>),
}

impl Bytes {
    pub(crate) fn map(path: &Path) -> Result<Self, Error> {
        let open = |source| Error::Open {
            path: path.display().to_string(),
            source,
        };
        let file = File::open(path).map_err(open)?;
        #[expect(unsafe_code, reason = "mapping a file is unsafe by nature; see SAFETY")]
        // SAFETY: the mapping is private and read-only, and the bytes are only ever read as plain integers
        // and floats, for which every bit pattern is valid. What remains is another process writing to or
        // truncating the file while it is mapped: the operator owns the model file and must replace it by
        // rename, not in place (stated in the README of `engine/server`). Reading 100 MB to several GB into memory
        // instead would double start time and memory for every user to guard against that one mistake.
        let mapped = unsafe { memmap2::Mmap::map(&file) }.map_err(open)?;
        Ok(Self::Mapped(mapped))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => mapped,
            Self::Held(bytes) => bytes,
        }
    }
}
