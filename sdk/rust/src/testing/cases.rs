//! Runs a plugin's `cases.jsonl` natively. One case a line:
//!
//! ```json
//! {"name": "…", "config": {}, "request": {"headers": {}, "body": {}},
//!  "inputs": {"fields": {}, "labels": {}, "bucket": 0, "seed": 0, "pool": {"target": {"healthy": true}},
//!             "prices": {"target": [{"unit": "input-tokens", "pico-usd": 150000, "above-input-tokens": 0}]},
//!             "usages": [{"target": "t", "outcome": "ok", "meters": [{"unit": "input-tokens", "quantity": 9}]}]},
//!  "answer": {"deltas": ["write a@", "b.io"]},
//!  "expect": {"refused": "config: …"} }
//! ```
//!
//! `expect` may hold: `refused` (a piece of the configuration's refusal), `labels` (those named), `verdict`
//! (`pass`, `edit`, `deny`), `deny` (code), `status`, `edited` (all text segments after edits, joined by newlines),
//! `set`, `variant`, `plan` (targets), `attempts` (targets with attributes), `reason` (code), `released`, `cut`
//! (code), `lines` (unit → amount), `cost-pico-usd` (their sum, none where one is unpriced), `error` (kind).

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Answer, FakeHost, FakePool, FakeView};
use crate::plugin::{
    Accountant, Classifier, Plugin, RequestGuard, ResponseGuard, Router, Splitter,
};
use crate::view::View;
use crate::words::{Amount, Attribute, Edit, Label, Meter, PluginError, Rate, Usage, Verdict};

/// What a case came to, by the keys of `expect`.
type Outcome = Map<String, Json>;
type Role<P> = fn(&'static P, &Case, &mut Outcome);

/// The roles that a plugin's cases exercise.
#[derive(Debug)]
pub struct Suite<P: 'static> {
    roles: Vec<Role<P>>,
}

struct Case {
    request: FakeView,
    pool: FakePool,
    inputs: Json,
    deltas: Vec<String>,
}

impl<P: Plugin> Suite<P> {
    /// No role yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { roles: Vec::new() }
    }

    /// Runs every case; `schema` of the plugin is only checked to be JSON that closes its objects.
    ///
    /// # Panics
    /// When a case is malformed or comes out otherwise.
    pub fn run(&self, cases: &str) {
        let schema: Json = serde_json::from_str(P::CONFIG_SCHEMA).expect("the schema is JSON");
        assert_eq!(
            schema.get("additionalProperties"),
            Some(&Json::Bool(false)),
            "the schema must refuse unknown keys"
        );
        let mut count = 0;
        for line in cases.lines().filter(|line| !line.trim().is_empty()) {
            let case: Json = serde_json::from_str(line).expect("a case is one line of JSON");
            self.check(&case);
            count += 1;
        }
        assert!(count > 0, "no cases");
    }

    fn check(&self, json: &Json) {
        let name = json
            .get("name")
            .and_then(Json::as_str)
            .expect("a case has a name");
        let expected = json
            .get("expect")
            .and_then(Json::as_object)
            .expect("a case expects something");
        assert!(
            !expected.is_empty(),
            "{name}: expects nothing, so it cannot fail"
        );
        let outcome = self.outcome(json);
        for (key, wanted) in expected {
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
            assert!(
                agrees,
                "{name}: {key} is {found}, expected {wanted}; all: {outcome:?}"
            );
        }
    }

    fn outcome(&self, json: &Json) -> Outcome {
        let mut outcome = Outcome::new();
        let empty = json!({});
        let config = json.get("config").unwrap_or(&empty);
        let plugin = match super::try_configured::<P>(config) {
            Ok(plugin) => plugin,
            Err(refusal) => {
                outcome.insert("refused".to_owned(), refusal.into());
                return outcome;
            }
        };
        let case = Case::read(json);
        for role in &self.roles {
            role(plugin, &case, &mut outcome);
        }
        outcome
    }
}

impl<P: Plugin> Default for Suite<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Classifier> Suite<P> {
    /// With the classifier.
    #[must_use]
    pub fn classifier(mut self) -> Self {
        self.roles.push(
            |plugin, case, outcome| match plugin.classify(&case.request) {
                Ok(labels) => put_labels(outcome, &labels),
                Err(error) => put_error(outcome, &error),
            },
        );
        self
    }
}

impl<P: RequestGuard> Suite<P> {
    /// With the request guard.
    #[must_use]
    pub fn request_guard(mut self) -> Self {
        self.roles.push(|plugin, case, outcome| {
            let checked = match plugin.check(&case.request) {
                Ok(checked) => checked,
                Err(error) => return put_error(outcome, &error),
            };
            put_labels(outcome, &checked.labels);
            match checked.verdict {
                Verdict::Pass => put(outcome, "verdict", "pass"),
                Verdict::Deny(reason) => {
                    put(outcome, "verdict", "deny");
                    if let Some(status) = reason.attributes.iter().find(|a| a.key == "status") {
                        put(outcome, "status", super::json(&status.value));
                    }
                    put(outcome, "deny", reason.code);
                }
                Verdict::Edit(edits) => {
                    put(outcome, "verdict", "edit");
                    put(outcome, "edited", edited(&case.request, &edits));
                    let set: Map<String, Json> = edits
                        .iter()
                        .filter_map(|edit| match edit {
                            Edit::Set(set) => Some((set.key.clone(), super::json(&set.value))),
                            Edit::Text(_) => None,
                        })
                        .collect();
                    put(outcome, "set", set);
                }
            }
        });
        self
    }
}

impl<P: Splitter> Suite<P> {
    /// With the splitter.
    #[must_use]
    pub fn splitter(mut self) -> Self {
        self.roles.push(|plugin, case, outcome| {
            let bucket = case
                .inputs
                .get("bucket")
                .and_then(Json::as_u64)
                .unwrap_or_default();
            let bucket = u32::try_from(bucket).expect("a bucket is below 10000");
            match plugin.split(&case.request, bucket) {
                Ok(variant) => put(outcome, "variant", variant),
                Err(error) => put_error(outcome, &error),
            }
        });
        self
    }
}

impl<P: Router> Suite<P> {
    /// With the router.
    #[must_use]
    pub fn router(mut self) -> Self {
        self.roles.push(|plugin, case, outcome| {
            let plan = match plugin.route(&case.request, &case.pool) {
                Ok(plan) => plan,
                Err(error) => return put_error(outcome, &error),
            };
            let names: Vec<&str> = plan.attempts.iter().map(|a| a.target.as_str()).collect();
            put(outcome, "plan", names);
            let attempts: Vec<Json> = plan
                .attempts
                .iter()
                .map(|attempt| {
                    let mut row = attributes(&attempt.attributes);
                    row.insert("target".to_owned(), attempt.target.as_str().into());
                    Json::Object(row)
                })
                .collect();
            put(outcome, "attempts", attempts);
            put(outcome, "reason", plan.reason.code);
            put(outcome, "attributes", attributes(&plan.attributes));
        });
        self
    }
}

impl<P: ResponseGuard> Suite<P> {
    /// With the response guard: the answer as given, then whole, character by character, and split in two at every
    /// character; what is released must not depend on it, unless the answer is cut.
    #[must_use]
    pub fn response_guard(mut self) -> Self {
        self.roles.push(|plugin, case, outcome| {
            if case.deltas.is_empty() {
                return;
            }
            let given: Vec<&str> = case.deltas.iter().map(String::as_str).collect();
            let (released, cut, notes) = flow(plugin, case, &given);
            let whole = case.deltas.concat();
            let mut ways = vec![vec![whole.as_str()]];
            ways.push(whole.split("").filter(|piece| !piece.is_empty()).collect());
            ways.extend(
                whole
                    .char_indices()
                    .skip(1)
                    .map(|(at, _)| vec![&whole[..at], &whole[at..]]),
            );
            for way in ways {
                let (again, stopped, _) = flow(plugin, case, &way);
                assert_eq!(
                    stopped, cut,
                    "cut depends on how the answer was split: {way:?}"
                );
                if cut.is_none() {
                    assert_eq!(
                        again, released,
                        "release depends on how the answer was split: {way:?}"
                    );
                }
            }
            put(outcome, "released", released);
            if let Some(code) = cut {
                put(outcome, "cut", code);
            }
            put_labels(outcome, &notes);
        });
        self
    }
}

impl<P: Accountant> Suite<P> {
    /// With the accountant.
    #[must_use]
    pub fn accountant(mut self) -> Self {
        self.roles.push(|plugin, case, outcome| {
            let lines = match plugin.account(&case.request, &case.usages()) {
                Ok(lines) => lines,
                Err(error) => return put_error(outcome, &error),
            };
            let mut amounts = Map::new();
            let mut sum = Some(0_i128);
            for line in &lines {
                let (text, pico_usd) = match line.amount {
                    Amount::Exact(amount) => (format!("exact {amount}"), Some(amount)),
                    Amount::Estimated(amount) => (format!("estimated {amount}"), Some(amount)),
                    Amount::Unpriced => ("unpriced".to_owned(), None),
                };
                sum = sum
                    .zip(pico_usd)
                    .map(|(sum, amount)| sum + i128::from(amount));
                amounts.insert(format!("{}/{}", line.attempt, line.unit), text.into());
            }
            put(outcome, "lines", amounts);
            put(outcome, "cost-pico-usd", sum.map(|sum| sum.to_string()));
        });
        self
    }
}

impl Case {
    fn read(json: &Json) -> Self {
        let empty = json!({});
        let request = json.get("request").unwrap_or(&empty);
        let inputs = json.get("inputs").unwrap_or(&empty).clone();
        let body = request.get("body").cloned().unwrap_or_else(|| json!({}));
        let mut view = FakeView::from_chat(&body);
        for (name, header) in entries(request.get("headers")) {
            view = view.with_header(name, header.as_str().expect("a header is a string"));
        }
        for (name, field) in entries(inputs.get("fields")) {
            view = view.with_field(name, super::value(field));
        }
        for (key, label) in entries(inputs.get("labels")) {
            view = view.with_label(key, super::value(label));
        }
        let mut host = FakeHost {
            seed: inputs
                .get("seed")
                .and_then(Json::as_u64)
                .unwrap_or_default(),
            ..FakeHost::default()
        };
        for (target, rates) in entries(inputs.get("prices")) {
            let rates = rates.as_array().expect("prices are lists of rates");
            host.rates
                .insert(target.clone(), rates.iter().map(rate).collect());
        }
        host.install();
        let deltas = json.pointer("/answer/deltas").and_then(Json::as_array);
        Self {
            request: view,
            pool: FakePool::from_json(inputs.get("pool").unwrap_or(&Json::Null)),
            deltas: deltas
                .into_iter()
                .flatten()
                .map(|delta| delta.as_str().expect("a delta is a string").to_owned())
                .collect(),
            inputs,
        }
    }

    fn usages(&self) -> Vec<Usage> {
        let usages = self.inputs.get("usages").and_then(Json::as_array);
        let mut attempt = 0;
        usages
            .into_iter()
            .flatten()
            .map(|usage| {
                let text = |key: &str| {
                    usage
                        .get(key)
                        .and_then(Json::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                let meters = usage.get("meters").and_then(Json::as_array);
                let usage = Usage {
                    attempt,
                    target: text("target"),
                    outcome: text("outcome"),
                    meters: meters.into_iter().flatten().map(meter).collect(),
                    attributes: Vec::new(),
                };
                attempt += 1;
                usage
            })
            .collect()
    }
}

fn entries(json: Option<&Json>) -> impl Iterator<Item = (&String, &Json)> {
    json.and_then(Json::as_object).into_iter().flatten()
}

fn rate(json: &Json) -> Rate {
    Rate {
        unit: json
            .get("unit")
            .and_then(Json::as_str)
            .expect("a rate has a unit")
            .to_owned(),
        pico_usd: json
            .get("pico-usd")
            .and_then(Json::as_i64)
            .expect("a rate has pico-usd"),
        above_input_tokens: json
            .get("above-input-tokens")
            .and_then(Json::as_u64)
            .unwrap_or_default(),
        attributes: Vec::new(),
    }
}

fn meter(json: &Json) -> Meter {
    Meter {
        unit: json
            .get("unit")
            .and_then(Json::as_str)
            .expect("a meter has a unit")
            .to_owned(),
        quantity: json
            .get("quantity")
            .and_then(Json::as_u64)
            .expect("a meter has a quantity"),
        estimated: json
            .get("estimated")
            .and_then(Json::as_bool)
            .unwrap_or_default(),
    }
}

/// Released text, the code of the cut, and notes.
fn flow<P: ResponseGuard>(
    plugin: &'static P,
    case: &Case,
    deltas: &[&str],
) -> (String, Option<String>, Vec<Label>) {
    let mut answer = Answer::new(plugin, &case.request);
    let channel = answer.open("text", "");
    for delta in deltas {
        if answer.stopped().is_none() {
            answer.push(channel, delta);
        }
    }
    if answer.stopped().is_none() {
        answer.close(channel);
    }
    if answer.stopped().is_none() {
        answer.finish();
    }
    let cut = answer.stopped().map(|reason| reason.code.clone());
    (
        answer.released(channel).to_owned(),
        cut,
        answer.notes().to_vec(),
    )
}

fn edited(request: &FakeView, edits: &[Edit]) -> String {
    let mut texts: BTreeMap<u32, (String, String)> = BTreeMap::new();
    for (index, segment) in request.all_segments().into_iter().enumerate() {
        texts.insert(crate::offset(index), (segment.kind, segment.text));
    }
    let mut last = None;
    for edit in edits {
        if let Edit::Text(edit) = edit {
            assert!(
                last.is_none_or(|(segment, end)| (segment, end) <= (edit.segment, edit.start)),
                "edits overlap or are out of order: {edits:?}"
            );
            last = Some((edit.segment, edit.end));
        }
    }
    for edit in edits.iter().rev() {
        if let Edit::Text(edit) = edit {
            let (_, text) = texts
                .get_mut(&edit.segment)
                .expect("an edit names a segment");
            text.replace_range(edit.start as usize..edit.end as usize, &edit.text);
        }
    }
    let texts: Vec<String> = texts
        .into_values()
        .filter_map(|(kind, text)| (kind == "text").then_some(text))
        .collect();
    texts.join("\n")
}

fn attributes(attributes: &[Attribute]) -> Map<String, Json> {
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), super::json(&attribute.value)))
        .collect()
}

fn put(outcome: &mut Outcome, key: &str, value: impl Into<Json>) {
    outcome.insert(key.to_owned(), value.into());
}

fn put_labels(outcome: &mut Outcome, labels: &[Label]) {
    let entry = outcome.entry("labels").or_insert_with(|| json!({}));
    if let Some(known) = entry.as_object_mut() {
        known.extend(
            labels
                .iter()
                .map(|label| (label.key.clone(), super::json(&label.value))),
        );
    }
}

fn put_error(outcome: &mut Outcome, error: &PluginError) {
    let kind = match error {
        PluginError::InvalidInput(_) => "invalid-input",
        PluginError::Unavailable(_) => "unavailable",
        PluginError::Internal(_) => "internal",
    };
    put(outcome, "error", kind);
}
