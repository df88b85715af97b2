//! CEL conditions that allow, deny, label, route or set parameters.
//!
//! Rules are asked in order. `allow`, `deny` and `route` end it; `label` and `set` go on. Every rule sees the request as it was
//! before the step. A rule whose condition has no answer (a label that is not there, types that do not fit) denies if
//! it is a deny rule, else it is skipped; either way label `rules.errors` names it.
#![forbid(unsafe_code)]

mod condition;
mod config;
mod facts;
mod names;
mod route;
mod rule;

use std::sync::Arc;

use cel::Env;
use pointsman_sdk::{
    Checked, Classifier, Edit, Label, Plugin, PluginError, Reason, RequestGuard, Value, Verdict,
    View,
};

pub use config::Config;
use config::{Fallback, OnError};
use facts::{Everything, Facts};
use names::Name;
use rule::{End, Rule, Settings};

/// Rules of one step.
const RULES_MAX: usize = 128;
/// Keys that all rules together may label, so that a result stays within the host's bound, `rules.errors` included.
const LABEL_KEYS_MAX: usize = 63;
/// Bytes of the newest text.
const TEXT_BYTES_MAX: u32 = 256 * 1024;
/// Bytes of all system texts together, as several may be set for one request.
const SYSTEM_BYTES_MAX: usize = 64 * 1024;
/// What stands between system texts.
const SYSTEM_GAP: &str = "\n\n";
/// Code of a refusal because a condition had no answer.
const ERROR_CODE: &str = "rules.error";
/// Code of a refusal because no rule allowed the request.
const DEFAULT_CODE: &str = "rules.default";
/// Label that lists the rules without an answer.
const ERRORS_LABEL: &str = "rules.errors";

/// The configured rules.
pub struct Rules {
    env: Arc<Env>,
    names: Vec<Name>,
    rules: Vec<Rule>,
    default: Fallback,
    text_bytes: u32,
}

/// What the rules came to.
struct Decision<'a> {
    labels: Vec<Label>,
    settings: Vec<&'a Settings>,
    denied: Option<Reason>,
}

impl Plugin for Rules {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        if config.rules.len() > RULES_MAX {
            return Err(format!(
                "rules: {} are more than a step may have ({RULES_MAX})",
                config.rules.len()
            ));
        }
        if config.rules.is_empty() && config.default == Fallback::Allow {
            return Err("rules: none, so nothing is ever denied, labelled or set".to_owned());
        }
        if !(1..=TEXT_BYTES_MAX).contains(&config.text_bytes) {
            return Err(format!("text-bytes: write 1 to {TEXT_BYTES_MAX}"));
        }
        let env = condition::environment()?;
        let mut names: Vec<Name> = Vec::new();
        let mut rules = Vec::new();
        for (index, rule) in config.rules.into_iter().enumerate() {
            let number = format!("rule {}", index + 1);
            let (name, place) = match &rule.name {
                Some(name) => (name.clone(), format!("{number} (`{name}`)")),
                None => (number.clone(), number),
            };
            let slot = |name: &Name| {
                names
                    .iter()
                    .position(|known| known == name)
                    .unwrap_or_else(|| {
                        names.push(name.clone());
                        names.len() - 1
                    })
            };
            let rule =
                Rule::new(&env, name, rule, slot).map_err(|error| format!("{place}: {error}"))?;
            rules.push(rule);
        }
        let mut keys: Vec<&str> = rules
            .iter()
            .flat_map(|rule| &rule.labels)
            .map(|label| label.key.as_str())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.len() > LABEL_KEYS_MAX {
            return Err(format!(
                "rules: {} label keys are more than a step may set ({LABEL_KEYS_MAX})",
                keys.len()
            ));
        }
        let system_bytes: usize = rules
            .iter()
            .filter_map(|rule| rule.settings.as_ref()?.prepend_system.as_ref())
            .map(|system| system.len() + SYSTEM_GAP.len())
            .sum();
        if system_bytes > SYSTEM_BYTES_MAX {
            return Err(format!(
                "rules: all prepend-system together have more than {SYSTEM_BYTES_MAX} bytes"
            ));
        }
        let rules = Self {
            env,
            names,
            rules,
            default: config.default,
            text_bytes: config.text_bytes,
        };
        rules.warm();
        Ok(rules)
    }
}

impl Rules {
    /// Runs every condition once, so that decisions start from memory that is built.
    fn warm(&self) {
        let facts = Facts::new(&self.names, &Everything, self.text_bytes);
        for rule in &self.rules {
            // The answer for a made-up request means nothing.
            let _ = rule.condition.holds(&self.env, &facts);
        }
    }

    fn decide(&self, request: &dyn View) -> Decision<'_> {
        let facts = Facts::new(&self.names, request, self.text_bytes);
        let mut decision = Decision {
            labels: Vec::new(),
            settings: Vec::new(),
            denied: None,
        };
        let mut errors = Vec::new();
        let mut ended = false;
        for rule in &self.rules {
            match rule.condition.holds(&self.env, &facts) {
                Ok(false) => {}
                Ok(true) => {
                    decision.settings.extend(&rule.settings);
                    for label in &rule.labels {
                        put(&mut decision.labels, label.clone());
                    }
                    match &rule.end {
                        End::GoOn => {}
                        End::Allow => ended = true,
                        End::Deny(reason) => decision.denied = Some(reason.clone()),
                    }
                }
                Err(error) => {
                    if errors.len() < LABEL_KEYS_MAX {
                        errors.push(rule.name.clone());
                    }
                    if rule.on_error == OnError::Deny {
                        let detail = format!("rule `{}` has no answer: {error}", rule.name);
                        let reason = Reason::new(ERROR_CODE, detail)
                            .with("user-message", "a rule of the policy could not be decided");
                        decision.denied = Some(reason);
                    }
                }
            }
            if ended || decision.denied.is_some() {
                ended = true;
                break;
            }
        }
        if !ended && self.default == Fallback::Deny {
            decision.denied = Some(Reason::new(DEFAULT_CODE, "no rule allows this request"));
        }
        if !errors.is_empty() {
            put(&mut decision.labels, Label::new(ERRORS_LABEL, errors));
        }
        decision
    }
}

/// Adds a label, replacing an earlier one with the same key.
fn put(labels: &mut Vec<Label>, label: Label) {
    match labels.iter_mut().find(|known| known.key == label.key) {
        Some(known) => *known = label,
        None => labels.push(label),
    }
}

impl RequestGuard for Rules {
    fn check(&self, request: &dyn View) -> Result<Checked, PluginError> {
        if let Some(rule) = self.rules.iter().find(|rule| !rule.route.is_empty()) {
            return Err(misplaced(rule, "routes", "route"));
        }
        let decision = self.decide(request);
        let verdict = match decision.denied {
            Some(reason) => Verdict::Deny(reason),
            None => Checked::edit(edits(&decision.settings, request)).verdict,
        };
        Ok(Checked {
            verdict,
            labels: decision.labels,
        })
    }
}

impl Classifier for Rules {
    fn classify(&self, request: &dyn View) -> Result<Vec<Label>, PluginError> {
        self.guards_nothing()?;
        if let Some(rule) = self.rules.iter().find(|rule| !rule.route.is_empty()) {
            return Err(misplaced(rule, "routes", "route"));
        }
        Ok(self.decide(request).labels)
    }
}

impl Rules {
    /// A refusal that is lost without a word is worse than a step that fails on every request.
    fn guards_nothing(&self) -> Result<(), PluginError> {
        if let Some(rule) = self.rules.iter().find(|rule| rule.guards()) {
            return Err(misplaced(
                rule,
                "denies or sets parameters",
                "guard-request",
            ));
        }
        if self.default == Fallback::Deny {
            return Err(PluginError::Internal(
                "`default = \"deny\"` needs a step of phase guard-request".to_owned(),
            ));
        }
        Ok(())
    }
}

/// A rule in a step of a phase that cannot do what it says.
fn misplaced(rule: &Rule, does: &str, phase: &str) -> PluginError {
    PluginError::Internal(format!(
        "rule `{}` {does}, which only a step of phase {phase} can",
        rule.name
    ))
}

/// The settings of all rules that held as edits: of one parameter the last one, of system texts all in order.
fn edits(settings: &[&Settings], request: &dyn View) -> Vec<Edit> {
    let mut edits = Vec::new();
    let last = |of: fn(&Settings) -> Option<Value>| settings.iter().rev().find_map(|set| of(set));
    if let Some(tokens) = last(|set| set.max_output_tokens.map(Value::Integer)) {
        edits.push(Edit::set("max-output-tokens", tokens));
    }
    if let Some(temperature) = last(|set| set.temperature.map(Value::Number)) {
        edits.push(Edit::set("temperature", temperature));
    }
    let mut unwanted = settings.iter().flat_map(|set| &set.remove_tools).peekable();
    if unwanted.peek().is_some() {
        // Only what is offered can be removed, and each once.
        let mut removed: Vec<String> = request.tool_names();
        let unwanted: Vec<&String> = unwanted.collect();
        removed.retain(|tool| unwanted.contains(&tool));
        removed.dedup();
        edits.extend(
            removed
                .into_iter()
                .map(|tool| Edit::set("remove-tool", tool)),
        );
    }
    let system: Vec<&str> = settings
        .iter()
        .filter_map(|set| set.prepend_system.as_deref())
        .collect();
    if !system.is_empty() {
        edits.push(Edit::set("prepend-system", system.join(SYSTEM_GAP)));
    }
    edits
}

pointsman_sdk::export_plugin!(Rules: request_guard, classifier, router);

#[cfg(test)]
mod tests;
