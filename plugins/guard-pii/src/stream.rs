//! An answer on its way: each channel is scanned as it grows, and what is decided flows at once.
//!
//! Promises: what is released equals the masked whole text, however it was cut into deltas. At most `HOLD_BYTES` of a
//! channel are held. When the host's patience ends (`expire`), finds and what tells of one are masked and the rest is
//! released, but the scan does not move: a find that completes later is masked from the released part on, so a whole
//! one never gets through.
//! Refuses to know: what the answer belongs to, time.

use std::collections::BTreeMap;

use pointsman_sdk::{Action, Attribute, Channel, Delta, GuardStream, PluginError, offset};

use crate::kind::{Act, Kind};
use crate::report::Counts;
use crate::scan::{BACK_BYTES, Memo, Step, tail_bytes};
use crate::settings::Settings;

/// Actions that one delta comes to, at most; the host bounds those of one event.
const ACTIONS_MAX: usize = 1024;

/// The guard of one attempt's answer.
#[derive(Debug)]
pub struct Stream {
    settings: &'static Settings,
    flows: BTreeMap<u32, Flow>,
    /// Choices that were cut: what still comes for them is nobody's.
    cut: Vec<u32>,
    counts: Counts,
}

/// One channel.
#[derive(Debug)]
struct Flow {
    choice: u32,
    /// Some text that was decided, for context, then what is not decided yet.
    text: String,
    /// Where the scan stands.
    place: usize,
    /// Up to here the host was told; beyond `place` only after an expiry.
    told: usize,
    /// The last that the host was told, at an expiry, is a mask.
    masked: bool,
    /// The last find's bound ended it; what continues it is dropped.
    goes_on: bool,
    memo: Memo,
}

impl Stream {
    pub(crate) const fn new(settings: &'static Settings) -> Self {
        Self {
            settings,
            flows: BTreeMap::new(),
            cut: Vec::new(),
            counts: Counts::new(),
        }
    }

    /// Runs one channel as far as it can be decided.
    fn run(&mut self, id: u32, task: Task) -> Result<Vec<Action>, PluginError> {
        let Some(flow) = self.flows.get_mut(&id) else {
            return Err(PluginError::InvalidInput(format!(
                "channel {id} was not opened"
            )));
        };
        let mut actions = Actions::new(id);
        if self.cut.contains(&flow.choice) {
            return Ok(actions.list);
        }
        let choice = flow.choice;
        let denied = match task {
            Task::Grow => flow.advance(self.settings, &mut self.counts, &mut actions, false),
            Task::Close => flow.advance(self.settings, &mut self.counts, &mut actions, true),
            Task::Expire => flow.expire(self.settings, &mut self.counts, &mut actions),
        };
        let mut list = actions.list;
        if let Some(kind) = denied {
            self.cut.push(choice);
            list.extend(self.notes());
            list.push(Action::cut(Some(choice), kind.reason("answer")));
        }
        Ok(list)
    }

    fn notes(&self) -> impl Iterator<Item = Action> + use<> {
        self.counts.labels().into_iter().map(Action::Note)
    }
}

/// Why a channel is run.
#[derive(Clone, Copy)]
enum Task {
    Grow,
    Close,
    Expire,
}

impl GuardStream for Stream {
    fn open(&mut self, id: u32, about: Channel) -> Result<(), PluginError> {
        self.flows.insert(id, Flow::new(about.choice));
        Ok(())
    }

    fn push(&mut self, deltas: Vec<Delta>) -> Result<Vec<Action>, PluginError> {
        let mut actions = Vec::new();
        for delta in deltas {
            if let Some(flow) = self.flows.get_mut(&delta.channel)
                && !self.cut.contains(&flow.choice)
            {
                flow.text.push_str(&delta.text);
            }
            actions.extend(self.run(delta.channel, Task::Grow)?);
        }
        Ok(actions)
    }

    fn close(&mut self, channel: u32) -> Result<Vec<Action>, PluginError> {
        let actions = self.run(channel, Task::Close)?;
        self.flows.remove(&channel);
        Ok(actions)
    }

    fn expire(&mut self, channels: Vec<u32>) -> Result<Vec<Action>, PluginError> {
        let mut actions = Vec::new();
        for channel in channels {
            actions.extend(self.run(channel, Task::Expire)?);
        }
        Ok(actions)
    }

    fn finish(&mut self, _outcome: Vec<Attribute>) -> Result<Vec<Action>, PluginError> {
        let mut actions = Vec::new();
        let open: Vec<u32> = self.flows.keys().copied().collect();
        for channel in open {
            actions.extend(self.close(channel)?);
        }
        actions.extend(self.notes());
        Ok(actions)
    }
}

impl Flow {
    fn new(choice: u32) -> Self {
        Self {
            choice,
            text: String::new(),
            place: 0,
            told: 0,
            masked: false,
            goes_on: false,
            memo: Memo::default(),
        }
    }

    /// Moves the scan as far as it is decided; a kind that must cut the answer ends it.
    fn advance(
        &mut self,
        settings: &Settings,
        counts: &mut Counts,
        actions: &mut Actions,
        complete: bool,
    ) -> Option<Kind> {
        self.drop_tail(actions);
        while self.place < self.text.len() {
            let step = settings
                .scanner()
                .step(&self.text, self.place, complete, &mut self.memo);
            match step {
                Step::Clean(bytes) => self.pass(self.place + bytes, actions),
                Step::Found {
                    kind,
                    bytes,
                    goes_on,
                } => {
                    counts.add(kind);
                    let end = self.place + bytes;
                    match settings.act(kind) {
                        Act::Deny => return Some(kind),
                        Act::Mask => {
                            self.mask(end, settings.placeholder(kind), actions);
                            self.goes_on = goes_on;
                            self.drop_tail(actions);
                        }
                        Act::Label | Act::Off => self.pass(end, actions),
                    }
                }
                Step::Undecided { .. } => break,
            }
        }
        self.trim();
        None
    }

    /// Tells the host about all that is held, as if nothing followed, without moving the scan.
    fn expire(
        &mut self,
        settings: &Settings,
        counts: &mut Counts,
        actions: &mut Actions,
    ) -> Option<Kind> {
        let denied = self.advance(settings, counts, actions, false);
        if denied.is_some() || self.told >= self.text.len() {
            return denied;
        }
        let (stand, memo) = (self.place, self.memo);
        while self.place < self.text.len() {
            let (mut open_memo, mut end_memo) = (self.memo, self.memo);
            let scanner = settings.scanner();
            let looks_like = match scanner.step(&self.text, self.place, false, &mut open_memo) {
                Step::Undecided { looks_like } => looks_like,
                Step::Clean(_) | Step::Found { .. } => None,
            };
            if let Some(kind) = looks_like.filter(|&kind| settings.act(kind).hides()) {
                self.mask(self.text.len(), settings.placeholder(kind), actions);
                break;
            }
            match scanner.step(&self.text, self.place, true, &mut end_memo) {
                Step::Found { kind, bytes, .. } if settings.act(kind).hides() => {
                    self.mask(self.place + bytes, settings.placeholder(kind), actions);
                }
                Step::Found { bytes, .. } | Step::Clean(bytes) => {
                    self.pass(self.place + bytes, actions);
                }
                Step::Undecided { .. } => self.pass(self.text.len(), actions),
            }
            // What was learnt from a supposed end does not hold for what follows.
            self.memo = self.memo.forgetting_ahead();
        }
        self.place = stand;
        self.memo = memo;
        None
    }

    fn pass(&mut self, end: usize, actions: &mut Actions) {
        self.place = end;
        if end > self.told {
            actions.pass(&self.text[self.told..end]);
            self.told = end;
            self.masked = false;
        }
    }

    fn mask(&mut self, end: usize, placeholder: &str, actions: &mut Actions) {
        // A find that begins in what an expiry masked has its mask already.
        let covered = self.masked && self.place < self.told;
        self.place = end;
        if end > self.told {
            let text = if covered { "" } else { placeholder };
            actions.replace(end - self.told, text);
            self.told = end;
            self.masked = true;
        }
    }

    /// Drops what continues an overlong find.
    fn drop_tail(&mut self, actions: &mut Actions) {
        if !self.goes_on {
            return;
        }
        let bytes = tail_bytes(&self.text, self.place);
        self.place += bytes;
        if self.place > self.told {
            actions.replace(self.place - self.told, "");
            self.told = self.place;
        }
        self.goes_on = self.place == self.text.len();
    }

    /// Forgets decided text but for the context that the scan looks back at.
    fn trim(&mut self) {
        // In strides, so that bytes are not moved once per delta.
        if self.place > 8 * BACK_BYTES {
            let keep = pointsman_sdk::border_below(&self.text, self.place - BACK_BYTES);
            self.text.drain(..keep);
            self.place -= keep;
            self.told -= keep;
            self.memo.shift(keep);
        }
    }
}

/// Actions on one channel, neighbouring passes joined.
struct Actions {
    channel: u32,
    list: Vec<Action>,
}

impl Actions {
    const fn new(channel: u32) -> Self {
        Self {
            channel,
            list: Vec::new(),
        }
    }

    fn pass(&mut self, text: &str) {
        let bytes = offset(text.len());
        if let Some(Action::Pass(take)) = self.list.last_mut() {
            take.bytes += bytes;
        } else if self.is_full() {
            self.append(text.len(), text);
        } else {
            self.list.push(Action::pass(self.channel, bytes));
        }
    }

    fn replace(&mut self, bytes: usize, text: &str) {
        if self.is_full() {
            self.append(bytes, text);
        } else {
            self.list
                .push(Action::replace(self.channel, offset(bytes), text));
        }
    }

    fn is_full(&self) -> bool {
        self.list.len() >= ACTIONS_MAX
    }

    /// Goes on with the last action, so that a whole answer full of finds stays within the host's bound.
    fn append(&mut self, bytes: usize, text: &str) {
        if let Some(Action::Replace(last)) = self.list.last_mut() {
            last.bytes += offset(bytes);
            last.text.push_str(text);
        } else {
            self.list
                .push(Action::replace(self.channel, offset(bytes), text));
        }
    }
}
