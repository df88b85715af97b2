//! Vectors of text: who computes them, which steps may have them, and that their target answers nothing else.

#[cfg(test)]
mod tests;

use super::{EMBEDDED_FILES_MAX, unknown};
use crate::finding::{Finding, Path};
use crate::policy::{Embedding, Kind, Phase, Policy, Step, Target, TargetKind};

/// The grant.
const GRANT: &str = "embedding";

pub(super) fn check(policy: &Policy, findings: &mut Vec<Finding>) {
    if let Some(embedding) = &policy.embedding {
        target(policy, embedding, findings);
    }
    for (index, step) in policy.steps.iter().enumerate() {
        let granted = step.grants.iter().position(|grant| grant == GRANT);
        if let Some(granted) = granted {
            let at = Path::of("step").index(index);
            let grant = at.key("grants").index(granted);
            one(policy, step, grant, findings);
            files(step, &at, findings);
        }
    }
}

/// It exists, and no chat goes to it.
fn target(policy: &Policy, embedding: &Embedding, findings: &mut Vec<Finding>) {
    let name = &embedding.target;
    if policy.target(name).is_none() {
        let at = Path::of("embedding").key("target");
        let known = policy.targets.iter().map(|target| target.name.as_str());
        findings.push(unknown("target", name, known, at));
        return;
    }
    let mut chats = |targets: &[String], at: Path| {
        for index in (0..targets.len()).filter(|&index| targets[index] == *name) {
            let message = format!("target `{name}` computes embeddings and answers no chats");
            let help = "remove it here, or give `embedding` a target of its own";
            findings.push(Finding::error(at.index(index), message).help(help));
        }
    };
    for (index, model) in policy.models.iter().enumerate() {
        let at = Path::of("model").index(index).key("targets");
        chats(&model.targets, at);
    }
    let at = Path::of("execute").key("default-plan");
    chats(&policy.execute.default_plan, at);
}

fn one(policy: &Policy, step: &Step, grant: Path, findings: &mut Vec<Finding>) {
    if policy.kind == Kind::Floor {
        let message = "a floor has no targets, so that nothing computes embeddings for its steps";
        let help = "move the step to the tenants' policies, or remove the grant";
        findings.push(Finding::error(grant, message).help(help));
        return;
    }
    let Some(embedding) = &policy.embedding else {
        let message = "nothing computes embeddings here";
        let help =
            "add [embedding] with `target`, the name of a [[target]] that has an embeddings API";
        findings.push(Finding::error(grant, message).help(help));
        return;
    };
    let is_foreign = |target: &Target| target.kind != TargetKind::Engine;
    if matches!(step.phase, Phase::Classify | Phase::GuardRequest)
        && policy.target(&embedding.target).is_some_and(is_foreign)
    {
        let message = format!(
            "in the phase {} no guard has passed the text yet, and target `{}` is not the engine: the text would leave unguarded",
            step.phase, embedding.target
        );
        let help =
            "name a target of kind `engine` in [embedding], or use embeddings from `split` on";
        findings.push(Finding::error(grant, message).help(help));
    }
}

fn files(step: &Step, at: &Path, findings: &mut Vec<Finding>) {
    let count = step.data.len();
    if count > EMBEDDED_FILES_MAX {
        let message = format!(
            "{count} files are more than a step with `{GRANT}` may have ({EMBEDDED_FILES_MAX})"
        );
        findings.push(Finding::error(at.key("data"), message));
    }
}
