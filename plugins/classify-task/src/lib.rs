//! Labels a request with its task, language and complexity, from its newest text and its structure.
//!
//! Promises: the same request gets the same labels; a label's score falls with the evidence, so that a rule can ask
//! for confidence; no more than `bytes-max` bytes are read. Refuses to know: models, routes, what the labels are for.
#![forbid(unsafe_code)]

mod complexity;
mod language;
mod phrases;
mod task;
mod window;

use std::collections::BTreeMap;

use pointsman_sdk::{Classifier, Label, Plugin, PluginError, View};
use serde::Deserialize;

use complexity::Structure;
use language::Languages;
use phrases::Phrases;
use task::Tasks;

/// Least and most bytes that an operator may have read.
const BYTES: std::ops::RangeInclusive<u32> = 256..=131_072;
/// Messages that may lend context to the last one.
const CONTEXT_MESSAGES: u32 = 5;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How much of the newest text is read.
    #[serde(default = "bytes_max")]
    bytes_max: u32,
    /// Phrases of a task.
    #[serde(default)]
    tasks: BTreeMap<String, Vec<String>>,
}

const fn bytes_max() -> u32 {
    32_768
}

/// The configured classifier.
#[derive(Debug)]
pub struct ClassifyTask {
    bytes_max: u32,
    phrases: Phrases,
    tasks: Tasks,
    languages: Languages,
}

impl Plugin for ClassifyTask {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        if !BYTES.contains(&config.bytes_max) {
            return Err(format!(
                "bytes-max: {} to {} bytes",
                BYTES.start(),
                BYTES.end()
            ));
        }
        let (tasks, phrases) = Tasks::new(&config.tasks)?;
        let plugin = Self {
            bytes_max: config.bytes_max,
            phrases,
            tasks,
            languages: Languages::new(),
        };
        plugin.warm();
        Ok(plugin)
    }
}

impl Classifier for ClassifyTask {
    fn classify(&self, request: &dyn View) -> Result<Vec<Label>, PluginError> {
        let messages = request.message_count();
        let structure = Structure {
            messages,
            tools: request.tool_names().len(),
            format: request.text("response-format"),
            input_tokens: request.integer("input-tokens-estimate").unwrap_or(0),
        };
        let context = || match messages {
            0 | 1 => String::new(),
            _ => request.recent_text(CONTEXT_MESSAGES, self.bytes_max),
        };
        let newest = request.recent_text(1, self.bytes_max);
        if newest.trim().is_empty() {
            // A tool's result or a picture: what came before says what it is about.
            return Ok(self.labels(&context(), &structure, String::new));
        }
        let earlier = || {
            let mut context = context();
            if context.ends_with(newest.as_str()) {
                context.truncate(context.len() - newest.len());
            }
            context
        };
        Ok(self.labels(&newest, &structure, earlier))
    }
}

impl ClassifyTask {
    fn labels(
        &self,
        newest: &str,
        structure: &Structure,
        earlier: impl FnOnce() -> String,
    ) -> Vec<Label> {
        let newest = window::ends(newest).to_lowercase();
        let found = self.phrases.find(&newest);
        let mut evidence = self.tasks.evidence(&found, &newest, structure);
        let mut language = self.languages.of(&newest);
        if evidence.is_weak() || language.is_weak() {
            let earlier = window::ends(&earlier()).to_lowercase();
            evidence.add_earlier(&self.phrases.find(&earlier));
            if language.is_weak() {
                language = language.or_earlier(self.languages.of(&earlier));
            }
        }
        let task = self.tasks.decide(evidence);
        let complexity = complexity::of(&found, &newest, &task.name, structure);
        vec![
            Label::new("task", task.name).scored(task.score),
            Label::new("language", language.code).scored(language.score),
            Label::new("complexity", complexity.level).scored(complexity.confidence),
            Label::new("complexity-score", complexity.score).scored(complexity.confidence),
        ]
    }

    /// Every decision starts from a snapshot of this instance, so what is touched here is paged in and sized there.
    fn warm(&self) {
        let structure = Structure::default();
        for text in [
            "Write a function that sorts 3 + 4 numbers step by step:\n```\nfn f() {}\n```",
            "Bitte fasse den Text zusammen. ¿Qué es? 请总结 Кратко перескажи",
        ] {
            self.labels(text, &structure, || text.to_owned());
        }
    }
}

pointsman_sdk::export_plugin!(ClassifyTask: classifier);

#[cfg(test)]
mod tests;
