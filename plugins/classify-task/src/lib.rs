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
    tasks: Tasks,
    languages: Languages,
    effort: complexity::Effort,
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
        let plugin = Self {
            bytes_max: config.bytes_max,
            tasks: Tasks::new(&config.tasks)?,
            languages: Languages::new(),
            effort: complexity::Effort::new()?,
        };
        plugin.warm();
        Ok(plugin)
    }
}

impl Classifier for ClassifyTask {
    fn classify(&self, request: &dyn View) -> Result<Vec<Label>, PluginError> {
        let messages = request.message_count();
        let newest = request.recent_text(1, self.bytes_max);
        // A last message without text is a tool's result or a picture: what came before says what it is about.
        let context = if messages > 1 {
            request.recent_text(CONTEXT_MESSAGES, self.bytes_max)
        } else {
            String::new()
        };
        let earlier = context.strip_suffix(newest.as_str()).unwrap_or(&context);
        let (newest, earlier) = if newest.trim().is_empty() {
            (earlier, "")
        } else {
            (newest.as_str(), earlier)
        };
        let structure = Structure {
            messages,
            tools: request.tool_names().len(),
            format: request.text("response-format"),
            input_tokens: request.integer("input-tokens-estimate").unwrap_or(0),
        };
        Ok(self.labels(newest, earlier, &structure))
    }
}

impl ClassifyTask {
    fn labels(&self, newest: &str, earlier: &str, structure: &Structure) -> Vec<Label> {
        let newest = window::ends(newest).to_lowercase();
        let earlier = window::ends(earlier).to_lowercase();
        let task = self.tasks.find(&newest, &earlier, structure);
        let language = self.languages.find(&newest, &earlier);
        let complexity = self.effort.find(&newest, &task.name, structure);
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
            self.labels(text, text, &structure);
        }
    }
}

pointsman_sdk::export_plugin!(ClassifyTask: classifier);

#[cfg(test)]
mod tests;
