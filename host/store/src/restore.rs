//! From an archive to a store, checked whole before it has its place.
//!
//! Promises: nothing of an archive that is not whole, not ours or not what it says gets into the folder; no name of it
//! leads out of the folder; what it may take is bounded.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use pointsman_audit::verify;
use pointsman_domain::Digest;
use sha2::{Digest as _, Sha256};

use crate::archive::{Manifest, Member};
use crate::blobs;
use crate::error::StoreError;
use crate::folder;
use crate::journal::{self, Replayed, Unfit};

/// Most that one member may have, in bytes.
const MEMBER_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Most that all members may have, in bytes.
const ARCHIVE_BYTES_MAX: u64 = 256 * 1024 * 1024 * 1024;
/// Most members.
const MEMBERS_MAX: u64 = 1_000_000;
/// Most that `format` and the manifest may have, in bytes; a manifest may list every blob as missing.
const TEXT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Of the last entry.
    pub sequence: u64,
    /// Blobs.
    pub blobs: u64,
    /// Blobs that the journal names and that the backup was made without: push them again.
    pub missing: Vec<Digest>,
    /// Bytes of all files.
    pub bytes: u64,
}

impl crate::Store {
    /// Restores a backup into an empty or missing folder. The queryable state is rebuilt at the next opening.
    ///
    /// # Errors
    /// Where the folder holds anything, the archive is not whole, not ours or not what it says, or the operating system
    /// refuses. The folder is then as it was before.
    pub fn restore(archive: &mut dyn Read, folder: &Path) -> Result<RestoreReport, StoreError> {
        if !is_free(folder)? {
            return Err(StoreError::NotEmpty {
                folder: folder.to_owned(),
            });
        }
        let parent = folder::parent(folder);
        fs::create_dir_all(&parent).map_err(StoreError::io("make", &parent))?;
        let aside = aside(folder)?;
        let restored = Restoring::new(&aside)
            .and_then(|restoring| restoring.unpack(archive))
            .and_then(|report| {
                fs::rename(&aside, folder).map_err(|source| match source.kind() {
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
                        StoreError::NotEmpty {
                            folder: folder.to_owned(),
                        }
                    }
                    _ => StoreError::io("move the restored store to", folder)(source),
                })?;
                folder::sync(&parent)?;
                Ok(report)
            });
        if restored.is_err() {
            let _was_ours_alone = fs::remove_dir_all(&aside);
        }
        restored
    }
}

fn is_free(folder: &Path) -> Result<bool, StoreError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(StoreError::io("read", folder)(error)),
    }
}

/// A folder beside the one to restore, of our own.
fn aside(folder: &Path) -> Result<PathBuf, StoreError> {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(format!(".restoring-{}", std::process::id()));
    let path = folder::parent(folder).join(name);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        Ok(_) => Err(StoreError::io("make", &path)(
            io::ErrorKind::AlreadyExists.into(),
        )),
        Err(error) => Err(StoreError::io("look at", &path)(error)),
    }
}

/// What came out of an archive so far.
struct Restoring<'a> {
    folder: &'a Path,
    report: RestoreReport,
    members: u64,
    format: bool,
    /// Segments so far, which come in order from 1.
    segments: u32,
    blobs: BTreeSet<Digest>,
}

impl<'a> Restoring<'a> {
    fn new(folder: &'a Path) -> Result<Self, StoreError> {
        folder::make(folder)?;
        folder::make(&folder.join(blobs::FOLDER))?;
        Ok(Self {
            folder,
            report: RestoreReport::default(),
            members: 0,
            format: false,
            segments: 0,
            blobs: BTreeSet::new(),
        })
    }

    fn unpack(mut self, archive: &mut dyn Read) -> Result<RestoreReport, StoreError> {
        let mut tar = tar::Archive::new(archive);
        // Raw: no member but ours has a long name, a link or a hole, and none is read into memory to find out.
        let entries = tar.entries().map_err(failed)?.raw(true);
        let mut manifest = None;
        for entry in entries {
            let mut entry = entry.map_err(failed)?;
            if manifest.is_some() {
                return Err(StoreError::archive("members stand behind its manifest"));
            }
            let member = self.admit(&entry)?;
            match member {
                Member::Format => self.check_format(&mut entry)?,
                Member::Segment(number) => self.segment(number, &mut entry)?,
                Member::Blob(digest) => self.blob(digest, &mut entry)?,
                Member::Manifest => manifest = Some(parse_manifest(&mut entry)?),
            }
        }
        let manifest = manifest.ok_or_else(|| {
            StoreError::archive("it is not whole: its manifest is missing; make the backup again")
        })?;
        self.verify(manifest)
    }

    /// The member, if it is one of ours and within bounds.
    fn admit<R: Read>(&mut self, entry: &tar::Entry<'_, R>) -> Result<Member, StoreError> {
        let name = entry.path_bytes();
        let named = || String::from_utf8_lossy(&name[..name.len().min(100)]).into_owned();
        let header = entry.header();
        let member = Member::parse(&name)
            .filter(|_| header.entry_type().is_file())
            .ok_or_else(|| StoreError::archive(format!("{:?} is no file of a store", named())))?;
        let bytes = header.size().map_err(failed)?;
        let bytes_max = match member {
            Member::Format | Member::Manifest => TEXT_BYTES_MAX,
            Member::Segment(_) | Member::Blob(_) => MEMBER_BYTES_MAX,
        };
        self.members += 1;
        self.report.bytes = self.report.bytes.saturating_add(bytes);
        if bytes > bytes_max || self.members > MEMBERS_MAX || self.report.bytes > ARCHIVE_BYTES_MAX
        {
            return Err(StoreError::archive(format!(
                "{:?} goes above what a store may hold ({bytes_max} bytes a file, {ARCHIVE_BYTES_MAX} bytes and {MEMBERS_MAX} files in all)",
                named()
            )));
        }
        Ok(member)
    }

    fn check_format(&mut self, entry: &mut impl Read) -> Result<(), StoreError> {
        let mut text = String::new();
        entry.take(64).read_to_string(&mut text).map_err(failed)?;
        let path = self.folder.join(folder::FORMAT_FILE);
        folder::check_version(Path::new("the archive"), &text)?;
        folder::write_whole(&path.with_extension("new"), &path, text.as_bytes())?;
        self.format = true;
        Ok(())
    }

    fn segment(&mut self, number: u32, entry: &mut impl Read) -> Result<(), StoreError> {
        if !self.format {
            return Err(StoreError::archive("its format does not come first"));
        }
        if Some(number) != self.segments.checked_add(1) {
            return Err(StoreError::archive(format!(
                "segment {number} of the journal comes behind segment {}",
                self.segments
            )));
        }
        self.segments = number;
        self.copy(Member::Segment(number), entry).map(|_| ())
    }

    fn blob(&mut self, digest: Digest, entry: &mut impl Read) -> Result<(), StoreError> {
        if !self.format || !self.blobs.insert(digest) {
            return Err(StoreError::archive(format!(
                "blob {digest} stands in the wrong place, or twice"
            )));
        }
        let path = self.folder.join(Member::Blob(digest).name());
        folder::make(&folder::parent(&path))?;
        let found = self.copy(Member::Blob(digest), entry)?;
        if found != digest {
            return Err(StoreError::archive(format!(
                "blob {digest} is damaged: its bytes are {found}"
            )));
        }
        Ok(())
    }

    /// Copies a member to the disk; the digest of what came.
    fn copy(&self, member: Member, entry: &mut impl Read) -> Result<Digest, StoreError> {
        let path = self.folder.join(member.name());
        let mut file = folder::create(&path).map_err(StoreError::io("make", &path))?;
        let mut hasher = Sha256::new();
        let mut block = vec![0; 64 * 1024];
        loop {
            match entry.read(&mut block) {
                Ok(0) => break,
                Ok(read) => {
                    hasher.update(&block[..read]);
                    file.write_all(&block[..read])
                        .map_err(StoreError::io("write", &path))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        file.sync_all().map_err(StoreError::io("sync", &path))?;
        Ok(Digest(hasher.finalize().into()))
    }

    /// Whether what came is what the manifest says, and holds.
    fn verify(mut self, manifest: Manifest) -> Result<RestoreReport, StoreError> {
        if manifest.segments != u64::from(self.segments)
            || manifest.blobs != self.blobs.len() as u64
        {
            return Err(StoreError::archive(
                "it holds other files than its manifest counts",
            ));
        }
        let checked = verify(self.folder).map_err(StoreError::Journal)?;
        if let Some(problem) = checked.problem {
            return Err(StoreError::archive(format!(
                "its journal is damaged: {problem}"
            )));
        }
        let replayed = self.replay()?;
        let head = replayed.head.map(hex::encode);
        if replayed.state.sequence != manifest.sequence || head.as_ref() != Some(&manifest.head) {
            return Err(StoreError::archive(
                "its journal does not end where its manifest says",
            ));
        }
        for digest in journal::blobs_named(self.folder, manifest.sequence)? {
            if !self.blobs.contains(&digest) && !manifest.missing.contains(&digest) {
                return Err(StoreError::archive(format!(
                    "blob {digest} is missing, though its journal names it"
                )));
            }
        }
        folder::sync(self.folder)?;
        let blobs = self.folder.join(blobs::FOLDER);
        folder::sync(&blobs)?;
        let prefixes: BTreeSet<PathBuf> = self
            .blobs
            .iter()
            .map(|digest| folder::parent(&blobs::path(&blobs, digest)))
            .collect();
        for prefix in prefixes {
            folder::sync(&prefix)?;
        }
        self.report.sequence = manifest.sequence;
        self.report.blobs = manifest.blobs;
        self.report.missing = manifest.missing;
        Ok(self.report)
    }
}

impl Restoring<'_> {
    fn replay(&self) -> Result<Replayed, StoreError> {
        journal::replay(self.folder, None).map_err(|unfit| match unfit {
            Unfit::Base(what) => StoreError::archive(format!("its journal: {what}")),
            Unfit::Damaged(problem) => {
                StoreError::archive(format!("its journal is damaged: {problem}"))
            }
            Unfit::Unreadable(error) => StoreError::Journal(error),
        })
    }
}

fn parse_manifest(entry: &mut impl Read) -> Result<Manifest, StoreError> {
    let mut bytes = Vec::new();
    entry
        .take(TEXT_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| StoreError::archive(format!("its manifest cannot be read: {error}")))
}

fn failed(source: io::Error) -> StoreError {
    StoreError::Stream {
        what: "read",
        source,
    }
}
