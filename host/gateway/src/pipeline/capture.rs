//! Capture: what was asked, and what its steps are told beside it, kept beside the log where the policy says so.
//!
//! Promises: a record holds a commitment and a place, never content or salt; credentials are not among what is kept,
//! since steps see none; a request whose content cannot be kept is served, and its record says so. Content is one line
//! of JSON, [`Inputs`], and behind it the body as it came.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use pointsman_audit::{About, SALT_BYTES};
use pointsman_domain::decision::{self, Captured, StepRecord};
use pointsman_domain::plan::CandidatePool;
use pointsman_domain::{Digest, Value};
use pointsman_policy::policy::Capture;
use pointsman_telemetry::Throttle;
use serde::{Deserialize, Serialize};

use super::Exchange;

/// Between two log lines about content that could not be kept.
static TROUBLE: Throttle = Throttle::new(Duration::from_secs(1));

/// What the steps of a request are told that does not follow from its body.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Inputs {
    /// Those headers that steps may see.
    pub(crate) headers: Vec<(String, String)>,
    /// The view's fields when the first step ran.
    fields: Vec<(String, Cell)>,
    /// What routers chose from; none where none was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<Pool>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pool {
    names: Vec<String>,
    columns: Vec<(String, Vec<Option<Cell>>)>,
}

/// A value that reads back as the very same: a number's shortest text does, JSON's reading of it need not.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Cell {
    Text(String),
    Texts(Vec<String>),
    Integer(i64),
    Number(String),
    Flag(bool),
}

impl From<&Value> for Cell {
    fn from(value: &Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text.clone()),
            Value::Texts(texts) => Self::Texts(texts.clone()),
            Value::Integer(integer) => Self::Integer(*integer),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::Flag(flag) => Self::Flag(*flag),
        }
    }
}

impl From<&Cell> for Value {
    fn from(cell: &Cell) -> Self {
        match cell {
            Cell::Text(text) => Self::Text(text.clone()),
            Cell::Texts(texts) => Self::Texts(texts.clone()),
            Cell::Integer(integer) => Self::Integer(*integer),
            Cell::Number(number) => Self::Number(number.parse().unwrap_or(f64::NAN)),
            Cell::Flag(flag) => Self::Flag(*flag),
        }
    }
}

impl Inputs {
    /// Inputs and body of what was kept.
    pub(crate) fn read(content: &[u8]) -> Option<(Self, Bytes)> {
        let line = line_end(content)?;
        let inputs = serde_json::from_slice(&content[..line]).ok()?;
        Some((inputs, Bytes::copy_from_slice(&content[line + 1..])))
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, Value)> {
        let fields = self.fields.iter();
        fields.map(|(name, cell)| (name.as_str(), cell.into()))
    }

    pub(crate) fn pool(&self) -> Option<CandidatePool> {
        let pool = self.pool.as_ref()?;
        let column = |(key, cells): &(String, Vec<Option<Cell>>)| {
            let values = cells.iter().map(|cell| cell.as_ref().map(Value::from));
            (key.clone(), values.collect())
        };
        Some(CandidatePool {
            names: pool.names.clone(),
            columns: pool.columns.iter().map(column).collect(),
        })
    }
}

/// JSON has no line break within it.
fn line_end(content: &[u8]) -> Option<usize> {
    content.iter().position(|&byte| byte == b'\n')
}

/// Of a request that is to be kept, until its record is made.
pub(super) struct Asked {
    body: Bytes,
    inputs: Inputs,
}

impl Asked {
    /// What the routers are asked to choose from.
    pub(super) fn pool(&mut self, pool: &CandidatePool) {
        let column = |(key, values): &(String, Vec<Option<Value>>)| {
            let cells = values.iter().map(|value| value.as_ref().map(Cell::from));
            (key.clone(), cells.collect())
        };
        self.inputs.pool = Some(Pool {
            names: pool.names.clone(),
            columns: pool.columns.iter().map(column).collect(),
        });
    }
}

impl Exchange {
    /// Holds on to what was asked before any step changes it.
    pub(super) fn capture(&mut self) {
        if self.policy().audit.capture() != Capture::Full {
            return;
        }
        let decided = self.decided();
        let (body, view) = (decided.chat.body().clone(), &decided.view);
        let fields = view.fields.iter();
        let inputs = Inputs {
            headers: view.headers.clone(),
            fields: fields
                .map(|(name, value)| (name.clone().into_owned(), value.into()))
                .collect(),
            pool: None,
        };
        self.asked = Some(Box::new(Asked { body, inputs }));
    }

    /// Keeps it; what its record says of it.
    pub(super) fn keep_asked(&mut self) -> Option<Captured> {
        let asked = self.asked.take()?;
        let max = self.policy().audit.capture_bytes_max();
        let told = |capture, bytes: usize| Captured {
            capture,
            bytes: bytes as u64,
            commitment: None,
            place: None,
        };
        let mut inputs = serde_json::to_vec(&asked.inputs).ok()?;
        inputs.push(b'\n');
        let bytes = inputs.len() + asked.body.len();
        if bytes > max as usize {
            return Some(told(decision::Capture::TooLarge, bytes));
        }
        let about = About {
            id: self.id.clone(),
            tenant: self.principal.as_ref()?.tenant.to_string(),
            at_ms: self.at_ms,
        };
        let keep = || -> anyhow::Result<_> {
            let mut salt = [0; SALT_BYTES];
            getrandom::fill(&mut salt).context("the operating system gives no random bytes")?;
            Ok(self.worker.keep(&about, &salt, &[&inputs, &asked.body])?)
        };
        match keep() {
            Ok(kept) => Some(Captured {
                commitment: Some(kept.commitment),
                place: Some(kept.place.to_string()),
                ..told(decision::Capture::Full, bytes)
            }),
            Err(error) => {
                if let Some(silent) = TROUBLE.pass() {
                    tracing::error!(error = %format!("{error:#}"), silent, "content could not be kept; the request is served, and its record says so");
                }
                Some(told(decision::Capture::Failed, bytes))
            }
        }
    }

    /// A digest that is derived from content, where the policy records any.
    pub(super) fn digest(&self, digest: Digest) -> Option<Digest> {
        let captures = self.policy.as_ref().map(|policy| policy.audit.capture());
        (captures != Some(Capture::None)).then_some(digest)
    }

    /// Steps as they are recorded: where nothing is captured, without the digests of what they were told.
    pub(super) fn recorded_steps(&self, mut steps: Vec<StepRecord>) -> Vec<StepRecord> {
        for step in &mut steps {
            step.imports_digest = step.imports_digest.and_then(|digest| self.digest(digest));
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_reads_back_as_the_very_same(number in any::<f64>(), text in ".*", body in prop::collection::vec(any::<u8>(), 0..50)) {
            let values = [Value::Number(number), Value::Text(text), Value::Flag(true), Value::Integer(i64::MIN)];
            let mut asked = Asked { body: Bytes::new(), inputs: Inputs::default() };
            asked.inputs.fields = values.iter().map(|value| ("field".to_owned(), value.into())).collect();
            let column = values.iter().cloned().map(Some).chain([None]).collect();
            asked.pool(&CandidatePool { names: vec!["a".to_owned()], columns: vec![("key".to_owned(), column)] });
            let mut content = serde_json::to_vec(&asked.inputs).expect("plain data");
            content.push(b'\n');
            content.extend_from_slice(&body);
            let (inputs, read) = Inputs::read(&content).expect("content");
            prop_assert_eq!(&read[..], &body[..]);
            let same = |one: &Value, other: &Value| match (one, other) {
                (Value::Number(one), Value::Number(other)) => one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan(),
                (one, other) => one == other,
            };
            for ((_, found), value) in inputs.fields().zip(&values) {
                prop_assert!(same(&found, value), "{:?} for {:?}", found, value);
            }
            let pool = inputs.pool().expect("a pool");
            prop_assert!(pool.columns[0].1[4].is_none());
            prop_assert!(same(pool.columns[0].1[0].as_ref().expect("a number"), &values[0]));
        }
    }
}
