//! Guards of several characters, and the loop that runs them.

use std::collections::BTreeMap;

use pointsman_domain::Reason;
use pointsman_domain::guard::{Action, Channel, Coverage};
use pointsman_wire::release::{Command, LayerSpec, Op, Release, ReleaseLimits, Shape};
use pointsman_wire::sse::{Decoder, Event};

pub(crate) const KINDS: [&str; 5] = ["text", "reasoning", "refusal", "tool-name", "tool-argument"];

/// What a guard does with its channels.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Passes all at once.
    Pass,
    /// Passes what it is given in pieces, the last of them with the next push.
    Lag,
    /// Waits for the end of each channel.
    HoldAll,
    /// Replaces a secret, holding what may be its beginning.
    Mask { secret: String, mask: String },
    /// Cuts the choice (or all) at a word.
    CutAt {
        word: String,
        all: bool,
        refusal: bool,
    },
}

/// One guard.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) manner: Manner,
    pub(crate) held: BTreeMap<u32, String>,
    pub(crate) opened: BTreeMap<u32, Channel>,
    pub(crate) finished: Option<bool>,
}

impl Guard {
    pub(crate) fn new(manner: Manner) -> Self {
        Self {
            manner,
            held: BTreeMap::new(),
            opened: BTreeMap::new(),
            finished: None,
        }
    }

    pub(crate) fn mask(secret: &str, mask: &str) -> Self {
        Self::new(Manner::Mask {
            secret: secret.to_owned(),
            mask: mask.to_owned(),
        })
    }

    pub(crate) fn spec(&self, required: bool) -> LayerSpec {
        let hold_back_bytes = match &self.manner {
            Manner::Pass => 0,
            Manner::Lag => 1 << 20,
            Manner::HoldAll => u32::MAX,
            Manner::Mask { secret, .. } => u32::try_from(secret.len() - 1).expect("short"),
            Manner::CutAt { word, .. } => u32::try_from(word.len() - 1).expect("short"),
        };
        LayerSpec {
            coverage: Coverage {
                kinds: KINDS.map(str::to_owned).to_vec(),
                hold_back_bytes,
                hold_back_ms: 100,
                attributes: Vec::new(),
            },
            required,
        }
    }

    pub(crate) fn run(&mut self, op: Op) -> Vec<Action> {
        let mut actions = Vec::new();
        match op {
            Op::Open { id, channel } => {
                assert!(self.opened.insert(id, channel).is_none(), "opened twice");
                self.held.insert(id, String::new());
            }
            Op::Push(deltas) => {
                for delta in deltas {
                    assert!(!delta.text.is_empty());
                    self.held
                        .get_mut(&delta.channel)
                        .expect("open")
                        .push_str(&delta.text);
                    self.act(delta.channel, false, &mut actions);
                }
            }
            Op::Close(id) => {
                self.act(id, true, &mut actions);
                self.held.remove(&id).expect("open");
            }
            Op::Expire(ids) => ids
                .into_iter()
                .for_each(|id| self.act(id, true, &mut actions)),
            Op::Finish(outcome) => {
                let complete = outcome
                    .iter()
                    .find(|attribute| attribute.key == "complete")
                    .expect("said");
                self.finished = Some(complete.value == true.into());
            }
        }
        actions
    }

    fn act(&mut self, channel: u32, last: bool, actions: &mut Vec<Action>) {
        let choice = self.opened[&channel].choice;
        let held = self.held.get_mut(&channel).expect("open");
        let mut pass = |held: &mut String, bytes: usize| {
            if bytes > 0 {
                held.drain(..bytes);
                actions.push(Action::Pass {
                    channel,
                    bytes: u32::try_from(bytes).expect("short"),
                });
            }
        };
        match &self.manner {
            Manner::Pass => pass(held, held.len()),
            Manner::HoldAll if !last => {}
            Manner::Lag if !last => {
                let half = held.floor_char_boundary(held.len() / 2);
                let quarter = held.floor_char_boundary(half / 2);
                pass(held, quarter);
                pass(held, half - quarter);
            }
            Manner::HoldAll | Manner::Lag => pass(held, held.len()),
            Manner::Mask { secret, mask } => {
                while let Some(at) = held.find(secret.as_str()) {
                    if at > 0 {
                        held.drain(..at);
                        actions.push(Action::Pass {
                            channel,
                            bytes: u32::try_from(at).expect("short"),
                        });
                    }
                    held.drain(..secret.len());
                    let bytes = u32::try_from(secret.len()).expect("short");
                    actions.push(Action::Replace {
                        channel,
                        bytes,
                        text: mask.clone(),
                    });
                }
                let keep = if last { 0 } else { prefix_at_end(held, secret) };
                let bytes = held.len() - keep;
                if bytes > 0 {
                    held.drain(..bytes);
                    actions.push(Action::Pass {
                        channel,
                        bytes: u32::try_from(bytes).expect("short"),
                    });
                }
            }
            Manner::CutAt { word, all, refusal } => match held.find(word.as_str()) {
                Some(at) => {
                    pass(held, at);
                    actions.push(Action::Cut {
                        choice: (!all).then_some(choice),
                        reason: reason(*refusal),
                    });
                }
                None => {
                    let keep = if last { 0 } else { prefix_at_end(held, word) };
                    pass(held, held.len() - keep);
                }
            },
        }
    }
}

pub(crate) fn reason(refusal: bool) -> Reason {
    let attribute = |key: &str, value: &str| pointsman_domain::Attribute {
        key: key.to_owned(),
        value: value.into(),
    };
    Reason {
        code: "test.word".to_owned(),
        detail: "a word".to_owned(),
        attributes: if refusal {
            vec![
                attribute("as", "refusal"),
                attribute("user-message", "sorry"),
            ]
        } else {
            Vec::new()
        },
    }
}

/// Bytes at the end of `text` that may begin `secret`.
fn prefix_at_end(text: &str, secret: &str) -> usize {
    (1..secret.len())
        .rev()
        .find(|length| text.as_bytes().ends_with(&secret.as_bytes()[..*length]))
        .unwrap_or(0)
}

/// A release with its guards.
pub(crate) struct Bench {
    pub(crate) release: Release,
    pub(crate) guards: Vec<Guard>,
    /// All that left.
    pub(crate) out: Vec<u8>,
}

impl Bench {
    pub(crate) fn new(guards: Vec<Guard>, required: bool, shape: Shape) -> Self {
        Self::with_limits(guards, required, shape, ReleaseLimits::default())
    }

    pub(crate) fn with_limits(
        guards: Vec<Guard>,
        required: bool,
        shape: Shape,
        limits: ReleaseLimits,
    ) -> Self {
        let specs = guards.iter().map(|guard| guard.spec(required)).collect();
        Self {
            release: Release::new(specs, shape, limits),
            guards,
            out: Vec::new(),
        }
    }

    pub(crate) fn stream(guards: Vec<Guard>) -> Self {
        Self::new(
            guards,
            true,
            Shape::Stream {
                client_wants_usage: true,
            },
        )
    }

    pub(crate) fn drive(&mut self) {
        while let Some(Command { layer, op }) = self.release.command() {
            let actions = self.guards[layer].run(op);
            self.release
                .answer(actions)
                .expect("a guard that keeps the contract");
        }
        while let Some(bytes) = self.release.output() {
            self.out.extend_from_slice(&bytes);
        }
    }

    pub(crate) fn event(&mut self, data: &str) {
        self.release.event(Event::from_data(data.to_owned()), 0);
        self.drive();
    }

    pub(crate) fn feed(&mut self, stream: &[u8]) {
        let mut decoder = Decoder::new(1 << 24);
        decoder.push(stream);
        while let Some(event) = decoder.next_event().expect("small events") {
            self.release.event(event, 0);
            self.drive();
        }
        self.release.end(0);
        self.drive();
    }

    pub(crate) fn body(&mut self, body: &str) -> String {
        self.release.body(body.to_owned().into(), 0);
        self.drive();
        self.release.end(0);
        self.drive();
        String::from_utf8(self.out.clone()).expect("UTF-8")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).expect("UTF-8")
    }
}
