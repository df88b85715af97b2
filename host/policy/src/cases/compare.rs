//! What came of a case against what was expected of it.

use std::collections::BTreeMap;
use std::fmt;

use pointsman_domain::Picos;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Denied, Expect};

pub(super) const UNPRICED: &str = "unpriced";
const NOTHING: &str = "nothing";

/// What came of a case; filled by whoever runs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// All labels.
    pub labels: BTreeMap<String, Value>,
    /// All text of the request after edits, its segments joined by newlines.
    pub edited: Option<String>,
    /// The refusal, if a guard refused.
    pub denied: Option<Denied>,
    /// The variant.
    pub variant: Option<String>,
    /// The targets of the plan.
    pub plan: Option<Vec<String>>,
    /// The code of the plan's reason.
    pub reason: Option<String>,
    /// The text that was released.
    pub released: Option<String>,
    /// The arguments of each tool call that were released.
    pub released_arguments: Vec<String>,
    /// The code of the reason for which the answer ended early.
    pub cut: Option<String>,
    /// The sum of the priced lines.
    pub cost: Option<Picos>,
    /// Whether a line has no price.
    pub unpriced: bool,
    /// The code of the error, if it ended with one that is no refusal.
    pub error: Option<String>,
    /// Verdicts of steps by id, the last where a step spoke twice.
    pub steps: BTreeMap<String, String>,
}

/// One thing that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The key of `expect`.
    pub key: String,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub found: String,
}

/// `plan: expected local, found cloud, local`
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            expected,
            found,
        } = self;
        if expected.contains('\n') || found.contains('\n') {
            return write!(f, "{key}:\n  expected: {expected:?}\n  found:    {found:?}");
        }
        write!(f, "{key}: expected {expected}, found {found}")
    }
}

/// Everything that came out otherwise; empty where the case holds. A refusal, a cut or an error that the case does not
/// mention is one too: a case about something else must not pass because nothing happened.
#[must_use]
pub fn compare(expect: &Expect, outcome: &Outcome) -> Vec<Mismatch> {
    let mut all = Vec::new();
    let mut check = |key: &str, expected: Option<String>, found: Option<String>| {
        if let Some(expected) = expected
            && found.as_ref() != Some(&expected)
        {
            let found = found.unwrap_or_else(|| NOTHING.to_owned());
            all.push(Mismatch {
                key: key.to_owned(),
                expected,
                found,
            });
        }
    };
    let unexpected = |expected: Option<String>, found: &Option<String>| match (expected, found) {
        (None, Some(_)) => Some(NOTHING.to_owned()),
        (expected, _) => expected,
    };

    let denied = found_denied(expect, outcome);
    check(
        "denied",
        unexpected(expect.denied.as_ref().map(shown), &denied),
        denied,
    );
    check(
        "error",
        unexpected(expect.error.clone(), &outcome.error),
        outcome.error.clone(),
    );
    check(
        "cut",
        unexpected(expect.cut.clone(), &outcome.cut),
        outcome.cut.clone(),
    );
    for (key, expected) in &expect.labels {
        let found = outcome.labels.get(key);
        if !found.is_some_and(|found| same(expected, found)) {
            check(
                &format!("labels.{key}"),
                Some(expected.to_string()),
                found.map(Value::to_string),
            );
        }
    }
    for (id, expected) in &expect.steps {
        check(
            &format!("steps.{id}"),
            Some(expected.clone()),
            outcome.steps.get(id).cloned(),
        );
    }
    check("edited", expect.edited.clone(), outcome.edited.clone());
    check("variant", expect.variant.clone(), outcome.variant.clone());
    let plan = |targets: &Vec<String>| targets.join(", ");
    check(
        "plan",
        expect.plan.as_ref().map(plan),
        outcome.plan.as_ref().map(plan),
    );
    check("reason", expect.reason.clone(), outcome.reason.clone());
    check(
        "released",
        expect.released.clone(),
        outcome.released.clone(),
    );
    let arguments = |arguments: &Vec<String>| json!(arguments).to_string();
    check(
        "released-arguments",
        expect.released_arguments.as_ref().map(arguments),
        Some(arguments(&outcome.released_arguments)),
    );
    let cost = if outcome.unpriced {
        Some(UNPRICED.to_owned())
    } else {
        outcome.cost.map(|cost| cost.to_string())
    };
    check("cost-pico-usd", expect.cost_pico_usd.clone(), cost);
    all
}

/// The status counts only where it is expected.
fn found_denied(expect: &Expect, outcome: &Outcome) -> Option<String> {
    let asks_status = expect
        .denied
        .as_ref()
        .is_some_and(|denied| denied.status.is_some());
    outcome.denied.as_ref().map(|denied| match denied.status {
        Some(_) if asks_status => shown(denied),
        _ => denied.code.clone(),
    })
}

fn shown(denied: &Denied) -> String {
    match denied.status {
        Some(status) => format!("{} (status {status})", denied.code),
        None => denied.code.clone(),
    }
}

/// Whole numbers are numbers, however they are written.
fn same(expected: &Value, found: &Value) -> bool {
    expected == found
        || expected
            .as_f64()
            .zip(found.as_f64())
            .is_some_and(|(expected, found)| expected == found)
}
