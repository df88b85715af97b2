//! The content store: what was asked, beside the log and never in it, so that it can be erased and the log still holds.
//!
//! A record of the log names a place and a commitment, sha256 over a salt of 32 random bytes and the content; the salt
//! lies with the content alone. Who erases both leaves a digest that nobody can try guesses against.
//!
//! Files `<chain>.<number>.content` of one folder hold frames, one a request (numbers little-endian):
//!
//! ```text
//! "PMC1" | u32 bytes of the head | u32 bytes of the content | u32 crc32 of both and the head
//! head, JSON: {"id":…,"tenant":…,"at-ms":…}
//! salt, 32 bytes | content | u32 crc32 of salt and content
//! ```
//!
//! Promises: content is told whole and as its commitment says, or not at all; a torn or changed frame is passed over
//! and told, those behind it are found; erasing overwrites salt and content where they stand, and moves nothing.
//! Refuses to know what content means, and where salts come from. Whoever holds a chain's lock writes its content.

mod erase;
mod frame;
mod reader;
mod writer;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

pub use erase::{Erased, erase};
pub use frame::{About, SALT_BYTES};
pub use reader::{Content, Contents, Entry, Seen, content, contents};
pub use writer::{CONTENT_SEGMENT_BYTES_MAX, ContentWriter, Kept};

use crate::error::AuditError;
use crate::segment;

/// Where a frame stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The chain whose record names it.
    pub chain: Arc<str>,
    /// The file's number, from 1.
    pub number: u32,
    /// Byte at which it begins.
    pub offset: u64,
}

/// A text that is no place.
#[derive(Debug, thiserror::Error)]
#[error("no place of content: write one such as worker-0.000001.content:0")]
pub struct PlaceError;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = file_name(&self.chain, self.number);
        write!(f, "{file}:{}", self.offset)
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (file, offset) = text.rsplit_once(':').ok_or(PlaceError)?;
        let (chain, number) = parse_name(file).ok_or(PlaceError)?;
        Ok(Self {
            chain: chain.into(),
            number,
            offset: offset.parse().map_err(|_| PlaceError)?,
        })
    }
}

fn file_name(chain: &str, number: u32) -> String {
    format!("{chain}.{number:06}.content")
}

fn parse_name(name: &str) -> Option<(&str, u32)> {
    let (chain, number) = name.strip_suffix(".content")?.rsplit_once('.')?;
    segment::check_name(chain).ok()?;
    let parsed: u32 = number.parse().ok()?;
    (parsed > 0 && format!("{parsed:06}") == number).then_some((chain, parsed))
}

fn path(folder: &Path, chain: &str, number: u32) -> PathBuf {
    folder.join(file_name(chain, number))
}

/// The files of a folder, by chain and number; a folder that is not there has none.
fn list(folder: &Path) -> Result<Vec<(Arc<str>, u32)>, AuditError> {
    let failed = |error| AuditError::io("read the content store's folder", folder)(error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if let Some((chain, number)) = name.to_str().and_then(parse_name) {
            files.push((chain.into(), number));
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_place_reads_as_it_is_written_and_leaves_no_folder() {
        let place: Place = "worker-0.000012.content:4096".parse().expect("a place");
        assert_eq!(place.to_string(), "worker-0.000012.content:4096");
        for text in [
            "",
            "worker-0.000001.content",
            "worker-0.000001.content:x",
            "worker-0.1.content:0",
            "../worker-0.000001.content:0",
            "worker-0.000001.log:0",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
