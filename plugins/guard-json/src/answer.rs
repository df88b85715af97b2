//! Answers: the text of a choice is held whole, judged when it ends, and passes, is repaired, or is cut.

use std::collections::{BTreeMap, BTreeSet};

use pointsman_sdk::{
    Action, Attribute, Channel, Delta, GuardStream, Label, PluginError, Reason, offset,
};

use crate::repair::repaired;
use crate::schema::{Broken, Schema};
use crate::{Otherwise, Settings};

/// Every kind of channel is let through; `text` is judged.
pub(crate) const CHANNEL_KINDS: &[&str] = &[
    "text",
    "reasoning",
    "refusal",
    "tool-name",
    "tool-argument",
    "citation",
    "transcript",
];

/// The guard of one attempt's answer.
#[derive(Debug)]
pub struct Stream {
    settings: &'static Settings,
    /// Text that is held, by channel; other channels are not in here.
    held: BTreeMap<u32, (u32, String)>,
    others: BTreeSet<u32>,
    /// Choices that call tools or refuse: without a text they are whole.
    excused: BTreeSet<u32>,
    cut: BTreeSet<u32>,
}

/// What a text came to.
enum Verdict {
    Satisfies,
    Repaired(String),
    Invalid,
    Breaks(Broken),
}

fn judge(schema: &Schema, text: &str, may_repair: bool) -> Verdict {
    let (mended, value) = match serde_json::from_str(text) {
        Ok(value) => (None, value),
        Err(_) => match may_repair.then(|| repaired(text)).flatten() {
            Some((mended, value)) => (Some(mended), value),
            None => return Verdict::Invalid,
        },
    };
    match (schema.broken(&value), mended) {
        (Some(broken), _) => Verdict::Breaks(broken),
        (None, Some(mended)) => Verdict::Repaired(mended),
        (None, None) => Verdict::Satisfies,
    }
}

impl Stream {
    pub(crate) const fn new(settings: &'static Settings) -> Self {
        Self {
            settings,
            held: BTreeMap::new(),
            others: BTreeSet::new(),
            excused: BTreeSet::new(),
            cut: BTreeSet::new(),
        }
    }

    fn resolve(&mut self, channel: u32) -> Vec<Action> {
        let Some((choice, text)) = self.held.remove(&channel) else {
            return Vec::new();
        };
        if self.cut.contains(&choice) {
            return Vec::new();
        }
        let bytes = offset(text.len());
        let pass = |bytes| (bytes > 0).then(|| Action::pass(channel, bytes));
        if text.trim().is_empty() && self.excused.contains(&choice) {
            return pass(bytes).into_iter().collect();
        }
        let (code, detail) = match judge(&self.settings.schema, &text, self.settings.repair) {
            Verdict::Satisfies => {
                return pass(bytes).into_iter().chain([note("satisfies")]).collect();
            }
            Verdict::Repaired(mended) => {
                return vec![Action::replace(channel, bytes, mended), note("repaired")];
            }
            Verdict::Invalid => ("invalid", "the answer is no JSON".to_owned()),
            Verdict::Breaks(broken) => (
                "schema",
                format!(
                    "the answer breaks `{}` of its schema at `{}`",
                    broken.keyword, broken.path
                ),
            ),
        };
        let last = match self.settings.otherwise {
            Otherwise::Label => pass(bytes),
            Otherwise::Deny => {
                self.cut.insert(choice);
                Some(Action::cut(
                    Some(choice),
                    Reason::new(format!("json.{code}"), detail),
                ))
            }
        };
        [note(code)].into_iter().chain(last).collect()
    }
}

fn note(outcome: &str) -> Action {
    Action::Note(Label::new("json", outcome))
}

impl GuardStream for Stream {
    fn open(&mut self, id: u32, about: Channel) -> Result<(), PluginError> {
        if about.kind == "text" {
            self.held.insert(id, (about.choice, String::new()));
        } else {
            self.others.insert(id);
        }
        if matches!(
            about.kind.as_str(),
            "tool-name" | "tool-argument" | "refusal"
        ) {
            self.excused.insert(about.choice);
        }
        Ok(())
    }

    fn push(&mut self, deltas: Vec<Delta>) -> Result<Vec<Action>, PluginError> {
        let mut actions = Vec::new();
        for delta in deltas {
            if let Some((_, text)) = self.held.get_mut(&delta.channel) {
                text.push_str(&delta.text);
            } else if self.others.contains(&delta.channel) {
                actions.push(Action::pass(delta.channel, offset(delta.text.len())));
            } else {
                return Err(PluginError::InvalidInput(format!(
                    "channel {} was not opened",
                    delta.channel
                )));
            }
        }
        Ok(actions)
    }

    fn close(&mut self, channel: u32) -> Result<Vec<Action>, PluginError> {
        self.others.remove(&channel);
        Ok(self.resolve(channel))
    }

    fn expire(&mut self, channels: Vec<u32>) -> Result<Vec<Action>, PluginError> {
        // A guard that holds all is not asked; were it, half an answer would satisfy nothing.
        Ok(channels
            .into_iter()
            .flat_map(|channel| self.resolve(channel))
            .collect())
    }

    fn finish(&mut self, _outcome: Vec<Attribute>) -> Result<Vec<Action>, PluginError> {
        let open: Vec<u32> = self.held.keys().copied().collect();
        Ok(open
            .into_iter()
            .flat_map(|channel| self.resolve(channel))
            .collect())
    }
}
