//! A consistent copy while others commit: the journal up to one sequence, and the blobs that it names.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use pointsman_audit::verify;
use pointsman_domain::Digest;

use crate::archive::{Manifest, Member, lengths};
use crate::error::StoreError;
use crate::folder::FORMAT;
use crate::journal;
use crate::store::Store;

/// What a backup holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Of the last entry in it.
    pub sequence: u64,
    /// Blobs in it.
    pub blobs: u64,
    /// Blobs that the journal names and that are missing or damaged: the backup is without them.
    pub missing: Vec<Digest>,
    /// Bytes of all files in it.
    pub bytes: u64,
}

impl Store {
    /// Writes a tar of the store as of one sequence. Commits go on meanwhile.
    ///
    /// # Errors
    /// Where a file cannot be read, or the archive cannot be written: what was written of it then cannot be restored.
    pub fn backup(&self, out: &mut dyn Write) -> Result<BackupReport, StoreError> {
        // The journal only grows behind these lengths.
        let (lengths, sequence, head) = self.still(|state, chain| {
            let lengths = lengths(self.folder(), chain.written());
            (lengths, state.sequence, chain.head())
        });
        let lengths = lengths?;
        // A copy of a damaged journal could not be restored.
        let checked = verify(self.folder()).map_err(StoreError::Journal)?;
        if let Some(problem) = checked.problem {
            return Err(StoreError::Damaged {
                folder: self.folder().to_owned(),
                problem,
            });
        }
        let mut archive = Archive {
            tar: tar::Builder::new(out),
            bytes: 0,
        };
        archive.add(Member::Format, format!("{FORMAT}\n").as_bytes())?;
        for &(number, len) in &lengths {
            archive.segment(self.folder(), number, len)?;
        }
        let mut report = BackupReport {
            sequence,
            ..BackupReport::default()
        };
        for digest in journal::blobs_named(self.folder(), sequence)? {
            match self.blobs().read(&digest) {
                Ok(bytes) => {
                    archive.add(Member::Blob(digest), &bytes)?;
                    report.blobs += 1;
                }
                Err(StoreError::BlobMissing { .. } | StoreError::BlobDamaged { .. }) => {
                    report.missing.push(digest);
                }
                Err(error) => return Err(error),
            }
        }
        let manifest = Manifest {
            sequence,
            head: hex::encode(head),
            segments: lengths.len() as u64,
            blobs: report.blobs,
            missing: report.missing.clone(),
        };
        let json = serde_json::to_vec(&manifest).map_err(|error| failed(error.into()))?;
        archive.add(Member::Manifest, &json)?;
        archive.tar.finish().map_err(failed)?;
        report.bytes = archive.bytes;
        Ok(report)
    }
}

struct Archive<W: Write> {
    tar: tar::Builder<W>,
    bytes: u64,
}

impl<W: Write> Archive<W> {
    fn add(&mut self, member: Member, bytes: &[u8]) -> Result<(), StoreError> {
        self.stream(member, bytes.len() as u64, bytes)
    }

    /// A segment up to a length, which ends with a whole line.
    fn segment(&mut self, folder: &Path, number: u32, len: u64) -> Result<(), StoreError> {
        let member = Member::Segment(number);
        let path = folder.join(member.name());
        let file = File::open(&path).map_err(StoreError::io("open", &path))?;
        self.stream(member, len, file.take(len))
    }

    fn stream(&mut self, member: Member, len: u64, from: impl Read) -> Result<(), StoreError> {
        let mut header = tar::Header::new_ustar();
        header.set_path(member.name()).map_err(failed)?;
        header.set_size(len);
        header.set_mode(0o600);
        header.set_cksum();
        let mut counted = Counted { from, bytes: 0 };
        self.tar.append(&header, &mut counted).map_err(failed)?;
        if counted.bytes != len {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        self.bytes += len;
        Ok(())
    }
}

/// A reader that knows how much it gave.
struct Counted<R> {
    from: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

fn failed(source: io::Error) -> StoreError {
    StoreError::Stream {
        what: "write",
        source,
    }
}
