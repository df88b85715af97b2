//! Conditions: made and checked once, then asked of each request. What is absent fails every test but `present`.

use std::cmp::Ordering;

use pointsman_sdk::{Value, View};
use serde_json::Number;

use crate::config::{ConditionConfig, DollarsConfig, ScalarConfig};
use crate::dollars;

/// A condition on a request.
#[derive(Debug)]
pub(crate) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// Less than this many pico-dollars are left; false where there is no budget.
    BudgetLeftBelow(i64),
    Value(Subject, Vec<Test>),
}

/// Where the value is read.
#[derive(Debug)]
pub(crate) enum Subject {
    Label(String),
    Field(String),
    Header(String),
}

/// What must be true of the value.
#[derive(Debug)]
pub(crate) enum Test {
    In(Vec<ScalarConfig>),
    Above(Bound),
    Below(Bound),
    Present(bool),
    ScoreAbove(f32),
}

/// A number to compare with: whole ones exactly, at any size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    Integer(i64),
    Number(f64),
}

impl Condition {
    /// Checks what the operator wrote. The error begins with the key that is wrong.
    pub(crate) fn new(config: ConditionConfig) -> Result<Self, String> {
        let tests = tests(&config)?;
        let ConditionConfig {
            label,
            field,
            header,
            variant,
            budget_left_below,
            all,
            any,
            not,
            ..
        } = config;
        let mut made = Vec::new();
        made.extend(label.map(|key| valued(Subject::Label(key))));
        made.extend(field.map(|name| valued(Subject::Field(name))));
        made.extend(header.map(|name| valued(Subject::Header(name))));
        if let Some(variant) = variant {
            let test = Test::In(vec![ScalarConfig::Text(variant)]);
            made.push(Self::Value(
                Subject::Field("variant".to_owned()),
                vec![test],
            ));
        }
        if let Some(amount) = budget_left_below {
            made.push(Self::BudgetLeftBelow(picos(&amount)?));
        }
        if let Some(parts) = all {
            made.push(Self::All(several("all", parts)?));
        }
        if let Some(parts) = any {
            made.push(Self::Any(several("any", parts)?));
        }
        if let Some(part) = not {
            let part = Self::new(*part).map_err(|why| format!("not.{why}"))?;
            made.push(Self::Not(Box::new(part)));
        }
        let [condition] = <[Self; 1]>::try_from(made).map_err(|made| {
            format!(
                "if: a condition has one of label, field, header, variant, budget-left-below, all, any, not; this one has {}",
                made.len()
            )
        })?;
        condition.with(tests)
    }

    fn with(self, tests: Vec<Test>) -> Result<Self, String> {
        match self {
            Self::Value(subject, own) if own.is_empty() => {
                if tests.is_empty() {
                    return Err(
                        "if: a label, field or header needs one of is, in, above, below, present"
                            .to_owned(),
                    );
                }
                let scored = tests.iter().any(|test| matches!(test, Test::ScoreAbove(_)));
                if scored && !matches!(subject, Subject::Label(_)) {
                    return Err("score-above: only labels have a score".to_owned());
                }
                Ok(Self::Value(subject, tests))
            }
            _ if !tests.is_empty() => Err(
                "if: is, in, above, below, present and score-above go with a label, field or header"
                    .to_owned(),
            ),
            whole => Ok(whole),
        }
    }

    /// Whether it holds for this request. Reads no more than it must: `all` and `any` stop early.
    pub(crate) fn holds(&self, request: &dyn View) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(request)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(request)),
            Self::Not(part) => !part.holds(request),
            Self::BudgetLeftBelow(picos) => request
                .integer("budget-left-pico-usd")
                .is_some_and(|left| left < *picos),
            Self::Value(subject, tests) => {
                let (value, score) = subject.read(request);
                tests.iter().all(|test| test.holds(value.as_ref(), score))
            }
        }
    }
}

const fn valued(subject: Subject) -> Condition {
    Condition::Value(subject, Vec::new())
}

fn several(key: &str, parts: Vec<ConditionConfig>) -> Result<Vec<Condition>, String> {
    if parts.is_empty() {
        return Err(format!(
            "{key}: at least one condition is needed; what always holds belongs into default"
        ));
    }
    let made = |(index, part)| Condition::new(part).map_err(|why| format!("{key}[{index}].{why}"));
    parts.into_iter().enumerate().map(made).collect()
}

fn tests(config: &ConditionConfig) -> Result<Vec<Test>, String> {
    let mut tests = Vec::new();
    // First, so that an absent value is not compared.
    tests.extend(config.present.map(Test::Present));
    tests.extend(config.is.clone().map(|value| Test::In(vec![value])));
    if let Some(values) = &config.r#in {
        if values.is_empty() {
            return Err("in: at least one value is needed".to_owned());
        }
        tests.push(Test::In(values.clone()));
    }
    let bound =
        |number: &Number, key| Bound::new(number).ok_or_else(|| format!("{key}: too large"));
    if let Some(number) = &config.above {
        tests.push(Test::Above(bound(number, "above")?));
    }
    if let Some(number) = &config.below {
        tests.push(Test::Below(bound(number, "below")?));
    }
    tests.extend(config.score_above.map(Test::ScoreAbove));
    if config.present == Some(false) && tests.len() > 1 {
        return Err("present: what is absent cannot meet another test".to_owned());
    }
    Ok(tests)
}

fn picos(dollars: &DollarsConfig) -> Result<i64, String> {
    let text = match dollars {
        DollarsConfig::Text(text) => text.clone(),
        DollarsConfig::Number(number) => number.to_string(),
    };
    dollars::to_picos(&text).ok_or_else(|| {
        format!("budget-left-below: `{text}` is no amount; write dollars as a plain decimal such as \"2.50\"")
    })
}

impl Subject {
    /// The value and, for a label, its score.
    fn read(&self, request: &dyn View) -> (Option<Value>, f32) {
        match self {
            Self::Label(key) => request
                .label(key)
                .map_or((None, 0.0), |label| (Some(label.value), label.score)),
            Self::Field(name) => (request.field(name), 0.0),
            Self::Header(name) => (request.header(name).map(Value::Text), 0.0),
        }
    }
}

impl Test {
    fn holds(&self, value: Option<&Value>, score: f32) -> bool {
        match (self, value) {
            (Self::Present(present), value) => value.is_some() == *present,
            (_, None) => false,
            (Self::In(wanted), Some(value)) => wanted.iter().any(|wanted| equals(value, wanted)),
            (Self::Above(bound), Some(value)) => bound.compare(value) == Some(Ordering::Greater),
            (Self::Below(bound), Some(value)) => bound.compare(value) == Some(Ordering::Less),
            (Self::ScoreAbove(bound), Some(_)) => score > *bound,
        }
    }
}

/// A list equals each of its members: a request has several tools, a target several capabilities.
fn equals(value: &Value, wanted: &ScalarConfig) -> bool {
    match (value, wanted) {
        (Value::Text(text), ScalarConfig::Text(wanted)) => text == wanted,
        (Value::Texts(texts), ScalarConfig::Text(wanted)) => texts.contains(wanted),
        (Value::Flag(flag), ScalarConfig::Flag(wanted)) => flag == wanted,
        (value, ScalarConfig::Integer(wanted)) => {
            Bound::Integer(*wanted).compare(value) == Some(Ordering::Equal)
        }
        (value, ScalarConfig::Number(wanted)) => {
            Bound::Number(*wanted).compare(value) == Some(Ordering::Equal)
        }
        _ => false,
    }
}

impl Bound {
    fn new(number: &Number) -> Option<Self> {
        number
            .as_i64()
            .map(Self::Integer)
            .or_else(|| number.as_f64().map(Self::Number))
    }

    /// How the value stands to this bound; none where it is no number. A header is text, so a number in it is read.
    fn compare(self, value: &Value) -> Option<Ordering> {
        let parsed = value.as_text().and_then(read_number);
        let value = parsed.as_ref().unwrap_or(value);
        match (self, value) {
            (Self::Integer(bound), Value::Integer(integer)) => Some(integer.cmp(&bound)),
            (Self::Integer(bound), value) => value
                .as_number()?
                .partial_cmp(&Value::Integer(bound).as_number()?),
            (Self::Number(bound), value) => value.as_number()?.partial_cmp(&bound),
        }
    }
}

fn read_number(text: &str) -> Option<Value> {
    let number: Number = text.parse().ok()?;
    number
        .as_i64()
        .map(Value::Integer)
        .or_else(|| number.as_f64().map(Value::Number))
}
