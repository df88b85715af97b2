//! The sums beside a sealed segment: which segment they are of, and whether they are whole.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::SegmentSums;
use crate::AuditError;
use crate::recovery::last_line;
use crate::segment;

/// What this version writes and reads.
const FORMAT: u32 = 1;

/// Which bytes the sums are of: a sealed segment never changes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Identity {
    /// The segment's length.
    bytes: u64,
    /// Hash of its seal, which follows from every line before it.
    seal: String,
}

#[derive(Serialize, Deserialize)]
struct File<'a> {
    format: u32,
    /// Of `sums` as it is written, in hex.
    crc32: String,
    #[serde(borrow)]
    sums: &'a RawValue,
}

#[derive(Serialize)]
struct Content<'a> {
    of: &'a Identity,
    #[serde(flatten)]
    sums: &'a SegmentSums,
}

#[derive(Deserialize)]
struct ContentRead {
    of: Identity,
    #[serde(flatten)]
    sums: SegmentSums,
}

/// What a segment's sums must say they are of; none for one without a seal, or with anything behind it.
pub(super) fn identity(
    folder: &Path,
    chain: &str,
    number: u32,
) -> Result<Option<Identity>, AuditError> {
    let path = segment::path(folder, chain, number);
    let meta = std::fs::metadata(&path).map_err(AuditError::io("read", &path))?;
    let last = last_line(folder, chain, number)?;
    let sealed = last.filter(|last| last.whole && last.seal.is_some());
    Ok(sealed.map(|last| Identity {
        bytes: meta.len(),
        seal: hex::encode(last.hash.0),
    }))
}

fn path(folder: &Path, chain: &str, number: u32) -> PathBuf {
    segment::path(folder, chain, number).with_extension("sums.json")
}

/// The sums, where they are whole and of this segment.
pub(super) fn read(
    folder: &Path,
    chain: &str,
    number: u32,
    identity: &Identity,
) -> Option<SegmentSums> {
    let bytes = std::fs::read(path(folder, chain, number)).ok()?;
    let file: File<'_> = serde_json::from_slice(&bytes).ok()?;
    let text = file.sums.get();
    if file.format != FORMAT || file.crc32 != crc32(text) {
        return None;
    }
    let content: ContentRead = serde_json::from_str(text).ok()?;
    (content.of == *identity).then_some(content.sums)
}

/// Writes the sums aside and puts them in place. They can be made anew, so whatever fails is left at that.
pub(super) fn write(
    folder: &Path,
    chain: &str,
    number: u32,
    identity: &Identity,
    sums: &SegmentSums,
) {
    let content = Content { of: identity, sums };
    let put = || -> std::io::Result<()> {
        let text = serde_json::to_string(&content)?;
        let sums = RawValue::from_string(text)?;
        let file = serde_json::to_vec(&File {
            format: FORMAT,
            crc32: crc32(sums.get()),
            sums: &sums,
        })?;
        let path = path(folder, chain, number);
        let aside = path.with_extension("json.new");
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        out.write_all(&file)?;
        std::fs::rename(&aside, &path)
    };
    let _made_anew_where_it_is_missing = put();
}

fn crc32(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}
