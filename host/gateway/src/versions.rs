//! Version numbers of policies that are read from disk: per policy, from 1, never reused; the same content is the same
//! version. The numbers live in `versions.json` of the state folder.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pointsman_domain::Digest;

/// The digests of each policy's versions; version 1 first.
#[derive(Default)]
pub(crate) struct Versions {
    path: PathBuf,
    known: BTreeMap<String, Vec<Digest>>,
    changed: bool,
}

impl Versions {
    /// Reads what is known; nothing is known in a new state folder.
    pub(crate) fn open(state: &Path) -> anyhow::Result<Self> {
        let path = state.join("versions.json");
        let known = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "{} is damaged; restore it, or remove it to number versions anew",
                    path.display()
                )
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        Ok(Self {
            path,
            known,
            changed: false,
        })
    }

    /// The number of this content; the next free one where it is new.
    pub(crate) fn number(&mut self, policy: &str, digest: Digest) -> u64 {
        let versions = self.known.entry(policy.to_owned()).or_default();
        let index = versions.iter().position(|known| *known == digest);
        let index = index.unwrap_or_else(|| {
            self.changed = true;
            versions.push(digest);
            versions.len() - 1
        });
        index as u64 + 1
    }

    /// Makes new numbers durable; before they are served, so that none is ever given to other content.
    pub(crate) fn save(&mut self) -> anyhow::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let aside = self.path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&aside)?;
            file.write_all(&serde_json::to_vec_pretty(&self.known)?)?;
            file.sync_all()?;
            std::fs::rename(&aside, &self.path)
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))?;
        self.changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_and_never_reused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b, c) = (Digest([1; 32]), Digest([2; 32]), Digest([3; 32]));
        let mut versions = Versions::open(folder.path()).expect("new");
        assert_eq!((versions.number("p", a), versions.number("p", b)), (1, 2));
        assert_eq!(versions.number("q", b), 1);
        versions.save().expect("written");
        let mut versions = Versions::open(folder.path()).expect("there");
        assert_eq!(versions.number("p", a), 1, "going back is the old version");
        assert_eq!(versions.number("p", c), 3);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("versions.json"), "{").expect("written");
        assert!(Versions::open(folder.path()).is_err());
    }
}
