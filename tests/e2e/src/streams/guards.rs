//! Guards of several characters, which keep book of what they hold and since when.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context as _, ensure};
use pointsman_domain::guard::{Action, Channel, Coverage};
use pointsman_domain::{Reason, Value};
use pointsman_wire::release::{LayerSpec, Op};

use super::random::Random;

/// Every kind that a chat stream has.
const KINDS: [&str; 5] = ["text", "reasoning", "refusal", "tool-name", "tool-argument"];

/// What a guard does with text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Passes all at once.
    Pass,
    /// Replaces each of these letters by one byte, and holds as much as it likes, to its bounds and beyond.
    Letters(&'static [char]),
    /// Replaces a secret, holding what may be its beginning.
    Secret {
        /// What.
        secret: String,
        /// By what.
        mask: String,
    },
    /// Needs the whole answer.
    Whole,
    /// Ends the choice before this word.
    Cut(String),
}

/// What stands for a letter.
const LETTER: &str = "#";

/// Text that is held of one channel.
#[derive(Clone, Debug, Default)]
struct Held {
    choice: u32,
    text: String,
    /// Bytes and when they came.
    runs: VecDeque<(usize, u64)>,
}

impl Held {
    fn take(&mut self, bytes: usize) -> String {
        let rest = self.text.split_off(bytes);
        let taken = std::mem::replace(&mut self.text, rest);
        let mut left = bytes;
        while let Some((run, _)) = self.runs.front_mut() {
            if *run > left {
                *run -= left;
                break;
            }
            left -= *run;
            self.runs.pop_front();
        }
        taken
    }
}

/// One guard of the chain.
#[derive(Clone, Debug)]
pub struct Guard {
    /// What it does.
    pub manner: Manner,
    /// What it declares to hold of a channel.
    pub bytes_max: u32,
    /// What it declares to hold a byte for.
    pub ms_max: u32,
    held: BTreeMap<u32, Held>,
    /// Choices that it has cut.
    cut: Vec<u32>,
    /// Whether the answer was complete, once it is over.
    pub finished: Option<bool>,
}

impl Guard {
    /// A guard that declares these bounds.
    #[must_use]
    pub const fn new(manner: Manner, bytes_max: u32, ms_max: u32) -> Self {
        Self {
            manner,
            bytes_max,
            ms_max,
            held: BTreeMap::new(),
            cut: Vec::new(),
            finished: None,
        }
    }

    /// What the engine is told of it.
    #[must_use]
    pub fn spec(&self) -> LayerSpec {
        LayerSpec {
            coverage: Coverage {
                kinds: KINDS.map(str::to_owned).to_vec(),
                hold_back_bytes: self.bytes_max,
                hold_back_ms: self.ms_max,
                attributes: Vec::new(),
            },
            required: true,
        }
    }

    /// Whether it keeps the length of all text and declares bounds, so that a client can tell how much is held.
    #[must_use]
    pub const fn is_measurable(&self) -> bool {
        matches!(self.manner, Manner::Pass | Manner::Letters(_))
    }

    /// What it makes of a text as a whole.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        match &self.manner {
            Manner::Letters(letters) => text.replace(*letters, LETTER),
            Manner::Secret { secret, mask } => text.replace(secret, mask),
            Manner::Pass | Manner::Whole | Manner::Cut(_) => text.to_owned(),
        }
    }

    /// Answers a command.
    ///
    /// # Errors
    /// Where the command makes no sense.
    pub fn run(&mut self, op: Op, now_ms: u64, random: &mut Random) -> anyhow::Result<Vec<Action>> {
        let mut actions = Vec::new();
        match op {
            Op::Open { id, channel } => {
                let Channel { choice, .. } = channel;
                let held = Held {
                    choice,
                    ..Held::default()
                };
                ensure!(self.held.insert(id, held).is_none(), "opened twice");
            }
            Op::Push(deltas) => {
                for delta in deltas {
                    ensure!(!delta.text.is_empty(), "a push of nothing");
                    let held = self.held.get_mut(&delta.channel);
                    let held = held.context("a push before its open")?;
                    held.text.push_str(&delta.text);
                    held.runs.push_back((delta.text.len(), now_ms));
                    self.act(delta.channel, false, random, &mut actions)?;
                }
            }
            Op::Close(id) => {
                self.act(id, true, random, &mut actions)?;
                self.held.remove(&id);
            }
            Op::Expire(ids) => {
                for id in ids {
                    self.act(id, true, random, &mut actions)?;
                }
            }
            Op::Finish(outcome) => {
                let complete = outcome.iter().find(|told| told.key == "complete");
                let complete = complete.context("`complete` is not told")?;
                self.finished = Some(complete.value == Value::Flag(true));
            }
        }
        Ok(actions)
    }

    fn act(
        &mut self,
        channel: u32,
        all: bool,
        random: &mut Random,
        actions: &mut Vec<Action>,
    ) -> anyhow::Result<()> {
        let held = self.held.get_mut(&channel).context("it is not open")?;
        if self.cut.contains(&held.choice) {
            return Ok(());
        }
        let mut say = |held: &mut Held, bytes: usize, text: Option<String>| -> anyhow::Result<()> {
            if bytes > 0 {
                let taken = held.take(bytes);
                let bytes = u32::try_from(bytes)?;
                actions.push(match text {
                    Some(text) if text != taken => Action::Replace {
                        channel,
                        bytes,
                        text,
                    },
                    _ => Action::Pass { channel, bytes },
                });
            }
            Ok(())
        };
        match &self.manner {
            Manner::Whole if !all => {}
            Manner::Pass | Manner::Whole => say(held, held.text.len(), None)?,
            Manner::Letters(letters) => {
                let end = if all {
                    held.text.len()
                } else {
                    random.border(&held.text)
                };
                let first = held.text.floor_char_boundary(random.below(end + 1));
                for bytes in [first, end - first] {
                    let text = held.text[..bytes].replace(*letters, LETTER);
                    say(held, bytes, Some(text))?;
                }
            }
            Manner::Secret { secret, mask } => {
                while let Some(at) = held.text.find(secret.as_str()) {
                    say(held, at, None)?;
                    say(held, secret.len(), Some(mask.clone()))?;
                }
                let keep = if all {
                    0
                } else {
                    beginning(&held.text, secret)
                };
                say(held, held.text.len() - keep, None)?;
            }
            Manner::Cut(word) => {
                if let Some(at) = held.text.find(word.as_str()) {
                    say(held, at, None)?;
                    let choice = Some(held.choice);
                    self.cut.push(held.choice);
                    let reason = Reason {
                        code: "test.word".to_owned(),
                        detail: "a word".to_owned(),
                        attributes: Vec::new(),
                    };
                    actions.push(Action::Cut { choice, reason });
                } else {
                    let keep = if all { 0 } else { beginning(&held.text, word) };
                    say(held, held.text.len() - keep, None)?;
                }
            }
        }
        Ok(())
    }

    /// Checks that nothing is held beyond what was declared.
    ///
    /// # Errors
    /// What is.
    pub fn within_bounds(&self, now_ms: u64) -> anyhow::Result<()> {
        if self.bytes_max == u32::MAX {
            return Ok(());
        }
        for (channel, held) in &self.held {
            ensure!(
                held.text.len() <= self.bytes_max as usize,
                "{} bytes of channel {channel} are held, {} declared",
                held.text.len(),
                self.bytes_max
            );
            let oldest = held.runs.front().map_or(now_ms, |(_, at)| *at);
            ensure!(
                oldest + u64::from(self.ms_max) > now_ms || held.text.is_empty(),
                "text of channel {channel} is held since {oldest} at {now_ms}, {} ms declared",
                self.ms_max
            );
        }
        Ok(())
    }

    /// Forgets what it holds of a choice that was cut.
    pub fn forget(&mut self, choice: u32) {
        for held in self.held.values_mut().filter(|held| held.choice == choice) {
            held.text.clear();
            held.runs.clear();
        }
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.values().all(|held| held.text.is_empty())
    }
}

/// Bytes at the end of `text` that may begin `secret`.
fn beginning(text: &str, secret: &str) -> usize {
    let ends = |length: &usize| text.as_bytes().ends_with(&secret.as_bytes()[..*length]);
    (1..secret.len()).rev().find(ends).unwrap_or(0)
}
