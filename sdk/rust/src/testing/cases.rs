//! Runs a plugin's `cases.jsonl` natively. `pointsman_cases` says what a line means; `pointsman plugin test` runs the
//! same file on the component.

use std::collections::BTreeMap;

use pointsman_cases::{Case, Edited, Guarded, Outcome, Priced, Scalar};
use serde_json::{Map, Value as Json};

use super::{Answer, FakeHost, FakePool, FakeView};
use crate::plugin::{
    Accountant, Classifier, Plugin, RequestGuard, ResponseGuard, Router, Splitter,
};
use crate::view::View as _;
use crate::words::{
    Amount, Attribute, Edit, Label, Meter, PluginError, Rate, Usage, Value, Verdict,
};

type Role<P> = fn(&'static P, &Inputs<'_>, &mut Outcome) -> Result<(), PluginError>;

/// The roles that a plugin's cases exercise.
#[derive(Debug)]
pub struct Suite<P: 'static> {
    roles: Vec<Role<P>>,
}

/// A case as roles are given it.
struct Inputs<'a> {
    case: &'a Case,
    request: FakeView,
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
        let cases = pointsman_cases::read(cases);
        assert!(cases.is_ok(), "{}", cases.expect_err("asserted"));
        for case in cases.expect("asserted above") {
            let differing = case.differing(&self.outcome(&case));
            assert!(
                differing.is_empty(),
                "{} (line {}):\n  {}",
                case.name,
                case.line,
                differing.join("\n  ")
            );
        }
    }

    fn outcome(&self, case: &Case) -> Outcome {
        host(case).install();
        let plugin = match super::try_configured::<P>(&case.config) {
            Ok(plugin) => plugin,
            Err(refusal) => return Outcome::refused(&refusal),
        };
        let inputs = Inputs {
            case,
            request: request(case),
        };
        let mut outcome = Outcome::default();
        for role in &self.roles {
            if let Err(error) = role(plugin, &inputs, &mut outcome) {
                outcome.error(match error {
                    PluginError::InvalidInput(_) => "invalid-input",
                    PluginError::Unavailable(_) => "unavailable",
                    PluginError::Internal(_) => "internal",
                });
            }
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
        self.roles.push(|plugin, inputs, outcome| {
            outcome.labels(labels(&plugin.classify(&inputs.request)?));
            Ok(())
        });
        self
    }
}

impl<P: RequestGuard> Suite<P> {
    /// With the request guard.
    #[must_use]
    pub fn request_guard(mut self) -> Self {
        self.roles.push(|plugin, inputs, outcome| {
            let checked = plugin.check(&inputs.request)?;
            outcome.labels(labels(&checked.labels));
            match checked.verdict {
                Verdict::Pass => outcome.passed(),
                Verdict::Deny(reason) => {
                    let status = reason.attributes.iter().find(|a| a.key == "status");
                    outcome.denied(
                        &reason.code,
                        status.map(|status| super::json(&status.value)),
                    );
                }
                Verdict::Edit(edits) => edit(outcome, &inputs.request, &edits),
            }
            Ok(())
        });
        self
    }
}

impl<P: Splitter> Suite<P> {
    /// With the splitter.
    #[must_use]
    pub fn splitter(mut self) -> Self {
        self.roles.push(|plugin, inputs, outcome| {
            outcome.variant(&plugin.split(&inputs.request, inputs.case.inputs.bucket)?);
            Ok(())
        });
        self
    }
}

impl<P: Router> Suite<P> {
    /// With the router.
    #[must_use]
    pub fn router(mut self) -> Self {
        self.roles.push(|plugin, inputs, outcome| {
            let plan = plugin.route(&inputs.request, &pool(inputs.case))?;
            let attempts = plan.attempts.into_iter();
            let attempts =
                attempts.map(|attempt| (attempt.target, attributes(&attempt.attributes)));
            outcome.plan(attempts, &plan.reason.code, attributes(&plan.attributes));
            Ok(())
        });
        self
    }
}

impl<P: ResponseGuard> Suite<P> {
    /// With the response guard: the answer as given, then whole, character by character, and split in two at every
    /// character; what is released must not depend on it, unless the answer is cut.
    #[must_use]
    pub fn response_guard(mut self) -> Self {
        self.roles.push(|plugin, inputs, outcome| {
            let deltas = &inputs.case.answer.deltas;
            if deltas.is_empty() {
                return Ok(());
            }
            let given: Vec<&str> = deltas.iter().map(String::as_str).collect();
            let guarded = flow(plugin, &inputs.request, &given);
            for way in pointsman_cases::ways(&deltas.concat()) {
                let again = flow(plugin, &inputs.request, &way);
                let agreed = guarded.agree(&again, &way);
                assert!(agreed.is_ok(), "{agreed:?}");
            }
            outcome.guarded(guarded);
            Ok(())
        });
        self
    }
}

impl<P: Accountant> Suite<P> {
    /// With the accountant.
    #[must_use]
    pub fn accountant(mut self) -> Self {
        self.roles.push(|plugin, inputs, outcome| {
            let lines = plugin.account(&inputs.request, &usages(inputs.case))?;
            let priced = |amount| match amount {
                Amount::Exact(amount) => Priced::Exact(i128::from(amount)),
                Amount::Estimated(amount) => Priced::Estimated(i128::from(amount)),
                Amount::Unpriced => Priced::Unpriced,
            };
            let lines = lines
                .iter()
                .map(|line| (line.attempt, line.unit.as_str(), priced(line.amount)));
            outcome.lines(lines);
            Ok(())
        });
        self
    }
}

/// What the host's imports answer.
fn host(case: &Case) -> FakeHost {
    let inputs = &case.inputs;
    let rates = |rates: &Vec<pointsman_cases::Rate>| rates.iter().map(rate).collect();
    FakeHost {
        now_ms: inputs.time_ms,
        seed: inputs.seed,
        data: inputs
            .data
            .iter()
            .map(|(name, text)| (name.clone(), text.clone().into_bytes()))
            .collect(),
        counts: inputs.counts.clone(),
        secrets: case.secrets().into_iter().collect(),
        vectors: inputs.vectors.clone(),
        rates: inputs
            .prices
            .iter()
            .map(|(target, rows)| (target.clone(), rates(rows)))
            .collect(),
        ..FakeHost::default()
    }
}

fn request(case: &Case) -> FakeView {
    let time_ms = i64::try_from(case.inputs.time_ms).unwrap_or(i64::MAX);
    let mut view = FakeView::from_chat(&Json::Object(case.request.body.clone()))
        .with_field("time-ms", time_ms);
    for (name, header) in &case.request.headers {
        view = view.with_header(name, header);
    }
    for (name, field) in &case.inputs.fields {
        view = view.with_field(name, value(field));
    }
    for (key, label) in &case.inputs.labels {
        view = view.with_label(key, value(label));
    }
    view
}

fn pool(case: &Case) -> FakePool {
    let targets = case.inputs.pool.iter();
    targets.fold(FakePool::default(), |pool, (name, columns)| {
        let columns = columns.iter().map(|(key, cell)| (key.clone(), value(cell)));
        pool.with(name, columns)
    })
}

fn usages(case: &Case) -> Vec<Usage> {
    let meter = |meter: &pointsman_cases::Meter| Meter {
        unit: meter.unit.clone(),
        quantity: meter.quantity,
        estimated: meter.estimated,
    };
    (0..)
        .zip(&case.inputs.usages)
        .map(|(attempt, usage)| Usage {
            attempt,
            target: usage.target.clone(),
            outcome: usage.outcome.clone(),
            meters: usage.meters.iter().map(meter).collect(),
            attributes: attributes_of(&usage.attributes),
        })
        .collect()
}

fn rate(rate: &pointsman_cases::Rate) -> Rate {
    Rate {
        unit: rate.unit.clone(),
        pico_usd: rate.pico_usd,
        above_input_tokens: rate.above_input_tokens,
        attributes: attributes_of(&rate.attributes),
    }
}

fn attributes_of(attributes: &BTreeMap<String, Scalar>) -> Vec<Attribute> {
    let attribute = |(key, scalar): (&String, &Scalar)| Attribute {
        key: key.clone(),
        value: value(scalar),
    };
    attributes.iter().map(attribute).collect()
}

fn value(scalar: &Scalar) -> Value {
    super::of_scalar(scalar.clone())
}

/// One way of the answer through the guard.
fn flow<P: ResponseGuard>(plugin: &'static P, request: &FakeView, deltas: &[&str]) -> Guarded {
    let mut answer = Answer::new(plugin, request);
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
    Guarded {
        released: answer.released(channel).to_owned(),
        cut: answer.stopped().map(|reason| reason.code.clone()),
        notes: labels(answer.notes()).collect(),
    }
}

fn edit(outcome: &mut Outcome, request: &FakeView, edits: &[Edit]) {
    let (mut texts, mut set) = (Vec::new(), Map::new());
    for edit in edits {
        match edit {
            Edit::Text(edit) => texts.push(Edited {
                segment: edit.segment,
                start: edit.start,
                end: edit.end,
                text: &edit.text,
            }),
            Edit::Set(attribute) => {
                set.insert(attribute.key.clone(), super::json(&attribute.value));
            }
        }
    }
    let segments = request.all_segments();
    let segments = segments
        .iter()
        .map(|segment| (segment.kind.as_str(), segment.text.as_str()));
    let fits = outcome.edited(segments, &texts, set);
    assert!(fits.is_ok(), "{fits:?}");
}

fn labels(labels: &[Label]) -> impl Iterator<Item = (String, Json)> {
    labels
        .iter()
        .map(|label| (label.key.clone(), super::json(&label.value)))
}

fn attributes(attributes: &[Attribute]) -> Map<String, Json> {
    attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), super::json(&attribute.value)))
        .collect()
}
