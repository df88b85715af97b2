//! Steps: plugins that exist and play the phase's role, grants, on-fault, conditions, limits.

use super::{
    EPOCH_MS_MAX, FUEL_MAX, Facts, MEMORY_MIB_MAX, STEPS_MAX, bounded, configs, name, secrets,
    unique, unknown,
};
use crate::finding::{Finding, Path};
use crate::installed::PluginFact;
use crate::policy::{Kind, OnFault, Phase, Policy, Step};
use crate::when::When;

/// Host interfaces that a step may be granted.
const GRANTS: [&str; 8] = [
    "log",
    "clock",
    "random",
    "data",
    "counters",
    "embedding",
    "secrets",
    "prices",
];
/// Interfaces that every plugin has.
const ALWAYS: [&str; 3] = ["types", "request", "targets"];
/// Names in a bundle that are no data.
const RESERVED_FILES: [&str; 3] = ["policy.toml", "policy.lock", "cases.jsonl"];

pub(super) fn steps(policy: &Policy, facts: &Facts, findings: &mut Vec<Finding>) {
    let at = Path::of("step");
    let ids: Vec<_> = policy.steps.iter().map(|step| step.id.as_str()).collect();
    unique(&ids, &at, "id", "step", findings);
    bounded(ids.len(), STEPS_MAX, &at, "steps", findings);
    for (index, step) in policy.steps.iter().enumerate() {
        let at = at.index(index);
        name(&step.id, &at.key("id"), "step id", findings);
        phase(policy, step, &at, findings);
        plugin(step, &at, facts, findings);
        secrets::check(step, &at, facts, findings);
        on_fault(step, &at, findings);
        when(policy, step, &at, findings);
        files(step, &at, facts, findings);
        limits(step, &at, findings);
    }
}

fn phase(policy: &Policy, step: &Step, at: &Path, findings: &mut Vec<Finding>) {
    if step.phase != Phase::Split {
        return;
    }
    if policy.kind == Kind::Floor {
        let message = "a floor has no splitter: variants are the tenants'";
        findings.push(
            Finding::error(at.key("phase"), message).help("move the step to the tenants' policies"),
        );
    } else if policy.variants.is_empty() {
        let message = "a splitter without variants has nothing to choose";
        findings.push(
            Finding::error(at.key("phase"), message)
                .help("add [[variant]] entries, the control first"),
        );
    }
}

fn plugin(step: &Step, at: &Path, facts: &Facts, findings: &mut Vec<Finding>) {
    let fact = match facts.installed().resolve(&step.plugin) {
        Ok(fact) => fact,
        Err(error) => {
            findings.push(error.finding(at.key("plugin")));
            return;
        }
    };
    if !fact.roles.contains(&step.phase.role()) {
        let roles: Vec<_> = fact.roles.iter().map(|role| role.as_str()).collect();
        let message = format!("{} is no {}", fact.label(), step.phase.role().as_str());
        let phases = Phase::ALL
            .iter()
            .filter(|phase| fact.roles.contains(&phase.role()));
        let phases: Vec<_> = phases.map(|phase| phase.as_str()).collect();
        let help = format!(
            "it is a {}, for the phases {}",
            roles.join(" and a "),
            phases.join(", ")
        );
        findings.push(Finding::error(at.key("plugin"), message).help(help));
    }
    grants(step, fact, at, findings);
    configs::check(step, fact, at, findings);
}

fn grants(step: &Step, fact: &PluginFact, at: &Path, findings: &mut Vec<Finding>) {
    let declared: Vec<&str> = fact
        .imports
        .iter()
        .map(|import| interface(import))
        .collect();
    for (index, grant) in step.grants.iter().enumerate() {
        let at = at.key("grants").index(index);
        if !GRANTS.contains(&grant.as_str()) {
            findings.push(unknown("host interface", grant, GRANTS.into_iter(), at));
        } else if !declared.contains(&grant.as_str()) {
            let message = format!("{} never calls `{grant}`", fact.label());
            findings.push(Finding::warning(at, message).help("remove the grant"));
        }
    }
    let at = at.key("grants");
    for import in declared.iter().filter(|import| !ALWAYS.contains(import)) {
        if !step.grants.iter().any(|grant| grant == import) {
            let message = format!(
                "{} calls `{import}`, which this step does not grant",
                fact.label()
            );
            findings.push(
                Finding::error(at.clone(), message).help(format!("add grants = [\"{import}\"]")),
            );
        }
    }
}

/// `pointsman:plugin/prices@0.1.0` and `prices` are the same interface.
fn interface(import: &str) -> &str {
    let name = import.rsplit('/').next().unwrap_or(import);
    name.split('@').next().unwrap_or(name)
}

fn on_fault(step: &Step, at: &Path, findings: &mut Vec<Finding>) {
    let (phase, chosen) = (step.phase, step.on_fault());
    if !phase.on_faults().contains(&chosen) {
        let allowed: Vec<_> = phase
            .on_faults()
            .iter()
            .map(|on_fault| format!("`{on_fault}`"))
            .collect();
        let message = format!("on-fault = \"{chosen}\" does not fit the phase {phase}");
        let help = format!("write {}", allowed.join(" or "));
        findings.push(Finding::error(at.key("on-fault"), message).help(help));
    }
    if !step.required {
        return;
    }
    if !phase.is_guard() {
        let message = "only guards can be required";
        findings.push(
            Finding::error(at.key("required"), message)
                .help("remove it, or set on-fault = \"deny\""),
        );
        return;
    }
    if chosen == OnFault::Skip {
        let message = "a required guard is never skipped";
        findings.push(
            Finding::error(at.key("on-fault"), message)
                .help("write on-fault = \"deny\", or required = false"),
        );
    }
    if step.when.is_some() {
        let message = "a required guard always runs, so that `when` would never decide";
        findings.push(
            Finding::error(at.key("when"), message).help("remove `when`, or required = true"),
        );
    }
}

fn when(policy: &Policy, step: &Step, at: &Path, findings: &mut Vec<Finding>) {
    let Some(source) = &step.when else { return };
    let at = at.key("when");
    match When::compile(source) {
        Err(error) => findings.push(Finding::error(at, error.to_string())),
        Ok(when) if when.asks_variant() => {
            if !step.phase.knows_variant() {
                let message = format!("`variant` is not known in the phase {}", step.phase);
                findings.push(
                    Finding::error(at, message)
                        .help("it is chosen in `split`: ask for it in later phases"),
                );
            } else if policy.variants.is_empty() && policy.kind == Kind::Tenant {
                let message = "`variant` is always empty: the policy has no [[variant]]";
                findings.push(Finding::error(at, message));
            }
        }
        Ok(_) => {}
    }
}

fn files(step: &Step, at: &Path, facts: &Facts, findings: &mut Vec<Finding>) {
    for (index, file) in step.data.iter().enumerate() {
        let at = at.key("data").index(index);
        let inside = !file.is_empty()
            && !file.starts_with('/')
            && !file.contains(['\\', '\0'])
            && file.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !inside || RESERVED_FILES.contains(&file.as_str()) {
            findings.push(Finding::error(
                at,
                "not a data file: write a path within the bundle",
            ));
        } else if let Some(files) = &facts.files
            && !files.contains(file)
        {
            findings.push(unknown("file", file, files.iter().map(String::as_str), at));
        }
    }
    let reads = |grant: &String| matches!(grant.as_str(), "data" | "embedding");
    if !step.data.is_empty() && !step.grants.iter().any(reads) {
        let message = "the step names files and may not read them";
        findings.push(Finding::error(at.key("data"), message).help("add grants = [\"data\"]"));
    }
}

fn limits(step: &Step, at: &Path, findings: &mut Vec<Finding>) {
    let at = at.key("limits");
    let asked = [
        ("fuel", step.limits.fuel, FUEL_MAX),
        (
            "memory-mib",
            step.limits.memory_mib.map(u64::from),
            u64::from(MEMORY_MIB_MAX),
        ),
        (
            "epoch-ms",
            step.limits.epoch_ms.map(u64::from),
            u64::from(EPOCH_MS_MAX),
        ),
    ];
    for (key, asked, max) in asked {
        if let Some(asked) = asked.filter(|asked| *asked > max) {
            findings.push(Finding::error(
                at.key(key),
                format!("{asked} is more than a step may ask for ({max})"),
            ));
        }
    }
}
