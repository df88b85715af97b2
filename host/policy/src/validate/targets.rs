//! Models, targets and execution: every name resolves, every credential may go where it is sent.

use std::collections::BTreeSet;

use super::{Facts, MODELS_MAX, TARGETS_MAX, bounded, name, unique, unknown};
use crate::finding::{Finding, Path};
use crate::nearest::did_you_mean;
use crate::origin::Origin;
use crate::policy::{Policy, Target};

/// What `retry-on` may say besides a status.
const RETRY_WORDS: [&str; 5] = ["connect", "timeout", "stream", "egress", "5xx"];
/// Bytes of a model's name.
const MODEL_BYTES_MAX: usize = 128;

pub(super) fn models(policy: &Policy, findings: &mut Vec<Finding>) {
    let at = Path::of("model");
    let names: Vec<_> = policy
        .models
        .iter()
        .map(|model| model.name.as_str())
        .collect();
    unique(&names, &at, "name", "model", findings);
    bounded(names.len(), MODELS_MAX, &at, "models", findings);
    for (index, model) in policy.models.iter().enumerate() {
        let at = at.index(index);
        if model.name.is_empty()
            || model.name.len() > MODEL_BYTES_MAX
            || model.name.contains(|c: char| !c.is_ascii_graphic())
        {
            let message =
                format!("not a model name: write up to {MODEL_BYTES_MAX} visible characters");
            findings.push(Finding::error(at.key("name"), message));
        }
        if model.targets.is_empty() {
            let message = format!("model `{}` has no target", model.name);
            findings.push(
                Finding::error(at.key("targets"), message)
                    .help("name the targets that may answer it"),
            );
        }
        known_targets(policy, &model.targets, &at.key("targets"), findings);
    }
}

pub(super) fn targets(policy: &Policy, facts: &Facts, findings: &mut Vec<Finding>) {
    let at = Path::of("target");
    let names: Vec<_> = policy
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    unique(&names, &at, "name", "target", findings);
    bounded(names.len(), TARGETS_MAX, &at, "targets", findings);
    for (index, target) in policy.targets.iter().enumerate() {
        one(policy, target, &at.index(index), facts, findings);
    }
}

fn one(policy: &Policy, target: &Target, at: &Path, facts: &Facts, findings: &mut Vec<Finding>) {
    name(&target.name, &at.key("name"), "target name", findings);
    if !policy
        .models
        .iter()
        .any(|model| model.targets.contains(&target.name))
        && policy
            .embedding
            .as_ref()
            .is_none_or(|embedding| embedding.target != target.name)
    {
        let message = format!(
            "no model has the target `{}`, so that nothing reaches it",
            target.name
        );
        findings.push(Finding::warning(at.key("name"), message));
    }
    if target.model.is_empty() {
        findings.push(Finding::error(
            at.key("model"),
            "the target's own model name is empty",
        ));
    }
    match Origin::of_endpoint(&target.endpoint) {
        Err(error) => findings.push(Finding::error(at.key("endpoint"), error.to_string())),
        Ok(origin) => credential(target, &origin, at, facts, findings),
    }
    price(target, at, facts, findings);
    let capability = |text: &String| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    for (index, _) in target
        .capabilities
        .iter()
        .enumerate()
        .filter(|(_, text)| !capability(text))
    {
        let message =
            "not a capability: write words such as `streaming`, `tools`, `json-schema`, `vision`";
        findings.push(Finding::error(at.key("capabilities").index(index), message));
    }
    if target
        .quality
        .is_some_and(|quality| !(0.0..=1.0).contains(&quality))
    {
        findings.push(Finding::error(
            at.key("quality"),
            "a quality is a number from 0 to 1",
        ));
    }
    if let (Some(output), Some(context)) = (target.max_output_tokens, target.context_tokens)
        && output > context
    {
        let message =
            format!("max-output-tokens = {output} is more than context-tokens = {context}");
        findings.push(Finding::error(at.key("max-output-tokens"), message));
    }
}

fn credential(
    target: &Target,
    origin: &Origin,
    at: &Path,
    facts: &Facts,
    findings: &mut Vec<Finding>,
) {
    let Some(wanted) = &target.credential else {
        return;
    };
    let at = at.key("credential");
    let Some(known) = facts
        .credentials
        .iter()
        .find(|credential| credential.name == *wanted)
    else {
        let names = facts
            .credentials
            .iter()
            .map(|credential| credential.name.as_str());
        let finding = unknown("credential", wanted, names, at);
        let finding = if finding.help.is_none() {
            finding.help("define it as [[credential]] in pointsman.toml")
        } else {
            finding
        };
        findings.push(finding);
        return;
    };
    if !known
        .origins
        .iter()
        .filter_map(|text| Origin::parse(text).ok())
        .any(|allowed| allowed == *origin)
    {
        let message = format!("credential `{wanted}` may not be sent to {origin}");
        let help = format!(
            "its origins are {}: change the endpoint, or the origins in pointsman.toml",
            known.origins.join(", ")
        );
        findings.push(Finding::error(at, message).help(help));
    } else if !origin.is_https() && !origin.is_loopback() {
        let message = format!("credential `{wanted}` would cross the network in the clear");
        findings.push(Finding::warning(at, message).help("use an https endpoint"));
    }
}

fn price(target: &Target, at: &Path, facts: &Facts, findings: &mut Vec<Finding>) {
    let Some(key) = &target.price else { return };
    let at = at.key("price");
    match &facts.prices {
        None => {
            let message = format!("no price catalogue is configured, so that `{key}` has no price");
            findings.push(Finding::warning(at, message).help("set `prices` in pointsman.toml"));
        }
        Some(keys) if !keys.contains(key) => {
            let help = did_you_mean(key, keys.iter().map(String::as_str)).unwrap_or_else(|| {
                "write a key of the catalogue, `provider/model`, or leave it out: unpriced"
                    .to_owned()
            });
            findings.push(
                Finding::error(at, format!("the price catalogue does not know `{key}`")).help(help),
            );
        }
        Some(_) => {}
    }
}

pub(super) fn execute(policy: &Policy, findings: &mut Vec<Finding>) {
    let at = Path::of("execute");
    known_targets(
        policy,
        &policy.execute.default_plan,
        &at.key("default-plan"),
        findings,
    );
    for (index, word) in policy.execute.retry_on.iter().enumerate() {
        let status = word
            .parse::<u16>()
            .is_ok_and(|status| (400..600).contains(&status));
        if !status && !RETRY_WORDS.contains(&word.as_str()) {
            let finding = unknown(
                "failure",
                word,
                RETRY_WORDS.into_iter(),
                at.key("retry-on").index(index),
            );
            findings.push(finding);
        }
    }
    if policy.execute.connect_timeout_ms > policy.execute.deadline_ms {
        let message =
            "connect-timeout-ms is longer than deadline-ms, so that it never comes to pass";
        findings.push(Finding::warning(at.key("connect-timeout-ms"), message));
    }
}

fn known_targets(policy: &Policy, named: &[String], at: &Path, findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for (index, target) in named.iter().enumerate() {
        if policy.target(target).is_none() {
            let known = policy.targets.iter().map(|target| target.name.as_str());
            findings.push(unknown("target", target, known, at.index(index)));
        } else if !seen.insert(target) {
            findings.push(Finding::error(
                at.index(index),
                format!("target `{target}` is named twice"),
            ));
        }
    }
}
