//! A plugin's `cases.jsonl` on its component. The same file that the Rust SDK's test bench runs natively, by the same
//! rules: what a case does not say is what that bench assumes, and what it expects is compared likewise.

mod answer;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use pointsman_domain::plan::{CandidatePool, Plan};
use pointsman_domain::request::{Checked, Edit, RequestView, TextEdit, Verdict};
use pointsman_domain::usage::{Amount, CostLine, Meter, Rate, Usage};
use pointsman_domain::{Attribute, Label, RequestId, Role, Value};
use pointsman_plugin::{Call, PluginError, PriceBook, Ran, Step, StepFailure};
use pointsman_wire::openai::{ChatRequest, ParseLimits};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

/// 2026-01-01: the time in every case.
const NOW_MS: u64 = 1_767_225_600_000;
/// Bytes of text per token: the rule of thumb of the test bench.
const BYTES_PER_TOKEN: usize = 4;

/// What a case came to, by the keys of `expect`.
pub(super) type Outcome = Map<String, Json>;

/// One line of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    #[serde(skip)]
    pub(super) line: usize,
    #[serde(default = "empty")]
    pub(super) config: Json,
    #[serde(default)]
    request: Request,
    #[serde(default)]
    inputs: Inputs,
    #[serde(default)]
    answer: Answer,
    expect: Map<String, Json>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default)]
    headers: Map<String, Json>,
    #[serde(default)]
    body: Map<String, Json>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Inputs {
    fields: Map<String, Json>,
    labels: Map<String, Json>,
    bucket: u32,
    /// Of the native bench; a component's numbers come from request and step, as in a gateway.
    seed: u64,
    pool: Map<String, Json>,
    prices: std::collections::BTreeMap<String, Vec<CaseRate>>,
    usages: Vec<CaseUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct CaseRate {
    unit: String,
    pico_usd: i64,
    #[serde(default)]
    above_input_tokens: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseUsage {
    #[serde(default)]
    target: String,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    meters: Vec<CaseMeter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseMeter {
    unit: String,
    quantity: u64,
    #[serde(default)]
    estimated: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default)]
    deltas: Vec<String>,
}

fn empty() -> Json {
    json!({})
}

/// Reads the file.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Case>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut cases = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = || format!("{}:{}", path.display(), index + 1);
        let mut case: Case =
            serde_json::from_str(line).with_context(|| format!("{} is no case", place()))?;
        case.line = index + 1;
        ensure!(
            !case.expect.is_empty(),
            "{}: case `{}` expects nothing, so it cannot fail",
            place(),
            case.name
        );
        cases.push(case);
    }
    ensure!(!cases.is_empty(), "{} has no cases", path.display());
    Ok(cases)
}

/// The outcome of a configuration that is refused.
pub(super) fn refused(why: &str) -> Outcome {
    Outcome::from_iter([("refused".to_owned(), why.into())])
}

impl Case {
    /// What each role of the plugin says, in the order of a request's life.
    pub(super) async fn run(&self, steps: &[Arc<Step>]) -> anyhow::Result<Outcome> {
        let call = Call {
            view: Arc::new(self.view()?),
            request_id: RequestId(format!("case-{}", self.line)),
            now_ms: NOW_MS,
            prices: Some(Arc::new(self.prices())),
            tenant: None,
        };
        let mut outcome = Outcome::new();
        for step in steps {
            match step.role() {
                Role::Classifier => {
                    if let Some(labels) = told(step.classify(&call).await, &mut outcome)? {
                        put_labels(&mut outcome, &labels);
                    }
                }
                Role::RequestGuard => {
                    if let Some(checked) = told(step.check_request(&call).await, &mut outcome)? {
                        put_checked(&mut outcome, &call.view, checked);
                    }
                }
                Role::Splitter => {
                    let ran = step.split(&call, self.inputs.bucket).await;
                    if let Some(variant) = told(ran, &mut outcome)? {
                        put(&mut outcome, "variant", variant);
                    }
                }
                Role::Router => {
                    let pool = Arc::new(self.pool());
                    if let Some(plan) = told(step.route(&call, pool).await, &mut outcome)? {
                        put_plan(&mut outcome, plan);
                    }
                }
                Role::ResponseGuard => {
                    answer::guard(step, &call, &self.answer.deltas, &mut outcome).await?;
                }
                Role::Accountant => {
                    let ran = step.account(&call, &self.usages()).await;
                    if let Some(lines) = told(ran, &mut outcome)? {
                        put_lines(&mut outcome, &lines);
                    }
                }
            }
        }
        Ok(outcome)
    }

    /// Whether it expects that its configuration is refused.
    pub(super) fn is_refused(&self) -> bool {
        self.expect.contains_key("refused")
    }

    /// A line for each key that came out otherwise.
    pub(super) fn differing(&self, outcome: &Outcome) -> Vec<String> {
        let mut differing = Vec::new();
        for (key, wanted) in &self.expect {
            let found = outcome.get(key).unwrap_or(&Json::Null);
            let agrees = match (key.as_str(), wanted) {
                // Labels: those named. A refusal: a piece of its text. All else: exactly.
                ("labels", Json::Object(wanted)) => wanted
                    .iter()
                    .all(|(key, label)| found.get(key) == Some(label)),
                ("refused", Json::String(piece)) => found
                    .as_str()
                    .is_some_and(|text| text.contains(piece.as_str())),
                _ => found == wanted,
            };
            if !agrees {
                let found = match outcome.get("refused") {
                    Some(refusal) if key != "refused" => {
                        format!("the config is refused: {refusal}")
                    }
                    _ => format!("it is {found}"),
                };
                differing.push(format!("{key}: expected {wanted}, {found}"));
            }
        }
        differing
    }

    fn view(&self) -> anyhow::Result<RequestView> {
        let mut view = self.parsed()?;
        let bytes: usize = view.segments.iter().map(|segment| segment.text.len()).sum();
        let estimate = i64::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(i64::MAX);
        view.set_field("input-tokens-estimate", estimate);
        view.set_field("endpoint", "/v1/chat/completions");
        view.set_field("dialect", "openai-chat");
        view.set_field("tenant", "test");
        for (name, header) in &self.request.headers {
            let value = header.as_str().context("a header is a string")?;
            view.headers
                .push((name.to_ascii_lowercase(), value.to_owned()));
        }
        for (name, field) in &self.inputs.fields {
            let value = value(field)?;
            match view.fields.iter_mut().find(|(known, _)| known == name) {
                Some(slot) => slot.1 = value,
                None => view.fields.push((name.clone().into(), value)),
            }
        }
        for (key, label) in &self.inputs.labels {
            view.add_labels([Label {
                key: key.clone(),
                value: value(label)?,
                score: 1.0,
            }]);
        }
        Ok(view)
    }

    /// The body as the gateway reads it. A case may leave out what the gateway needs: the model, and messages, which
    /// then are none.
    fn parsed(&self) -> anyhow::Result<RequestView> {
        let mut body = self.request.body.clone();
        body.entry("model").or_insert_with(|| "auto".into());
        let messages = body.get("messages").and_then(Json::as_array);
        let without = messages.is_none_or(Vec::is_empty);
        if without {
            body.insert(
                "messages".to_owned(),
                json!([{"role": "user", "content": ""}]),
            );
        }
        let body = Bytes::from(Json::Object(body).to_string());
        let mut view = match ChatRequest::parse(body, &ParseLimits::default()) {
            Ok(chat) => chat.view(),
            Err(error) => bail!("the gateway would refuse its request: {}", error.message),
        };
        if without {
            view.messages.clear();
            view.segments.retain(|segment| segment.message == u32::MAX);
        }
        Ok(view)
    }

    fn pool(&self) -> CandidatePool {
        let names: Vec<String> = self.inputs.pool.keys().cloned().collect();
        let mut pool = CandidatePool {
            // A candidate is healthy unless the case says otherwise, as the gateway fills it.
            columns: vec![(
                "healthy".to_owned(),
                vec![Some(Value::Flag(true)); names.len()],
            )],
            names,
        };
        for (row, columns) in self.inputs.pool.values().enumerate() {
            for (key, cell) in columns.as_object().into_iter().flatten() {
                let column = pool
                    .columns
                    .iter()
                    .position(|(known, _)| known == key)
                    .unwrap_or_else(|| {
                        pool.columns
                            .push((key.clone(), vec![None; pool.names.len()]));
                        pool.columns.len() - 1
                    });
                pool.columns[column].1[row] = value(cell).ok();
            }
        }
        pool
    }

    fn prices(&self) -> PriceBook {
        let rate = |rate: &CaseRate| Rate {
            unit: rate.unit.clone(),
            pico_usd: rate.pico_usd,
            above_input_tokens: rate.above_input_tokens,
            attributes: Vec::new(),
        };
        self.inputs
            .prices
            .iter()
            .map(|(target, rates)| (target.clone(), rates.iter().map(rate).collect()))
            .collect()
    }

    fn usages(&self) -> Vec<Usage> {
        let meter = |meter: &CaseMeter| Meter {
            unit: meter.unit.clone(),
            quantity: meter.quantity,
            estimated: meter.estimated,
        };
        (0..)
            .zip(&self.inputs.usages)
            .map(|(attempt, usage)| Usage {
                attempt,
                target: usage.target.clone(),
                outcome: usage.outcome.clone(),
                meters: usage.meters.iter().map(meter).collect(),
                attributes: Vec::new(),
            })
            .collect()
    }
}

/// A result, or an error on purpose, which is an outcome too. A fault is neither: the plugin is broken.
fn told<T>(ran: Ran<T>, outcome: &mut Outcome) -> anyhow::Result<Option<T>> {
    match ran.result {
        Ok(result) => Ok(Some(result)),
        Err(StepFailure::Plugin(error)) => {
            let kind = match error {
                PluginError::InvalidInput(_) => "invalid-input",
                PluginError::Unavailable(_) => "unavailable",
                PluginError::Internal(_) => "internal",
            };
            put(outcome, "error", kind);
            Ok(None)
        }
        Err(StepFailure::Fault(fault)) => bail!("it faults: {fault}"),
    }
}

fn put(outcome: &mut Outcome, key: &str, value: impl Into<Json>) {
    outcome.insert(key.to_owned(), value.into());
}

fn put_labels(outcome: &mut Outcome, labels: &[Label]) {
    let entry = outcome.entry("labels").or_insert_with(empty);
    if let Some(known) = entry.as_object_mut() {
        known.extend(
            labels
                .iter()
                .map(|label| (label.key.clone(), json_of(&label.value))),
        );
    }
}

fn put_checked(outcome: &mut Outcome, view: &RequestView, checked: Checked) {
    put_labels(outcome, &checked.labels);
    match checked.verdict {
        Verdict::Pass => put(outcome, "verdict", "pass"),
        Verdict::Deny(reason) => {
            put(outcome, "verdict", "deny");
            if let Some(status) = reason.attributes.iter().find(|a| a.key == "status") {
                put(outcome, "status", json_of(&status.value));
            }
            put(outcome, "deny", reason.code);
        }
        Verdict::Edit(edits) => {
            put(outcome, "verdict", "edit");
            put(outcome, "edited", edited(view, &edits));
            let set: Map<String, Json> = edits
                .iter()
                .filter_map(|edit| match edit {
                    Edit::Set(set) => Some((set.key.clone(), json_of(&set.value))),
                    Edit::Text(_) => None,
                })
                .collect();
            put(outcome, "set", set);
        }
    }
}

/// Text segments after the edits, which the runtime has checked.
fn edited(view: &RequestView, edits: &[Edit]) -> String {
    let mut texts: Vec<String> = view
        .segments
        .iter()
        .map(|segment| segment.text.clone())
        .collect();
    for edit in edits.iter().rev() {
        if let Edit::Text(TextEdit {
            segment,
            start,
            end,
            text,
        }) = edit
        {
            texts[*segment as usize].replace_range(*start as usize..*end as usize, text);
        }
    }
    let shown: Vec<String> = view
        .segments
        .iter()
        .zip(texts)
        .filter(|(segment, _)| segment.kind == "text")
        .map(|(_, text)| text)
        .collect();
    shown.join("\n")
}

fn put_plan(outcome: &mut Outcome, plan: Plan) {
    let names: Vec<&str> = plan.attempts.iter().map(|a| a.target.as_str()).collect();
    put(outcome, "plan", names);
    let attempts: Vec<Json> = plan
        .attempts
        .iter()
        .map(|attempt| {
            let mut row = attributes(&attempt.attributes);
            put(&mut row, "target", attempt.target.as_str());
            Json::Object(row)
        })
        .collect();
    put(outcome, "attempts", attempts);
    put(outcome, "attributes", attributes(&plan.attributes));
    put(outcome, "reason", plan.reason.code);
}

fn put_lines(outcome: &mut Outcome, lines: &[CostLine]) {
    let mut amounts = Map::new();
    let mut sum = Some(0_i128);
    for line in lines {
        let (text, picos) = match line.amount {
            Amount::Exact(amount) => (format!("exact {}", amount.0), Some(amount.0)),
            Amount::Estimated(amount) => (format!("estimated {}", amount.0), Some(amount.0)),
            Amount::Unpriced => ("unpriced".to_owned(), None),
        };
        sum = sum.zip(picos).map(|(sum, amount)| sum + amount);
        put(
            &mut amounts,
            &format!("{}/{}", line.attempt, line.unit),
            text,
        );
    }
    put(outcome, "lines", amounts);
    put(outcome, "cost-pico-usd", sum.map(|sum| sum.to_string()));
}

fn attributes(attributes: &[Attribute]) -> Map<String, Json> {
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), json_of(&attribute.value)))
        .collect()
}

fn value(json: &Json) -> anyhow::Result<Value> {
    Ok(match json {
        Json::String(text) => Value::Text(text.clone()),
        Json::Bool(flag) => Value::Flag(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => Value::Number(number.as_f64().context("a number is finite")?),
        },
        Json::Array(items) => Value::Texts(
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .context("lists hold strings")?,
        ),
        Json::Null | Json::Object(_) => bail!("the contract has no value for {json}"),
    })
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

#[cfg(test)]
mod tests {
    use super::{Case, Outcome, refused};
    use serde_json::json;

    fn case(expect: &serde_json::Value) -> Case {
        serde_json::from_value(json!({"name": "x", "expect": expect})).expect("a case")
    }

    fn outcome(json: serde_json::Value) -> Outcome {
        serde_json::from_value(json).expect("an outcome")
    }

    #[test]
    fn labels_are_those_named_and_all_else_is_exact() {
        let found = outcome(json!({"labels": {"a": 1, "b": 2}, "plan": ["x", "y"]}));
        assert!(
            case(&json!({"labels": {"a": 1}}))
                .differing(&found)
                .is_empty()
        );
        for expect in [
            json!({"labels": {"a": 2}}),
            json!({"labels": {"c": 1}}),
            json!({"plan": ["x"]}),
            json!({"reason": "r"}),
        ] {
            assert_eq!(case(&expect).differing(&found).len(), 1, "{expect}");
        }
    }

    #[test]
    fn a_refusal_is_found_by_a_piece_and_explains_what_is_missing() {
        let found = refused("long-tokens: must be above 0");
        assert!(
            case(&json!({"refused": "above 0"}))
                .differing(&found)
                .is_empty()
        );
        let told = case(&json!({"plan": []})).differing(&found);
        assert!(told[0].contains("above 0"), "{told:?}");
    }

    #[test]
    fn a_case_says_what_its_request_is() {
        let case: Case = serde_json::from_value(json!({
            "name": "x", "request": {"headers": {"X-Team": "red"}, "body": {"messages": [{"role": "user", "content": "12345"}]}},
            "inputs": {"fields": {"budget": 3}, "labels": {"task": "code"}, "pool": {"b": {"quality": 0.5}, "a": {}}}, "expect": {"plan": []},
        }))
        .expect("a case");
        let view = case.view().expect("a view");
        assert_eq!(view.header("x-team"), Some("red"));
        assert_eq!(view.field("input-tokens-estimate"), Some(&2_i64.into()));
        assert_eq!(view.field("budget"), Some(&3_i64.into()));
        let pool = case.pool();
        assert_eq!(pool.names, ["a", "b"]);
        assert_eq!(pool.column("healthy"), vec![Some(true.into()); 2]);
        assert_eq!(pool.column("quality"), [None, Some(0.5.into())]);
    }
}
