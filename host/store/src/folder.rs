//! The folder itself: who owns it, of which format it is, and files that are there whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::journal;

/// What is written.
pub(crate) const FORMAT: u32 = 1;
/// What is still read: the format before this one, once there is one.
pub(crate) const FORMAT_OLDEST: u32 = 1;
/// The file that says so.
pub(crate) const FORMAT_FILE: &str = "format";
const OWNER_FILE: &str = "owner.lock";
/// What is quoted of a format that is not known.
const FORMAT_BYTES_MAX: u64 = 64;

/// Makes a folder for the owner alone, and its parents as they come.
pub(crate) fn make(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = parent(folder);
    std::fs::create_dir_all(&parent).map_err(StoreError::io("make", &parent))?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => {
            Err(StoreError::io("make", folder)(error))
        }
        Ok(()) | Err(_) => sync(&parent),
    }
}

/// The folder that holds a name.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The names in a folder are on the disk when this returns.
pub(crate) fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(StoreError::io("sync", folder))
}

/// A new file for the owner alone, over whatever had its name.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Writes a file aside and gives it its name when it is on the disk; leaves nothing behind where that fails.
pub(crate) fn write_whole(aside: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = create(aside)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(aside, path));
    if let Err(source) = written {
        let _cleared_at_the_next_open_otherwise = std::fs::remove_file(aside);
        return Err(StoreError::io("write", path)(source));
    }
    sync(&parent(path))
}

/// Makes the caller the folder's one owner, for as long as the file is open. The file stays, so that two owners never
/// lock two files of one name.
pub(crate) fn own(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(OWNER_FILE);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(StoreError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _unreadable_means_unknown = (&file).take(32).read_to_string(&mut text);
            return Err(StoreError::Owned {
                folder: folder.to_owned(),
                pid: text.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", &path)(source)),
    }
    // Who owns it is a courtesy to whoever is refused: a full disk must not keep the owner out.
    let note = |mut file: &File| -> io::Result<()> {
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())
    };
    if let Err(error) = note(&file) {
        tracing::debug!(%error, "the owner's process id is not noted");
    }
    Ok(file)
}

/// Checks the folder's format, and writes it into a new folder.
pub(crate) fn check_format(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(FORMAT_FILE);
    let mut text = String::new();
    match File::open(&path) {
        Ok(file) => {
            let read = file.take(FORMAT_BYTES_MAX).read_to_string(&mut text);
            match read {
                Err(error) if error.kind() != io::ErrorKind::InvalidData => {
                    return Err(StoreError::io("read", &path)(error));
                }
                Ok(_) | Err(_) => {}
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !journal::is_there(folder)? {
                let aside = folder.join("format.new");
                return write_whole(&aside, &path, format!("{FORMAT}\n").as_bytes());
            }
        }
        Err(error) => return Err(StoreError::io("open", &path)(error)),
    }
    check_version(&path, &text)
}

/// Whether a format is one that this version reads.
pub(crate) fn check_version(path: &Path, text: &str) -> Result<(), StoreError> {
    let text = text.trim_end_matches(['\n', '\r', ' ']);
    let known = text
        .parse()
        .is_ok_and(|version: u32| (FORMAT_OLDEST..=FORMAT).contains(&version));
    if known {
        return Ok(());
    }
    Err(StoreError::Format {
        path: path.to_owned(),
        found: text.chars().filter(|char| !char.is_control()).collect(),
        oldest: FORMAT_OLDEST,
        newest: FORMAT,
    })
}
