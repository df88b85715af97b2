//! A plugin's cases on its component. `pointsman_cases` says what a line means, here as in the SDK's native bench.

mod answer;
mod inputs;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use pointsman_cases::{Case, Edited, Outcome, Priced};
use pointsman_domain::plan::{CandidatePool, Plan};
use pointsman_domain::request::{Checked, Edit, RequestView, Verdict};
use pointsman_domain::usage::{Amount, CostLine, Usage};
use pointsman_domain::{Attribute, Label, Role, Value};
use pointsman_plugin::{Call, CallStats, PluginError, Ran, Step, StepFailure};
use serde_json::{Map, Value as Json, json};

/// Reads the file.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Case>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    pointsman_cases::read(&text).with_context(|| path.display().to_string())
}

/// A case as steps are given it.
pub(super) struct Rehearsal<'a> {
    case: &'a Case,
    call: Call,
    pool: Arc<CandidatePool>,
    usages: Vec<Usage>,
}

impl<'a> Rehearsal<'a> {
    pub(super) fn new(case: &'a Case) -> anyhow::Result<Self> {
        ensure!(
            case.inputs.bucket < 10_000,
            "a bucket is 0 to 9999, not {}",
            case.inputs.bucket
        );
        Ok(Self {
            case,
            call: inputs::call(case)?,
            pool: Arc::new(inputs::pool(case)),
            usages: inputs::usages(case),
        })
    }

    /// What each role of the plugin says, in the order of a request's life.
    pub(super) async fn run(&self, steps: &[Arc<Step>]) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        for step in steps {
            self.role(step, &mut outcome).await?;
        }
        Ok(outcome)
    }

    async fn role(&self, step: &Step, outcome: &mut Outcome) -> anyhow::Result<()> {
        let call = &self.call;
        match step.role() {
            Role::Classifier => {
                if let Some(said) = told(step.classify(call).await, outcome)? {
                    outcome.labels(labels(&said));
                }
            }
            Role::RequestGuard => {
                if let Some(checked) = told(step.check_request(call).await, outcome)? {
                    put_checked(outcome, &call.view, checked)?;
                }
            }
            Role::Splitter => {
                let ran = step.split(call, self.case.inputs.bucket).await;
                if let Some(variant) = told(ran, outcome)? {
                    outcome.variant(&variant);
                }
            }
            Role::Router => {
                let ran = step.route(call, Arc::clone(&self.pool)).await;
                if let Some(plan) = told(ran, outcome)? {
                    put_plan(outcome, plan);
                }
            }
            Role::ResponseGuard => {
                answer::guard(step, call, &self.case.answer.deltas, outcome).await?;
            }
            Role::Accountant => {
                let ran = step.account(call, &self.usages).await;
                if let Some(lines) = told(ran, outcome)? {
                    put_lines(outcome, &lines);
                }
            }
        }
        Ok(())
    }

    /// What one call of a step takes; of a response guard, the whole answer as given, with the nanoseconds of each push.
    /// None where the case has nothing for the step.
    pub(super) async fn once(
        &self,
        step: &Step,
        pushes_ns: &mut Vec<u64>,
    ) -> anyhow::Result<Option<CallStats>> {
        let call = &self.call;
        match step.role() {
            Role::Classifier => took(step.classify(call).await),
            Role::RequestGuard => took(step.check_request(call).await),
            Role::Splitter => took(step.split(call, self.case.inputs.bucket).await),
            Role::Router => took(step.route(call, Arc::clone(&self.pool)).await),
            Role::Accountant => took(step.account(call, &self.usages).await),
            Role::ResponseGuard => {
                answer::once(step, call, &self.case.answer.deltas, pushes_ns).await
            }
        }
    }
}

/// A result, or an error on purpose, which is an outcome too. A fault is neither: the plugin is broken.
fn told<T>(ran: Ran<T>, outcome: &mut Outcome) -> anyhow::Result<Option<T>> {
    match ran.result {
        Ok(result) => Ok(Some(result)),
        Err(StepFailure::Plugin(error)) => {
            outcome.error(match error {
                PluginError::InvalidInput(_) => "invalid-input",
                PluginError::Unavailable(_) => "unavailable",
                PluginError::Internal(_) => "internal",
            });
            Ok(None)
        }
        Err(StepFailure::Fault(fault)) => bail!("it faults: {fault}"),
    }
}

/// What a call took, whether or not it returned an error on purpose.
fn took<T>(ran: Ran<T>) -> anyhow::Result<Option<CallStats>> {
    let stats = ran.stats;
    told(ran, &mut Outcome::default())?;
    Ok(Some(stats))
}

fn labels(labels: &[Label]) -> impl Iterator<Item = (String, Json)> {
    labels
        .iter()
        .map(|label| (label.key.clone(), json_of(&label.value)))
}

fn put_checked(outcome: &mut Outcome, view: &RequestView, checked: Checked) -> anyhow::Result<()> {
    outcome.labels(labels(&checked.labels));
    match checked.verdict {
        Verdict::Pass => outcome.passed(),
        Verdict::Deny(reason) => {
            let status = reason.attributes.iter().find(|a| a.key == "status");
            outcome.denied(&reason.code, status.map(|status| json_of(&status.value)));
        }
        Verdict::Edit(edits) => {
            let (mut texts, mut set) = (Vec::new(), Map::new());
            for edit in &edits {
                match edit {
                    Edit::Text(edit) => texts.push(Edited {
                        segment: edit.segment,
                        start: edit.start,
                        end: edit.end,
                        text: &edit.text,
                    }),
                    Edit::Set(attribute) => {
                        set.insert(attribute.key.clone(), json_of(&attribute.value));
                    }
                }
            }
            let segments = view.segments.iter();
            let segments = segments.map(|segment| (segment.kind.as_ref(), segment.text.as_str()));
            outcome
                .edited(segments, &texts, set)
                .map_err(anyhow::Error::msg)?;
        }
    }
    Ok(())
}

fn put_plan(outcome: &mut Outcome, plan: Plan) {
    let attempts = plan.attempts.into_iter();
    let attempts = attempts.map(|attempt| (attempt.target, attributes(&attempt.attributes)));
    outcome.plan(attempts, &plan.reason.code, attributes(&plan.attributes));
}

fn put_lines(outcome: &mut Outcome, lines: &[CostLine]) {
    let priced = |amount| match amount {
        Amount::Exact(amount) => Priced::Exact(amount.0),
        Amount::Estimated(amount) => Priced::Estimated(amount.0),
        Amount::Unpriced => Priced::Unpriced,
    };
    let lines = lines
        .iter()
        .map(|line| (line.attempt, line.unit.as_str(), priced(line.amount)));
    outcome.lines(lines);
}

fn attributes(attributes: &[Attribute]) -> Map<String, Json> {
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), json_of(&attribute.value)))
        .collect()
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Texts(texts) => json!(texts),
        Value::Integer(integer) => json!(integer),
        Value::Number(number) => json!(number),
        Value::Flag(flag) => json!(flag),
    }
}
