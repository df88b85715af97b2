//! From a checked bundle to a policy that runs: steps prepared, targets resolved, prices looked up.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use pointsman_domain::Digest;
use pointsman_plugin::{Import, Instances, PriceBook, StepLimits, StepSpec};
use pointsman_policy::compose::{EffectiveStep, Owner};
use pointsman_policy::digest;
use pointsman_policy::policy::{
    self, Embedding, Execute, OnFault, OnUnpriced, Phase, Policy, Scope, Step, Target,
};
use pointsman_policy::validate::EMBEDDED_FILES_MAX;
use pointsman_policy::when::When;
use pointsman_traffic::attempts::{ExecuteSettings, RetryOn};
use serde_json::Value as Json;

use super::{Folder, World};
use crate::meters::{Draws, Scopes};
use crate::snapshot::{EmbeddingLive, FileText, LiveStep, PolicyLive, TargetLive};

impl World<'_> {
    /// Makes a checked bundle ready. What only preparing can find, such as a pattern that a plugin refuses, is refused
    /// here, with the step.
    pub(crate) fn live(
        &self,
        folder: &Folder,
        floor: Option<&Folder>,
        digest: Digest,
        version: u64,
    ) -> anyhow::Result<PolicyLive> {
        let effective = Self::effective(folder, floor);
        let mut phases: [Vec<LiveStep>; Phase::COUNT] = Default::default();
        for step in effective.all_steps() {
            let home = match (step.owner, floor) {
                (Owner::Floor, Some(floor)) => floor,
                (Owner::Floor | Owner::Tenant, _) => folder,
            };
            let embedding = effective.policy.embedding.as_ref();
            phases[step.step.phase as usize].push(self.step(step, home, embedding)?);
        }
        let policy = &effective.policy;
        let targets: Vec<TargetLive> = policy
            .targets
            .iter()
            .map(|target| self.resolve(&policy.name, target))
            .collect::<anyhow::Result<_>>()?;
        Ok(PolicyLive {
            name: policy.name.clone(),
            version,
            digest,
            prices_digest: self.prices.as_ref().map(|prices| prices.digest()),
            price_book: Arc::new(self.price_book(policy)),
            models: models(policy),
            model_names: policy
                .models
                .iter()
                .map(|model| model.name.clone())
                .collect(),
            targets,
            embedding: embedding(policy),
            variants: policy
                .variants
                .iter()
                .map(|variant| variant.name.clone())
                .collect(),
            default_plan: policy.execute.default_plan.clone(),
            execute: settings(&policy.execute)?,
            cache: policy.cache,
            audit: policy.audit.clone(),
            scopes: scopes(policy),
            phases: Arc::new(phases),
        })
    }

    fn step(
        &self,
        effective: &EffectiveStep,
        home: &Folder,
        embedding: Option<&Embedding>,
    ) -> anyhow::Result<LiveStep> {
        let step = &effective.step;
        let place = || format!("{}: step `{}`", home.file, step.id);
        let stand_in = self.stand_in.as_ref();
        let stand_in = stand_in.filter(|other| other.step == effective.id);
        let plugin = match stand_in {
            Some(other) => Arc::clone(&other.plugin),
            None => self.plugin(home, &step.plugin).with_context(place)?,
        };
        let when = step
            .when
            .as_deref()
            .map(When::compile)
            .transpose()
            .with_context(place)?;
        let data = step.data.iter().map(|name| {
            let bytes = home
                .files
                .get(name)
                .with_context(|| format!("data file `{name}` is not in the bundle"))?;
            Ok((name.clone(), bytes.clone()))
        });
        let defaults = plugin.info().defaults;
        let spec = StepSpec {
            id: effective.id.clone(),
            plugin,
            role: step.phase.role(),
            config: stand_in
                .and_then(|other| other.config.clone())
                .unwrap_or_else(|| Json::Object(step.config.clone())),
            data: data.collect::<anyhow::Result<_>>().with_context(place)?,
            grants: stand_in.map_or_else(
                || step.grants.clone(),
                |other| other.plugin.info().imports.clone(),
            ),
            secrets: self.house.secrets(),
            instances: match step.instances {
                None => defaults.instances,
                Some(policy::Instances::Fresh) => Instances::Fresh,
                Some(policy::Instances::Pooled) => Instances::Pooled,
            },
            limits: limits(step, defaults.limits),
        };
        let prepared = self.runtime.prepare(spec).with_context(place)?;
        Ok(LiveStep {
            id: effective.id.clone(),
            phase: step.phase,
            plugin: prepared.plugin().to_owned(),
            digest: prepared.digest(),
            on_fault: step.on_fault(),
            required: step.required,
            when,
            embeds: embedding
                .filter(|_| prepared.calls(Import::Embedding))
                .map(|embedding| texts(step, home, embedding)),
            step: prepared,
        })
    }

    fn resolve(&self, policy: &str, target: &Target) -> anyhow::Result<TargetLive> {
        let endpoint = target.endpoint.trim_end_matches('/');
        let credential = target.credential.as_deref();
        Ok(TargetLive {
            name: target.name.clone(),
            endpoint: endpoint
                .parse()
                .with_context(|| format!("target `{}`: endpoint is no URL", target.name))?,
            model: target.model.clone(),
            credential: credential.and_then(|name| self.house.credential(name)),
            capabilities: target.capabilities.clone(),
            context_tokens: target.context_tokens,
            max_output_tokens: target.max_output_tokens,
            quality: target.quality,
            region: target.region.clone(),
            stream_usage: target.stream_usage,
            health: self.house.health(policy, target),
        })
    }

    /// The same policy under the prices of this world.
    pub(crate) fn repriced(&self, live: &PolicyLive, policy: &Policy) -> PolicyLive {
        PolicyLive {
            prices_digest: self.prices.as_ref().map(|prices| prices.digest()),
            price_book: Arc::new(self.price_book(policy)),
            ..live.clone()
        }
    }

    /// Rates by target, and by target and service tier as `target@batch`; what has no price is not there, which plugins
    /// see as unpriced.
    fn price_book(&self, policy: &Policy) -> PriceBook {
        let Some(catalogue) = &self.prices else {
            return PriceBook::default();
        };
        let mut book = PriceBook::default();
        for target in &policy.targets {
            let Some(key) = target.price.as_deref() else {
                continue;
            };
            if let Some(rates) = catalogue.rates(key) {
                book.insert(target.name.clone(), rates.to_vec());
            }
            for (tier, rates) in catalogue.services(key) {
                // No target is named so.
                book.insert(format!("{}@{tier}", target.name), rates.to_vec());
            }
        }
        book
    }
}

fn limits(step: &Step, usual: StepLimits) -> StepLimits {
    let written = &step.limits;
    StepLimits {
        fuel: written.fuel.unwrap_or(usual.fuel),
        memory_mib: written.memory_mib.unwrap_or(usual.memory_mib),
        epoch_ms: written.epoch_ms.unwrap_or(usual.epoch_ms),
        // A guard that is skipped where it fails must not be skipped where somebody makes it fail.
        faults_max: if step.phase.is_guard() && step.on_fault() == OnFault::Skip {
            0
        } else {
            written.faults_max.unwrap_or(usual.faults_max)
        },
        faults_within_ms: written.faults_within_ms.unwrap_or(usual.faults_within_ms),
        trip_ms: written.trip_ms.unwrap_or(usual.trip_ms),
        ..usual
    }
}

fn embedding(policy: &Policy) -> Option<EmbeddingLive> {
    let embedding = policy.embedding.as_ref()?;
    let mut targets = policy.targets.iter();
    Some(EmbeddingLive {
        target: targets.position(|target| target.name == embedding.target)?,
        timeout_ms: embedding.timeout_ms,
        text_bytes_max: embedding.text_bytes_max,
        dimensions_max: embedding.dimensions_max as usize,
    })
}

/// A step's files whose vectors it may ask for: those that are text, and no longer than is embedded.
fn texts(step: &Step, home: &Folder, embedding: &Embedding) -> Vec<FileText> {
    let names = step.data.iter().take(EMBEDDED_FILES_MAX);
    let text = |name: &String| {
        let bytes = home.files.get(name)?;
        let text = std::str::from_utf8(bytes).ok()?;
        (1..=embedding.text_bytes_max as usize)
            .contains(&text.len())
            .then(|| FileText {
                name: name.clone(),
                text: text.to_owned(),
                digest: digest::bytes(bytes),
            })
    };
    names.filter_map(text).collect()
}

fn models(policy: &Policy) -> BTreeMap<String, Vec<usize>> {
    let index = |name: &String| {
        policy
            .targets
            .iter()
            .position(|target| target.name == *name)
    };
    let model = |model: &policy::Model| {
        (
            model.name.clone(),
            model.targets.iter().filter_map(index).collect(),
        )
    };
    policy.models.iter().map(model).collect()
}

fn scopes(policy: &Policy) -> Scopes {
    let draws = |scopes: Option<&[Scope]>| {
        scopes.map_or_else(Draws::default, |scopes| Draws {
            key: scopes.contains(&Scope::Key),
            tenant: scopes.contains(&Scope::Tenant),
        })
    };
    let limits = policy.limits.as_ref().map(|limits| &limits.scopes[..]);
    Scopes {
        limits: draws(limits),
        budget: draws(policy.budget.scope.as_ref().map(std::slice::from_ref)),
        deny_unpriced: policy.budget.on_unpriced == OnUnpriced::Deny,
    }
}

fn settings(execute: &Execute) -> anyhow::Result<ExecuteSettings> {
    Ok(ExecuteSettings {
        attempts_max: execute.attempts_max,
        deadline_ms: execute.deadline_ms,
        connect_timeout_ms: execute.connect_timeout_ms,
        first_token_timeout_ms: execute.first_token_timeout_ms,
        idle_timeout_ms: execute.idle_timeout_ms,
        retry_on: RetryOn::new(execute.retry_on.iter().map(String::as_str))
            .context("execute.retry-on")?,
        retries: execute.retries,
        backoff_ms: execute.backoff_ms,
        backoff_ms_max: execute.backoff_ms_max,
    })
}
