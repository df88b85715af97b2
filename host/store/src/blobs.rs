//! Bytes by their sha256: plugins, bundles as they were pushed, price catalogues.
//!
//! Promises: a blob is there whole or not at all, and is what its name says each time it is read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use pointsman_domain::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::StoreError;
use crate::folder;

/// The folder of blobs.
pub(crate) const FOLDER: &str = "blobs";
/// Where blobs are written before they have their name.
const ASIDE: &str = "aside";

/// The blobs of one store.
#[derive(Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
    bytes_max: u64,
    /// Names what is written aside.
    next: AtomicU64,
}

impl Blobs {
    /// Makes the folders, and clears what a killed process left half-written.
    pub(crate) fn open(store: &Path, bytes_max: u64) -> Result<Self, StoreError> {
        let folder = store.join(FOLDER);
        folder::make(&folder)?;
        let aside = folder.join(ASIDE);
        if let Err(error) = std::fs::remove_dir_all(&aside)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %aside.display(), "half-written blobs are not cleared");
        }
        folder::make(&aside)?;
        Ok(Self {
            folder,
            bytes_max,
            next: AtomicU64::new(0),
        })
    }

    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        if bytes.len() as u64 > self.bytes_max {
            return Err(StoreError::BlobTooLarge {
                bytes: bytes.len() as u64,
                max: self.bytes_max,
            });
        }
        let digest = Digest(Sha256::digest(bytes).into());
        let path = path(&self.folder, &digest);
        // One that is damaged on the disk is mended by what its name says.
        if holds(&path, bytes) {
            return Ok(digest);
        }
        folder::make(&folder::parent(&path))?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let aside = self.folder.join(ASIDE).join(number.to_string());
        folder::write_whole(&aside, &path, bytes)?;
        Ok(digest)
    }

    pub(crate) fn read(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        read(&self.folder, digest)
    }
}

/// A blob of the folder of blobs.
pub(crate) fn read(folder: &Path, digest: &Digest) -> Result<Bytes, StoreError> {
    let path = path(folder, digest);
    let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => StoreError::BlobMissing { digest: *digest },
        _ => StoreError::io("read", &path)(source),
    })?;
    if Sha256::digest(&bytes)[..] != digest.0 {
        return Err(StoreError::BlobDamaged { digest: *digest });
    }
    Ok(bytes.into())
}

/// Where a blob lies under the folder of blobs.
pub(crate) fn path(folder: &Path, digest: &Digest) -> PathBuf {
    let name = hex::encode(digest.0);
    folder.join(&name[..2]).join(name)
}

/// Whether a file holds just these bytes.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut rest = bytes;
    let mut file = file.take(bytes.len() as u64 + 1);
    let mut block = [0; 16 * 1024];
    loop {
        match file.read(&mut block) {
            Ok(0) => return rest.is_empty(),
            Ok(read) => match rest.strip_prefix(&block[..read]) {
                Some(behind) => rest = behind,
                None => return false,
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}
