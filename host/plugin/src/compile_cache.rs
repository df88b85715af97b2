//! Compiled code on disk, so that a restart compiles nothing.
//!
//! wasmtime takes precompiled code on trust: with bytes flipped in it, it was accepted and would run as native code.
//! So code is only ever read from the cache's own folder, which nobody else may write, and its checksum is verified
//! over the very bytes that are then loaded. What does not verify is deleted and compiled again.

use std::hash::{Hash as _, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pointsman_domain::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::contract::WIT_VERSION;
use crate::limits;

/// Part of every key; the engine's own hash leaves out patch releases.
const WASMTIME_VERSION: &str = "48.0.8";
/// First bytes of an entry; changes with its layout.
const MAGIC: &[u8; 8] = b"pmcode1\n";
const HEADER: usize = MAGIC.len() + 32;
const EXTENSION: &str = "cwasm";

/// Why the cache's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// It cannot be made, read or written.
    #[error("cannot use {path} for compiled plugins")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others could put code there.
    #[error(
        "{path} may be written or read by others (mode {mode:o}); remove it, or check its content and `chmod 700` it"
    )]
    Mode {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{path} belongs to another user; name a folder of the gateway's own")]
    Owner {
        /// The folder.
        path: PathBuf,
    },
}

/// The folder, for one engine.
#[derive(Debug)]
pub(crate) struct CompileCache {
    folder: PathBuf,
    engine: [u8; 32],
}

/// What names an entry.
pub(crate) enum Code<'a> {
    /// A component as it came.
    Component(Digest),
    /// A configured state: plugin, configuration, files.
    Snapshot {
        plugin: Digest,
        config: Digest,
        data: &'a [(String, Digest)],
    },
}

impl CompileCache {
    /// Opens a folder, making it where it is missing, and checks that it is ours alone.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io {
            path: folder.to_owned(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(io)?;
        let found = std::fs::metadata(folder).map_err(io)?;
        let mode = found.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CacheError::Mode {
                path: folder.to_owned(),
                mode,
            });
        }
        // A file that we make there tells who we are, and that we may write.
        let probe = tempfile::tempfile_in(folder).map_err(io)?;
        if probe.metadata().map_err(io)?.uid() != found.uid() {
            return Err(CacheError::Owner {
                path: folder.to_owned(),
            });
        }
        Ok(Self {
            folder: folder.to_owned(),
            engine: engine_digest(engine),
        })
    }

    fn path(&self, code: &Code<'_>) -> PathBuf {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(&self.engine);
        part(WASMTIME_VERSION.as_bytes());
        part(WIT_VERSION.as_bytes());
        match code {
            Code::Component(digest) => {
                part(b"component");
                part(&digest.0);
            }
            Code::Snapshot {
                plugin,
                config,
                data,
            } => {
                part(b"snapshot");
                part(&plugin.0);
                part(&config.0);
                for (name, digest) in *data {
                    part(name.as_bytes());
                    part(&digest.0);
                }
            }
        }
        self.folder
            .join(hex::encode(hash.finalize()))
            .with_extension(EXTENSION)
    }

    /// The code under this name, verified; none where there is none or it does not verify.
    pub(crate) fn get(&self, engine: &Engine, code: &Code<'_>) -> Option<Component> {
        let path = self.path(code);
        let bytes = std::fs::read(&path).ok()?;
        let loaded = match verified(&bytes) {
            Some(payload) => deserialize(engine, payload).map_err(|error| error.to_string()),
            None => Err("checksum does not match".to_owned()),
        };
        match loaded {
            Ok(component) => Some(component),
            Err(reason) => {
                tracing::warn!(path = %path.display(), reason, "compiled code is unusable; compiling again");
                // If it cannot be removed, it is refused again the next time.
                let _ = std::fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps compiled code. A failure costs a later compilation, so it is only logged.
    pub(crate) fn put(&self, code: &Code<'_>, component: &Component) {
        let path = self.path(code);
        let kept = component
            .serialize()
            .map_err(std::io::Error::other)
            .and_then(|payload| self.write(&path, &payload));
        match kept {
            Ok(()) => self.trim(&path),
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %error, "compiled code cannot be kept");
            }
        }
    }

    fn write(&self, path: &Path, payload: &[u8]) -> std::io::Result<()> {
        // Mode 0600 and renamed when whole, so that a reader never sees half an entry.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(payload))?;
        file.write_all(payload)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes the oldest entries above the size limit, never `newest`.
    fn trim(&self, newest: &Path) {
        let Ok(folder) = std::fs::read_dir(&self.folder) else {
            return;
        };
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = folder
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == EXTENSION)
            })
            .filter_map(|path| {
                let found = path.metadata().ok()?;
                Some((found.modified().ok()?, found.len(), path))
            })
            .collect();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        entries.sort();
        for (_, bytes, path) in entries {
            if total <= limits::COMPILE_CACHE_BYTES_MAX {
                return;
            }
            if path != newest && std::fs::remove_file(&path).is_ok() {
                total -= bytes;
            }
        }
    }
}

/// The payload of an entry whose checksum holds.
fn verified(entry: &[u8]) -> Option<&[u8]> {
    let (header, payload) = entry.split_at_checked(HEADER)?;
    let checksum = header.strip_prefix(MAGIC)?;
    (Sha256::digest(payload)[..] == *checksum).then_some(payload)
}

#[expect(
    unsafe_code,
    reason = "loading compiled code is unsafe in wasmtime: nothing in it can be checked but where it came from"
)]
fn deserialize(engine: &Engine, payload: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `payload` was written by `put` of a gateway of this user: its checksum was verified over these very bytes,
    // and the folder that it came from can be written by no other user. wasmtime checks version and settings itself.
    unsafe { Component::deserialize(engine, payload) }
}

/// What compiled code depends on besides its source: target, features, settings.
fn engine_digest(engine: &Engine) -> [u8; 32] {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_in_the_key_is_the_one_we_build_with() {
        let lock = include_str!("../../../Cargo.lock");
        let wanted = format!(
            "name = \"wasmtime\"\nversion = \"{}\"\n",
            super::WASMTIME_VERSION
        );
        assert!(
            lock.contains(&wanted),
            "wasmtime changed; change WASMTIME_VERSION with it"
        );
    }
}
