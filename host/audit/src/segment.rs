//! Segments: their file names, their order in the folder, and positions in them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::AuditError;

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The chain.
    pub chain: Arc<str>,
    /// The segment's number, from 1.
    pub segment: u32,
    /// Byte at which its line begins.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            file_name(&self.chain, self.segment),
            self.offset
        )
    }
}

/// A chain's name is part of file names and of its first hash.
pub(crate) fn check_name(chain: &str) -> Result<(), AuditError> {
    let fits = (1..=64).contains(&chain.len())
        && chain
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if fits {
        Ok(())
    } else {
        Err(AuditError::Name(chain.to_owned()))
    }
}

pub(crate) fn file_name(chain: &str, number: u32) -> String {
    format!("{chain}.{number:06}.log")
}

pub(crate) fn path(folder: &Path, chain: &str, number: u32) -> PathBuf {
    folder.join(file_name(chain, number))
}

fn parse_name(name: &str) -> Option<(&str, u32)> {
    let (chain, number) = name.strip_suffix(".log")?.rsplit_once('.')?;
    check_name(chain).ok()?;
    let parsed: u32 = number.parse().ok()?;
    // One spelling a number, or two files could claim the same place.
    (parsed > 0 && format!("{parsed:06}") == number).then_some((chain, parsed))
}

type Chains = BTreeMap<Arc<str>, Vec<u32>>;

/// The chains of a folder, each with its segments in order.
pub(crate) fn list(folder: &Path) -> Result<Chains, AuditError> {
    let chains = scan(folder)?;
    let gap = |numbers: &Vec<u32>| numbers.windows(2).any(|pair| pair[0] + 1 != pair[1]);
    if !chains.values().any(gap) {
        return Ok(chains);
    }
    // A folder's listing is not atomic: of two segments that are made meanwhile it may hold the second only. All that
    // the first listing knows was there before the second listing began, and what stood before it too.
    let mut again = scan(folder)?;
    again.retain(|chain, numbers| {
        let newest = chains.get(chain).and_then(|numbers| numbers.last());
        numbers.retain(|number| Some(number) <= newest);
        newest.is_some()
    });
    Ok(again)
}

fn scan(folder: &Path) -> Result<Chains, AuditError> {
    let failed = AuditError::io;
    let mut chains = Chains::new();
    let entries =
        std::fs::read_dir(folder).map_err(failed("read the decision log's folder", folder))?;
    for entry in entries {
        let entry = entry.map_err(failed("read the decision log's folder", folder))?;
        if let Some((chain, number)) = entry.file_name().to_str().and_then(parse_name) {
            match chains.get_mut(chain) {
                Some(numbers) => numbers.push(number),
                None => {
                    chains.insert(chain.into(), vec![number]);
                }
            }
        }
    }
    for numbers in chains.values_mut() {
        numbers.sort_unstable();
    }
    Ok(chains)
}

#[cfg(test)]
mod tests {
    use super::{file_name, parse_name};

    #[test]
    fn names_are_read_as_they_are_written() {
        assert_eq!(parse_name(&file_name("worker-0", 1)), Some(("worker-0", 1)));
        assert_eq!(
            parse_name(&file_name("worker-12", 1_234_567)),
            Some(("worker-12", 1_234_567))
        );
    }

    #[test]
    fn other_files_are_not_segments() {
        for name in [
            "worker-0.lock",
            "worker-0.1.log",
            "worker-0.000000.log",
            "Worker.000001.log",
            ".000001.log",
            "worker-0.000001.log.next",
        ] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
