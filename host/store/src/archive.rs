//! The archive of a backup: which members it has, in which order, and what its last one says of the others.
//!
//! A tar of plain files: `format`, the journal's segments in order, the blobs, and `manifest.json` last, without which
//! it is not whole.

use std::path::Path;

use pointsman_audit::segments;
use pointsman_domain::Digest;
use serde::{Deserialize, Serialize};

use crate::blobs;
use crate::error::StoreError;
use crate::folder::FORMAT_FILE;
use crate::journal;

pub(crate) const MANIFEST: &str = "manifest.json";

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Of the last entry.
    pub(crate) sequence: u64,
    /// Hash of the journal's last line, as hex digits.
    pub(crate) head: String,
    /// Segments of the journal.
    pub(crate) segments: u64,
    /// Blobs.
    pub(crate) blobs: u64,
    /// Blobs that the journal names and that were not there, or damaged, when the backup was made.
    pub(crate) missing: Vec<Digest>,
}

/// A member, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Format,
    Segment(u32),
    Blob(Digest),
    Manifest,
}

impl Member {
    /// Only the one spelling that a backup writes: no other name leads anywhere.
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(name).ok()?;
        let member = match text {
            FORMAT_FILE => Self::Format,
            MANIFEST => Self::Manifest,
            _ => match text.rsplit_once('/') {
                Some((_, digits)) => {
                    let mut bytes = [0; 32];
                    hex::decode_to_slice(digits, &mut bytes).ok()?;
                    Self::Blob(Digest(bytes))
                }
                None => {
                    let rest = text.strip_prefix(journal::CHAIN)?.strip_prefix('.')?;
                    Self::Segment(rest.strip_suffix(".log")?.parse().ok()?)
                }
            },
        };
        (member.name() == text).then_some(member)
    }

    /// Its name in the archive, and under the folder too.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Format => FORMAT_FILE.to_owned(),
            Self::Segment(number) => format!("{}.{number:06}.log", journal::CHAIN),
            Self::Blob(digest) => {
                let path = blobs::path(Path::new(blobs::FOLDER), &digest);
                path.to_string_lossy().into_owned()
            }
            Self::Manifest => MANIFEST.to_owned(),
        }
    }
}

/// The journal's segments and their lengths now, `written` being the one that grows.
pub(crate) fn lengths(
    folder: &Path,
    written: Option<(u32, u64)>,
) -> Result<Vec<(u32, u64)>, StoreError> {
    let numbers = segments(folder, journal::CHAIN).map_err(StoreError::Journal)?;
    let length = |number| {
        if let Some((grows, len)) = written
            && grows == number
        {
            return Ok((number, len));
        }
        let path = folder.join(Member::Segment(number).name());
        let found = std::fs::metadata(&path).map_err(StoreError::io("read", &path))?;
        Ok((number, found.len()))
    };
    numbers.into_iter().map(length).collect()
}
