//! The queue of work between the provider's events and the client, and its steps through the guards.
//!
//! Work is done strictly in order and stops at each command, so that what a guard answers flows through all later
//! guards before anything that came after it.

use pointsman_domain::guard::{Action, Channel, Delta};
use pointsman_domain::value::Attribute;
use pointsman_domain::{Reason, Value};

use super::ledger::Spelling;
use super::outlet::Plan;
use super::{Cut, MustResolve, Op, Release, Shape, emit};

/// A step; those with a `layer` go on from that guard.
#[derive(Debug)]
pub(super) enum Work {
    Open {
        layer: usize,
        id: u32,
        channel: Channel,
    },
    Push {
        layer: usize,
        deltas: Vec<(u32, String)>,
    },
    Close {
        layer: usize,
        id: u32,
    },
    Expire {
        layer: usize,
        channels: Vec<u32>,
    },
    Finish {
        layer: usize,
        is_complete: bool,
    },
    /// Text of a lane that no guard reads.
    Structure {
        lane: usize,
        text: String,
    },
    Cut {
        choice: Option<u32>,
        reason: Reason,
    },
    /// The event's work is done: send it.
    EndEvent(Box<Plan>),
    /// Send what was released outside an event.
    Flush,
    /// Send these bytes.
    Forward(bytes::Bytes),
    /// Send the end of the stream.
    Done(bytes::Bytes),
}

/// A command that waits for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) layer: usize,
    asked: Asked,
    /// Taken when it is handed out.
    pub(super) command: Option<Op>,
}

#[derive(Debug)]
enum Asked {
    Open {
        id: u32,
        channel: Channel,
    },
    /// `beside`: text of kinds that this guard does not read.
    Push {
        channels: Vec<u32>,
        beside: Vec<(u32, String)>,
    },
    Close([u32; 1]),
    Expire(Vec<u32>),
    Finish {
        is_complete: bool,
    },
}

impl Pending {
    pub(super) fn must_resolve(&self) -> MustResolve<'_> {
        match &self.asked {
            Asked::Close(channel) => MustResolve::Channels(channel),
            Asked::Expire(channels) => MustResolve::Channels(channels),
            Asked::Open { .. } | Asked::Push { .. } | Asked::Finish { .. } => MustResolve::Nothing,
        }
    }
}

impl Release {
    /// Works until a guard must be asked, or nothing is left.
    pub(super) fn run(&mut self) {
        while self.pending.is_none() {
            let Some(work) = self.queue.pop_front() else {
                break;
            };
            self.step(work);
        }
    }

    fn step(&mut self, work: Work) {
        match work {
            Work::Open { layer, id, channel } => self.open(layer, id, channel),
            Work::Push { layer, deltas } => self.push(layer, deltas),
            Work::Close { layer, id } => self.close(layer, id),
            Work::Expire { layer, channels } => self.ask_expired(layer, channels),
            Work::Finish { layer, is_complete } => self.finish(layer, is_complete),
            Work::Structure { lane, text } => self.structure(lane, &text),
            Work::Cut {
                choice: Some(choice),
                reason,
            } => self.cut_choice(choice, reason),
            Work::Cut {
                choice: None,
                reason,
            } => self.cut_all(reason),
            Work::EndEvent(plan) => self.end_event(&plan),
            Work::Flush => {
                self.flush(|_| true);
                self.note_held();
            }
            Work::Forward(bytes) => self.out.push_back(bytes),
            Work::Done(bytes) => {
                self.flush(|_| true);
                self.out.push_back(bytes);
                self.summary.done = true;
            }
        }
    }

    fn ask(&mut self, layer: usize, asked: Asked, command: Op) {
        self.pending = Some(Pending {
            layer,
            asked,
            command: Some(command),
        });
    }

    fn open(&mut self, layer: usize, id: u32, channel: Channel) {
        if !self.ledger.is_live(id) {
            return;
        }
        if let Some(layer) = self.ledger.next_layer(layer, id) {
            let command = Op::Open {
                id,
                channel: channel.clone(),
            };
            self.ask(layer, Asked::Open { id, channel }, command);
        }
    }

    fn push(&mut self, first: usize, mut deltas: Vec<(u32, String)>) {
        deltas.retain(|(channel, text)| !text.is_empty() && self.ledger.is_live(*channel));
        let next = deltas
            .iter()
            .filter_map(|(channel, _)| self.ledger.next_layer(first, *channel))
            .min();
        let Some(layer) = next else {
            for (channel, text) in deltas {
                self.release(channel, &text);
            }
            return;
        };
        let (covered, beside): (Vec<_>, Vec<_>) = deltas
            .into_iter()
            .partition(|(channel, _)| self.ledger.next_layer(layer, *channel) == Some(layer));
        for (channel, text) in &covered {
            self.ledger.give(layer, *channel, text, self.now_ms);
        }
        if self.is_full() {
            return;
        }
        let channels = covered.iter().map(|(channel, _)| *channel).collect();
        let deltas = covered
            .into_iter()
            .map(|(channel, text)| Delta { channel, text })
            .collect();
        self.ask(layer, Asked::Push { channels, beside }, Op::Push(deltas));
    }

    fn close(&mut self, layer: usize, id: u32) {
        if let Some(layer) = self
            .ledger
            .next_layer(layer, id)
            .filter(|_| self.ledger.is_live(id))
        {
            return self.ask(layer, Asked::Close([id]), Op::Close(id));
        }
        let Some(channel) = self.ledger.close(id) else {
            return;
        };
        let lane = &mut self.lanes[channel.lane];
        if lane.channel == Some(id) {
            lane.channel = None;
        }
        if channel.spelling == Spelling::Number && !channel.is_dead {
            let before = lane.out.len();
            lane.release_number(&channel);
            let bytes = lane.out.len() - before;
            self.count(bytes);
        }
    }

    fn ask_expired(&mut self, layer: usize, mut channels: Vec<u32>) {
        channels.retain(|channel| self.ledger.held_in(layer, *channel) > 0);
        if !channels.is_empty() && self.ledger.layers[layer].is_active {
            self.ask(layer, Asked::Expire(channels.clone()), Op::Expire(channels));
        }
    }

    fn finish(&mut self, layer: usize, is_complete: bool) {
        let active =
            (layer..self.ledger.layers.len()).find(|layer| self.ledger.layers[*layer].is_active);
        let Some(layer) = active else { return };
        let attribute = |key: &str, value| Attribute {
            key: key.to_owned(),
            value,
        };
        let mut outcome: Vec<Attribute> = emit::finish_value(&self.provider_reasons)
            .map(|reasons| attribute("finish-reason", reasons))
            .into_iter()
            .collect();
        outcome.push(attribute("complete", Value::Flag(is_complete)));
        self.ask(layer, Asked::Finish { is_complete }, Op::Finish(outcome));
    }

    /// Text that every guard has released.
    fn release(&mut self, channel: u32, text: &str) {
        let Some(known) = self.ledger.channels.get_mut(&channel) else {
            return;
        };
        if known.spelling == Spelling::Number {
            known.number.1.push_str(text);
            return;
        }
        let lane = &mut self.lanes[known.lane];
        let before = lane.out.len();
        lane.release(known.spelling, text);
        let bytes = lane.out.len() - before;
        self.count(bytes);
    }

    fn structure(&mut self, lane: usize, text: &str) {
        if !self.is_cut(self.lanes[lane].choice) {
            self.lanes[lane].out.push_str(text);
            self.count(text.len());
        }
    }

    fn count(&mut self, bytes: usize) {
        self.summary.released_text_bytes += bytes as u64;
        self.unsent_bytes += bytes;
        self.is_full();
    }

    /// Cuts the answer where its buffers are full.
    fn is_full(&mut self) -> bool {
        let bytes = self.ledger.held_bytes() + self.unsent_bytes;
        let is_full = bytes > self.limits.buffered_bytes_max;
        if is_full {
            let detail = format!(
                "more than {} bytes are held back",
                self.limits.buffered_bytes_max
            );
            self.queue.push_front(Work::Cut {
                choice: None,
                reason: emit::reason("buffer-full", detail),
            });
        }
        is_full
    }

    /// Applies checked actions and goes on behind the guard.
    pub(super) fn apply(&mut self, pending: Pending, actions: Vec<Action>) {
        let layer = pending.layer;
        let next = layer + 1;
        let mut work = Vec::new();
        let mut released: Vec<(u32, String)> = Vec::new();
        let mut cut: Vec<u32> = Vec::new();
        let mut over = Vec::new();
        if let Asked::Push { channels, beside } = &pending.asked {
            over.clone_from(channels);
            released.clone_from(beside);
        }
        for action in actions {
            match action {
                Action::Pass { channel, bytes } => {
                    released.extend(
                        self.take(layer, channel, bytes, &cut)
                            .map(|text| (channel, text)),
                    );
                }
                Action::Replace {
                    channel,
                    bytes,
                    text,
                } => {
                    let Some(taken) = self.take(layer, channel, bytes, &cut) else {
                        continue;
                    };
                    if taken != text {
                        self.mark_changed(channel);
                    }
                    released.push((channel, text));
                }
                Action::Cut { choice, reason } => {
                    work.push(Work::Push {
                        layer: next,
                        deltas: std::mem::take(&mut released),
                    });
                    work.push(Work::Cut { choice, reason });
                    match choice {
                        Some(choice) => cut.push(choice),
                        // Nothing after it counts.
                        None => break,
                    }
                }
                Action::Note(label) if self.summary.notes.len() < self.limits.notes_max => {
                    self.summary.notes.push(label);
                }
                Action::Note(_) => {}
            }
        }
        work.push(Work::Push {
            layer: next,
            deltas: released,
        });
        work.extend(behind(pending.asked, next));
        if self.shape != Shape::Whole {
            over.retain(|channel| self.ledger.is_over(layer, *channel));
            if !over.is_empty() {
                work.push(Work::Expire {
                    layer,
                    channels: over,
                });
            }
        }
        self.push_front(work);
    }

    fn take(&mut self, layer: usize, channel: u32, bytes: u32, cut: &[u32]) -> Option<String> {
        let known = self.ledger.channels.get(&channel)?;
        if known.is_dead || cut.contains(&known.choice) {
            return None;
        }
        Some(self.ledger.take(layer, channel, bytes as usize))
    }

    fn mark_changed(&mut self, channel: u32) {
        if let Some(known) = self.ledger.channels.get(&channel) {
            self.lanes[known.lane].is_changed = true;
        }
    }

    pub(super) fn resume_without(&mut self, layer: usize) {
        let Some(known) = self.ledger.layers.get_mut(layer) else {
            return;
        };
        if !std::mem::replace(&mut known.is_active, false) {
            return;
        }
        let next = layer + 1;
        let mut deltas = self.ledger.take_all(layer);
        let mut work = Vec::new();
        if let Some(mut pending) = self.pending.take_if(|pending| pending.layer == layer) {
            if let Asked::Push { beside, .. } = &mut pending.asked {
                deltas.append(beside);
            }
            work.extend(behind(pending.asked, next));
        }
        work.insert(
            0,
            Work::Push {
                layer: next,
                deltas,
            },
        );
        self.push_front(work);
        self.queue.push_back(Work::Flush);
    }

    fn push_front(&mut self, work: Vec<Work>) {
        for step in work.into_iter().rev() {
            self.queue.push_front(step);
        }
    }

    fn cut_choice(&mut self, choice: u32, reason: Reason) {
        let known = self.choices.entry(choice).or_default();
        if known.cut.is_some() {
            return;
        }
        known.cut = Some(reason.clone());
        self.ledger.kill(Some(choice));
        self.summary.cut.get_or_insert(Cut {
            choice: Some(choice),
            reason,
        });
        // Outside an event nothing else would tell the client.
        self.queue.push_back(Work::Flush);
    }

    fn cut_all(&mut self, reason: Reason) {
        if self.summary.done || self.early_cut.is_some() {
            return;
        }
        self.summary.cut = Some(Cut {
            choice: None,
            reason: reason.clone(),
        });
        self.ledger.kill(None);
        for choice in self.choices.values_mut() {
            choice.cut.get_or_insert_with(|| reason.clone());
        }
        if self.shape == Shape::Whole {
            self.early_cut = Some(reason);
            self.queue.retain(|work| matches!(work, Work::EndEvent(_)));
            return;
        }
        self.queue.clear();
        if self.template.is_none() && !self.is_closing {
            // The last chunk needs the answer's id; the next event brings it.
            self.early_cut = Some(reason);
            return;
        }
        self.end_cut(reason);
    }
}

/// What follows a command behind its guard.
fn behind(asked: Asked, layer: usize) -> Option<Work> {
    match asked {
        Asked::Open { id, channel } => Some(Work::Open { layer, id, channel }),
        Asked::Close([id]) => Some(Work::Close { layer, id }),
        Asked::Finish { is_complete } => Some(Work::Finish { layer, is_complete }),
        Asked::Push { .. } | Asked::Expire(_) => None,
    }
}
