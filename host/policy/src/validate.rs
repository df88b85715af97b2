//! Checks a policy against itself, its floor and what the node has: everything that would fail a request later is
//! found here, with its path and what to do.
//!
//! Promises: findings in the order of the document; none of kind error means that the policy can be activated as far
//! as data can tell. Refuses to know: what plugins do; their own `configure` and the bundle's cases say that.

mod configs;
mod embedding;
mod secrets;
mod steps;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::finding::{Finding, Path};
use crate::installed::{Installed, PluginFact};
use crate::lock::Lock;
use crate::nearest::did_you_mean;
use crate::policy::{Kind, Policy};

/// Steps of a policy.
pub const STEPS_MAX: usize = 64;
/// Targets of a policy.
pub const TARGETS_MAX: usize = 256;
/// Models of a policy.
pub const MODELS_MAX: usize = 1024;
/// Variants of a policy.
pub const VARIANTS_MAX: usize = 64;
/// Bytes of a name or id.
pub const NAME_BYTES_MAX: usize = 64;
/// MiB of memory that a step may ask for.
pub const MEMORY_MIB_MAX: u32 = 512;
/// Milliseconds that a step may ask for.
pub const EPOCH_MS_MAX: u32 = 5_000;
/// Data files of a step that is granted `embedding`: it needs a vector of each.
pub const EMBEDDED_FILES_MAX: usize = 32;
/// Fuel that a step may ask for: some seconds of a tight loop.
pub const FUEL_MAX: u64 = 10_000_000_000;

/// A credential as targets may name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFact {
    /// Its name.
    pub name: String,
    /// The origins that it may be sent to.
    pub origins: Vec<String>,
}

/// What the node has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Installed plugins.
    pub plugins: Vec<PluginFact>,
    /// Configured credentials.
    pub credentials: Vec<CredentialFact>,
    /// The names of configured secrets.
    pub secrets: BTreeSet<String>,
    /// The keys of the price catalogue; none where there is no catalogue.
    pub prices: Option<BTreeSet<String>>,
    /// The bundle's files by name, without `policy.toml`; none where they are not known.
    pub files: Option<BTreeSet<String>>,
    /// The bundle's lock, where it has one.
    pub lock: Option<Lock>,
}

impl Facts {
    /// The installed plugins through the bundle's lock: what each reference means.
    #[must_use]
    pub fn installed(&self) -> Installed<'_> {
        Installed::new(&self.plugins, self.lock.as_ref())
    }
}

/// All that is wrong with a policy. `floor` is the floor in force, for a tenant's policy.
#[must_use]
pub fn check(policy: &Policy, floor: Option<&Policy>, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    head(policy, floor, &mut findings);
    targets::models(policy, &mut findings);
    targets::targets(policy, facts, &mut findings);
    variants(policy, &mut findings);
    steps::steps(policy, facts, &mut findings);
    embedding::check(policy, &mut findings);
    targets::execute(policy, &mut findings);
    if let Some(lock) = &facts.lock {
        // What a lock breaks is found where the step is resolved; here, what it does not know.
        findings.extend(
            lock.check(policy, &facts.plugins)
                .into_iter()
                .filter(|finding| !finding.is_error()),
        );
    }
    findings
}

fn head(policy: &Policy, floor: Option<&Policy>, findings: &mut Vec<Finding>) {
    name(&policy.name, &Path::of("name"), "policy name", findings);
    if let Some(version) = &policy.version
        && !is_label(version)
    {
        findings.push(Finding::error(
            Path::of("version"),
            "not a version label: write one such as `1.2.3`",
        ));
    }
    match policy.kind {
        Kind::Floor => floor_alone(policy, findings),
        Kind::Tenant => {
            if policy.models.is_empty() {
                let message = "no model is offered, so that every request would be refused";
                findings.push(
                    Finding::error(Path::of("model"), message)
                        .help("add a [[model]] with its targets"),
                );
            }
            floors_agree(policy, floor, findings);
            floor_captures_less(policy, floor, findings);
        }
    }
}

/// A floor has steps, limits and audit settings; all else is the tenant's.
fn floor_alone(policy: &Policy, findings: &mut Vec<Finding>) {
    let foreign = [
        ("floor", policy.floor.is_some()),
        ("model", !policy.models.is_empty()),
        ("target", !policy.targets.is_empty()),
        ("variant", !policy.variants.is_empty()),
        (
            "execute",
            policy.execute != crate::policy::Execute::default(),
        ),
        ("cache", policy.cache != crate::policy::Cache::default()),
        ("embedding", policy.embedding.is_some()),
        ("budget", policy.budget != crate::policy::Budget::default()),
    ];
    for (key, there) in foreign {
        if there {
            let message =
                format!("a floor has no `{key}`: it holds steps, limits and audit settings alone");
            findings.push(
                Finding::error(Path::of(key), message).help("move it to the tenants' policies"),
            );
        }
    }
}

fn floors_agree(policy: &Policy, floor: Option<&Policy>, findings: &mut Vec<Finding>) {
    let at = Path::of("floor");
    match (&policy.floor, floor) {
        (Some(wanted), Some(floor)) if *wanted != floor.name => {
            let message = format!(
                "written for the floor `{wanted}`, and `{}` is in force",
                floor.name
            );
            findings.push(
                Finding::warning(at, message)
                    .help("check it against the floor in force and name that"),
            );
        }
        (Some(wanted), None) => {
            let message = format!("written for the floor `{wanted}`, and no floor is in force");
            findings.push(
                Finding::warning(at, message)
                    .help("set `floor` in pointsman.toml, or remove it here"),
            );
        }
        _ => {}
    }
}

fn floor_captures_less(policy: &Policy, floor: Option<&Policy>, findings: &mut Vec<Finding>) {
    let Some(floor) = floor else { return };
    let (asked, held) = (policy.audit.capture(), policy.audit.under(&floor.audit));
    if asked > held.capture() {
        let at = Path::of("audit").key("capture");
        let message = format!(
            "the floor `{}` lets no more than `{}` be captured, and so it is, not `{asked}`",
            floor.name,
            held.capture()
        );
        let help = "write what the floor allows, or ask whoever keeps the floor";
        findings.push(Finding::warning(at, message).help(help));
    }
}

fn variants(policy: &Policy, findings: &mut Vec<Finding>) {
    let at = Path::of("variant");
    let names: Vec<_> = policy
        .variants
        .iter()
        .map(|variant| variant.name.as_str())
        .collect();
    unique(&names, &at, "name", "variant", findings);
    bounded(names.len(), VARIANTS_MAX, &at, "variants", findings);
    for (index, variant) in names.iter().enumerate() {
        name(
            variant,
            &at.index(index).key("name"),
            "variant name",
            findings,
        );
    }
}

/// Lower-case letters, digits and hyphens: what can stand in ids, metrics and file names.
fn name(text: &str, at: &Path, what: &str, findings: &mut Vec<Finding>) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(plain) {
        let message = format!(
            "not a {what}: write up to {NAME_BYTES_MAX} lower-case letters, digits and hyphens"
        );
        findings.push(Finding::error(at.clone(), message));
    }
}

/// `1.2.3`, with `-pre` and `+build` where it has them.
fn is_label(version: &str) -> bool {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| {
        !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let rest = &version[numbers.len()..];
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && rest.len() <= 64
        && rest.chars().all(plain)
}

fn unique(names: &[&str], at: &Path, key: &str, what: &str, findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        if !seen.insert(*name) {
            findings.push(Finding::error(
                at.index(index).key(key),
                format!("{what} `{name}` is there twice"),
            ));
        }
    }
}

fn bounded(count: usize, max: usize, at: &Path, what: &str, findings: &mut Vec<Finding>) {
    if count > max {
        findings.push(Finding::error(
            at.clone(),
            format!("{count} {what} are more than a policy may have ({max})"),
        ));
    }
}

/// An unknown name with its nearest, or all there are.
fn unknown<'a>(
    what: &str,
    word: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    at: Path,
) -> Finding {
    let help = did_you_mean(word, known.clone()).or_else(|| {
        let known: Vec<_> = known.take(16).collect();
        (!known.is_empty()).then(|| format!("there are: {}", known.join(", ")))
    });
    Finding::error(at, format!("unknown {what} `{word}`")).maybe_help(help)
}
