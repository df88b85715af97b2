//! What another plugin makes of the same request: what it said itself, and what followed from that.

use std::fmt;

use pointsman_domain::decision::StepRecord;
use pointsman_domain::plan::Plan;
use pointsman_domain::usage::{Amount, CostLine};
use pointsman_domain::{Label, Value};
use serde::Serialize;

use crate::pipeline::Rerun;

/// One thing that is otherwise.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    what: String,
    before: String,
    after: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {}", self.what, self.before, self.after)
    }
}

/// What is otherwise; empty where nothing is.
pub(super) fn differences(
    recorded: &StepRecord,
    was: &Rerun,
    is: &Rerun,
    show_content: bool,
) -> Vec<Difference> {
    let mut found = Differences(Vec::new());
    let said = |rerun: &Rerun| step(recorded, rerun).map_or_else(|| "not asked".to_owned(), said);
    found.note("says", said(was), said(is));
    labels(&was.labels, &is.labels, &mut found);
    texts(was, is, show_content, &mut found);
    let variant = |rerun: &Rerun| rerun.variant.clone().unwrap_or_else(none);
    found.note("variant", variant(was), variant(is));
    let plan = |rerun: &Rerun| rerun.plan.as_ref().map_or_else(none, plan);
    found.note("plan", plan(was), plan(is));
    let cost = |rerun: &Rerun| cost(&rerun.cost);
    found.note("cost", cost(was), cost(is));
    found.0
}

struct Differences(Vec<Difference>);

impl Differences {
    fn note(&mut self, what: impl Into<String>, before: String, after: String) {
        if before != after {
            self.0.push(Difference {
                what: what.into(),
                before,
                after,
            });
        }
    }
}

fn none() -> String {
    "none".to_owned()
}

fn step<'a>(recorded: &StepRecord, rerun: &'a Rerun) -> Option<&'a StepRecord> {
    let mut steps = rerun.steps.iter().chain(&rerun.later_steps);
    steps.find(|step| step.id == recorded.id && step.phase == recorded.phase)
}

fn said(step: &StepRecord) -> String {
    let fault = step.fault.as_ref();
    let fault = fault.map_or_else(String::new, |fault| format!(" ({})", fault.kind.as_str()));
    let colon = if step.detail.is_empty() { "" } else { ": " };
    format!("{}{fault}{colon}{}", step.verdict, step.detail)
}

fn labels(was: &[Label], is: &[Label], found: &mut Differences) {
    let of = |labels: &[Label], key: &str| {
        let label = labels.iter().find(|label| label.key == key);
        label.map_or_else(none, |label| {
            format!("{} (score {})", plain(&label.value), label.score)
        })
    };
    let known = was.iter().chain(
        is.iter()
            .filter(|label| was.iter().all(|other| other.key != label.key)),
    );
    for label in known {
        let key = &label.key;
        found.note(format!("label {key}"), of(was, key), of(is, key));
    }
}

/// Content is told by its length alone, unless it is asked for.
fn texts(was: &Rerun, is: &Rerun, show_content: bool, found: &mut Differences) {
    let before = found.0.len();
    let count = was.texts.len().max(is.texts.len());
    for index in 0..count {
        let (one, other) = (was.texts.get(index), is.texts.get(index));
        if one == other {
            continue;
        }
        let told = |text: Option<&String>| match text {
            None => none(),
            Some(text) if show_content => format!("{text:?}"),
            Some(text) => format!("{} bytes", text.len()),
        };
        found.0.push(Difference {
            what: format!("text {}", index + 1),
            before: told(one),
            after: told(other),
        });
    }
    if found.0.len() == before && was.body != is.body {
        found.0.push(Difference {
            what: "settings of the request".to_owned(),
            before: format!("{} bytes", was.body.len()),
            after: format!("{} bytes", is.body.len()),
        });
    }
}

fn plan(plan: &Plan) -> String {
    let attempts: Vec<String> = plan
        .attempts
        .iter()
        .map(|attempt| {
            let with = attempt.attributes.iter();
            let with: Vec<String> = with
                .map(|attribute| format!("{}={}", attribute.key, plain(&attribute.value)))
                .collect();
            if with.is_empty() {
                attempt.target.clone()
            } else {
                format!("{} [{}]", attempt.target, with.join(" "))
            }
        })
        .collect();
    let with = plan.attributes.iter();
    let with: String = with
        .map(|attribute| format!(" {}={}", attribute.key, plain(&attribute.value)))
        .collect();
    format!("{} ({}){with}", attempts.join(" > "), plan.reason.code)
}

fn cost(lines: &[CostLine]) -> String {
    let line = |line: &CostLine| {
        let amount = match line.amount {
            Amount::Exact(picos) => format!("${}", picos.to_usd_string()),
            Amount::Estimated(picos) => format!("about ${}", picos.to_usd_string()),
            Amount::Unpriced => "unpriced".to_owned(),
        };
        format!("{}×{} {amount}", line.quantity, line.unit)
    };
    if lines.is_empty() {
        return none();
    }
    lines.iter().map(line).collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Texts(texts) => texts.join(","),
        Value::Integer(integer) => integer.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn rerun(verdict: &str, text: &str, labels: &[(&str, &str)]) -> Rerun {
        let label = |(key, value): &(&str, &str)| Label {
            key: (*key).to_owned(),
            value: (*value).into(),
            score: 1.0,
        };
        Rerun {
            steps: vec![StepRecord {
                id: "pii".to_owned(),
                phase: "guard-request".to_owned(),
                verdict: verdict.to_owned(),
                detail: "1 text edits".to_owned(),
                ..StepRecord::default()
            }],
            later_steps: Vec::new(),
            labels: labels.iter().map(label).collect(),
            texts: vec![text.to_owned()],
            body: Bytes::from(text.to_owned()),
            variant: None,
            plan: None,
            cost: Vec::new(),
        }
    }

    fn told(was: &Rerun, is: &Rerun, show_content: bool) -> Vec<String> {
        let found = differences(&was.steps[0], was, is, show_content);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_is_different_from_itself() {
        let one = rerun("edit", "a [EMAIL]", &[("task", "chat")]);
        assert!(told(&one, &one, false).is_empty());
    }

    #[test]
    fn content_is_told_where_it_is_asked_for_alone() {
        let was = rerun("edit", "a [EMAIL]", &[]);
        let is = rerun("edit", "a [MAIL]", &[]);
        assert_eq!(told(&was, &is, false), ["text 1: 9 bytes → 8 bytes"]);
        assert_eq!(
            told(&was, &is, true),
            ["text 1: \"a [EMAIL]\" → \"a [MAIL]\""]
        );
    }

    #[test]
    fn what_it_says_and_what_follows_are_told_apart() {
        let was = rerun("pass", "a", &[("task", "chat")]);
        let is = rerun("deny", "a", &[("task", "code"), ("pii", "yes")]);
        assert_eq!(
            told(&was, &is, false),
            [
                "says: pass: 1 text edits → deny: 1 text edits",
                "label task: chat (score 1) → code (score 1)",
                "label pii: none → yes (score 1)",
            ]
        );
    }
}
