//! What the caller wants done: phrases that ask for it, and marks of structure (code, formulas, numbers, questions).

mod marks;
mod table;

use std::collections::BTreeMap;

use crate::complexity::{self, Structure};
use crate::phrases::{Group, Hit, Phrases};

pub(crate) use table::{
    CHAT, CLASSIFICATION, CODE, EXTRACTION, MATH, QUESTION, SUMMARY, TRANSLATION, WRITING,
};

/// A phrase that the operator adds weighs as much as the plainest of ours.
const CUSTOM_WEIGHT: f32 = 3.0;
/// What stands within so many bytes of either end of the text asks more often than it is talked about.
const EDGE_BYTES: usize = 160;
const EDGE_FACTOR: f32 = 1.4;
/// What earlier messages asked for says a little of what this one does.
const EARLIER_FACTOR: f32 = 0.3;
/// With so much evidence in the newest text, what came before is not asked.
const EVIDENCE_STRONG: f32 = 2.5;
/// Less evidence than this is chat.
const EVIDENCE_MIN: f32 = 0.9;
/// Doubt that remains whatever the evidence: a task of evidence 3 and no rival scores 0.75.
const DOUBT: f32 = 1.0;
/// A question is a form that any task can take, so it never outweighs what plainly asks for another.
const QUESTION_MAX: f32 = 2.5;
/// Score of chat where nothing at all was found.
const CHAT_SCORE: f32 = 0.35;

/// A task and how sure that is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) score: f32,
}

/// All tasks, in the order that breaks ties.
#[derive(Debug)]
pub(crate) struct Tasks {
    names: Vec<String>,
}

/// What speaks for each task.
#[derive(Debug)]
pub(crate) struct Evidence(Vec<f32>);

impl Tasks {
    /// Ours, with the operator's in place or on top of them, and every phrase that a text is searched for.
    pub(crate) fn new(custom: &BTreeMap<String, Vec<String>>) -> Result<(Self, Phrases), String> {
        for (name, phrases) in custom {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || !name.bytes().all(plain) {
                return Err(format!(
                    "tasks: `{name}` is no task name; use lower-case letters, digits and hyphens"
                ));
            }
            let empty = |phrase: &String| phrase.trim().trim_matches('*').is_empty();
            if phrases.iter().any(empty) {
                return Err(format!("tasks.{name}: a phrase must not be empty"));
            }
        }
        let mut names: Vec<String> = table::NAMES.iter().map(|&name| name.to_owned()).collect();
        let added = custom
            .keys()
            .filter(|name| !table::NAMES.contains(&name.as_str()));
        // The operator's own tasks are the more special ones, so they win ties.
        names.splice(0..0, added.cloned());
        let group =
            |name: &str| Group::Task(names.iter().position(|known| known == name).unwrap_or(0));
        let ours = table::PHRASES
            .iter()
            .filter(|(task, ..)| !custom.contains_key(*task))
            .map(|(task, weight, phrases)| (group(task), *weight, *phrases));
        let others = marks::PHRASES.iter().chain(&complexity::PHRASES);
        let others = others.map(|(group, phrases)| (*group, 1.0, *phrases));
        let ours = ours.chain(others).flat_map(|(group, weight, phrases)| {
            phrases
                .split('|')
                .map(move |phrase| (group, weight, phrase))
        });
        let theirs = custom.iter().flat_map(|(task, phrases)| {
            let group = group(task);
            phrases
                .iter()
                .map(move |phrase| (group, CUSTOM_WEIGHT, phrase.trim()))
        });
        let phrases = Phrases::new(ours.chain(theirs))?;
        Ok((Self { names }, phrases))
    }

    /// What the newest text says: the phrases found in it, and the text itself in lower case.
    pub(crate) fn evidence(&self, found: &[Hit], text: &str, structure: &Structure) -> Evidence {
        let mut evidence = vec![0.0_f32; self.names.len()];
        let last_edge = text.len().saturating_sub(EDGE_BYTES);
        for hit in found {
            if let Group::Task(task) = hit.group {
                let edge = hit.start < EDGE_BYTES || hit.start >= last_edge;
                evidence[task] += hit.weight * if edge { EDGE_FACTOR } else { 1.0 };
            }
        }
        for (task, weight) in marks::of(found, text, structure) {
            if let Some(index) = self.names.iter().position(|name| name == task) {
                evidence[index] += weight;
            }
        }
        Evidence(evidence)
    }

    /// The task that most speaks for.
    pub(crate) fn decide(&self, evidence: Evidence) -> Task {
        let Evidence(mut evidence) = evidence;
        for (name, evidence) in self.names.iter().zip(&mut evidence) {
            if name == QUESTION {
                *evidence = evidence.min(QUESTION_MAX);
            }
        }
        let mut first = 0;
        for index in 1..evidence.len() {
            if evidence[index] > evidence[first] {
                first = index;
            }
        }
        if evidence[first] < EVIDENCE_MIN {
            return Task {
                name: CHAT.to_owned(),
                score: CHAT_SCORE,
            };
        }
        let rivals = evidence
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != first);
        let second = rivals.fold(0.0_f32, |most, (_, evidence)| most.max(*evidence));
        Task {
            name: self.names[first].clone(),
            score: evidence[first] / (evidence[first] + second + DOUBT),
        }
    }
}

impl Evidence {
    /// Whether what came before might change it.
    pub(crate) fn is_weak(&self) -> bool {
        self.0.iter().all(|evidence| *evidence < EVIDENCE_STRONG)
    }

    /// Adds what earlier messages ask for.
    pub(crate) fn add_earlier(&mut self, found: &[Hit]) {
        for hit in found {
            if let Group::Task(task) = hit.group {
                self.0[task] += hit.weight * EARLIER_FACTOR;
            }
        }
    }
}

#[cfg(test)]
mod tests;
