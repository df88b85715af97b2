//! One rule: a condition and what it does, checked.

use cel::Env;
use pointsman_sdk::{Label, Reason, Value};
use serde_json::Value as Json;

use crate::condition::Condition;
use crate::config::{Deny, OnError, RuleConfig, Set};
use crate::names::Name;

/// Bytes of names, codes, messages and label texts.
const STRING_BYTES_MAX: usize = 1024;
/// Bytes of `prepend-system`.
const SYSTEM_BYTES_MAX: usize = 16 * 1024;
/// Strings of a list.
const LIST_MAX: usize = 64;
/// The highest temperature that providers take.
const TEMPERATURE_MAX: f64 = 2.0;

/// How a rule ends the evaluation.
#[derive(Debug)]
pub(crate) enum End {
    Allow,
    Deny(Reason),
    /// It does not.
    GoOn,
}

/// Parameters to set.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) max_output_tokens: Option<i64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) remove_tools: Vec<String>,
    pub(crate) prepend_system: Option<String>,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) condition: Condition,
    pub(crate) labels: Vec<Label>,
    pub(crate) settings: Option<Settings>,
    /// Targets in the order of trying.
    pub(crate) route: Vec<String>,
    pub(crate) end: End,
    pub(crate) on_error: OnError,
}

impl Rule {
    /// Checks a rule; errors say which key.
    pub(crate) fn new(
        env: &Env,
        name: String,
        config: RuleConfig,
        slot: impl FnMut(&Name) -> usize,
    ) -> Result<Self, String> {
        if name.len() > STRING_BYTES_MAX {
            return Err(format!("name: more than {STRING_BYTES_MAX} bytes"));
        }
        let condition = Condition::compile(env, &config.when, slot)
            .map_err(|error| format!("when: {error}"))?;
        let then = config.then;
        let end = match (then.deny, then.allow) {
            (Some(_), Some(_)) => {
                return Err("then: `deny` and `allow` exclude each other".to_owned());
            }
            (_, Some(false)) => {
                return Err("then.allow: write true, or leave it out".to_owned());
            }
            (None, Some(true)) => End::Allow,
            (Some(deny), None) => End::Deny(reason(deny)?),
            (None, None) => End::GoOn,
        };
        let labels = then
            .label
            .into_iter()
            .map(|(key, json)| label(key, json))
            .collect::<Result<Vec<_>, _>>()?;
        let settings = then.set.map(settings).transpose()?;
        let nothing_else = labels.is_empty() && settings.is_none() && matches!(end, End::GoOn);
        let route = match then.route {
            Some(_) if !nothing_else => {
                return Err("then: `route` stands alone".to_owned());
            }
            Some(targets) => route(targets)?,
            None if nothing_else => {
                return Err("then: does nothing; write deny, allow, label, set or route".to_owned());
            }
            None => Vec::new(),
        };
        // A guard that cannot tell does not let through.
        let careful = match end {
            End::Deny(_) => OnError::Deny,
            End::Allow | End::GoOn => OnError::Skip,
        };
        Ok(Self {
            name,
            condition,
            labels,
            settings,
            route,
            end,
            on_error: config.on_error.unwrap_or(careful),
        })
    }

    /// Whether it does what only a request guard can.
    pub(crate) const fn guards(&self) -> bool {
        self.settings.is_some()
            || matches!(self.end, End::Deny(_))
            || matches!(self.on_error, OnError::Deny)
    }
}

fn route(targets: Vec<String>) -> Result<Vec<String>, String> {
    if targets.is_empty() || targets.len() > LIST_MAX {
        return Err(format!("then.route: name 1 to {LIST_MAX} targets"));
    }
    for (index, target) in targets.iter().enumerate() {
        if targets[..index].contains(target) {
            return Err(format!("then.route: `{target}` is named twice"));
        }
    }
    Ok(targets)
}

fn reason(deny: Deny) -> Result<Reason, String> {
    let code_fits = !deny.code.is_empty()
        && deny.code.len() <= 64
        && deny
            .code
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
    if !code_fits {
        return Err(
            "then.deny.code: write 1 to 64 of a-z, 0-9, `.`, `-`, `_`, as in `team.budget`"
                .to_owned(),
        );
    }
    if deny.message.is_empty() || deny.message.len() > STRING_BYTES_MAX {
        return Err(format!(
            "then.deny.message: write 1 to {STRING_BYTES_MAX} bytes"
        ));
    }
    let reason = Reason::new(deny.code, deny.message.as_str()).with("user-message", deny.message);
    match deny.status {
        None => Ok(reason),
        Some(status @ 400..=499) => Ok(reason.with("status", i64::from(status))),
        Some(_) => Err("then.deny.status: write 400 to 499".to_owned()),
    }
}

fn label(key: String, json: Json) -> Result<Label, String> {
    let wrong = || {
        format!(
            "then.label.{key}: write a text, number, true, false or a list of texts, at most {STRING_BYTES_MAX} bytes each"
        )
    };
    if key.is_empty() || key.len() > STRING_BYTES_MAX {
        return Err(format!(
            "then.label: a key has 1 to {STRING_BYTES_MAX} bytes"
        ));
    }
    let value = match json {
        Json::String(text) if text.len() <= STRING_BYTES_MAX => Value::Text(text),
        Json::Bool(flag) => Value::Flag(flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(number)) => Value::Number(number),
            (None, None) => return Err(wrong()),
        },
        list @ Json::Array(_) => Value::Texts(texts(&list).ok_or_else(wrong)?),
        Json::String(_) | Json::Null | Json::Object(_) => return Err(wrong()),
    };
    Ok(Label::new(key, value))
}

fn texts(json: &Json) -> Option<Vec<String>> {
    let items = json.as_array().filter(|items| items.len() <= LIST_MAX)?;
    let text = |item: &Json| {
        let text = item.as_str()?;
        (text.len() <= STRING_BYTES_MAX).then(|| text.to_owned())
    };
    items.iter().map(text).collect()
}

fn settings(set: Set) -> Result<Settings, String> {
    if set.max_output_tokens == Some(0) {
        return Err("then.set.max-output-tokens: write at least 1".to_owned());
    }
    if set
        .temperature
        .is_some_and(|temperature| !(0.0..=TEMPERATURE_MAX).contains(&temperature))
    {
        return Err(format!(
            "then.set.temperature: write 0 to {TEMPERATURE_MAX}"
        ));
    }
    let remove_tools = match set.remove_tool {
        None => Vec::new(),
        Some(Json::String(name)) => vec![name],
        Some(list) => texts(&list).ok_or_else(|| {
            format!("then.set.remove-tool: write a name or a list of at most {LIST_MAX} names")
        })?,
    };
    if let Some(system) = &set.prepend_system
        && (system.is_empty() || system.len() > SYSTEM_BYTES_MAX)
    {
        return Err(format!(
            "then.set.prepend-system: write 1 to {SYSTEM_BYTES_MAX} bytes"
        ));
    }
    let settings = Settings {
        max_output_tokens: set.max_output_tokens.map(i64::from),
        temperature: set.temperature,
        remove_tools,
        prepend_system: set.prepend_system,
    };
    let nothing = settings.max_output_tokens.is_none()
        && settings.temperature.is_none()
        && settings.remove_tools.is_empty()
        && settings.prepend_system.is_none();
    if nothing {
        return Err(
            "then.set: write max-output-tokens, temperature, remove-tool or prepend-system"
                .to_owned(),
        );
    }
    Ok(settings)
}
