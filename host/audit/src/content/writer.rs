//! One chain's content, written: append, rotate. A failed write leaves nothing that counts.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pointsman_domain::Digest;

use super::frame::{self, About, SALT_BYTES};
use super::{Place, list, path};
use crate::error::AuditError;
use crate::segment;

/// Bytes after which a file of the content store is left for the next one.
pub const CONTENT_SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A buffer that one large request has blown up is given back above this.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// Writes the content of one chain, whose lock the caller holds.
#[derive(Debug)]
pub struct ContentWriter {
    folder: PathBuf,
    chain: Arc<str>,
    segment_bytes_max: u64,
    /// None before the first frame: who captures nothing leaves no file.
    open: Option<Open>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    number: u32,
    /// Bytes of whole frames.
    len: u64,
}

/// What was kept, and what a record says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub place: Place,
    /// sha256 over salt and content.
    pub commitment: Digest,
}

impl ContentWriter {
    /// Touches nothing on the disk before the first frame. A process begins a file of its own, so that what another
    /// one left half-written is never written behind.
    ///
    /// # Errors
    /// Where the name is none of a chain.
    pub fn new(folder: &Path, chain: &str, segment_bytes_max: u64) -> Result<Self, AuditError> {
        segment::check_name(chain)?;
        Ok(Self {
            folder: folder.to_owned(),
            chain: chain.into(),
            segment_bytes_max,
            open: None,
            buffer: Vec::new(),
        })
    }

    /// Keeps the content of a request, whose parts are put behind one another. When this returns, it survives the
    /// process. The salt is random and not used twice.
    ///
    /// # Errors
    /// Where it is too large, the salt is all zeros, or the operating system refuses; nothing of it counts then.
    pub fn put(
        &mut self,
        about: &About,
        salt: &[u8; SALT_BYTES],
        parts: &[&[u8]],
    ) -> Result<Kept, AuditError> {
        if *salt == [0; SALT_BYTES] {
            // It would read as erased.
            return Err(self.failed("salt content in")(
                io::ErrorKind::InvalidInput.into(),
            ));
        }
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        frame::write(&mut self.buffer, about, salt, parts)?;
        let bytes = self.buffer.len() as u64;
        self.open.take_if(|open| {
            open.len > 0 && open.len.saturating_add(bytes) > self.segment_bytes_max
        });
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let begun = self.begin()?;
                self.open.insert(begun)
            }
        };
        if let Err(source) = open.file.write_all_at(&self.buffer, open.len) {
            let failed = AuditError::io("append to", &open.path)(source);
            if open.file.set_len(open.len).is_err() {
                // What is torn stays behind, and readers pass over it.
                self.open = None;
            }
            return Err(failed);
        }
        let place = Place {
            chain: Arc::clone(&self.chain),
            number: open.number,
            offset: open.len,
        };
        open.len += bytes;
        Ok(Kept {
            place,
            commitment: frame::commitment(salt, parts),
        })
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(io::Error) -> AuditError {
        AuditError::io(what, &self.folder)
    }

    /// The next file, for its owner alone.
    fn begin(&self) -> Result<Open, AuditError> {
        let mut folder = DirBuilder::new();
        folder.recursive(true).mode(0o700);
        folder
            .create(&self.folder)
            .map_err(self.failed("make the folder"))?;
        let ours = list(&self.folder)?.into_iter();
        let ours = ours.filter(|(chain, _)| *chain == self.chain);
        let newest = ours.map(|(_, number)| number).max().unwrap_or(0);
        let number = newest
            .checked_add(1)
            .ok_or_else(|| AuditError::Exhausted(self.chain.to_string()))?;
        let path = path(&self.folder, &self.chain, number);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(AuditError::io("make", &path))?;
        Ok(Open {
            file,
            path,
            number,
            len: 0,
        })
    }
}
