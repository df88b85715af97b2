//! Between the domain's words and those of the generated bindings. What comes from a guest is checked on its way in:
//! sizes against the caps, numbers against their ranges.

use pointsman_domain::guard::{Action, Channel, Coverage, Delta};
use pointsman_domain::plan::{Plan, PlannedAttempt};
use pointsman_domain::request::{Checked, Edit, Segment, TextEdit, Verdict};
use pointsman_domain::usage::{Amount, CostLine, Rate, Usage};
use pointsman_domain::{Attribute, Label, Picos, Reason, Value};

use crate::fault::{Cause, PluginError};
use crate::generated::exports::pointsman::plugin as role;
use crate::generated::pointsman::plugin as wit;
use crate::limits;

// To guests.

pub(crate) fn value(value: &Value) -> wit::types::Value {
    match value {
        Value::Text(text) => wit::types::Value::Text(text.clone()),
        Value::Texts(texts) => wit::types::Value::Texts(texts.clone()),
        Value::Integer(integer) => wit::types::Value::Integer(*integer),
        Value::Number(number) => wit::types::Value::Number(*number),
        Value::Flag(flag) => wit::types::Value::Flag(*flag),
    }
}

pub(crate) fn attributes(attributes: &[Attribute]) -> Vec<wit::types::Attribute> {
    let attribute = |attribute: &Attribute| wit::types::Attribute {
        key: attribute.key.clone(),
        value: value(&attribute.value),
    };
    attributes.iter().map(attribute).collect()
}

pub(crate) fn label(label: &Label) -> wit::types::Label {
    wit::types::Label {
        key: label.key.clone(),
        value: value(&label.value),
        score: label.score,
    }
}

pub(crate) fn segment(segment: &Segment) -> wit::request::Segment {
    wit::request::Segment {
        message: segment.message,
        part: segment.part,
        role: segment.role.clone().into_owned(),
        kind: segment.kind.clone().into_owned(),
        path: segment.path.clone(),
        text: segment.text.clone(),
    }
}

pub(crate) fn rate(rate: &Rate) -> wit::prices::Rate {
    wit::prices::Rate {
        unit: rate.unit.clone(),
        pico_usd: rate.pico_usd,
        above_input_tokens: rate.above_input_tokens,
        attributes: attributes(&rate.attributes),
    }
}

pub(crate) fn usage(usage: &Usage) -> role::accountant::Usage {
    let meter = |meter: &pointsman_domain::usage::Meter| wit::types::Meter {
        unit: meter.unit.clone(),
        quantity: meter.quantity,
        estimated: meter.estimated,
    };
    role::accountant::Usage {
        attempt: usage.attempt,
        target: usage.target.clone(),
        outcome: usage.outcome.clone(),
        meters: usage.meters.iter().map(meter).collect(),
        attributes: attributes(&usage.attributes),
    }
}

pub(crate) fn channel(channel: &Channel) -> role::response_guard::Channel {
    role::response_guard::Channel {
        choice: channel.choice,
        item: channel.item,
        kind: channel.kind.clone(),
        path: channel.path.clone(),
        attributes: attributes(&channel.attributes),
    }
}

pub(crate) fn delta(delta: &Delta) -> role::response_guard::Delta {
    role::response_guard::Delta {
        channel: delta.channel,
        text: delta.text.clone(),
    }
}

// From guests.

/// The first `bytes_max` bytes, cut on a UTF-8 border.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// The error that a plugin chose.
pub(crate) fn plugin_error(error: &wit::types::PluginError) -> PluginError {
    let short = |text: &str| cut(text, limits::ERROR_BYTES_MAX).to_owned();
    match error {
        wit::types::PluginError::InvalidInput(text) => PluginError::InvalidInput(short(text)),
        wit::types::PluginError::Unavailable(text) => PluginError::Unavailable(short(text)),
        wit::types::PluginError::Internal(text) => PluginError::Internal(short(text)),
    }
}

fn at_most<T>(list: &[T], max: usize, what: &str) -> Result<(), Cause> {
    if list.len() > max {
        return Err(Cause::output(format!("more than {max} {what}")));
    }
    Ok(())
}

/// A word of a result: a name, a code, a detail.
pub(crate) fn word(text: String) -> Result<String, Cause> {
    bounded(text, limits::STRING_BYTES_MAX)
}

fn bounded(text: String, max: usize) -> Result<String, Cause> {
    if text.len() > max {
        return Err(Cause::output(format!("a string of more than {max} bytes")));
    }
    Ok(text)
}

fn value_in(value: wit::types::Value, bytes_max: usize) -> Result<Value, Cause> {
    Ok(match value {
        wit::types::Value::Text(text) => Value::Text(bounded(text, bytes_max)?),
        wit::types::Value::Texts(texts) => {
            at_most(&texts, limits::ATTRIBUTES_MAX, "strings in a list value")?;
            let texts = texts.into_iter().map(|text| bounded(text, bytes_max));
            Value::Texts(texts.collect::<Result<_, _>>()?)
        }
        wit::types::Value::Integer(integer) => Value::Integer(integer),
        wit::types::Value::Number(number) if !number.is_finite() => {
            return Err(Cause::output("a number that is not finite"));
        }
        wit::types::Value::Number(number) => Value::Number(number),
        wit::types::Value::Flag(flag) => Value::Flag(flag),
    })
}

fn attribute_in(attribute: wit::types::Attribute, bytes_max: usize) -> Result<Attribute, Cause> {
    Ok(Attribute {
        key: word(attribute.key)?,
        value: value_in(attribute.value, bytes_max)?,
    })
}

pub(crate) fn attributes_in(
    attributes: Vec<wit::types::Attribute>,
) -> Result<Vec<Attribute>, Cause> {
    at_most(&attributes, limits::ATTRIBUTES_MAX, "attributes")?;
    let attribute = |attribute| attribute_in(attribute, limits::STRING_BYTES_MAX);
    attributes.into_iter().map(attribute).collect()
}

fn reason_in(reason: wit::types::Reason) -> Result<Reason, Cause> {
    Ok(Reason {
        code: word(reason.code)?,
        detail: word(reason.detail)?,
        attributes: attributes_in(reason.attributes)?,
    })
}

fn label_in(label: wit::types::Label) -> Result<Label, Cause> {
    if !(0.0..=1.0).contains(&label.score) {
        return Err(Cause::output("a label's score is not between 0 and 1"));
    }
    Ok(Label {
        key: word(label.key)?,
        value: value_in(label.value, limits::STRING_BYTES_MAX)?,
        score: label.score,
    })
}

pub(crate) fn labels_in(labels: Vec<wit::types::Label>) -> Result<Vec<Label>, Cause> {
    at_most(&labels, limits::LABELS_MAX, "labels")?;
    labels.into_iter().map(label_in).collect()
}

fn edit_in(edit: role::request_guard::Edit) -> Result<Edit, Cause> {
    Ok(match edit {
        role::request_guard::Edit::Text(edit) => Edit::Text(TextEdit {
            segment: edit.segment,
            start: edit.start,
            end: edit.end,
            text: edit.text,
        }),
        role::request_guard::Edit::Set(attribute) => {
            Edit::Set(attribute_in(attribute, limits::SETTING_BYTES_MAX)?)
        }
    })
}

pub(crate) fn checked_in(checked: role::request_guard::Checked) -> Result<Checked, Cause> {
    let verdict = match checked.verdict {
        role::request_guard::Verdict::Pass => Verdict::Pass,
        role::request_guard::Verdict::Edit(edits) => {
            at_most(&edits, limits::EDITS_MAX, "edits")?;
            Verdict::Edit(edits.into_iter().map(edit_in).collect::<Result<_, _>>()?)
        }
        role::request_guard::Verdict::Deny(reason) => Verdict::Deny(reason_in(reason)?),
    };
    Ok(Checked {
        verdict,
        labels: labels_in(checked.labels)?,
    })
}

pub(crate) fn plan_in(plan: role::router::Plan) -> Result<Plan, Cause> {
    at_most(&plan.attempts, limits::ATTEMPTS_MAX, "attempts")?;
    let attempt = |attempt: role::router::Attempt| {
        Ok(PlannedAttempt {
            target: word(attempt.target)?,
            attributes: attributes_in(attempt.attributes)?,
        })
    };
    Ok(Plan {
        attempts: plan
            .attempts
            .into_iter()
            .map(attempt)
            .collect::<Result<_, Cause>>()?,
        reason: reason_in(plan.reason)?,
        attributes: attributes_in(plan.attributes)?,
    })
}

pub(crate) fn cost_lines_in(
    lines: Vec<role::accountant::CostLine>,
) -> Result<Vec<CostLine>, Cause> {
    at_most(&lines, limits::COST_LINES_MAX, "cost lines")?;
    let line = |line: role::accountant::CostLine| {
        let amount = match line.amount {
            role::accountant::Amount::Exact(picos) => Amount::Exact(Picos(i128::from(picos))),
            role::accountant::Amount::Estimated(picos) => {
                Amount::Estimated(Picos(i128::from(picos)))
            }
            role::accountant::Amount::Unpriced => Amount::Unpriced,
        };
        Ok(CostLine {
            attempt: line.attempt,
            unit: word(line.unit)?,
            quantity: line.quantity,
            amount,
            attributes: attributes_in(line.attributes)?,
        })
    };
    lines.into_iter().map(line).collect()
}

pub(crate) fn coverage_in(coverage: role::response_guard::Coverage) -> Result<Coverage, Cause> {
    at_most(&coverage.kinds, limits::ATTRIBUTES_MAX, "kinds")?;
    Ok(Coverage {
        kinds: coverage
            .kinds
            .into_iter()
            .map(word)
            .collect::<Result<_, _>>()?,
        hold_back_bytes: coverage.hold_back_bytes,
        hold_back_ms: coverage.hold_back_ms,
        attributes: attributes_in(coverage.attributes)?,
    })
}

pub(crate) fn actions_in(actions: Vec<role::response_guard::Action>) -> Result<Vec<Action>, Cause> {
    at_most(&actions, limits::ACTIONS_MAX, "actions")?;
    let action = |action| {
        Ok(match action {
            role::response_guard::Action::Pass(take) => Action::Pass {
                channel: take.channel,
                bytes: take.bytes,
            },
            role::response_guard::Action::Replace(replacement) => Action::Replace {
                channel: replacement.channel,
                bytes: replacement.bytes,
                text: replacement.text,
            },
            role::response_guard::Action::Cut(stop) => Action::Cut {
                choice: stop.choice,
                reason: reason_in(stop.reason)?,
            },
            role::response_guard::Action::Note(label) => Action::Note(label_in(label)?),
        })
    };
    actions.into_iter().map(action).collect()
}
