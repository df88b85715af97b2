//! Predicts whether the strong model is needed, and sends the rest to the weak one.
//!
//! The model is a data file of `pointsman train routing`, or the one that comes with the plugin. It reads the newest
//! message alone and sums a weight for each word, pair of words and trait of its form. Promises: the same text gets the
//! same score on every machine; where no text is to be read the strong targets are asked.
#![forbid(unsafe_code)]

use pointsman_learn::{Model, TEXT_BYTES_MAX};
use pointsman_route::{EXPECTED_OUTPUT_TOKENS, Fit, Reads, Terms, plan};
use pointsman_sdk::{Plan, Plugin, PluginError, Pool, Reason, Router, View, host};
use serde::Deserialize;

/// Trained on RouteLLM's labels of MMLU and GSM8K: see the README.
const SHIPPED: &[u8] = include_bytes!("../model.bin");
/// Targets on either side.
const TARGETS_MAX: usize = 64;
/// What of the strong model's quality shall be kept where the operator says nothing.
const QUALITY: f64 = 0.95;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Targets for what needs them, in the order of trying.
    strong: Vec<String>,
    /// Targets for the rest.
    weak: Vec<String>,
    /// A data file of the bundle that the step names.
    model: Option<String>,
    /// Probability of being needed from which on the strong ones are asked.
    threshold: Option<f64>,
    /// Share of calls to the strong ones.
    strong_share: Option<f64>,
    /// Part of the strong model's quality that is kept.
    quality: Option<f64>,
    /// Capabilities that every target needs.
    #[serde(default)]
    require: Vec<String>,
}

/// The configured router.
#[derive(Debug)]
pub struct RouteLearned {
    model: Model,
    /// The least score that is sent to the strong targets.
    least: f64,
    strong: Vec<String>,
    weak: Vec<String>,
    terms: Terms,
}

impl Plugin for RouteLearned {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
    const IMPORTS: &'static [&'static str] = &["data"];

    fn configure(config: Config) -> Result<Self, String> {
        check("strong", &config.strong, &[])?;
        check("weak", &config.weak, &config.strong)?;
        let model = match &config.model {
            None => Model::parse(SHIPPED).map_err(|error| error.to_string())?,
            Some(name) => {
                let bytes = host::data(name).ok_or_else(|| {
                    format!("model: there is no data file `{name}`; name it in the step's `data`")
                })?;
                Model::parse(&bytes).map_err(|error| format!("model: {name}: {error}"))?
            }
        };
        let least = least(&config, &model)?;
        Ok(Self {
            model,
            least,
            strong: config.strong,
            weak: config.weak,
            terms: Terms::new(EXPECTED_OUTPUT_TOKENS, config.require)?,
        })
    }
}

impl Router for RouteLearned {
    fn route(&self, request: &dyn View, pool: &dyn Pool) -> Result<Plan, PluginError> {
        let bytes_max = u32::try_from(TEXT_BYTES_MAX).unwrap_or(u32::MAX);
        let text = request.recent_text(1, bytes_max);
        let score = (!text.trim().is_empty()).then(|| self.model.score(&text));
        let needed = score.is_none_or(|score| score >= self.least);
        let (first, second) = if needed {
            (&self.strong, &self.weak)
        } else {
            (&self.weak, &self.strong)
        };
        let fit = Fit::of(request, pool, &self.terms, Reads::default());
        let healthy = |target: &String| {
            let found = fit.candidates.iter().find(|known| known.name == *target);
            found.map(|candidate| candidate.healthy)
        };
        let mut targets: Vec<(&String, bool)> = first
            .iter()
            .chain(second)
            .filter_map(|target| Some((target, healthy(target)?)))
            .collect();
        // Stable: within the healthy and the unhealthy the order stays.
        targets.sort_by_key(|(_, healthy)| !healthy);
        let code = match (targets.first(), score) {
            (None, _) => return Ok(fit.abstain()),
            (Some((_, false)), _) => "unhealthy",
            // The other side stands in, whatever the score.
            (Some((target, _)), _) if !first.contains(target) => "stand-in",
            (_, None) => "no-text",
            _ if needed => "strong",
            _ => "weak",
        };
        let mut reason = Reason::new(code, fit.misfits.to_string());
        if let Some(score) = score {
            reason = reason.with("needed", rounded(Model::probability(score)));
        }
        let targets = targets.into_iter().map(|(target, _)| target.clone());
        Ok(plan(targets, reason))
    }
}

/// The least score of what goes to the strong targets.
fn least(config: &Config, model: &Model) -> Result<f64, String> {
    let within = |key: &str, value: Option<f64>| match value {
        Some(value) if !(0.0..=1.0).contains(&value) => Err(format!("{key}: write 0 to 1")),
        _ => Ok(value),
    };
    let threshold = within("threshold", config.threshold)?;
    let share = within("strong-share", config.strong_share)?;
    let quality = within("quality", config.quality)?;
    match (threshold, share, quality) {
        (Some(threshold), None, None) => Ok(Model::score_of(threshold)),
        (None, Some(share), None) => Ok(model.score_of_share(share)),
        (None, None, quality) => {
            let share = model.share_of_quality(quality.unwrap_or(QUALITY));
            Ok(model.score_of_share(share))
        }
        _ => Err("threshold, strong-share, quality: write one of them".to_owned()),
    }
}

fn check(key: &str, targets: &[String], others: &[String]) -> Result<(), String> {
    if targets.is_empty() || targets.len() > TARGETS_MAX {
        return Err(format!("{key}: name 1 to {TARGETS_MAX} targets"));
    }
    for (index, target) in targets.iter().enumerate() {
        if targets[..index].contains(target) || others.contains(target) {
            return Err(format!("{key}: `{target}` is named twice"));
        }
    }
    Ok(())
}

/// To what is worth recording.
fn rounded(probability: f64) -> f64 {
    (probability * 1000.0).round() / 1000.0
}

pointsman_sdk::export_plugin!(RouteLearned: router);

#[cfg(test)]
mod tests;
