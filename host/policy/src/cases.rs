//! A bundle's cases, `cases.jsonl`: requests, what the world looks like, and what the policy must decide. One a line:
//!
//! ```json
//! {"name": "masks e-mail",
//!  "request": {"dialect": "openai-chat", "headers": {}, "body": {"model": "auto", "messages": []}},
//!  "inputs": {"pool": {"cloud": {"healthy": false}}, "now-ms": 0, "conversation": "c1", "tenant": "t", "key": "k"},
//!  "answer": {"deltas": ["write a@", "b.io"], "tool-calls": [{"name": "send", "arguments": ["{\"to\":", "\"x\"}"]}],
//!             "usage": {"input-tokens": 9, "output-tokens": 5}},
//!  "expect": {"plan": ["local"], "released": "write [EMAIL]"}}
//! ```
//!
//! Refuses to know: how a case is run; whoever runs it fills an `Outcome`.

mod compare;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use compare::{Mismatch, Outcome, compare};

use crate::document::{self, DocumentError};

/// The name of the file in a bundle.
pub const FILE_NAME: &str = "cases.jsonl";

/// One case.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Case {
    /// What it shows; unique in its file.
    pub name: String,
    /// What the client sends.
    pub request: Request,
    /// What the world looks like.
    #[serde(default)]
    pub inputs: Inputs,
    /// What the first target of the plan answers; absent: the request phases alone are run.
    #[serde(default)]
    pub answer: Option<Answer>,
    /// What must come of it.
    pub expect: Expect,
    /// The line it stands in, from 1.
    #[serde(skip)]
    pub line: usize,
}

/// What the client sends.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Request {
    /// The wire API.
    #[serde(default = "openai_chat")]
    pub dialect: String,
    /// Headers that plugins may see.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Map<String, Value>,
}

/// What the world looks like; what is not said is as in a quiet gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Inputs {
    /// Columns of candidates that differ: target → column → value.
    pub pool: BTreeMap<String, BTreeMap<String, Value>>,
    /// Milliseconds since the epoch.
    pub now_ms: Option<u64>,
    /// What stickiness follows; sets the buckets.
    pub conversation: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The key's id.
    pub key: Option<String>,
}

/// What a target answers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Answer {
    /// The text, in pieces as they are streamed.
    pub deltas: Vec<String>,
    /// Calls of tools.
    pub tool_calls: Vec<ToolCall>,
    /// The tokens that the provider counts, by unit.
    pub usage: BTreeMap<String, u64>,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// Its arguments as JSON text, in pieces as they are streamed.
    pub arguments: Vec<String>,
}

/// What must come of a case; what is not said may be anything, but for refusals and errors, which must be said.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Expect {
    /// Labels that must be there; others may be.
    pub labels: BTreeMap<String, Value>,
    /// All text of the request after edits, its segments joined by newlines.
    pub edited: Option<String>,
    /// The refusal.
    pub denied: Option<Denied>,
    /// The variant.
    pub variant: Option<String>,
    /// The targets of the plan, in order.
    pub plan: Option<Vec<String>>,
    /// The code of the plan's reason.
    pub reason: Option<String>,
    /// The text that reaches the client.
    pub released: Option<String>,
    /// The arguments of each tool call that reach the client, as JSON text.
    pub released_arguments: Option<Vec<String>>,
    /// The code of the reason for which the answer ended early.
    pub cut: Option<String>,
    /// What it costs, in whole pico-dollars; `unpriced` where a line has no price.
    pub cost_pico_usd: Option<String>,
    /// The code of the error that the client gets.
    pub error: Option<String>,
    /// Verdicts of steps by id: `pass`, `edit`, `skipped`, …
    pub steps: BTreeMap<String, String>,
}

/// A refusal by a guard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Denied {
    /// The reason's code.
    pub code: String,
    /// The status that the client gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

fn openai_chat() -> String {
    "openai-chat".to_owned()
}

/// Reads a bundle's cases; `name` is what errors call the file.
///
/// # Errors
/// A line that is no case, an unknown key, a name twice, a case that expects nothing and so could not fail.
pub fn parse(name: &str, text: &str) -> Result<Vec<Case>, DocumentError> {
    let lines: Vec<(usize, Case)> = document::parse_lines(name, text)?;
    let mut cases: Vec<Case> = Vec::with_capacity(lines.len());
    for (line, mut case) in lines {
        case.line = line;
        if let Some(message) = refusal(&case, &cases) {
            return Err(DocumentError::at_line(name, text, line, &message));
        }
        cases.push(case);
    }
    Ok(cases)
}

fn refusal(case: &Case, earlier: &[Case]) -> Option<String> {
    if case.name.trim().is_empty() {
        return Some("a case needs a name that says what it shows".to_owned());
    }
    if let Some(twin) = earlier.iter().find(|other| other.name == case.name) {
        return Some(format!(
            "a case of this name is in line {} already",
            twin.line
        ));
    }
    if case.expect == Expect::default() {
        return Some(
            "the case expects nothing, so that it cannot fail: say what must come of it".to_owned(),
        );
    }
    let of_an_answer = [
        ("released", case.expect.released.is_some()),
        (
            "released-arguments",
            case.expect.released_arguments.is_some(),
        ),
        ("cut", case.expect.cut.is_some()),
        ("cost-pico-usd", case.expect.cost_pico_usd.is_some()),
    ];
    if case.answer.is_none() {
        let (key, _) = of_an_answer.into_iter().find(|(_, expected)| *expected)?;
        return Some(format!(
            "`{key}` is about an answer, and the case has none: add `answer`"
        ));
    }
    let cost = case.expect.cost_pico_usd.as_deref()?;
    (cost != compare::UNPRICED && cost.parse::<i128>().is_err()).then(|| {
        format!(
            "`cost-pico-usd` is a whole number in quotes, or `{}`",
            compare::UNPRICED
        )
    })
}
