//! How well the guards find what they are for, on labelled texts: precision, recall, false positives by source.
//!
//! The plugins' own logic runs natively; components decide the same. Figures on texts that a guard was tuned on say
//! so. Refuses to know: what is done with a find.

mod injection;
mod learn;
mod pii;
mod rows;
mod secrets;
mod spans;

use serde_json::{Map, Value, json};

pub use injection::{measure as measure_injection, train};
pub use pii::measure as measure_pii;
pub use rows::Folders;
pub use secrets::measure as measure_secrets;

/// What one part came to.
#[derive(Debug, Default)]
pub struct Findings {
    /// A table in Markdown and what it was taken on.
    pub lines: Vec<String>,
    /// `name` → `{value, limit, ok}`.
    pub promises: Map<String, Value>,
}

impl Findings {
    fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn at_least(&mut self, name: &str, value: f64, limit: f64) {
        self.promise(name, value, limit, value >= limit);
    }

    fn below(&mut self, name: &str, value: f64, limit: f64) {
        self.promise(name, value, limit, value < limit);
    }

    fn promise(&mut self, name: &str, value: f64, limit: f64, ok: bool) {
        let round = |number: f64| (number * 1e4).round() / 1e4;
        let entry = json!({"value": round(value), "limit": round(limit), "ok": ok});
        self.promises.insert(name.to_owned(), entry);
    }
}

/// A part of a whole; of nothing it is none.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are small")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
