//! What is looked at or measured: a component, built first where its folder is named, and its cases.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use pointsman_cases::Case;
use pointsman_plugin::{Plugin, Runtime};

use super::cases;

/// A component's bytes and the cases that there are.
pub(super) struct Subject {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// None where nobody wrote any.
    pub(super) cases: Option<Vec<Case>>,
}

impl Subject {
    /// `target` is a plugin's folder or a component; without `file`, the cases are `cases.jsonl` beside it.
    pub(super) fn find(target: &Path, file: Option<&Path>) -> anyhow::Result<Self> {
        let (path, folder) = if target.is_dir() {
            (super::build(target, None)?, target)
        } else {
            (target.to_owned(), target.parent().unwrap_or(target))
        };
        let beside = folder.join("cases.jsonl");
        let cases = match file {
            Some(file) => Some(cases::read(file)?),
            None if beside.is_file() => Some(cases::read(&beside)?),
            None => None,
        };
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path, bytes, cases })
    }

    pub(super) fn load(&self, runtime: &Runtime) -> anyhow::Result<Arc<Plugin>> {
        super::loaded(runtime, &self.path, &self.bytes)
    }
}
