//! Candidates for native tests.

use std::collections::BTreeMap;

use crate::view::Pool;
use crate::words::Value;

/// Candidates in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct FakePool {
    rows: Vec<(String, BTreeMap<String, Value>)>,
}

impl FakePool {
    /// From `{target: {column: value}}`; a missing `healthy` means true, as the gateway fills it.
    ///
    /// # Panics
    /// When it has another shape.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Self {
        let mut pool = Self::default();
        for (name, columns) in json.as_object().into_iter().flatten() {
            let columns = columns
                .as_object()
                .expect("a target is an object of columns");
            let columns = columns
                .iter()
                .map(|(key, cell)| (key.clone(), super::value(cell)));
            pool = pool.with(name, columns);
        }
        pool
    }

    /// With one more target.
    #[must_use]
    pub fn with(mut self, name: &str, columns: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut row: BTreeMap<String, Value> = columns.into_iter().collect();
        row.entry("healthy".to_owned()).or_insert(Value::Flag(true));
        self.rows.push((name.to_owned(), row));
        self
    }
}

impl Pool for FakePool {
    fn names(&self) -> Vec<String> {
        self.rows.iter().map(|(name, _)| name.clone()).collect()
    }

    fn column(&self, key: &str) -> Vec<Option<Value>> {
        self.rows
            .iter()
            .map(|(_, row)| row.get(key).cloned())
            .collect()
    }
}
