//! Releases an answer piece by piece, as its guards allow.
//!
//! The provider's events come in (`event`, or `body` for a whole answer); commands for guards go out (`command`), one
//! at a time and in order, and are answered (`answer`); what every guard has released leaves as bytes for the client
//! (`output`). Guards are layers: each reads what its predecessor released.
//!
//! Promises: text of a kind that a guard covers leaves only after that guard released it, whatever the splits, escapes
//! and interleavings; an event that nobody changed or held leaves as the bytes that came; tool arguments stay JSON;
//! one held choice delays no other; all buffers are bounded by `ReleaseLimits`.
//! Refuses to know: how guards run, time (callers pass it), sockets.

mod chunk;
mod emit;
mod engine;
mod intake;
mod lane;
mod leaf;
mod ledger;
mod outlet;
mod usage;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use pointsman_domain::guard::{Action, Channel, Coverage, Delta};
use pointsman_domain::usage::Meter;
use pointsman_domain::value::Attribute;
use pointsman_domain::{Label, Reason};

use crate::json;
use crate::sse::Event;
use chunk::Field;
use engine::{Pending, Work};
use lane::Lane;
use ledger::{Layer, Ledger, MustResolve};

/// A guard of the chain, as far as the engine knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSpec {
    /// What it reads, and how much it may hold.
    pub coverage: Coverage,
    /// Whether text of kinds that it does not read is denied.
    pub required: bool,
}

/// What a layer's guard is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A channel begins.
    Open {
        /// Its id in later commands.
        id: u32,
        /// What it carries.
        channel: Channel,
    },
    /// New text.
    Push(Vec<Delta>),
    /// The channel is complete: resolve all of it.
    Close(u32),
    /// These reached the declared hold-back: resolve all of them.
    Expire(Vec<u32>),
    /// The answer is complete, or broke off: `finish-reason`, `complete`.
    Finish(Vec<Attribute>),
}

/// The next thing to ask of a guard.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Index of the layer.
    pub layer: usize,
    /// What is asked.
    pub op: Op,
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An event stream.
    Stream {
        /// Whether the client asked for the usage chunk; where not, it is kept from it.
        client_wants_usage: bool,
    },
    /// One JSON body.
    Whole,
}

/// Bounds of one answer.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseLimits {
    /// Text that all guards together hold, and that waits to be sent; reached: the answer is cut (`buffer-full`).
    pub buffered_bytes_max: usize,
    /// Channels opened in one answer, leaves of tool arguments included; reached: the choice is cut (`channel-limit`).
    pub channels_max: u32,
    /// Text fields of all choices; reached: the choice is cut (`channel-limit`).
    pub fields_max: usize,
    /// Choices; more make the answer malformed.
    pub choices_max: usize,
    /// Containers inside containers of tool arguments; more make them malformed.
    pub arguments_depth_max: usize,
    /// Bytes of a path into tool arguments; more make them malformed.
    pub path_bytes_max: usize,
    /// Bytes of a number in tool arguments; more make them malformed.
    pub number_bytes_max: usize,
    /// Containers inside containers of an event or answer; more make it malformed.
    pub depth_max: usize,
    /// JSON values of an event or answer; more make it malformed.
    pub values_max: usize,
    /// Labels that guards note; more are dropped.
    pub notes_max: usize,
    /// Bytes of one channel in one push; longer text comes in several, so that a guard's fuel is refilled.
    pub push_bytes_max: usize,
}

impl Default for ReleaseLimits {
    fn default() -> Self {
        Self {
            buffered_bytes_max: 32 * 1024 * 1024,
            channels_max: 65_536,
            fields_max: 4_096,
            choices_max: 128,
            arguments_depth_max: 64,
            path_bytes_max: 4_096,
            number_bytes_max: 512,
            depth_max: 128,
            values_max: 1_000_000,
            notes_max: 64,
            push_bytes_max: 64 * 1024,
        }
    }
}

/// An end that a guard or a bound of the engine made.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// The choice; none: the whole answer.
    pub choice: Option<u32>,
    /// Why. The engine's own codes: `uncovered-kind`, `malformed-arguments`, `buffer-full`, `channel-limit`.
    pub reason: Reason,
}

/// What is known of the answer so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The provider sent text, released or not.
    pub saw_content: bool,
    /// Text bytes that the provider sent, released or not.
    pub received_text_bytes: u64,
    /// The last byte for the client is out.
    pub done: bool,
    /// Of the choices that ended, in order.
    pub finish_reasons: Vec<String>,
    /// An error object inside the answer (by its code where it has one), or `malformed chunk`.
    pub provider_error: Option<String>,
    /// The first cut, or the one that ended the whole answer.
    pub cut: Option<Cut>,
    /// Disjoint meters of the provider's usage; empty where it told none.
    pub meters: Vec<Meter>,
    /// The model that the provider names.
    pub response_model: Option<String>,
    /// The service tier that the provider says it served in, as it spells it: `default`, `priority`, `batch`.
    pub service_tier: Option<String>,
    /// Text bytes released to the client, arguments included; above 0 the answer is committed.
    pub released_text_bytes: u64,
    /// What guards noted.
    pub notes: Vec<Label>,
}

/// A guard's answer that breaks the contract; nothing of it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// There is no command to answer.
    #[error("actions without a command; take one with `command` first")]
    NoCommand,
    /// The channel is not open, or not of a kind that the guard covers.
    #[error(
        "channel {channel} is not open for this guard; act on channels of `open` until their `close`"
    )]
    UnknownChannel {
        /// Its id.
        channel: u32,
    },
    /// A cut of a choice that the answer does not have.
    #[error("choice {choice} does not exist in this answer")]
    UnknownChoice {
        /// Its index.
        choice: u32,
    },
    /// More bytes than the guard holds.
    #[error("{bytes} bytes of channel {channel} are more than the {held} that the guard holds")]
    TooMuch {
        /// The channel.
        channel: u32,
        /// Bytes asked for.
        bytes: u32,
        /// Bytes left to the guard.
        held: usize,
    },
    /// The border is inside a character.
    #[error("bytes of channel {channel} end inside a character; count UTF-8 bytes")]
    InsideCharacter {
        /// The channel.
        channel: u32,
    },
    /// `close` or `expire` was answered without resolving the channel.
    #[error(
        "{bytes} bytes of channel {channel} are still held after close or expire; pass, replace or cut them"
    )]
    StillHeld {
        /// The channel.
        channel: u32,
        /// Bytes left.
        bytes: usize,
    },
}

/// A choice's state.
#[derive(Debug, Default)]
struct Choice {
    is_finished: bool,
    cut: Option<Reason>,
    /// The client knows of the cut.
    is_told: bool,
}

/// One answer on its way through the guards.
#[derive(Debug)]
pub struct Release {
    shape: Shape,
    limits: ReleaseLimits,
    ledger: Ledger,
    lanes: Vec<Lane>,
    fields: BTreeMap<(u32, Field), usize>,
    /// Ids of tool calls by choice and index.
    calls: BTreeMap<(u32, u32), String>,
    choices: BTreeMap<u32, Choice>,
    queue: VecDeque<Work>,
    pending: Option<Pending>,
    out: VecDeque<Bytes>,
    /// Text in lanes that no event has taken yet.
    unsent_bytes: usize,
    /// The last chunk, for its lasting fields.
    template: Option<Bytes>,
    /// Finish reasons as the provider gave them.
    provider_reasons: Vec<String>,
    /// Cut as a whole before the answer began.
    early_cut: Option<Reason>,
    /// Nothing more comes in.
    is_closing: bool,
    now_ms: u64,
    summary: Summary,
}

impl Release {
    /// An answer of this shape through these guards.
    #[must_use]
    pub fn new(layers: Vec<LayerSpec>, shape: Shape, limits: ReleaseLimits) -> Self {
        let layer = |spec: LayerSpec| Layer {
            coverage: spec.coverage,
            required: spec.required,
            is_active: true,
        };
        Self {
            shape,
            limits,
            ledger: Ledger::new(layers.into_iter().map(layer).collect()),
            lanes: Vec::new(),
            fields: BTreeMap::new(),
            calls: BTreeMap::new(),
            choices: BTreeMap::new(),
            queue: VecDeque::new(),
            pending: None,
            out: VecDeque::new(),
            unsent_bytes: 0,
            template: None,
            provider_reasons: Vec::new(),
            early_cut: None,
            is_closing: false,
            now_ms: 0,
            summary: Summary::default(),
        }
    }

    /// Takes an event of the provider's stream.
    pub fn event(&mut self, event: Event, now_ms: u64) {
        self.now_ms = now_ms;
        self.take_event(event);
        self.run();
    }

    /// Takes the body of a whole answer.
    pub fn body(&mut self, body: Bytes, now_ms: u64) {
        self.now_ms = now_ms;
        self.take_body(body);
        self.run();
    }

    /// Asks guards to resolve what they have held for too long.
    pub fn expire(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if self.shape == Shape::Whole {
            return;
        }
        for layer in 0..self.ledger.layers.len() {
            let channels = self.ledger.due(layer, now_ms);
            if !channels.is_empty() {
                self.queue.push_back(Work::Expire { layer, channels });
            }
        }
        self.queue.push_back(Work::Flush);
        self.run();
    }

    /// When `expire` is to be called; none where nothing is held for a bounded time.
    #[must_use]
    pub fn expires_at_ms(&self) -> Option<u64> {
        if self.shape == Shape::Whole {
            return None;
        }
        self.ledger.next_due_ms()
    }

    /// The provider's answer is complete: closes what is open, and ends the stream where the provider did not.
    pub fn end(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if let Shape::Stream { .. } = self.shape {
            self.close_stream(None);
        }
        self.run();
    }

    /// The provider's answer broke off: closes what is open, so that its text can still flow, without a regular end.
    pub fn abort(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if !self.is_closing {
            self.is_closing = true;
            let mut work = Vec::new();
            self.close_all(&mut work);
            self.queue.extend(work);
            self.queue.push_back(Work::Finish {
                layer: 0,
                is_complete: false,
            });
            self.queue.push_back(Work::Flush);
        }
        self.run();
    }

    /// The next command; none while one is unanswered, and when there is nothing to ask.
    pub fn command(&mut self) -> Option<Command> {
        self.run();
        let pending = self.pending.as_mut()?;
        let op = pending.command.take()?;
        Some(Command {
            layer: pending.layer,
            op,
        })
    }

    /// Applies a guard's answer to the last command.
    ///
    /// # Errors
    /// When it breaks the contract; then nothing of it is applied, and the layer waits for `bypass` or a cut.
    pub fn answer(&mut self, actions: Vec<Action>) -> Result<(), ReleaseError> {
        let pending = self
            .pending
            .as_ref()
            .filter(|pending| pending.command.is_none());
        let pending = pending.ok_or(ReleaseError::NoCommand)?;
        for action in &actions {
            if let Action::Cut {
                choice: Some(choice),
                ..
            } = action
                && !self.choices.contains_key(choice)
            {
                return Err(ReleaseError::UnknownChoice { choice: *choice });
            }
        }
        self.ledger
            .check(pending.layer, &actions, &pending.must_resolve())?;
        if let Some(pending) = self.pending.take() {
            self.apply(pending, actions);
        }
        self.run();
        Ok(())
    }

    /// Takes a guard out of the chain: what it holds and what comes flows on without it.
    pub fn bypass(&mut self, layer: usize) {
        self.resume_without(layer);
        self.run();
    }

    /// Ends one choice, or the whole answer; text that was not yet released is discarded.
    pub fn cut(&mut self, choice: Option<u32>, reason: Reason) {
        if choice.is_none() {
            self.pending = None;
        }
        self.queue.push_front(Work::Cut { choice, reason });
        self.run();
    }

    /// The next bytes for the client.
    pub fn output(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// What is known of the answer so far.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Choices that were cut; where those are all that were asked for, nothing more can be released.
    #[must_use]
    pub fn cut_choices(&self) -> usize {
        self.choices
            .values()
            .filter(|choice| choice.cut.is_some())
            .count()
    }

    const fn json_limits(&self) -> json::Limits {
        json::Limits {
            depth_max: self.limits.depth_max,
            values_max: self.limits.values_max,
        }
    }

    fn is_cut(&self, choice: u32) -> bool {
        self.choices
            .get(&choice)
            .is_some_and(|choice| choice.cut.is_some())
    }
}
