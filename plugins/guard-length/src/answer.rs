//! Answers: text is counted by choice, everything else passes.

use std::collections::BTreeMap;

use pointsman_sdk::{
    Action, Attribute, Channel, Delta, GuardStream, Label, PluginError, Reason, border_below,
    offset,
};

use crate::settings::Over;

/// Every kind of channel is let through; these are counted.
pub(crate) const CHANNEL_KINDS: &[&str] = &[
    "text",
    "reasoning",
    "refusal",
    "tool-name",
    "tool-argument",
    "citation",
    "transcript",
];
const COUNTED: &[&str] = &["text", "refusal", "transcript"];

/// The guard of one attempt's answer.
#[derive(Debug)]
pub struct Stream {
    bytes_max: Option<u64>,
    over: Over,
    /// Choice of a channel, where it is counted.
    channels: BTreeMap<u32, Option<u32>>,
    /// Bytes of a choice that were released.
    released: BTreeMap<u32, u64>,
    /// Choices at their bound.
    full: Vec<u32>,
}

impl Stream {
    pub(crate) const fn new(bytes_max: Option<u64>, over: Over) -> Self {
        Self {
            bytes_max,
            over,
            channels: BTreeMap::new(),
            released: BTreeMap::new(),
            full: Vec::new(),
        }
    }

    fn delta(&mut self, delta: &Delta, actions: &mut Vec<Action>) -> Result<(), PluginError> {
        let Some(counted) = self.channels.get(&delta.channel) else {
            return Err(PluginError::InvalidInput(format!(
                "channel {} was not opened",
                delta.channel
            )));
        };
        let (Some(choice), Some(max)) = (*counted, self.bytes_max) else {
            actions.push(Action::pass(delta.channel, offset(delta.text.len())));
            return Ok(());
        };
        let bytes = delta.text.len();
        if self.full.contains(&choice) {
            if self.over == Over::Shorten && bytes > 0 {
                actions.push(Action::replace(delta.channel, offset(bytes), ""));
            }
            return Ok(());
        }
        let released = self.released.entry(choice).or_default();
        let left = usize::try_from(max - *released).unwrap_or(usize::MAX);
        let fits = if bytes <= left {
            bytes
        } else {
            border_below(&delta.text, left)
        };
        *released += fits as u64;
        if fits > 0 {
            actions.push(Action::pass(delta.channel, offset(fits)));
        }
        if fits < bytes {
            self.full.push(choice);
            actions.push(Action::Note(Label::new("length.answer", true)));
            actions.push(match self.over {
                Over::Shorten => Action::replace(delta.channel, offset(bytes - fits), ""),
                Over::Cut => {
                    let detail = format!("the answer has more than {max} bytes of text");
                    Action::cut(Some(choice), Reason::new("length.answer", detail))
                }
            });
        }
        Ok(())
    }
}

impl GuardStream for Stream {
    fn open(&mut self, id: u32, about: Channel) -> Result<(), PluginError> {
        let counted = COUNTED
            .contains(&about.kind.as_str())
            .then_some(about.choice);
        self.channels.insert(id, counted);
        Ok(())
    }

    fn push(&mut self, deltas: Vec<Delta>) -> Result<Vec<Action>, PluginError> {
        let mut actions = Vec::new();
        for delta in &deltas {
            self.delta(delta, &mut actions)?;
        }
        Ok(actions)
    }

    fn close(&mut self, channel: u32) -> Result<Vec<Action>, PluginError> {
        self.channels.remove(&channel);
        Ok(Vec::new())
    }

    fn expire(&mut self, _channels: Vec<u32>) -> Result<Vec<Action>, PluginError> {
        // Nothing is ever held.
        Ok(Vec::new())
    }

    fn finish(&mut self, _outcome: Vec<Attribute>) -> Result<Vec<Action>, PluginError> {
        Ok(Vec::new())
    }
}
