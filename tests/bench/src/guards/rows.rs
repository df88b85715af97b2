//! Labelled rows from files of lines.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Where rows are.
#[derive(Clone, Debug)]
pub struct Folders {
    /// What is measured on: a folder that somebody names, else that of the repository.
    pub data: PathBuf,
    /// The repository's own rows, `tests/quality`.
    pub own: PathBuf,
}

impl Folders {
    /// Rows of `name`: from the named folder or its `dev`, else the repository's.
    pub(crate) fn rows(&self, name: &str) -> anyhow::Result<Vec<Value>> {
        let file = self.file(name)?;
        read(&file)
    }

    /// The file of `name`.
    pub(crate) fn file(&self, name: &str) -> anyhow::Result<PathBuf> {
        let places = [self.data.join(name), self.data.join("dev").join(name)];
        let Some(file) = places.into_iter().find(|file| file.is_file()) else {
            bail!(
                "{} holds no {name}; name a folder with files as those in tests/quality",
                self.data.display()
            );
        };
        Ok(file)
    }

    /// Rows that a model may learn from: the repository's, and those of `dev` where the named folder has one.
    pub(crate) fn training_rows(&self, name: &str) -> anyhow::Result<Vec<Value>> {
        let mut rows = read(&self.own.join(name))?;
        let more = self.data.join("dev").join(name);
        if more.is_file() {
            let known: std::collections::BTreeSet<String> =
                rows.iter().map(|row| text(row, "id").to_owned()).collect();
            let new = read(&more)?.into_iter();
            rows.extend(new.filter(|row| !known.contains(text(row, "id"))));
        }
        Ok(rows)
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<Value>> {
    let lines =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let rows = lines.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("{}, line {}: no JSON", file.display(), index + 1))
    });
    rows.collect()
}

/// A string of a row; none is the empty one.
pub(crate) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// Whether a row's label says yes.
pub(crate) fn is_positive(row: &Value) -> bool {
    row["label"] == 1
}

/// Where a row comes from, without what it is of there.
pub(crate) fn source(row: &Value) -> &str {
    let first = text(row, "source")
        .split_whitespace()
        .next()
        .unwrap_or_default();
    // Its rows are garak's.
    if first.starts_with("Giskard") {
        "NVIDIA/garak"
    } else {
        first
    }
}
