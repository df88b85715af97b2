//! From a rule to a plan: the draw by weight, fallbacks, and what health does to the order.

use pointsman_sdk::{Attempt, Attribute, Pool, View};

use crate::condition::Condition;
use crate::config::{RuleConfig, TargetConfig};

/// Attempts of one plan; the gateway takes no more.
const ATTEMPTS_MAX: usize = 16;
/// Retries of one attempt that a rule may ask for.
const RETRIES_MAX: u32 = 10;

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    /// `rule.<name or index>`: the reason's code, and the salt of the draw.
    pub(crate) code: String,
    pub(crate) condition: Condition,
    to: Targets,
    fallback: Vec<String>,
    /// Of every attempt.
    attributes: Vec<Attribute>,
    /// What the provider is asked for in place of the target's own model; not of fallbacks, which know other models.
    model: Option<String>,
}

/// Targets in the order of trying, or to draw the first of.
#[derive(Debug)]
pub(crate) struct Targets {
    /// `(target, weight)`; without a weight the order is as written.
    targets: Vec<(String, Option<u32>)>,
}

/// The candidates and whether they are healthy.
#[derive(Debug)]
pub(crate) struct Candidates(Vec<(String, bool)>);

impl Rule {
    /// Checks what the operator wrote. The error begins with the key that is wrong.
    pub(crate) fn new(config: RuleConfig, index: usize) -> Result<Self, String> {
        let name = match config.name {
            Some(name) if !is_name(&name) => {
                return Err("name: use lower-case letters, digits and hyphens".to_owned());
            }
            Some(name) => name,
            None => index.to_string(),
        };
        let mut attributes = Vec::new();
        for (key, value) in [
            ("timeout-ms", config.timeout_ms),
            ("first-token-timeout-ms", config.first_token_timeout_ms),
        ] {
            if value == Some(0) {
                return Err(format!("{key}: must be above 0"));
            }
            attributes.extend(value.map(|value| Attribute::new(key, i64::from(value))));
        }
        if let Some(retries) = config.retries {
            if retries > RETRIES_MAX {
                return Err(format!("retries: at most {RETRIES_MAX}"));
            }
            attributes.push(Attribute::new("retries", i64::from(retries)));
        }
        if config.model.as_deref() == Some("") {
            return Err("model: must not be empty".to_owned());
        }
        Ok(Self {
            code: format!("rule.{name}"),
            condition: Condition::new(config.r#if)?,
            to: Targets::new(config.to, "to")?,
            fallback: config.fallback,
            attributes,
            model: config.model,
        })
    }

    /// The plan's attempts; none where no target of the rule is a candidate.
    pub(crate) fn attempts(&self, request: &dyn View, candidates: &Candidates) -> Vec<Attempt> {
        let first = self.to.ordered(request, &self.code, candidates);
        let fallback = self.fallback.iter().map(String::as_str);
        let mut attempts = candidates.plan(first.into_iter().chain(fallback));
        for attempt in &mut attempts {
            attempt.attributes.extend(self.attributes.iter().cloned());
            let own = self.to.contains(&attempt.target);
            let model = self.model.iter().filter(|_| own);
            attempt
                .attributes
                .extend(model.map(|model| Attribute::new("model", model.as_str())));
        }
        attempts
    }
}

impl Targets {
    /// Checks what the operator wrote under `key`.
    pub(crate) fn new(config: Vec<TargetConfig>, key: &str) -> Result<Self, String> {
        let targets: Vec<(String, Option<u32>)> = config
            .into_iter()
            .map(|target| match target {
                TargetConfig::Name(name) => (name, None),
                TargetConfig::Weighted(weighted) => (weighted.target, Some(weighted.weight)),
            })
            .collect();
        if targets.is_empty() {
            return Err(format!("{key}: at least one target is needed"));
        }
        for (index, (target, _)) in targets.iter().enumerate() {
            if targets[..index].iter().any(|(known, _)| known == target) {
                return Err(format!("{key}: `{target}` is named twice"));
            }
        }
        let weighted = targets
            .iter()
            .filter(|(_, weight)| weight.is_some())
            .count();
        if weighted != 0 && weighted != targets.len() {
            return Err(format!(
                "{key}: either every target has a weight or none has; without weights the order counts"
            ));
        }
        if weighted != 0 && targets.iter().all(|(_, weight)| *weight == Some(0)) {
            return Err(format!("{key}: at least one target needs a weight above 0"));
        }
        Ok(Self { targets })
    }

    /// The candidates among them in the order of trying: the drawn one, then the rest as written.
    pub(crate) fn ordered(
        &self,
        request: &dyn View,
        salt: &str,
        candidates: &Candidates,
    ) -> Vec<&str> {
        let mut present: Vec<(&str, u64)> = self
            .targets
            .iter()
            .filter(|(target, _)| candidates.contains(target))
            .map(|(target, weight)| (target.as_str(), weight.map_or(0, u64::from)))
            .collect();
        let total: u64 = present.iter().map(|(_, weight)| weight).sum();
        if total > 0 {
            let conversation = request.text("conversation").unwrap_or_default();
            let mut point = scale(hash(salt, &conversation), total);
            let drawn = present.iter().position(|(_, weight)| {
                let hit = point < *weight;
                point = point.saturating_sub(*weight);
                hit
            });
            // Moved to the front; the others keep the order in which they are written.
            present[..=drawn.unwrap_or(0)].rotate_right(1);
        }
        present.into_iter().map(|(target, _)| target).collect()
    }

    fn contains(&self, target: &str) -> bool {
        self.targets.iter().any(|(known, _)| known == target)
    }
}

impl Candidates {
    pub(crate) fn read(pool: &dyn Pool) -> Self {
        let healthy = pool.flags("healthy");
        // What is not known to be ill is healthy.
        let healthy = healthy.into_iter().map(|healthy| healthy != Some(false));
        Self(pool.names().into_iter().zip(healthy).collect())
    }

    fn contains(&self, target: &str) -> bool {
        self.0.iter().any(|(name, _)| name == target)
    }

    /// Attempts in this order, each target once, strangers skipped, the unhealthy at the end, at most 16.
    pub(crate) fn plan<'a>(&self, targets: impl IntoIterator<Item = &'a str>) -> Vec<Attempt> {
        let mut seen: Vec<(&str, bool)> = Vec::new();
        for target in targets {
            let known = self.0.iter().find(|(name, _)| name == target);
            if let Some((_, healthy)) = known
                && !seen.iter().any(|(name, _)| *name == target)
            {
                seen.push((target, *healthy));
            }
        }
        // Stable: within the healthy and the unhealthy the order stays.
        seen.sort_by_key(|(_, healthy)| !healthy);
        seen.into_iter()
            .take(ATTEMPTS_MAX)
            .map(|(target, _)| Attempt::new(target))
            .collect()
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(plain)
}

/// FNV-1a over both, then mixed so that every bit of it counts: conversations that differ little draw independently.
fn hash(salt: &str, conversation: &str) -> u64 {
    let bytes = salt.bytes().chain([0]).chain(conversation.bytes());
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

/// Maps the hash evenly to `0..total`.
fn scale(hash: u64, total: u64) -> u64 {
    let product = u128::from(hash) * u128::from(total);
    u64::try_from(product >> 64).unwrap_or(0)
}
