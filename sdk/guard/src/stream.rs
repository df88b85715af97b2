//! An answer on its way: each channel is scanned as it grows, and what is decided flows at once.
//!
//! Promises: what is released equals the masked whole text, however it was cut into deltas. At most `hold_bytes` of a
//! channel are held. When the host's patience ends (`expire`), finds and what tells of one are masked and the rest is
//! released, but the scan does not move: a find that completes later is masked from the released part on, so a whole
//! one never gets through.
//! Refuses to know: what the answer belongs to, time.

use std::collections::BTreeMap;

use pointsman_sdk::{
    Action, Attribute, Channel, Coverage, Delta, GuardStream, PluginError, border_below, offset,
};

use crate::{Act, CHANNEL_KINDS, Counts, Memo, Scan, Step};

/// Actions that one delta comes to, at most; the host bounds those of one event.
const ACTIONS_MAX: usize = 1024;

/// The guard of one attempt's answer.
#[derive(Debug)]
pub struct Stream<S: Scan> {
    scan: &'static S,
    flows: BTreeMap<u32, Flow<S::Memo>>,
    /// Choices that were cut: what still comes for them is nobody's.
    cut: Vec<u32>,
    counts: Counts,
}

/// One channel.
#[derive(Debug, Default)]
struct Flow<M> {
    choice: u32,
    /// Some text that was decided, for context, then what is not decided yet.
    text: String,
    /// Where the scan stands.
    place: usize,
    /// Up to here the host was told; beyond `place` only after an expiry.
    told: usize,
    /// The last that the host was told, at an expiry, is a mask.
    masked: bool,
    /// The last find, where it goes on: what continues it is dropped.
    goes_on: Option<usize>,
    memo: M,
}

impl<S: Scan> Stream<S> {
    /// Begins to guard one attempt.
    #[must_use]
    pub fn new(scan: &'static S) -> Self {
        Self {
            scan,
            flows: BTreeMap::new(),
            cut: Vec::new(),
            counts: Counts::new(scan),
        }
    }

    /// What the host is told of such a guard.
    #[must_use]
    pub fn covers(scan: &S, hold_back_ms: u32) -> Coverage {
        Coverage {
            kinds: CHANNEL_KINDS.iter().map(|&kind| kind.to_owned()).collect(),
            hold_back_bytes: offset(scan.hold_bytes()),
            hold_back_ms,
            attributes: Vec::new(),
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
            Task::Grow => flow.advance(self.scan, &mut self.counts, &mut actions, false),
            Task::Close => flow.advance(self.scan, &mut self.counts, &mut actions, true),
            Task::Expire => flow.expire(self.scan, &mut self.counts, &mut actions),
        };
        let mut list = actions.list;
        if let Some(kind) = denied {
            self.cut.push(choice);
            list.extend(self.notes());
            list.push(Action::cut(Some(choice), self.scan.reason(kind, "answer")));
        }
        Ok(list)
    }

    fn notes(&self) -> impl Iterator<Item = Action> + use<S> {
        self.counts.labels(self.scan).into_iter().map(Action::Note)
    }
}

/// Why a channel is run.
#[derive(Clone, Copy)]
enum Task {
    Grow,
    Close,
    Expire,
}

impl<S: Scan> GuardStream for Stream<S> {
    fn open(&mut self, id: u32, about: Channel) -> Result<(), PluginError> {
        let flow = Flow {
            choice: about.choice,
            ..Flow::default()
        };
        self.flows.insert(id, flow);
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

impl<M: Memo> Flow<M> {
    /// Moves the scan as far as it is decided; a kind that must cut the answer ends it.
    fn advance(
        &mut self,
        scan: &impl Scan<Memo = M>,
        counts: &mut Counts,
        actions: &mut Actions,
        complete: bool,
    ) -> Option<usize> {
        self.drop_tail(scan, actions, complete);
        while self.goes_on.is_none() && self.place < self.text.len() {
            match scan.step(&self.text, self.place, complete, &mut self.memo) {
                Step::Clean(bytes) => self.pass(self.place + bytes, actions),
                Step::Found {
                    kind,
                    bytes,
                    goes_on,
                } => {
                    let found = counts.add(kind);
                    let end = self.place + bytes;
                    match scan.act_on(kind, found) {
                        Act::Deny => return Some(kind),
                        Act::Mask => self.mask(end, scan.placeholder(kind), actions),
                        Act::Label | Act::Off => self.pass(end, actions),
                    }
                    self.goes_on = goes_on.then_some(kind);
                    self.drop_tail(scan, actions, complete);
                }
                Step::Undecided { .. } => break,
            }
        }
        self.trim(scan.back_bytes());
        None
    }

    /// Tells the host about all that is held, as if nothing followed, without moving the scan.
    fn expire(
        &mut self,
        scan: &impl Scan<Memo = M>,
        counts: &mut Counts,
        actions: &mut Actions,
    ) -> Option<usize> {
        let denied = self.advance(scan, counts, actions, false);
        if denied.is_some() || self.told >= self.text.len() {
            return denied;
        }
        let (stand, memo) = (self.place, self.memo);
        if let Some(kind) = self.goes_on {
            self.resolve_tail(scan, kind, self.text.len(), actions);
        }
        while self.place < self.text.len() {
            let (mut open, mut ended) = (self.memo, self.memo);
            let looks_like = match scan.step(&self.text, self.place, false, &mut open) {
                Step::Undecided { looks_like } => looks_like,
                Step::Clean(_) | Step::Found { .. } => None,
            };
            if let Some(kind) = looks_like.filter(|&kind| scan.hides(kind)) {
                self.mask(self.text.len(), scan.placeholder(kind), actions);
                break;
            }
            match scan.step(&self.text, self.place, true, &mut ended) {
                Step::Found { kind, bytes, .. } if scan.hides(kind) => {
                    self.mask(self.place + bytes, scan.placeholder(kind), actions);
                }
                Step::Found { bytes, .. } | Step::Clean(bytes) => {
                    self.pass(self.place + bytes, actions);
                }
                Step::Undecided { .. } => self.pass(self.text.len(), actions),
            }
            self.memo.forget_ahead();
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

    /// Takes what continues the last find along with it.
    fn drop_tail(&mut self, scan: &impl Scan<Memo = M>, actions: &mut Actions, complete: bool) {
        let Some(kind) = self.goes_on else {
            return;
        };
        let tail = scan.tail(kind, &self.text, self.place, complete);
        self.resolve_tail(scan, kind, self.place + tail.bytes, actions);
        if tail.ended {
            self.goes_on = None;
        }
    }

    /// Up to `end` the text continues a find.
    fn resolve_tail(
        &mut self,
        scan: &impl Scan<Memo = M>,
        kind: usize,
        end: usize,
        actions: &mut Actions,
    ) {
        if scan.hides(kind) {
            self.place = end;
            if end > self.told {
                actions.replace(end - self.told, "");
                self.told = end;
            }
        } else {
            self.pass(end, actions);
        }
    }

    /// Forgets decided text but for the context that the scan looks back at.
    fn trim(&mut self, back_bytes: usize) {
        // In strides, so that bytes are not moved once per delta.
        if self.place > 8 * back_bytes {
            let keep = border_below(&self.text, self.place - back_bytes);
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
        if bytes == 0 && text.is_empty() {
            return;
        }
        if self.is_full()
            || (text.is_empty() && matches!(self.list.last(), Some(Action::Replace(_))))
        {
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
