//! What each guard was given and has not yet released, channel by channel.
//!
//! Promises: a guard's actions are checked whole before any of them is applied; no guard consumes more than it holds.
//! Refuses to know: JSON, events, the client.

use std::collections::{BTreeMap, VecDeque};

use pointsman_domain::guard::{Action, Coverage};

use super::ReleaseError;

/// A guard of the chain.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) coverage: Coverage,
    pub(super) required: bool,
    /// Not bypassed.
    pub(super) is_active: bool,
}

impl Layer {
    pub(super) fn covers(&self, kind: &str) -> bool {
        self.is_active && self.coverage.kinds.iter().any(|covered| covered == kind)
    }

    /// Whether it waits for the whole answer, so that neither bytes nor time expire.
    pub(super) const fn holds_all(&self) -> bool {
        self.coverage.hold_back_bytes == u32::MAX
    }
}

/// How a channel's released text enters its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Plain,
    /// Inside a JSON string.
    Escaped,
    /// As a number, or as a JSON string once it is none any more.
    Number,
}

/// Text that one guard holds of one channel.
#[derive(Debug, Default)]
pub(super) struct Hold {
    text: String,
    start: usize,
    /// Arrivals: bytes and time.
    runs: VecDeque<(usize, u64)>,
}

impl Hold {
    pub(super) fn text(&self) -> &str {
        &self.text[self.start..]
    }

    pub(super) fn len(&self) -> usize {
        self.text.len() - self.start
    }

    fn push(&mut self, text: &str, now_ms: u64) {
        self.text.push_str(text);
        match self.runs.back_mut() {
            Some((bytes, at)) if *at == now_ms => *bytes += text.len(),
            _ => self.runs.push_back((text.len(), now_ms)),
        }
    }

    /// The next `bytes`; checked before.
    fn take(&mut self, bytes: usize) -> String {
        let taken = self.text()[..bytes].to_owned();
        self.start += bytes;
        // Compacted by halves, so that a guard that passes a little at a time stays linear.
        if self.start * 2 >= self.text.len() {
            self.text.drain(..self.start);
            self.start = 0;
        }
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

    fn oldest_ms(&self) -> Option<u64> {
        self.runs.front().map(|(_, at)| *at)
    }
}

/// One text stream within the answer.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) lane: usize,
    pub(super) choice: u32,
    pub(super) kind: &'static str,
    pub(super) spelling: Spelling,
    /// The number as it came, and as it was released.
    pub(super) number: (String, String),
    /// Its choice was cut: what guards still say about it changes nothing.
    pub(super) is_dead: bool,
    holds: Vec<Hold>,
}

/// All channels, and what every guard holds of them.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) layers: Vec<Layer>,
    pub(super) channels: BTreeMap<u32, Channel>,
    next_id: u32,
    /// Bytes held by all guards together.
    held_bytes: usize,
}

/// What must be resolved by an answer.
pub(super) enum MustResolve<'a> {
    Nothing,
    Channels(&'a [u32]),
}

impl Ledger {
    pub(super) const fn new(layers: Vec<Layer>) -> Self {
        Self {
            layers,
            channels: BTreeMap::new(),
            next_id: 0,
            held_bytes: 0,
        }
    }

    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) const fn opened(&self) -> u32 {
        self.next_id
    }

    pub(super) fn has_active_layer(&self) -> bool {
        self.layers.iter().any(|layer| layer.is_active)
    }

    /// Whether a required guard does not read this kind.
    pub(super) fn denies(&self, kind: &str) -> bool {
        self.layers
            .iter()
            .any(|layer| layer.is_active && layer.required && !layer.covers(kind))
    }

    /// Whether a required guard is in the chain, so that what nobody can read must not flow.
    pub(super) fn is_strict(&self) -> bool {
        self.layers
            .iter()
            .any(|layer| layer.is_active && layer.required)
    }

    pub(super) fn covered(&self, kind: &str) -> bool {
        self.layers.iter().any(|layer| layer.covers(kind))
    }

    pub(super) fn open(
        &mut self,
        lane: usize,
        choice: u32,
        kind: &'static str,
        spelling: Spelling,
    ) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let channel = Channel {
            lane,
            choice,
            kind,
            spelling,
            number: Default::default(),
            is_dead: false,
            holds: self.layers.iter().map(|_| Hold::default()).collect(),
        };
        self.channels.insert(id, channel);
        id
    }

    pub(super) fn is_live(&self, channel: u32) -> bool {
        self.channels
            .get(&channel)
            .is_some_and(|channel| !channel.is_dead)
    }

    /// The first active guard from `layer` on that reads the channel.
    pub(super) fn next_layer(&self, layer: usize, channel: u32) -> Option<usize> {
        let kind = self.channels.get(&channel)?.kind;
        (layer..self.layers.len()).find(|layer| self.layers[*layer].covers(kind))
    }

    pub(super) fn give(&mut self, layer: usize, channel: u32, text: &str, now_ms: u64) {
        if let Some(hold) = self
            .channels
            .get_mut(&channel)
            .and_then(|channel| channel.holds.get_mut(layer))
        {
            hold.push(text, now_ms);
            self.held_bytes += text.len();
        }
    }

    pub(super) fn take(&mut self, layer: usize, channel: u32, bytes: usize) -> String {
        let hold = self
            .channels
            .get_mut(&channel)
            .and_then(|channel| channel.holds.get_mut(layer));
        hold.map_or_else(String::new, |hold| {
            self.held_bytes -= bytes;
            hold.take(bytes)
        })
    }

    /// Everything a guard holds, for when it is bypassed.
    pub(super) fn take_all(&mut self, layer: usize) -> Vec<(u32, String)> {
        let mut taken = Vec::new();
        for (id, channel) in &mut self.channels {
            if let Some(hold) = channel.holds.get_mut(layer).filter(|hold| hold.len() > 0) {
                self.held_bytes -= hold.len();
                taken.push((*id, hold.take(hold.len())));
            }
        }
        taken
    }

    pub(super) fn held_in(&self, layer: usize, channel: u32) -> usize {
        self.hold(layer, channel).map_or(0, Hold::len)
    }

    fn hold(&self, layer: usize, channel: u32) -> Option<&Hold> {
        self.channels.get(&channel)?.holds.get(layer)
    }

    /// Lanes of which some guard holds text, or of which a number is under way.
    pub(super) fn held_lanes(&self) -> impl Iterator<Item = usize> {
        let is_held = |channel: &&Channel| {
            channel.holds.iter().any(|hold| hold.len() > 0) || !channel.number.0.is_empty()
        };
        self.channels
            .values()
            .filter(is_held)
            .map(|channel| channel.lane)
    }

    pub(super) fn close(&mut self, channel: u32) -> Option<Channel> {
        self.channels.remove(&channel)
    }

    /// Drops all text of a choice, or of all.
    pub(super) fn kill(&mut self, choice: Option<u32>) {
        for channel in self.channels.values_mut() {
            if choice.is_none_or(|choice| choice == channel.choice) {
                channel.is_dead = true;
                for hold in &mut channel.holds {
                    self.held_bytes -= hold.len();
                    *hold = Hold::default();
                }
            }
        }
    }

    /// Whether the channel exceeds what the guard declared.
    pub(super) fn is_over(&self, layer: usize, channel: u32) -> bool {
        let spec = &self.layers[layer];
        !spec.holds_all() && self.held_in(layer, channel) > spec.coverage.hold_back_bytes as usize
    }

    /// Channels of a guard whose oldest text is due.
    pub(super) fn due(&self, layer: usize, now_ms: u64) -> Vec<u32> {
        let due = |(id, channel): (&u32, &Channel)| {
            let at = self.due_at(layer, channel)?;
            (at <= now_ms).then_some(*id)
        };
        self.channels.iter().filter_map(due).collect()
    }

    /// When the next text is due.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        let layers = 0..self.layers.len();
        layers
            .flat_map(|layer| {
                self.channels
                    .values()
                    .filter_map(move |channel| self.due_at(layer, channel))
            })
            .min()
    }

    fn due_at(&self, layer: usize, channel: &Channel) -> Option<u64> {
        let spec = &self.layers[layer];
        if !spec.is_active || spec.holds_all() {
            return None;
        }
        let oldest = channel.holds.get(layer)?.oldest_ms()?;
        Some(oldest.saturating_add(u64::from(spec.coverage.hold_back_ms)))
    }

    /// Checks a guard's actions against what it holds; nothing is changed.
    pub(super) fn check(
        &self,
        layer: usize,
        actions: &[Action],
        must: &MustResolve<'_>,
    ) -> Result<(), ReleaseError> {
        let mut used: BTreeMap<u32, usize> = BTreeMap::new();
        let mut cut_all = false;
        let mut cut: Vec<u32> = Vec::new();
        for action in actions {
            match action {
                Action::Pass { channel, bytes } | Action::Replace { channel, bytes, .. } => {
                    self.check_take(layer, *channel, *bytes, &mut used)?;
                }
                Action::Cut { choice: None, .. } => cut_all = true,
                Action::Cut {
                    choice: Some(choice),
                    ..
                } => cut.push(*choice),
                Action::Note(_) => {}
            }
        }
        if let MustResolve::Channels(channels) = must {
            for channel in *channels {
                let Some(known) = self.channels.get(channel).filter(|known| !known.is_dead) else {
                    continue;
                };
                let held = self.held_in(layer, *channel) - used.get(channel).copied().unwrap_or(0);
                if held > 0 && !cut_all && !cut.contains(&known.choice) {
                    return Err(ReleaseError::StillHeld {
                        channel: *channel,
                        bytes: held,
                    });
                }
            }
        }
        Ok(())
    }

    fn check_take(
        &self,
        layer: usize,
        channel: u32,
        bytes: u32,
        used: &mut BTreeMap<u32, usize>,
    ) -> Result<(), ReleaseError> {
        let known = self
            .channels
            .get(&channel)
            .ok_or(ReleaseError::UnknownChannel { channel })?;
        if known.is_dead {
            return Ok(());
        }
        if !self.layers[layer].covers(known.kind) {
            return Err(ReleaseError::UnknownChannel { channel });
        }
        let hold = &known.holds[layer];
        let start = used.entry(channel).or_default();
        let end = start.saturating_add(bytes as usize);
        if end > hold.len() {
            let held = hold.len() - *start;
            return Err(ReleaseError::TooMuch {
                channel,
                bytes,
                held,
            });
        }
        if !hold.text().is_char_boundary(end) {
            return Err(ReleaseError::InsideCharacter { channel });
        }
        *start = end;
        Ok(())
    }
}
